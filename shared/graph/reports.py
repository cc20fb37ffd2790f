"""List attendance reports, and read one with all its attendance records.

A report is read page by page into a spooled file, so memory depends on the size of a page. The result is Graph's
answer, property for property, with the records of all pages in order and without next links. Source:
https://learn.microsoft.com/graph/api/meetingattendancereport-get and .../attendancerecord-list
"""

from __future__ import annotations

import contextlib
import itertools
import math
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any

from .. import times
from ..errors import Unavailable
from ..messages import resource_paths
from ..messages.signals import EventKind, EventSession
from .client import Graph, entries, is_segment, next_link, segment
from .report_json import NEXT_LINKS, RECORDS, write_report

_PROPERTY = re.compile(r"[A-Za-z][A-Za-z0-9]*\Z")
MOST_RECORDS, MORE_RECORDS = 10, 5_000  # for each participant that Graph counts, and on top
SPOOL_BYTES = 1024 * 1024  # kept in memory up to here, in a temporary file beyond


@dataclass(frozen=True)
class MeetingReports:
    """The reports of one online meeting. Permission: OnlineMeetingArtifact.Read.All."""

    organizer_id: str
    meeting_id: str
    join_url: str = ""

    source = "onlineMeeting"

    @property
    def path(self) -> str:
        """The collection's path below /v1.0, encoded once."""
        return (
            f"users/{segment(self.organizer_id)}/onlineMeetings/{segment(self.meeting_id)}/attendanceReports"
        )

    @property
    def metadata(self) -> dict[str, str]:
        """The part of the blob's metadata that identifies the source; "" if unknown."""
        return {
            "source": self.source,
            "meetingid": self.meeting_id,
            "organizerid": self.organizer_id,
            "joinweburl": self.join_url,
        }


@dataclass(frozen=True)
class EventReports:
    """The reports of one session of a webinar or town hall.

    Permission: OnlineMeetingArtifact.Read.All.
    """

    session: EventSession
    organizer_id: str = ""
    join_url: str = ""

    @property
    def source(self) -> str:
        """`webinar` or `townhall`."""
        return self.session.source

    @property
    def meeting_id(self) -> str:
        """The id that names the meeting in log lines."""
        return self.session.session_id

    @property
    def path(self) -> str:
        """The collection's path below /v1.0, encoded once."""
        event, session = segment(self.session.event_id), segment(self.session.session_id)
        return f"solutions/virtualEvents/{self.source}s/{event}/sessions/{session}/attendanceReports"

    @property
    def metadata(self) -> dict[str, str]:
        """The part of the blob's metadata that identifies the source; "" if unknown."""
        return {
            "source": self.source,
            "eventid": self.session.event_id,
            "sessionid": self.session.session_id,
            "organizerid": self.organizer_id,
            "joinweburl": self.join_url,
        }


@dataclass(frozen=True)
class SignedInUserReports:
    """The reports of one of the signed-in user's meetings.

    Permission: OnlineMeetingArtifact.Read.All, delegated.
    """

    meeting_id: str

    source = "onlineMeeting"

    @property
    def path(self) -> str:
        """The collection's path below /v1.0, encoded once."""
        return f"me/onlineMeetings/{segment(self.meeting_id)}/attendanceReports"

    @property
    def metadata(self) -> dict[str, str]:
        """The part of the blob's metadata that identifies the source."""
        return {"source": self.source, "meetingid": self.meeting_id}


type ReportLocation = MeetingReports | EventReports | SignedInUserReports


@dataclass(frozen=True)
class Report:
    """One complete report; `body` is a binary file of `size` bytes, at its start.

    `sha256` is that of the canonical form, `end` is `meetingEndDateTime`, `read_at` is when reading began, and
    `participants` is `totalParticipantCount`, or the number of records if Graph leaves that out.
    """

    id: str
    start: datetime | None
    end: datetime
    participants: int
    sha256: str
    body: IO[bytes]
    size: int
    read_at: datetime


@dataclass(frozen=True)
class ReportHeader:
    """A report as listed; a time which Graph has not set is None."""

    id: str
    start: datetime | None
    end: datetime | None


def my_meeting_report(graph: Graph, meeting_id: str, report_id: str, **query: Any) -> dict[str, Any]:
    """Read a report of a meeting of the signed-in user.

    GET /me/onlineMeetings/{id}/attendanceReports/{id}. Permission: delegated OnlineMeetingArtifact.Read.All; the user
    must be the organizer or a co-organizer. Query and errors: see `fetch_report`. Source:
    https://learn.microsoft.com/graph/api/meetingattendancereport-get
    """
    return fetch_report(graph, SignedInUserReports(meeting_id), report_id, **query)


def meeting_report(
    graph: Graph, user_id: str, meeting_id: str, report_id: str, **query: Any
) -> dict[str, Any]:
    """Read a report of a user's meeting.

    GET /users/{id}/onlineMeetings/{id}/attendanceReports/{id}. Permission: application OnlineMeetingArtifact.Read.All,
    and an application access policy for the user, who must be the organizer or a co-organizer and is named by object
    id. Query and errors: see `fetch_report`. Source: https://learn.microsoft.com/graph/api/meetingattendancereport-get
    """
    return fetch_report(graph, MeetingReports(user_id, meeting_id), report_id, **query)


