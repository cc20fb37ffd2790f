"""`python -m local.simulator`: a simulator and its login endpoint on loopback.

The login endpoint speaks HTTPS where there is a certificate for it; without one no identity library takes it.
Prints `{"url": …, "login": …}` on stdout once both answer, all else on stderr. It ends on SIGINT or SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from local.sign_in.apps import IDENTITY_KEY, NewApp
from local.sign_in.login import Login
from local.sign_in.metadata import AUTHORITIES
from local.simulator.api.tokens import TokenCheck
from local.simulator.control.routes import ControlRoutes
from local.simulator.service import GraphService
from local.simulator.simulator import OtherTenantError, Simulator
from local.simulator.tenant.world import World
from local.stack.children import exit_with_parent


class ExposedTransport(H11Protocol):
    """HTTP that exposes the connection to the application, for faults that reset it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wrap the application for this connection."""
        super().connection_made(transport)
        inner: ASGIApp = self.app

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})["local.transport"] = {"transport": transport}
            await inner(scope, receive, send)

        self.app = app


class SimulatorServer(uvicorn.Server):
    """A server that reports its start; only one of several captures signals."""

    def __init__(self, config: uvicorn.Config, *, hears_signals: bool) -> None:
        super().__init__(config)
        self.up = asyncio.Event()
        self._hears_signals = hears_signals

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then report it."""
        await super().startup(sockets)
        self.up.set()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Capture signals, or not."""
        with super().capture_signals() if self._hears_signals else nullcontext():
            yield


def main() -> None:
    """Run until stopped."""
    options = _options()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    # A cut reply is a fault that was asked for; the server reports each as an error of the application.
    logging.getLogger("uvicorn.error").addFilter(lambda line: "without completing" not in line.getMessage())
    if options.exit_with_parent:
        exit_with_parent()
    # The server raises the signal again once it has stopped: that must end in the saving below, and in success.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        asyncio.run(_serve(options))
    except OtherTenantError as error:
        sys.exit(str(error))


def _stop(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


async def _serve(options: argparse.Namespace) -> None:
    simulator = _simulator(options)
    routes = [
        Mount("/_control", routes=ControlRoutes(simulator).routes()),
        Mount("/", app=GraphService(simulator)),
    ]
    with _listener(options.port) as listener, _listener(options.login_port) as login_listener:
        graph = SimulatorServer(_config(Starlette(routes=routes)), hears_signals=True)
        login = SimulatorServer(_config(simulator.login.app, options.certificate), hears_signals=False)
        serving = asyncio.create_task(login.serve([login_listener]))
        serving.add_done_callback(lambda _: setattr(graph, "should_exit", True))
        scheme = "https" if options.certificate else "http"
        said = {
            "url": f"http://127.0.0.1:{listener.getsockname()[1]}",
            "login": f"{scheme}://127.0.0.1:{login_listener.getsockname()[1]}",
        }
        background = [
            asyncio.create_task(simulator.delivery.run()),
            asyncio.create_task(simulator.keep_saved()),
            asyncio.create_task(_announce(said, graph, login)),
        ]
        try:
            await graph.serve([listener])
        finally:
            # The login endpoint just ends: it would wait for the clients of its open TLS connections to say goodbye.
            for task in (*background, serving):
                task.cancel()
            simulator.save()
            await asyncio.gather(*background, serving, return_exceptions=True)
    if not serving.cancelled():
        serving.result()  # raises what kept the login endpoint from starting


def _simulator(options: argparse.Namespace) -> Simulator:
    world = World(seed=options.seed, tenant_id=options.tenant.lower())
    authority, key = AUTHORITIES[options.cloud], os.environ.get(IDENTITY_KEY)
    login = Login(
        world.tenant_id, authority, options.audience, world.people, bytes.fromhex(key) if key else None
    )
    tokens = TokenCheck(options.audience, options.app_id.lower())
    simulator = Simulator(world, tokens, login, authority, options.state, options.hubs)
    simulator.load()
    if options.cloud != "global":
        simulator.settings.virtual_events = "badRequest"
        simulator.settings.report_properties = "usGovernment"
    if options.registration:
        login.apps.add(NewApp(options.registration, tuple(options.trusts)))
    return simulator


def _listener(port: int) -> socket.socket:
    listener = socket.create_server(("127.0.0.1", port))
    # asyncio does this only for sockets made with an explicit protocol; without it each reply takes 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _config(app: ASGIApp, certificate: Path | None = None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=ExposedTransport,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
        ssl_certfile=certificate,
    )


async def _announce(said: dict[str, str], *servers: SimulatorServer) -> None:
    for server in servers:
        await server.up.wait()
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--tenant", required=True, metavar="GUID")
    parser.add_argument(
        "--app-id", required=True, metavar="GUID", help="the application of tokens that name none"
    )
    parser.add_argument("--audience", default="https://graph.microsoft.com")
    parser.add_argument("--cloud", choices=sorted(AUTHORITIES), default="global")
    parser.add_argument("--login-port", type=int, default=0, help="of the login endpoint; 0: a free one")
    parser.add_argument(
        "--certificate", type=Path, metavar="FILE", help="key and certificate of the login endpoint"
    )
    parser.add_argument("--registration", metavar="GUID", help="an app registration …")
    parser.add_argument(
        "--trusts", nargs="*", default=[], metavar="GUID", help="… and the identities that it trusts"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--state", type=Path, metavar="FILE")
    parser.add_argument("--hubs", type=Path, metavar="DIR", help="folder of the event hubs of this machine")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when stdin reaches end of file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
