"""One attempt to archive the attendance reports of one meeting session.

        complete the meeting's facts ─▶ locate its reports ─▶ select those of the session ─▶ store them

Every answer of Microsoft Graph, including an error, ends in a verdict. A storage error propagates, and the queue
delivers the message again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from .. import logs, times
from ..archive.reports import LONGEST_MEETING, StoreResult, report_name
from ..errors import AccessDenied, GraphError, NotFound, Refused, Throttled, Unavailable
from ..graph import reports
from ..graph.reports import Report, ReportHeader, ReportLocation
from ..ledger.record import Cause, NextAttempt, Purpose, Record, Result, StoredReport
from ..messages.signals import Meeting, SignalKind, kind_of
from ..services import Services
from ..settings import Settings
from . import backoff
from .matching import Selection
from .sources import EventSource, MeetingSource, ReportSource, is_channel, is_in_scope

FRESH = timedelta(minutes=60)  # after a report's end; a report read this early is read a second time
# Statuses with which Graph permanently refuses the report of a channel meeting.
_UNSUPPORTED = frozenset({400, 405, 501})
_BY_RECORD = frozenset({Result.NOT_A_MEETING, Result.EXTERNAL_ORGANIZER, Result.OUT_OF_SCOPE})
# Checked again after some days. If a later check of a stored report fails, it is not the last check either.
_MAY_CHANGE = frozenset({Result.FAILED, Result.NOT_FOUND, Result.NO_REPORT, Result.STORED})


@dataclass(frozen=True)
class Verdict:
    """The end of an attempt: a final `result`, or a retry after `delay` seconds.

    `result` also becomes final when the retries are used up. `needs_second_read`: the next attempt reads fresh reports
    again. `is_doubtful`: the report may belong to another session or may still change, or the refusal may end.
    """

    result: Result
    meeting: Meeting
    reports: tuple[StoredReport, ...] = ()
    delay: int | None = None
    is_denied: bool = False
    failure: GraphError | None = None
    needs_second_read: bool = False
    is_doubtful: bool = False


def record_after(record: Record, verdict: Verdict, settings: Settings) -> Record:
    """Return the record after an attempt with this verdict."""
    now, attempt = times.now(), record.attempt + 1
    is_pending = verdict.delay is not None and verdict.result is not Result.STORED
    following = None
    if verdict.delay is not None:
        at = now + timedelta(seconds=verdict.delay)
        following = NextAttempt(attempt, at, Purpose.CONFIRM if verdict.needs_second_read else Purpose.TRY)
    elif verdict.is_doubtful or (
        verdict.result is not Result.STORED and {verdict.result, record.result} & _MAY_CHANGE
    ):
        closed = record.first_seen + timedelta(seconds=settings.retry_window)
        next_look = backoff.look_again(closed, now)
        following = NextAttempt(attempt, next_look, Purpose.LOOK) if next_look else None
    series = record.series
    return replace(
        record,
        result=Result.PENDING if is_pending else verdict.result,
        attempt=attempt,
        series=replace(series, attempts=series.attempts + 1, is_denied=series.is_denied or verdict.is_denied),
        next=following,
        settled=None if is_pending else now,
        stored=record.stored or (now if verdict.reports else None),
        meeting=verdict.meeting,
        reports=verdict.reports,
        last_error=str(verdict.failure) if verdict.failure else None,
        buried=None,
    )


class Attempt:
    """One attempt; `meeting` holds the known facts and gains those that Graph returns."""

    def __init__(self, record: Record, services: Services) -> None:
        self._record = record
        self._series = record.series
        self._graph = services.graph
        self._settings = services.settings
        self._archive = services.archive
        self._sealing = services.sealing
        self._now = times.now()
        self._stored: dict[str, StoredReport] = {}
        self._other_reports: tuple[ReportLocation, tuple[ReportHeader, ...]] | None = None
        self._is_second_read = record.next is not None and record.next.purpose is Purpose.CONFIRM
        self._source: ReportSource = (
            EventSource(record, services.graph, services.settings)
            if kind_of(record.signal_id) is SignalKind.REPORT_READY
            else MeetingSource(
                record, services.graph, services.settings, services.meeting_ids, services.watch
            )
        )
        self.meeting = record.meeting

    def run(self) -> Verdict:
        """Make the attempt."""
        if self._has_expired():
            return self._expire()
        if self._is_second_read and self._record.result is Result.STORED:
            return self._read_again()
        try:
            if result := self._previous_decision():
                return self._settle(result)
            if self._source.is_incomplete(self.meeting):
                self.meeting, decision = self._source.resolve_meeting(self.meeting)
                if decision:
                    return self._settle(decision)
            if self._has_expired():
                return self._expire()
            return self._fetch_reports()
        except GraphError as failure:
            return self._handle_failure(failure)

    def _read_again(self) -> Verdict:
        """Read the stored reports again and replace those that grew.

        If reading fails, another read is planned.
        """
        earlier = self._record.reports
        try:
            if self._source.is_incomplete(self.meeting):  # an erased organizer is not recorded
                self.meeting, _ = self._source.resolve_meeting(self.meeting)
            self.meeting, where = self._source.locate_reports(self.meeting)
            reread = tuple(self._store(where, each.id, before=each) for each in earlier)
        except GraphError as failure:
            verdict = self._handle_failure(failure)
            return replace(
                verdict,
                result=Result.STORED,
                reports=earlier,
                is_denied=False,
                needs_second_read=True,
                is_doubtful=True,
            )
        return self._settle(Result.STORED, reports=reread)

    def _previous_decision(self) -> Result | None:
        """Return an earlier decision from the call record.

        None if there is none, or if the organizer has come into scope since.
        """
        before, organizer = self._record.result, self.meeting.organizer_id
        if before is Result.OUT_OF_SCOPE and organizer and is_in_scope(organizer, self._settings):
            return None
        return before if before in _BY_RECORD else None

    def _fetch_reports(self) -> Verdict:
        """Store the reports of the session and remember the meeting's other reports."""
        try:
            self.meeting, where = self._source.locate_reports(self.meeting)
        except Refused as failure:
            return self._settle(Result.NOT_FOUND, failure=failure)
        is_backfill = self._series.cause is Cause.BACKFILL
        selection = self._source.select_reports(self.meeting, where, self._now)
        try:
            is_ready = self._store_session(where, selection)
        except GraphError as failure:
            return self._handle_report_failure(failure)
        if self._has_expired():  # of a virtual event, only the report tells when it ended
            return self._expire()
        others = (*selection.nearby, *selection.unrelated)
        if is_backfill and (error := self._store_others(where, others)):
            verdict = self._handle_failure(error)  # the next attempt skips the reports that are stored
            stored = tuple(self._stored.values())
            return (
                replace(verdict, result=Result.STORED, reports=stored, is_denied=False)
                if is_ready
                else verdict
            )
        self._other_reports = None if is_backfill else (where, others)
        if is_ready:
            return self._settle(Result.STORED)
        delay = self._readiness_delay()
        if delay is None and (
            last := (*selection.unfinished, *selection.nearby)
        ):  # the retry window is over, and no better report has appeared
            for report in last:
                self._store(where, report.id)
            return Verdict(Result.STORED, self.meeting, tuple(self._stored.values()), is_doubtful=True)
        return Verdict(Result.NO_REPORT, self.meeting, delay=delay)

    def _store_session(self, where: ReportLocation, selection: Selection) -> bool:
        """Store the session's own reports. Return whether there were any."""
        if not selection.matching:
            return False
        for report in (*selection.matching, *selection.unfinished):
            self._store(where, report.id)
        return True

    def store_other_reports(self) -> None:
        """Store the meeting's reports of other sessions, after this one is recorded.

        Each of them has a signal of its own, so a failure here is only logged.
        """
        if self._other_reports:
            self._store_others(*self._other_reports)

    def _store_others(self, where: ReportLocation, others: tuple[ReportHeader, ...]) -> GraphError | None:
        """Store the reports that are not stored yet, and skip refused ones.

        Return the failure that ended the loop, if any.
        """
        for report in others:
            try:
                if not self._is_stored(report):
                    with reports.read_report(self._graph, where, report.id) as full_report:
                        self._mark_days(full_report)
                        with logs.about(requestId=self._graph.request_id):
                            self._archive.store(full_report, where)
            except GraphError as failure:
                logs.warning(
                    "report.skipped",
                    report=report.id,
                    meeting=where.meeting_id,
                    error=str(failure),
                    requestId=failure.request_id or None,
                )
                if isinstance(failure, Throttled | Unavailable):
                    return failure
        return None

    def _mark_days(self, report: Report) -> None:
        """Mark the days in which the report's blob is written or may be deleted."""
        last = report.end.date()
        first = max(report.start or report.end, report.end - LONGEST_MEETING).date()
        for number in range((last - first).days + 1):
            self._sealing.mark_changed(first + timedelta(days=number))

    def _is_stored(self, report: ReportHeader) -> bool:
        """Whether a report is stored, or must not be because it is older than what is kept."""
        return report.end is not None and (
            self._archive.has_expired(report.end) or self._archive.has_report(report.id, report.end)
        )

    def _has_expired(self) -> bool:
        return self.meeting.end is not None and self._archive.has_expired(self.meeting.end)

    def _expire(self) -> Verdict:
        """Settle a meeting of which nothing is kept any more, and keep nothing of it."""
        failure = Refused("archive", "the meeting ended longer ago than RETENTION_DAYS")
        return Verdict(Result.OUT_OF_SCOPE, Meeting(event=self.meeting.event), failure=failure)

    def _store(
        self, where: ReportLocation, report_id: str, *, before: StoredReport | None = None
    ) -> StoredReport:
        """Read and store one report; if it was stored `before`, only if it grew."""
        with reports.read_report(self._graph, where, report_id) as report:
            if before and report.end < before.end:
                return before
            self.meeting = self._source.complete_from_report(self.meeting, report)
            self._mark_days(report)
            with logs.about(requestId=self._graph.request_id):
                stored = self._archive.store(report, where, only_grown=before is not None)
            if before and stored is StoreResult.KEPT:
                return before
            stored_report = StoredReport(report.id, report.end, report_name(report.id, report.end))
        self._stored[report_id] = stored_report
        return stored_report

    def _settle(
        self, result: Result, *, reports: tuple[StoredReport, ...] = (), failure: GraphError | None = None
    ) -> Verdict:
        """Return a final verdict, with a second read if a stored report is fresh."""
        stored = reports or tuple(self._stored.values())
        delay = self._second_read_delay(stored) if result is Result.STORED else None
        return Verdict(
            result, self.meeting, stored, delay, failure=failure, needs_second_read=delay is not None
        )

    def _second_read_delay(self, stored: tuple[StoredReport, ...]) -> int | None:
        """Return the seconds until the second read, or None if none is due.

        This attempt invalidates a second read that is already queued, so it plans it again.
        """
        if self._is_second_read:
            return None
        if any(self._now - report.end < FRESH for report in stored):
            return self._settings.confirm_after or None
        return None

    def _handle_failure(self, failure: GraphError) -> Verdict:
        """Return the verdict for a failed Graph request."""
        delay = self._retry_delay()
        match failure:
            case AccessDenied() if self._series.is_denied:
                return Verdict(Result.ACCESS_DENIED, self.meeting, failure=failure)
            case AccessDenied():
                delay = self._retry_delay(denied=True)
                return Verdict(Result.ACCESS_DENIED, self.meeting, (), delay, is_denied=True, failure=failure)
            case NotFound():
                delay = self._readiness_delay()
                return Verdict(Result.NOT_FOUND, self.meeting, delay=delay, failure=failure)
            case Throttled():
                delay = backoff.throttled_delay(delay, failure.retry_after)
                return Verdict(Result.FAILED, self.meeting, delay=delay, failure=failure)
            case _:
                return Verdict(Result.FAILED, self.meeting, delay=delay, failure=failure)

    def _handle_report_failure(self, failure: GraphError) -> Verdict:
        """Return the verdict for a listed report that could not be read.

        In a channel meeting that can be final.
        """
        if isinstance(self._source, EventSource) and isinstance(failure, Refused):
            return self._settle(Result.NOT_FOUND, failure=failure)
        verdict = self._handle_failure(failure)
        if not is_channel(self.meeting):
            return verdict
        if failure.status in _UNSUPPORTED:
            return self._settle(Result.NOT_SUPPORTED, failure=failure)
        if isinstance(failure, AccessDenied | NotFound):
            return replace(verdict, result=Result.NOT_SUPPORTED, is_doubtful=True)
        return verdict

    def _readiness_delay(self) -> int | None:
        """Return the seconds until a missing report may exist, or None.

        None once the retry window has closed. It starts at the notification; for a swept call, at its end. A signal
        that is reopened later, or was swept long after the end, gets a single attempt.
        """
        is_swept = self._series.cause in (Cause.SWEEP, Cause.BACKFILL)
        start = self.meeting.end if is_swept and self.meeting.end else self._record.first_seen
        if self._now - start >= timedelta(seconds=self._settings.retry_window):
            return None
        return self._retry_delay()

    def _retry_delay(self, *, denied: bool = False) -> int | None:
        """Return the seconds until the next try after a failure, or None.

        None once the window has closed that began with this series of attempts.
        """
        return backoff.delay(
            since=self._series.began,
            attempt=self._series.attempts,
            now=self._now,
            first_delay=self._settings.retry_first_delay,
            window=self._settings.retry_window,
            denied=denied,
        )
