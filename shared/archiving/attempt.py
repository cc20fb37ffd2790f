"""One attempt at one signal: the decisions from a call record to a verdict.

Call record → organizer and join URL → the online meeting → its reports → those of this session → stored. Whatever
Microsoft Graph does ends in a verdict; an error of storage goes up, and the message comes back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import date, timedelta

from .. import logs, times
from ..archive.reports import LONGEST_MEETING, Stored, report_name
from ..errors import AccessDenied, GraphError, NotFound, Refused, Throttled, Unavailable
from ..graph import meetings, reports
from ..graph.meetings import CallRecord
from ..graph.reports import MeetingReports, Report, ReportHeader, Where
from ..ledger.outcome import Outcome, Result, StoredReport
from ..ledger.outcomes import Filed, overtaken
from ..messages.signals import FoundBy, Kind, Meeting, Signal
from ..services import Services
from ..settings import Settings
from . import backoff, matching
from .matching import Selection, Session

FRESH = timedelta(minutes=60)  # a report read within this of its end is read once more
# Statuses with which Graph refuses to show a report of a channel meeting for good.
_UNSUPPORTED = frozenset({400, 405, 501})
_BY_RECORD = frozenset({Result.NOT_A_MEETING, Result.EXTERNAL_ORGANIZER, Result.OUT_OF_SCOPE})


@dataclass(frozen=True)
class Verdict:
    """How an attempt ended: settled as `result`, or to be tried again (`delay`) and settled so at the end."""

    result: Result
    meeting: Meeting
    reports: tuple[StoredReport, ...] = ()
    delay: int | None = None
    denied: bool = False
    error: str | None = None
    confirms: bool = False  # the next attempt is the second reading of a fresh report
    doubtful: bool = (
        False  # perhaps not the session's own report, not its last state, or not refused for good
    )


def decided(record: CallRecord, settings: Settings) -> Result | None:
    """What settles a signal without a look at the meeting, or None."""
    if not record.is_meeting:
        return Result.NOT_A_MEETING
    tenant, organizer = record.organizer_tenant, record.organizer_id
    if tenant and tenant.lower() != settings.tenant_id:
        return Result.EXTERNAL_ORGANIZER
    if organizer and not is_in_scope(organizer, settings):
        return Result.OUT_OF_SCOPE
    return None


def is_in_scope(organizer_id: str, settings: Settings) -> bool:
    """Whether the pilot, if this is one, holds the organizer."""
    return not settings.organizers or organizer_id.lower() in settings.organizers


class Attempt:
    """One attempt; `filed` and `meeting` are what is known, and grow as Graph answers."""

    def __init__(self, signal: Signal, filed: Filed | None, services: Services) -> None:
        self._signal = signal
        self._services = services
        self._settings = services.settings
        self._now = times.now()
        self._stored: dict[str, StoredReport] = {}
        self._missing: tuple[Where, tuple[ReportHeader, ...]] | None = None
        self.filed = filed
        self.meeting = (filed.outcome.meeting if filed else signal.meeting) or Meeting()

    def run(self) -> Verdict | None:
        """From the call record to the stored reports. None when the signal turns out to be settled already."""
        try:
            if result := self._still_decided():
                return self._settled(result)
            if self._must_ask():
                result = self._resolve()
                if self._overtaken():
                    return None
                if result:
                    return self._settled(result)
            return self._fetch()
        except GraphError as failure:
            return self._failed(failure)

    def confirm(self) -> Verdict | None:
        """Read the stored reports once more; one that grew is replaced. A reading that fails is not the last one."""
        if self.filed is None:
            return None
        outcome = self.filed.outcome
        where = self._where()
        try:
            kept = tuple(self._store(where, stored.id, before=stored) for stored in outcome.reports)
        except GraphError as failure:
            verdict, kept = self._failed(failure), outcome.reports
            return replace(
                verdict, result=Result.STORED, reports=kept, denied=False, confirms=True, doubtful=True
            )
        return self._settled(Result.STORED, reports=kept)

    def _still_decided(self) -> Result | None:
        """What the call record's own words settled before, unless the organizer has come into scope since."""
        before = self.filed.outcome.result if self.filed else None
        organizer = self.meeting.organizer_id
        if before is Result.OUT_OF_SCOPE and organizer and is_in_scope(organizer, self._settings):
            return None
        return before if before in _BY_RECORD else None

    def _must_ask(self) -> bool:
        """Whether the call record must be read, for what is needed is not known; a call event has none."""
        if self._signal.kind is Kind.CALL_EVENT:
            return self.meeting.organizer_id is None
        return None in (
            self.meeting.start,
            self.meeting.end,
            self.meeting.organizer_id,
            self.meeting.join_url,
        )

    def _resolve(self) -> Result | None:
        """Read the call record, or who organizes the watched meeting. A result when that settles the signal."""
        if self._signal.kind is Kind.CALL_EVENT:
            return self._look_up()
        record = meetings.call_record(self._services.graph, self._signal.subject)
        self.meeting = Meeting(record.start, record.end, record.join_url, record.organizer_id)
        return decided(record, self._settings)

    def _look_up(self) -> Result | None:
        """Who organizes a watched meeting: the operator said so, or its join URL does."""
        url = self.meeting.join_url or ""
        told, watched = meetings.parse_join_url(url), self._services.watch.find(url)
        organizer = watched.organizer_id if watched else told.organizer_id
        self.meeting = replace(self.meeting, organizer_id=organizer)
        record = CallRecord(True, None, self.meeting.end, url, organizer, told.tenant_id)
        return decided(record, self._settings)

    def _overtaken(self) -> bool:
        """Now that the day is known: has another message settled the signal there?"""
        if self.filed and self.filed.outcome.day == self.day:
            return False
        there = self._services.outcomes.find(self._signal.id, [self.day])
        if there is None:
            return False
        self.filed = there
        with logs.about(requestId=self._services.graph.request_id):
            return overtaken(self._signal, there)

    @property
    def day(self) -> date:
        """The partition of the signal's outcome, by what is known now."""
        return Outcome(self._signal.id, Result.PENDING, self._signal.first_seen, 0, meeting=self.meeting).day

    @property
    def _in_channel(self) -> bool:
        return meetings.parse_join_url(self.meeting.join_url or "").is_channel

    def _where(self) -> Where:
        """The meeting's reports; resolves the meeting when no attempt before has."""
        organizer_id, join_url = self.meeting.organizer_id, self.meeting.join_url
        if organizer_id is None or join_url is None:
            raise NotFound("find meeting", "the call record names no organizer")
        if self.meeting.meeting_id is None:
            meeting_id = self._services.meeting_ids.find(self._services.graph, organizer_id, join_url)
            self.meeting = replace(self.meeting, meeting_id=meeting_id)
        return MeetingReports(organizer_id, self.meeting.meeting_id or "", join_url)

    def _fetch(self) -> Verdict:
        """List the meeting's reports and store those of the session, then what else is missing."""
        try:
            where = self._where()
        except Refused as failure:
            return self._settled(Result.NOT_FOUND, error=str(failure))
        if self.meeting.end is None:
            raise NotFound("find meeting", "nobody knows when the call ended")
        try:
            listed = reports.listed(self._services.graph, where)
        except (NotFound, AccessDenied):
            self._services.meeting_ids.forget(self.meeting.organizer_id or "", self.meeting.join_url or "")
            raise
        everything = self._signal.found_by is FoundBy.BACKFILL
        session = Session(self.meeting.start, self.meeting.end)
        selection = matching.select(
            listed, session, self._now, in_channel=self._in_channel, everything=everything
        )
        try:
            ready = self._store_session(where, selection)
        except GraphError as failure:
            return self._report_refused(failure)
        others = (*selection.near, *selection.others)
        if everything and (trouble := self._store_others(where, others)):
            verdict = self._failed(trouble)  # what is stored by now is not read again
            mine = tuple(self._stored.values())
            return replace(verdict, result=Result.STORED, reports=mine, denied=False) if ready else verdict
        self._missing = None if everything else (where, others)
        if ready:
            return self._settled(Result.STORED)
        delay = self._delay_for_readiness()
        if delay is None and (last := (*selection.early, *selection.near)):  # nothing better came in the end
            for report in last:
                self._store(where, report.id)
            return Verdict(Result.STORED, self.meeting, tuple(self._stored.values()), doubtful=True)
        return Verdict(Result.NO_REPORT, self.meeting, delay=delay)

    def _store_session(self, where: Where, selection: Selection) -> bool:
        """Store the session's own reports. Whether that settles the signal."""
        if not selection.conclusive:
            return False
        for report in (*selection.conclusive, *selection.early):
            self._store(where, report.id)
        return True

    def store_missing(self) -> None:
        """Store the meeting's reports that are not this session's, once the signal is settled.

        Their own signals answer for them, so failures only show.
        """
        if self._missing:
            self._store_others(*self._missing)

    def _store_others(self, where: Where, others: tuple[ReportHeader, ...]) -> GraphError | None:
        """Store those that are not stored yet. What kept from going on; a report that is refused is passed over."""
        for report in others:
            try:
                if not self._has(report):
                    with reports.read(self._services.graph, where, report.id) as whole:
                        self._note(whole)
                        with logs.about(requestId=self._services.graph.request_id):
                            self._services.archive.store(whole, where)
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

    def _note(self, report: Report) -> None:
        """The days of which a report's blob is written, or perhaps deleted."""
        last = report.end.date()
        first = max(report.start or report.end, report.end - LONGEST_MEETING).date()
        for number in range((last - first).days + 1):
            self._services.sealing.note(first + timedelta(days=number))

    def _has(self, report: ReportHeader) -> bool:
        return report.end is not None and self._services.archive.has(report.id, report.end)

    def _store(self, where: Where, report_id: str, *, before: StoredReport | None = None) -> StoredReport:
        """Read and store one report. Where it was stored `before`, only if it grew."""
        with reports.read(self._services.graph, where, report_id) as report:
            if before and report.end < before.end:
                return before
            self._note(report)
            with logs.about(requestId=self._services.graph.request_id):
                stored = self._services.archive.store(report, where, only_grown=before is not None)
            if before and stored is Stored.KEPT:
                return before
            now = StoredReport(report.id, report.end, report_name(report.id, report.end))
        self._stored[report_id] = now
        return now

    def _settled(
        self, result: Result, *, reports: tuple[StoredReport, ...] = (), error: str | None = None
    ) -> Verdict:
        """A verdict; a stored report that is fresh has itself read once more."""
        stored = reports or tuple(self._stored.values())
        delay = self._until_confirmed(stored) if result is Result.STORED else None
        return Verdict(result, self.meeting, stored, delay, error=error, confirms=delay is not None)

    def _until_confirmed(self, stored: tuple[StoredReport, ...]) -> int | None:
        """Seconds until the second reading, or None when there is none to come.

        One that is under way is fenced off by this attempt, and must be planned again.
        """
        if self._signal.confirms:
            return None
        if any(self._now - report.end < FRESH for report in stored):
            return self._settings.confirm_after or None
        before = self.filed.outcome if self.filed else None
        under_way = before is not None and before.result is Result.STORED and before.ticket
        if before is None or not under_way or before.next_attempt is None:
            return None
        left = math.ceil((before.next_attempt - self._now).total_seconds())
        return left if left > 0 else None

    def _failed(self, failure: GraphError) -> Verdict:
        """What a failed call to Graph means for the signal."""
        delay, error = self._delay(), str(failure)
        match failure:
            case AccessDenied() if self._signal.denied:
                return Verdict(Result.ACCESS_DENIED, self.meeting, error=error)
            case AccessDenied():
                return Verdict(Result.ACCESS_DENIED, self.meeting, (), self._delay(denied=True), True, error)
            case NotFound():
                delay = self._delay_for_readiness()
                return Verdict(Result.NOT_FOUND, self.meeting, delay=delay, error=error)
            case Throttled():
                delay = backoff.throttled_delay(delay, failure.retry_after)
                return Verdict(Result.FAILED, self.meeting, delay=delay, error=error)
            case _:
                return Verdict(Result.FAILED, self.meeting, delay=delay, error=error)

    def _report_refused(self, failure: GraphError) -> Verdict:
        """A listed report could not be read: in a channel meeting that can be for good."""
        verdict = self._failed(failure)
        if not self._in_channel:
            return verdict
        if failure.status in _UNSUPPORTED:
            return self._settled(Result.NOT_SUPPORTED, error=str(failure))
        if isinstance(failure, AccessDenied | NotFound):
            return replace(verdict, result=Result.NOT_SUPPORTED, doubtful=True)
        return verdict

    def _delay_for_readiness(self) -> int | None:
        """Until when something may still come into being: a window after the news, or after the end if there was none.

        So what is taken up again later, or was swept long after it ended, gets one look.
        """
        swept = self._signal.found_by is not FoundBy.NOTIFICATION
        news = self.meeting.end if swept and self.meeting.end else self._signal.first_seen
        if self._now - news >= timedelta(seconds=self._settings.retry_window):
            return None
        return self._delay()

    def _delay(self, *, denied: bool = False) -> int | None:
        """Until when trouble may pass: a window after this series of attempts began."""
        return backoff.delay(
            since=self._signal.since or self._signal.first_seen,
            attempt=self._signal.attempt - self._signal.base,
            now=self._now,
            first_delay=self._settings.retry_first_delay,
            window=self._settings.retry_window,
            denied=denied,
        )
