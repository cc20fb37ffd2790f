"""Choose the time window of a scan, and the days it proves complete."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from .. import times
from ..archive.reports import LONGEST_MEETING
from ..days.sealing import REACH, ready_at
from ..messages.signals import EventKind
from ..settings import CALL_RECORDS, VIRTUAL_EVENTS, Settings
from ..storage.scans import FULL, RECENT, CallCursor, EventCursor, OverdueCursor, Scan

SHORT = timedelta(hours=6)
OVERLAP = timedelta(hours=3)  # with the scan before, because records come late
DAY = timedelta(days=1)
RECHECK_SPAN = timedelta(days=62)  # how long after its end a call can be looked at again, beside its window


def recent_scan(last: Scan | None, settings: Settings, now: datetime) -> Scan:
    """The last hours, and further back where there was no scan for some time."""
    start = min(now - SHORT, last.started - OVERLAP) if last else now - SHORT
    return _new_scan(RECENT, max(start, now - REACH), now, settings, now, (now - DAY).date())


def full_scan(unsealed: Iterable[date], settings: Settings, now: datetime) -> Scan:
    """From the first day that is not sealed on."""
    start = max(times.midnight(min(unsealed)) - LONGEST_MEETING, now - REACH)
    overdue = now - timedelta(seconds=settings.retry_window) - RECHECK_SPAN
    return _new_scan(FULL, start, now, settings, now, overdue.date())


def backfill_scan(
    name: str, start: datetime, end: datetime, settings: Settings, now: datetime, *, is_backfill: bool
) -> Scan | None:
    """A window that somebody asks for, as far as Graph still lists it; None where nothing of it is left."""
    start, end = max(start, now - REACH), min(end, now)
    return _new_scan(name, start, end, settings, now, is_backfill=is_backfill) if start < end else None


def _new_scan(
    name: str,
    start: datetime,
    end: datetime,
    settings: Settings,
    now: datetime,
    overdue: date | None = None,
    *,
    is_backfill: bool = False,
) -> Scan:
    return Scan(
        name,
        now,
        start,
        end,
        next=now,
        overdue=OverdueCursor(overdue) if overdue else None,
        calls=CallCursor(start) if CALL_RECORDS in settings.signals else None,
        events=EventCursor(tuple(EventKind)) if VIRTUAL_EVENTS in settings.signals else None,
        is_backfill=is_backfill,
    )


def is_full_scan_due(last: Scan | None, settings: Settings, now: datetime) -> bool:
    """Whether the last one is a day old, or a day has become ready to be sealed since."""
    if last is None or not last.finished or now - last.started >= DAY:
        return True
    days = (now.date() - number * DAY for number in range(REACH.days))
    return any(last.started < ready_at(day, settings) <= now for day in days)


def add_unclear_days(scan: Scan, days: Iterable[date]) -> tuple[date, ...]:
    """The days that cannot be sealed, with these."""
    return tuple(sorted({*scan.unclear, *days}))


def days_of(scan: Scan) -> Iterable[date]:
    """Every day of the window, which cannot be sealed when something of the whole is not known."""
    return (scan.start.date() + number * DAY for number in range((scan.end - scan.start).days + 2))


def fully_listed_days(scan: Scan, settings: Settings) -> set[date]:
    """The days of which this scan has seen every call, because all of them were listed by then."""
    day = scan.start.date()
    days: set[date] = set()
    while ready_at(day, settings) <= scan.started:
        if times.midnight(day) - LONGEST_MEETING >= scan.start and day not in scan.unclear:
            days.add(day)
        day += DAY
    return days
