"""Rate limits: a sliding window and a budget for Graph calls, and a debounce.

Standard library only, because the webhook loads this module.

Source: https://learn.microsoft.com/graph/throttling-limits (call records: 40 requests in 20 seconds for a list).
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable

MAX_RATE_WAIT = 30.0  # seconds


class SlidingWindow:
    """Allow `calls` calls in any `seconds`, for all threads of the instance."""

    def __init__(self, calls: int, seconds: float) -> None:
        self._seconds = seconds
        self._passed: deque[float] = deque(maxlen=calls)
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Wait until the next call may be made."""
        with self._lock:
            now = time.monotonic()
            full = len(self._passed) == self._passed.maxlen
            passes = max(now, self._passed[0] + self._seconds) if full else now
            self._passed.append(passes)
        if passes > now:
            time.sleep(passes - now)


class Debounce:
    """Allow each key once in `seconds`; remembers `most` keys; thread-safe."""

    def __init__(self, seconds: float, most: int = 10_000, clock: Callable[[], float] | None = None) -> None:
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._passed: dict[Hashable, float] = {}
        self._lock = threading.Lock()

    def allows(self, key: Hashable) -> bool:
        """Whether `key` is allowed now."""
        now = self._clock() if self._clock else time.monotonic()
        with self._lock:
            if now - self._passed.get(key, -self._seconds) < self._seconds:
                return False
            if len(self._passed) >= self._most:
                self._passed.clear()
            self._passed[key] = now
            return True

    def forget(self, key: Hashable) -> None:
        """Allow `key` again at once."""
        with self._lock:
            self._passed.pop(key, None)


class RateLimiter:
    """A budget of requests per second, shared by the threads of one instance."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = 1 / per_second
        self._burst = max(per_second, 1.0)  # the requests of one second may go at once
        self._clock = clock
        self._next = clock() - self._burst * self._interval
        self._lock = threading.Lock()

    def reserve(self) -> float:
        """Reserve a request and return the seconds to wait for it.

        Nothing is reserved if the wait is over MAX_RATE_WAIT.
        """
        with self._lock:
            now = self._clock()
            start = max(self._next, now - self._burst * self._interval)
            wait = start + self._interval - now
            if wait <= MAX_RATE_WAIT:
                self._next = start + self._interval
            return max(0.0, wait)


class Pacer:
    """Delays for a burst of `at_once` messages, then `per_second`. Thread-safe."""

    def __init__(self, at_once: int, per_second: float) -> None:
        self._interval = 1 / per_second
        self._burst = at_once / per_second
        self._next = time.monotonic() - self._burst
        self._lock = threading.Lock()

    def delay(self) -> int:
        """Whole seconds for which the next message is to be hidden."""
        with self._lock:
            now = time.monotonic()
            self._next = max(self._next, now - self._burst) + self._interval
            return max(0, math.ceil(self._next - now))
