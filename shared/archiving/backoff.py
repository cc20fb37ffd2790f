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
UNKNOWN_ATTEMPTS, UNKNOWN_SHIFT = 4, 3  # at an id that Graph does not know; each delay is 8 times the last
CONFIRM_PARTIAL = 4 * 3600  # if fresh reports are not read a second time
REREAD = tuple(timedelta(days=days) for days in (1, 3, 7))  # a partial report; after that it stays partial
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


def unknown_delay(
    *, since: datetime, attempt: int, now: datetime, first_delay: int, window: int
) -> int | None:
    """Return the seconds until the next attempt at an unknown id, or None.

    Anyone may have invented it. If it is real, the sweep finds it in Graph's list.
    """
    if attempt + 1 >= UNKNOWN_ATTEMPTS:
        return None
    return delay(
        since=since, attempt=UNKNOWN_SHIFT * attempt, now=now, first_delay=first_delay, window=window
    )


def look_again(closed: datetime, now: datetime) -> datetime | None:
    """Return when to check a possibly premature outcome again, or None."""
    return next((closed + after for after in LOOK_AGAIN if closed + after > now), None)


def reread(since: datetime, now: datetime, confirm_after: int) -> datetime | None:
    """Return when a report that is partial `since` then is read again, or None."""
    delays = sorted((timedelta(seconds=confirm_after or CONFIRM_PARTIAL), *REREAD))
    return next((since + delay for delay in delays if since + delay > now), None)


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
