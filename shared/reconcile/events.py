"""Find unannounced reports of virtual events, and events without a subscription.

Webinars and town halls are listed page by page. For each event that may have taken place in the scan's window, the
sessions are listed, and for each session its reports. The number of requests grows with pages, these events and their
sessions, but not with events long past.

Source: https://learn.microsoft.com/graph/api/virtualeventsroot-list-webinars
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from .. import logs, times
from ..archiving.sources import is_in_scope
from ..errors import AccessDenied, NotFound, Throttled, describe
from ..graph import events, reports
from ..graph.client import MAX_PAGES, checked_link, next_link, page_items
from ..graph.events import VirtualEvent
from ..graph.reports import EventReports
from ..messages import tasks
from ..messages.envelope import OPAQUE_ID
from ..messages.signals import EventKind, Meeting, Origin, report_signal_id
from ..messages.tasks import SubscribeEvent, Task
from ..storage.blobs import concerns_all
from ..storage.scans import EventCursor
from ..subscriptions import desired
from ..subscriptions.plan import is_ours
from . import windows
from .call_records import MissingSignal, OutcomeIndex, announce_missing, unclear_days
from .slices import Slice

SKIP_AFTER = 5  # consecutive failures of one event
EARLIER = timedelta(hours=30)  # than the scan's start: a session that began then may end in the window


class EventScan:
    """The part of a scan that reads virtual events; the cursor advances per event."""

    def __init__(self, work: Slice, index: OutcomeIndex) -> None:
        self._work = work
        self._services = work.services
        self._index = index
        self._subscribed: set[tuple[EventKind, str]] | None = None

    def run(self) -> None:
        """Scan until the time is over or all events are read. Raises a GraphError."""
        while (cursor := self._work.scan.events) and self._work.has_time():
            self._scan_page(cursor)

    def handle_failure(self, *, is_dead: bool, gives_up: bool) -> None:
        """Restart a list whose page cannot be read, and finally skip events of its kind."""
        scan, cursor = self._work.scan, self._work.scan.events
        if cursor and cursor.link and is_dead:
            self._work.update(events=EventCursor(cursor.kinds), restarts=scan.restarts + 1)
        if cursor and gives_up:  # the next full scan retries them; until then no day of this scan is final
            logs.error("sweep.skipped", look=scan.name, start=scan.start, error=scan.error)
            unclear = windows.add_unclear_days(scan, windows.days_of(scan))
            self._work.update(events=_next_kind(cursor), failures=0, restarts=0, unclear=unclear)

    def _scan_page(self, cursor: EventCursor) -> None:
        kind = cursor.kinds[0]
        operation = f"list {kind}s"
        page = self._services.graph.get(cursor.link or events.event_path(kind), operation)
        listed, link = page_items(page, operation), next_link(page)
        trail = cursor.trail.after(page, cursor.link, operation, MAX_PAGES)
        for item in listed[cursor.done :]:
            if not self._work.has_time():
                return
            if event := events.parse_event(kind, item):
                self._scan_event(event)
            else:
                logs.warning(
                    "record.unreadable", operation=operation, requestId=self._services.graph.request_id
                )
            cursor = replace(cursor, done=cursor.done + 1)
            self._work.update(events=cursor, failures=0, error=None)
        if link is None:
            self._work.update(events=_next_kind(cursor))
        else:
            self._work.update(events=EventCursor(cursor.kinds, checked_link(link, operation), 0, trail))

    def _scan_event(self, event: VirtualEvent) -> None:
        settings, scan = self._services.settings, self._work.scan
        if event.organizer_id and not is_in_scope(event.organizer_id, settings):
            return
        if (
            event.is_open(times.now(), desired.REPORTS_LATE)
            and (event.kind, event.id) not in self._subscribed_events()
        ):
            self._services.tasks.send(tasks.serialize_task(Task(SubscribeEvent(event.kind, event.id))))
        if scan.days or event.may_overlap(scan.start - EARLIER, scan.end, desired.REPORTS_LATE):
            self._signal_event(event)

    def _signal_event(self, event: VirtualEvent) -> None:
        """Queue an event's reports; skip one that Graph refuses or that keeps failing."""
        try:
            self._signal_reports(event)
        except (AccessDenied, NotFound) as failure:
            logs.warning(
                "event.denied", meeting=event.id, error=str(failure), requestId=failure.request_id or None
            )
        except Exception as failure:
            scan = self._work.scan
            if isinstance(failure, Throttled) or scan.failures < SKIP_AFTER or concerns_all(failure):
                raise
            logs.error("sweep.skipped", look=scan.name, meeting=event.id, error=describe(failure))
            self._work.update(unclear=windows.add_unclear_days(scan, windows.days_of(scan)))

    def _signal_reports(self, event: VirtualEvent) -> None:
        """Queue the reports of an event that have no outcome."""
        graph, missing = self._services.graph, list[MissingSignal]()
        for found in events.list_sessions(graph, event):
            for report in reports.list_reports(graph, EventReports(found.session, event.organizer_id or "")):
                if not OPAQUE_ID.match(report.id):  # no message can name it
                    logs.warning("record.unreadable", meeting=event.id, requestId=graph.request_id)
                    continue
                if report.end is None or report.end > times.now():
                    continue
                scan = self._work.scan
                self._work.update(records=scan.records + 1)
                if not scan.days and report.end < scan.start - EARLIER:
                    continue
                signal_id = report_signal_id(report.id)
                if self._index.find(signal_id, report.end) is None:
                    meeting = Meeting(
                        report.start,
                        report.end,
                        found.join_url,
                        event.organizer_id,
                        event=found.session,
                        origin=Origin.LIST,
                    )
                    missing.append(MissingSignal(signal_id, meeting))
        failed = announce_missing(missing, self._work.scan, self._services.journal)
        self._work.update(
            missing=self._work.scan.missing + len(missing), unclear=unclear_days(self._work.scan, failed, ())
        )
        for each in missing:
            logs.info(
                "signal.found",
                signal=each.signal_id,
                meeting=event.id,
                look=self._work.scan.name,
                requestId=graph.request_id,
            )

    def _subscribed_events(self) -> set[tuple[EventKind, str]]:
        """Return the events with a subscription of this app; listed once per slice."""
        if self._subscribed is None:
            ours = [
                each
                for each in self._services.subscriptions.listed()
                if is_ours(each, self._services.settings)
            ]
            self._subscribed = {
                event for each in ours if (event := desired.parse_event_resource(each.resource))
            }
        return self._subscribed


def _next_kind(cursor: EventCursor) -> EventCursor | None:
    """Return the cursor of the next kind of event, or None after the last."""
    return EventCursor(cursor.kinds[1:]) if cursor.kinds[1:] else None
