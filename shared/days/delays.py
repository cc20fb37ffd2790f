"""Delays of a day's reports.

From the end of a call to its signal and to its stored report. Each signal counts once, at the first time that a
report was stored for it: a later reading, or a redrive of a stored one, changes nothing. Calls that the sweep
found, and signals that settled only after a redrive, count with the time that they really took. Signals without a
report have no delay.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from ..ledger.publish import OutcomeSummary

DIGITS = 3  # that count: a delay is at most 1 % too long, and there are few different ones
_RANKS = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class Percentiles:
    """Seconds within which it was done for 50, 95 and 99 of 100 signals."""

    p50: int
    p95: int
    p99: int


@dataclass(frozen=True)
class Delays:
    """Delays of the signals of a day whose report is stored.

    A signal is first seen when its notification comes, or when the sweep finds its call.
    """

    signals: int
    end_to_first_seen: Percentiles
    first_seen_to_stored: Percentiles
    end_to_stored: Percentiles


class DelayCounts:
    """Counts of rounded delays.

    Their memory does not grow with the number of signals.
    """

    def __init__(self) -> None:
        self._signals = 0
        self._counts: tuple[Counter[int], ...] = (Counter(), Counter(), Counter())

    def add(self, outcome: OutcomeSummary) -> None:
        """Count the delays of an outcome.

        If it has a report and all of its times are known.
        """
        end, seen, stored = outcome.end, outcome.first_seen, outcome.stored
        if end is None or seen is None or stored is None:
            return
        self._signals += 1
        for counts, delay in zip(self._counts, (seen - end, stored - seen, stored - end), strict=True):
            counts[round_up(delay)] += 1

    def summarize(self) -> Delays | None:
        """Return the percentiles; None if no signal has a report."""
        if not self._signals:
            return None
        return Delays(self._signals, *(_percentiles(each, self._signals) for each in self._counts))


def round_up(delay: timedelta) -> int:
    """Round a delay up to whole seconds with DIGITS digits that count.

    0 for a negative one: a clock of Graph is ahead of the app's, or the call goes on.
    """
    seconds = max(0, math.ceil(delay.total_seconds()))
    step: int = 10 ** max(0, len(str(seconds)) - DIGITS)
    return -(-seconds // step) * step


def _percentiles(counts: Mapping[int, int], total: int) -> Percentiles:
    """Return the smallest delays that so many signals do not exceed."""
    wanted = [math.ceil(total * rank) for rank in _RANKS]
    found, passed = list[int](), 0
    for delay in sorted(counts):
        passed += counts[delay]
        found += [delay] * sum(rank <= passed for rank in wanted[len(found) :])
    return Percentiles(*found)
