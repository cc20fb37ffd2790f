"""Retry delays in seconds: pure decisions.

A report that is not ready yet is normal. The retry delay doubles from the first delay up to 8 h and is cut to the end
of the retry window, where the last attempt is made. A signal that ended without a report is checked again after days.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

MAX_DELAY = 8 * 3600
DENIED_DELAY = 35 * 60  # a Teams application access policy takes up to 30 minutes to spread
MAX_RETRY_AFTER = 24 * 3600
FIRST_UPKEEP_DELAY = 60
MAX_UPKEEP_DELAY = 30 * 60
LOOK_AGAIN = tuple(timedelta(days=days) for days in (1, 3, 7, 14, 30))  # after the end of the retry window


def delay(
    *, since: datetime, attempt: int, now: datetime, first_delay: int, window: int, denied: bool = False
) -> int | None:
    """Return the seconds until the next attempt, or None if this was the last.

    `since` is the start of the window, `attempt` the number of earlier attempts in it. `denied` selects the one long
    wait after a 403.
    """
    left = (since + timedelta(seconds=window) - now).total_seconds()
    if left < 1:
        return None
    wait = DENIED_DELAY if denied else min(first_delay * 2 ** min(attempt, 20), MAX_DELAY)
    return math.ceil(min(wait, left))


def look_again(closed: datetime, now: datetime) -> datetime | None:
    """Return when to check a possibly premature outcome again, or None."""
    return next((closed + after for after in LOOK_AGAIN if closed + after > now), None)


def throttled_delay(backoff: int | None, retry_after: float) -> int | None:
    """Return the delay after throttling: ours, or Graph's Retry-After if longer.

    Graph's may pass the end of the window.
    """
    if backoff is None:
        return None
    return max(backoff, min(math.ceil(retry_after), MAX_RETRY_AFTER))


def upkeep_delay(failures: int, retry_after: float) -> int:
    """Return the delay of an upkeep task after `failures` earlier failures.

    It is at least as long as Graph's Retry-After.
    """
    ours: int = min(FIRST_UPKEEP_DELAY * 2**failures, MAX_UPKEEP_DELAY)
    return max(ours, min(math.ceil(retry_after), MAX_RETRY_AFTER))
