"""One attempt at one signal: resolve it to a meeting, fetch the session's reports, store them, settle the outcome.

`attempt` is the decision tree from a call record to a verdict; `archive` puts the fence, the queue and the outcome
around it. Whatever Graph does ends in a verdict; an error of storage goes up, and the message comes back.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from shared import logs, meetings, reports, schedule, sessions, times
from shared.archive import Stored, report_name
from shared.errors import AccessDenied, GraphError, NotFound, Refused, Throttled
from shared.outcomes import Filed, Meeting, Outcome, Result, StoredReport, Superseded, better, is_stale
from shared.services import Services
from shared.sessions import Listed, Selection, Session
from shared.signals import Signal, unpack

FRESH = timedelta(minutes=60)  # a report read within this of its end is read once more
MAX_RACES = 8
# Statuses with which Graph refuses to show a report of a channel meeting for good.
_UNSUPPORTED = frozenset({400, 405, 501})


@dataclass(frozen=True)
class Verdict:
    """How an attempt ended: settled as `result`, or to be tried again (`delay`) and settled so at the end."""

    result: Result
    meeting: Meeting
    reports: tuple[StoredReport, ...] = ()
    delay: int | None = None
    denied: bool = False
    error: str | None = None


def handle(text: str, services: Services) -> None:
    """Handle one message of `meeting-signals`: a signal, or a pack that is taken apart. Raises NotOurMessage."""
    found = unpack(text)
    if len(found) == 1:
        archive(found[0], services)
        return
    for signal in found:
        services.queue.send(signal)
    logs.info("pack.opened", signals=len(found))


def archive(signal: Signal, services: Services) -> None:
    """Make the next attempt at a signal, unless its message was overtaken."""
    filed = services.outcomes.find(signal.id, _days(signal))
    if filed and is_stale(signal, filed.outcome):
        logs.info("signal.dropped", signal=signal.id, attempt=signal.attempt, outcome=filed.outcome.result)
        return
    attempt = Attempt(signal, filed, services)
    verdict = attempt.confirm() if filed and filed.outcome.result is Result.STORED else attempt.run()
    if verdict is None:
        return
    _settle(signal, verdict, attempt.filed, services)


class Attempt:
    """One attempt; `filed` and `meeting` are what is known, and grow as Graph answers."""

    def __init__(self, signal: Signal, filed: Filed | None, services: Services) -> None:
        self._signal = signal
        self._services = services
        self._settings = services.settings
        self._now = times.now()
        self._stored: dict[str, StoredReport] = {}
        self.filed = filed
        self.meeting = filed.outcome.meeting if filed else Meeting()

    def run(self) -> Verdict | None:
        """From the call record to the stored reports. None when the signal turns out to be settled already."""
        try:
            if self.meeting.end is None:
                result = self._resolve()
                if self._overtaken():
                    return None
                if result:
                    return self._settled(result)
            return self._fetch()
        except GraphError as failure:
            return self._failed(failure)

    def confirm(self) -> Verdict | None:
        """Read the stored reports once more; one that grew is replaced."""
        if self.filed is None:
            return None
        outcome = self.filed.outcome
        where = self._where()
        try:
            for stored in outcome.reports:
                self._store(where, stored.id, only_grown=True)
        except NotFound as failure:
            return self._settled(Result.STORED, reports=outcome.reports, error=str(failure))
        except GraphError as failure:
            verdict = self._failed(failure)
            return replace(verdict, result=Result.STORED, reports=outcome.reports, denied=False)
        return self._settled(Result.STORED, reports=tuple(self._stored.values()))

    def _resolve(self) -> Result | None:
        """Read the call record. A result when that settles the signal."""
        record = meetings.call_record(self._services.graph, self._signal.call_id)
        self.meeting = Meeting(record.start, record.end, record.join_url, record.organizer_id)
        if not record.is_meeting:
            return Result.NOT_A_MEETING
        tenant, organizer = record.organizer_tenant, record.organizer_id
        if tenant and tenant.lower() != self._settings.tenant_id:
            return Result.EXTERNAL_ORGANIZER
        if self._settings.organizers and organizer and organizer.lower() not in self._settings.organizers:
            return Result.OUT_OF_SCOPE
        return None

    def _overtaken(self) -> bool:
        """Now that the day is known: has another message settled the signal there?"""
        if self.filed and self.filed.outcome.day == self._day():
            return False
        there = self._services.outcomes.find(self._signal.id, [self._day()])
        if there is None:
            return False
        if self.filed and self.filed.name != there.name:
            self._services.outcomes.remove(self.filed)
        self.filed = there
        if is_stale(self._signal, there.outcome):
            logs.info("signal.dropped", signal=self._signal.id, attempt=self._signal.attempt)
            return True
        return False

    def _day(self) -> date:
        return Outcome(self._signal.id, Result.PENDING, self._signal.first_seen, 0, meeting=self.meeting).day

    def _where(self) -> reports.MeetingReports:
        """The meeting's reports; resolves the meeting when no attempt before has."""
        organizer_id, join_url = self.meeting.organizer_id, self.meeting.join_url
        if organizer_id is None or join_url is None:
            raise NotFound("find meeting", "the call record names no organizer")
        if self.meeting.meeting_id is None:
            meeting_id = meetings.online_meeting_id(self._services.graph, organizer_id, join_url)
            self.meeting = replace(self.meeting, meeting_id=meeting_id)
        return reports.MeetingReports(organizer_id, self.meeting.meeting_id or "")

    def _fetch(self) -> Verdict:
        """List the meeting's reports and store those of the session, then what else is missing."""
        try:
            where = self._where()
        except Refused as failure:
            return self._settled(Result.NOT_FOUND, error=str(failure))
        if self.meeting.start is None or self.meeting.end is None:
            raise NotFound("find meeting", "the call record has no times")
        listed = reports.listed(self._services.graph, where)
        selection = sessions.select(listed, Session(self.meeting.start, self.meeting.end), self._now)
        try:
            ready = self._store_session(where, selection)
        except GraphError as failure:
            return self._report_refused(failure)
        finally:
            self._store_missing(where, selection.others)
        if ready:
            return self._settled(Result.STORED)
        delay = self._delay()
        if delay is None and selection.early:  # the call's end never came: better the early report than none
            for report in selection.early:
                self._store(where, report.id)
            return self._settled(Result.STORED)
        return Verdict(Result.NO_REPORT, self.meeting, delay=delay)

    def _store_session(self, where: reports.MeetingReports, selection: Selection) -> bool:
        """Store the session's own reports. Whether that settles the signal."""
        new = [each for each in selection.likely if not self._has(each)]
        own = (*selection.conclusive, *new, *(selection.early if selection.conclusive else ()))
        for report in own:
            self._store(where, report.id)
        return bool(selection.conclusive or new)

    def _store_missing(self, where: reports.MeetingReports, others: tuple[Listed, ...]) -> None:
        """Store reports that are not this session's. Their own signals answer for them, so failures only show."""
        for report in others:
            try:
                if not self._has(report):
                    with reports.read(self._services.graph, where, report.id) as whole:
                        self._services.archive.store(whole, where)
            except GraphError as failure:
                logs.warning("report.skipped", signal=self._signal.id, report=report.id, error=str(failure))

    def _has(self, report: Listed) -> bool:
        return report.end is not None and self._services.archive.has(report.id, report.end)

    def _store(self, where: reports.MeetingReports, report_id: str, *, only_grown: bool = False) -> None:
        with reports.read(self._services.graph, where, report_id) as report:
            stored = self._services.archive.store(report, where, only_grown=only_grown)
            if stored is not Stored.KEPT or report_id not in self._stored:
                path = report_name(report.id, report.end)
                self._stored[report_id] = StoredReport(report.id, report.end, path)

    def _settled(
        self, result: Result, *, reports: tuple[StoredReport, ...] = (), error: str | None = None
    ) -> Verdict:
        """A verdict; a stored report that is fresh has itself read once more."""
        stored = reports or tuple(self._stored.values())
        confirmed = self.filed is not None and self.filed.outcome.result is Result.STORED
        fresh = any(self._now - report.end < FRESH for report in stored)
        again = result is Result.STORED and fresh and not confirmed and self._settings.confirm_after > 0
        delay = self._settings.confirm_after if again else None
        return Verdict(result, self.meeting, stored, delay, error=error)

    def _failed(self, failure: GraphError) -> Verdict:
        """What a failed call to Graph means for the signal."""
        delay, error = self._delay(), str(failure)
        match failure:
            case AccessDenied() if self._signal.denied:
                return Verdict(Result.ACCESS_DENIED, self.meeting, error=error)
            case AccessDenied():
                return Verdict(Result.ACCESS_DENIED, self.meeting, (), self._delay(denied=True), True, error)
            case NotFound():
                return Verdict(Result.NOT_FOUND, self.meeting, delay=delay, error=error)
            case Throttled():
                delay = schedule.throttled_delay(delay, failure.retry_after)
                return Verdict(Result.FAILED, self.meeting, delay=delay, error=error)
            case _:
                return Verdict(Result.FAILED, self.meeting, delay=delay, error=error)

    def _report_refused(self, failure: GraphError) -> Verdict:
        """A listed report could not be read: in a channel meeting that can be for good."""
        verdict = self._failed(failure)
        if not meetings.parse_join_url(self.meeting.join_url or "").is_channel:
            return verdict
        if failure.status in _UNSUPPORTED:
            return self._settled(Result.NOT_SUPPORTED, error=str(failure))
        if isinstance(failure, AccessDenied | NotFound):
            return replace(verdict, result=Result.NOT_SUPPORTED)
        return verdict

    def _delay(self, *, denied: bool = False) -> int | None:
        return schedule.delay(
            first_seen=self._signal.first_seen,
            attempt=self._signal.attempt,
            now=self._now,
            first_delay=self._settings.retry_first_delay,
            window=self._settings.retry_window,
            denied=denied,
        )


