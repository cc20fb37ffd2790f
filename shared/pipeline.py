"""The queue's side of archiving: open packs, fence attempts, settle outcomes.

What an attempt decides is in `attempt`; here stands the order of the writes around it (see `outcomes`).
"""

from __future__ import annotations

import secrets
from datetime import date, datetime, timedelta
from functools import lru_cache

from shared import logs, times
from shared.attempt import Attempt, Verdict
from shared.outcomes import Filed, Outcome, Result, Superseded, better, is_stale
from shared.services import Services
from shared.signals import Signal, message, unpack

MAX_RACES = 8
ATTEMPT_SECONDS = 240.0  # well within the functionTimeout of host.json, which ends the whole process
REPEATS = timedelta(hours=4)  # for which Graph delivers a notification again


def handle(text: str, services: Services) -> None:
    """Handle one message of `meeting-signals`: a signal, or a pack that is taken apart. Raises NotOurMessage."""
    found = unpack(text)
    if len(found) == 1:
        archive(found[0], services)
        return
    for signal in found:
        services.signals.send(message(signal))
    logs.info("pack.opened", signals=len(found))


def archive(signal: Signal, services: Services) -> None:
    """Make the next attempt at a signal, unless its message was overtaken."""
    filed = services.outcomes.find(signal.id, _days(signal))
    if filed and is_stale(signal, filed.outcome):
        logs.info("signal.dropped", signal=signal.id, attempt=signal.attempt, outcome=filed.outcome.result)
        return
    attempt = Attempt(signal, filed, services)
    with services.graph.within(ATTEMPT_SECONDS):
        verdict = attempt.confirm() if filed and filed.outcome.result is Result.STORED else attempt.run()
        truth = (
            _settle(signal, verdict, attempt.filed, services)
            if verdict
            else attempt.filed and attempt.filed.name
        )
        if filed and filed.name != truth:
            services.outcomes.remove(filed.name)  # filed before the day was known
        attempt.store_missing()


def _days(signal: Signal) -> tuple[date, ...]:
    """Where an outcome may lie before the call record is read: where it was filed, or by the time of first sight.

    That can be the day before, for Graph repeats a notification for hours.
    """
    if signal.filed:
        return (signal.filed,)
    return tuple(dict.fromkeys((signal.first_seen.date(), (signal.first_seen - REPEATS).date())))


def _settle(signal: Signal, verdict: Verdict, filed: Filed | None, services: Services) -> str:
    """Enqueue the next attempt, then write the outcome: in this order a crash forks nothing (see outcomes).

    The name of the blob that holds the outcome now.
    """
    outcome = _outcome(signal, verdict)
    if verdict.delay is not None and outcome.ticket:
        following = signal.following(outcome.ticket, outcome.day, denied=signal.denied or verdict.denied)
        services.signals.send(message(following), verdict.delay)
    for _ in range(MAX_RACES):
        old = filed.outcome if filed else None
        written = better(outcome, old, stale=is_stale(signal, old))
        if filed and written is None:
            logs.info("outcome.kept", signal=signal.id, outcome=filed.outcome.result)
            return filed.name
        if written is not None:
            try:
                services.outcomes.write(written, filed)
            except Superseded:
                filed = services.outcomes.find(signal.id, dict.fromkeys((outcome.day, *_days(signal))))
                continue
            _tell(signal, written)
            return services.outcomes.name(signal.id, written.day)
    raise Superseded(f"outcome of {signal.id}")


def _outcome(signal: Signal, verdict: Verdict) -> Outcome:
    again = verdict.delay is not None
    pending = again and verdict.result is not Result.STORED
    now = times.now()
    return Outcome(
        signal_id=signal.id,
        result=Result.PENDING if pending else verdict.result,
        first_seen=signal.first_seen,
        attempt=signal.attempt + 1,
        settled=None if pending else now,
        next_attempt=_after(now, verdict.delay),
        ticket=secrets.token_hex(8) if again else None,
        meeting=verdict.meeting,
        reports=verdict.reports,
        last_error=verdict.error,
    )


def _after(now: datetime, delay: int | None) -> datetime | None:
    return None if delay is None else now + timedelta(seconds=delay)


def _tell(signal: Signal, outcome: Outcome) -> None:
    logs.info(
        "signal.settled" if outcome.result is not Result.PENDING else "signal.pending",
        signal=signal.id,
        outcome=outcome.result,
        attempt=outcome.attempt,
        meeting=outcome.meeting.meeting_id,
        reports=len(outcome.reports),
        nextAttempt=outcome.next_attempt,
        error=outcome.last_error,
        traceparent=signal.traceparent,
    )
    if outcome.result is Result.ACCESS_DENIED:
        _tell_access_denied(outcome.meeting.organizer_id)


@lru_cache(maxsize=10_000)
def _tell_access_denied(organizer_id: str | None) -> None:
    """Say it with its cure, once per organizer and instance: the cache remembers who was told."""
    logs.error("access.denied", organizer=organizer_id, cure=_POLICY if organizer_id else _CALL_RECORDS)


_CALL_RECORDS = "Grant the application permission CallRecords.Read.All to the app's identity."
_POLICY = (
    "Grant OnlineMeetings.Read.All and OnlineMeetingArtifact.Read.All to the app's identity, and an application "
    "access policy to the organizer: New-CsApplicationAccessPolicy -Identity AttendanceReports -AppIds <client id>; "
    "Grant-CsApplicationAccessPolicy -PolicyName AttendanceReports -Identity <organizer>"
)
