"""Shared by tests of the Functions host: a storage account, and running apps.

An app under test writes what it saw to a file beside it, which outlives a crash of its process.
"""

import http.client
import json
import os
import select
import socket
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import ContainerClient
from azure.storage.queue import QueueClient

from local.stack import storage
from local.stack.azurite import Azurite
from local.stack.identity import Identity

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0

PREAMBLE = """
import json, logging, os, threading, time
from pathlib import Path
from typing import List
import azure.functions as func

app = func.FunctionApp()
HERE = Path(__file__).parent

def note(**seen):
    with (HERE / "seen.jsonl").open("a") as file:
        file.write(json.dumps(seen, default=str) + "\\n")

"""


def until[T](look: Callable[[], T], what: str, seconds: float = PATIENCE) -> T:
    """The first true result of `look`; fails the test when there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    pytest.fail(f"not within {seconds:g} s: {what}")


@dataclass(frozen=True)
class Account:
    """A real storage account on Azurite, and the app settings of a connection to it."""

    azurite: Azurite
    identity: Identity

    @property
    def settings(self) -> dict[str, str]:
        return {
            "AzureWebJobsStorage__queueServiceUri": self.azurite.queue_url,
            "AzureWebJobsStorage__blobServiceUri": self.azurite.state_url,
            "AzureWebJobsStorage__credential": "managedidentity",
            "AzureWebJobsStorage__clientId": self.identity.client_id,
            "IDENTITY_ENDPOINT": self.identity.endpoint,
            "IDENTITY_HEADER": self.identity.header,
            "REQUESTS_CA_BUNDLE": str(self.azurite.ca),
            "NO_PROXY": "127.0.0.1",
            "LOCAL_LEASE_SECONDS": "2",
        }

    def queue(self, name: str = "") -> QueueClient:
        """A client of a queue; without a name, of a new one that exists."""
        service = storage.queue_service(self.azurite, self.identity)
        client = service.get_queue_client(name or f"q{uuid.uuid4().hex}")
        if not name:
            client.create_queue()
        return client

    def poison(self, queue: QueueClient) -> QueueClient:
        return self.queue(f"{queue.queue_name}-poison")

    def container(self, name: str) -> ContainerClient:
        return storage.state_service(self.azurite, self.identity).get_container_client(name)


def texts(queue: QueueClient) -> list[str]:
    """The stored texts of the visible messages, oldest first."""
    try:
        return [message.content for message in queue.peek_messages(max_messages=32)]
    except ResourceNotFoundError:
        return []


def is_empty(queue: QueueClient) -> bool:
    """Whether nothing is left, invisible messages included."""
    return queue.get_queue_properties().approximate_message_count == 0


@dataclass
class Reply:
    """What an HTTP function answered."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class HostProcess:
    """The real host on one app, as a process of its own."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *arguments: str) -> None:
        self.folder = folder
        self._log = (folder / "log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local.host", "--app", str(folder), *arguments],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.url = ""

    def await_answer(self) -> None:
        assert self.process.stdout
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline() if ready else ""
        assert line, self.log
        self.url = json.loads(line)["url"]

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def seen(self) -> list[dict[str, Any]]:
        file = self.folder / "seen.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def call(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Reply:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=PATIENCE)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Reply(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def run(self, function: str, text: str = "") -> int:
        """Run a function by the admin route; the status of the answer."""
        return self.call("POST", f"/admin/functions/{function}", json.dumps({"input": text}).encode()).status

    @property
    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.call("GET", "/admin/host/status").body)
        return answer

    @property
    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", urlsplit(self.url).port)) == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)

    def terminate(self) -> int:
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        if self.process.poll() is None:
            self.kill()
        for stream in (self.process.stdin, self.process.stdout, self._log):
            if stream:
                stream.close()


class StartHost(Protocol):
    """Writes an app and host.json to a folder, and runs the host on it."""

    def __call__(
        self,
        app: str = "",
        *arguments: str,
        queues: Mapping[str, object] | None = None,
        host_json: Mapping[str, object] | None = None,
        settings: Mapping[str, str | None] | None = None,
    ) -> HostProcess: ...


@pytest.fixture(scope="session")
def account(azurite: Azurite, identity: Identity) -> Account:
    return Account(azurite, identity)


@contextmanager
def hosts_in(folder: Path, account: Account) -> Iterator[StartHost]:
    with ExitStack() as started:

        def start(
            app: str = "",
            *arguments: str,
            queues: Mapping[str, object] | None = None,
            host_json: Mapping[str, object] | None = None,
            settings: Mapping[str, str | None] | None = None,
        ) -> HostProcess:
            if app:
                (folder / "function_app.py").write_text(PREAMBLE + textwrap.dedent(app))
                options = {"maxPollingInterval": "00:00:00.2", **(queues or {})}
                document = {"version": "2.0", "extensions": {"queues": options}, **(host_json or {})}
                (folder / "host.json").write_text(json.dumps(document))
            chosen = {**account.settings, **(settings or {})}
            host = HostProcess(folder, {name: value for name, value in chosen.items() if value}, *arguments)
            started.callback(host.close)
            host.await_answer()
            return host

        yield start


@pytest.fixture
def start_host(tmp_path: Path, account: Account) -> Iterator[StartHost]:
    with hosts_in(tmp_path, account) as start:
        yield start
