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
from dataclasses import dataclass, replace
from datetime import datetime
from typing import IO, Any

from .. import times
from ..errors import AccessDenied, NotFound, Refused, Unavailable
from ..messages import resource_paths
from ..messages.signals import EventKind, EventSession, MeetingDetails, lower_guid
from .client import Graph, entries, is_segment, next_link, segment
from .known_properties import add_unknown, unknown_in_record, unknown_in_report
from .meeting_details import encode_details
from .report_json import NEXT_LINKS, RECORDS, write_report

_PROPERTY = re.compile(r"[A-Za-z][A-Za-z0-9]*\Z")
MOST_PARTICIPANTS = 1_000_000  # a greater count is implausible
MOST_RECORDS, MORE_RECORDS = 10, 5_000  # for each participant that Graph counts, and on top
SPOOL_BYTES = 1024 * 1024  # kept in memory up to here, in a temporary file beyond


@dataclass(frozen=True)
class MeetingReports:
    """The reports of one online meeting. Permission: OnlineMeetingArtifact.Read.All.

    `is_own` is False where the list may hold another meeting's reports, as in a channel.
    """

    organizer_id: str
    meeting_id: str
    join_url: str = ""
    is_own: bool = True
    details: MeetingDetails | None = None

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
        if not self.is_own:
            return {"source": self.source}
        return {
            "source": self.source,
            "meetingid": self.meeting_id,
            "organizerid": self.organizer_id,
            "joinweburl": self.join_url,
            "details": encode_details(self.details),
        }

    def unattributed(self) -> MeetingReports:
        """The same place, for a report that may be another meeting's."""
        return replace(self, is_own=False)


@dataclass(frozen=True)
class EventReports:
    """The reports of one session of a webinar or town hall.

    Permission: OnlineMeetingArtifact.Read.All.
    """

    session: EventSession
    organizer_id: str = ""
    join_url: str = ""
    details: MeetingDetails | None = None

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
            "details": encode_details(self.details),
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
    `participants` is `totalParticipantCount`, or the number of records if Graph leaves that out. `records` counts
    different records. `is_partial`: they are not as many as Graph counts, or one came on two pages, so some may be
    missing. `organizers` are the ids of the people with that role, in lower case. `unknown` are properties that this
    version does not know; they are in the body like all others.
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
    unknown: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ReportHeader:
    """A report as listed; a time which Graph has not set is None.

    An id that is a GUID is in lower case, here and in `Report`: Graph writes one id in either case.
    """

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
    operation, began, organizers = "get attendance report", times.now(), set[str]()
    address = f"{reports.path}/{segment(report_id)}"
    first = graph.get(f"{address}?$expand={RECORDS}", operation)
    head, unknown = _parse_header(first, operation), set[str]()
    add_unknown(unknown, unknown_in_report(first))
    if head.id.lower() != report_id.lower():  # if it is no GUID, too
        raise Unavailable(operation, "the answer is another report")
    if head.end is None:
        raise Unavailable(operation, "the report has no end")
    with (
        tempfile.SpooledTemporaryFile(SPOOL_BYTES) as body,
        tempfile.SpooledTemporaryFile(SPOOL_BYTES) as canonical,
    ):
        try:
            promised = _promised(first, _record_pages(graph, first, address))
            pages = _observed(promised, organizers, unknown)
            written = write_report(first, pages, body, canonical)
        except ValueError:
            raise Unavailable(operation, "the report cannot be written as JSON") from None
        size = body.tell()
        body.seek(0)
        count, records = _participant_count(first), written.records - written.repeated
        yield Report(
            lower_guid(report_id),
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
            unknown=frozenset(unknown),
        )


def _participant_count(report: dict[str, Any]) -> int | None:
    """Return a report's `totalParticipantCount`, or None if missing or implausible."""
    count = report.get("totalParticipantCount")
    return count if type(count) is int and 0 <= count <= MOST_PARTICIPANTS else None


def _record_pages(graph: Graph, first: dict[str, Any], address: str) -> Iterator[list[Any]]:
    """Yield the report's records by page, listed separately if `$expand` was ignored.

    They are listed separately too if the report counts participants and has no records; if Graph refuses that, it has
    none.
    """
    operation, records = "list attendance records", first.get(RECORDS)
    if records is None:
        yield from graph.list_pages(f"{address}/{RECORDS}", operation)
        return
    if records == [] and next_link(first) is None and _participant_count(first):
        with contextlib.suppress(AccessDenied, NotFound, Refused):
            yield from graph.list_pages(f"{address}/{RECORDS}", operation)
        return
    for page in itertools.chain([first], graph.follow_links(next_link(first), operation)):
        records = page.get("value", page.get(RECORDS)) if page is not first else page[RECORDS]
        if not isinstance(records, list):
            raise Unavailable(operation, "the answer has no list of records")
        yield records


def _promised(report: dict[str, Any], pages: Iterable[list[Any]]) -> Iterator[list[Any]]:
    """Yield these pages of records.

    Raises Unavailable if there are far more records than the report counts participants.
    """
    count, records = report.get("totalParticipantCount"), 0
    most = MOST_RECORDS * max(count, 0) + MORE_RECORDS if type(count) is int else math.inf
    for page in pages:
        records += len(page)
        if records > most:
            raise Unavailable(
                "list attendance records", "there are far more than the report counts", status=200
            )
        yield page


def _observed(pages: Iterator[list[Any]], organizers: set[str], unknown: set[str]) -> Iterator[list[Any]]:
    """Yield these pages of records, and note what they hold.

    The organizers' ids in lower case, and unknown properties.
    """
    for page in pages:
        for record in page:
            if isinstance(record, dict) and record.get("role") == "Organizer":
                organizers.update(_identity_ids(record.get("identity")))
            add_unknown(unknown, unknown_in_record(record))
        yield page


def _identity_ids(identity: object) -> Iterator[str]:
    """Yield the id of a flat identity, or of each identity in a set."""
    if isinstance(identity, dict):
        for each in (identity, *identity.values()):
            if isinstance(each, dict) and isinstance(found := each.get("id"), str) and found:
                yield found.lower()


def _parse_header(item: object, operation: str) -> ReportHeader:
    report_id = item.get("id") if isinstance(item, dict) else None
    if not isinstance(item, dict) or not is_segment(report_id):
        raise Unavailable(operation, "a report has no id")
    start, end = (times.plausible(item.get(name)) for name in ("meetingStartDateTime", "meetingEndDateTime"))
    return ReportHeader(lower_guid(report_id), None if start and end and start > end else start, end)
