"""`python -m local.graph`: one simulator on a loopback port.

Prints `{"url": …}` on stdout once it answers, all else on stderr. It ends on SIGINT or SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import socket
import sys
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from local.children import exit_with_parent
from local.graph.control import ControlRoutes
from local.graph.service import GraphService
from local.graph.simulator import Simulator
from local.graph.tokens import TokenCheck
from local.graph.world import World


class ExposedTransport(H11Protocol):
    """HTTP that shows the connection to the application, so that a fault can reset it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wraps the application for this connection."""
        super().connection_made(transport)
        inner: ASGIApp = self.app

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})["local.transport"] = {"transport": transport}
            await inner(scope, receive, send)

        self.app = app


class Announcing(uvicorn.Server):
    """A server that says on stdout that it answers."""

    def __init__(self, config: uvicorn.Config, url: str) -> None:
        super().__init__(config)
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts, then prints the address."""
        await super().startup(sockets)
        sys.stdout.write(json.dumps({"url": self._url}) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Runs until told to stop."""
    options = _options()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    # A cut reply is a fault that was asked for; the server reports each as an error of the application.
    logging.getLogger("uvicorn.error").addFilter(lambda line: "without completing" not in line.getMessage())
    if options.exit_with_parent:
        exit_with_parent()
    # The server raises the signal again once it has stopped: that must end in the saving below, and in success.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    asyncio.run(_serve(options))


def _stop(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


async def _serve(options: argparse.Namespace) -> None:
    world = World(seed=options.seed, tenant_id=options.tenant.lower())
    simulator = Simulator(world, TokenCheck(options.audience, options.app_id.lower()), options.state)
    simulator.load()
    app = Starlette(
        routes=[
            Mount("/_control", routes=ControlRoutes(simulator).routes()),
            Mount("/", app=GraphService(simulator)),
        ]
    )
    config = uvicorn.Config(
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
    )
    with socket.create_server(("127.0.0.1", options.port)) as listener:
        # asyncio does this only for sockets made with an explicit protocol; without it each reply takes 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = Announcing(config, f"http://127.0.0.1:{listener.getsockname()[1]}")
        background = [
            asyncio.create_task(simulator.delivery.run()),
            asyncio.create_task(simulator.keep_saved()),
        ]
        try:
            await server.serve([listener])
        finally:
            for task in background:
                task.cancel()
            simulator.save()
            await asyncio.gather(*background, return_exceptions=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.graph", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--tenant", required=True, metavar="GUID")
    parser.add_argument(
        "--app-id", required=True, metavar="GUID", help="the application of tokens that name none"
    )
    parser.add_argument("--audience", default="https://graph.microsoft.com")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--state", type=Path, metavar="FILE")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when stdin reaches end of file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
