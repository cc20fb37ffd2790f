"""The records of signals with what follows from them: published outcomes, and messages for the next attempts.

Following a record again is harmless, so whoever finds that a crash may have come in between does it again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from .. import times
from ..messages import signals
from ..messages.signals import Nudge
from ..storage.blobs import in_parallel
from ..storage.clients import Queue
from .merge import is_due_since
from .publish import Outcomes
from .record import Purpose, Record
from .store import Ledger, StoredRecord

LONGEST_WAIT = timedelta(days=7)  # for which a queue hides a message; the sweep does what comes later


@dataclass(frozen=True)
class Journal:
    """The ledger, the outcomes that are published from it, and the queue `meeting-signals`.

    `mark_changed` is told of each day before an outcome in it changes.
    """

    ledger: Ledger
    outcomes: Outcomes
    queue: Queue
    mark_changed: Callable[[date], None]

    def follow(self, records: Sequence[Record]) -> None:
        """Publish these records, then send a nudge for the next attempt at each."""
        latest = self.publish(records)
        # Whoever has committed since sends the message.
        self._send([each for each, now in zip(records, latest, strict=True) if now.attempt <= each.attempt])

    def ask(self, records: Sequence[Record], started: datetime) -> None:
        """Send a nudge for each attempt that fell due since a job began at `started`, then publish these records.

        In this order, because a job that is done again finds by the outcomes what is left to do.
        """
        now = times.now()
        self._send([each for each in records if is_due_since(each, started, now)])
        self.publish(records)

    def _send(self, records: Iterable[Record]) -> None:
        """Send the nudges of these records, but for looks and late attempts, which the sweep makes."""
        now, due = times.now(), list[Nudge]()
        for record in records:
            following = record.next
            if following is None or following.purpose is Purpose.LOOK:
                continue
            nudge, wait = Nudge(record.signal_id, following.attempt, record.traceparent), following.at - now
            if wait <= timedelta():
                due.append(nudge)
            elif wait <= LONGEST_WAIT:
                self.queue.send(signals.message(nudge), math.ceil(wait.total_seconds()))
        for text in signals.pack(due):
            self.queue.send(text)

    def publish(self, records: Sequence[Record]) -> list[Record]:
        """Bring the outcomes of these records up to date. Return the records as they are now."""
        for day in sorted({day for record in records for day in record.days}):
            self.mark_changed(day)
        return in_parallel(lambda record: self.outcomes.publish(record, self.ledger), records)

    def forget(self, known: Record, stored: StoredRecord | None) -> None:
        """Delete a record, unless it has changed since it was read, and with it its outcome."""
        for day in known.days:
            self.mark_changed(day)
        if stored:
            self.ledger.remove(stored)
        if self.ledger.read(known.signal_id) is None:
            self.outcomes.remove(known)
