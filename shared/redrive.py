"""Taking up again what was settled or got stuck, from its outcome.

The outcome stays what it is until something better is known. A message that nobody could read is sent again as it was,
for a later version may read it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

from shared import access, logs, tasks, times
from shared.outcomes import Filed, Glance, Result, again
from shared.services import Services
from shared.signals import FoundBy, Signal, pack
from shared.storage import SIGNALS_QUEUE
from shared.tasks import Redrive, Task

SLICE_SECONDS = 120.0
THREADS = 8
OVERDUE = timedelta(hours=2)  # a message that is later than this will not come


def redrive(job: Redrive, services: Services) -> None:
    """Take up what settled as the job says, day by day; what is left when the time is over goes into a new message."""
    until = time.monotonic() + SLICE_SECONDS
    started = job.started or times.now()
    opened = services.access.open_organizers() if job.opened else None
    day = job.first
    while day <= job.last:
        if time.monotonic() > until:
            rest = replace(job, first=day, started=started)
            services.tasks.send(tasks.message(Task(rest)))
            return
        names = [each.name for each in services.outcomes.listed(day) if _is_asked_for(each, job, opened)]
        count = take_up(names, services)
        if count:
            logs.info("outcomes.redriven", date=day, count=count)
        day += timedelta(days=1)
    if opened:
        services.access.settle(opened, times.text(started))


def due(outcomes: Iterable[Glance], now: datetime) -> list[str]:
    """The names of those that are to be looked at again, or whose message is so late that it will not come."""
    return [
        each.name
        for each in outcomes
        if each.next_attempt
        and now > each.next_attempt + (OVERDUE if each.result in _UNDER_WAY else timedelta())
    ]


def probe(services: Services) -> None:
    """Try one denied meeting of each organizer without access again."""
    take_up(services.access.probes(), services)


def take_up(names: Iterable[str], services: Services, found_by: FoundBy = FoundBy.NOTIFICATION) -> int:
    """Send a signal for each of these outcomes; how many there were."""
    with ThreadPoolExecutor(THREADS) as threads:
        found = [filed for filed in threads.map(services.outcomes.read, names) if filed]
    signals: list[Signal] = []
    for filed in found:
        signal = again(filed.outcome, found_by)
        if signal:
            signals.append(signal)
            logs.info(
                "signal.repeated",
                signal=signal.id,
                outcome=filed.outcome.result,
                meeting=filed.outcome.meeting.meeting_id,
            )
        else:
            _send_as_it_was(filed, services)
    for text in pack(signals):
        services.signals.send(text)
    return len(found)


_UNDER_WAY = frozenset({Result.PENDING, Result.STORED})


def _is_asked_for(outcome: Glance, job: Redrive, opened: set[str] | None) -> bool:
    if outcome.result not in job.outcomes:
        return False
    return opened is None or access.key(outcome.organizer_id) in opened


def _send_as_it_was(filed: Filed, services: Services) -> None:
    buried = filed.outcome.buried
    if buried:
        queue = services.signals if buried.queue == SIGNALS_QUEUE else services.tasks
        queue.send(buried.text)
        logs.info("message.repeated", signal=filed.outcome.signal_id, queue=buried.queue)
        services.outcomes.remove(filed.name)
