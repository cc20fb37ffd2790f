"""Points in time as the simulator keeps and writes them: aware datetimes in UTC.

Graph writes up to seven fraction digits, without trailing zeros, and none at all on a whole second; a reader that
expects a fixed number of digits must fail here as it would there.
"""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The current time in UTC."""
    return datetime.now(UTC)


def parse_time(text: str) -> datetime:
    """Parse an ISO 8601 time with `Z` or an offset, cut to microseconds.

    Raises ValueError.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"the time {text!r} has no offset")
    return moment.astimezone(UTC)


def format_time(moment: datetime, seventh: int = 0) -> str:
    """`moment` in Graph's form; `seventh` (0 to 9) is the digit of 100 nanoseconds."""
    whole = moment.astimezone(UTC).isoformat(timespec="seconds").removesuffix("+00:00")
    if moment.microsecond == 0:
        return whole + "Z"
    fraction = f"{moment.microsecond:06d}{seventh}".rstrip("0")
    return f"{whole}.{fraction}Z"
