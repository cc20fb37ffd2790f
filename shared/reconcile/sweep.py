"""Reconciliation: find meetings that Graph did not announce, and overdue signals.

Graph does not report a lost notification, so this is the only recovery. A scan is a chain of short queue messages (see
`storage.scans`). Each time slice works for some minutes on three parts, one after another: overdue outcomes, the list
of call records, and virtual events.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import date, datetime, timedelta

from .. import logs, times
from ..archiving import backoff, dead_letters, redrive
from ..errors import describe, retry_after
from ..ledger import access
from ..ledger.publish import OutcomeSummary
from ..ledger.record import Cause, Result
from ..messages import tasks
from ..messages.tasks import Backfill, Redrive, RefreshDay, Sweep, Task
from ..services import Services
from ..storage.blobs import concerns_all
from ..storage.scans import FULL, RECENT, OverdueCursor, Scan
from . import windows
from .call_records import CallScan, OutcomeIndex, is_dead_link
from .events import EventScan
from .slices import Slice

DAY = timedelta(days=1)
SCOPE = "sweep/scope.json"
SCOPE_REACH = timedelta(days=31)  # call records are kept 30 days
BY_ORGANIZER = frozenset({Result.EXTERNAL_ORGANIZER, Result.OUT_OF_SCOPE})
GAP = "gap"  # the scan of the time around a gap between two subscriptions
REQUEST_SECONDS = 180.0  # of a slice, after which it begins no request
MAX_FAILURES = 6  # in a row, of one chain; the timer takes it up again
GIVE_UP_AFTER = 4 * MAX_FAILURES  # failures in a row: some hours


def run_sweep(services: Services) -> None:
    """Begin or resume the scans that are due, and refresh the manifests of open days.

    Called by the timer.
    """
    now, settings = times.now(), services.settings
    services.scans.resume()
    services.scans.begin(windows.recent_scan(_last_scan(RECENT, services), settings, now))
    if windows.is_full_scan_due(_last_scan(FULL, services), settings, now):
        scan = windows.full_scan(services.sealing.list_unsealed_days(), settings, now)
        if services.scans.begin(scan):
            redrive.probe_denied(services)
    _compare_scope(services)
    if services.access.restored_organizers():
        services.access.reopen()
    _queue_refreshes(services)
    dead_letters.drain_tasks(services)


def _compare_scope(services: Services) -> None:
    """Reopen outcomes that the organizer decided, if the scope has changed.

    The scope is TENANT_ID and ORGANIZERS; its hash is kept from run to run.
    """
    settings, state = services.settings, services.state
    content = json.dumps([settings.tenant_id, sorted(settings.organizers)])
    scope, entry = {"sha256": hashlib.sha256(content.encode()).hexdigest()}, state.read(SCOPE)
    if entry and entry.content == scope:
        return
    if entry:
        today = times.now().date()
        logs.info("scope.changed")
        services.tasks.send(tasks.serialize_task(Task(Redrive(BY_ORGANIZER, today - SCOPE_REACH, today))))
    state.put(SCOPE, scope)


def begin_backfill(job: Backfill, services: Services) -> None:
    """Begin a scan of the requested window, as far back as Graph lists calls."""
    now, is_backfill = times.now(), not job.missing_only
    scan = windows.backfill_scan(
        backfill_name(job), job.start, job.end, services.settings, now, is_backfill=is_backfill
    )
    if scan is None:
        logs.warning("backfill.empty", start=job.start, end=job.end)
    else:
        services.scans.begin(scan)


def backfill_name(job: Backfill) -> str:
    """Return the name of a backfill's scan; scans for missing calls share one."""
    if job.missing_only:
        return GAP
    return f"backfill-{job.start:%Y%m%d%H%M}-{job.end:%Y%m%d%H%M}"


def run_slice(job: Sweep, services: Services) -> None:
    """Run one slice of a scan and send the message of the next."""
    stored = services.scans.read(job.look)
    if stored and not stored.scan.finished and job.step == stored.scan.step - 1:
        services.scans.send(stored.scan)  # this slice is done, but its successor may not have been sent
        return
    if stored is None or stored.scan.finished or job.step != stored.scan.step:
        logs.info("sweep.dropped", look=job.look, step=job.step)
        return
    work, delay = _ScanParts(Slice(stored.scan, services)), 0
    try:
        with services.graph.within(REQUEST_SECONDS):
            work.run()
    except Exception as failure:
        if concerns_all(failure):
            raise
        delay = backoff.upkeep_delay(stored.scan.failures, retry_after(failure))
        work.handle_failure(failure)
    now = times.now()
    scan = replace(work.slice.scan, step=job.step + 1, updated=now, next=now + timedelta(seconds=delay))
    if scan.finished:
        _finish_scan(scan, services)  # before saving, because a finished scan is not resumed
    if not services.scans.save(scan, stored):
        logs.info("sweep.dropped", look=job.look, step=job.step)
    elif not scan.finished and (scan.failures == 0 or scan.failures % MAX_FAILURES):
        services.scans.send(scan, delay)