def _days(signal: Signal) -> tuple[date, ...]:
    """Where an outcome may lie before the call record is read: where it was filed, or by the time of first sight."""
    if signal.filed:
        return (signal.filed,)
    first = signal.first_seen.date()
    return first, first - timedelta(days=1)


def _settle(signal: Signal, verdict: Verdict, filed: Filed | None, services: Services) -> None:
    """Enqueue the next attempt, then write the outcome: in this order a crash forks nothing (see outcomes)."""
    outcome = _outcome(signal, verdict)
    if verdict.delay is not None and outcome.ticket:
        following = signal.following(outcome.ticket, outcome.day, denied=signal.denied or verdict.denied)
        services.queue.send(following, verdict.delay)
    for _ in range(MAX_RACES):
        old = filed.outcome if filed else None
        written = better(outcome, old, stale=is_stale(signal, old))
        if written is None:
            logs.info("outcome.kept", signal=signal.id, outcome=old and old.result)
            return
        try:
            services.outcomes.write(written, filed)
        except Superseded:
            filed = services.outcomes.find(signal.id, [outcome.day])
            continue
        _tell(signal, written)
        return
    raise Superseded(f"outcome of {signal.id}")


def _outcome(signal: Signal, verdict: Verdict) -> Outcome:
    again = verdict.delay is not None
    pending = again and verdict.result is not Result.STORED
    now = times.now()
    return Outcome(
        signal_id=signal.id,
        result=Result.PENDING if pending else verdict.result,
        first_seen=signal.first_seen,
        attempt=signal.attempt + 1,
        settled=None if pending else now,
        next_attempt=_after(now, verdict.delay),
        ticket=secrets.token_hex(8) if again else None,
        meeting=verdict.meeting,
        reports=verdict.reports,
        last_error=verdict.error,
    )


def _after(now: datetime, delay: int | None) -> datetime | None:
    return None if delay is None else now + timedelta(seconds=delay)


def _tell(signal: Signal, outcome: Outcome) -> None:
    logs.info(
        "signal.settled" if outcome.result is not Result.PENDING else "signal.pending",
        signal=signal.id,
        outcome=outcome.result,
        attempt=outcome.attempt,
        meeting=outcome.meeting.meeting_id,
        reports=len(outcome.reports),
        nextAttempt=outcome.next_attempt,
        error=outcome.last_error,
        traceparent=signal.traceparent,
    )
    if outcome.result is Result.ACCESS_DENIED:
        logs.error("access.denied", organizer=outcome.meeting.organizer_id, cure=_CURE)


_CURE = (
    "Grant the app's client id to the organizer: New-CsApplicationAccessPolicy -Identity AttendanceReports "
    "-AppIds <client id>; Grant-CsApplicationAccessPolicy -PolicyName AttendanceReports -Identity <organizer>"
)
