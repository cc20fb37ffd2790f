"""`python -m local.host --app DIR --port N`: serve one function app on loopback.

App settings are this process's environment. One line of JSON on stdout says where the host answers; everything
else, what the app prints included, goes to stderr. SIGTERM and SIGINT let running functions finish, for a while.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import uvicorn

from local.host import logs
from local.host.admin import Admin
from local.host.host import Host
from local.host.runtime import Runtime
from local.stack.children import exit_with_parent

PATIENCE = 10.0
# Blocking calls to storage: polls, outputs and settlements of all functions together. Threads are made when needed.
STORAGE_THREADS = 64


class HostServer(uvicorn.Server):
    """uvicorn that reports its start and leaves signals alone.

    The host handles signals, because it must stop its listeners first.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answering = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer."""
        await super().startup(sockets)
        self.answering.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture no signals."""
        yield


async def serve(app: Path, port: int, stdout: TextIO) -> None:
    """Run the host until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(STORAGE_THREADS, "storage"))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    listening = _bound(port)
    runtime = Runtime()
    logs.configure(runtime)
    host = Host(app, os.environ, runtime)
    config = uvicorn.Config(
        Admin(host).application(),
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        lifespan="off",
    )
    server = HostServer(config)
    serving = asyncio.create_task(server.serve([listening]))
    await server.answering.wait()
    host.start()
    stdout.write(json.dumps({"url": f"http://127.0.0.1:{listening.getsockname()[1]}"}) + "\n")
    stdout.flush()
    await stop.wait()
    server.should_exit = True
    await asyncio.wait({serving, asyncio.create_task(host.stop())}, timeout=PATIENCE)
    # A function that is still running holds a thread, which would hold the interpreter's own exit.
    os._exit(0)


def _bound(port: int) -> socket.socket:
    # Named TCP, because asyncio turns off Nagle's algorithm only there: replies would wait 40 ms without.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    return listening


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m local.host", description="Serves one function app locally."
    )
    parser.add_argument(
        "--app", type=Path, required=True, help="the folder with host.json and function_app.py"
    )
    parser.add_argument("--port", type=int, default=0, help="a free one if 0 or not given")
    parser.add_argument("--exit-with-parent", action="store_true", help="exit when stdin is closed")
    arguments = parser.parse_args()
    if arguments.exit_with_parent:
        exit_with_parent()
    stdout, sys.stdout = sys.stdout, sys.stderr
    asyncio.run(serve(arguments.app.resolve(), arguments.port, stdout))


if __name__ == "__main__":
    main()
