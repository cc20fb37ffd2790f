"""Taking up again what was settled or got stuck, from its outcome.

The outcome stays what it is until something better is known. A message that nobody could read is sent again as it was,
for a later version may read it. A day can hold any number of outcomes, so all of this is done in portions, and what is
left when the time is over goes on after the last name that was done.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime, timedelta

from .. import logs, times
from ..ledger import access
from ..ledger.fence import again
from ..ledger.outcome import Result
from ..ledger.outcomes import Filed, Glance
from ..messages import tasks
from ..messages.signals import FoundBy, Signal, pack
from ..messages.tasks import Redrive, Task
from ..services import Services
from ..storage.clients import SIGNALS_QUEUE

SLICE_SECONDS = 120.0
PORTION = 1_000  # outcomes
THREADS = 8
DAY = timedelta(days=1)
OVERDUE = timedelta(hours=2)  # a message that is later than this will not come
_UNDER_WAY = frozenset({Result.PENDING, Result.STORED})


def redrive(job: Redrive, services: Services) -> None:
    """Take up what settled as the job says, day by day; what is left when the time is over goes into a new message."""
    until = time.monotonic() + SLICE_SECONDS
    started = job.started or times.now()
    opened = services.access.open_organizers() if job.opened else None
    first = services.access.first_day(opened) if opened and not job.started else job.first
    for day in [day for day in services.outcomes.days() if first <= day <= job.last]:
        after = job.after if day == job.first else None
        over = time.monotonic() > until
        if not over:
            after = take_up_day(day, lambda each: _is_asked_for(each, job, opened), services, until, after)
        if over or after:
            rest = replace(job, first=day, started=started, after=after)
            services.tasks.send(tasks.message(Task(rest)))
            return
    if opened:
        services.access.settle(opened, times.text(started))


def take_up_day(
    day: date, wanted: Callable[[Glance], bool], services: Services, until: float, after: str | None
) -> str | None:
    """Take up the wanted outcomes of a day, those after the name `after`.

    The last name that was done when the time was over, None when all are.
    """
    names = (each.name for each in services.outcomes.listed(day) if wanted(each))
    for portion in itertools.batched((name for name in names if name > (after or "")), PORTION, strict=False):
        take_up(portion, services)
        logs.info("outcomes.redriven", date=day, count=len(portion))
        if time.monotonic() > until:
            return portion[-1]
    return None


def is_due(outcome: Glance, now: datetime) -> bool:
    """Whether it is to be looked at again, or its message is so late that it will not come."""
    if outcome.next_attempt is None:
        return False
    return now > outcome.next_attempt + (OVERDUE if outcome.result in _UNDER_WAY else timedelta())


def probe(services: Services) -> None:
    """Try one denied meeting of each organizer without access again. One that was settled meanwhile has opened."""
    names: list[str] = []
    for organizer, name in services.access.probes():
        filed = services.outcomes.read(name) if name else None
        if filed is None:
            services.access.forget(organizer)
        elif filed.outcome.result is Result.ACCESS_DENIED:
            names.append(name)
        else:
            services.access.opened(organizer)
    take_up(names, services)


def take_up(names: Iterable[str], services: Services, found_by: FoundBy = FoundBy.NOTIFICATION) -> None:
    """Send a signal for each of these outcomes."""
    signals: list[Signal] = []
    for filed in _read(names, services):
        signal = again(filed.outcome, found_by)
        if signal is None:
            _send_as_it_was(filed, services)
            continue
        signals.append(signal)
        logs.info(
            "signal.repeated",
            signal=signal.id,
            outcome=filed.outcome.result,
            meeting=filed.outcome.meeting.meeting_id,
        )
    for text in pack(signals):
        services.signals.send(text)


def _read(names: Iterable[str], services: Services) -> Iterator[Filed]:
    with ThreadPoolExecutor(THREADS) as threads:
        yield from [filed for filed in threads.map(services.outcomes.read, names) if filed]


def _is_asked_for(outcome: Glance, job: Redrive, opened: set[str] | None) -> bool:
    if outcome.result not in job.outcomes:
        return False
    return opened is None or access.key(access.whose(outcome.signal_id, outcome.organizer_id)) in opened


def _send_as_it_was(filed: Filed, services: Services) -> None:
    buried = filed.outcome.buried
    if buried:
        queue = services.signals if buried.queue == SIGNALS_QUEUE else services.tasks
        queue.send(buried.text)
        services.sealing.note(services.outcomes.day_of(filed.name))
        services.outcomes.remove(filed.name)
        logs.info("message.repeated", signal=filed.outcome.signal_id, queue=buried.queue)
