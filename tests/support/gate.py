"""A public address before the app that is closed to the app itself, or to Graph."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import requests

APP, GRAPH = "the app", "Graph"
_GRAPHS_TOKEN = "Validation: "  # begins the token of Graph's own handshakes


@dataclass
class Gate:
    """The address, whom it is `closed_to`, and the notifications that came through it."""

    url: str
    closed_to: set[str] = field(default_factory=set)


@contextmanager
def gate(app: str) -> Iterator[Gate]:
    """An address that forwards to `app` or answers 403."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token = parse_qs(urlsplit(self.path).query).get("validationToken", [_GRAPHS_TOKEN])[0]
            caller = GRAPH if token.startswith(_GRAPHS_TOKEN) else APP
            if caller in opened.closed_to:
                self._answer(403, "text/html", b"Forbidden")
                return
            headers = {"Content-Type": self.headers.get("Content-Type") or "text/plain"}
            answer = requests.post(f"{app}{self.path}", data=body, headers=headers, timeout=30)
            self._answer(answer.status_code, answer.headers.get("Content-Type", "text/plain"), answer.content)

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        opened = Gate(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield opened
        finally:
            server.shutdown()
