"""Who attended a training enough, late or not at all: the arithmetic, without I/O.

The sessions of one meeting that began on the same date, such as those of a restarted meeting, are one **occasion**.
Presence is the union of a person's stays in all of its sessions, within the time that counts: the schedule, the hours
that the user gives, or the union of the sessions. So nobody attends more than there was, and neither the order of
reports and records nor a repeated one changes a result. Rules and examples: docs/training.md.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from fractions import Fraction
from typing import Any

from ...archive.reports import LONGEST_MEETING
from ...graph.invitees import Invitee, InviteeKind, InviteeList, ListState
from ...privacy.identifiers import id_token, name_token
from ...settings import GUID
from ...tables import rows

RESTART = timedelta(hours=1)  # a session that begins this soon after another, past midnight too, continues it
ZERO = timedelta()
_SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,4})?)\s*%\Z")
_MINUTES = re.compile(r"(\d{1,5})\s*(?:m|min|minutes)?\Z")
_HOURS = re.compile(r"(\d\d:\d\d)-(\d\d:\d\d)\Z")
_REGISTERED = "registered"  # status of a registration that was accepted
_ERASED = "erased-"  # an erased attendance record's id begins so

type Span = tuple[datetime, datetime]


class AttendanceResult(StrEnum):
    """The result of a person on one date. UNKNOWN: there is a record, but no length to compare it with."""

    ATTENDED = "attended"
    NOT_ENOUGH = "not enough"
    ABSENT = "absent"
    UNKNOWN = "unknown"


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
        return _fraction(net) >= self.share * _fraction(length) if length else None

    def __str__(self) -> str:
        if self.share is not None:
            return f"{float(self.share * 100):.6g} %"
        return f"{minutes(self.time):g} min" if self.time is not None else "any time"


ANY_TIME = Threshold()


@dataclass(frozen=True)
class Measure:
    """The time that counts, as the user chose it; `hours` belong to Basis.HOURS, and are in the policy's zone."""

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


@dataclass(frozen=True)
class Presence:
    """An attendance record: a person, and when the person was present.

    `untimed` is presence of which Graph gives a length, but not both times. `key` is the token of the object id, else
    of the address, else None: such a person cannot be recognized.
    """

    object_id: str | None
    address: str | None
    name: str
    role: str
    kind: str
    stays: tuple[Span, ...] = ()
    untimed: timedelta = ZERO
    is_erased: bool = False
    registration_id: str | None = None

    @property
    def key(self) -> str | None:
        """The token of the object id, else of the address."""
        identifier = self.object_id or self.address
        return id_token(identifier) if identifier else None


@dataclass(frozen=True)
class Expected:
    """Somebody who should attend: by object id, by addresses, or both.

    `days`: only on these dates; None is every date. `more` are further columns of a roster. `registrations` are those
    for a webinar or town hall.
    """

    object_id: str | None
    addresses: tuple[str, ...]
    name: str = ""
    more: Mapping[str, str] = field(default_factory=dict)
    days: frozenset[date] | None = None
    registrations: tuple[str, ...] = ()

    @property
    def tokens(self) -> list[str]:
        """The tokens of all identifiers."""
        ids = [id_token(each) for each in (self.object_id, *self.addresses) if each]
        return [*ids, *map(_registration_token, self.registrations)]


@dataclass(frozen=True)
class TrainingSession:
    """A report: one session of the meeting. `day` is the partition of its blob.

    `invited` are those who were invited or registered, None if that is unknown; `is_list_cut`: there are more.
    """

    report_id: str
    day: date
    start: datetime | None
    end: datetime | None
    schedule: Span | None
    subject: str | None
    is_partial: bool
    is_erased: bool
    records: tuple[Presence, ...]
    invited: tuple[Expected, ...] | None = None
    is_list_cut: bool = False

    @property
    def span(self) -> Span | None:
        """From start to end, if both are known and make sense."""
        if self.start is None or self.end is None or not ZERO < self.end - self.start <= LONGEST_MEETING:
            return None
        return self.start, self.end

    @property
    def begin(self) -> datetime:
        """When it began, as far as that is known."""
        span = self.span
        return span[0] if span else self.end or datetime.combine(self.day, time(), UTC)


@dataclass(frozen=True)
class Occasion:
    """The sessions of one date, and the time that counts: disjoint spans in their order.

    `schedule` is the meeting's; None if it is unknown.
    """

    day: date
    sessions: tuple[TrainingSession, ...]
    basis: Basis
    spans: tuple[Span, ...]
    schedule: Span | None

    @property
    def length(self) -> timedelta:
        """The time that counts; zero if nothing is known."""
        return rows.length_of(self.spans)


