"""Shared by tests of the simulator: one simulator, a client, an endpoint."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import jwt
import pytest
import requests

from local.simulator import wire
from local.simulator.control.client import Control, MeetingMade, running
from local.simulator.settings import SimulatorSettings

AUDIENCE = "https://graph.microsoft.com"
PATIENCE = 15.0


@dataclass(frozen=True)
class Received:
    """A POST that reached a notification endpoint."""

    path: str
    query: dict[str, str]
    content_type: str
    body: bytes
    at: float


@dataclass(frozen=True)
class Answer:
    status: int = 202
    content_type: str = "text/plain"
    body: bytes = b""
    after: float = 0.0


def well_behaved(received: Received) -> Answer:
    """What the product must do: echo a handshake, accept a notification."""
    token = received.query.get("validationToken")
    return Answer() if token is None else Answer(200, body=token.encode())


@dataclass
class Endpoint:
    """A notification endpoint; `answer` decides what it replies."""

    url: str
    answer: Callable[[Received], Answer] = well_behaved
    received: list[Received] = field(default_factory=list)

    def notifications(self) -> list[Received]:
        return [each for each in self.received if "validationToken" not in each.query]


@dataclass(frozen=True)
class Graph:
    """The Graph side with a valid token, and the control routes."""

    control: Control
    token: str = field(repr=False)

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        url = path if path.startswith("http") else f"{self.control.url}/v1.0{path}"
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return requests.request(method, url, headers=headers, timeout=PATIENCE, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.send("GET", path, **options)

    def json(self, path: str, **options: Any) -> Any:
        response = self.get(path, **options)
        assert response.ok, response.text
        return response.json()

    def refusal(self, path: str, **options: Any) -> tuple[int, str, str]:
        response = self.get(path, **options)
        error = response.json()["error"]
        return response.status_code, error["code"], error["message"]

    def pages(self, path: str, **options: Any) -> list[list[Any]]:
        pages = []
        following: str | None = path
        while following:
            page = self.json(following, **options)
            pages.append(page["value"])
            following = page.get("@odata.nextLink")
        return pages


def token(audience: str = AUDIENCE, lifetime: float = 3600, **claims: object) -> str:
    now = time.time()
    return jwt.encode({"aud": audience, "nbf": now - 60, "exp": now + lifetime, **claims}, "k" * 32)


def reports_of(meeting: MeetingMade) -> str:
    return (
        f"/users/{meeting.organizer_id}/onlineMeetings/{quote(meeting.meeting_id, safe='')}/attendanceReports"
    )


def until[T](probe: Callable[[], T | None], seconds: float = PATIENCE) -> T:
    """What `probe` returns as soon as that is not None or empty."""
    end = time.monotonic() + seconds
    while True:
        found = probe()
        if found:
            return found
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@contextmanager
def listening(answer: Callable[[Received], Answer] = well_behaved) -> Iterator[Endpoint]:
    """A notification endpoint on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            target = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(target.query).items()}
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            received = Received(target.path, query, self.headers["Content-Type"], body, time.time())
            heard.received.append(received)
            reply = heard.answer(received)
            time.sleep(reply.after)
            try:
                self.send_response(reply.status)
                self.send_header("Content-Type", reply.content_type)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)
            except ConnectionError:
                return  # the simulator no longer waits: what a late reply is for

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        heard = Endpoint(f"http://127.0.0.1:{server.server_port}/api/notifications?k=1", answer)
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield heard
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="session")
def simulator() -> Iterator[Control]:
    with running() as control:
        yield control


@pytest.fixture
def graph(simulator: Control) -> Iterator[Graph]:
    """The simulator as it is after its start, but for the meetings of earlier tests."""
    simulator.clear_calls()
    yield Graph(simulator, token())
    simulator.clear_faults()
    simulator.change_settings(**wire.to_wire(SimulatorSettings()))
    for subscription in simulator.subscriptions():
        simulator.remove_subscription(subscription["id"])


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with listening() as endpoint:
        yield endpoint
