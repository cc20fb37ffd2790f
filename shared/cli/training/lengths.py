"""Lengths of time, shown rounded down.

What is not reached is never shown as reached.
"""

from __future__ import annotations

import math
from datetime import timedelta
from fractions import Fraction

ZERO = timedelta()


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
