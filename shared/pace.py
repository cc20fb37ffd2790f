"""Keeping under a limit of so many calls in so many seconds, as Graph publishes for its lists.

Source: https://learn.microsoft.com/graph/throttling-limits (call records: 40 requests in 20 seconds for a list).
"""

from __future__ import annotations

import threading
import time
from collections import deque


class Pace:
    """Lets at most `calls` pass in any `seconds`, among all threads of the instance."""

    def __init__(self, calls: int, seconds: float) -> None:
        self._seconds = seconds
        self._passed: deque[float] = deque(maxlen=calls)
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when the next call may be made."""
        with self._lock:
            now = time.monotonic()
            full = len(self._passed) == self._passed.maxlen
            passes = max(now, self._passed[0] + self._seconds) if full else now
            self._passed.append(passes)
        if passes > now:
            time.sleep(passes - now)
