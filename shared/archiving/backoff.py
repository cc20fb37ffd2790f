"""When to try again: pure decisions about delays, in seconds.

A report that is not ready is normal. Its signal goes back with a delay that doubles from the first, is at most
8 h and is cut to the end of the window that began when the signal was first seen; then the last attempt is made.
What settled without a report is looked at again after some days.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

MAX_DELAY = 8 * 3600
DENIED_DELAY = 35 * 60  # a Teams application access policy takes up to 30 minutes to spread
MAX_RETRY_AFTER = 24 * 3600
FIRST_UPKEEP_DELAY = 60
MAX_UPKEEP_DELAY = 30 * 60
LOOK_AGAIN = tuple(timedelta(days=days) for days in (1, 3, 7, 14, 30))  # after the window has closed


def delay(
    *, since: datetime, attempt: int, now: datetime, first_delay: int, window: int, denied: bool = False
) -> int | None:
    """Seconds until the next attempt, or None when the window is over and this attempt was the last.

    `since` is when the window began, `attempt` the number of attempts made in it before this one; `denied` asks
    for the one long wait after a 403.
    """
    left = (since + timedelta(seconds=window) - now).total_seconds()
    if left < 1:
        return None
    wanted = DENIED_DELAY if denied else min(first_delay * 2 ** min(attempt, 20), MAX_DELAY)
    return math.ceil(min(wanted, left))


def look_again(closed: datetime, now: datetime) -> datetime | None:
    """When an outcome that may have settled too early is looked at again; None when that was often enough."""
    return next((closed + after for after in LOOK_AGAIN if closed + after > now), None)


def throttled_delay(backoff: int | None, retry_after: float) -> int | None:
    """The delay after throttling: what Graph asks for, also past the window's end, and never less than ours."""
    if backoff is None:
        return None
    return max(backoff, min(math.ceil(retry_after), MAX_RETRY_AFTER))


def upkeep_delay(failures: int, retry_after: float) -> int:
    """Seconds until upkeep that failed `failures` times before is tried again, or what Graph asks for if longer."""
    ours: int = min(FIRST_UPKEEP_DELAY * 2**failures, MAX_UPKEEP_DELAY)
    return max(ours, min(math.ceil(retry_after), MAX_RETRY_AFTER))
