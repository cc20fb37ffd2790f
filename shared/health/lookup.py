"""Find meetings by link, subject, id or organizer, as a person asks for them.

Outcomes and reports are searched by their metadata, with one listing a day; what matches is read from the ledger. A
subject is known only of meetings with a stored report. Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from azure.storage.blob import ContainerClient

from .. import times
from ..archive.reports import Archive, ReportSummary
from ..graph.join_urls import join_url_key
from ..graph.meeting_details import decode_details
from ..ledger.publish import Outcomes, OutcomeSummary, signal_id_of
from ..ledger.record import Record
from ..ledger.store import Ledger
from ..messages.signals import call_record_signal_id, kind_of, report_signal_id
from ..privacy.identifiers import fold
from ..settings import GUID
from ..storage.blobs import run_in_parallel

REACH = 30  # days back from today that are searched without a day
MOST_SHOWN = 20  # meetings in one answer, the newest ones
MOST_READ = 2_000  # records of a day that are read to find an organizer's
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class FoundMeeting:
    """One session of a meeting: its signal's record, its stored report, or both."""

    record: Record | None = None
    report: ReportSummary | None = None

    @property
    def when(self) -> datetime:
        """When it ended, or was first seen."""
        if self.record:
            return self.record.meeting.end or self.record.first_seen
        end = times.plausible(self.report.metadata.get("end")) if self.report else None
        return end or times.EARLIEST

    @property
    def organizer_id(self) -> str | None:
        """The organizer's object id, from the record or else from the report."""
        of_record = self.record.meeting.organizer_id if self.record else None
        return of_record or (self.report.metadata.get("organizerid") if self.report else None)

    @property
    def subject(self) -> str | None:
        """Return the meeting's subject.

        From its report or else from its record, if either has it.
        """
        of_report = subject_of_report(self.report) if self.report else None
        details = self.record.meeting.details if self.record else None
        return of_report or (details.subject if details else None)


@dataclass(frozen=True)
class FoundMeetings:
    """The meetings that were found, the newest first.

    `left` matched too and is not shown; `unread` was not looked at.
    """

    meetings: tuple[FoundMeeting, ...] = ()
    left: int = 0
    unread: int = 0


class MeetingLookup:
    """Meetings in one archive. Raises azure.core errors."""

    def __init__(self, outcomes: Outcomes, ledger: Ledger, archive: Archive) -> None:
        self._outcomes, self._ledger, self._archive = outcomes, ledger, archive

    def find(self, text: str, on: date | None = None) -> FoundMeetings:
        """Find meetings by link, subject, signal, call, report or organizer.

        `on`: only those of that day (UTC), which an organizer needs.
        """
        days = searched_days(on)
        if is_link(text):
            key = join_url_key(text)
            return self._from_outcomes(self._outcomes_of(days, lambda each: each.join_url_key == key), on)
        if record := self._signal(text):
            return self._found([FoundMeeting(record)])
        if not GUID.match(text):
            return self._from_reports(self._reports_of(days, lambda each: is_named(each, text)), days, on)
        places = run_in_parallel(lambda day: self._archive.find_report(text, day), days)
        if reports := [each for each in places if each]:
            return self._from_reports(reports, (), on)
        return self._of_organizer(text.lower(), days, on) if on else FoundMeetings()

    def refresh(self, meetings: Iterable[FoundMeeting]) -> FoundMeetings:
        """Read the records again."""

        def refresh(meeting: FoundMeeting) -> FoundMeeting:
            record = meeting.record and self._signal(meeting.record.signal_id)
            return FoundMeeting(record or meeting.record, meeting.report)

        return self._found(run_in_parallel(refresh, list(meetings)))

    def _signal(self, identifier: str) -> Record | None:
        """Return the record of a signal.

        It is given by its own id, or that of a call or of a virtual event's report.
        """
        if kind_of(identifier):
            signal_ids = [identifier]
        elif GUID.match(identifier):
            signal_ids = [call_record_signal_id(identifier), report_signal_id(identifier)]
        else:
            return None
        records = map(self._ledger.read, signal_ids)
        return next((each.record for each in records if each), None)

    def _from_outcomes(self, outcomes: Sequence[OutcomeSummary], on: date | None) -> FoundMeetings:
        newest = sorted((each.name for each in outcomes), reverse=True)
        records = self._read(newest if on else newest[:MOST_SHOWN], on)
        return self._found(map(FoundMeeting, records), 0 if on else len(newest) - MOST_SHOWN)

    def _from_reports(
        self, reports: Sequence[ReportSummary], days: Collection[date], on: date | None
    ) -> FoundMeetings:
        """Return the sessions behind these reports.

        Each is of a signal that names it, or of none. On `days`, other sessions of these meetings are included.
        """
        of_day = [each for each in reports if on is None or on in _days_of(each)]
        newest = sorted(of_day, key=lambda each: each.name, reverse=True)[:MOST_SHOWN]
        keys = {key for each in newest if (key := each.metadata.get("joinurlkey"))}
        events = {report_signal_id(each.id) for each in newest}
        stored = {Outcomes.day_of(each.name) for each in newest}
        around = {day + ONE_DAY * shift for day in stored for shift in (-1, 0, 1)}
        names = self._outcomes_of(
            sorted(around), lambda each: each.join_url_key in keys or each.signal_id in events
        )
        ids = {each.id for each in newest}
        records = [
            each
            for each in self._read([each.name for each in names], on)
            if each.day in days or ids & {report.id for report in each.reports}
        ]
        named = {report.id for record in records for report in record.reports}
        alone = [FoundMeeting(report=each) for each in newest if each.id not in named]
        return self._found([*map(FoundMeeting, records), *alone], len(of_day) - MOST_SHOWN)

    def _of_organizer(self, organizer: str, days: Sequence[date], on: date) -> FoundMeetings:
        """Read the records of a day that are the organizer's.

        Those first whose link names the organizer.
        """
        outcomes = self._outcomes_of(days, lambda each: True)
        names = [
            each.name
            for each in sorted(outcomes, key=lambda each: organizer not in (each.join_url_key or ""))
        ]
        records = [
            each
            for each in self._read(names[:MOST_READ], on)
            if (each.meeting.organizer_id or "").lower() == organizer
        ]
        return self._found(map(FoundMeeting, records), unread=len(names) - MOST_READ)

    def _read(self, names: Sequence[str], on: date | None) -> list[Record]:
        """Read the records of these outcomes.

        That of a lost record is made from its outcome.
        """

        def read(name: str) -> Record | None:
            stored = self._ledger.read(signal_id_of(name))
            return stored.record if stored else self._outcomes.read(name)

        records = run_in_parallel(read, names)
        return [each for each in records if each and (on is None or _is_on(each, on))]

    def _found(self, meetings: Iterable[FoundMeeting], left: int = 0, unread: int = 0) -> FoundMeetings:
        """Return the newest of these meetings, each with its first report."""
        in_order = sorted(meetings, key=lambda each: each.when, reverse=True)
        shown = run_in_parallel(self._with_report, in_order[:MOST_SHOWN])
        return FoundMeetings(tuple(shown), max(0, left, len(in_order) - MOST_SHOWN), max(0, unread))

    def _with_report(self, meeting: FoundMeeting) -> FoundMeeting:
        if meeting.report or meeting.record is None or not meeting.record.reports:
            return meeting
        first = meeting.record.reports[0]
        return FoundMeeting(meeting.record, self._archive.find_report(first.id, first.end.date()))

    def _outcomes_of(
        self, days: Sequence[date], is_wanted: Callable[[OutcomeSummary], bool]
    ) -> list[OutcomeSummary]:
        return _list_wanted(self._outcomes.list, days, is_wanted)

    def _reports_of(
        self, days: Sequence[date], is_wanted: Callable[[ReportSummary], bool]
    ) -> list[ReportSummary]:
        return _list_wanted(self._archive.list_reports, days, is_wanted)


