"""A proxy before Azurite that refuses, loses replies and messages, reports conflicts, goes dark, or kills the host.

The functions host is given its addresses; who checks reads Azurite itself. A fault comes before the request is passed
on, or after it: then it was done, and the one who asked does not know.
"""

import http.client
import json
import re
import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from urllib.parse import parse_qs, quote, urlsplit

from local.stack.compose import Stack
from tests.storm.steps import BEFORE, Request, Strike, Strikes
from tests.storm.worsening import Worsening

FAULTS = ("503 before", "503 after", "500 before", "reset before", "reset after")
RACES = {"If-None-Match": (409, "BlobAlreadyExists"), "If-Match": (412, "ConditionNotMet")}
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}
TIMEOUT = 60.0
LOST_SHARE = 0.5
FAR = 3_000  # seconds: a message that is hidden longer does not come within a run
DARK = "503 before"
_SENT = re.compile(rb"<MessageId>([^<]+)</MessageId>.*<PopReceipt>([^<]+)</PopReceipt>", re.DOTALL)

type Answer = tuple[int, str, list[tuple[str, str]], bytes]  # status, reason, headers, body


class Chances:
    """Seeded choice of faults; `counts` them, `share` and `is_dark` can be changed.

    `losable`: signals whose messages the queue may lose. `far` counts the messages that are hidden for more than the
    run. A strike of `strikes` calls `kill`. `worsening` watches what is written.
    """

    def __init__(
        self,
        share: float,
        seed: int,
        strikes: Strikes | None = None,
        kill: Callable[[], None] = lambda: None,
    ) -> None:
        self.share = share
        self.is_dark = False
        self.losable: Collection[str] = ()
        self.far = 0
        self.counts: Counter[str] = Counter()
        self.strikes = strikes
        self.kill = kill
        self.worsening = Worsening()
        self._source = Random(seed)
        self._lock = threading.Lock()

    def draw(self, method: str, path: str, conditions: set[str]) -> str:
        """A fault, "" for none. What the platform itself does with messages is left alone."""
        is_message = "/messages" in path
        if self.is_dark:
            with self._lock:
                self.counts[f"{'queue' if is_message else 'blob'}: dark"] += 1
            return DARK
        if is_message and method != "POST":
            return ""
        kinds = [*FAULTS, *conditions]
        with self._lock:
            if self._source.random() >= self.share:
                return ""
            fault = self._source.choice(kinds)
            self.counts[f"{'queue' if is_message else 'blob'}: {fault}"] += 1
        return fault

    def loses(self, request: Request) -> bool:
        """Whether the queue loses this message: some that are hidden for a while, of signals that may lose one."""
        if not self.losable or not self.share or not request.is_nudge or not _hidden(request):
            return False
        if json.loads(request.message)["signalId"] not in self.losable:
            return False
        with self._lock:
            is_lost = self._source.random() < LOST_SHARE
            self.counts["queue: message lost"] += is_lost
        return is_lost

    def strike(self, request: Request) -> Strike | None:
        """The kill that is due at this request."""
        return self.strikes.due(request) if self.strikes else None

    def passed(self, request: Request) -> None:
        """Note a request that storage has done."""
        if request.method == "POST" and "/meeting-signals/" in request.path and _hidden(request) > FAR:
            with self._lock:
                self.far += 1


def _hidden(request: Request) -> int:
    """For how many seconds a message is hidden."""
    return int(parse_qs(urlsplit(request.path).query).get("visibilitytimeout", ["0"])[0])


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
    writing: threading.Lock
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
        request, chances = self._read(), self.server.chances
        strike = chances.strike(request)
        if strike and strike.side == BEFORE:
            self._kill()
        conditions = {name for name in RACES if name in self.headers and self.command == "PUT"}
        fault = chances.draw(self.command, self.path, conditions) if strike is None else ""
        if fault in RACES:
            self._refuse(*RACES[fault])
        elif fault.endswith("before"):
            self._fail(fault)
        else:
            answer = self._ask_watched(request)
            if strike:
                self._kill()
            if fault:
                self._fail(fault)
            else:
                self._give(*answer)

    def _read(self) -> Request:
        expected = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(expected)
        if len(body) < expected:
            raise ConnectionResetError  # who sent it was killed; half a body is no request
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(self.command, self.path, headers, body)

    def _ask_watched(self, request: Request) -> Answer:
        """Pass the request on, and note what has become of it."""
        chances = self.server.chances
        if chances.worsening.watches(request):
            with self.server.writing:  # in the order in which storage takes them
                answer = self._ask(request)
                if answer[0] == http.client.CREATED:
                    chances.worsening.wrote(request)
        else:
            answer = self._ask(request)
        if answer[0] == http.client.CREATED:
            if chances.loses(request):
                self._lose(answer[3])
            else:
                chances.passed(request)
        return answer

    def _give(self, status: int, reason: str, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status, reason)
        for name, value in headers:
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        length = dict(headers).get("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _ask(self, request: Request) -> Answer:
        """Pass the request on. Return status, reason, headers and body of the answer."""
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        length = {"Content-Length": str(len(request.body))}
        self._upstream.request(request.method, request.path, request.body or None, headers | length)
        with self._upstream.getresponse() as answer:
            return answer.status, answer.reason, answer.getheaders(), answer.read()

    def _lose(self, sent: bytes) -> None:
        """Delete the message that was just sent."""
        if found := _SENT.search(sent):
            address = f"{self.path.partition('?')[0]}/{found[1].decode()}?popreceipt={quote(found[2])}"
            kept = ("Authorization", "x-ms-version")
            headers = {name: self.headers[name] for name in kept if name in self.headers}
            self._upstream.request("DELETE", address, headers=headers)
            self._upstream.getresponse().read()

    def _kill(self) -> None:
        """Kill the host, whose request this is."""
        self.server.chances.kill()
        raise ConnectionResetError

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
    certificate = running.azurite.certificate
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.upstream = (parts.hostname or "", parts.port or 0)
        server.chances, server.writing = chances, threading.Lock()
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
