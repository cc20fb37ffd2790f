"""Match attendance records with those who were expected.

And judge everybody on each date. People are recognized by registration, object id or address, and never by name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from fractions import Fraction
from functools import reduce

from ...privacy.identifiers import id_token, name_token
from .attendance import AttendanceResult, Attended, Occasion, judge
from .lengths import ZERO, minutes, share_of
from .policy import Policy
from .sessions import Expected, Presence, registration_token


@dataclass(frozen=True)
class Participation:
    """A person on all dates.

    `by_day` has the dates on which the person attended or was expected. `dates` counts those on which the person was
    expected, and all dates if the person is nowhere expected; `length` is their time that counts. `possible`: people of
    the same name who could not be recognized as this one.
    """

    name: str
    address: str | None
    object_id: str | None
    by_day: Mapping[date, Attended]
    more: Mapping[str, str] = field(default_factory=dict)
    matched_by: tuple[str, ...] = ()
    possible: tuple[str, ...] = ()
    dates: int = 0
    net: timedelta = ZERO
    length: timedelta = ZERO

    @property
    def days_attended(self) -> int:
        """On how many dates the attendance was enough."""
        return sum(each.verdict is AttendanceResult.ATTENDED for each in self.by_day.values())

    @property
    def share(self) -> Fraction | None:
        """The part of all dates' time."""
        return share_of(self.net, self.length)


@dataclass(frozen=True)
class Unrecognized:
    """An attendance record without object id and address, such as that of a telephone."""

    day: date
    name: str
    kind: str
    attended: Attended
    is_erased: bool


@dataclass(frozen=True)
class Training:
    """Result of a training.

    `others` attended and were not expected; `unrecognized` may be anybody. `has_expected` False: nobody was named
    as expected, so `people` are those who attended.
    """

    policy: Policy
    occasions: tuple[Occasion, ...]
    people: tuple[Participation, ...]
    others: tuple[Participation, ...]
    unrecognized: tuple[Unrecognized, ...]
    has_expected: bool


def find_invited(occasions: Iterable[Occasion]) -> tuple[tuple[Expected, ...], frozenset[date]] | None:
    """Return who was invited to these dates.

    And on which of them that is known; None if on none. Invitees who share an object id, an address or a
    registration are one person.
    """
    people: dict[int, Expected] = {}
    owners: dict[str, int] = {}
    known = frozenset(
        occasion.day for occasion in occasions for session in occasion.sessions if session.invited is not None
    )
    for occasion in occasions:
        for session in occasion.sessions:
            for each in session.invited or ():
                if not each.tokens:
                    continue
                same = sorted({owners[token] for token in each.tokens if token in owners})
                first = same[0] if same else len(owners)  # which is nobody's: each has a token at least
                invited = replace(each, days=frozenset({occasion.day}))
                people[first] = reduce(_joined, [*(people[number] for number in same), invited])
                for number in same[1:]:  # this entry tells that they are one
                    del people[number]
                    owners |= {token: first for token, owner in owners.items() if owner == number}
                owners |= dict.fromkeys(each.tokens, first)
    return (tuple(people.values()), known) if known else None


def _joined(known: Expected, invited: Expected) -> Expected:
    """Return one person of two entries; where both say something, the first counts."""
    return replace(
        known,
        object_id=known.object_id or invited.object_id,
        addresses=tuple(dict.fromkeys((*known.addresses, *invited.addresses))),
        name=known.name or invited.name,
        days=(known.days or frozenset()) | (invited.days or frozenset()),
        registrations=tuple(dict.fromkeys((*known.registrations, *invited.registrations))),
    )


def evaluate(
    occasions: tuple[Occasion, ...], policy: Policy, expected: Sequence[Expected] | None
) -> Training:
    """Judge everybody on these dates.

    Records are matched with those who are `expected` by object id, then by address; never by name. Without `expected`,
    the people are those who attended.
    """
    found = [
        (occasion, session.report_id, record)
        for occasion in occasions
        for session in occasion.sessions
        for record in session.records
    ]
    ids = _ids_of_addresses(record for *_, record in found)
    lookup = _Lookup(expected or ())
    known: dict[int, _Matches] = defaultdict(_Matches)
    others: dict[str, _Matches] = defaultdict(_Matches)
    nobody: dict[tuple[date, str, Presence], Occasion] = {}
    for occasion, report_id, record in found:
        key = ids.get(record.key or "", record.key)
        number, how = lookup.find(key, record)
        if number is not None:
            known[number].add(occasion, report_id, record, how)
        elif key is not None:
            others[key].add(occasion, report_id, record)
        else:
            nobody[occasion.day, report_id, record] = occasion
    unrecognized = tuple(
        Unrecognized(
            day, record.name, record.kind, judge([(report_id, record)], nobody[key], policy), record.is_erased
        )
        for key in sorted(nobody, key=_nobody_order)
        for day, report_id, record in [key]
    )
    rest = [each.participation(None, occasions, policy) for each in others.values()]
    if expected is None:
        return Training(policy, occasions, _in_order(rest), (), unrecognized, has_expected=False)
    similar = _by_name(rest, unrecognized)
    people = [
        known[number].participation(
            each, occasions, policy, tuple(similar.get(name_token(each.name), ()) if each.name else ())
        )
        for number, each in enumerate(expected)
    ]
    return Training(policy, occasions, _in_order(people), _in_order(rest), unrecognized, has_expected=True)