@dataclass(frozen=True)
class Attended:
    """One person on one date.

    `late` is from the begin of the time that counts to the first joining, `left_early` from the last leaving to its
    end, both at least zero, and None if unknown. `lacks_times`: a part of the presence has no times.
    """

    verdict: AttendanceResult
    net: timedelta = ZERO
    share: Fraction | None = None
    late: timedelta | None = None
    left_early: timedelta | None = None
    is_late: bool = False
    has_left_early: bool = False
    first_join: datetime | None = None
    last_leave: datetime | None = None
    roles: tuple[str, ...] = ()
    lacks_times: bool = False


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
        return _share(self.net, self.length)


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
    """The result. `others` attended and were not expected; `unrecognized` may be anybody.

    `has_expected` False: nobody was named as expected, so `people` are those who attended.
    """

    policy: Policy
    occasions: tuple[Occasion, ...]
    people: tuple[Participation, ...]
    others: tuple[Participation, ...]
    unrecognized: tuple[Unrecognized, ...]
    has_expected: bool


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


def read_session(
    report: Mapping[str, Any],
    line: Mapping[str, Any],
    day: date,
    found: InviteeList | None = None,
) -> TrainingSession:
    """Return the session in a report.

    `line` is its line of the index, `day` the partition of its blob, `found` the list of its invitees.
    """
    meeting = rows.meeting_row(report, line)
    return TrainingSession(
        report_id=meeting["reportId"] or "",
        day=day,
        start=_parse(meeting["meetingStart"]),
        end=_parse(meeting["meetingEnd"]),
        schedule=_span(meeting["scheduledStart"], meeting["scheduledEnd"]),
        subject=meeting["subject"],
        is_partial=meeting["partial"],
        is_erased=line.get("erased") is True,
        records=tuple(map(_presence, rows.attendee_rows(report, line))),
        invited=None if found is None else tuple(map(_invited, filter(_is_expected, found.invitees))),
        is_list_cut=found is not None and found.state is ListState.TRUNCATED,
    )


def _presence(row: Mapping[str, Any]) -> Presence:
    key, address, name = row["personKey"], (row["emailAddress"] or "").strip(), row["displayName"] or ""
    timed = [(_span(each["join"], each["leave"]), each["seconds"]) for each in row["intervals"]]
    seconds = [value or 0 for span, value in timed if not span] if timed else [row["attendedSeconds"] or 0]
    return Presence(
        object_id=key if key and GUID.match(key) else None,
        address=address.lower() or None,
        name=name,
        role=row["role"] or "",
        kind=row["identityType"] or "",
        stays=tuple(span for span, _ in timed if span),
        untimed=timedelta(seconds=min(max(0, sum(seconds)), LONGEST_MEETING.total_seconds())),
        is_erased=(row["recordId"] or "").startswith(_ERASED) and not (key or name),
        registration_id=row["registrationId"] or None,
    )


def _is_expected(invitee: Invitee) -> bool:
    """Whether an invitee should come: a registration can be canceled, or not be accepted."""
    return invitee.kind is InviteeKind.INVITED or invitee.status in (None, _REGISTERED)


def _invited(invitee: Invitee) -> Expected:
    is_user = invitee.person_id is not None and GUID.match(invitee.person_id)
    address = (invitee.email_address or "").strip().lower()
    return Expected(
        invitee.person_id.lower() if invitee.person_id and is_user else None,
        (address,) if address else (),
        invitee.display_name or "",
        {"role": invitee.role} if invitee.role else {},
        registrations=(invitee.registration_id,) if invitee.registration_id else (),
    )


def find_invited(occasions: Iterable[Occasion]) -> tuple[tuple[Expected, ...], frozenset[date]] | None:
    """Return who was invited to these dates, and on which of them that is known; None if on none.

    Invitees who share an object id, an address or a registration are one person.
    """
    people: list[Expected] = []
    owners: dict[str, int] = {}
    known = frozenset(
        occasion.day for occasion in occasions for session in occasion.sessions if session.invited is not None
    )
    for occasion in occasions:
        for session in occasion.sessions:
            for each in session.invited or ():
                if not each.tokens:
                    continue
                number = next((owners[token] for token in each.tokens if token in owners), len(people))
                if number == len(people):
                    people.append(replace(each, days=frozenset()))
                people[number] = _joined(people[number], each, occasion.day)
                for token in each.tokens:
                    owners.setdefault(token, number)
    return (tuple(people), known) if known else None


def _joined(known: Expected, invited: Expected, day: date) -> Expected:
    return replace(
        known,
        object_id=known.object_id or invited.object_id,
        addresses=tuple(dict.fromkeys((*known.addresses, *invited.addresses))),
        name=known.name or invited.name,
        days=(known.days or frozenset()) | {day},
        registrations=tuple(dict.fromkeys((*known.registrations, *invited.registrations))),
    )


def _registration_token(registration: str) -> str:
    return f"registration:{registration.strip().lower()}"


