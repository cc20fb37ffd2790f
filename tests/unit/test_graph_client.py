"""The Graph client on a real HTTP server: waits, retries, errors, tokens."""

import gzip
import itertools
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import (
    AccessDenied,
    Conflict,
    GraphError,
    NotFound,
    Refused,
    Throttled,
    Unavailable,
    ValidationFailed,
)
from shared.graph import client as graph_module
from shared.graph.client import MAX_FAILURES_IN_A_ROW, MAX_TRIES, Graph, next_link, segment
from shared.graph.verbatim_json import Number
from shared.limits import MAX_RATE_WAIT, RateLimiter


@dataclass
class Answer:
    """A prepared answer; `cut`: ends within the body, `reset`: before it."""

    status: int = 200
    body: bytes = b'{"ok":true}'
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    reset: bool = False


@dataclass
class Request:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Service:
    """A loopback HTTP server with prepared answers, the last one repeated."""

    def __init__(self) -> None:
        self.answers: list[Answer] = [Answer()]
        self.requests: list[Request] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                service.requests.append(Request(self.command, self.path, dict(self.headers), body))
                answer = service.answers.pop(0) if len(service.answers) > 1 else service.answers[0]
                self.close_connection = answer.reset or answer.cut
                if answer.reset:
                    linger = struct.pack("ii", 1, 0)  # closing then sends RST
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    return
                self.send_response(answer.status)
                for name, value in {"Content-Length": str(len(answer.body))}.items() | answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body[: len(answer.body) // 2] if answer.cut else answer.body)

            do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - the names http.server looks for

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.authority = f"127.0.0.1:{self._server.server_address[1]}"
        self.root = f"http://{self.authority}"

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@dataclass
class Client:
    """A Graph client that never sleeps and hands out a new token each time."""

    service: Service
    sleeps: list[float] = field(default_factory=list)
    renewals: list[bool] = field(default_factory=list)
    claims: list[str | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        seconds = itertools.count()  # a second passes between two requests, so the budget never waits
        rate = RateLimiter(10, lambda: float(next(seconds)))
        self.graph = Graph(
            self.service.root, self.token, rate, sleep=self.sleeps.append, draw=lambda low, high: high
        )

    def token(self, renew: bool, claims: str | None) -> str:
        self.renewals.append(renew)
        self.claims.append(claims)
        return f"token-{len(self.renewals)}"

    @property
    def tokens_sent(self) -> list[str]:
        return [request.headers["Authorization"] for request in self.service.requests]

    def get(self) -> dict[str, Any]:
        return self.graph.get("things", "get things")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("NO_PROXY", "*")
    service = Service()
    yield service
    service.stop()


@pytest.fixture
def client(service: Service) -> Client:
    return Client(service)


def error(status: int, message: str = "", code: str = "Code", **headers: str) -> Answer:
    content = {"error": {"code": code, "message": message, "innerError": {"request-id": "inner"}}}
    return Answer(status, json.dumps(content).encode(), {"request-id": "r-1"} | headers)


def throttled(retry_after: str, status: int = 429) -> Answer:
    return Answer(status, b"", {"Retry-After": retry_after})


def test_a_get_returns_the_object_and_sends_the_token(client: Client, service: Service) -> None:
    assert client.get() == {"ok": True}
    [request] = service.requests
    assert (request.method, request.path) == ("GET", "/v1.0/things")
    assert client.tokens_sent == ["Bearer token-1"]
    assert request.headers["client-request-id"]
    assert (client.renewals, client.sleeps) == ([False], [])


def test_a_segment_arrives_encoded_exactly_once(client: Client, service: Service) -> None:
    client.graph.get(
        f"users/{segment('a/b=%3a')}/x?$filter={segment("JoinWebUrl eq 'https://a/%3a'")}", "get"
    )
    assert service.requests[0].path == (
        "/v1.0/users/a%2Fb%3D%253a/x?$filter=JoinWebUrl%20eq%20%27https%3A%2F%2Fa%2F%253a%27"
    )


def test_numbers_arrive_in_the_form_in_which_they_came(client: Client, service: Service) -> None:
    service.answers = [Answer(body=b'{"a":1.50,"b":-0}')]
    assert client.get() == {"a": Number("1.50"), "b": Number("-0")}


def test_a_retry_after_in_seconds_is_waited_out(client: Client, service: Service) -> None:
    service.answers = [throttled("7"), Answer()]
    assert client.get() == {"ok": True}
    assert client.sleeps == [7.0]


def test_a_retry_after_as_a_date_is_waited_out(client: Client, service: Service) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=8), usegmt=True)
    service.answers = [throttled(date), Answer()]
    client.get()
    [waited] = client.sleeps
    assert 5 < waited <= 8


