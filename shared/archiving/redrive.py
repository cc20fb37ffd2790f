"""Reopen settled or stuck signals and queue new attempts.

An outcome keeps its result until an attempt finds a better one. A message that could not be parsed is sent again
unchanged, because a later version may parse it. A day can hold any number of outcomes, so they are reopened in portions
until the time is over, and the next message continues after the last name.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial

from .. import logs, times
from ..ledger import access, merge
from ..ledger.journal import Journal, or_skip
from ..ledger.publish import OutcomeSummary, signal_id_of
from ..ledger.record import Cause, Record, Result, new_commit
from ..ledger.store import StoredRecord
from ..messages import tasks
from ..messages.signals import kind_of
from ..messages.tasks import Redrive, Task
from ..services import Services
from ..storage.blobs import run_in_parallel
from ..storage.clients import SIGNALS_QUEUE, Queue

DAY = timedelta(days=1)
SLICE_SECONDS = 120.0
PORTION = 1_000  # outcomes
_UNDER_WAY = frozenset({Result.PENDING, Result.STORED})


def redrive_outcomes(job: Redrive, services: Services) -> None:
    """Reopen the outcomes that the job selects, day by day.

    When the time is over, a new message continues. The first message only fixes the job's start time, so that a message
    delivered twice reopens each signal once.
    """
    organizers = services.access.restored_organizers() if job.opened else None
    started = job.started
    if started is None:
        first = services.access.first_denied_day(organizers) if organizers else job.first
        services.tasks.send(tasks.serialize_task(Task(replace(job, first=first, started=times.now()))))
        return
    deadline = time.monotonic() + SLICE_SECONDS
    cause = Cause.BACKFILL if job.backfill else Cause.REDRIVE
    days = (day for day in services.journal.outcomes.days() if job.first <= day <= job.last)
    for day in [day for day in days if not services.archive.has_expired(times.midnight(day) + DAY)]:
        after = job.after if day == job.first else None
        is_over = time.monotonic() > deadline
        if not is_over:
            is_selected = partial(_is_selected, job=job, organizers=organizers)
            after = reopen_day(day, is_selected, cause, started, services, deadline, after, job.backfill)
        if is_over or after:
            rest = replace(job, first=day, after=after)
            services.tasks.send(tasks.serialize_task(Task(rest)))
            return
    if organizers:
        services.access.finish_reopening(organizers, times.text(started))


def reopen_day(
    day: date,
    is_selected: Callable[[OutcomeSummary], bool],
    cause: Cause,
    started: datetime,
    services: Services,
    deadline: float,
    after: str | None,
    wanted: tuple[date, ...] = (),
) -> str | None:
    """Reopen the selected outcomes of a day whose names follow `after`.

    `wanted` are the first and last day that a backfill asks for. Return the last name processed before the deadline, or
    None if all were.
    """
    names = (each.name for each in services.journal.outcomes.list(day) if is_selected(each))
    for portion in itertools.batched((name for name in names if name > (after or "")), PORTION, strict=False):
        reopen_outcomes(portion, cause, started, services, wanted)
        logs.info("outcomes.redriven", date=day, count=len(portion))
        if time.monotonic() > deadline:
            return portion[-1]
    return None


def is_due(outcome: OutcomeSummary, now: datetime) -> bool:
    """Whether an outcome is due for a check, or is overdue."""
    if outcome.next_attempt is None or outcome.result in _UNDER_WAY:
        return is_overdue(outcome, now)
    return now > outcome.next_attempt


def is_overdue(outcome: OutcomeSummary, now: datetime) -> bool:
    """Whether the message of an outcome's next attempt is lost or ignored."""
    if outcome.next_attempt is None or outcome.result not in _UNDER_WAY:
        return False
    return now > outcome.next_attempt + merge.OVERDUE


def probe_denied(services: Services) -> None:
    """Retry one denied meeting of each organizer without access.

    This is how a granted access policy is noticed. If the signal has settled otherwise meanwhile, access has been
    restored.
    """
    names: list[str] = []
    for organizer, signal_id in services.access.denied_signals():
        stored = services.journal.ledger.read(signal_id) if signal_id else None
        if stored is None:
            services.access.forget(organizer)
        elif stored.record.result is Result.ACCESS_DENIED:
            names.append(services.journal.outcomes.name(signal_id, stored.record.day))
        elif stored.record.result is not Result.PENDING or not stored.record.series.is_denied:
            services.access.mark_restored(organizer)
    reopen_outcomes(names, Cause.PROBE, times.now(), services)


def reopen_outcomes(
    names: Iterable[str], cause: Cause, started: datetime, services: Services, days: tuple[date, ...] = ()
) -> None:
    """Start a new series of attempts for the signals of these outcomes.

    `started` is the start of the job, `days` are the first and last day that a backfill asks for. An outcome whose
    record is not reopened is published again, because a crash may have left it out of date. If the record was lost or
    restored and does not have the outcome's day, the outcome is merged into it. A signal that fails is skipped: its
    outcome stays due.
    """
    journal = services.journal

    def reopen(name: str) -> Record | None:
        return or_skip(
            signal_id_of(name), lambda: _reopen_signal(name, cause, started, days, journal, services.tasks)
        )

    records = run_in_parallel(reopen, list(names))
    journal.send_due([record for record in records if record], started)


def _reopen_signal(
    name: str, cause: Cause, started: datetime, days: tuple[date, ...], journal: Journal, upkeep: Queue
) -> Record | None:
    """Reopen one signal. Return its record."""
    stored = journal.ledger.read(signal_id_of(name))
    old_record = stored.record if stored else journal.outcomes.read(name)
    if old_record is None:
        return None
    if kind_of(old_record.signal_id) is None:
        _resend_message(old_record, stored, journal, upkeep)
        return None

    def change(old: Record | None) -> Record | None:
        current = (old or old_record).with_copy_in(journal.outcomes.day_of(name))
        reopened = merge.reopen_record(current, cause, started, times.now(), days)
        return reopened or (None if current == old else current)

    record, committed = journal.ledger.update(old_record.signal_id, change, new_commit(cause), stored)
    if record and committed:
        logs.info(
            "signal.repeated",
            signal=record.signal_id,
            outcome=record.result,
            meeting=record.meeting.meeting_id,
        )
    return record


def _is_selected(outcome: OutcomeSummary, job: Redrive, organizers: set[str] | None) -> bool:
    if outcome.result not in job.outcomes or (job.signals and outcome.signal_id not in job.signals):
        return False
    return (
        organizers is None
        or access.blob_key(access.refused_organizer(outcome.signal_id, outcome.organizer_id)) in organizers
    )


def _resend_message(record: Record, stored: StoredRecord | None, journal: Journal, upkeep: Queue) -> None:
    """Send an unparsed message again and remove its record.

    It is recorded again if it still cannot be parsed. If only the published copy exists, an earlier call crashed
    between the two.
    """
    buried = record.buried
    if stored and buried:
        queue = journal.queue if buried.queue == SIGNALS_QUEUE else upkeep
        queue.send(buried.text)
        logs.info("message.repeated", signal=record.signal_id, queue=buried.queue)
    journal.remove(record, stored)
