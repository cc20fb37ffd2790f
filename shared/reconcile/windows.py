"""Which span of Graph's list of call records a look goes through, and what it knows about days when it is done."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from .. import times
from ..days.sealing import REACH, ready_at
from ..settings import Settings
from ..storage.scans import FULL, RECENT, Look

SHORT = timedelta(hours=6)
OVERLAP = timedelta(hours=3)  # with the look before, for records that come late
LONGEST = timedelta(hours=30)  # meetings
DAY = timedelta(days=1)
LOOKED_AT = timedelta(days=62)  # how long after its end a call can be looked at again, beside its window


def recent(last: Look | None, now: datetime) -> Look:
    """The last hours, and further back where there was no look for some time."""
    start = min(now - SHORT, last.started - OVERLAP) if last else now - SHORT
    start = max(start, now - REACH)
    return Look(RECENT, now, start, now, at=start, next=now, due=(now - DAY).date())


def full(unsealed: Iterable[date], settings: Settings, now: datetime) -> Look:
    """From the first day that is not sealed on."""
    start = max(times.midnight(min(unsealed)) - LONGEST, now - REACH)
    due = now - timedelta(seconds=settings.retry_window) - LOOKED_AT
    return Look(FULL, now, start, now, at=start, next=now, due=due.date())


def full_is_due(last: Look | None, settings: Settings, now: datetime) -> bool:
    """Whether the last one is a day old, or a day has become ready to be sealed since."""
    if last is None or not last.finished or now - last.started >= DAY:
        return True
    days = (now.date() - number * DAY for number in range(REACH.days))
    return any(last.started < ready_at(day, settings) <= now for day in days)


def all_unclear(look: Look) -> tuple[str, ...]:
    """The days that cannot be sealed when something of the whole span is not known."""
    days = (look.start.date() + number * DAY for number in range((look.end - look.start).days + 2))
    return tuple(sorted({*look.unclear, *(day.isoformat() for day in days)}))


def covered(look: Look, settings: Settings) -> set[date]:
    """The days of which this look has seen every call, for all of them were listed by then."""
    day = look.start.date()
    days: set[date] = set()
    while ready_at(day, settings) <= look.started:
        if times.midnight(day) - LONGEST >= look.start and day.isoformat() not in look.unclear:
            days.add(day)
        day += DAY
    return days