def _nobody_order(item: tuple[date, str, Presence]) -> tuple[object, ...]:
    day, report_id, record = item
    values = record.name, record.kind, record.role, report_id, record.stays, record.untimed
    return day, record.is_erased, *values


class _Lookup:
    """Finds the number of an expected person by identifier."""

    def __init__(self, expected: Sequence[Expected]) -> None:
        self._expected = expected
        self._by_token = {token: number for number, each in enumerate(expected) for token in each.tokens}

    def find(self, key: str | None, record: Presence) -> tuple[int | None, str]:
        """Return the number, and by what it was found."""
        if record.registration_id:
            number = self._by_token.get(registration_token(record.registration_id))
            if number is not None:
                return number, "registration"
        by_key = self._by_token.get(key or "")
        if by_key is not None and (record.object_id or key != record.key):
            return by_key, "object id"
        number = self._by_token.get(id_token(record.address)) if record.address else None
        differs = number is not None and record.object_id and self._expected[number].object_id
        return number, "address, with another object id" if differs else "address"


class _Matches:
    """The records of one person."""

    def __init__(self) -> None:
        self.records: dict[date, list[tuple[str, Presence]]] = defaultdict(list)
        self.how: set[str] = set()

    def add(self, occasion: Occasion, report_id: str, record: Presence, how: str = "") -> None:
        """Add a record of an occasion."""
        self.records[occasion.day].append((report_id, record))
        self.how |= {how} if how else set()

    def participation(
        self,
        expected: Expected | None,
        occasions: Sequence[Occasion],
        policy: Policy,
        possible: tuple[str, ...] = (),
    ) -> Participation:
        """Judge the person on all dates."""
        of = expected or Expected(None, ())
        relevant = [
            each for each in occasions if each.day in self.records or of.days is None or each.day in of.days
        ]
        shown = relevant if expected else [each for each in occasions if each.day in self.records]
        by_day = {each.day: judge(self.records.get(each.day, ()), each, policy) for each in shown}
        latest = [
            record
            for day in sorted(self.records)
            for _, record in sorted(self.records[day], key=lambda each: (each[0], each[1].name))
        ]
        address = next(iter(of.addresses), None)
        timed = [each.day for each in shown if each.spans]
        return Participation(
            name=of.name or next((each.name for each in reversed(latest) if each.name), ""),
            address=address or next((each.address for each in reversed(latest) if each.address), None),
            object_id=of.object_id or next((each.object_id for each in latest if each.object_id), None),
            by_day=by_day,
            more=of.more,
            matched_by=tuple(sorted(self.how)),
            possible=possible,
            dates=len(relevant),
            net=sum((by_day[day].net for day in timed), ZERO),
            length=sum((each.length for each in relevant), ZERO),
        )


def _ids_of_addresses(records: Iterable[Presence]) -> dict[str, str]:
    """Return the object id to which each address belongs.

    Where it belongs to one only; both as tokens.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for each in records:
        if each.object_id and each.address:
            found[id_token(each.address)].add(id_token(each.object_id))
    return {address: min(ids) for address, ids in found.items() if len(ids) == 1}


def _by_name(others: Iterable[Participation], unrecognized: Iterable[Unrecognized]) -> dict[str, list[str]]:
    """Describe those who attended without being expected, by the token of their name."""
    similar: dict[str, list[str]] = defaultdict(list)
    for other in others:
        if other.name:
            total = f"{minutes(other.net):g} min"
            similar[name_token(other.name)].append(
                f"{other.name} <{other.address or other.object_id}>, {total}"
            )
    for each in unrecognized:
        if each.name:
            similar[name_token(each.name)].append(
                f"{each.name} (no address), {minutes(each.attended.net):g} min on {each.day}"
            )
    return similar


def _in_order(people: Iterable[Participation]) -> tuple[Participation, ...]:
    """Those who were absent first, then those who attended too little."""

    def order(person: Participation) -> tuple[object, ...]:
        attended = [each for each in person.by_day.values() if each.verdict is not AttendanceResult.ABSENT]
        return (
            person.days_attended,
            len(attended),
            (person.name or person.address or "").casefold(),
            person.address or "",
            person.object_id or "",
        )

    return tuple(sorted(people, key=order))
