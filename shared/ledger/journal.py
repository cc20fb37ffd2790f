"""Journal: records, published outcomes and messages for the next attempts.

To follow a record is to publish its outcome and to send its next message. That can be repeated safely, and is repeated
whenever a crash may have come in between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from .. import logs, times
from ..errors import describe
from ..messages import signals
from ..messages.signals import Nudge
from ..storage.blobs import concerns_all, run_in_parallel
from ..storage.clients import Queue
from .merge import is_due_since
from .publish import Outcomes
from .record import Purpose, Record
from .store import Ledger, StoredRecord

LONGEST_WAIT = timedelta(days=7)  # a queue hides a message no longer; the sweep makes later attempts


@dataclass(frozen=True)
class Journal:
    """The ledger, the outcomes published from it, and the queue `meeting-signals`.

    `mark_changed` is called with each day before an outcome in it changes.
    """

    ledger: Ledger
    outcomes: Outcomes
    queue: Queue
    mark_changed: Callable[[date], None]

    def follow(self, records: Sequence[Record]) -> None:
        """Publish these records, then send the message for each next attempt."""
        latest = self.publish(records)
        # A worker that committed since sends its own message.
        self._send([each for each, now in zip(records, latest, strict=True) if now.attempt <= each.attempt])

    def send_due(self, records: Sequence[Record], started: datetime) -> set[str]:
        """Send the messages that became due after a job's start, then publish.

        A job that crashes in between finds the outcomes unchanged when it is repeated, so it sends the messages again.
        Return the ids of the signals whose outcome is published; any other is skipped.
        """
        now = times.now()
        self._send([each for each in records if is_due_since(each, started, now)])

        def publish(record: Record) -> Record | None:
            return or_skip(record.signal_id, lambda: self.outcomes.publish(record, self.ledger))

        self._mark_changed(records)
        return {each.signal_id for each in run_in_parallel(publish, records) if each}

    def _send(self, records: Iterable[Record]) -> None:
        """Send the next message of each record, unless the sweep makes the attempt."""
        now, due = times.now(), list[Nudge]()
        for record in records:
            following = record.next
            if following is None or following.purpose is Purpose.LOOK:
                continue
            nudge, wait = Nudge(record.signal_id, following.attempt, record.traceparent), following.at - now
            if wait <= timedelta():
                due.append(nudge)
            elif wait <= LONGEST_WAIT:
                self.queue.send(signals.serialize_message(nudge), math.ceil(wait.total_seconds()))
        for text in signals.pack_messages(due):
            self.queue.send(text)

    def publish(self, records: Sequence[Record]) -> list[Record]:
        """Publish the outcomes of these records. Return the current records."""
        self._mark_changed(records)
        return run_in_parallel(lambda record: self.outcomes.publish(record, self.ledger), records)

    def _mark_changed(self, records: Iterable[Record]) -> None:
        for day in sorted({day for record in records for day in record.days}):
            self.mark_changed(day)

    def remove(self, record: Record, stored: StoredRecord | None) -> None:
        """Delete a record and its outcome, unless it has changed since it was read."""
        for day in record.days:
            self.mark_changed(day)
        if stored:
            self.ledger.remove(stored)
        if self.ledger.read(record.signal_id) is None:
            self.outcomes.remove(record)


def or_skip[T](signal_id: str, act: Callable[[], T]) -> T | None:
    """Do something for a signal; log a failure of it alone, and return None.

    Raises what would stop the other signals as well.
    """
    try:
        return act()
    except Exception as failure:
        if concerns_all(failure):
            raise
        logs.error("sweep.skipped", signal=signal_id, error=describe(failure))
        return None
