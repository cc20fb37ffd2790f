"""The fence: which of several messages of a signal goes on, and which of several outcomes stays.

        n: attempt        worker                               a crash between two steps leaves
        1  enqueue message n+1, delayed, with a ticket         message n comes back; the ticket is in no outcome
        2  write the outcome: attempt n+1, that ticket         message n comes back, is below n+1 and is dropped
        3  complete message n                                  nothing

An outcome only improves: `stored` is never replaced by less. Pure decisions.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from .. import times
from ..messages.signals import FoundBy, Kind, Signal, kind_of
from .outcome import Outcome, Result

REPEATS = timedelta(hours=4)  # for which Graph delivers a notification again
LATE = REPEATS + timedelta(hours=3)  # the last repeat, of a call record that Graph announced late

# How much is known, from nothing to all: the better outcome stays.
_RANK = {
    Result.PENDING: 0,
    Result.FAILED: 1,
    Result.NOT_FOUND: 2,
    Result.ACCESS_DENIED: 2,
    Result.STORED: 4,
}
_KNOWN = 3


def partitions(signal: Signal) -> tuple[date, ...]:
    """Where an outcome may lie before the call record is read: where it was filed, or by the time of first sight.

    Near midnight that is not one day: Graph announces a call hours after its end and repeats that for hours, and a
    repeat can be handled before the first.
    """
    moments = (signal.first_seen, signal.first_seen - LATE, signal.first_seen + REPEATS)
    days = (signal.filed, *(moment.date() for moment in moments))
    return tuple(dict.fromkeys(day for day in days if day))


def again(outcome: Outcome, found_by: FoundBy = FoundBy.NOTIFICATION) -> Signal | None:
    """The signal that takes an outcome up: its attempt is beyond the outcome's, so a message under way is fenced off.

    What was settled gets a window of its own. None for an outcome of a message that nobody could read.
    """
    kind = kind_of(outcome.signal_id)
    if kind is None:
        return None
    anew = outcome.result is not Result.PENDING
    attempt = outcome.attempt + 1
    return Signal(
        id=outcome.signal_id,
        first_seen=outcome.first_seen,
        attempt=attempt,
        filed=outcome.day,
        meeting=None if kind is Kind.CALL_RECORD else outcome.meeting,
        found_by=found_by,
        since=times.now() if anew else None,
        base=attempt if anew else 0,
    )


def is_stale(signal: Signal, outcome: Outcome | None) -> bool:
    """Whether a message was overtaken: someone made its attempt, or another message continues the outcome."""
    if outcome is None or signal.attempt > outcome.attempt:
        return False
    return signal.attempt < outcome.attempt or signal.ticket != outcome.ticket


def stays(one: Outcome, other: Outcome) -> bool:
    """Whether the first of two outcomes of a signal stays, for it knows more.

    Two workers can file a signal at once, in two partitions, when one of them could not read the call record.
    """
    return _knowledge(one) > _knowledge(other)


def _knowledge(outcome: Outcome) -> tuple[int, bool, int]:
    return _rank(outcome.result), outcome.meeting.end is not None, -outcome.day.toordinal()


def better(new: Outcome, old: Outcome | None, *, stale: bool) -> Outcome | None:
    """What to write over `old`, or None to leave it.

    The message in turn may not replace an outcome by one that knows less; it then only moves the fence. A message
    that was overtaken while it worked (`stale`) still improves what it finds; the attempt then moves past the
    other's, whose message is dropped, and the sweep does what was to come next. Where it has nothing better, but a
    message of its own is under way that the fence would let through, the fence moves there: one of the two goes on.
    """
    if old is None:
        return new
    gain = _rank(new.result) - _rank(old.result)
    ahead = new.attempt > old.attempt
    if stale and gain <= 0:
        if not (ahead and new.ticket):
            return None
        return replace(old, attempt=new.attempt, ticket=new.ticket, next_attempt=new.next_attempt)
    if gain < 0:
        new = replace(new, result=old.result, settled=old.settled, reports=old.reports, buried=old.buried)
    if ahead or (new.attempt == old.attempt and new.ticket is not None):
        return new
    return replace(new, attempt=old.attempt + 1, ticket=None)


def _rank(result: Result) -> int:
    return _RANK.get(result, _KNOWN)
