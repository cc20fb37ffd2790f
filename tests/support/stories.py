"""The parts of a random history: Graph's calls, and the turns of the plan."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from hypothesis import strategies as st

from shared import times
from tests.support.app_settings import TENANT
from tests.support.doubles import Call

BEGIN = datetime(2026, 11, 24, 21, 0, tzinfo=UTC)  # three hours before a day ends
REPLAYED_AFTER = (0, 3, 12, 40)  # days
OUTCOMES_ASKED = ("failed", "accessDenied", "noReport", "notFound", "stored", "stored", "pending")


class What(Enum):
    """What a turn of the plan does."""

    SWITCH = 0  # another worker goes on
    DELIVER = 1  # one more worker takes a message, any that is visible
    REPEAT = 2  # one more worker gets a message that another one has
    FAIL = 3  # an operation fails
    CRASH = 4  # an instance dies, between two operations
    DOOM = 5  # whoever handles a message dies, until it is buried
    SWEEP = 6  # the timer
    ASK = 7  # an operator asks for a redrive or a backfill
    WAIT = 8  # time passes
    AGAIN = 9  # a message comes again that was completed
    REPLAY = 10  # Graph announces a call again, days later
    EXPIRE = 11  # a settled record leaves the ledger, and its outcome stays


@dataclass(frozen=True)
class Turn:
    """An event of a history after so many operations; `which` selects its subject."""

    after: int
    what: What
    which: int


@dataclass(frozen=True)
class Drawn:
    """A call: minutes count from its end, for `posts` from its readable record."""

    meeting: int
    ended: int  # minutes after the history begins; of the meeting's first call
    pause: int  # minutes after the meeting's call before
    lasted: int
    kind: str  # meeting, people, ad hoc, external, phantom
    readable: int
    listed: int | None
    posts: tuple[int, ...]
    ready: int | None
    grows: str | None
    terse: bool
    version: int | None = None  # minutes from when on a later version of its record is shown
    before: str = "half"  # how long the call was in the version before: half of it, or some minutes longer
    lacks: tuple[str, ...] = ()  # what the version before did not have
    loses: str | None = (
        None  # when Graph shows less of the report, and whether it counts what it does not show
    )


@dataclass(frozen=True)
class Story:
    """A drawn history; `opens`: minutes until each organizer gets access."""

    calls: tuple[Drawn, ...]
    opens: tuple[int | None, int | None]
    records_open: int
    packed: bool
    turns: tuple[Turn, ...]


def many[T](of: st.SearchStrategy[T], parts: int) -> st.SearchStrategy[tuple[T, ...]]:
    """About five of these in each part, each of which can be left out."""
    return st.tuples(*[st.lists(of, max_size=10)] * parts).map(lambda lists: tuple(itertools.chain(*lists)))


MINUTES = st.sampled_from
CALLS = st.builds(
    Drawn,
    meeting=st.integers(0, 1),
    ended=MINUTES((-10, -100, 40, 185, 178)),  # the fourth one ends after midnight, the last one just before
    pause=MINUTES((200, 5, 40)),
    lasted=MINUTES((30, 5, 200)),
    kind=MINUTES(("meeting", "meeting", "meeting", "meeting", "people", "external", "phantom", "ad hoc")),
    readable=MINUTES((5, 2, 140)),
    listed=MINUTES((0, 20)),
    posts=st.lists(MINUTES((0, -2, 1, 45, 200)), max_size=3).map(tuple),
    ready=MINUTES((0, 10, 7, 10, 90, 1_500, 9_000, None)),
    grows=MINUTES((None, "records", "records", "end", "end")),
    terse=st.booleans(),
    version=MINUTES((None, None, None, 1, 30, 240, 1_500)),
    before=MINUTES(("half", "longer")),
    lacks=MINUTES(((), ("joinWebUrl",), ("type",), ("joinWebUrl", "type"), ("endDateTime",))),
    loses=MINUTES((None, None, None, "link at first", "link later", "count later")),
)
TURNS = st.builds(Turn, st.integers(0, 12), st.sampled_from(What), st.integers(0, 11))
STORIES = st.builds(
    Story,
    calls=st.lists(CALLS, min_size=1, max_size=3).map(tuple),
    opens=st.tuples(*[MINUTES((0, 0, 0, 50, 1_700, 6_000, None))] * 2),
    records_open=MINUTES((0, 0, 0, 0, 0, 300)),
    packed=st.booleans(),
    turns=many(TURNS, 7),
)


def end_of(call: Call) -> datetime:
    return datetime.fromisoformat(call.record["endDateTime"])


def graph_calls(story: Story) -> list[Call]:
    """The calls as Graph knows them; those of one meeting follow each other."""
    calls: list[Call] = []
    begins: dict[int, datetime] = {}
    for number, drawn in enumerate(story.calls):
        begin = begins.get(
            drawn.meeting, BEGIN + timedelta(minutes=drawn.ended - drawn.lasted, milliseconds=250)
        )
        end = begin + timedelta(minutes=drawn.lasted)
        begins[drawn.meeting] = end + timedelta(minutes=drawn.pause)
        calls.append(graph_call(number, drawn, story, begin, end))
    return calls


def graph_call(number: int, drawn: Drawn, story: Story, begin: datetime, end: datetime) -> Call:
    organizer = f"{drawn.meeting:08d}-0000-4000-8000-000000000000"
    tenant = "11111111-1111-4111-8111-111111111111" if drawn.kind == "external" else TENANT
    url = (
        None
        if drawn.kind in ("people", "ad hoc")
        else f"https://teams.microsoft.com/l/meetup-join/{drawn.meeting}/0"
    )
    record: dict[str, Any] = {
        "id": f"call-{number}",
        "version": 2,
        "type": "peerToPeer" if drawn.kind == "people" else "groupCall",
        "joinWebUrl": url,
        "startDateTime": times.text(begin),
        "endDateTime": times.text(end),
        "organizer_v2": {"identity": {"user": {"id": organizer, "tenantId": tenant}}},
        "unlisted": ("joinWebUrl", "organizer_v2") if drawn.terse else (),
    }
    readable = end + timedelta(minutes=drawn.readable)
    opens = story.opens[drawn.meeting]
    earlier = None
    if drawn.version is not None:
        before = begin + (end - begin) / 2 if drawn.before == "half" else end + timedelta(minutes=3)
        shown = record | {"version": 1, "endDateTime": times.text(before)} | dict.fromkeys(drawn.lacks)
        earlier = readable + timedelta(minutes=drawn.version), shown
    return Call(
        record["id"],
        record,
        None if drawn.kind == "phantom" else readable,
        None
        if drawn.kind == "phantom" or drawn.listed is None
        else readable + timedelta(minutes=drawn.listed),
        organizer,
        None
        if opens is None
        else BEGIN + timedelta(minutes=opens)
        if opens
        else datetime.min.replace(tzinfo=UTC),
        tuple(readings(record["id"], drawn, begin, end)) if drawn.kind == "meeting" else (),
        earlier,
    )


def readings(
    call_id: str, drawn: Drawn, begin: datetime, end: datetime
) -> Iterator[tuple[datetime, dict[str, Any]]]:
    """The versions of a call's report in Graph, and when each appears.

    A version that lacks records lasts for hours; one that does not tell that it does, for less than an hour.
    """
    if drawn.ready is None:
        return
    since = end + timedelta(minutes=drawn.ready)
    records = [{"id": f"person {number}"} for number in range(3)]

    def report(ended: datetime, known: int, counted: int | None = None) -> dict[str, Any]:
        return {
            "id": f"report of {call_id}",
            "meetingStartDateTime": times.text(begin),
            "meetingEndDateTime": times.text(ended),
            "totalParticipantCount": known if counted is None else counted,
            "attendanceRecords": records[:known],
        }

    if drawn.grows and drawn.ready <= 10:
        early = min(timedelta(minutes=10), (end - begin) / 2)
        yield since, report(end - early if drawn.grows == "end" else end, 2)
        since += timedelta(minutes=25)
    if drawn.loses == "link at first":
        yield since, report(end, 1, 3)
        since += timedelta(hours=3)
    yield since, report(end, 3)
    if drawn.loses in ("link later", "count later"):
        is_counted = drawn.loses == "link later"
        yield since + timedelta(minutes=20), report(end, 1, 3 if is_counted else 1)
        yield since + timedelta(minutes=380 if is_counted else 60), report(end, 3)


def operators_message(which: int) -> str:
    """What an operator can put on the queue `upkeep`."""
    window = {"from": "2026-11-23", "to": "2026-11-26"}
    if which % 4 == 3:
        return json.dumps({"version": 1, "kind": "backfill", **window})
    chosen = [OUTCOMES_ASKED[which % len(OUTCOMES_ASKED)], OUTCOMES_ASKED[which // 2 % len(OUTCOMES_ASKED)]]
    return json.dumps({"version": 1, "kind": "redrive", "outcomes": chosen, **window})
