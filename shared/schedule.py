"""When to try again: pure decisions about delays, in seconds.

A report that is not ready is normal. Its signal goes back with a delay that doubles from the first, is at most
8 h and is cut to the end of the window that began when the signal was first seen; then the last attempt is made.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

MAX_DELAY = 8 * 3600
DENIED_DELAY = 35 * 60  # a Teams application access policy takes up to 30 minutes to spread
MAX_RETRY_AFTER = 24 * 3600


def delay(
    *, first_seen: datetime, attempt: int, now: datetime, first_delay: int, window: int, denied: bool = False
) -> int | None:
    """Seconds until the next attempt, or None when the window is over and this attempt was the last.

    `attempt` is the number of attempts made before this one; `denied` asks for the one long wait after a 403.
    """
    left = (first_seen + timedelta(seconds=window) - now).total_seconds()
    if left < 1:
        return None
    wanted = DENIED_DELAY if denied else min(first_delay * 2 ** min(attempt, 20), MAX_DELAY)
    return math.ceil(min(wanted, left))


def throttled_delay(backoff: int | None, retry_after: float) -> int | None:
    """The delay after throttling: what Graph asks for, also past the window's end, and never less than ours."""
    if backoff is None:
        return None
    return max(backoff, min(math.ceil(retry_after), MAX_RETRY_AFTER))
