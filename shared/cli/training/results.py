"""Cells of a training's result, for terminal and page.

Times are in the policy's time zone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from ..draw.timeline import UNKNOWN_NAME, sanitize
from .attendance import AttendanceResult, Attended, Occasion
from .lengths import minutes, percent
from .matching import Participation, Training, Unrecognized
from .policy import Policy

_ORDER = (
    AttendanceResult.ABSENT,
    AttendanceResult.NOT_ENOUGH,
    AttendanceResult.UNKNOWN,
    AttendanceResult.ATTENDED,
)


class ExpectedFrom(StrEnum):
    """From where it is known who was expected."""

    ROSTER = "roster"
    INVITEES = "invitees"


@dataclass(frozen=True)
class Account:
    """A training, and where it is known who was expected.

    What it is about, and what has to be known about it. `open_days` are days of its reports that are not final yet.
    """

    training: Training
    subject: str
    source: ExpectedFrom | None = None
    notes: tuple[str, ...] = ()
    open_days: frozenset[date] = frozenset()

    @property
    def policy(self) -> Policy:
        """The user's rules."""
        return self.training.policy

    @property
    def occasions(self) -> tuple[Occasion, ...]:
        """The dates."""
        return self.training.occasions

    @property
    def title(self) -> str:
        """The subject; a text for people."""
        return sanitize(self.subject, 200) or "Meeting without a subject"

    @property
    def more(self) -> tuple[str, ...]:
        """The further columns of the roster."""
        return tuple(dict.fromkeys(name for each in self.training.people for name in each.more))


class Caveat(StrEnum):
    """What may make the result of a date wrong."""

    PARTIAL = "partial"
    ERASED = "erased"
    NOT_FINAL = "notFinal"


def caveats(account: Account, occasion: Occasion) -> list[Caveat]:
    """Return what may make the result of a date wrong."""
    sessions = occasion.sessions
    found = {
        Caveat.PARTIAL: any(each.is_partial for each in sessions),
        Caveat.ERASED: any(each.is_erased for each in sessions),
        Caveat.NOT_FINAL: any(each.day in account.open_days for each in sessions),
    }
    return [each for each, is_so in found.items() if is_so]


def people_of(people: Iterable[Participation], day: date) -> list[tuple[Participation, Attended]]:
    """Return the people of a date with their results.

    Those first who were absent or attended too little.
    """
    found = [(each, attended) for each in people if (attended := each.by_day.get(day))]
    return sorted(found, key=lambda each: (_ORDER.index(each[1].verdict), who(each[0]).casefold()))


def who(person: Participation | Unrecognized) -> str:
    """Return a person's name for people, else the address, else the object id."""
    if isinstance(person, Unrecognized):
        return "(erased)" if person.is_erased else sanitize(person.name) or UNKNOWN_NAME
    return sanitize(person.name or person.address or person.object_id or "") or UNKNOWN_NAME


def say_result(attended: Attended) -> str:
    """Return the result with its marks: `attended, late`."""
    marks = ["late"] if attended.is_late else []
    marks += ["left early"] if attended.has_left_early else []
    return ", ".join([attended.verdict, *marks])


def brief_result(attended: Attended | None) -> str:
    """Return the result for a column of many dates: `52 min, late`."""
    if attended is None:
        return ""
    if attended.verdict is AttendanceResult.ABSENT:
        return str(attended.verdict)
    said = say_result(attended).removeprefix(f"{AttendanceResult.ATTENDED}").removeprefix(", ")
    return ", ".join(filter(None, [f"{minutes(attended.net):g} min", said]))


def date_cells(account: Account, attended: Attended) -> dict[str, str]:
    """Return the cells about one person on a date, by their headings."""
    zone = account.policy.zone

    def clock(moment: datetime | None) -> str:
        return f"{moment.astimezone(zone):%H:%M}" if moment else ""

    def length(value: timedelta | None) -> str:
        return "" if value is None or value <= timedelta() else f"{minutes(value):g}"

    is_absent = attended.verdict is AttendanceResult.ABSENT
    return {
        "Result": say_result(attended),
        "Minutes": "" if is_absent else f"{minutes(attended.net):g}",
        "Share": "" if is_absent or attended.share is None else f"{percent(attended.share):g} %",
        "Late (min)": length(attended.late),
        "Early (min)": length(attended.left_early),
        "Joined": clock(attended.first_join),
        "Left": clock(attended.last_leave),
    }


def total_cells(account: Account, person: Participation) -> dict[str, str]:
    """Return the cells about one person on all dates, by their headings."""
    return {
        **{str(each.day): brief_result(person.by_day.get(each.day)) for each in account.occasions},
        "Dates": f"{person.days_attended} of {person.dates}",
        "Minutes": f"{minutes(person.net):g}",
        "Share": "" if person.share is None else f"{percent(person.share):g} %",
    }
