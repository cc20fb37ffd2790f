"""Spans and lengths of time, shown rounded down.

What is not reached is never shown as reached.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from fractions import Fraction

ZERO = timedelta()
type Span = tuple[datetime, datetime]


def clip(spans: Iterable[Span], within: Sequence[Span]) -> list[Span]:
    """Return the parts of disjoint spans that are within others; all in order."""
    parts = [(max(start, first), min(end, last)) for start, end in spans for first, last in within]
    return [(start, end) for start, end in parts if start < end]


def minutes(length: timedelta | None) -> float:
    """Return minutes with one digit, rounded down.

    What is not reached is never shown as reached.
    """
    return 0.0 if length is None else length // timedelta(seconds=6) / 10


def percent(share: Fraction) -> float:
    """Return a percentage with one digit, rounded down."""
    return math.floor(share * 1000) / 10


def share_of(net: timedelta, length: timedelta) -> Fraction | None:
    """Return a part of a length, exactly; None of no length."""
    return to_fraction(net) / to_fraction(length) if length else None


def to_fraction(length: timedelta) -> Fraction:
    """Whole microseconds, which compare exactly."""
    return Fraction(length // timedelta(microseconds=1))
