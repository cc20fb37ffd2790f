"""Queue worker: run one attempt per signal, record its outcome, queue the next.

        read the record ─▶ make the attempt ─▶ commit attempt n+1 ─▶ follow: publish the outcome, send nudge n+1

Reading from Graph and storing reports can be repeated safely. The commit is one compare-and-swap, and only one of
several workers on the same attempt succeeds. A message that is delivered again finds its attempt committed and repeats
the steps after it. So a crash at any point loses nothing and costs at most one extra message, which is dropped as out
of date.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from .. import logs, times
from ..errors import ErasureKeyError, NotFound, NotOurMessage
from ..ledger import access, merge
from ..ledger.access import AccessRegister
from ..ledger.journal import Journal
from ..ledger.record import Record, Result, new_commit
from ..ledger.redaction import redact_meeting
from ..ledger.store import StoredRecord
from ..messages import rich_notifications, tasks
from ..messages.rich_notifications import EncryptedBatch
from ..messages.signals import Message, News
from ..messages.tasks import RefreshDay, Task
from ..services import Services
from ..storage import heartbeat
from ..storage.clients import SIGNALS_QUEUE
from . import admission, call_events, dead_letters
from .attempt import Attempt, Verdict, record_after

ATTEMPT_SECONDS = 240.0  # well below the functionTimeout in host.json, which ends the whole process
_INCONCLUSIVE = frozenset({Result.FAILED, Result.ACCESS_DENIED})


def handle_signals(text: str, services: Services, *, redelivered: bool = False) -> None:
    """Handle one message of the queue `meeting-signals`.

    A message that cannot be parsed is recorded as a dead letter. One that cannot be handled without the key of erasures
    is sent again.
    """
    try:
        _handle(text, services, redelivered=redelivered)
    except ErasureKeyError as failure:
        dead_letters.return_later(text, services.journal.queue, failure)


def _handle(text: str, services: Services, *, redelivered: bool) -> None:
    try:
        content = rich_notifications.parse_message(text)
    except NotOurMessage as failure:
        dead_letters.record_unreadable(text, SIGNALS_QUEUE, str(failure), services.journal)
        return
    if isinstance(content, EncryptedBatch):
        with logs.about(traceparent=content.traceparent):
            call_events.enqueue_ended_calls(admission.admitted(content, services), services)
    elif len(content) > 1:
        with logs.about(traceparent=content[0].traceparent):
            admission.open_pack(content, services)
    else:
        (message,) = content
        with logs.about(signal=message.signal_id, traceparent=message.traceparent):
            if admission.admits(message, services):
                make_attempt(message, services, redelivered=redelivered)


def make_attempt(message: Message, services: Services, *, redelivered: bool = False) -> None:
    """Make the attempt that a message asks for, commit it and follow the record."""
    if isinstance(message, News):
        services.heartbeat.record_now(heartbeat.NOTIFICATION)
    journal, erasures = services.journal, services.erasures.current()
    stored = journal.ledger.read(message.signal_id)
    record = merge.record_for_attempt(message, stored.record if stored else None, times.now())
    if record is None:
        _handle_stale(message, stored, journal, redelivered=redelivered)
        return
    if stored is None and admission.is_left_to_sweep(message, services):
        return
    attempt = Attempt(record, services)
    with services.graph.within(ATTEMPT_SECONDS):
        verdict = attempt.run()
        if redact_meeting(verdict.meeting, erasures) is verdict.meeting:
            _mark_access(record, verdict, services.access)
        new, failure = record_after(record, verdict, services.settings), verdict.failure
        if isinstance(message, News) and new.is_unconfirmed and isinstance(failure, NotFound):
            admission.unknown_ids(message, services).spend()
        commit = new_commit(
            failure.operation if failure else "attempt",
            result=verdict.result,
            status=failure.status if failure else None,
            request_id=(failure and failure.request_id) or services.graph.request_id,
        )
        change = partial(merge.merge_attempt, new=new, attempt=record.attempt)
        current, committed = journal.ledger.update(record.signal_id, change, commit, stored)
        if current and committed:
            _log_record(current, services.graph.request_id)
            if current.result is Result.STORED:
                services.heartbeat.record_now(heartbeat.REPORT)
        else:
            logs.info(
                "outcome.kept",
                outcome=new.result,
                meeting=new.meeting.meeting_id,
                error=new.last_error,
                requestId=services.graph.request_id,
            )
        if current and (committed or redelivered):  # the faster worker may have crashed before following
            journal.follow([current])
        attempt.store_other_reports()
    if current and current.result is Result.STORED and services.sealing.shows_no_report(current.day):
        services.tasks.send(tasks.serialize_task(Task(RefreshDay(current.day))))


def _handle_stale(
    message: Message, stored: StoredRecord | None, journal: Journal, *, redelivered: bool
) -> None:
    """Handle a message that asks for no attempt.

    If it was delivered again, follow the record again, because a worker may have crashed. News completes the record.
    """
    record = stored.record if stored else None
    if stored and isinstance(message, News):
        change = partial(_add_news, news=message)
        record, _ = journal.ledger.update(message.signal_id, change, new_commit("announced"), stored)
    if record and redelivered:
        journal.follow([record])
    logs.info(
        "signal.dropped",
        attempt=getattr(message, "attempt", 0),
        outcome=record.result if record else None,
        meeting=record.meeting.meeting_id if record else None,
    )


def _add_news(record: Record | None, news: News) -> Record | None:
    return merge.add_news(record, news) if record else None


def _mark_access(record: Record, verdict: Verdict, register: AccessRegister) -> None:
    """Mark an organizer as denied or restored.

    Denied from the first 403 on; restored when Graph answers again. This happens before the commit: after a crash
    in between, this message would no longer be in turn.
    """
    organizer = access.refused_organizer(record.signal_id, verdict.meeting.organizer_id)
    if verdict.result is Result.ACCESS_DENIED:
        retry_at = None if verdict.delay is None else times.now() + timedelta(seconds=verdict.delay)
        register.mark_denied(organizer, record.signal_id, retry_at)
    was_denied = record.series.is_denied or record.result is Result.ACCESS_DENIED
    same = record.meeting.organizer_id == verdict.meeting.organizer_id
    if was_denied and (verdict.result not in _INCONCLUSIVE or not same):
        register.mark_restored(access.refused_organizer(record.signal_id, record.meeting.organizer_id))


def _log_record(record: Record, request_id: str | None) -> None:
    logs.info(
        "signal.pending" if record.result is Result.PENDING else "signal.settled",
        outcome=record.result,
        attempt=record.attempt,
        meeting=record.meeting.meeting_id,
        organizer=record.meeting.organizer_id,
        reports=len(record.reports),
        nextAttempt=record.next.at if record.next else None,
        error=record.last_error,
        requestId=request_id,
    )