def find_occasions(sessions: Iterable[TrainingSession], policy: Policy) -> tuple[Occasion, ...]:
    """Gather sessions to occasions, by date.

    Raises ValueError if the policy is of a schedule that is unknown.
    """
    unique = {each.report_id: each for each in sorted(sessions, key=lambda each: each.day)}
    groups: list[list[TrainingSession]] = []
    latest = datetime.min.replace(tzinfo=UTC)
    for each in sorted(unique.values(), key=lambda each: (each.begin, each.report_id)):
        if groups and (
            _local_day(groups[-1][0], policy) == _local_day(each, policy) or each.begin - latest <= RESTART
        ):
            groups[-1].append(each)
        else:
            groups.append([each])
        latest = max(latest, each.begin, each.end or each.begin)
    return tuple(_occasion(tuple(group), policy) for group in groups)


def _local_day(session: TrainingSession, policy: Policy) -> date:
    return session.begin.astimezone(policy.zone).date()


def _occasion(sessions: tuple[TrainingSession, ...], policy: Policy) -> Occasion:
    day = _local_day(sessions[0], policy)
    schedule = next((each.schedule for each in reversed(sessions) if each.schedule), None)
    measure = policy.measure or Measure(Basis.SCHEDULE if schedule else Basis.MEETING)
    spans: Sequence[Span] = ()
    if measure.hours:
        spans = [_hours(day, measure.hours, policy.zone)]
    elif measure.basis is Basis.SCHEDULE:
        if schedule is None:
            raise ValueError(
                f"The schedule of {day} is unknown, or is another date's: use --of meeting, or give the hours."
            )
        spans = [schedule]
    else:
        spans = rows.merge_spans([span for each in sessions if (span := each.span)])
    return Occasion(day, sessions, measure.basis, tuple(spans), schedule)


def _hours(day: date, hours: tuple[time, time], zone: tzinfo) -> Span:
    """These hours of a day; the end can be on the next."""
    last = day if hours[0] < hours[1] else day + timedelta(days=1)
    start, end = (
        datetime.combine(on, hour, zone).astimezone(UTC) for on, hour in ((day, hours[0]), (last, hours[1]))
    )
    return start, max(start, end)


def judge(presences: Iterable[tuple[str, Presence]], occasion: Occasion, policy: Policy) -> Attended:
    """Judge one person on one date by the records of that person, each with its report's id."""
    records = set(presences)
    if not records:
        return Attended(AttendanceResult.ABSENT, share=_share(ZERO, occasion.length))
    stays = rows.merge_spans([stay for _, each in records for stay in each.stays])
    untimed = sum((each.untimed for _, each in records), ZERO)
    inside = clip(stays, occasion.spans) if occasion.spans else stays
    net = rows.length_of(inside) + untimed
    net = min(net, occasion.length) if occasion.spans else net
    late = left_early = None
    if occasion.spans and inside:
        late, left_early = inside[0][0] - occasion.spans[0][0], occasion.spans[-1][1] - inside[-1][1]
    shown = [stay for stay in stays if clip([stay], occasion.spans)] or stays
    is_enough = policy.at_least.is_reached(net, occasion.length)
    return Attended(
        verdict=AttendanceResult.UNKNOWN if is_enough is None else _VERDICTS[is_enough],
        net=net,
        share=_share(net, occasion.length),
        late=late,
        left_early=left_early,
        is_late=_exceeds(late, policy.late_after),
        has_left_early=_exceeds(left_early, policy.left_early),
        first_join=shown[0][0] if shown else None,
        last_leave=shown[-1][1] if shown else None,
        roles=tuple(sorted({each.role for _, each in records if each.role})),
        lacks_times=untimed > ZERO,
    )


_VERDICTS = {True: AttendanceResult.ATTENDED, False: AttendanceResult.NOT_ENOUGH}


def _exceeds(length: timedelta | None, limit: timedelta | None) -> bool:
    return length is not None and limit is not None and length > limit


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
            number = self._by_token.get(_registration_token(record.registration_id))
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
    """The object id to which an address belongs, where it belongs to one only; both as tokens."""
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


def clip(spans: Iterable[Span], within: Sequence[Span]) -> list[Span]:
    """Return the parts of disjoint spans that are within others; all in order."""
    parts = [(max(start, first), min(end, last)) for start, end in spans for first, last in within]
    return [(start, end) for start, end in parts if start < end]


def minutes(length: timedelta | None) -> float:
    """Return minutes with one digit, rounded down: what is not reached is never shown as reached."""
    return 0.0 if length is None else length // timedelta(seconds=6) / 10


def percent(share: Fraction) -> float:
    """Return a percentage with one digit, rounded down."""
    return math.floor(share * 1000) / 10


def _share(net: timedelta, length: timedelta) -> Fraction | None:
    return _fraction(net) / _fraction(length) if length else None


def _fraction(length: timedelta) -> Fraction:
    """Whole microseconds, which compare exactly."""
    return Fraction(length // timedelta(microseconds=1))


def _parse(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _span(start: str | None, end: str | None) -> Span | None:
    first, last = _parse(start), _parse(end)
    return (first, last) if first and last and first < last else None