def test_a_retry_after_that_is_past_is_no_reason_to_wait(client: Client, service: Service) -> None:
    service.answers = [throttled("Wed, 21 Oct 2015 07:28:00 GMT"), throttled("0"), Answer()]
    client.get()
    assert client.sleeps == [0.0, 0.0]


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("retry_after", "least", "most"), [("300", 300, 300), ("date", 295, 300)])
def test_a_long_retry_after_is_the_callers_to_plan(
    client: Client, service: Service, status: int, retry_after: str, least: float, most: float
) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=300), usegmt=True)
    service.answers = [throttled(date if retry_after == "date" else retry_after, status)]
    with pytest.raises(Throttled) as caught:
        client.get()
    assert least <= caught.value.retry_after <= most
    assert (client.sleeps, len(service.requests)) == ([], 1)


@pytest.mark.parametrize("value", ["", "soon", "-1", "²", "Wed, 99 Foo", ",", "5 apples", "1e9"])
def test_a_retry_after_that_says_nothing_leaves_it_to_the_back_off(
    client: Client, service: Service, value: str
) -> None:
    service.answers = [throttled(value), Answer()]
    client.get()
    assert client.sleeps == [0.5]


def test_without_a_retry_after_the_wait_doubles_and_then_the_call_is_given_up(
    client: Client, service: Service
) -> None:
    service.answers = [error(429)]
    with pytest.raises(Throttled) as caught:
        client.get()
    assert client.sleeps == [0.5, 1.0, 2.0]
    assert (caught.value.retry_after, len(service.requests)) == (0.0, MAX_TRIES)


def test_the_back_off_is_drawn_from_nothing_to_all_of_it(service: Service) -> None:
    ranges: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        ranges.append((low, high))
        return 0.0

    service.answers = [error(503), error(503), Answer()]
    Graph(service.root, lambda *_: "t", RateLimiter(10), sleep=lambda _: None, draw=draw).get("things", "get")
    assert ranges == [(0, 0.5), (0, 1.0)]


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_a_passing_fault_of_the_server_is_tried_again(client: Client, service: Service, status: int) -> None:
    service.answers = [error(status), Answer()]
    assert client.get() == {"ok": True}
    assert client.sleeps == [0.5]


def test_a_lasting_fault_of_the_server_makes_it_unavailable(client: Client, service: Service) -> None:
    service.answers = [error(503)]
    with pytest.raises(Unavailable) as caught:
        client.get()
    assert (caught.value.status, len(service.requests)) == (503, MAX_TRIES)


BROKEN = [
    Answer(cut=True),
    Answer(reset=True),
    Answer(body=b'{"value":['),
    Answer(body=b""),
    Answer(body=b"[]"),
    Answer(body=b"<html>"),
    Answer(body=b'{"a":NaN}'),
    Answer(body=b'{"a":"\xff"}'),
    Answer(body=b'{"a":' + b"[" * 100_000),
    Answer(body=b"no gzip", headers={"Content-Encoding": "gzip"}),
]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda answer: str(answer)[:60])
def test_an_answer_that_is_not_whole_is_asked_for_again(
    client: Client, service: Service, broken: Answer
) -> None:
    service.answers = [broken, Answer()]
    assert client.get() == {"ok": True}
    service.answers = [broken]
    with pytest.raises(Unavailable):
        client.get()
    assert len(service.requests) == 2 + MAX_TRIES


def test_nobody_at_the_address_makes_it_unavailable(client: Client, service: Service) -> None:
    service.stop()
    with pytest.raises(Unavailable, match="ConnectionError"):
        client.get()
    assert client.sleeps == [0.5, 1.0, 2.0]


