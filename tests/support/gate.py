"""A public address before the app that is closed to the app itself, or to Graph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import requests

from tests.support.http_server import QuietHandler, serving

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

    class Handler(QuietHandler):
        def do_POST(self) -> None:  # noqa: N802 - the name http.server looks for
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token = parse_qs(urlsplit(self.path).query).get("validationToken", [_GRAPHS_TOKEN])[0]
            caller = GRAPH if token.startswith(_GRAPHS_TOKEN) else APP
            if caller in opened.closed_to:
                self.answer(403, b"Forbidden", "text/html")
                return
            headers = {"Content-Type": self.headers.get("Content-Type") or "text/plain"}
            answer = requests.post(f"{app}{self.path}", data=body, headers=headers, timeout=30)
            self.answer(answer.status_code, answer.content, answer.headers.get("Content-Type", "text/plain"))

    with serving(Handler) as url:
        opened = Gate(url)
        yield opened
