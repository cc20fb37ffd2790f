"""The local stack: storage, identity, simulators and the Functions host together.

Everything is real but Microsoft's own services; the product runs unchanged, and only its settings differ. However the
stack ends, all that it started ends with it; started again on the same state, it goes on where it was.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from local.sign_in.apps import IDENTITY_KEY
from local.sign_in.metadata import AUTHORITIES
from local.stack import app_settings, azurite, certificates, identity, ports, storage
from local.stack.functions import FunctionsHost
from local.stack.program import ROOT, Log, Program, StartError
from local.stack.state import StackState, hold, write
from shared.settings import EVENT_GRID

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient
    from azure.storage.queue import QueueServiceClient

HUBS = "hubs"  # below the state folder
SECONDS_TO_START = 60.0
SECONDS_TO_STOP = 5.0
SECONDS_BETWEEN_LOOKS = 0.5


class StackError(RuntimeError):
    """A part that is never restarted has ended."""


@dataclass(frozen=True)
class Stack:
    """A running stack: its addresses, its process ids, and clients of its parts."""

    folder: Path  # of its state
    azurite: azurite.Azurite
    identity: identity.Identity
    graph: str
    login: str | None
    simulator: Program | None
    functions: FunctionsHost
    base_environment: Mapping[str, str]
    simulated_login: str = ""

    @property
    def settings(self) -> Mapping[str, str]:
        """The environment of the Functions host, with the app settings."""
        return self.functions.environment

    @property
    def container(self) -> str:
        """The data container."""
        return self.base_environment["ATTENDANCE_CONTAINER"]

    @property
    def pids(self) -> dict[str, int]:
        """The process ids; that of the Functions host changes with each restart."""
        return {"functions": self.functions.pid, "azurite": self.azurite.pid}

    def announcement(self) -> dict[str, Any]:
        """The content of the line on stdout."""
        return {
            "functions": self.functions.url,
            "blob": self.azurite.blob_url,
            "queue": self.azurite.queue_url,
            "state": self.azurite.state_url,
            "graph": self.graph,
            "login": self.login,
            "identity": {"endpoint": self.identity.endpoint, "header": self.identity.header},
            "ca": str(self.azurite.ca),
            "container": self.container,
            "pids": self.pids,
        }

    def ports(self) -> dict[str, int]:
        """The ports that the next stack on the same state uses again."""
        addresses = {
            "blob": self.azurite.blob_url,
            "queue": self.azurite.queue_url,
            "identity": self.identity.endpoint,
            "functions": self.functions.url,
        }
        if self.simulator:
            addresses |= {"graph": self.graph, "login": self.simulated_login}
        return {part: urlsplit(address).port or 0 for part, address in addresses.items()}

    def blob_service(self) -> BlobServiceClient:
        """A new client for the data account's blobs."""
        return storage.blob_service(self.azurite, self.identity)

    def state_service(self) -> BlobServiceClient:
        """A new client for the host account's blobs."""
        return storage.state_service(self.azurite, self.identity)

    def queue_service(self) -> QueueServiceClient:
        """A new client for the host account's queues."""
        return storage.queue_service(self.azurite, self.identity)

    def kill_functions(self) -> None:
        """Kill the Functions host, which is restarted: see `await_functions`.

        It is started again at once: see `await_functions`.
        """
        self.functions.kill()

    def restart_functions(self, settings: Mapping[str, str] | None = None) -> None:
        """Restart the Functions host with these settings over the original ones."""
        self.functions.stop()
        self.functions.start({**self.base_environment, **(settings or {})})

    def await_functions(self) -> None:
        """Wait until the functions answer."""
        self.functions.await_answer()

    def watch(self) -> None:
        """Raise StackError when Azurite or the simulator has ended; never return."""
        while True:
            if not self.azurite.running:
                raise StackError("Azurite has ended")
            if self.simulator and not self.simulator.running:
                raise StackError("the Graph simulator has ended")
            sleep(SECONDS_BETWEEN_LOOKS)


