"""The queue's side of archiving: open packs, fence attempts, settle outcomes.

What an attempt decides is in `attempt`; here stands the order of the writes around it (see `outcomes`).
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from .. import logs, times
from ..errors import NotOurMessage
from ..ledger import access
from ..ledger.fence import partitions, stays
from ..ledger.outcome import Outcome, Result
from ..ledger.outcomes import Filed, overtaken
from ..messages import rich_notifications
from ..messages.rich_notifications import Encrypted
from ..messages.signals import FoundBy, Kind, Signal, message
from ..services import Services
from ..storage import heartbeat
from ..storage.clients import SIGNALS_QUEUE
from . import backoff, call_events, dead_letters
from .attempt import Attempt, Verdict
from .ready import ReadyAttempt

ATTEMPT_SECONDS = 240.0  # well within the functionTimeout of host.json, which ends the whole process
# Looked at again after days; a look at what is stored that tells less must not be the last one either.
_MAY_CHANGE = frozenset({Result.FAILED, Result.NOT_FOUND, Result.NO_REPORT, Result.STORED})
_SAYS_NOTHING_OF_ACCESS = frozenset({Result.FAILED, Result.ACCESS_DENIED})


def handle(text: str, services: Services) -> None:
    """Handle one message of `meeting-signals`: a signal, or a pack or rich items that are taken apart.

    What is none of these is buried.
    """
    try:
        found = rich_notifications.read(text)
    except NotOurMessage as failure:
        dead_letters.bury_unread(text, SIGNALS_QUEUE, str(failure), services)
        return
    if isinstance(found, Encrypted):
        with logs.about(traceparent=found.traceparent):
            call_events.open_all(found, services)
        return
    if len(found) == 1:
        with logs.about(signal=found[0].id, traceparent=found[0].traceparent):
            archive(found[0], services)
        return
    for signal in found:
        services.signals.send(message(signal))
    logs.info("pack.opened", signals=len(found), traceparent=found[0].traceparent)


def archive(signal: Signal, services: Services) -> None:
    """Make the next attempt at a signal, unless its message was overtaken."""
    if signal.found_by is FoundBy.NOTIFICATION and signal.attempt == 0:
        services.heartbeat.beat(heartbeat.NOTIFICATION)
    filed = services.outcomes.find(signal.id, partitions(signal))
    if overtaken(signal, filed):
        return
    attempt = (ReadyAttempt if signal.kind is Kind.REPORT_READY else Attempt)(signal, filed, services)
    with services.graph.within(ATTEMPT_SECONDS):
        stored = filed is not None and filed.outcome.result is Result.STORED
        verdict = attempt.confirm() if stored and signal.confirms else attempt.run()
        truth = (
            _settle(signal, verdict, attempt.filed, services)
            if verdict
            else attempt.filed and attempt.filed.name
        )
        if filed and filed.name != truth:  # filed before the day was known
            services.sealing.note(services.outcomes.day_of(filed.name))
            services.outcomes.remove(filed.name)
        if truth and verdict and (filed is None or verdict.meeting.end is None):
            _leave_one(signal, truth, services)
        if verdict:
            _note_access(signal, filed, verdict, services)
        attempt.store_missing()


def _settle(signal: Signal, verdict: Verdict, filed: Filed | None, services: Services) -> str:
    """Enqueue the next attempt, then write the outcome: in this order a crash forks nothing (see outcomes).

    The name of the blob that holds the outcome now.
    """
    outcome = _outcome(signal, verdict, filed, services)
    following = None
    if verdict.delay is not None and outcome.ticket:
        denied = signal.denied or verdict.denied
        following = message(
            signal.following(outcome.ticket, outcome.day, denied=denied, confirms=verdict.confirms)
        )
        services.signals.send(following, verdict.delay)
    services.sealing.note(outcome.day)
    if outcome.result is Result.ACCESS_DENIED:
        # Before the outcome: after a crash in between, the repeat of this message would be dropped.
        whose = access.whose(signal.id, outcome.meeting.organizer_id)
        services.access.denied(whose, services.outcomes.name(signal.id, outcome.day))
    name, written = services.outcomes.settle(signal, outcome, filed)
    if written is None:
        logs.info(
            "outcome.kept",
            path=name,
            outcome=outcome.result,
            meeting=outcome.meeting.meeting_id,
            error=outcome.last_error,
            requestId=services.graph.request_id,
        )
        return name
    if following and outcome.next_attempt and times.now() >= outcome.next_attempt:
        # Storage took so long that the message may have come before this outcome was there to be continued.
        services.signals.send(following)
    _tell(written, services)
    if outcome.result is Result.STORED:
        services.heartbeat.beat(heartbeat.REPORT)
    return name


def _leave_one(signal: Signal, name: str, services: Services) -> None:
    """Where another worker has filed the signal in another partition, one of the two outcomes stays."""
    for day in partitions(signal):
        if services.outcomes.name(signal.id, day) == name:
            continue
        there = services.outcomes.find(signal.id, [day])
        here = services.outcomes.read(name) if there else None
        if there and here:
            other = there.name if stays(here.outcome, there.outcome) else name
            services.sealing.note(services.outcomes.day_of(other))
            services.outcomes.remove(other)


def _outcome(signal: Signal, verdict: Verdict, filed: Filed | None, services: Services) -> Outcome:
    again = verdict.delay is not None
    pending = again and verdict.result is not Result.STORED
    now = times.now()
    following = _after(now, verdict.delay)
    before = filed.outcome.result if filed else None
    told_less = verdict.result is not Result.STORED and {verdict.result, before} & _MAY_CHANGE
    if not again and (verdict.doubtful or told_less):
        closed = signal.first_seen + timedelta(seconds=services.settings.retry_window)
        following = backoff.look_again(closed, now)
    return Outcome(
        signal_id=signal.id,
        result=Result.PENDING if pending else verdict.result,
        first_seen=signal.first_seen,
        attempt=signal.attempt + 1,
        settled=None if pending else now,
        next_attempt=following,
        ticket=secrets.token_hex(8) if again else None,
        meeting=verdict.meeting,
        reports=verdict.reports,
        last_error=verdict.error,
    )


def _after(now: datetime, delay: int | None) -> datetime | None:
    return None if delay is None else now + timedelta(seconds=delay)


def _note_access(signal: Signal, filed: Filed | None, verdict: Verdict, services: Services) -> None:
    """Where Graph refused before and does not now, the organizer has opened."""
    before = filed.outcome if filed else None
    if before is None or not (signal.denied or before.result is Result.ACCESS_DENIED):
        return
    same = before.meeting.organizer_id == verdict.meeting.organizer_id
    if verdict.result not in _SAYS_NOTHING_OF_ACCESS or not same:
        services.access.opened(access.whose(signal.id, before.meeting.organizer_id))


def _tell(outcome: Outcome, services: Services) -> None:
    logs.info(
        "signal.pending" if outcome.result is Result.PENDING else "signal.settled",
        outcome=outcome.result,
        attempt=outcome.attempt,
        meeting=outcome.meeting.meeting_id,
        organizer=outcome.meeting.organizer_id,
        reports=len(outcome.reports),
        nextAttempt=outcome.next_attempt,
        error=outcome.last_error,
        requestId=services.graph.request_id,
    )
