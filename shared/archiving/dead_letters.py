"""Burying: a message that cannot be handled becomes an outcome `failed` that holds its text, so nothing is lost.

The platform's poison queue forgets after seven days; an outcome stays, shows in every count, and can be taken up again
(`redrive`). A message that nobody can read has no signal: its outcome is named after the message.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta

from .. import logs, times
from ..errors import NotOurMessage
from ..ledger.fence import partitions
from ..ledger.outcome import Buried, Outcome, Result
from ..ledger.outcomes import Superseded, overtaken
from ..messages import rich_notifications, tasks
from ..messages.rich_notifications import Encrypted
from ..messages.signals import Meeting, Signal, message
from ..messages.tasks import Backfill, Redrive
from ..services import Services
from ..storage.clients import SIGNALS_QUEUE, UPKEEP_QUEUE
from . import backoff

MOST_DRAINED = 1_000
TRIED_OUT = "Handling the message failed as often as the queue allows."


def bury(text: str, services: Services) -> None:
    """Bury a message of the poison queue of `meeting-signals`: a signal, a pack, rich items, or something else.

    Of rich items stays that their meetings are to be looked at: neither ciphertext nor tokens are kept.
    """
    try:
        found = rich_notifications.read(text)
    except NotOurMessage as failure:
        bury_unread(text, SIGNALS_QUEUE, str(failure), services)
        return
    for signal in found.looks() if isinstance(found, Encrypted) else found:
        with logs.about(signal=signal.id, traceparent=signal.traceparent):
            _bury_signal(signal, services)


def drain(services: Services) -> None:
    """Empty the poison queue of `upkeep`, on which no function listens.

    What an operator asked for is buried, for he may ask again; every other task comes again by itself.
    """
    for text in services.spoilt_tasks.drain(MOST_DRAINED):
        try:
            job = tasks.parse(text).job
        except NotOurMessage as failure:
            bury_unread(text, UPKEEP_QUEUE, str(failure), services)
            continue
        if isinstance(job, Backfill | Redrive):
            bury_unread(text, UPKEEP_QUEUE, TRIED_OUT, services)
        else:
            logs.error("task.dropped", task=job.kind, error=TRIED_OUT)


def bury_unread(text: str, queue: str, problem: str, services: Services) -> None:
    """Bury a message that this version cannot read. The same text is buried once a day."""
    now = times.now()
    name = f"msg-{hashlib.sha256(text.encode(errors='backslashreplace')).hexdigest()[:32]}"
    outcome = Outcome(
        name, Result.FAILED, now, 0, settled=now, last_error=problem, buried=Buried(queue, text)
    )
    try:
        services.outcomes.write(outcome, None)
    except Superseded:
        return
    logs.error("message.buried", signal=name, outcome=outcome.result, queue=queue, error=problem)


def _bury_signal(signal: Signal, services: Services) -> None:
    filed = services.outcomes.find(signal.id, partitions(signal))
    if overtaken(signal, filed):
        return
    now = times.now()
    closed = signal.first_seen + timedelta(seconds=services.settings.retry_window)
    outcome = Outcome(
        signal_id=signal.id,
        result=Result.FAILED,
        first_seen=signal.first_seen,
        attempt=signal.attempt + 1,
        settled=now,
        next_attempt=backoff.look_again(max(closed, now), now),
        meeting=(filed.outcome.meeting if filed else signal.meeting) or Meeting(),
        last_error=TRIED_OUT,
        buried=Buried(SIGNALS_QUEUE, message(signal)),
    )
    services.sealing.note(outcome.day)
    if filed:
        services.sealing.note(services.outcomes.day_of(filed.name))
    _, written = services.outcomes.settle(signal, outcome, filed)
    logs.error(
        "signal.buried",
        attempt=outcome.attempt,
        outcome=written.result if written else None,
        meeting=outcome.meeting.meeting_id,
        error=TRIED_OUT,
    )
