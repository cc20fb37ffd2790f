"""Answers beyond every bound: they drip, unpack to gigabytes or say nothing that can be read, and still end well."""

import base64
import gzip
import json
import ssl
import time
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from local.stack.certificates import ensure_certificates
from shared.errors import (
    AccessDenied,
    Conflict,
    NotFound,
    Refused,
    Throttled,
    Unavailable,
)
from shared.graph import client as client_module
from shared.graph.client import MAX_PAGE_BYTES, MAX_PAGE_VALUES, MAX_TRIES, Graph, Skew
from shared.limits import RateLimiter
from shared.subscriptions import handshake
from shared.subscriptions.handshake import check_handshake
from tests.support.raw_http import CHUNKED, DRIPS, Pieces, RawServer, dripping, head, serving, whole

AT_ONCE = 10.0  # seconds; the dripping answers would take for ever


@pytest.fixture(autouse=True)
def _without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


def graph_at(server: RawServer, sleeps: list[float] | None = None) -> Graph:
    slept = [] if sleeps is None else sleeps
    return Graph(
        server.root, lambda *_: "t", RateLimiter(1_000), sleep=slept.append, draw=lambda low, high: high
    )


def answered(*scripts: Pieces) -> dict[str, Any]:
    with serving(*scripts) as server:
        return graph_at(server).get("things", "get things")


@pytest.mark.parametrize("drip", DRIPS.values(), ids=DRIPS)
def test_an_answer_that_drips_ends_at_its_deadline(drip: Pieces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "ANSWER_SECONDS", 0.3)
    began = time.monotonic()
    with pytest.raises(Unavailable, match="takes too long"):
        answered(drip)
    assert time.monotonic() - began < AT_ONCE


UNREADABLE = {
    "drips": dripping(head(10_000, 429, Retry_After="300")),
    "too large": whole(b"x" * (MAX_PAGE_BYTES + 1), 429, Retry_After="300"),
    "no gzip": whole(b"no gzip", 429, Retry_After="300", Content_Encoding="gzip"),
    "stacked": whole(b"", 429, Retry_After="300", Content_Encoding="gzip, gzip"),
    "no text": whole(b"\xff", 429, Retry_After="300"),
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_the_status_of_a_refusal_counts_whatever_its_body_is(
    body: Pieces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.bounded_http.ERROR_SECONDS", 0.2)
    with pytest.raises(Throttled) as caught:
        answered(body)
    assert (caught.value.retry_after, caught.value.status) == (300.0, 429)


GATEWAY = [
    b"{}",
    b'{"message":"upstream"}',
    b'{"error":{}}',
    b'{"Error":{"code":"x"}}',
    b"null",
    b"[1]",
    b'"x"',
    b"",
]


REFUSALS = {400: Refused, 403: AccessDenied, 404: NotFound, 409: Conflict, 501: Unavailable}


@pytest.mark.parametrize("body", GATEWAY)
def test_an_error_from_a_gateway_is_known_by_its_status(body: bytes) -> None:
    with serving(*(whole(body, status) for status in REFUSALS for _ in range(2))) as server:
        graph = graph_at(server)
        for status, kind in REFUSALS.items():
            with pytest.raises(kind) as caught:
                graph.get("a", "get")
            assert (caught.value.status, caught.value.code) == (status, "")
            with pytest.raises(kind):
                graph.post("a", "create", {})


@pytest.mark.parametrize("body", GATEWAY)
def test_a_gateway_that_asks_to_come_back_or_refuses_the_token_is_asked_again(body: bytes) -> None:
    sleeps: list[float] = []
    scripts = whole(body, 503, Retry_After="7"), whole(body, 429, Retry_After="2"), whole(body, 401), whole()
    with serving(*scripts) as server:
        assert graph_at(server, sleeps).get("things", "get") == {"ok": True}
    assert sleeps == [7.0, 2.0]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("9,120", 9.0),
        ("9, 120", 9.0),
        ("9;x", 9.0),
        ("2.5", 3.0),
        ("0.001", 1.0),
        ("9\r\nRetry-After: 120", 9.0),
        (" 9 ", 9.0),
    ],
)
def test_a_retry_after_of_another_form_is_its_first_number_rounded_up(value: str, seconds: float) -> None:
    sleeps: list[float] = []
    with serving(whole(b"", 429, Retry_After=value), whole()) as server:
        graph_at(server, sleeps).get("things", "get")
    assert sleeps == [seconds]


@pytest.mark.parametrize("days", [-3, 0, 3])
def test_a_retry_after_as_a_date_is_by_the_clock_of_the_answer(days: int) -> None:
    now = datetime.now(UTC) + timedelta(days=days)
    until = format_datetime(now + timedelta(seconds=8), usegmt=True)
    sleeps: list[float] = []
    refusal = whole(b"", 429, Retry_After=until, Date=format_datetime(now, usegmt=True))
    with serving(refusal, whole()) as server:
        graph_at(server, sleeps).get("things", "get")
    assert sleeps == [8.0]


