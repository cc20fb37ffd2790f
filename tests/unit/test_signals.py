"""Messages of signals: read as written, packed without loss, or refused."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import NotOurMessage
from shared.messages import envelope
from shared.messages.envelope import MAX_MESSAGE_BYTES, OPAQUE_ID, parse_trace_parent
from shared.messages.signals import (
    EVENT_ID,
    VERSION,
    Door,
    EventKind,
    EventSession,
    Meeting,
    Message,
    News,
    Nudge,
    Origin,
    SignalKind,
    call_event_news,
    call_event_signal_id,
    call_record_news,
    call_record_signal_id,
    kind_of,
    pack_messages,
    report_news,
    report_signal_id,
    serialize_message,
    subject_of,
    unpack_messages,
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
    version=st.integers(0, 2**40),
    origin=st.sampled_from(Origin),
)
CALLS = st.from_regex(OPAQUE_ID, fullmatch=True).map(call_record_signal_id)
REPORTS = st.from_regex(OPAQUE_ID, fullmatch=True).map(report_signal_id)
ENDS = st.builds(call_event_signal_id, st.text(), MILLISECONDS)
TRACES = st.none() | st.just(TRACE)


def news_of(ids: st.SearchStrategy[str], meetings: st.SearchStrategy[Meeting]) -> st.SearchStrategy[News]:
    return st.builds(
        News,
        ids,
        MILLISECONDS,
        st.sampled_from(Door),
        st.none() | st.from_regex(OPAQUE_ID, fullmatch=True),
        meetings,
        TRACES,
    )


NUDGES = st.builds(Nudge, CALLS | REPORTS | ENDS, st.integers(0, 2**40), TRACES)
MESSAGES: st.SearchStrategy[Message] = (
    news_of(CALLS, MEETINGS)
    | news_of(REPORTS, MEETINGS.filter(lambda known: known.event is not None))
    | news_of(ENDS, MEETINGS.filter(lambda known: known.join_url is not None))
    | NUDGES
)
NEWS: dict[str, Any] = {
    "version": 2,
    "kind": "news",
    "signalId": "cr-a",
    "firstSeen": "2026-11-23T10:12:00Z",
}
NUDGE: dict[str, Any] = {"version": 2, "kind": "nudge", "signalId": "cr-a", "attempt": 1}


def read(text: str) -> Sequence[Message]:
    """What a message holds."""
    return unpack_messages(envelope.loads(text, VERSION))


def text(valid: dict[str, Any] = NEWS, **changes: object) -> str:
    return json.dumps(valid | changes)


@given(MESSAGES)
def test_a_message_says_the_same_when_it_is_read(each: Message) -> None:
    assert read(serialize_message(each)) == (each,)


@given(st.lists(MESSAGES, max_size=20))
def test_a_pack_loses_nothing_and_keeps_the_order(several: list[Message]) -> None:
    assert [each for text in pack_messages(several) for each in read(text)] == several


@given(count=st.integers(0, 900), length=st.integers(5, 128))
def test_packs_stay_under_the_limit_and_are_as_few_as_fit(count: int, length: int) -> None:
    news = [call_record_news(f"{number:0{length}d}", SEEN, traceparent=TRACE) for number in range(count)]
    packs = pack_messages(news)
    assert [each for text in packs for each in read(text)] == news
    assert all(len(each.encode()) <= MAX_MESSAGE_BYTES for each in packs)
    one = len(serialize_message(call_record_news("x" * length, SEEN, traceparent=TRACE)))
    assert all(len(each.encode()) + one > MAX_MESSAGE_BYTES for each in packs[:-1])


def test_one_message_goes_unpacked_and_none_needs_no_message() -> None:
    assert pack_messages([Nudge("cr-a", 1)]) == [serialize_message(Nudge("cr-a", 1))]
    assert pack_messages([]) == []


def test_a_message_names_its_version_and_kind_and_no_more_than_is_known() -> None:
    assert json.loads(serialize_message(call_record_news("a", SEEN))) == {
        "version": 2,
        "kind": "news",
        "signalId": "cr-a",
        "firstSeen": "2026-11-23T10:12:00.000Z",
    }
    assert json.loads(serialize_message(Nudge("cr-a", 3, TRACE))) == NUDGE | {
        "attempt": 3,
        "traceparent": TRACE,
    }


@given(NUDGES)
def test_a_nudge_holds_nothing_of_a_meeting_or_a_person(nudge: Nudge) -> None:
    assert set(json.loads(serialize_message(nudge))) <= {
        "version",
        "kind",
        "signalId",
        "attempt",
        "traceparent",
    }


SESSION = EventSession(EventKind.WEBINAR, "e@t", "s")


def test_each_kind_has_a_prefix_and_news_of_what_graph_cannot_be_asked_for_carries_it() -> None:
    report = report_news("r", SESSION, SEEN)
    ended = call_event_news("https://teams.microsoft.com/meet/1", SEEN, SEEN, "o")
    assert (report.signal_id, report.meeting.event) == ("ve-r", SESSION)
    assert (kind_of(report.signal_id), subject_of(report.signal_id)) == (SignalKind.REPORT_READY, "r")
    assert (ended.signal_id[:3], len(ended.signal_id)) == ("ce-", 67)
    assert kind_of(ended.signal_id) is SignalKind.CALL_EVENT
    assert (ended.meeting.join_url, ended.meeting.end) == ("https://teams.microsoft.com/meet/1", SEEN)
    assert (kind_of("cr-a"), kind_of("msg-0")) == (SignalKind.CALL_RECORD, None)


def test_an_id_in_guid_form_is_one_signal_in_either_case() -> None:
    guid = "e523d2ed-2966-4b6b-925b-754a88034cc5"
    assert call_record_signal_id(guid.upper()) == call_record_signal_id(guid) == f"cr-{guid}"
    assert report_signal_id(guid.upper()) == report_signal_id(guid)
    assert call_record_signal_id("AbC") != call_record_signal_id("abc")


def test_the_same_end_of_the_same_meeting_has_one_id() -> None:
    assert call_event_signal_id("https://a", SEEN) == call_event_signal_id("https://a", SEEN.astimezone())
    assert call_event_signal_id("https://a", SEEN) != call_event_signal_id("https://b", SEEN)


@pytest.mark.parametrize(
    "changes",
    [
        {"signalId": "ve-r"},
        {"signalId": "ve-r", "source": "webinar", "eventId": "e"},
        {"signalId": "ve-r", "source": "party", "eventId": "e", "sessionId": "s"},
        {"signalId": "ve-../r", "source": "webinar", "eventId": "e", "sessionId": "s"},
        {"signalId": "ve-r", "source": "webinar", "eventId": "e/x", "sessionId": "s"},
        {"signalId": "ve-r", "source": "webinar", "eventId": "..", "sessionId": "s"},
        {"signalId": "ce-" + "0" * 64},
        {"signalId": "ce-" + "0" * 63, "joinWebUrl": "https://a"},
        {"signalId": "xx-1", "joinWebUrl": "https://a"},
    ],
    ids=str,
)
def test_news_without_what_its_kind_needs_is_not_ours(changes: dict[str, Any]) -> None:
    with pytest.raises(NotOurMessage):
        read(text(**changes))


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
        text(version=1),
        text(version=3),
        text(version="2"),
        text(version=None),
        text(kind="callRecord"),
        text(kind="meeting"),
        text(kind=None),
        text(kind=["news"]),
        text(kind="pack"),
        text(kind="pack", messages=[]),
        text(kind="pack", messages={"0": NEWS}),
        text(kind="pack", messages=[NEWS, "text"]),
        text(kind="pack", messages=[NEWS, NEWS | {"kind": "pack", "messages": [NEWS]}]),
        text(kind="pack", messages=[NEWS, NEWS | {"signalId": "cr-../x"}]),
        *(
            text(valid, signalId=bad)
            for valid in (NEWS, NUDGE)
            for bad in (
                *("", "..", "cr-", "cr-..", "cr-a/b", "cr-%2e", "cr-.hidden", "cr-a\n", "cr-" + "a" * 129),
                *("a", "msg-0", "ce-1", None, 7, ["cr-a"]),
            )
        ),
        *(
            text(firstSeen=bad)
            for bad in ("", "yesterday", None, 7, "0001-01-01T00:00:00Z", "2026-13-01", "2999-12-31")
        ),
        *(text(NUDGE, attempt=bad) for bad in (-1, 1.5, "1", None, True)),
        text(door="window"),
        text(door=None),
        *(text(subscriptionId=bad) for bad in ("", "..", "a/b", 7, ["a"])),
        text(joinWebUrl=7),
        text(organizerId={}),
        text(end="late"),
        text(recordVersion=-1),
        text(recordVersion=True),
        text(toldBy="chance"),
    ],
    ids=lambda content: content[:90],
)
def test_a_message_of_another_version_kind_or_shape_is_not_ours(content: str) -> None:
    with pytest.raises(NotOurMessage):
        read(content)


@pytest.mark.parametrize(
    "missing", [(NEWS, "signalId"), (NEWS, "firstSeen"), (NUDGE, "signalId"), (NUDGE, "attempt")], ids=str
)
def test_a_message_that_lacks_a_field_is_not_ours(missing: tuple[dict[str, Any], str]) -> None:
    valid, name = missing
    with pytest.raises(NotOurMessage, match=name):
        read(json.dumps({key: value for key, value in valid.items() if key != name}))


def test_a_time_beyond_the_calendar_in_utc_is_no_time() -> None:
    with pytest.raises(NotOurMessage):
        read(text(firstSeen="9999-12-31T23:59:59-01:00"))


def test_a_traceparent_that_is_none_is_left_behind() -> None:
    assert parse_trace_parent(TRACE) == TRACE
    for bad in ("", "00-xyz", TRACE.upper(), TRACE + "\n", None, 7):
        assert parse_trace_parent(bad) is None
    assert read(text(traceparent="bad"))[0].traceparent is None


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_text_is_a_message_or_not_ours(content: str) -> None:
    with pytest.raises(NotOurMessage):
        read(content)


@given(
    valid=st.sampled_from([NEWS, NUDGE]),
    name=st.sampled_from(
        [
            *(*NEWS, "attempt", "traceparent", "door", "subscriptionId", "start", "end", "joinWebUrl"),
            *("organizerId", "meetingId", "source", "eventId", "sessionId", "recordVersion", "toldBy"),
        ]
    ),
    value=st.text() | st.floats(),
)
def test_any_value_of_any_field_is_read_or_not_ours(valid: dict[str, Any], name: str, value: object) -> None:
    try:
        assert read(text(valid, **{name: value}))
    except NotOurMessage:
        return


@given(MEETINGS, MEETINGS)
def test_merged_facts_are_those_of_the_later_version_then_of_the_more_reliable_origin(
    old: Meeting, new: Meeting
) -> None:
    merged, origins = old.merge(new), list(Origin)

    def weight(of: Meeting) -> tuple[int, int]:
        return of.version, origins.index(of.origin)

    first, second = (old, new) if weight(old) > weight(new) else (new, old)
    for name in ("start", "end", "join_url", "organizer_id", "meeting_id", "event"):
        kept = getattr(first, name)
        assert getattr(merged, name) == (getattr(second, name) if kept is None else kept)
    assert weight(merged) == max(weight(old), weight(new))
    assert merged.merge(new) == merged
