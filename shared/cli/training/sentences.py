"""Sentences about a training.

Rules, dates, counts, and what may make the result wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta

from ...tables.spans import clip_spans
from .attendance import AttendanceResult, Occasion
from .lengths import minutes
from .matching import Participation, Training
from .policy import Basis
from .results import Account, ExpectedFrom

_COUNTED = {
    Basis.SCHEDULE: "the schedule",
    Basis.MEETING: "the meeting as it was held",
    Basis.HOURS: "the given hours",
}


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
    spans = [span for session in occasion.sessions if (span := session.span)]
    outside = sum(bool(occasion.spans) and not clip_spans([span], occasion.spans) for span in spans)
    if outside:
        yield (
            f"{occasion.day}: {_count(outside, 'session was', 'sessions were')} held outside of the time that counts: "
            "presence in it does not count, see --of."
        )


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
