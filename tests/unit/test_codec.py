"""The codec: what is written is read again, and only the exact type is read."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import NotOurMessage
from shared.messages import codec
from shared.messages.codec import FLAT

WORD = Annotated[str, re.compile(r"[a-z]{1,8}\Z")]
SECRET = "Frida Kahlo"


class Step(StrEnum):
    READ = "read"
    STORE = "store"


@dataclass(frozen=True)
class Session:
    source: Step
    session_id: WORD


@dataclass(frozen=True)
class Meeting:
    start: datetime | None = None
    join_url: Annotated[str | None, "joinWebUrl"] = None
    session: Annotated[Session | None, FLAT] = None


@dataclass(frozen=True)
class Attempt:
    at: datetime
    step: Step = Step.READ
    status: int | None = None


@dataclass(frozen=True)
class Call:
    kind: ClassVar[str] = "call"
    at: datetime


@dataclass(frozen=True)
class Event:
    kind: ClassVar[str] = "event"
    session: Session


@dataclass(frozen=True)
class Record:
    id: WORD
    day: date
    count: int
    opened: bool = False
    meeting: Meeting = field(default_factory=Meeting)
    flat: Annotated[Meeting, FLAT] = field(default_factory=Meeting)
    next: Attempt | None = None
    attempts: tuple[Attempt, ...] = ()
    steps: frozenset[Step] = frozenset()
    counts: Mapping[str, int] = field(default_factory=dict)
    checked: WORD | None = None
    unset: int | None = 7
    news: Call | Event | None = None
    near: codec.Day | None = None

    def __post_init__(self) -> None:
        if self.count > 10**6:
            raise ValueError("counts too far")


MILLISECONDS = st.datetimes(datetime(2, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)
WORDS = st.from_regex(r"[a-z]{1,8}\Z", fullmatch=True)
SESSIONS = st.builds(Session, st.sampled_from(Step), WORDS)
MEETINGS = st.builds(Meeting, st.none() | MILLISECONDS, st.none() | st.text(), session=st.none() | SESSIONS)
ATTEMPTS = st.builds(Attempt, MILLISECONDS, st.sampled_from(Step), st.none() | st.integers(0, 999))
RECORDS = st.builds(
    Record,
    WORDS,
    st.dates(),
    st.integers(0, 10**6),
    st.booleans(),
    MEETINGS,
    MEETINGS,
    st.none() | ATTEMPTS,
    st.lists(ATTEMPTS, max_size=3).map(tuple),
    st.frozensets(st.sampled_from(Step)),
    st.dictionaries(st.text(), st.integers(0, 9), max_size=2),
    st.none() | WORDS,
    st.none() | st.integers(0, 9),
    st.none() | st.builds(Call, MILLISECONDS) | st.builds(Event, SESSIONS),
    st.none() | st.dates(date(2000, 1, 1), date(2999, 12, 31)),
)
ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | MILLISECONDS.map(str)
    | st.just(SECRET),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
DAY = date(2026, 11, 23)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LEAST = {"id": "a", "day": "2026-11-23", "count": 0}


@given(RECORDS, st.booleans())
def test_what_is_written_is_read_again(record: Record, full: bool) -> None:
    assert codec.loads(Record, codec.dumps(record, full=full)) == record


@given(RECORDS, st.data())
def test_any_value_in_any_field_is_read_or_refused(record: Record, data: st.DataObject) -> None:
    content = json.loads(codec.dumps(record, full=True))
    places = [
        content,
        content["meeting"],
        *content["attempts"],
        *filter(None, [content["next"], content["news"]]),
    ]
    place = data.draw(st.sampled_from(places))
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(ANY)
    problem = ""
    try:
        codec.decode(Record, content)
    except NotOurMessage as refused:
        problem = str(refused)
    assert SECRET not in problem


@given(ANY)
def test_any_json_is_read_or_refused(content: object) -> None:
    with pytest.raises(NotOurMessage):
        codec.decode(Record, content)


def test_what_has_its_default_is_left_out() -> None:
    assert codec.encode(Record("a", DAY, 0)) == LEAST
    assert codec.decode(Record, {**LEAST, "later": SECRET}) == Record("a", DAY, 0)


def test_full_json_has_every_property() -> None:
    meeting = {"start": None, "joinWebUrl": None, "source": None, "sessionId": None}
    assert codec.encode(Record("a", DAY, 0), full=True) == {
        **LEAST,
        "opened": False,
        "meeting": meeting,
        **meeting,
        "next": None,
        "attempts": [],
        "steps": [],
        "counts": {},
        "checked": None,
        "unset": 7,
        "news": None,
        "near": None,
    }


def test_names_and_values_are_those_of_json() -> None:
    record = Record(
        "a",
        DAY,
        0,
        meeting=Meeting(NOON, "https://x", Session(Step.STORE, "s")),
        next=Attempt(NOON, Step.STORE, 403),
        steps=frozenset(Step),
        unset=None,
        news=Call(NOON),
    )
    assert json.loads(codec.dumps(record)) == {
        **LEAST,
        "meeting": {
            "start": "2026-11-23T12:00:00.000Z",
            "joinWebUrl": "https://x",
            "source": "store",
            "sessionId": "s",
        },
        "next": {"at": "2026-11-23T12:00:00.000Z", "step": "store", "status": 403},
        "steps": ["read", "store"],
        "unset": None,
        "news": {"kind": "call", "at": "2026-11-23T12:00:00.000Z"},
    }


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"id": "../x"}, "Record.id is malformed."),
        ({"id": None}, "Record.id is malformed."),
        ({"near": "9999-12-31"}, "Record.near is before 2000 or after 2999."),
        ({"day": SECRET}, "Record.day is not a date."),
        ({"count": True}, "Record.count is not a non-negative whole number."),
        ({"count": -1}, "Record.count is not a non-negative whole number."),
        ({"count": 10**7}, "Record counts too far."),
        ({"opened": 1}, "Record.opened is not true or false."),
        ({"meeting": {"start": ""}}, "Record.meeting.start is not a time."),
        ({"meeting": [SECRET]}, "Record.meeting is not a JSON object."),
        ({"sessionId": "s"}, "Record.source is missing."),
        ({"source": SECRET, "sessionId": "s"}, "Record.source is unknown."),
        ({"next": {}}, "Record.next.at is missing."),
        ({"attempts": {}}, "Record.attempts is not a list."),
        ({"attempts": [{"at": SECRET}]}, "Record.attempts.at is not a time."),
        ({"steps": [SECRET]}, "Record.steps is unknown."),
        ({"counts": {SECRET: "1"}}, "Record.counts is not a non-negative whole number."),
        ({"news": SECRET}, "Record.news is not a JSON object."),
        ({"news": {}}, "Record.news.kind is unknown."),
        ({"news": {"kind": [SECRET]}}, "Record.news.kind is unknown."),
        ({"news": {"kind": "call"}}, "Record.news.at is missing."),
        ({"joinWebUrl": 7}, "Record.joinWebUrl is not a string."),
    ],
)
def test_a_refusal_names_the_field_and_quotes_nothing(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(NotOurMessage) as refused:
        codec.decode(Record, LEAST | changes)
    assert str(refused.value) == problem


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, b"\xff", "1" * 5_000])
def test_what_is_no_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(NotOurMessage, match=r"^Record is not JSON\.$"):
        codec.loads(Record, text)


def test_a_type_without_a_form_in_json_is_an_error_of_the_program() -> None:
    @dataclass(frozen=True)
    class Odd:
        value: float

    with pytest.raises(TypeError, match="float"):
        codec.encode(Odd(1.0))
