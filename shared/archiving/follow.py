"""Publish committed records and send their next messages.

Doing it again is harmless, so whoever finds that a crash may have come in between does it again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

from .. import times
from ..ledger.record import Purpose, Record, Result
from ..messages import signals
from ..messages.signals import Nudge
from ..services import Services
from ..storage import heartbeat
from ..storage.blobs import in_parallel

LONGEST_WAIT = timedelta(days=7)  # for which a queue hides a message; the sweep does what comes later


def follow(records: Sequence[Record], services: Services) -> None:
    """Publish these records, then ask for the next attempt at each."""
    latest = publish(records, services)
    now, due = times.now(), list[Nudge]()
    for record, current in zip(records, latest, strict=True):
        following = record.next
        if following is None or following.purpose is Purpose.LOOK or current.attempt > record.attempt:
            continue  # the sweep makes a look; and whoever committed since sends the message
        nudge, wait = Nudge(record.signal_id, following.attempt, record.traceparent), following.at - now
        if wait <= timedelta():
            due.append(nudge)
        elif wait <= LONGEST_WAIT:
            services.signals.send(signals.message(nudge), math.ceil(wait.total_seconds()))
    for text in signals.pack(due):
        services.signals.send(text)
    if any(record.result is Result.STORED for record in records):
        services.heartbeat.beat(heartbeat.REPORT)


def publish(records: Sequence[Record], services: Services) -> list[Record]:
    """Bring the outcomes of these records up to date. Return the records as they are now."""
    for day in sorted({day for record in records for day in record.days}):
        services.sealing.mark_changed(day)
    return in_parallel(lambda record: services.outcomes.publish(record, services.ledger), records)