def webinar_report(
    graph: Graph, webinar_id: str, session_id: str, report_id: str, **query: Any
) -> dict[str, Any]:
    """Read a report of a webinar. Global cloud only.

    GET /solutions/virtualEvents/webinars/{id}/sessions/{id}/attendanceReports/{id}. Permission:
    OnlineMeetingArtifact.Read.All, delegated or application (then with a policy for the organizer). Query and errors:
    see `fetch_report`. Source: https://learn.microsoft.com/graph/api/meetingattendancereport-get
    """
    session = EventSession(EventKind.WEBINAR, webinar_id, session_id)
    return fetch_report(graph, EventReports(session), report_id, **query)


def townhall_report(
    graph: Graph, townhall_id: str, session_id: str, report_id: str, **query: Any
) -> dict[str, Any]:
    """Read a report of a town hall. Global cloud only.

    GET /solutions/virtualEvents/townhalls/{id}/sessions/{id}/attendanceReports/{id}. Permission, query, errors and
    source: see `webinar_report`.
    """
    session = EventSession(EventKind.TOWNHALL, townhall_id, session_id)
    return fetch_report(graph, EventReports(session), report_id, **query)


def fetch_report(
    graph: Graph, reports: ReportLocation, report_id: str, *, expand: bool = True, select: Sequence[str] = ()
) -> dict[str, Any]:
    """Read one report as an object; with `expand`, including the records of all pages.

    `select` names the properties to read (empty: all). Raises ValueError for an invalid property name, and a
    GraphError: NotFound for an id that Graph does not know (yet), AccessDenied if a permission or policy is missing.
    """
    if unnamable := [name for name in select if not _PROPERTY.match(name)]:
        raise ValueError(f"{unnamable[0]!r} is not a property name")
    address, operation = f"{reports.path}/{segment(report_id)}", "get attendance report"
    query = [f"$expand={RECORDS}"] if expand else []
    query += [f"$select={','.join(select)}"] if select else []
    report = graph.get(address + ("?" + "&".join(query) if query else ""), operation)
    if expand:
        records = list(
            itertools.chain.from_iterable(_promised(report, _record_pages(graph, report, address)))
        )
        report = {**report, RECORDS: records}
    return {name: value for name, value in report.items() if name not in NEXT_LINKS}


def locate_report(address: resource_paths.MeetingReportIds | resource_paths.EventReportIds) -> ReportLocation:
    """Return the collection that holds a report with these ids."""
    if isinstance(address, resource_paths.EventReportIds):
        return EventReports(address.session)
    if address.user_id is None:
        return SignedInUserReports(address.meeting_id)
    return MeetingReports(address.user_id, address.meeting_id)


def list_reports(graph: Graph, reports: ReportLocation) -> list[ReportHeader]:
    """List the reports of a meeting or session: at most the 50 newest, unordered.

    Raises a GraphError.
    """
    operation = "list attendance reports"

    def parse(item: object) -> ReportHeader | None:
        with contextlib.suppress(Unavailable):
            return _parse_header(item, operation)
        return None

    return list({each.id: each for each in entries(graph, reports.path, operation, parse)}.values())


@contextmanager
def read_report(graph: Graph, reports: ReportLocation, report_id: str) -> Iterator[Report]:
    """Read one report with all pages of its records, as a context manager.

    The body exists as long as the context. Raises a GraphError.
    """
    operation, began = "get attendance report", times.now()
    address = f"{reports.path}/{segment(report_id)}"
    first = graph.get(f"{address}?$expand={RECORDS}", operation)
    head = _parse_header(first, operation)
    if head.end is None:
        raise Unavailable(operation, "the report has no end")
    with (
        tempfile.SpooledTemporaryFile(SPOOL_BYTES) as body,
        tempfile.SpooledTemporaryFile(SPOOL_BYTES) as canonical,
    ):
        try:
            sha256, records = write_report(
                first, _promised(first, _record_pages(graph, first, address)), body, canonical
            )
        except ValueError:
            raise Unavailable(operation, "the report cannot be written as JSON") from None
        size = body.tell()
        body.seek(0)
        count = first.get("totalParticipantCount")
        participants = count if isinstance(count, int) and not isinstance(count, bool) else records
        yield Report(report_id, head.start, head.end, participants, sha256, body, size, began)


def _record_pages(graph: Graph, first: dict[str, Any], address: str) -> Iterator[list[Any]]:
    """Yield the report's records by page, listed separately if `$expand` was ignored."""
    operation = "list attendance records"
    if first.get(RECORDS) is None:
        yield from graph.list_pages(f"{address}/{RECORDS}", operation)
        return
    for page in itertools.chain([first], graph.follow_links(next_link(first), operation)):
        records = page.get("value", page.get(RECORDS)) if page is not first else page[RECORDS]
        if not isinstance(records, list):
            raise Unavailable(operation, "the answer has no list of records")
        yield records


def _promised(report: dict[str, Any], pages: Iterable[list[Any]]) -> Iterator[list[Any]]:
    """These pages of records, while there are not far more than the report counts participants."""
    count, records = report.get("totalParticipantCount"), 0
    most = MOST_RECORDS * max(count, 0) + MORE_RECORDS if type(count) is int else math.inf
    for page in pages:
        records += len(page)
        if records > most:
            raise Unavailable(
                "list attendance records", "there are far more than the report counts", status=200
            )
        yield page


def _parse_header(item: object, operation: str) -> ReportHeader:
    report_id = item.get("id") if isinstance(item, dict) else None
    if not isinstance(item, dict) or not is_segment(report_id):
        raise Unavailable(operation, "a report has no id")
    try:
        start, end = (times.parse(item.get(name)) for name in ("meetingStartDateTime", "meetingEndDateTime"))
    except ValueError:
        raise Unavailable(operation, "a report's times are malformed") from None
    return ReportHeader(report_id, start, end)
