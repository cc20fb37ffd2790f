"""Attendance reports: listing them, and reading one with all of its attendance records.

A report is read page by page into a spooled file, so memory follows the page and not the report. What is written is
what Graph sent, property for property, with the pages' records joined in order and the next links gone. Source:
https://learn.microsoft.com/graph/api/meetingattendancereport-get and .../attendancerecord-list
"""

from __future__ import annotations

import contextlib
import itertools
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import IO, Any

from .. import times
from ..errors import AccessDenied, NotFound, Refused, Unavailable
from ..messages import resource_paths
from ..messages.signals import EventKind, EventSession
from .client import Graph, next_link, segment
from .report_json import NEXT_LINKS, RECORDS, write_report

_PROPERTY = re.compile(r"[A-Za-z][A-Za-z0-9]*\Z")
MOST_PARTICIPANTS = 1_000_000  # far beyond any meeting's; a greater count is none
SPOOL_BYTES = 1024 * 1024  # kept in memory up to here, in a temporary file beyond


@dataclass(frozen=True)
class MeetingReports:
    """Where the reports of one online meeting lie. Permission: OnlineMeetingArtifact.Read.All.

    `is_own`: they are this meeting's own, which is not sure in the list of a channel.
    """

    organizer_id: str
    meeting_id: str
    join_url: str = ""
    is_own: bool = True

    source = "onlineMeeting"

    @property
    def path(self) -> str:
        """The collection's path below /v1.0, with its ids encoded once."""
        return (
            f"users/{segment(self.organizer_id)}/onlineMeetings/{segment(self.meeting_id)}/attendanceReports"
        )

    @property
    def metadata(self) -> dict[str, str]:
        """What the blob's metadata says about where the report comes from; empty where that is not known."""
        if not self.is_own:
            return {"source": self.source}
        return {
            "source": self.source,
            "meetingid": self.meeting_id,
            "organizerid": self.organizer_id,
            "joinweburl": self.join_url,
        }

    def unattributed(self) -> MeetingReports:
        """The same place, for a report that may be another meeting's."""
        return replace(self, is_own=False)


@dataclass(frozen=True)
class EventReports:
    """Where the reports of one session of a webinar or town hall lie. Permission: OnlineMeetingArtifact.Read.All."""

    session: EventSession
    organizer_id: str = ""
    join_url: str = ""

    @property
    def source(self) -> str:
        """`webinar` or `townhall`."""
        return self.session.source

    @property
    def meeting_id(self) -> str:
        """What logs name the meeting by."""
        return self.session.session_id

    @property
    def path(self) -> str:
        """The collection's path below /v1.0, with its ids encoded once."""
        event, session = segment(self.session.event_id), segment(self.session.session_id)
        return f"solutions/virtualEvents/{self.source}s/{event}/sessions/{session}/attendanceReports"

    @property
    def metadata(self) -> dict[str, str]:
        """What the blob's metadata says about where the report comes from; empty where that is not known."""
        return {
            "source": self.source,
            "eventid": self.session.event_id,
            "sessionid": self.session.session_id,
            "organizerid": self.organizer_id,
            "joinweburl": self.join_url,
        }


@dataclass(frozen=True)
class MyMeetingReports:
    """Where the reports of one of the signed-in user's meetings lie. Delegated: OnlineMeetingArtifact.Read.All."""

    meeting_id: str

    source = "onlineMeeting"

    @property
    def path(self) -> str:
        """The collection's path below /v1.0, with its ids encoded once."""
        return f"me/onlineMeetings/{segment(self.meeting_id)}/attendanceReports"

    @property
    def metadata(self) -> dict[str, str]:
        """What is known of where the report comes from."""
        return {"source": self.source, "meetingid": self.meeting_id}


type ReportLocation = MeetingReports | EventReports | MyMeetingReports


