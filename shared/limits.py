"""Rate limits for Graph calls, for unverified news, and for log lines.

Standard library only, because the webhook loads this module.

Source: https://learn.microsoft.com/graph/throttling-limits (call records: 40 requests in 20 seconds for a list).
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

MAX_RATE_WAIT = 30.0  # seconds
MAX_REPORTED_IDS = 5
REPORT_INTERVAL = 60.0  # seconds; anything that anyone can cause must fill neither the log nor the queue
NEWS_AT_ONCE, NEWS_PER_SECOND = 50, 10.0  # of packs
HOUR = 3_600.0  # seconds
UNKNOWN_IDS = 100  # that Graph does not know, in any hour: of packs, and of news that came alone
SCAN_INTERVAL = 600.0  # seconds between scans for news that was left to them


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


class Budget:
    """An allowance of `most` in any `seconds`. Safe between threads."""

    def __init__(self, most: int, seconds: float) -> None:
        self._seconds = seconds
        self._spent: deque[float] = deque(maxlen=most)

    def spend(self) -> None:
        """Spend one, even if nothing is left."""
        self._spent.append(time.monotonic())

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left now."""
        return len(self._spent) == self._spent.maxlen and time.monotonic() - self._spent[0] < self._seconds


@dataclass(frozen=True)
class Due:
    """Counts that are due to be reported, and some subscriptions named with them."""

    counts: Counter[str]
    subscription_ids: tuple[str, ...]


class Tally:
    """Counts that are reported at most once in REPORT_INTERVAL seconds."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._counts: Counter[str] = Counter()
        self._ids: dict[str, None] = {}
        self._once = Debounce(REPORT_INTERVAL, clock=clock)
        self._lock = threading.Lock()

    def add(self, counts: Mapping[str, int], subscription_ids: Sequence[str] = ()) -> Due | None:
        """Add these, and return the sums since the last report when the next one is due."""
        with self._lock:
            self._counts.update(counts)
            for each in subscription_ids:
                if len(self._ids) < MAX_REPORTED_IDS:
                    self._ids[each.lower()] = None
            if not self._counts.total() or not self._once.allows("report"):
                return None
            due = Due(self._counts, tuple(self._ids))
            self._counts, self._ids = Counter(), {}
            return due


@dataclass(frozen=True)
class NewsLimits:
    """An instance's limits for news, which a leaked client state lets anyone send.

    `pacer` spreads the news of packs. `of_packs` and `alone` are allowances of ids that Graph does not know: a POST of
    many invented ones leaves the news of a real meeting, which comes alone, its own. `refused` counts news that made no
    record, and `scans` limits the scans that look for the calls behind it.
    """

    pacer: Pacer = field(default_factory=lambda: Pacer(NEWS_AT_ONCE, NEWS_PER_SECOND))
    of_packs: Budget = field(default_factory=lambda: Budget(UNKNOWN_IDS, HOUR))
    alone: Budget = field(default_factory=lambda: Budget(UNKNOWN_IDS, HOUR))
    refused: Tally = field(default_factory=Tally)
    scans: Debounce = field(default_factory=lambda: Debounce(SCAN_INTERVAL))