def test_while_graph_is_down_a_call_gets_one_try_until_one_is_answered(
    client: Client, service: Service
) -> None:
    service.answers = [error(503)]
    for _ in range(MAX_FAILURES_IN_A_ROW):
        with pytest.raises(Unavailable):
            client.get()
    assert len(service.requests) == MAX_FAILURES_IN_A_ROW * MAX_TRIES
    with pytest.raises(Unavailable):
        client.get()
    assert len(service.requests) == MAX_FAILURES_IN_A_ROW * MAX_TRIES + 1
    service.answers = [error(404), error(503), Answer()]
    with pytest.raises(NotFound):
        client.get()
    assert client.get() == {"ok": True}


def test_to_be_throttled_is_not_to_be_down(client: Client, service: Service) -> None:
    service.answers = [error(429)]
    for _ in range(MAX_FAILURES_IN_A_ROW + 1):
        with pytest.raises(Throttled):
            client.get()
    assert len(service.requests) == (MAX_FAILURES_IN_A_ROW + 1) * MAX_TRIES


@pytest.mark.parametrize("fault", [error(503), error(500), Answer(reset=True), Answer(body=b"{")])
def test_a_post_is_not_sent_twice_when_graph_may_have_done_it(
    client: Client, service: Service, fault: Answer
) -> None:
    service.answers = [fault, Answer()]
    with pytest.raises(Unavailable):
        client.graph.post("subscriptions", "create", {"a": 1})
    assert len(service.requests) == 1


def test_a_post_that_was_throttled_is_sent_again(client: Client, service: Service) -> None:
    service.answers = [throttled("1"), Answer(201)]
    assert client.graph.post("subscriptions", "create", {"a": 1}) == {"ok": True}
    assert [json.loads(request.body) for request in service.requests] == [{"a": 1}, {"a": 1}]


def test_a_patch_and_a_delete_may_be_answered_with_nothing(client: Client, service: Service) -> None:
    service.answers = [Answer(204, b"")]
    assert client.graph.patch("subscriptions/1", "renew", {"a": 1}) == {}
    client.graph.delete("subscriptions/1", "delete")
    assert [request.method for request in service.requests] == ["PATCH", "DELETE"]


def test_a_refused_token_is_renewed_once(client: Client, service: Service) -> None:
    service.answers = [error(401), Answer()]
    assert client.get() == {"ok": True}
    assert client.renewals == [False, True]
    assert client.tokens_sent == ["Bearer token-1", "Bearer token-2"]


def test_a_renewed_token_that_is_refused_too_is_given_up(client: Client, service: Service) -> None:
    service.answers = [error(401)]
    with pytest.raises(Unavailable, match="token was refused"):
        client.get()
    assert client.renewals == [False, True]


def test_a_token_is_renewed_once_also_when_another_fault_follows(client: Client, service: Service) -> None:
    service.answers = [error(401), error(503), Answer()]
    client.get()
    assert client.renewals == [False, True, False]


def test_without_a_token_nothing_is_asked(service: Service) -> None:
    def none(renew: bool, claims: str | None) -> str:
        raise Unavailable("get a token", "no identity")

    with pytest.raises(Unavailable, match="no identity"):
        Graph(service.root, none, RateLimiter(10), sleep=lambda _: None).get("things", "get")
    assert service.requests == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Refused),
        (403, AccessDenied),
        (404, NotFound),
        (409, Conflict),
        (410, Refused),
        (501, Unavailable),
    ],
)
def test_an_error_is_named_for_what_the_caller_can_do(
    client: Client, service: Service, status: int, kind: type[GraphError]
) -> None:
    service.answers = [
        error(status, "3004: Specified meeting of megan@contoso.com is not found", "BadRequest")
    ]
    with pytest.raises(GraphError) as caught:
        client.get()
    failure = caught.value
    assert type(failure) is kind
    assert (failure.status, failure.code, failure.hint, failure.request_id) == (
        status,
        "BadRequest",
        "3004",
        "r-1",
    )
    assert len(service.requests) == 1
    said = str(failure)
    assert all(part in said for part in ("get things", str(status), "BadRequest", "3004", "r-1"))
    assert "megan" not in said
    assert "Specified" not in said
    assert "token-1" not in said


FAILED = "Subscription validation request failed. "
RULE = "Notification endpoint must respond with 200 OK to validation request."


