"""Bounded waits on a clock that tests replace."""

import sys
import time
from collections.abc import Iterator


class Clock:
    """The real time."""

    def now(self) -> float:
        """Seconds since some fixed moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def attempts(clock: Clock, *, every: float, within: float) -> Iterator[None]:
    """Yield now, then every `every` seconds, for at most `within` seconds."""
    end = clock.now() + within
    while True:
        yield
        if clock.now() + every > end:
            return
        clock.sleep(every)


def say(text: str) -> None:
    """Print progress to stderr, because stdout is for the names of what was deployed."""
    print(text, file=sys.stderr, flush=True)
