"""Throttling of call records and virtual events, by the published limits.

A request that is refused still counts, so a client that comes back too early stays out longer.
Source: Microsoft Graph service-specific throttling limits, call records, virtual events.
"""

from __future__ import annotations

import math
from collections import deque

from local.simulator.odata import GraphError

SPAN = 20.0
PER_RESOURCE = 40
PER_APP = 1500
EVENTS_SPAN = 30.0
EVENTS_PER_APP = 750
FORGET_ABOVE = 5000


class Throttle:
    """Counts requests of the last `span` seconds by key."""

    def __init__(self, span: float = SPAN) -> None:
        self._span = span
        self._times: dict[str, deque[float]] = {}

    def count(self, key: str, limit: int, at: float) -> None:
        """Count a request at `at` (seconds).

        Raises GraphError 429 when `key` is above its limit.
        """
        times = self._times.setdefault(key, deque(maxlen=limit + 1))
        times.append(at)
        if len(times) > limit and at - times[0] < self._span:
            wait = max(1, math.ceil(self._span - (at - times[1])))
            raise GraphError(429, "TooManyRequests", "Too many requests.", {"Retry-After": str(wait)})
        if len(self._times) > FORGET_ABOVE:
            self._times = {name: kept for name, kept in self._times.items() if at - kept[-1] < self._span}