@pytest.mark.parametrize(
    ("code", "message", "hint"),
    [
        ("InvalidRequest", "Subscription validation request timed out.", "validation timed out"),
        (
            "ValidationError",
            f"{FAILED}HTTP status code is 'Forbidden'. {RULE}",
            "validation failed: Forbidden",
        ),
        ("ValidationError", f"{FAILED}{RULE} HTTP status code is '<script>megan'.", "validation failed"),
    ],
)
def test_that_graphs_handshake_failed_is_told_from_other_refusals(
    client: Client, service: Service, code: str, message: str, hint: str
) -> None:
    service.answers = [error(400, message, code)]
    with pytest.raises(ValidationFailed) as caught:
        client.get()
    assert caught.value.hint == hint
    assert f"(status 400, code {code}, hint {hint}, " in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b'{"error":null}',
        b'{"error":"invalid_request"}',
        b'{"error":[]}',
        b"\xff",
        b'{"error":{"code":"megan@contoso.com","message":"for megan@contoso.com: no"}}',
        b'{"error":{"code":null}}',
    ],
)
def test_an_error_of_any_shape_keeps_its_class_and_tells_nothing_private(
    client: Client, service: Service, body: bytes
) -> None:
    service.answers = [Answer(403, body)]
    with pytest.raises(AccessDenied) as caught:
        client.get()
    assert "megan" not in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(client: Client, service: Service, status: int) -> None:
    service.answers = [Answer(status, b"", {"Location": f"{service.root}/elsewhere"}), Answer()]
    with pytest.raises(Unavailable):
        client.get()
    assert [request.path for request in service.requests] == ["/v1.0/things"]


def page(link: object = None, *values: int) -> Answer:
    return Answer(body=json.dumps({"value": values} | ({"@odata.nextLink": link} if link else {})).encode())


def test_pages_are_followed_by_their_links_as_they_are_given(client: Client, service: Service) -> None:
    links = [f"{service.root}/beta/things?$skiptoken=a%2Fb%20c", f"{service.root}/v1.0/things?$skiptoken=2"]
    service.answers = [page(links[0], 1, 2), page(links[1]), page(None, 3)]
    assert list(client.graph.list_pages("things", "list")) == [[1, 2], [], [3]]
    assert [request.path for request in service.requests] == [
        "/v1.0/things",
        "/beta/things?$skiptoken=a%2Fb%20c",
        "/v1.0/things?$skiptoken=2",
    ]


FOREIGN: list[Callable[[str], object]] = [
    lambda own: "https://evil.example/v1.0/things",
    lambda own: f"https://{own}/v1.0/things",
    lambda own: f"http://evil.example\\@{own}/v1.0/things",
    lambda own: f"https://evil.example\\@{own}/v1.0/things",
    lambda own: f"http://evil.example#@{own}/v1.0/things",
    lambda own: f"http://evil.example?@{own}/v1.0/things",
    lambda own: f"http://{own}@evil.example/v1.0/things",
    lambda own: f"http://user:secret@{own}/v1.0/things",
    lambda own: f"http://{own.partition(':')[0]}/v1.0/things",
    lambda own: f"http://{own.partition(':')[0]}:1/v1.0/things",
    lambda own: f"http://{own}.evil.example/v1.0/things",
    lambda own: f"http://localhost:{own.partition(':')[2]}/v1.0/things",
    lambda own: f"ftp://{own}/v1.0/things",
    lambda own: f"//{own}/v1.0/things",
    lambda own: "/v1.0/things?page=2",
    lambda own: "things?page=2",
    lambda own: "http://[broken/things",
    lambda own: "://",
    lambda own: ["http://evil.example"],
    lambda own: 7,
]


@pytest.mark.parametrize("link", FOREIGN, ids=lambda link: str(link("own"))[:60])
def test_a_link_that_is_not_graphs_is_refused_before_a_token_is_fetched(
    client: Client, service: Service, link: Callable[[str], object]
) -> None:
    service.answers = [page(link(service.authority)), Answer(body=b'{"value":[]}')]
    with pytest.raises(Unavailable, match="next link"):
        list(client.graph.list_pages("things", "list"))
    assert (len(client.renewals), len(service.requests)) == (1, 1)


