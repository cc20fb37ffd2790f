"""Rules that the user chooses for a training.

The least attendance, late, left early, and the time that counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, time, timedelta, tzinfo
from enum import StrEnum
from fractions import Fraction

from .lengths import ZERO, minutes, to_fraction

_SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,4})?)\s*%\Z")
_MINUTES = re.compile(r"(\d{1,5})\s*(?:m|min|minutes)?\Z")
_HOURS = re.compile(r"(\d\d:\d\d)-(\d\d:\d\d)\Z")


class Basis(StrEnum):
    """The time that counts. HOURS: those that the user gives."""

    SCHEDULE = "schedule"
    MEETING = "meeting"
    HOURS = "hours"


@dataclass(frozen=True)
class Threshold:
    """The least attendance: a share of the time that counts, or a length of time."""

    share: Fraction | None = None
    time: timedelta | None = None

    def is_reached(self, net: timedelta, length: timedelta) -> bool | None:
        """Whether `net` is enough; None if that depends on a length that is unknown."""
        if self.time is not None:
            return net >= self.time
        if self.share is None:
            return net > ZERO
        return to_fraction(net) >= self.share * to_fraction(length) if length else None

    def __str__(self) -> str:
        if self.share is not None:
            return f"{float(self.share * 100):.6g} %"
        return f"{minutes(self.time):g} min" if self.time is not None else "any time"


ANY_TIME = Threshold()


@dataclass(frozen=True)
class Measure:
    """Time that counts, as the user chose it.

    `hours` belong to Basis.HOURS, and are in the policy's zone.
    """

    basis: Basis
    hours: tuple[time, time] | None = None


@dataclass(frozen=True)
class Policy:
    """The user's rules.

    Without `measure`, the schedule counts if it is known, else the meeting. Without `late_after` or `left_early`,
    nobody is marked as such.
    """

    at_least: Threshold = ANY_TIME
    late_after: timedelta | None = None
    left_early: timedelta | None = None
    measure: Measure | None = None
    zone: tzinfo = UTC


def parse_threshold(text: str) -> Threshold:
    """Parse `80%`, `45` or `45m`. Raises ValueError."""
    if share := _SHARE.match(text.strip()):
        fraction = Fraction(share[1]) / 100
        if 0 < fraction <= 1:
            return Threshold(share=fraction)
    elif (number := _MINUTES.match(text.strip())) and int(number[1]):
        return Threshold(time=timedelta(minutes=int(number[1])))
    raise ValueError(f"{text!r} is neither a percentage, such as 80%, nor minutes, such as 45.")


def parse_measure(text: str) -> Measure:
    """Parse `schedule`, `meeting` or hours such as `09:00-10:30`. Raises ValueError."""
    if text in (Basis.SCHEDULE, Basis.MEETING):
        return Measure(Basis(text))
    problem = f"{text!r} is neither schedule, nor meeting, nor hours such as 09:00-10:30."
    found = _HOURS.match(text)
    if found is None or found[1] == found[2]:
        raise ValueError(problem)
    try:
        return Measure(Basis.HOURS, (time.fromisoformat(found[1]), time.fromisoformat(found[2])))
    except ValueError:
        raise ValueError(problem) from None
