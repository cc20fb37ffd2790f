"""The calls on a page of Graph's list that have no outcome, and what is done about them.

What the list itself decides, such as a call between two people, is settled at once; every other one becomes a signal
that carries what the list told, so that the worker need not ask for the call record.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from .. import times
from ..archiving.attempt import decided
from ..errors import Unavailable
from ..graph import meetings
from ..graph.meetings import CallRecord
from ..ledger.outcome import Outcome, Result
from ..ledger.outcomes import Outcomes, Superseded
from ..messages.envelope import OPAQUE_ID
from ..messages.signals import FoundBy, Meeting, Signal, call_record_id, of_call_record, pack
from ..services import Services
from ..settings import Settings

THREADS = 8
MOST_LISTED = 50_000  # outcomes of a day: ten requests, 10 MB
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Listed:
    """A call as the list shows it; `record` is None when its times cannot be read."""

    call_id: str
    record: CallRecord | None
    is_between_people: bool
    start: datetime | None = None

    @property
    def end(self) -> datetime | None:
        """When it ended, if that can be read."""
        return self.record.end if self.record else None

    def settled_as(self, settings: Settings) -> Result | None:
        """What the list itself decides. A meeting whose join URL the list leaves out must be asked for."""
        if self.record is None or not (self.record.is_meeting or self.is_between_people):
            return None
        return decided(self.record, settings)


def listed(item: object) -> Listed | None:
    """An item of the list; None for one without an id."""
    call_id = item.get("id") if isinstance(item, dict) else None
    if not isinstance(item, dict) or not isinstance(call_id, str) or not OPAQUE_ID.match(call_id):
        return None
    is_between_people = item.get("type") == "peerToPeer"
    try:
        record = meetings.parse_call_record(item, "list call records")
    except Unavailable:
        record = None
    with contextlib.suppress(ValueError):
        return Listed(call_id, record, is_between_people, times.parse(item.get("startDateTime")))
    return Listed(call_id, record, is_between_people)


class Known:
    """The outcomes that exist. A day is listed once, when it is first asked for.

    One with more than MOST_LISTED is asked about each: else every slice would list it again and hold it in memory.
    """

    def __init__(self, outcomes: Outcomes, most_listed: int = MOST_LISTED) -> None:
        self._outcomes = outcomes
        self._most_listed = most_listed
        self._days: dict[date, dict[str, str] | None] = {}

    def find(self, calls: Iterable[Listed]) -> list[tuple[str, str] | None]:
        """Each call's outcome: its blob's name, and its result; None where there is none.

        It lies on the day of the end. Before the call record could be read it lies on that of first sight, which
        is the same or the next one.
        """
        calls = list(calls)
        for day in {day for call in calls for day in _days(call)}:
            self._list(day)
        if None not in self._days.values():
            return [self._find(call) for call in calls]
        with ThreadPoolExecutor(THREADS) as threads:
            return list(threads.map(self._find, calls))

    def has(self, signal_id: str, day: date) -> bool:
        """Whether a signal has an outcome on a day."""
        self._list(day)
        return self._result(self._outcomes.name(signal_id, day), day) is not None

    def _find(self, call: Listed) -> tuple[str, str] | None:
        for day in _days(call):
            name = self._outcomes.name(call_record_id(call.call_id), day)
            if result := self._result(name, day):
                return name, result
        return None

    def _result(self, name: str, day: date) -> str | None:
        listed = self._days[day]
        return self._outcomes.result(name) if listed is None else listed.get(name)

    def _list(self, day: date) -> None:
        if day not in self._days:
            first = itertools.islice(self._outcomes.listed(day), self._most_listed + 1)
            found = {each.name: sys.intern(each.result) for each in first}
            self._days[day] = found if len(found) <= self._most_listed else None


def announce(calls: Iterable[Listed], found_by: FoundBy, services: Services) -> None:
    """Settle these calls, or send a signal for each and put down that it is pending."""
    now = times.now()
    signals: list[Signal] = []
    settled: list[Outcome] = []
    for call in calls:
        result = call.settled_as(services.settings)
        record = call.record
        meeting = Meeting(record.start, record.end, record.join_url, record.organizer_id) if record else None
        seen = now if call.end else call.start or now  # so that its outcome is found again where it is filed
        since = None if call.end else now
        signal = of_call_record(call.call_id, seen, found_by=found_by, meeting=meeting, since=since)
        if result is None:
            signals.append(signal)
        else:
            known = meeting or Meeting()
            settled.append(Outcome(signal.id, result, seen, attempt=0, settled=now, meeting=known))
    enqueue(signals, services)
    _write_all(settled, services)


def enqueue(signals: Sequence[Signal], services: Services) -> None:
    """Send these signals, and put down that each is pending.

    The signals go first: a crash in between sends them twice, which is harmless.
    """
    now = times.now()
    for text in pack(signals):
        services.signals.send(text)
    pending = [
        Outcome(
            signal_id=signal.id,
            result=Result.PENDING,
            first_seen=signal.first_seen,
            attempt=0,
            next_attempt=now,
            meeting=signal.meeting or Meeting(),
        )
        for signal in signals
    ]
    _write_all(pending, services)


def _write_all(outcomes: Iterable[Outcome], services: Services) -> None:
    with ThreadPoolExecutor(THREADS) as threads:
        for _ in threads.map(lambda outcome: _write(outcome, services), outcomes):
            pass


def _write(outcome: Outcome, services: Services) -> None:
    services.sealing.note(outcome.day)
    try:
        services.outcomes.write(outcome, None)
    except Superseded:
        return  # the worker was faster


def _days(call: Listed) -> Iterable[date]:
    if call.end:
        return (call.end.date(), call.end.date() + DAY)
    first = (call.start or times.now()).date()
    return (first, first + DAY, first + 2 * DAY, times.now().date())
