"""Hostile requests over HTTP at both webhooks of a running Functions host."""

import gzip
import http.client
import json
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from urllib.parse import quote, unquote, urlsplit

from local.stack import compose
from local.stack.compose import Stack
from local.stack.program import Log
from tests.fuzz import oracle
from tests.fuzz.mutations import mutated
from tests.fuzz.targets import STATE, TENANT, item, notifications_of
from tests.support.measured import resident

ROUTES = ("/api/notifications", "/api/lifecycle")
TYPES = (
    "application/json",
    "text/plain",
    "application/x-www-form-urlencoded",
    "",
    "\x01",
    "multipart/form-data",
)
NEVER = "0 0 0 29 2 *"
MOST = 262_144
TIMEOUT = 30
SECONDS_TO_WORK = 600.0
MOST_TOLD = 20


@dataclass
class Result:
    """The result: replies by status, wrong replies, and wrong signals."""

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    before: float = 0.0
    after: float = 0.0


def run(count: int, seed: int) -> Result:
    """Start a stack of its own, and send so many requests."""
    settings = {"MAINTAIN_SCHEDULE": NEVER, "SWEEP_SCHEDULE": NEVER, "RETRY_FIRST_DELAY": "3600"}
    descriptor = os.open(os.devnull, os.O_WRONLY)
    with compose.up(settings=settings, log=Log(descriptor), usual_roots=False) as running:
        return send(running, count, seed)


def send(running: Stack, count: int, seed: int, *, alone: bool = True) -> Result:
    """Send so many requests to a stack, and compare the signals with the oracle.

    Where others use the stack too (not `alone`), signals that nobody here wanted may be theirs.
    """
    source, result, wanted = Random(seed), Result(), set[str]()
    sender = _Sender(running)
    result.before = resident(running.functions.pid)
    for number in range(count):
        request = sender.made(source, number)
        said = sender.expected(request)
        status, text = sender.post(request)
        result.requests += 1
        result.statuses[status] += 1
        if status != said.status or (status == 202 and text):
            _tell(result.problems, f"{status} {text[:60]!r}, not {said.status}, to {request}")
        if status == 202:
            wanted |= said.calls
    sender.close()
    result.after = resident(running.functions.pid)
    found = _signals(running, wanted)
    for each in found ^ wanted if alone else wanted - found:
        _tell(result.strays, f"call {each!r} is {'there wrongly' if each in found else 'missing'}")
    return result


@dataclass(frozen=True)
class Request:
    """A POST; the body as it is sent."""

    route: str
    token: str
    headers: dict[str, str]
    body: bytes

    def __str__(self) -> str:
        return f"{self.route}, {self.headers}, {self.body[:200]!r}"


class _Sender:
    """Makes requests and sends them over one connection."""

    def __init__(self, running: Stack) -> None:
        host = urlsplit(running.functions.url)
        self._state, self._tenant = running.settings["CLIENT_STATE"], running.settings["TENANT_ID"]
        self._seeds = _seeds(self._state, self._tenant)
        self._connection = http.client.HTTPConnection(host.hostname or "", host.port, timeout=TIMEOUT)

    def close(self) -> None:
        """No more requests."""
        self._connection.close()

    def made(self, source: Random, number: int) -> Request:
        """The next request."""
        body, headers = mutated(source, self._seeds, []), _headers(source)
        if number % 500 == 0:
            same = item(clientState=self._state, tenantId=self._tenant)
            body = json.dumps({"value": [same] * 500}).encode()
        if headers.get("Content-Encoding") == "gzip":
            body = gzip.compress(body)
        elif source.random() < 0.002:
            body += b" " * (MOST + 1)
        token = f"t {number} <&>\u00e9" if source.random() < 0.02 else ""
        return Request(source.choice(ROUTES), token, headers, body)

    def expected(self, request: Request) -> oracle.Verdict:
        """What must become of it."""
        if request.token:
            return oracle.Verdict(200)
        return oracle.verdict(request.body, self._state, self._tenant, MOST, rich=False)

    def post(self, request: Request) -> tuple[int, bytes]:
        """Status and body of the reply; 0 for none. A wrong handshake is as bad as none."""
        path = f"{request.route}?validationToken={quote(request.token)}" if request.token else request.route
        try:
            self._connection.request("POST", path, request.body, request.headers)
            with self._connection.getresponse() as reply:
                status, text = reply.status, reply.read()
        except (http.client.HTTPException, OSError) as failure:
            self._connection.close()
            return 0, type(failure).__name__.encode()
        return (status, text) if not request.token or text == request.token.encode() else (0, text)


def _seeds(state: str, tenant: str) -> list[str]:
    texts = map(json.dumps, notifications_of({}))
    return [text.replace(json.dumps(STATE), json.dumps(state)).replace(TENANT, tenant) for text in texts]


def _headers(source: Random) -> dict[str, str]:
    headers = {"Content-Type": source.choice(TYPES)} if source.random() < 0.3 else {"Content-Type": TYPES[0]}
    headers = {name: value for name, value in headers.items() if value.isprintable()}
    if source.random() < 0.03:
        headers["Content-Encoding"] = source.choice(("gzip", "br", "identity"))
    if source.random() < 0.05:
        headers["traceparent"] = source.choice(("x", "00-" + "0" * 32, "é".encode().decode("latin-1")))
    return headers


def _signals(running: Stack, wanted: set[str]) -> set[str]:
    """The calls of all signals: each has an outcome, soon.

    Waits while some that are wanted have none.
    """
    container = running.blob_service().get_container_client(running.container)
    queue = running.queue_service().get_queue_client("meeting-signals")
    deadline = time.monotonic() + SECONDS_TO_WORK
    while True:
        names = container.list_blob_names(name_starts_with="outcomes/")
        found = {unquote(name.rsplit("/cr-", 1)[1].removesuffix(".json")) for name in names if "/cr-" in name}
        idle = not queue.peek_messages()
        if (wanted <= found and idle) or time.monotonic() > deadline:
            return found
        time.sleep(1)


def _tell(problems: list[str], problem: str) -> None:
    if len(problems) < MOST_TOLD:
        problems.append(problem)
