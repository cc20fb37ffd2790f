"""Virtual time: thousands of sleeping executions, woken in a fixed order."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from greenlet import getcurrent, greenlet


class Lock:
    """A lock that lets time pass while one waits for it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held = False
        self._waiting: list[greenlet] = []

    def __enter__(self) -> None:
        if self._held:
            self._waiting.append(getcurrent())
            self._clock.hub.switch()
        self._held = True

    def __exit__(self, *_: object) -> None:
        self._held = bool(self._waiting)
        if self._waiting:
            self._clock.at(self._clock.now, self._waiting.pop(0).switch)


class Clock:
    """The time, in seconds since `begin`. Nothing takes time but what sleeps."""

    def __init__(self, begin: datetime) -> None:
        self.begin = begin
        self.now = 0.0
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self.hub = getcurrent()

    def datetime(self) -> datetime:
        """The time of day, in UTC."""
        return self.begin + timedelta(seconds=self.now)

    def at(self, moment: float, act: Callable[[], object]) -> None:
        """Do `act` at a moment, or now if that is past; it must not sleep."""
        heapq.heappush(self._due, (max(moment, self.now), next(self._numbers), act))

    def spawn(self, run: Callable[[], object], after: float = 0.0) -> None:
        """Begin an execution, which may sleep."""
        self.at(self.now + after, lambda: greenlet(run, self.hub).switch())

    def sleep(self, seconds: float) -> None:
        """Let others go on until so many seconds are over. For executions."""
        self.at(self.now + seconds, getcurrent().switch)
        self.hub.switch()

    def together(self, runs: Iterable[Callable[[], object]]) -> None:
        """Run all of these at once, and wait for the last.

        The first exception is raised then.
        """
        waiting, left, failures = getcurrent(), 0, []

        def one(run: Callable[[], object]) -> None:
            nonlocal left
            try:
                run()
            except Exception as failure:  # noqa: BLE001 - raised below
                failures.append(failure)
            left -= 1
            if left == 0:
                self.at(self.now, waiting.switch)

        for run in runs:
            left += 1
            self.spawn(lambda run=run: one(run))  # type: ignore[misc]
        if left:
            self.hub.switch()
        if failures:
            raise failures[0]

    def lock(self) -> Lock:
        """A lock for executions."""
        return Lock(self)

    def run(self, until: float) -> None:
        """Go on until that moment, or until nothing is left to do."""
        due = self._due
        while due and due[0][0] <= until:
            self.now, _, act = heapq.heappop(due)
            act()
        self.now = max(self.now, until)
