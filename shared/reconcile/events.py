"""The part of a look that goes through virtual events: reports that nobody announced, and events without subscription.

Webinars and town halls are listed page by page. Of each event that may have been held in the look's time its sessions
are asked for, and of each session its reports: calls grow with pages, those events and their sessions, and not with
events long over. Source: https://learn.microsoft.com/graph/api/virtualeventsroot-list-webinars
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from .. import logs, times
from ..archiving.attempt import is_in_scope
from ..errors import AccessDenied, GraphError, NotFound, Throttled
from ..graph import events, reports
from ..graph.client import items, next_link
from ..graph.events import Event
from ..graph.reports import EventReports
from ..graph.subscriptions import list_subscriptions
from ..messages import tasks
from ..messages.signals import EventKind, FoundBy, Meeting, Signal, of_report
from ..messages.tasks import Subscribe, Task
from ..services import Services
from ..storage.scans import Look
from ..subscriptions import desired
from ..subscriptions.plan import is_ours
from . import call_records, windows
from .call_records import Known

SKIP_AFTER = 5  # failures in a row, of one event
EARLIER = timedelta(hours=30)  # than the look's start, for a session that ended in it


class EventLook:
    """Goes through events from where `look` is; `look` moves on with each event."""

    def __init__(self, look: Look, services: Services, known: Known, has_time: Callable[[], bool]) -> None:
        self.look = look
        self._services = services
        self._known = known
        self._has_time = has_time
        self._subscribed: set[tuple[EventKind, str]] | None = None

    def run(self) -> None:
        """Go on until the time is over or all events are done. Raises a GraphError; `look` then is where it stopped."""
        while self.look.kinds and self._has_time():
            self._page(EventKind(self.look.kinds[0]))

    def _page(self, kind: EventKind) -> None:
        operation = f"list {kind}s"
        page = self._services.graph.get(self.look.link or events.path(kind), operation)
        found, link = items(page, operation), next_link(page)
        for item in found[self.look.done :]:
            if not self._has_time():
                return
            if event := events.parse(kind, item):
                self._event(event)
            self.look = replace(self.look, done=self.look.done + 1, failures=0, error=None)
        kinds = self.look.kinds if isinstance(link, str) else self.look.kinds[1:]
        self.look = replace(self.look, kinds=kinds, link=link if isinstance(link, str) else None, done=0)

    def _event(self, event: Event) -> None:
        settings = self._services.settings
        if event.organizer_id and not is_in_scope(event.organizer_id, settings):
            return
        if (
            event.goes_on(times.now(), desired.REPORTS_LATE)
            and (event.kind, event.id) not in self._with_subscription()
        ):
            self._services.tasks.send(tasks.message(Task(Subscribe(event.kind, event.id))))
        everything = self.look.found_by is FoundBy.BACKFILL
        if everything or event.may_touch(self.look.start - EARLIER, self.look.end, desired.REPORTS_LATE):
            self._try(event, everything=everything)

    def _try(self, event: Event, *, everything: bool) -> None:
        """Signal an event's reports. One that Graph does not show, or that fails again and again, is passed over."""
        try:
            self._reports(event, everything=everything)
        except (AccessDenied, NotFound) as failure:
            logs.warning(
                "event.denied", meeting=event.id, error=str(failure), requestId=failure.request_id or None
            )
        except GraphError as failure:
            if isinstance(failure, Throttled) or self.look.failures < SKIP_AFTER:
                raise
            logs.error("sweep.skipped", look=self.look.name, meeting=event.id, error=str(failure))
            self.look = replace(self.look, unclear=windows.all_unclear(self.look))

    def _reports(self, event: Event, *, everything: bool) -> None:
        """Signal the reports of an event that have no outcome."""
        graph, signals = self._services.graph, list[Signal]()
        for session in events.sessions(graph, event):
            for report in reports.listed(graph, EventReports(session, event.organizer_id or "")):
                if report.end is None or report.end > times.now():
                    continue
                self.look = replace(self.look, records=self.look.records + 1)
                if not everything and report.end < self.look.start - EARLIER:
                    continue
                meeting = Meeting(report.start, report.end, organizer_id=event.organizer_id, event=session)
                signal = replace(
                    of_report(report.id, session, times.now(), found_by=self.look.found_by), meeting=meeting
                )
                if not self._known.has(signal.id, report.end.date()):
                    signals.append(signal)
        call_records.enqueue(signals, self._services)
        self.look = replace(self.look, missing=self.look.missing + len(signals))
        for signal in signals:
            logs.info(
                "signal.found",
                signal=signal.id,
                meeting=event.id,
                look=self.look.name,
                requestId=graph.request_id,
            )

    def _with_subscription(self) -> set[tuple[EventKind, str]]:
        """The events whose reports Graph announces to this app; listed once a slice."""
        if self._subscribed is None:
            ours = [
                each
                for each in list_subscriptions(self._services.graph)
                if is_ours(each, self._services.settings)
            ]
            self._subscribed = {found for each in ours if (found := desired.event_of(each.resource))}
        return self._subscribed