@dataclass(frozen=True)
class Report:
    """One report, whole: `body` is a readable binary file of `size` bytes at its start.

    `sha256` is taken of the canonical form, `end` is `meetingEndDateTime`, `read_at` when reading began;
    `participants` is `totalParticipantCount`, or where Graph does not tell it the number of records. `records` counts
    the different ones. `is_partial`: the count is another, or a record came on two pages, so that some may be missing.
    `organizers` are the ids of the people with that role, in lower case.
    """

    id: str
    start: datetime | None
    end: datetime
    participants: int
    records: int
    is_partial: bool
    sha256: str
    body: IO[bytes]
    size: int
    read_at: datetime
    organizers: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ReportHeader:
    """A report as the list shows it; a time that Graph has not set is None."""

    id: str
    start: datetime | None
    end: datetime | None


def my_meeting_report(graph: Graph, meeting_id: str, report_id: str, **query: Any) -> dict[str, Any]:
    """GET /me/onlineMeetings/{id}/attendanceReports/{id}: a report of a meeting of the signed-in user.

    Permission: delegated OnlineMeetingArtifact.Read.All; the user must be the organizer or a co-organizer. Query and
    errors: see `fetch`. Source: https://learn.microsoft.com/graph/api/meetingattendancereport-get
    """
    return fetch_report(graph, MyMeetingReports(meeting_id), report_id, **query)


def meeting_report(
    graph: Graph, user_id: str, meeting_id: str, report_id: str, **query: Any
) -> dict[str, Any]:
    """GET /users/{id}/onlineMeetings/{id}/attendanceReports/{id}: a report of a user's meeting.

    Permission: application OnlineMeetingArtifact.Read.All, and an application access policy for the user, who must be
    the organizer or a co-organizer and is named by his object id. Query and errors: see `fetch`. Source:
    https://learn.microsoft.com/graph/api/meetingattendancereport-get
    """
    return fetch_report(graph, MeetingReports(user_id, meeting_id), report_id, **query)


def webinar_report(
    graph: Graph, webinar_id: str, session_id: str, report_id: str, **query: Any
) -> dict[str, Any]:
    """GET /solutions/virtualEvents/webinars/{id}/sessions/{id}/attendanceReports/{id}: a report of a webinar.

    Permission: OnlineMeetingArtifact.Read.All, delegated or application (then with a policy for the organizer). In the
    global cloud only. Query and errors: see `fetch`. Source:
    https://learn.microsoft.com/graph/api/meetingattendancereport-get
    """
    session = EventSession(EventKind.WEBINAR, webinar_id, session_id)
    return fetch_report(graph, EventReports(session), report_id, **query)


def townhall_report(
    graph: Graph, townhall_id: str, session_id: str, report_id: str, **query: Any
) -> dict[str, Any]:
    """GET /solutions/virtualEvents/townhalls/{id}/sessions/{id}/attendanceReports/{id}: a report of a town hall.

    Permission, query, errors and source as those of `webinar_report`.
    """
    session = EventSession(EventKind.TOWNHALL, townhall_id, session_id)
    return fetch_report(graph, EventReports(session), report_id, **query)


def fetch_report(
    graph: Graph, reports: ReportLocation, report_id: str, *, expand: bool = True, select: Sequence[str] = ()
) -> dict[str, Any]:
    """One report as an object, property for property; with `expand` its records, of all pages, are in it.

    `select` names the properties that are wanted (empty: all). Raises ValueError for one that cannot be a name, and a
    GraphError: NotFound for an id that Graph does not know (yet), AccessDenied where permission or policy is missing.
    """
    if unnamable := [name for name in select if not _PROPERTY.match(name)]:
        raise ValueError(f"{unnamable[0]!r} is no name of a property")
    address, operation = f"{reports.path}/{segment(report_id)}", "get attendance report"
    query = [f"$expand={RECORDS}"] if expand else []
    query += [f"$select={','.join(select)}"] if select else []
    report = graph.get(address + ("?" + "&".join(query) if query else ""), operation)
    if expand:
        records = list(itertools.chain.from_iterable(_record_pages(graph, report, address)))
        report = {**report, RECORDS: records}
    return {name: value for name, value in report.items() if name not in NEXT_LINKS}


def locate_report(address: resource_paths.MeetingReportIds | resource_paths.EventReportIds) -> ReportLocation:
    """The reports among which an address lies."""
    if isinstance(address, resource_paths.EventReportIds):
        return EventReports(address.session)
    if address.user_id is None:
        return MyMeetingReports(address.meeting_id)
    return MeetingReports(address.user_id, address.meeting_id)


