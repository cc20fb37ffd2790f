"""One attempt at a report that Graph announced or a sweep found ready: that of a virtual event's session.

It is read by its ids, with no list to search; the event is asked only who organizes it, for the pilot's scope and for
the cure should Graph refuse.
"""

from __future__ import annotations

from dataclasses import replace

from ..errors import NotFound, Refused
from ..graph import events
from ..graph.reports import EventReports, Report
from ..ledger.outcome import Result
from .attempt import Attempt, Verdict, is_in_scope


class ReadyAttempt(Attempt):
    """An attempt at a signal of the kind `reportReady`."""

    def _must_ask(self) -> bool:
        return self.meeting.organizer_id is None

    def _resolve(self) -> Result | None:
        """Ask the event for its organizer. A result when that settles the signal."""
        session = self._where().session
        organizer = events.event(self._services.graph, session.source, session.event_id).organizer_id
        self.meeting = replace(self.meeting, organizer_id=organizer)
        if organizer and not is_in_scope(organizer, self._settings):
            return Result.OUT_OF_SCOPE
        return None

    def _where(self) -> EventReports:
        """The session's reports."""
        if self.meeting.event is None:
            raise NotFound("get attendance report", "the outcome names no session")
        return EventReports(self.meeting.event, self.meeting.organizer_id or "", self.meeting.join_url or "")

    def _fetch(self) -> Verdict:
        try:
            self._store(self._where(), self._signal.subject)
        except Refused as failure:
            return self._settled(Result.NOT_FOUND, error=str(failure))
        return self._settled(Result.STORED)

    def _note(self, report: Report) -> None:
        """The session's times are those of its report."""
        self.meeting = replace(self.meeting, start=report.start, end=report.end)
        super()._note(report)