@contextmanager
def up(
    state: Path | None = None,
    *,
    app: Path = ROOT,
    graph_root: str | None = None,
    login_root: str | None = None,
    functions_port: int = 0,
    seed: int = 1,
    settings: Mapping[str, str] | None = None,
    log: Log | None = None,
    usual_roots: bool = True,
    account: azurite.Azurite | None = None,
) -> Iterator[Stack]:
    """Start the stack, and stop it at the end, the Functions host first.

    Without a state folder everything is kept in a temporary one. `settings` win over the environment, which wins
    over the stack's own defaults. Without the usual roots, nothing outside the stack is trusted. An Azurite that is
    given, with accounts of nobody else, is used instead of another one, and runs on at the end. Raises StartError,
    with the words of the part that did not start, or StateInUseError.
    """
    given = {**os.environ, **(settings or {})}
    if graph_root:
        given["GRAPH_ROOT"] = graph_root
    if login_root:
        given["LOGIN_ROOT"] = login_root
    chosen = app_settings.with_defaults(given)
    log = log or Log(2)
    with ExitStack() as parts:
        folder = state or Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="attendance-")))
        held = parts.enter_context(hold(folder))
        last = held.ports()
        principal = parts.enter_context(
            identity.serve(
                ports.free_or_any(last.get("identity", 0)),
                tenant=chosen["TENANT_ID"],
                client_id=chosen["AZURE_CLIENT_ID"],
                issuer=app_settings.authority(chosen),
            )
        )
        graph_root, simulated_login = given.get("GRAPH_ROOT"), ""
        # Started before Azurite and awaited after it, so that both get ready at the same time.
        simulator = None if graph_root else _simulator(held, chosen, seed, principal, account, log)
        if simulator:
            parts.callback(simulator.stop, SECONDS_TO_STOP)
        account = account or parts.enter_context(
            azurite.start(
                held.folder,
                last.get("blob", 0),
                last.get("queue", 0),
                log=log,
                env=chosen,
                lock=held.lock,
                usual_roots=usual_roots,
            )
        )
        storage.create(account, principal, chosen["ATTENDANCE_CONTAINER"])
        if simulator:
            said = json.loads(simulator.await_line(r'^{"url": .*}$', SECONDS_TO_START)[0])
            graph_root, simulated_login = said["url"], said["login"]
            if EVENT_GRID in chosen.get("DELIVERY", ""):
                connect_topic(graph_root, account, principal)
        functions = FunctionsHost(
            app, _functions_port(functions_port, last.get("functions", 0)), log, lock=held.lock
        )
        environment = app_settings.with_addresses(
            chosen,
            azurite=account,
            identity=principal,
            graph_root=graph_root or "",
            login_root=simulated_login,
            functions_url=functions.url,
            client_state=held.client_state(),
            erasure_key=held.erasure_key(),
        )
        environment["LOCAL_EVENT_HUBS"] = str(held.folder / HUBS)
        stack = Stack(
            held.folder,
            account,
            principal,
            environment["GRAPH_ROOT"],
            environment.get("LOGIN_ROOT"),
            simulator,
            functions,
            environment,
            simulated_login,
        )
        parts.callback(held.announcement.unlink, missing_ok=True)
        parts.callback(held.settings.unlink, missing_ok=True)
        write(held.settings, json.dumps(app_settings.for_people(environment)))
        functions.started = lambda: write(held.announcement, json.dumps(stack.announcement()))
        functions.start(environment)
        parts.callback(functions.stop)
        held.remember_ports(stack.ports())
        yield stack


def connect_topic(graph: str, account: azurite.Azurite, principal: identity.Identity) -> None:
    """Lead the partner topic's events to the queue.

    Does what infra/connect-event-grid.sh does.
    """
    queue = {
        "url": f"{account.queue_url}/graph-events",
        "identityEndpoint": principal.endpoint,
        "identityHeader": principal.header,
        "clientId": principal.client_id,
        "ca": str(account.ca),
    }
    address = urlsplit(graph)
    connection = http.client.HTTPConnection(address.netloc, timeout=30)
    try:
        connection.request(
            "PUT", "/_control/grid-queue", json.dumps(queue), {"Content-Type": "application/json"}
        )
        connection.getresponse().read()
    finally:
        connection.close()


def _simulator(
    held: StackState,
    settings: Mapping[str, str],
    seed: int,
    principal: identity.Identity,
    account: azurite.Azurite | None,
    log: Log,
) -> Program:
    last, registration = held.ports(), settings.get("GRAPH_CLIENT_ID")
    certificate = account.certificate if account else certificates.ensure_certificates(held.folder).server
    command = [
        *(sys.executable, "-m", "local.simulator", "--exit-with-parent"),
        *("--port", str(ports.free_or_any(last.get("graph", 0)))),
        *("--login-port", str(ports.free_or_any(last.get("login", 0)))),
        *("--certificate", str(certificate)),
        *("--tenant", settings["TENANT_ID"]),
        *("--app-id", registration or settings["AZURE_CLIENT_ID"]),
        *("--cloud", settings["GRAPH_CLOUD"] if settings["GRAPH_CLOUD"] in AUTHORITIES else "global"),
        *("--audience", app_settings.audience(settings)),
        *("--seed", str(seed)),
        *("--state", str(held.folder / "graph.json")),
        *("--hubs", str(held.folder / HUBS)),
    ]
    if registration:
        command += ["--registration", registration, "--trusts", identity.OBJECT_ID]
    env = {**settings, IDENTITY_KEY: principal.key.hex()}
    return Program("graph", command, log, env=env, lock=held.lock)


def _functions_port(told: int, last: int) -> int:
    if told and not ports.is_free(told):
        raise StartError(f"port {told} for the Functions host is taken")
    return ports.pick(told or last)