def list_reports(graph: Graph, reports: ReportLocation) -> list[ReportHeader]:
    """The reports of a meeting or session, at most the 50 newest, in no order. Raises a GraphError."""
    operation = "list attendance reports"
    found: dict[str, ReportHeader] = {}
    for page in graph.list_pages(reports.path, operation):
        for item in page:
            report = _parse_header(item, operation)
            found[report.id] = report
    return list(found.values())


@contextmanager
def read_report(graph: Graph, reports: ReportLocation, report_id: str) -> Iterator[Report]:
    """Read one report and every page of its records. Raises a GraphError; the body lives as long as the context."""
    operation, began, organizers = "get attendance report", times.now(), set[str]()
    address = f"{reports.path}/{segment(report_id)}"
    first = graph.get(f"{address}?$expand={RECORDS}", operation)
    head = _parse_header(first, operation)
    if head.id.lower() != report_id.lower():
        raise Unavailable(operation, "the answer is another report")
    if head.end is None:
        raise Unavailable(operation, "the report has no end")
    with (
        tempfile.SpooledTemporaryFile(SPOOL_BYTES) as body,
        tempfile.SpooledTemporaryFile(SPOOL_BYTES) as canonical,
    ):
        try:
            pages = _with_organizers(_record_pages(graph, first, address), organizers)
            written = write_report(first, pages, body, canonical)
        except ValueError:
            raise Unavailable(operation, "the report cannot be written as JSON") from None
        size = body.tell()
        body.seek(0)
        count, records = _count(first), written.records - written.repeated
        yield Report(
            report_id,
            head.start,
            head.end,
            participants=records if count is None else count,
            records=records,
            is_partial=bool(written.repeated) or count not in (None, records),
            sha256=written.sha256,
            body=body,
            size=size,
            read_at=began,
            organizers=frozenset(organizers),
        )


def _count(report: dict[str, Any]) -> int | None:
    """The `totalParticipantCount` of a report, None where it is no number that a meeting can have."""
    count = report.get("totalParticipantCount")
    return count if type(count) is int and 0 <= count <= MOST_PARTICIPANTS else None


def _record_pages(graph: Graph, first: dict[str, Any], address: str) -> Iterator[list[Any]]:
    """The report's records, page by page; where `$expand` was not honoured they are listed on their own.

    So are those of a report that counts participants and shows none; where that is refused, it has none.
    """
    operation, records = "list attendance records", first.get(RECORDS)
    if records is None:
        yield from graph.list_pages(f"{address}/{RECORDS}", operation)
        return
    if records == [] and next_link(first) is None and _count(first):
        with contextlib.suppress(AccessDenied, NotFound, Refused):
            yield from graph.list_pages(f"{address}/{RECORDS}", operation)
        return
    for page in itertools.chain([first], graph.follow_links(next_link(first), operation)):
        records = page.get("value", page.get(RECORDS)) if page is not first else page[RECORDS]
        if not isinstance(records, list):
            raise Unavailable(operation, "the answer holds no list of records")
        yield records


def _with_organizers(pages: Iterator[list[Any]], organizers: set[str]) -> Iterator[list[Any]]:
    """Pass pages of records on, and add the ids of those who organized, in lower case."""
    for page in pages:
        for record in page:
            if isinstance(record, dict) and record.get("role") == "Organizer":
                organizers.update(_identity_ids(record.get("identity")))
        yield page


def _identity_ids(identity: object) -> Iterator[str]:
    """The id of a flat identity, or of each in a set of them."""
    if isinstance(identity, dict):
        for each in (identity, *identity.values()):
            if isinstance(each, dict) and isinstance(found := each.get("id"), str) and found:
                yield found.lower()


def _parse_header(item: object, operation: str) -> ReportHeader:
    report_id = item.get("id") if isinstance(item, dict) else None
    if not isinstance(item, dict) or not isinstance(report_id, str) or not report_id:
        raise Unavailable(operation, "a report has no id")
    start, end = (times.plausible(item.get(name)) for name in ("meetingStartDateTime", "meetingEndDateTime"))
    return ReportHeader(report_id, None if start and end and start > end else start, end)
