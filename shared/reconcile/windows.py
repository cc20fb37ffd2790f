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
OVERLAP = timedelta(hours=3)  # with the previous scan, because call records arrive late
DAY = timedelta(days=1)
RECHECK_SPAN = timedelta(days=62)  # after the retry window, how long a call may be checked again


def recent_scan(last: Scan | None, settings: Settings, now: datetime) -> Scan:
    """Return a scan of the last hours, or since the previous scan if longer."""
    start = min(now - SHORT, last.started - OVERLAP) if last else now - SHORT
    return _new_scan(RECENT, max(start, now - REACH), now, settings, now, (now - DAY).date())


def full_scan(unsealed: Iterable[date], settings: Settings, now: datetime) -> Scan:
    """Return a scan that starts a day before the first unsealed day.

    More calls of the last sealed day may be listed a day later.
    """
    start = max(times.midnight(min(unsealed)) - DAY - LONGEST_MEETING, now - REACH)
    overdue = now - timedelta(seconds=settings.retry_window) - RECHECK_SPAN
    return _new_scan(FULL, start, now, settings, now, overdue.date())


def backfill_scan(
    name: str, start: datetime, end: datetime, settings: Settings, now: datetime, *, is_backfill: bool
) -> Scan | None:
    """Cut a requested window to what Graph still lists, or return None."""
    days = (start.date(), (end - timedelta(microseconds=1)).date()) if is_backfill else ()
    start, end = max(start, now - REACH), min(end, now)
    return _new_scan(name, start, end, settings, now, days=days) if start < end else None


def _new_scan(
    name: str,
    start: datetime,
    end: datetime,
    settings: Settings,
    now: datetime,
    overdue: date | None = None,
    *,
    days: tuple[date, ...] = (),
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
        days=days,
    )


def is_full_scan_due(last: Scan | None, settings: Settings, now: datetime) -> bool:
    """Whether the last full scan is a day old, or a day can be sealed since then."""
    if last is None or not last.finished or now - last.started >= DAY:
        return True
    days = (now.date() - number * DAY for number in range(REACH.days))
    return any(last.started < ready_at(day, settings) <= now for day in days)


def add_unclear_days(scan: Scan, days: Iterable[date]) -> tuple[date, ...]:
    """Return the scan's days that cannot be sealed, with these added."""
    return tuple(sorted({*scan.unclear, *days}))


def days_of(scan: Scan) -> Iterable[date]:
    """Return every day of the window, for a failure that concerns all of them."""
    return (scan.start.date() + number * DAY for number in range((scan.end - scan.start).days + 2))


def fully_listed_days(scan: Scan, settings: Settings) -> set[date]:
    """Return the days whose calls this scan has all seen."""
    day = scan.start.date()
    days: set[date] = set()
    while ready_at(day, settings) <= scan.started:
        if times.midnight(day) - LONGEST_MEETING >= scan.start and day not in scan.unclear:
            days.add(day)
        day += DAY
    return days