def test_only_plain_gzip_is_asked_for_and_unpacked() -> None:
    packed = gzip.compress(b'{"a":1}')
    with serving(whole(packed, Content_Encoding="gzip")) as server:
        assert graph_at(server).get("things", "get") == {"a": 1}
    (asked,) = [line for line in server.heads[0].splitlines() if line.lower().startswith(b"accept-encoding")]
    assert asked.partition(b":")[2].strip() == b"gzip"


@pytest.mark.parametrize(
    "encoding", ["gzip, gzip", "gzip,gzip", "deflate, gzip", "gzip, identity", "br", "zstd", "deflate", "x"]
)
def test_an_answer_that_is_packed_in_another_way_is_refused(encoding: str) -> None:
    packed = gzip.compress(gzip.compress(b'{"a":1}')) if "," in encoding else zlib.compress(b'{"a":1}')
    with serving(whole(packed, Content_Encoding=encoding)) as server:
        with pytest.raises(Unavailable, match="not requested"):
            graph_at(server).get("things", "get")
        assert len(server.heads) == 1


def test_a_page_that_is_too_large_is_asked_for_once_more_in_small_pages() -> None:
    large = whole(b'{"a":"' + b"x" * MAX_PAGE_BYTES + b'"}')
    with serving(large, whole()) as server:
        assert graph_at(server).get("things", "get") == {"ok": True}
    assert [b"odata.maxpagesize=20" in each for each in server.heads] == [False, True]
    with serving(large) as server:
        with pytest.raises(Unavailable, match="too large"):
            graph_at(server).get("things", "get")
        assert len(server.heads) == 2


@pytest.mark.parametrize("piece", [b"[],", b"{},", b'"",', b"-0,"])
def test_a_page_of_too_many_values_is_not_parsed(piece: bytes) -> None:
    body = b'{"value":[' + piece * (MAX_PAGE_VALUES + 1) + b"0]}"
    with pytest.raises(Unavailable, match="too many values"):
        answered(whole(body))


def test_a_connection_is_used_again_however_an_answer_was_sent() -> None:
    chunked = CHUNKED + b"b\r\n" + b'{"ok":true}' + b"\r\n0\r\n\r\n"
    packed = whole(gzip.compress(b'{"ok":true}'), Content_Encoding="gzip")
    with serving(whole(), lambda: [chunked], packed, whole(b"{}", 404), whole(b"", 204), whole()) as server:
        graph = graph_at(server)
        for _ in range(3):
            assert graph.get("things", "get") == {"ok": True}
        with pytest.raises(NotFound):
            graph.get("things", "get")
        assert graph.patch("things", "change", {}) == {}
        assert graph.get("things", "get") == {"ok": True}
        assert server.connections == 1


def test_the_bounds_are_those_of_tls_connections_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificates = ensure_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.roots))
    packed = whole(gzip.compress(b'{"ok":true}'), Content_Encoding="gzip")
    for drip in (DRIPS["head"], DRIPS["chunks"]):
        with serving(packed, whole(), drip, tls=context) as server:
            graph = graph_at(server)
            for _ in range(2):
                assert graph.get("things", "get things") == {"ok": True}
            assert server.connections == 1
            monkeypatch.setattr(client_module, "ANSWER_SECONDS", 0.3)
            with pytest.raises(Unavailable, match="takes too long"):
                graph.get("things", "get things")
            monkeypatch.setattr(client_module, "ANSWER_SECONDS", 30)


def test_a_deadline_of_one_answer_is_not_that_of_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "ANSWER_SECONDS", 0.3)
    with serving(DRIPS["body"], whole()) as server:
        graph = graph_at(server)
        with pytest.raises(Unavailable):
            graph.get("things", "get")
        monkeypatch.setattr(client_module, "ANSWER_SECONDS", 30)
        assert graph.get("things", "get") == {"ok": True}


CHALLENGE = (
    'Bearer realm="", authorization_uri="https://login.example/common/oauth2/authorize", '
    'error="insufficient_claims", claims="{}"'
)


@pytest.mark.parametrize("padding", ["", "=="])
def test_the_claims_of_a_challenge_go_along_to_the_next_token(padding: str) -> None:
    asked: list[tuple[bool, str | None]] = []
    claims = '{"access_token":{"nbf":{"essential":true,"value":"1700000000"}}}'
    encoded = base64.b64encode(claims.encode()).decode().rstrip("=") + padding

    def token(renew: bool, wanted: str | None) -> str:
        asked.append((renew, wanted))
        return "t"

    with serving(whole(b"{}", 401, WWW_Authenticate=CHALLENGE.format(encoded)), whole()) as server:
        assert Graph(server.root, token, RateLimiter(1_000)).get("things", "get") == {"ok": True}
    assert asked == [(False, None), (True, claims)]


