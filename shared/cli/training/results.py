"""Rows and sentences about a training: what the terminal, files and the page have in common.

Lengths and shares are rounded down. Times are in the policy's time zone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from ..draw.timeline import UNKNOWN_NAME, sanitize
from ..export.spreadsheets import Cell, Sheet
from .attendance import (
    AttendanceResult,
    Attended,
    Basis,
    Occasion,
    Participation,
    Policy,
    Training,
    Unrecognized,
    clip,
    minutes,
    percent,
)

_ORDER = (
    AttendanceResult.ABSENT,
    AttendanceResult.NOT_ENOUGH,
    AttendanceResult.UNKNOWN,
    AttendanceResult.ATTENDED,
)
EXPECTED, ATTENDEE, OTHER, UNRECOGNIZED = "expected", "attendee", "not expected", "not recognized"
_COUNTED = {
    Basis.SCHEDULE: "the schedule",
    Basis.MEETING: "the meeting as it was held",
    Basis.HOURS: "the given hours",
}
_PERSON = ("name", "address", "objectId")
_FOUND = ("matchedBy", "possible")
_ATTENDED = (
    "result",
    "late",
    "leftEarly",
    "minutes",
    "percent",
    "lateMinutes",
    "leftEarlyMinutes",
    "firstJoin",
    "lastLeave",
    "role",
)
_TOTAL = ("datesAttended", "dates", "minutes", "percent")


class ExpectedFrom(StrEnum):
    """From where it is known who was expected."""

    ROSTER = "roster"
    INVITEES = "invitees"


@dataclass(frozen=True)
class Account:
    """A training, what it is about, from where it is known who was expected, and what has to be known about it.

    `open_days` are days of its reports that are not final yet.
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


def describe_rules(account: Account) -> Iterator[str]:
    """Say which rules were used, and who was expected."""
    policy, number = account.policy, len(account.training.people)
    match account.source:
        case ExpectedFrom.ROSTER:
            yield f"Expected: {_count(number, 'person', 'people')} of the roster."
        case ExpectedFrom.INVITEES:
            yield f"Expected: {_count(number, 'person', 'people')} who were invited or registered."
        case None:
            yield "Expected: unknown, because no roster is given and no list of invitees is there. Nobody is absent."
    if policy.at_least.share is None and policy.at_least.time is None:
        yield "Attended means present for any time: no --at-least is given."
    else:
        yield f"Attended means present for at least {policy.at_least}."
    if policy.late_after is not None:
        yield f"Late means joining more than {minutes(policy.late_after):g} min after the begin."
    if policy.left_early is not None:
        yield f"Left early means leaving more than {minutes(policy.left_early):g} min before the end."
    yield f"Times are in {policy.zone}. Lengths and shares are rounded down."


def describe_occasion(account: Account, occasion: Occasion) -> str:
    """Say what counts on a date, and which sessions were merged."""
    zone = account.policy.zone

    def clock(moment: datetime | None) -> str:
        return f"{moment.astimezone(zone):%H:%M}" if moment else "?"

    spans = ", ".join(f"{clock(start)} to {clock(end)}" for start, end in occasion.spans)
    counted = f"{spans} counts, {minutes(occasion.length):g} min ({_COUNTED[occasion.basis]})"
    held = ", ".join(f"{clock(each.start)} to {clock(each.end)}" for each in occasion.sessions)
    number = len(occasion.sessions)
    sessions = f"{number} sessions, merged: {held}" if number > 1 else f"held {held}"
    return f"{counted if spans else 'no length is known'}; {sessions}."


def describe_counts(account: Account, occasion: Occasion) -> str:
    """Count the results of a date."""
    found = [each for person in account.training.people if (each := person.by_day.get(occasion.day))]
    counts = Counter(each.verdict for each in found)
    parts = [f"{counts[verdict]:,} {verdict}" for verdict in AttendanceResult if counts[verdict]]
    parts += [f"{late:,} late"] if (late := sum(each.is_late for each in found)) else []
    parts += [f"{early:,} left early"] if (early := sum(each.has_left_early for each in found)) else []
    others = sum(occasion.day in each.by_day for each in account.training.others)
    parts += [f"{others:,} not expected"] if others else []
    unknown = sum(each.day == occasion.day for each in account.training.unrecognized)
    parts += [f"{unknown:,} not recognized"] if unknown else []
    return f"{', '.join(parts) or 'nobody'}."


