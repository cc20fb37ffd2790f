"""Changes to a ledger record: pure decisions.

Two rules hold for all of them. Information is never lost: `stored` is never replaced, a failure (`pending`, `failed`)
never hides an answer of Graph, and reports are a union. Only a reopening or an attempt raises the attempt number, each
by one.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

from ..messages.signals import Meeting, Message, News, SignalKind, kind_of
from .record import (
    BY_CALL_RECORD,
    AttemptSeries,
    Cause,
    NextAttempt,
    Purpose,
    Record,
    Result,
    StoredReport,
    record_from_news,
)

OVERDUE = timedelta(hours=2)  # after which a message counts as lost
_TROUBLE = frozenset({Result.PENDING, Result.FAILED})


def record_for_attempt(message: Message, record: Record | None, now: datetime) -> Record | None:
    """Return the record that the next attempt starts from, or None to skip it.

    A nudge whose record is gone starts a new record for a call, because Graph can be asked for everything else.
    """
    if isinstance(message, News):
        return None if record else record_from_news(message)
    if record is None:
        if kind_of(message.signal_id) is not SignalKind.CALL_RECORD:
            return None
        return Record(
            message.signal_id,
            Result.PENDING,
            now,
            message.attempt,
            AttemptSeries(now),
            traceparent=message.traceparent,
        )
    if message.attempt < record.attempt:
        return None
    return replace(record, attempt=message.attempt)


def merge_attempt(old: Record | None, new: Record, attempt: int) -> Record | None:
    """Return the record after an attempt, or None if another worker was faster.

    `attempt` is the number of attempts recorded when this one started.
    """
    if old is None:
        return new
    if attempt < old.attempt:
        return None
    merged = replace(
        new,
        first_seen=old.first_seen,
        meeting=old.meeting.merge(new.meeting),
        reports=_union(old, new),
        stored=old.stored or new.stored,
        announced=old.announced or new.announced,
        door=old.door or new.door,
        subscription_id=old.subscription_id or new.subscription_id,
        commits=old.commits,
    )
    if _replaces(new.result, old.result):
        return merged
    return replace(merged, result=old.result, settled=old.settled, buried=old.buried)


def _replaces(new: Result, old: Result) -> bool:
    """Whether a new result replaces the old one."""
    if old is Result.STORED or new in _TROUBLE:
        return new is old or old is Result.PENDING
    return new is not Result.NOT_FOUND or old in {*_TROUBLE, Result.NOT_FOUND, Result.ACCESS_DENIED}


def _union(old: Record, new: Record) -> tuple[StoredReport, ...]:
    """Return the reports of both records; if both name one, the newer."""
    return tuple({each.id: each for each in (*old.reports, *new.reports)}.values())


def reopen_record(
    old: Record, cause: Cause, started: datetime, now: datetime, days: tuple[date, ...] = ()
) -> Record | None:
    """Return the record with its next attempt due now in a new series, or None.

    `started` is when the job began that asks, `days` those that it asks for as a backfill. It begins one series a
    signal. An attempt that is under way but 2 h overdue is asked for again in its own series. A signal whose attempt
    has just been asked for is left to that, unless a backfill wants more of it.
    """
    if old.series.cause is cause and old.series.began >= started:
        return None
    now = max(now, started)  # clocks of two instances differ
    attempt, waiting = old.attempt + 1, old.next
    is_look = waiting is not None and waiting.purpose is Purpose.LOOK
    if waiting and not is_look and now > waiting.at + OVERDUE:
        return replace(old, attempt=attempt, next=NextAttempt(attempt, now, waiting.purpose))
    is_queued = waiting is not None and not is_look and old.series.attempts == 0
    if is_queued and not (cause is Cause.BACKFILL and old.series.cause is not cause):
        return None
    if cause is Cause.LOOK and not (waiting and is_look and now >= waiting.at):
        return None
    series = AttemptSeries(now, cause, days=days)
    return replace(old, attempt=attempt, series=series, next=NextAttempt(attempt, now))


def is_due_since(record: Record, started: datetime, now: datetime) -> bool:
    """Whether a record's next attempt became due after a job's start."""
    waiting = record.next
    return (
        waiting is not None
        and waiting.purpose is not Purpose.LOOK
        and started <= waiting.at <= max(now, started)
    )


def add_call_times(old: Record, listed: Meeting) -> Record | None:
    """Return the record with the times and version from Graph's list, or None.

    None if it has them already. The list's organizer is not used: it decides the result, and is read from the call
    record.
    """
    meeting = old.meeting.merge(
        Meeting(listed.start, listed.end, version=listed.version, origin=listed.origin)
    )
    return None if meeting == old.meeting else replace(old, meeting=meeting)


def revise_record(
    old: Record, listed: Meeting, decided: Result | None, reopened: AttemptSeries, now: datetime
) -> Record | None:
    """Return the record completed from Graph's list, or None if unchanged.

    It is reopened, with the series `reopened`, if Graph had not known its subject, if the call ended on another day, or
    if the list shows a meeting that the outcome excludes; but not if the list has `decided` the same. A next attempt at
    what Graph had not known is made now, because its delays are long.
    """
    denies = listed.join_url is not None and old.result in BY_CALL_RECORD and old.result != decided
    known = replace(old, meeting=old.meeting.merge(listed)) if denies else add_call_times(old, listed) or old
    has_moved = known.day != old.day and old.settled is not None and old.result != decided
    if old.is_unconfirmed and old.next and old.next.purpose is not Purpose.LOOK:
        return replace(known, attempt=old.attempt + 1, next=NextAttempt(old.attempt + 1, now))
    if (denies or has_moved or old.is_unconfirmed) and (
        again := reopen_record(known, reopened.cause, reopened.began, now, reopened.days)
    ):
        return again
    return None if known == old else known


def add_news(old: Record, news: News) -> Record | None:
    """Return the record completed from its notification, or None if unchanged."""
    if old.announced:
        return None
    return replace(
        old,
        announced=news.first_seen,
        door=news.door,
        subscription_id=news.subscription_id,
        traceparent=old.traceparent or news.traceparent,
        meeting=news.meeting.merge(old.meeting),
    )
