"""Parse and format points in time, in Graph's format and in ours.

Graph's timestamps end in `Z` or an offset and have up to seven fraction digits. A time that is not set is absent, null
or in the year 1. Inside the product, every time is an aware datetime in UTC.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)  # nothing that Graph tells of is older
LATEST = datetime(3000, 1, 1, tzinfo=UTC)
FAR_AHEAD = timedelta(days=1)  # no clock is as wrong as this


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def parse(value: object) -> datetime | None:
    """Parse a UTC time, or None if Graph has not set it. Raises ValueError."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ValueError("a time is not a string")
    moment = datetime.fromisoformat(value)
    if moment.year == 1:
        return None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time is beyond the calendar") from None


def possible(value: object) -> datetime | None:
    """Parse a UTC time from 2000 to 2999, or return None."""
    try:
        moment = parse(value)
    except ValueError:
        return None
    return moment if moment and EARLIEST <= moment < LATEST else None


def plausible(value: object) -> datetime | None:
    """Parse a UTC time between 2000 and tomorrow, or return None."""
    moment = possible(value)
    return moment if moment and moment <= now() + FAR_AHEAD else None


def text(moment: datetime) -> str:
    """Format a time as ISO 8601 in UTC with milliseconds and `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def optional_text(moment: datetime | None) -> str | None:
    """Format a time as `text` does, or return None."""
    return text(moment) if moment else None


def has_expired(moment: datetime, retention_days: int) -> bool:
    """Whether a time is older than what is kept; 0 keeps for ever."""
    return retention_days > 0 and moment < now() - timedelta(days=retention_days)


def midnight(day: date) -> datetime:
    """Return the beginning of a day in UTC."""
    return datetime.combine(day, time(), UTC)


def format_utc(moment: datetime | None) -> str:
    """Format a time for people, in UTC."""
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else "an unknown time"


def format_duration(seconds: float) -> str:
    """Format a duration for people, with two digits at least."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3_600:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3_600:
        return f"{seconds / 3_600:.1f} h"
    return f"{seconds / 86_400:.1f} days"