def describe_notes(
    training: Training,
    *,
    open_days: Sequence[date],
    unreported: Mapping[str, int],
    invited: frozenset[date] | None,
    more: Iterable[str] = (),
) -> tuple[str, ...]:
    """Say what may make the result wrong or incomplete.

    `open_days` are not final yet; `unreported` counts sessions without a report by outcome; `invited` are the dates of
    which the invitees are known, None where they are not used.
    """
    notes = [note for each in training.occasions for note in _occasion_notes(each)]
    if training.policy.measure is None and (
        unscheduled := [str(each.day) for each in training.occasions if each.basis is Basis.MEETING]
    ):
        notes.append(
            f"Of {', '.join(unscheduled)} no schedule is known, so the meeting as it was held counts: see --of."
        )
    if open_days:
        notes.append(f"{_days(open_days)} not final: a report can still come or grow.")
    if unreported:
        counts = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(unreported.items()))
        notes.append(
            f"Sessions of this meeting have no report here ({counts}): their attendance is missing. "
            "`attendance explain` says why."
        )
    if invited is not None:
        notes += _invitee_notes(training, invited)
    if any(each.lacks_times for person in _everybody(training) for each in person.by_day.values()):
        notes.append(
            "Some stays have no times: their length is counted, as far as it fits into the time that counts."
        )
    return (*notes, *more)


def _invitee_notes(training: Training, known: frozenset[date]) -> Iterator[str]:
    """Say what is not known about those who were invited."""
    without = [str(each.day) for each in training.occasions if each.day not in known]
    if without:
        yield f"Who was invited is unknown for {', '.join(without)}: nobody is listed as absent there."
    cut = [str(each.day) for each in training.occasions if any(one.is_list_cut for one in each.sessions)]
    if cut:
        yield f"More people were invited for {', '.join(cut)} than are listed: those are not listed as absent."
    groups = sum(
        not each.object_id and not each.matched_by and each.days_attended == 0 for each in training.people
    )
    if groups:
        yield (
            f"{_count(groups, 'absent address has', 'absent addresses have')} no object id: such an address can be a "
            "group's, whose members are listed as not expected."
        )


def _occasion_notes(occasion: Occasion) -> Iterator[str]:
    partial = sum(session.is_partial for session in occasion.sessions)
    if partial:
        yield (
            f"{occasion.day}: {_count(partial, 'report is', 'reports are')} partial, so records of attendance may be "
            "missing: who is absent or was there too briefly may have attended."
        )
    if any(session.is_erased for session in occasion.sessions):
        yield f"{occasion.day}: a person was erased from a report, and is listed as absent if expected."
    held = [span for session in occasion.sessions if (span := session.span)]
    if occasion.spans and not clip(held, occasion.spans):
        yield f"{occasion.day}: the meeting was held at another time than the one that counts."


def _everybody(training: Training) -> tuple[Participation, ...]:
    return (*training.people, *training.others)


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _days(days: Sequence[date]) -> str:
    """Format days, ranges as such, with the verb that follows."""
    ranges: list[list[date]] = []
    for day in sorted(days):
        if ranges and day - ranges[-1][-1] == timedelta(days=1):
            ranges[-1].append(day)
        else:
            ranges.append([day])
    texts = [str(each[0]) if len(each) == 1 else f"{each[0]} to {each[-1]}" for each in ranges]
    return f"{', '.join(texts)} {'is' if len(days) == 1 else 'are'}"


def people_of(people: Iterable[Participation], day: date) -> list[tuple[Participation, Attended]]:
    """Return the people of a date with their results: those first who were absent or attended too little."""
    found = [(each, attended) for each in people if (attended := each.by_day.get(day))]
    return sorted(found, key=lambda each: (_ORDER.index(each[1].verdict), who(each[0]).casefold()))


# For people: the terminal and the page.


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


# For programs and spreadsheets.


def date_sheet(account: Account, occasion: Occasion) -> Sheet:
    """Return the sheet of a date: a row for each person, also of those who were not expected."""
    training, day = account.training, occasion.day
    known = ", ".join(caveats(account, occasion)) or None
    found: list[tuple[str, Participation | Unrecognized, Attended]] = [
        *((_group(account), person, attended) for person, attended in people_of(training.people, day)),
        *((OTHER, person, attended) for person, attended in people_of(training.others, day)),
        *((UNRECOGNIZED, each, each.attended) for each in training.unrecognized if each.day == day),
    ]
    rows = [
        [day.isoformat(), group, *_person_cells(account, person), *_values(account, attended).values(), known]
        for group, person, attended in found
    ]
    columns = ("date", "list", *_PERSON, *_unique(account.more), *_FOUND, *_ATTENDED, "caveats")
    return Sheet(day.isoformat(), columns, rows)


def total_sheet(account: Account) -> Sheet:
    """Return the sheet of all dates: a row for each person, and three columns for each date."""
    training, occasions = account.training, account.occasions
    known = "; ".join(
        f"{each.day}: {', '.join(found)}" for each in occasions if (found := caveats(account, each))
    )
    rows: list[list[Cell]] = []
    for group, people in ((_group(account), training.people), (OTHER, training.others)):
        for each in people:
            share = None if each.share is None else percent(each.share)
            total: list[Cell] = [each.days_attended, each.dates, minutes(each.net), share]
            rows.append(
                [
                    group,
                    *_person_cells(account, each),
                    *total,
                    *_date_cells(account, each.by_day),
                    known or None,
                ]
            )
    for nobody in training.unrecognized:
        cells = _date_cells(account, {nobody.day: nobody.attended})
        rows.append(
            [UNRECOGNIZED, *_person_cells(account, nobody), None, None, None, None, *cells, known or None]
        )
    days = [f"{each.day} {name}" for each in occasions for name in ("result", "minutes", "percent")]
    return Sheet(
        "total", ("list", *_PERSON, *_unique(account.more), *_FOUND, *_TOTAL, *days, "caveats"), rows
    )