class _ScanParts:
    """The three parts of a scan."""

    def __init__(self, work: Slice) -> None:
        self.slice = work
        index = OutcomeIndex(work.services.journal.outcomes)
        self._overdue = OverdueScan(work)
        self._calls = CallScan(work, index)
        self._events = EventScan(work, index)

    def run(self) -> None:
        """Run the parts until the time is over or the scan is done.

        Raises a GraphError, among others; the scan then holds what was done before it.
        """
        self._overdue.run()
        self._calls.run()
        if self.slice.scan.calls is None:
            self._events.run()
        scan = self.slice.scan
        if scan.overdue is None and scan.calls is None and scan.events is None:
            self.slice.update(finished=times.now())

    def handle_failure(self, failure: Exception) -> None:
        """Count a failure. A page that keeps failing is read another way, or skipped."""
        failures, scan = self.slice.scan.failures + 1, self.slice.scan
        self.slice.update(failures=failures, error=describe(failure))
        is_dead = is_dead_link(failure) or failures % MAX_FAILURES == 0
        part = self._overdue if scan.overdue else self._calls if scan.calls else self._events
        part.handle_failure(is_dead=is_dead, gives_up=failures >= GIVE_UP_AFTER)
        logs.warning(
            "sweep.failed",
            look=self.slice.scan.name,
            failures=self.slice.scan.failures,
            error=describe(failure),
            requestId=getattr(failure, "request_id", None) or None,
        )


class OverdueScan:
    """The part of a scan that reopens outcomes that are overdue or due for a check."""

    def __init__(self, work: Slice) -> None:
        self._work = work
        self._services = work.services
        self._denied: set[str | None] = set()
        self._days: set[date] | None = None
        self._late = 0

    def run(self) -> None:
        """Reopen outcomes until the time is over or all days are done."""
        while (cursor := self._work.scan.overdue) and self._work.has_time():
            self._reopen_day(cursor, times.now())
        self._work.update(late=self._work.scan.late + self._late)

    def handle_failure(self, *, is_dead: bool, gives_up: bool) -> None:
        """Skip a day that holds up all that follows; the next full scan retries it."""
        scan, cursor = self._work.scan, self._work.scan.overdue
        if cursor and gives_up:
            logs.error("sweep.skipped", look=scan.name, start=cursor.day, error=scan.error)
            self._work.update(overdue=_next_day(cursor), failures=0)

    def _reopen_day(self, cursor: OverdueCursor, now: datetime) -> None:
        if self._days is None:
            self._days = set(self._services.journal.outcomes.days())
        if cursor.day in self._days:
            after = redrive.reopen_day(
                cursor.day,
                lambda each: self._is_due(each, now),
                Cause.LOOK,
                self._work.scan.started,
                self._services,
                self._work.deadline,
                cursor.after,
            )
            if after:
                self._work.update(overdue=OverdueCursor(cursor.day, after))
                return
        self._work.update(overdue=_next_day(cursor))

    def _is_due(self, outcome: OutcomeSummary, now: datetime) -> bool:
        organizer = access.refused_organizer(outcome.signal_id, outcome.organizer_id)
        if (
            outcome.result == Result.ACCESS_DENIED
            and organizer not in self._denied
            and not self._may_be_erased(outcome)
        ):
            self._denied.add(organizer)  # in case the worker crashed before marking it
            self._services.access.mark_denied(organizer, outcome.signal_id)
        self._late += redrive.is_overdue(outcome, now)
        return redrive.is_due(outcome, now)

    def _may_be_erased(self, outcome: OutcomeSummary) -> bool:
        """Whether an outcome may name no organizer because they are erased."""
        if outcome.organizer_id is not None:
            return False
        return outcome.end is not None or self._services.erasures.current().people(None) is not None


def _next_day(cursor: OverdueCursor) -> OverdueCursor | None:
    """Return the cursor of the next day, or None after today."""
    following = cursor.day + DAY
    return OverdueCursor(following) if following <= times.now().date() else None


def _finish_scan(scan: Scan, services: Services) -> None:
    logs.info("sweep.finished", look=scan.name, records=scan.records, missing=scan.missing)
    if scan.name == FULL:
        services.sealing.mark_reconciled(windows.fully_listed_days(scan, services.settings))
        _queue_refreshes(services)


def _last_scan(name: str, services: Services) -> Scan | None:
    stored = services.scans.read(name)
    return stored.scan if stored else None


def _queue_refreshes(services: Services) -> None:
    for day in services.sealing.days_to_refresh():
        services.tasks.send(tasks.serialize_task(Task(RefreshDay(day))))
