"""Signals: a message says the same when it is read again, packs lose nothing, and foreign messages are refused."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import NotOurMessage
from shared.messages.envelope import MAX_MESSAGE_BYTES, OPAQUE_ID, trace_parent
from shared.messages.signals import (
    EVENT_ID,
    EventKind,
    EventSession,
    FoundBy,
    Kind,
    Meeting,
    Signal,
    call_event_id,
    call_record_id,
    message,
    of_call_event,
    of_report,
    pack,
    report_ready_id,
    unpack,
)

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SEEN = datetime(2026, 11, 23, 10, 12, tzinfo=UTC)

MILLISECONDS = st.integers(0, 8 * 10**11).map(
    lambda number: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(milliseconds=number)
)
TEXT = st.none() | st.text()
EVENT_IDS = st.from_regex(EVENT_ID, fullmatch=True)
SESSIONS = st.builds(EventSession, st.sampled_from(EventKind), EVENT_IDS, EVENT_IDS)
MEETINGS = st.builds(
    Meeting,
    start=st.none() | MILLISECONDS,
    end=st.none() | MILLISECONDS,
    join_url=TEXT,
    organizer_id=TEXT,
    meeting_id=TEXT,
    event=st.none() | SESSIONS,
)
CALLS = st.from_regex(OPAQUE_ID, fullmatch=True).map(call_record_id)
REPORTS = st.from_regex(OPAQUE_ID, fullmatch=True).map(report_ready_id)
ENDS = st.builds(call_event_id, st.text(), MILLISECONDS)


def signals_of(ids: st.SearchStrategy[str], meetings: st.SearchStrategy[Meeting | None]) -> Any:
    return st.builds(Signal, ids, meeting=meetings, **FIELDS)


FIELDS: dict[str, Any] = {
    "first_seen": MILLISECONDS,
    "attempt": st.integers(0, 2**40),
    "ticket": st.none() | st.text(),
    "denied": st.booleans(),
    "filed": st.none() | st.dates(date(2000, 1, 1), date(2999, 12, 31)),
    "traceparent": st.none() | st.just(TRACE),
    "found_by": st.sampled_from(FoundBy),
    "since": st.none() | MILLISECONDS,
    "base": st.integers(0, 2**40),
    "confirms": st.booleans(),
}
SIGNALS = (
    signals_of(CALLS, st.none() | MEETINGS.filter(lambda known: known != Meeting()))
    | signals_of(REPORTS, MEETINGS.filter(lambda known: known.event is not None))
    | signals_of(ENDS, MEETINGS.filter(lambda known: known.join_url is not None))
)
VALID: dict[str, Any] = {
    "version": 1,
    "kind": "callRecord",
    "callId": "a",
    "firstSeen": "2026-11-23T10:12:00Z",
}


def text(**changes: object) -> str:
    return json.dumps(VALID | changes)


@given(SIGNALS)
def test_a_signal_survives_its_message(signal: Signal) -> None:
    assert unpack(message(signal)) == (signal,)


@given(st.lists(SIGNALS, max_size=20))
def test_a_pack_loses_nothing_and_keeps_the_order(signals: list[Signal]) -> None:
    assert [signal for each in pack(signals) for signal in unpack(each)] == signals


@given(count=st.integers(0, 900), length=st.integers(5, 128))
def test_packs_stay_under_the_limit_and_are_as_few_as_fit(count: int, length: int) -> None:
    signals = [Signal(f"cr-{number:0{length}d}", SEEN, traceparent=TRACE) for number in range(count)]
    packs = pack(signals)
    assert [signal for each in packs for signal in unpack(each)] == signals
    assert all(len(each.encode()) <= MAX_MESSAGE_BYTES for each in packs)
    one = len(message(Signal("cr-" + "x" * length, SEEN, traceparent=TRACE)))
    assert all(len(each.encode()) + one > MAX_MESSAGE_BYTES for each in packs[:-1])


def test_one_signal_goes_unpacked_and_none_needs_no_message() -> None:
    signal = Signal("cr-a", SEEN)
    assert pack([signal]) == [message(signal)]
    assert pack([]) == []


def test_a_message_names_its_version_and_kind_and_no_more_than_is_known() -> None:
    assert json.loads(message(Signal("cr-a", SEEN))) == {
        "version": 1,
        "kind": "callRecord",
        "callId": "a",
        "firstSeen": "2026-11-23T10:12:00.000Z",
        "attempt": 0,
    }


SESSION = EventSession(EventKind.WEBINAR, "e@t", "s")


def test_each_kind_has_a_prefix_and_what_graph_cannot_be_asked_for_goes_on() -> None:
    report = of_report("r", SESSION, SEEN)
    ended = of_call_event("https://teams.microsoft.com/meet/1", SEEN, SEEN, "o")
    assert (report.id, report.kind, report.subject) == ("ve-r", Kind.REPORT_READY, "r")
    assert (ended.id[:3], ended.kind, len(ended.id)) == ("ce-", Kind.CALL_EVENT, 67)
    for signal in (report, ended):
        following = signal.following("t", date(2026, 11, 23), denied=False, confirms=False)
        assert following.meeting == signal.meeting
        assert unpack(message(following)) == (following,)


def test_the_same_end_of_the_same_meeting_has_one_id() -> None:
    assert call_event_id("https://a", SEEN) == call_event_id("https://a", SEEN.astimezone())
    assert call_event_id("https://a", SEEN) != call_event_id("https://b", SEEN)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "reportReady"},
        {"kind": "reportReady", "reportId": "r"},
        {"kind": "reportReady", "reportId": "r", "source": "webinar", "eventId": "e"},
        {"kind": "reportReady", "reportId": "r", "source": "party", "eventId": "e", "sessionId": "s"},
        {"kind": "reportReady", "reportId": "../r", "source": "webinar", "eventId": "e", "sessionId": "s"},
        {"kind": "reportReady", "reportId": "r", "source": "webinar", "eventId": "e/x", "sessionId": "s"},
        {"kind": "reportReady", "reportId": "r", "source": "webinar", "eventId": "..", "sessionId": "s"},
        {"kind": "callEvent"},
        {"kind": "callEvent", "signalId": "ce-" + "0" * 64},
        {"kind": "callEvent", "signalId": "cr-1", "joinWebUrl": "https://a"},
        {"kind": "callEvent", "signalId": "ce-" + "0" * 63, "joinWebUrl": "https://a"},
    ],
    ids=str,
)
def test_a_kind_without_what_it_needs_is_not_ours(changes: dict[str, object]) -> None:
    with pytest.raises(NotOurMessage):
        unpack(text(**changes))


def test_the_next_attempt_carries_its_ticket_and_where_the_outcome_was_filed() -> None:
    following = Signal("cr-a", SEEN, attempt=2, ticket="old", traceparent=TRACE).following(
        "new", date(2026, 11, 23), denied=True, confirms=False
    )
    assert following == Signal(
        "cr-a", SEEN, 3, "new", denied=True, filed=date(2026, 11, 23), traceparent=TRACE
    )


@pytest.mark.parametrize(
    "content",
    [
        "",
        "no json",
        "[]",
        "null",
        '"text"',
        "[" * 100_000,
        "{}",
        text(version=2),
        text(version="1"),
        text(version=None),
        text(kind="meeting"),
        text(kind=None),
        text(kind=["callRecord"]),
        text(kind="pack"),
        text(kind="pack", signals=[]),
        text(kind="pack", signals={"0": VALID}),
        text(kind="pack", signals=[VALID, "text"]),
        text(kind="pack", signals=[VALID, VALID | {"kind": "pack", "signals": [VALID]}]),
        text(kind="pack", signals=[VALID, VALID | {"callId": "../x"}]),
        *(text(callId=bad) for bad in ("", "..", "a/b", "%2e", ".hidden", "a\n", "a" * 129, None, 7, ["a"])),
        *(
            text(firstSeen=bad)
            for bad in ("", "yesterday", None, 7, "0001-01-01T00:00:00Z", "2026-13-01", "2999-12-31")
        ),
        text(attempt=-1),
        text(attempt=1.5),
        text(attempt="1"),
        text(attempt=None),
        text(ticket=7),
        text(ticket=["a"]),
        *(text(filed=bad) for bad in ("", "today", 7, "2026-02-30")),
        text(foundBy="chance"),
        text(foundBy=None),
        text(joinWebUrl=7),
        text(organizerId={}),
        text(end="late"),
        text(since=[]),
        text(base=-1),
        text(base=True),
    ],
    ids=lambda content: content[:60],
)
def test_a_message_of_another_version_kind_or_shape_is_not_ours(content: str) -> None:
    with pytest.raises(NotOurMessage):
        unpack(content)


def test_a_time_beyond_the_calendar_in_utc_is_no_time() -> None:
    with pytest.raises(NotOurMessage):
        unpack(text(firstSeen="9999-12-31T23:59:59-01:00"))


def test_a_message_without_an_attempt_is_the_first() -> None:
    assert unpack(text()) == (Signal("cr-a", SEEN),)


def test_a_traceparent_that_is_none_is_left_behind() -> None:
    assert trace_parent(TRACE) == TRACE
    for bad in ("", "00-xyz", TRACE.upper(), TRACE + "\n", None, 7):
        assert trace_parent(bad) is None
    assert unpack(text(traceparent="bad"))[0].traceparent is None


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_text_is_a_message_or_not_ours(content: str) -> None:
    with pytest.raises(NotOurMessage):
        unpack(content)


@given(
    name=st.sampled_from(
        [
            *(*VALID, "attempt", "ticket", "filed", "denied", "traceparent", "foundBy", "start", "end"),
            *("joinWebUrl", "organizerId", "meetingId", "since", "base"),
        ]
    ),
    value=st.text() | st.floats(),
)
def test_any_value_of_any_field_is_read_or_not_ours(name: str, value: object) -> None:
    try:
        assert unpack(text(**{name: value}))
    except NotOurMessage:
        return