def _group(account: Account) -> str:
    return EXPECTED if account.training.has_expected else ATTENDEE


def _date_cells(account: Account, by_day: Mapping[date, Attended]) -> list[Cell]:
    """Return three cells for each date."""
    cells: list[Cell] = []
    for occasion in account.occasions:
        attended = by_day.get(occasion.day)
        values = _values(account, attended) if attended else {}
        cells += [say_result(attended) if attended else None, values.get("minutes"), values.get("percent")]
    return cells


def sheets(account: Account) -> list[Sheet]:
    """Return all sheets: the total of several dates, each date, and what has to be known."""
    total = [total_sheet(account)] if len(account.occasions) > 1 else []
    facts = [["meeting", account.title], *(["rule", each] for each in describe_rules(account))]
    facts += [[str(each.day), describe_occasion(account, each)] for each in account.occasions]
    facts += [["note", each] for each in account.notes]
    dates = [date_sheet(account, each) for each in account.occasions]
    return [*total, *dates, Sheet("notes", ("about", "text"), facts)]


def content_json(account: Account) -> dict[str, Any]:
    """Return the whole result for JSON."""
    training, policy = account.training, account.policy
    return {
        "subject": account.subject or None,
        "policy": {
            "atLeast": str(policy.at_least),
            "lateAfterMinutes": policy.late_after and minutes(policy.late_after),
            "leftEarlyMinutes": policy.left_early and minutes(policy.left_early),
            "timeZone": str(policy.zone),
        },
        "dates": [
            {
                "date": each.day.isoformat(),
                "of": each.basis,
                "counted": [{"start": _iso(account, a), "end": _iso(account, b)} for a, b in each.spans],
                "minutes": minutes(each.length),
                "caveats": caveats(account, each),
                "sessions": [
                    {
                        "reportId": session.report_id,
                        "start": _iso(account, session.start),
                        "end": _iso(account, session.end),
                        "partial": session.is_partial,
                        "erased": session.is_erased,
                    }
                    for session in each.sessions
                ],
            }
            for each in account.occasions
        ],
        "expectedFrom": account.source,
        "people": [_person_json(account, each) for each in training.people],
        "notExpected": [_person_json(account, each) for each in training.others],
        "notRecognized": [
            {
                "date": each.day.isoformat(),
                "name": each.name or None,
                "identityType": each.kind or None,
                "erased": each.is_erased,
                **_values(account, each.attended),
            }
            for each in training.unrecognized
        ],
        "notes": list(account.notes),
    }


def _person_json(account: Account, person: Participation) -> dict[str, Any]:
    names = (*_PERSON, *_FOUND)
    values = [
        person.name or None,
        person.address,
        person.object_id,
        list(person.matched_by),
        list(person.possible),
    ]
    return {
        **dict(zip(names, values, strict=True)),
        "roster": dict(person.more),
        "datesAttended": person.days_attended,
        "dates": person.dates,
        "minutes": minutes(person.net),
        "percent": None if person.share is None else percent(person.share),
        "attendance": [
            {"date": day.isoformat(), **_values(account, attended)} for day, attended in person.by_day.items()
        ],
    }


def _person_cells(account: Account, person: Participation | Unrecognized) -> list[Cell]:
    if isinstance(person, Unrecognized):
        name = "(erased)" if person.is_erased else person.name or None
        return [name, None, None, *([None] * (len(account.more) + len(_FOUND)))]
    more = [person.more.get(name) or None for name in account.more]
    found = ["; ".join(person.matched_by) or None, "; ".join(person.possible) or None]
    return [person.name or None, person.address, person.object_id, *more, *found]


def _unique(names: Sequence[str]) -> Iterator[str]:
    """The roster's columns; one that is named like a column of the result says whose it is."""
    taken = {"date", "list", "caveats", *_PERSON, *_FOUND, *_ATTENDED, *_TOTAL}
    return (f"{name} (roster)" if name in taken else name for name in names)


def _values(account: Account, attended: Attended) -> dict[str, Any]:
    """Return exact values about one person on a date."""
    values = (
        str(attended.verdict),
        attended.is_late,
        attended.has_left_early,
        minutes(attended.net),
        None if attended.share is None else percent(attended.share),
        None if attended.late is None else minutes(attended.late),
        None if attended.left_early is None else minutes(attended.left_early),
        _iso(account, attended.first_join),
        _iso(account, attended.last_leave),
        ", ".join(attended.roles) or None,
    )
    return dict(zip(_ATTENDED, values, strict=True))


def _iso(account: Account, moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.astimezone(account.policy.zone).isoformat(timespec="seconds").replace("+00:00", "Z")