@pytest.mark.parametrize(
    "challenge", ["", "Bearer", 'claims=""', 'claims="\x7f"', 'claims="a"', 'claims="/w"', "claims"]
)
def test_a_challenge_without_readable_claims_renews_the_token_alone(challenge: str) -> None:
    asked: list[tuple[bool, str | None]] = []

    def token(renew: bool, wanted: str | None) -> str:
        asked.append((renew, wanted))
        return "t"

    with serving(whole(b"{}", 401, WWW_Authenticate=challenge), whole()) as server:
        assert Graph(server.root, token, RateLimiter(1_000)).get("things", "get") == {"ok": True}
    assert asked == [(False, None), (True, None)]


DAY = 86_400


@pytest.mark.parametrize(
    ("skews", "ahead"),
    [
        ((3 * DAY,), 0),
        ((3 * DAY, 3 * DAY, 3 * DAY), 0),
        ((-3 * DAY, -3 * DAY), 0),
        ((1_800,), 0),
        ((0, 1_800), 0),
        ((1_800, 1_800), 1_800),
        ((-1_800, -1_800), -1_800),
        ((1_800, 1_800, 3 * DAY), 1_800),
        ((1_800, 1_800, 0), 1_800),
        ((1_800, 1_800, 0, 0), 0),
        ((1, 1), 0),
    ],
)
def test_graphs_clock_is_believed_where_its_answers_agree_and_it_is_near_ours(
    skews: tuple[float, ...], ahead: float
) -> None:
    skew, now = Skew(), datetime.now(UTC).replace(microsecond=0)
    for each in skews:
        skew.note(format_datetime(now + timedelta(seconds=each), usegmt=True), now)
    assert skew.value == timedelta(seconds=ahead)


def test_the_time_by_graphs_clock_follows_its_answers() -> None:
    def ahead() -> list[bytes]:
        return list(whole(Date=format_datetime(datetime.now(UTC) + timedelta(seconds=1_800), usegmt=True))())

    with serving(ahead) as server:
        graph = graph_at(server)
        for minutes in (0, 30):
            assert (graph.now() - datetime.now(UTC)).total_seconds() / 60 == pytest.approx(minutes, abs=2)
            graph.get("things", "get")
            graph.get("things", "get")


@pytest.mark.parametrize("date", ["", "soon", "Wed, 99 Foo", "1", "Fri, 31 Dec 9999 23:59:59 -2300", "\x00"])
def test_a_date_that_is_none_changes_no_clock(date: str) -> None:
    with serving(whole(Date=date)) as server:
        graph = graph_at(server)
        for _ in range(3):
            graph.get("things", "get")
        assert abs((graph.now() - datetime.now(UTC)).total_seconds()) < 60


def test_an_error_body_over_its_limit_costs_no_more_than_its_code() -> None:
    body = json.dumps({"error": {"code": "Busy", "message": "x" * 100_000}}).encode()
    with serving(whole(body, 503)) as server, pytest.raises(Unavailable) as caught:
        graph_at(server).get("things", "get")
    assert (caught.value.status, caught.value.code, len(server.heads)) == (503, "", MAX_TRIES)


@pytest.mark.usefixtures("netrc")
def test_no_password_of_this_machine_replaces_the_token() -> None:
    with serving(whole()) as server:
        graph_at(server).get("things", "get things")
    assert b"authorization: bearer t\r\n" in server.heads[0].lower()
    assert b"basic" not in server.heads[0].lower()


@pytest.mark.usefixtures("netrc")
def test_no_password_of_this_machine_goes_to_the_webhook() -> None:
    with serving(whole()) as server:
        check_handshake(server.root)
    assert b"authorization" not in server.heads[0].lower()


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        *((drip, "did not answer with the token: the answer takes too long") for drip in DRIPS.values()),
        (lambda: [head(100)], "did not answer with the token: the answer takes too long"),
        (
            whole(b"no gzip", Content_Encoding="gzip"),
            "did not answer with the token: no whole answer (DecodeError)",
        ),
        (
            lambda: [CHUNKED + b"no size\r\n"],
            "did not answer with the token: no whole answer (ProtocolError)",
        ),
        (
            whole(b"", Content_Encoding="br"),
            "did not answer with the token: the answer has an encoding that was not requested",
        ),
        (whole(b"x" * 100_000), "did not answer with the token: the answer is too large"),
        (whole(b"token", Content_Type="text/plain"), "did not answer with the token alone"),
        (whole(b"no gzip", 503, Content_Encoding="gzip"), "answered 503 instead of 200"),
        (lambda: [head(100, 403)], "answered 403, as an access restriction does"),
    ],
)
def test_a_broken_answer_of_the_apps_own_address_is_described(
    answer: Pieces, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshake, "TIMEOUT", 0.3)
    monkeypatch.setattr(handshake, "TRIES", 1)
    with serving(answer) as server:
        assert check_handshake(server.root) == f"{server.root}/notifications {problem}"
