"""A proxy before Azurite that refuses, loses replies, or reports conflicts.

The functions host is given its addresses; who checks reads Azurite itself. A fault comes before the request is passed
on, or after it: then it was done, and the one who asked does not know.
"""

import http.client
import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from urllib.parse import urlsplit

from local.stack.compose import Stack

FAULTS = ("503 before", "503 after", "500 before", "reset before", "reset after")
RACES = {"If-None-Match": (409, "BlobAlreadyExists"), "If-Match": (412, "ConditionNotMet")}
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}
TIMEOUT = 60.0


class Chances:
    """Seeded choice of faults; `counts` them, `share` can be changed."""

    def __init__(self, share: float, seed: int) -> None:
        self.share = share
        self.counts: Counter[str] = Counter()
        self._source = Random(seed)
        self._lock = threading.Lock()

    def draw(self, method: str, path: str, conditions: set[str]) -> str:
        """A fault, "" for none. What the platform itself does with messages is left alone."""
        is_message = "/messages" in path
        if is_message and method != "POST":
            return ""
        kinds = [*FAULTS, *conditions]
        with self._lock:
            if self._source.random() >= self.share:
                return ""
            fault = self._source.choice(kinds)
            self.counts[f"{'queue' if is_message else 'blob'}: {fault}"] += 1
        return fault


@contextmanager
def before(running: Stack, chances: Chances) -> Iterator[dict[str, str]]:
    """Proxies before the stack's storage, as settings for the Functions host."""
    azurite = running.azurite
    with (
        serve(azurite.blob_url, running, chances) as blob,
        serve(azurite.state_url, running, chances) as state,
        serve(azurite.queue_url, running, chances) as queue,
    ):
        yield {
            "AttendanceStorage__blobServiceUri": blob,
            "AzureWebJobsStorage__blobServiceUri": state,
            "AzureWebJobsStorage__queueServiceUri": queue,
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    upstream: tuple[str, int]
    chances: Chances
    context: ssl.SSLContext  # of the server
    trust: ssl.SSLContext

    def finish_request(self, request: socket.socket, client_address: tuple[str, int]) -> None:  # type: ignore[override]
        """The handshake takes place in the connection's own thread."""
        try:
            with self.context.wrap_socket(request, server_side=True) as wrapped:
                super().finish_request(wrapped, client_address)
        except OSError:
            return  # the host was killed

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: connections break here on purpose."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        host, port = self.server.upstream
        self._upstream = http.client.HTTPSConnection(host, port, context=self.server.trust, timeout=TIMEOUT)

    def finish(self) -> None:
        self._upstream.close()
        super().finish()

    def _pass_on(self) -> None:
        expected = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(expected)
        if len(body) < expected:
            raise ConnectionResetError  # who sent it was killed; half a body is no request
        conditions = {name for name in RACES if name in self.headers and self.command == "PUT"}
        fault = self.server.chances.draw(self.command, self.path, conditions)
        if fault in RACES:
            self._refuse(*RACES[fault])
            return
        if fault.endswith("before"):
            self._fail(fault)
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        self._upstream.request(
            self.command, self.path, body or None, headers | {"Content-Length": str(len(body))}
        )
        with self._upstream.getresponse() as answer:
            content = answer.read()
        if fault:
            self._fail(fault)
            return
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _fail(self, fault: str) -> None:
        if fault.startswith("reset"):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            raise ConnectionResetError
        code = "ServerBusy" if fault.startswith("503") else "InternalError"
        self._refuse(int(fault[:3]), code)

    def _refuse(self, status: int, code: str) -> None:
        error = f"<Error><Code>{code}</Code><Message>Injected.</Message></Error>"
        body = f'<?xml version="1.0" encoding="utf-8"?>{error}'.encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("x-ms-error-code", code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815 - the names that the server calls


@contextmanager
def serve(url: str, running: Stack, chances: Chances) -> Iterator[str]:
    """A proxy before `url`; its address."""
    parts = urlsplit(url)
    certificate = running.azurite.ca.parent / "server.pem"
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.upstream = (parts.hostname or "", parts.port or 0)
        server.chances = chances
        server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.context.load_cert_chain(certificate)
        server.trust = ssl.create_default_context(cafile=running.azurite.ca)
        serving = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        serving.start()
        try:
            yield f"https://127.0.0.1:{server.server_port}{parts.path}"
        finally:
            server.shutdown()
            serving.join()
