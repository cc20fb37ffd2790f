"""One attempt to archive the attendance reports of one meeting session.

        complete the meeting's facts ─▶ locate its reports ─▶ select those of the session ─▶ store them

Every answer of Microsoft Graph, including an error, ends in a verdict, and so does an unexpected exception. A storage
error propagates, and the queue delivers the message again.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property

from azure.core.exceptions import AzureError

from .. import logs, times
from ..archive.reports import LONGEST_MEETING, StoreResult
from ..errors import (
    AccessDenied,
    AttendanceError,
    GraphError,
    NotFound,
    Refused,
    Throttled,
    Unavailable,
    Undecided,
    Unsupported,
    describe,
)
from ..graph import reports
from ..graph.invitees import InviteeList, read_list
from ..graph.reports import MeetingReports, Report, ReportHeader, ReportLocation
from ..ledger.record import (
    BY_CALL_RECORD,
    Candidate,
    Cause,
    NextAttempt,
    Purpose,
    Record,
    Result,
    StoredReport,
)
from ..messages.signals import Meeting, SignalKind, kind_of
from ..services import Services
from ..settings import INVITEES, Settings
from . import backoff
from .matching import CLOCK_SKEW, Selection
from .sources import EventSource, MeetingSource, ReportSource, decide_by_organizer, is_channel

FRESH = timedelta(minutes=60)  # after a report's end; a report read this early is read a second time
CONFIRM_CANDIDATE = timedelta(hours=1)  # after which an equal reading may make a report smaller
MOST_OTHERS = 5  # readings that differ from a candidate, until it is dropped
# Statuses with which Graph permanently refuses the report of a channel meeting.
_UNSUPPORTED = frozenset({400, 405, 501})
# Checked again after some days. If a later check of a stored report fails, it is not the last check either.
_MAY_CHANGE = frozenset({Result.FAILED, Result.NOT_FOUND, Result.NO_REPORT, Result.STORED})


@dataclass(frozen=True)
class Verdict:
    """The end of an attempt: a final `result`, or a retry after `delay` seconds.

    `result` also becomes final when the retries are used up. `needs_second_read`: the next attempt reads the stored
    reports again. `is_doubtful`: the report may belong to another session or may still change, or the refusal may end.
    `candidates` are smaller readings that wait for an equal one.
    """

    result: Result
    meeting: Meeting
    reports: tuple[StoredReport, ...] = ()
    delay: int | None = None
    is_denied: bool = False
    failure: GraphError | None = None
    needs_second_read: bool = False
    is_doubtful: bool = False
    candidates: tuple[Candidate, ...] = ()


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
        candidates=verdict.candidates,
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
        self._heartbeat = services.heartbeat
        self._now = times.now()
        self._stored: dict[str, StoredReport] = {}
        self._own: set[str] = set()
        self._is_partial = False  # a report as Graph shows it now
        self._candidates = {each.report_id: each for each in record.candidates}
        self._unlisted: GraphError | None = None  # why the invitees could not be read this time
        self._other_reports: tuple[ReportLocation, tuple[ReportHeader, ...]] | None = None
        self._is_second_read = record.next is not None and record.next.purpose is Purpose.CONFIRM
        self._source: ReportSource = (
            EventSource(record, services.graph, services.settings)
            if kind_of(record.signal_id) is SignalKind.REPORT_READY
            else MeetingSource(record, services.graph, services.settings, services.meetings, services.watch)
        )
        self.meeting = record.meeting

    def run(self) -> Verdict:
        """Make the attempt."""
        try:
            with _faults_as_unavailable():
                verdict = self._run()
        except GraphError as failure:
            verdict = self._handle_failure(failure)
        return replace(verdict, candidates=tuple(self._candidates.values()))

    def _run(self) -> Verdict:
        if self._has_expired():
            return self._expire()
        if self._is_second_read and self._record.result is Result.STORED:
            return self._read_again()
        if decision := self._decide():
            return self._settle(decision)
        return self._expire() if self._has_expired() else self._fetch_reports()

    def _decide(self) -> Result | None:
        """Return the result if the call record or the organizer decides it, or None.

        The call record is read if a fact is unknown, and whenever a signal is reopened, because a later version may
        decide otherwise. If Graph no longer returns it, the known facts decide.
        """
        source, record = self._source, self._record
        is_probe = self._series.cause is Cause.PROBE  # of the organizer's access alone
        is_reopened = record.attempt > 0 and self._series.attempts == 0 and not is_probe
        if source.is_incomplete(self.meeting) or is_reopened or record.result in BY_CALL_RECORD:
            try:
                self.meeting, decision = source.resolve_meeting(self.meeting)
            except (NotFound, AccessDenied, Refused):
                if source.is_incomplete(self.meeting):
                    raise
            else:
                if decision:
                    return decision
        return decide_by_organizer(self.meeting, self._settings)

    def _read_again(self) -> Verdict:
        """Read the stored reports again, and new reports of the session.

        If reading fails, another read is planned.
        """
        is_doubtful, failures = False, list[GraphError]()
        for read in (self._read_session, self._read_stored):
            try:
                is_doubtful = read() or is_doubtful
            except GraphError as failure:
                failures.append(failure)
                if isinstance(failure, Throttled | Unavailable):
                    break
        if not failures:
            return replace(self._settle(Result.STORED), is_doubtful=is_doubtful)
        return replace(
            self._handle_failure(failures[0]),
            result=Result.STORED,
            reports=tuple(self._stored.values()),
            is_denied=False,
            needs_second_read=True,
            is_doubtful=True,
        )

    def _read_session(self) -> bool:
        """Read the session's reports that Graph lists now.

        Return whether the stored ones may belong to another session.
        """
        where = self._locate_again()
        selection = self._source.select_reports(self.meeting, where, self._now)
        self._store_session(where, selection)
        others = {each.id for each in (*selection.nearby, *selection.unfinished)}
        return not selection.matching and any(each.id in others for each in self._record.reports)

    def _read_stored(self) -> bool:
        """Read the stored reports, also those that Graph no longer lists."""
        where = self._locate_again()
        self._store_all(self._elsewhere(where), (each.id for each in self._record.reports))
        return False

    def _locate_again(self) -> ReportLocation:
        """Locate the reports of a stored signal.

        The record of an erased organizer's meeting has lost its facts.
        """
        if self._source.is_incomplete(self.meeting):
            self.meeting, _ = self._source.resolve_meeting(self.meeting)
        self.meeting, where = self._source.locate_reports(self.meeting)
        return where

    def _fetch_reports(self) -> Verdict:
        """Store the reports of the session and remember the meeting's other reports."""
        try:
            self.meeting, where = self._source.locate_reports(self.meeting)
        except Refused as failure:
            is_unsupported = isinstance(failure, Unsupported)
            return self._settle(Result.NOT_SUPPORTED if is_unsupported else Result.NOT_FOUND, failure=failure)
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
            self._store_all(self._elsewhere(where), (report.id for report in last))
            if self._has_expired():
                return self._expire()
            return replace(self._settle(Result.STORED), is_doubtful=True)
        return Verdict(Result.NO_REPORT, self.meeting, delay=delay)

    def _store_session(self, where: ReportLocation, selection: Selection) -> bool:
        """Store the session's own reports. Return whether there were any."""
        if not selection.matching:
            return False
        session = (report.id for report in (*selection.matching, *selection.unfinished))
        self._store_all(where, session, is_only=len(selection.matching) == 1)
        if own := {each: self._stored[each] for each in self._stored if each in self._own}:
            self._stored = own  # in a channel, others were held at the same time
        return True

    def _elsewhere(self, where: ReportLocation) -> ReportLocation:
        """The place of a report that may be another meeting's of the channel."""
        if isinstance(where, MeetingReports) and is_channel(self.meeting):
            return where.unattributed()
        return where

    def _own_location(self, where: ReportLocation, report: Report, *, is_only: bool) -> ReportLocation:
        """The place of a report with the session's times.

        In a channel it is this meeting's own if it names its organizer or, if it names nobody, is the only one.
        """
        organizer = (self.meeting.organizer_id or "").lower()
        is_own = organizer in report.organizers if report.organizers else is_only
        return where if is_own else self._elsewhere(where)

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
                if self._is_stored(report) or self._was_removed(report):
                    continue
                with (
                    _faults_as_unavailable(),
                    reports.read_report(self._graph, where, report.id) as full_report,
                ):
                    self._mark_days(full_report)
                    place = self._elsewhere(where)
                    with logs.about(requestId=self._graph.request_id):
                        invitees = self._invitees if place is where else None
                        self._archive.store(full_report, place, invitees=invitees)
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
        """Tell whether a report is stored, or is older than RETENTION_DAYS."""
        return report.end is not None and (
            self._archive.has_expired(report.end) or self._archive.has_report(report.id, report.end)
        )

    def _has_expired(self) -> bool:
        return self.meeting.end is not None and self._archive.has_expired(self.meeting.end)

    def _expire(self) -> Verdict:
        """Settle a meeting of which nothing is kept any more, and keep nothing of it."""
        self._candidates = {}
        failure = Refused("archive", "the meeting ended longer ago than RETENTION_DAYS")
        meeting = Meeting(event=self.meeting.event, origin=self.meeting.origin)
        return Verdict(Result.OUT_OF_SCOPE, meeting, failure=failure)

    def _was_removed(self, report: ReportHeader) -> bool:
        """Tell whether a missing report was deleted on purpose.

        Its day was archived, and the backfill does not ask for that day.
        """
        if not self._series.days or report.end is None:
            return False
        first, last = self._series.days
        day = report.end.date()
        return not first <= day <= last and day in self._reconciled_days

    @cached_property
    def _reconciled_days(self) -> set[date]:
        return self._sealing.reconciled_days()

    def _store_all(self, where: ReportLocation, report_ids: Iterable[str], *, is_only: bool = False) -> None:
        """Read and store these reports, but none twice in an attempt."""
        for report_id in report_ids:
            if report_id not in self._stored:
                self._stored[report_id] = self._store(where, report_id, is_only=is_only)

    def _store(self, where: ReportLocation, report_id: str, *, is_only: bool) -> StoredReport:
        """Read a report and store it, unless the stored one has more."""
        before = next((each for each in self._record.reports if each.id == report_id), None)
        with reports.read_report(self._graph, where, report_id) as report:
            self._mark_days(report)
            self._heartbeat.note_unknown(report.unknown)
            if before:
                self._sealing.mark_changed(before.end.date())
            candidate = self._candidates.get(report_id)
            is_confirmed = (
                candidate is not None
                and candidate.sha256 == report.sha256
                and report.read_at >= candidate.at + CONFIRM_CANDIDATE
            )
            place = self._own_location(where, report, is_only=is_only)
            if place is where:
                self._own.add(report_id)
            with logs.about(requestId=self._graph.request_id):
                writing = self._archive.store(
                    report,
                    place,
                    earlier=before.path if before else None,
                    is_confirmed=is_confirmed,
                    invitees=self._invitees if place is where else None,
                )
            if not writing.result.is_left or self.meeting.end is None:
                self.meeting = self._source.complete_from_report(self.meeting, report)
            self._is_partial |= report.is_partial
            self._note_candidate(report, writing.result)
        return StoredReport(report_id, writing.end, writing.name, writing.is_partial)

    @cached_property
    def _invitees(self) -> InviteeList | None:
        """Who was invited or registered, read once an attempt; None unless that is kept.

        A report is stored without it too.
        """
        if INVITEES not in self._settings.meeting_details:
            return None

        def read() -> InviteeList:
            with _faults_as_unavailable():
                return self._source.list_invitees(self.meeting)

        found, self._unlisted = read_list(read)
        return found

    def _note_candidate(self, report: Report, result: StoreResult) -> None:
        """Remember a smaller reading until an equal one follows, or too many others do."""
        candidate = self._candidates.pop(report.id, None)
        if not result.is_left or (candidate is None and result is not StoreResult.WAITING):
            return
        if candidate is None:
            self._candidates[report.id] = Candidate(report.id, report.sha256, report.read_at)
        elif result is StoreResult.WAITING and candidate.sha256 == report.sha256:
            self._candidates[report.id] = candidate
        elif candidate.others < MOST_OTHERS:
            newest = (
                (report.sha256, report.read_at)
                if result is StoreResult.WAITING
                else (candidate.sha256, candidate.at)
            )
            self._candidates[report.id] = Candidate(report.id, *newest, candidate.others + 1)

    def _settle(self, result: Result, *, failure: GraphError | None = None) -> Verdict:
        """Return a final verdict; a stored report may need another read."""
        stored = tuple(self._stored.values())
        again = self._second_reading(stored) if result is Result.STORED else None
        delay = math.ceil((again - self._now).total_seconds()) if again else None
        return Verdict(
            result, self.meeting, stored, delay, failure=failure, needs_second_read=delay is not None
        )

    def _second_reading(self, stored: tuple[StoredReport, ...]) -> datetime | None:
        """Return when these reports are read again, or None.

        This attempt invalidates a second read that is already queued, so it plans it again.
        """
        now, confirm_after, due = self._now, self._settings.confirm_after, list[datetime | None]()
        if confirm_after and not self._is_second_read and any(map(self._may_grow, stored)):
            due.append(now + timedelta(seconds=confirm_after))
        if self._is_partial or any(each.is_partial for each in stored):
            since = max(self._record.stored or now, self._series.began)
            due.append(backoff.reread(since, now, confirm_after))
        for candidate in self._candidates.values():
            at = candidate.at + CONFIRM_CANDIDATE
            due.append(at if at > now else now + CONFIRM_CANDIDATE)
        if self._unlisted and not any(due):
            delay = self._handle_failure(self._unlisted).delay
            due.append(None if delay is None else now + timedelta(seconds=delay))
        return min(filter(None, due), default=None)

    def _may_grow(self, report: StoredReport) -> bool:
        """Whether a report is fresh, or ends before its call."""
        end = self.meeting.end
        return self._now - report.end < FRESH or (end is not None and report.end < end - CLOCK_SKEW)

    def _handle_failure(self, failure: GraphError) -> Verdict:
        """Return the verdict for a failed Graph request."""
        if isinstance(failure, AccessDenied) and failure.organizer_id:
            self.meeting = replace(self.meeting, organizer_id=failure.organizer_id)
        delay = self._retry_delay()
        match failure:
            case Undecided():
                delay = self._readiness_delay()
                return Verdict(
                    Result.NOT_A_MEETING, self.meeting, delay=delay, failure=failure, is_doubtful=True
                )
            case AccessDenied() if self._series.is_denied:
                return Verdict(Result.ACCESS_DENIED, self.meeting, failure=failure)
            case AccessDenied():
                delay = self._retry_delay(denied=True)
                return Verdict(Result.ACCESS_DENIED, self.meeting, (), delay, is_denied=True, failure=failure)
            case NotFound():
                is_known = replace(self._record, meeting=self.meeting).is_known_to_graph
                delay = self._readiness_delay() if is_known else self._unknown_delay()
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

    def _unknown_delay(self) -> int | None:
        """Return the seconds until the next try at what Graph does not know, or None."""
        return backoff.unknown_delay(
            since=self._record.first_seen,
            attempt=self._series.attempts,
            now=self._now,
            first_delay=self._settings.retry_first_delay,
            window=self._settings.retry_window,
        )

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


@contextlib.contextmanager
def _faults_as_unavailable() -> Iterator[None]:
    """Turn an unexpected exception into Unavailable, which is recorded and retried."""
    try:
        yield
    except (AttendanceError, AzureError):
        raise
    except Exception as fault:
        logs.error("attempt.crashed", error=describe(fault))
        raise Unavailable("attempt", f"an unexpected {type(fault).__name__} in this product") from fault
