"""The sweep: what Graph lists, minus the outcomes that exist, becomes signals.

Graph says nothing about a notification that was lost, so this is the only recovery. A slice works for some minutes and
is then continued by the next message of its look (see `looks`); it reads one listing of blobs a day instead of asking
for each record. Source: https://learn.microsoft.com/graph/api/callrecords-cloudcommunications-list-callrecords
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from .. import logs, times
from ..archiving import backoff, dead_letters, redrive
from ..days.sealing import REACH
from ..errors import GraphError, NotFound, Refused, Unavailable, retry_after
from ..graph.client import items, segment
from ..ledger import access
from ..ledger.outcome import Result
from ..ledger.outcomes import Glance, Outcomes
from ..limits import Pace
from ..messages import tasks
from ..messages.signals import EventKind, FoundBy, call_record_id
from ..messages.tasks import Backfill, Refresh, Sweep, Task
from ..services import Services
from ..settings import CALL_RECORDS, VIRTUAL_EVENTS
from ..storage.scans import FULL, RECENT, Look
from . import windows
from .call_records import Known, Listed, announce, listed
from .events import EventLook

DAY = timedelta(days=1)
GAP = "gap"  # the look at the time around a gap between two subscriptions
SLICE_SECONDS = 120.0
REQUEST_SECONDS = 180.0  # of a slice, after which it begins no request
MAX_FAILURES = 6  # in a row, of one chain; the timer takes it up again
GIVE_UP_AFTER = 4 * MAX_FAILURES  # failures in a row: some hours
MAX_RESTARTS = 3  # of a day whose pages do not all come


def run(services: Services) -> None:
    """What the timer does: begin or resume the looks that are due, and have open days' manifests written."""
    now = times.now()
    services.looks.resume()
    services.looks.begin(_scoped(windows.recent(_last(RECENT, services), now), services))
    if windows.full_is_due(_last(FULL, services), services.settings, now):
        look = windows.full(services.sealing.unsealed(), services.settings, now)
        if services.looks.begin(_scoped(look, services)):
            redrive.probe(services)
    if services.access.open_organizers():
        services.access.reopen()
    _refresh(services)
    dead_letters.drain(services)


def backfill(job: Backfill, services: Services) -> None:
    """Begin a look at a window that somebody asks for, as far as Graph still lists it."""
    now = times.now()
    start, end = max(job.start, now - REACH), min(job.end, now)
    if start >= end:
        logs.warning("backfill.empty", start=job.start, end=job.end)
        return
    found_by = FoundBy.SWEEP if job.missing_only else FoundBy.BACKFILL
    look = Look(backfill_name(job), now, start, end, at=start, next=now, found_by=found_by)
    services.looks.begin(_scoped(look, services))


def backfill_name(job: Backfill) -> str:
    """The name of the look that a backfill begins; those for missing calls, which the app asks for, share one."""
    if job.missing_only:
        return GAP
    return f"backfill-{job.start:%Y%m%d%H%M}-{job.end:%Y%m%d%H%M}"


def _scoped(look: Look, services: Services) -> Look:
    """The look at what SIGNALS names: calls, virtual events, or both."""
    signals = services.settings.signals
    kinds = tuple(EventKind) if VIRTUAL_EVENTS in signals else ()
    return replace(look, kinds=kinds, at=look.at if CALL_RECORDS in signals else look.end)


def do_slice(job: Sweep, services: Services) -> None:
    """Do one slice of a look and send the message of the next."""
    kept = services.looks.read(job.look)
    if kept and not kept.look.finished and job.step == kept.look.step - 1:
        services.looks.send(kept.look)  # this message's slice is done, but perhaps the next was never sent
        return
    if kept is None or kept.look.finished or job.step != kept.look.step:
        logs.info("sweep.dropped", look=job.look, step=job.step)
        return
    work, delay = _Slice(kept.look, services), 0
    try:
        with services.graph.within(REQUEST_SECONDS):
            work.run()
    except GraphError as failure:
        delay = backoff.upkeep_delay(work.look.failures, retry_after(failure))
        work.failed(failure)
    now = times.now()
    look = replace(work.look, step=job.step + 1, updated=now, next=now + timedelta(seconds=delay))
    if look.finished:
        _finish(look, services)  # first, for a finished look is not taken up again
    if not services.looks.save(look, kept):
        logs.info("sweep.dropped", look=job.look, step=job.step)
    elif not look.finished and (look.failures == 0 or look.failures % MAX_FAILURES):
        services.looks.send(look, delay)


