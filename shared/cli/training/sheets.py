"""A training for programs and spreadsheets: sheets, and JSON, with exact values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from ..export.spreadsheets import Cell, Sheet
from .attendance import Attended, Occasion
from .lengths import minutes, percent
from .matching import Participation, Unrecognized
from .results import Account, caveats, people_of, say_result
from .sentences import describe_occasion, describe_rules

EXPECTED, ATTENDEE, OTHER, UNRECOGNIZED = "expected", "attendee", "not expected", "not recognized"
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


def date_sheet(account: Account, occasion: Occasion) -> Sheet:
    """Return the sheet of a date.

    A row for each person, also of those who were not expected.
    """
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
    """Return the sheet of all dates.

    A row for each person, and three columns for each date.
    """
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
    """Return all sheets.

    The total of several dates, each date, and what has to be known.
    """
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
            "lateAfterMinutes": None if policy.late_after is None else minutes(policy.late_after),
            "leftEarlyMinutes": None if policy.left_early is None else minutes(policy.left_early),
            "of": policy.measure and policy.measure.basis,
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
    """Return the roster's columns with names that differ.

    One that is named like a column of the result says whose it is.
    """
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