@pytest.mark.parametrize(
    "form", ["http://{own}\\@evil.example/things", "http://@{own}/things", "HTTP://{own}/things"]
)
def test_a_link_to_graph_goes_to_graph_however_it_is_written(
    client: Client, service: Service, form: str
) -> None:
    service.answers = [page(form.format(own=service.authority)), page(None, 1)]
    assert list(client.graph.list_pages("things", "list")) == [[], [1]]
    assert len(service.requests) == 2


def test_a_link_that_repeats_is_refused(client: Client, service: Service) -> None:
    service.answers = [page(f"{service.root}/v1.0/things?page=2")]
    with pytest.raises(Unavailable, match="repeat"):
        list(client.graph.list_pages("things", "list"))
    assert len(service.requests) == 3


def test_links_without_an_end_are_given_up(
    client: Client, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_module, "MAX_PAGES", 3)
    service.answers = [page(f"{service.root}/v1.0/things?page={number}") for number in range(10)]
    with pytest.raises(Unavailable, match="too many pages"):
        list(client.graph.list_pages("things", "list"))
    assert len(service.requests) == 5


@pytest.mark.parametrize("body", [b"{}", b'{"value":null}', b'{"value":{}}'])
def test_a_page_without_a_list_is_no_page(client: Client, service: Service, body: bytes) -> None:
    service.answers = [Answer(body=body)]
    with pytest.raises(Unavailable, match="no list"):
        list(client.graph.list_pages("things", "list"))


def test_the_link_of_an_expanded_property_is_a_next_link_too() -> None:
    assert next_link({"attendanceRecords@odata.nextLink": "a", "value": []}) == "a"
    assert next_link({"@odata.nextLink": "b"}) == "b"
    assert next_link({}) is None


@pytest.mark.parametrize(("limit", "taken"), [(10, False), (11, True)])
def test_a_body_over_the_limit_is_not_read(
    client: Client, service: Service, monkeypatch: pytest.MonkeyPatch, limit: int, taken: bool
) -> None:
    monkeypatch.setattr(graph_module, "MAX_PAGE_BYTES", limit)
    if taken:
        assert client.get() == {"ok": True}
    else:
        with pytest.raises(Unavailable, match="too large"):
            client.get()


def test_a_small_body_that_unpacks_to_a_huge_one_is_not_read(
    client: Client, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_module, "MAX_PAGE_BYTES", 100_000)
    service.answers = [Answer(body=gzip.compress(b" " * 10_000_000), headers={"Content-Encoding": "gzip"})]
    with pytest.raises(Unavailable, match="too large"):
        client.get()


def test_a_budget_that_is_used_up_is_the_callers_to_plan(service: Service) -> None:
    sleeps: list[float] = []
    graph = Graph(service.root, lambda *_: "t", RateLimiter(0.1, lambda: 0.0), sleep=sleeps.append)
    for _ in range(4):
        graph.get("things", "get")
    with pytest.raises(Throttled, match="budget") as caught:
        graph.get("things", "get")
    assert sleeps == [10.0, 20.0, 30.0]
    assert caught.value.retry_after == pytest.approx(40.0)
    assert len(service.requests) == 4


@given(
    per_second=st.floats(0.2, 100),
    gaps=st.lists(st.floats(0, 20), min_size=1, max_size=60),
)
def test_a_budget_is_never_overdrawn(per_second: float, gaps: list[float]) -> None:
    """In no span do more requests start than its share and one second's worth."""
    clock = itertools.accumulate(gaps, initial=0.0)
    now = 0.0

    def tick() -> float:
        nonlocal now
        now = next(clock)
        return now

    rate = RateLimiter(per_second, tick)
    waits = [(now, wait) for wait in (rate.reserve() for _ in gaps)]
    starts = [asked + wait for asked, wait in waits if wait <= MAX_RATE_WAIT]
    for first, last in itertools.combinations(range(len(starts)), 2):
        span = starts[last] - starts[first]
        assert last - first <= span * per_second + max(per_second, 1.0) + 1e-6


def test_a_budget_lets_one_seconds_worth_go_at_once_after_a_rest() -> None:
    times = iter([0.0, *[100.0] * 12])
    rate = RateLimiter(10, lambda: next(times))
    waits = [rate.reserve() for _ in range(12)]
    assert waits[:10] == pytest.approx([0.0] * 10)
    assert waits[10:] == pytest.approx([0.1, 0.2])