LISTING_RATE = 36, 20.0  # requests in seconds; Graph answers 40
_LISTING = Pace(*LISTING_RATE)


class _Slice:
    """One slice; `look` moves on with each page."""

    def __init__(self, look: Look, services: Services) -> None:
        self.look = look
        self._services = services
        self._until = time.monotonic() + SLICE_SECONDS
        self._known = Known(services.outcomes)
        self._met: set[str | None] = set()
        self._denied: set[str | None] = set()
        self._days: set[date] | None = None

    def run(self) -> None:
        """Go on until the time is over or the look is done. Raises a GraphError; `look` then is where it stopped."""
        while self.look.due and self._has_time():
            self._take_up_due(self.look.due)
        while self.look.at < self.look.end and self._has_time():
            _LISTING.wait()
            self._page()
        if self.look.at >= self.look.end and self.look.kinds:
            self._events()
        if self.look.at >= self.look.end and not self.look.due and not self.look.kinds:
            self.look = replace(self.look, finished=times.now())

    def _events(self) -> None:
        work = EventLook(self.look, self._services, self._known, self._has_time)
        try:
            work.run()
        finally:
            self.look = work.look

    def failed(self, failure: GraphError) -> None:
        """Note a failure. A page that does not come is asked for by another way, and in the end left out."""
        look, failures = self.look, self.look.failures + 1
        dead = isinstance(failure, Refused | NotFound) or failures % MAX_FAILURES == 0
        if look.link and dead:  # Graph may not take this link any more; the day, or the list, is begun anew
            look = replace(look, link=None, done=0, restarts=look.restarts + 1)
        self.look = replace(look, failures=failures, error=str(failure))
        if failures >= GIVE_UP_AFTER or look.restarts >= MAX_RESTARTS:
            if look.at < look.end:
                self._leave_out_day()
            elif look.kinds:
                self._leave_out_events()
        logs.warning(
            "sweep.failed",
            look=self.look.name,
            failures=self.look.failures,
            error=str(failure),
            requestId=failure.request_id or None,
        )

    def _leave_out_day(self) -> None:
        """The days after this one must not wait for it; the next full look will try it again."""
        last = min(self.look.at + DAY, self.look.end)
        days = {(self.look.at.date() + number * DAY).isoformat() for number in range(3)}
        unclear = tuple(sorted({*self.look.unclear, *days}))
        logs.error("sweep.skipped", look=self.look.name, start=self.look.at, error=self.look.error)
        self.look = replace(self.look, at=last, link=None, failures=0, restarts=0, unclear=unclear)

    def _leave_out_events(self) -> None:
        """The next full look will try the events of this kind again; until then no day of this one is final."""
        look = self.look
        logs.error("sweep.skipped", look=look.name, start=look.start, error=look.error)
        kinds, unclear = look.kinds[1:], windows.all_unclear(look)
        self.look = replace(look, kinds=kinds, link=None, done=0, failures=0, restarts=0, unclear=unclear)

    def _has_time(self) -> bool:
        return time.monotonic() < self._until

    def _take_up_due(self, day: date) -> None:
        now, services = times.now(), self._services
        if day in self._days_with_outcomes():
            after = redrive.take_up_day(
                day, lambda each: self._is_due(each, now), services, self._until, self.look.due_after
            )
            if after:
                self.look = replace(self.look, due_after=after)
                return
        following = day + DAY
        self.look = replace(self.look, due=following if following <= now.date() else None, due_after=None)

    def _days_with_outcomes(self) -> set[date]:
        if self._days is None:
            self._days = set(self._services.outcomes.days())
        return self._days

    def _is_due(self, outcome: Glance, now: datetime) -> bool:
        whose = access.whose(outcome.signal_id, outcome.organizer_id)
        if outcome.result == Result.ACCESS_DENIED and whose not in self._denied:
            self._denied.add(whose)  # should the one who settled it have died before saying so
            self._services.access.denied(whose, outcome.name)
        return redrive.is_due(outcome, now)

    def _page(self) -> None:
        operation = "list call records"
        end = min(self.look.at + DAY, self.look.end)
        page = self._services.graph.get(self.look.link or _path(self.look.at, end), operation)
        calls, link = items(page, operation), page.get("@odata.nextLink")
        if link is not None and (not isinstance(link, str) or "://" not in link or link == self.look.link):
            raise Unavailable(operation, "the next link is no address or repeats", status=200)
        if self.look.records == 0:
            self._services.access.opened(None)  # Graph lists call records, should it have refused them before
        missing = self._compare(calls)
        announce(missing, self.look.found_by, self._services)
        for call in missing:
            logs.info(
                "signal.found",
                signal=call_record_id(call.call_id),
                outcome=call.settled_as(self._services.settings) or Result.PENDING,
                look=self.look.name,
                requestId=self._services.graph.request_id,
            )
        self.look = replace(
            self.look,
            link=link,
            at=self.look.at if link else end,
            restarts=self.look.restarts if link else 0,
            records=self.look.records + len(calls),
            missing=self.look.missing + len(missing),
            failures=0,
            error=None,
        )

    def _compare(self, calls: list[Any]) -> list[Listed]:
        """The calls of a page that have no outcome. A backfill meets each meeting once more in spite of one."""
        missing: list[Listed] = []
        met: list[str] = []
        readable = self._readable(calls)
        for call, outcome in zip(readable, self._known.find(readable), strict=True):
            if outcome is None:
                missing.append(call)
                continue
            self._note_elsewhere(call, *outcome)
            if self._is_met_first(call):
                met.append(outcome[0])
        redrive.take_up(met, self._services, FoundBy.BACKFILL)
        return missing

    def _readable(self, calls: list[Any]) -> list[Listed]:
        """The calls of a page; one that is no call record shows in the log."""
        readable = []
        for call in map(listed, calls):
            if call:
                readable.append(call)
            else:
                logs.warning(
                    "record.unreadable", look=self.look.name, requestId=self._services.graph.request_id
                )
        return readable

    def _note_elsewhere(self, call: Listed, name: str, result: str) -> None:
        """A day one of whose calls is pending in another partition cannot be sealed by looking at the day."""
        end = call.end
        if end and result == Result.PENDING and Outcomes.day_of(name) != end.date():
            unclear = {*self.look.unclear, end.date().isoformat()}
            self.look = replace(self.look, unclear=tuple(sorted(unclear)))

    def _is_met_first(self, call: Listed) -> bool:
        """In a backfill: whether this is the first call of a meeting of ours in this slice."""
        record = call.record
        if self.look.found_by is not FoundBy.BACKFILL or not (record and record.is_meeting):
            return False
        if record.join_url in self._met or call.settled_as(self._services.settings):
            return False
        self._met.add(record.join_url)
        return True


def _finish(look: Look, services: Services) -> None:
    logs.info("sweep.finished", look=look.name, records=look.records, missing=look.missing)
    if look.name == FULL:
        services.sealing.known(windows.covered(look, services.settings))
        _refresh(services)


def _last(name: str, services: Services) -> Look | None:
    kept = services.looks.read(name)
    return kept.look if kept else None


def _refresh(services: Services) -> None:
    for day in services.sealing.stale():
        services.tasks.send(tasks.message(Task(Refresh(day))))


def _path(start: datetime, end: datetime) -> str:
    condition = f"startDateTime ge {times.text(start)} and startDateTime lt {times.text(end)}"
    return f"communications/callRecords?$filter={segment(condition)}"
