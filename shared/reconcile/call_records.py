"""Compare the list of call records with the outcomes, and queue the differences.

A call that the list alone decides, such as one between two people, is settled at once. Every other call gets a record
with the facts from the list, so that the worker need not read its call record, and a nudge. A call that has a record
but no outcome in the day of its end adds that day to the record. So every listed call has an outcome in the folder of
its day.

Graph revises call records without any news of it. A signal is reopened if the list shows a meeting where its outcome
says that there was none of ours, or if the call ended on another day. The metadata of the published outcomes are enough
to tell; no outcome that agrees is read.

Source: https://learn.microsoft.com/graph/api/callrecords-cloudcommunications-list-callrecords
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from .. import logs, times
from ..archiving import redrive
from ..archiving.sources import decide_by_organizer, facts_of
from ..errors import NotFound, Refused, Unavailable
from ..graph import meetings
from ..graph.client import checked_link, next_link, page_items, segment
from ..graph.meetings import CallRecord
from ..ledger import merge
from ..ledger.journal import Journal, or_skip
from ..ledger.publish import Outcomes, OutcomeSummary
from ..ledger.record import BY_CALL_RECORD, AttemptSeries, Cause, NextAttempt, Record, Result, new_commit
from ..ledger.store import Ledger
from ..limits import SlidingWindow
from ..messages.envelope import OPAQUE_ID
from ..messages.signals import Meeting, Origin, call_record_signal_id
from ..settings import Settings
from ..storage.blobs import run_in_parallel
from ..storage.scans import CallCursor, Scan
from . import windows
from .slices import Slice

MOST_LISTED = 50_000  # outcomes per day: ten requests, 10 MB
MOST_PAGES = 100_000  # of a day
MAX_RESTARTS = 3  # of a day whose pages cannot all be read
LISTING_RATE = 36, 20.0  # requests, seconds; Graph allows 40
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
_LISTING = SlidingWindow(*LISTING_RATE)


class Outcome(NamedTuple):
    """An outcome, from its metadata; `is_last`: no further attempt is planned."""

    result: str
    version: int
    is_last: bool
    is_unconfirmed: bool


@dataclass(frozen=True)
class ListedCall:
    """A call as listed by Graph; `record` is None if its times cannot be parsed."""

    call_id: str
    record: CallRecord | None

    @property
    def signal_id(self) -> str:
        """The id of its signal."""
        return call_record_signal_id(self.call_id)

    @property
    def end(self) -> datetime | None:
        """The end of the call, or None if it cannot be parsed."""
        return self.record.end if self.record else None

    @property
    def meeting(self) -> Meeting:
        """The facts of the meeting that the list contains."""
        return facts_of(self.record, Origin.LIST) if self.record else Meeting(origin=Origin.LIST)

    @property
    def is_meeting(self) -> bool:
        """Whether the list shows that this was a meeting."""
        return self.record is not None and self.record.is_meeting

    def decide(self, settings: Settings) -> Result | None:
        """Return the result if the list alone decides it, or None.

        A meeting whose join URL is missing from the list needs its call record.
        """
        if self.record is None:
            return None
        if self.record.is_between_people:
            return Result.NOT_A_MEETING
        return decide_by_organizer(self.meeting, settings) if self.is_meeting else None

    def denies(self, outcome: Outcome, settings: Settings) -> bool:
        """Whether the list shows a meeting that an older or uncertain outcome excludes."""
        if (
            outcome.result not in BY_CALL_RECORD
            or not self.is_meeting
            or self.decide(settings) == outcome.result
        ):
            return False
        return self.meeting.version > outcome.version or not outcome.is_last


def parse_listed(item: object) -> ListedCall | None:
    """Parse an item of the list; None for one without an id."""
    call_id = item.get("id") if isinstance(item, dict) else None
    if not isinstance(item, dict) or not isinstance(call_id, str) or not OPAQUE_ID.match(call_id):
        return None
    record = None
    with contextlib.suppress(Unavailable):
        record = meetings.parse_call_record(item, "list call records")
    return ListedCall(call_id, record)


class OutcomeIndex:
    """The results of existing outcomes by day; a day is listed once, when needed.

    A day is listed when it or the next day is needed. The outcomes of a day with more than MOST_LISTED are read one by
    one: otherwise every slice would list that day again and hold it in memory.
    """

    def __init__(self, outcomes: Outcomes, most_listed: int = MOST_LISTED) -> None:
        self._outcomes = outcomes
        self._most_listed = most_listed
        self._days: dict[date, dict[str, Outcome] | None] = {}

    def find_all(self, signals: Sequence[tuple[str, datetime | None]]) -> list[Outcome | None]:
        """Return the outcome of each signal in the day of its call's end.

        None if it is missing; see `find`.
        """
        days = {day for _, end in signals for day in _days_of(end)}
        for each in sorted({day + number * DAY for day in days for number in (-1, 0, 1)}):
            self._list_day(each)
        if all(self._list_day(day) is not None for day in days):
            return [self.find(*each) for each in signals]
        return run_in_parallel(lambda each: self.find(*each), signals)

    def find(self, signal_id: str, end: datetime | None) -> Outcome | None:
        """Return the outcome of one signal, or None if it is missing.

        It is missing if no end is known, if it has no outcome there or one that Graph had not confirmed until it listed
        the call, or if it also has one in the day before or after:
        when a call's end moves over midnight, a crashed publisher or a lost record leaves that behind. The second
        outcome is not looked for if the day has more than MOST_LISTED.
        """
        for day in _days_of(end):
            if outcome := self._find(signal_id, day):
                has_two = self._list_day(day) is not None and self.days_beside(signal_id, day)
                return None if has_two or outcome.is_unconfirmed else outcome
        return None

    def days_beside(self, signal_id: str, day: date) -> tuple[date, ...]:
        """Return which of the days before and after have an outcome of the signal."""
        return tuple(each for each in (day - DAY, day + DAY) if self._find(signal_id, each) is not None)

    def _find(self, signal_id: str, day: date) -> Outcome | None:
        name, outcomes = self._outcomes.name(signal_id, day), self._list_day(day)
        if outcomes is not None:
            return outcomes.get(name)
        summary = self._outcomes.find(name)
        return _outcome(summary) if summary else None

    def _list_day(self, day: date) -> dict[str, Outcome] | None:
        if day not in self._days:
            first = itertools.islice(self._outcomes.list(day), self._most_listed + 1)
            outcomes = {each.name: _outcome(each) for each in first}
            self._days[day] = outcomes if len(outcomes) <= self._most_listed else None
        return self._days[day]


def _days_of(end: datetime | None) -> list[date]:
    """Return the day of a call's end, or both days within a second of midnight.

    The list has whole seconds only.
    """
    near = (end, end - SECOND, end + SECOND) if end else ()
    return list(dict.fromkeys(each.date() for each in near))


def _outcome(summary: OutcomeSummary) -> Outcome:
    return _shared(summary.result, summary.version, summary.next_attempt is None, summary.is_unconfirmed)


_shared = lru_cache(1_000)(Outcome)  # a day has many outcomes that are alike


@dataclass(frozen=True)
class MissingSignal:
    """A signal without an outcome, or with one that is wrong or on a wrong day.

    `result` is set if the list decides it; `days` are those beside its own that have an outcome of it.
    """

    signal_id: str
    meeting: Meeting
    result: Result | None = None
    days: tuple[date, ...] = ()


def announce_missing(missing: Sequence[MissingSignal], scan: Scan, journal: Journal) -> list[MissingSignal]:
    """Record these signals, publish their outcomes, and queue the unsettled ones.

    Return those that failed and were skipped: the days of their calls cannot be sealed.
    """
    now = max(times.now(), scan.started)  # clocks of two instances differ

    def record(each: MissingSignal) -> Record | None:
        return or_skip(each.signal_id, lambda: _record_missing(each, scan, now, journal.ledger))

    records = run_in_parallel(record, missing)
    published = journal.send_due([each for each in records if each], scan.started)
    return [each for each in missing if each.signal_id not in published]


def unclear_days(scan: Scan, failed: Iterable[MissingSignal], otherwise: Iterable[date]) -> tuple[date, ...]:
    """Return the scan's days that cannot be sealed, with those of signals that failed.

    `otherwise` are the days of a call without a known end.
    """
    return windows.add_unclear_days(
        scan, (day for each in failed for day in _days_of(each.meeting.end) or otherwise)
    )


def _record_missing(missing: MissingSignal, scan: Scan, now: datetime, ledger: Ledger) -> Record:
    cause = Cause.BACKFILL if scan.days else Cause.SWEEP
    new = Record(
        missing.signal_id,
        missing.result or Result.PENDING,
        now,
        attempt=0,
        series=AttemptSeries(now, cause, days=scan.days),
        next=None if missing.result else NextAttempt(0, now),
        settled=now if missing.result else None,
        meeting=missing.meeting,
    )
    reopened = AttemptSeries(scan.started, cause, days=scan.days)

    def change(old: Record | None) -> Record | None:
        record = (
            merge.revise_record(old, missing.meeting, missing.result, reopened, now) or old if old else new
        )
        for day in missing.days:
            record = record.with_copy_in(day)
        return None if record == old else record

    record, _ = ledger.update(missing.signal_id, change, new_commit(cause))
    return record or new


class CallScan:
    """The part of a scan that reads Graph's list of call records, page by page."""

    def __init__(self, work: Slice, index: OutcomeIndex) -> None:
        self._work = work
        self._services = work.services
        self._index = index
        self._meetings: set[str | None] = set()

    def run(self) -> None:
        """Read pages until the time is over or all calls are read. Raises a GraphError."""
        while (cursor := self._work.scan.calls) and self._work.has_time():
            _LISTING.wait()
            self._scan_page(cursor)

    def handle_failure(self, *, is_dead: bool, gives_up: bool) -> None:
        """Restart a day whose page cannot be read, and finally skip that day."""
        scan, cursor = self._work.scan, self._work.scan.calls
        if cursor and cursor.link and is_dead:  # Graph may no longer accept this link: restart the day
            self._work.update(calls=CallCursor(cursor.at), restarts=scan.restarts + 1)
        if cursor and (gives_up or self._work.scan.restarts >= MAX_RESTARTS):
            self._leave_out_day(cursor)

    def _leave_out_day(self, cursor: CallCursor) -> None:
        """Skip a day that holds up later ones; the next full scan retries it."""
        scan = self._work.scan
        logs.error("sweep.skipped", look=scan.name, start=cursor.at, error=scan.error)
        self._work.update(
            calls=self._next_cursor(cursor),
            failures=0,
            restarts=0,
            unclear=windows.add_unclear_days(scan, _days_listed(cursor)),
        )

    def _next_cursor(self, cursor: CallCursor) -> CallCursor | None:
        """Return the cursor of the next day, or None at the end of the scan."""
        end = cursor.at + DAY
        return CallCursor(end) if end < self._work.scan.end else None

    def _scan_page(self, cursor: CallCursor) -> None:
        scan, operation = self._work.scan, "list call records"
        end = min(cursor.at + DAY, scan.end)
        page = self._services.graph.get(cursor.link or _path(cursor.at, end), operation)
        calls, link = page_items(page, operation), next_link(page)
        trail = cursor.trail.after(page, cursor.link, operation, MOST_PAGES)
        if scan.records == 0:
            self._services.access.mark_restored(None)  # of call records, if Graph had refused them
        missing = self._compare(calls, cursor)
        self._work.update(
            calls=CallCursor(cursor.at, checked_link(link, operation), trail)
            if link
            else self._next_cursor(cursor),
            restarts=scan.restarts if link else 0,
            records=scan.records + len(calls),
            missing=scan.missing + missing,
            failures=0,
            error=None,
        )

    def _compare(self, calls: list[Any], cursor: CallCursor) -> int:
        """Queue calls whose outcome is missing or wrong. Return the number missing.

        A backfill reopens what else it meets.
        """
        readable, settings, scan = self._readable(calls), self._services.settings, self._work.scan
        found = self._index.find_all([(each.signal_id, each.end) for each in readable])
        outcomes = list(zip(readable, found, strict=True))
        missing = [call for call, outcome in outcomes if outcome is None]
        denied = [call for call, outcome in outcomes if outcome and call.denies(outcome, settings)]
        failed = announce_missing(
            [
                MissingSignal(
                    each.signal_id,
                    each.meeting,
                    each.decide(settings),
                    self._index.days_beside(each.signal_id, each.end.date()) if each.end else (),
                )
                for each in (*missing, *denied)
            ],
            scan,
            self._services.journal,
        )
        self._work.update(unclear=unclear_days(scan, failed, _days_listed(cursor)))
        for call in (*missing, *denied):
            logs.info(
                "signal.found" if call in missing else "signal.revised",
                signal=call.signal_id,
                outcome=call.decide(settings) or Result.PENDING,
                look=scan.name,
                requestId=self._services.graph.request_id,
            )
        if scan.days:
            repeated = [call for call, outcome in outcomes if self._is_repeated(call, outcome)]
            names = [
                self._services.journal.outcomes.name(call.signal_id, call.end.date())
                for call in repeated
                if call.end
            ]
            redrive.reopen_outcomes(names, Cause.BACKFILL, scan.started, self._services, scan.days)
        return len(missing)

    def _readable(self, calls: list[Any]) -> list[ListedCall]:
        """Parse the calls of a page; an item that is no call record is logged."""
        readable = []
        for call in map(parse_listed, calls):
            if call:
                readable.append(call)
            else:
                request_id = self._services.graph.request_id
                logs.warning("record.unreadable", look=self._work.scan.name, requestId=request_id)
        return readable

    def _is_repeated(self, call: ListedCall, outcome: Outcome | None) -> bool:
        """Whether a backfill reopens this call.

        It reopens the first call of each meeting in this slice, and every call that may be of a meeting.
        """
        if call.decide(self._services.settings):
            return False
        join_url = call.meeting.join_url
        is_first = join_url is None or join_url not in self._meetings
        self._meetings.add(join_url)
        return outcome is not None and (is_first or outcome.result in BY_CALL_RECORD)


def is_dead_link(failure: Exception) -> bool:
    """Whether the link of a page will keep failing."""
    return isinstance(failure, Refused | NotFound)


def _days_listed(cursor: CallCursor) -> list[date]:
    """Return the days on which the calls listed at this cursor may have ended."""
    return [cursor.at.date() + number * DAY for number in range(3)]


def _path(start: datetime, end: datetime) -> str:
    condition = f"startDateTime ge {times.text(start)} and startDateTime lt {times.text(end)}"
    return f"communications/callRecords?$filter={segment(condition)}"
