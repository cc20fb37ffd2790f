"""Who attended a training enough, late or not at all: the arithmetic, without I/O.

The sessions of one meeting that began on the same date, such as those of a restarted meeting, are one **occasion**.
Presence is the union of a person's stays in all of its sessions, within the time that counts: the schedule, the hours
that the user gives, or the union of the sessions. So nobody attends more than there was, and neither the order of
reports and records nor a repeated one changes a result. Rules and examples: docs/training.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from fractions import Fraction

from ...tables.spans import Span, clip_spans, length_of, merge_spans
from .lengths import ZERO, share_of
from .policy import Basis, Measure, Policy
from .sessions import Presence, TrainingSession

RESTART = timedelta(hours=1)  # a session that begins this soon after another, past midnight too, continues it


class AttendanceResult(StrEnum):
    """Result of a person on one date.

    UNKNOWN: there is a record, but no length to compare it with.
    """

    ATTENDED = "attended"
    NOT_ENOUGH = "not enough"
    ABSENT = "absent"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Occasion:
    """Sessions of one date, and the time that counts.

    That are disjoint spans in their order.
    """

    day: date
    sessions: tuple[TrainingSession, ...]
    basis: Basis
    spans: tuple[Span, ...]

    @property
    def length(self) -> timedelta:
        """The time that counts; zero if nothing is known."""
        return length_of(self.spans)


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
        spans = merge_spans([span for each in sessions if (span := each.span)])
    return Occasion(day, sessions, measure.basis, tuple(spans))


def _hours(day: date, hours: tuple[time, time], zone: tzinfo) -> Span:
    """These hours of a day; the end can be on the next."""
    last = day if hours[0] < hours[1] else day + timedelta(days=1)
    start, end = (
        datetime.combine(on, hour, zone).astimezone(UTC) for on, hour in ((day, hours[0]), (last, hours[1]))
    )
    return start, max(start, end)


def judge(presences: Iterable[tuple[str, Presence]], occasion: Occasion, policy: Policy) -> Attended:
    """Judge one person on one date by the person's records.

    Each comes with its report's id.
    """
    records = set(presences)
    if not records:
        return Attended(AttendanceResult.ABSENT, share=share_of(ZERO, occasion.length))
    stays = merge_spans([stay for _, each in records for stay in each.stays])
    untimed = sum((each.untimed for _, each in records), ZERO)
    inside = clip_spans(stays, occasion.spans) if occasion.spans else stays
    net = length_of(inside) + untimed
    net = min(net, occasion.length) if occasion.spans else net
    late = left_early = None
    if occasion.spans and inside:
        late, left_early = inside[0][0] - occasion.spans[0][0], occasion.spans[-1][1] - inside[-1][1]
    shown = [stay for stay in stays if clip_spans([stay], occasion.spans)] or stays
    is_enough = policy.at_least.is_reached(net, occasion.length)
    return Attended(
        verdict=AttendanceResult.UNKNOWN if is_enough is None else _VERDICTS[is_enough],
        net=net,
        share=share_of(net, occasion.length),
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