def build_lookup(reports: ContainerClient, state: ContainerClient) -> MeetingLookup:
    """Build the lookup in these containers, of the reports and of operational state."""
    return MeetingLookup(Outcomes(reports), Ledger(state), Archive(reports))


def _list_wanted[T](
    list_day: Callable[[date], Iterable[T]], days: Sequence[date], is_wanted: Callable[[T], bool]
) -> list[T]:
    """List some days side by side, and select from them."""
    found = run_in_parallel(lambda day: [each for each in list_day(day) if is_wanted(each)], days)
    return [each for of_day in found for each in of_day]


def searched_days(on: date | None) -> list[date]:
    """Return the partitions that are searched.

    Those of a day are two: a meeting that begins on it may end after midnight.
    """
    if on:
        return [on, on + ONE_DAY]
    today = times.now().date()
    return [today - ONE_DAY * back for back in range(REACH + 1)]


def is_link(text: str) -> bool:
    """Whether a text is a link, percent-encoded or not."""
    return join_url_key(text).startswith(("https://", "http://"))


def subject_of_report(report: ReportSummary) -> str | None:
    """Return the subject of a report's meeting, or None."""
    return decode_details(report.metadata.get("details")).subject or None


def has_subject(subject: str | None, text: str) -> bool:
    """Whether a subject contains this text.

    Whatever the case, the white space and the form of its letters.
    """
    wanted = fold(text, " ")
    return bool(wanted) and wanted in fold(subject or "", " ")


def is_named(report: ReportSummary, text: str) -> bool:
    """Whether a report matches this text.

    It has this id, is of the meeting, event or series with it, or has this in its subject.
    """
    metadata = report.metadata
    ids = (metadata.get(name) for name in ("meetingid", "eventid", "sessionid", "seriesid"))
    return text in (report.id, *ids) or has_subject(subject_of_report(report), text)


def _is_on(record: Record, on: date) -> bool:
    return record.day == on or (record.meeting.start is not None and record.meeting.start.date() == on)


def _days_of(report: ReportSummary) -> set[date]:
    """The days on which a report's session began and ended."""
    moments = (times.plausible(report.metadata.get(name)) for name in ("start", "end"))
    return {each.date() for each in moments if each}
