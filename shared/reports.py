"""Attendance reports: listing them, and reading one with all of its attendance records.

A report is read page by page into a spooled file, so memory follows the page and not the report. What is written is
what Graph sent, property for property, with the pages' records joined in order and the next links gone. Source:
https://learn.microsoft.com/graph/api/meetingattendancereport-get and .../attendancerecord-list
"""

from __future__ import annotations

import hashlib
import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any

from shared import jsontext, times
from shared.errors import Unavailable
from shared.graph import Graph, next_link, segment
from shared.sessions import Listed
from shared.signals import EventSession

RECORDS = "attendanceRecords"
SPOOL_BYTES = 1024 * 1024  # kept in memory up to here, in a temporary file beyond
_NEXT_LINKS = frozenset({"@odata.nextLink", f"{RECORDS}@odata.nextLink"})


@dataclass(frozen=True)
class MeetingReports:
    """Where the reports of one online meeting lie. Permission: OnlineMeetingArtifact.Read.All."""

    organizer_id: str
    meeting_id: str
    join_url: str = ""

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
        return {
            "source": self.source,
            "meetingid": self.meeting_id,
            "organizerid": self.organizer_id,
            "joinweburl": self.join_url,
        }


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


type Where = MeetingReports | EventReports


@dataclass(frozen=True)
class Report:
    """One report, whole: `body` is a readable binary file of `size` bytes at its start.

    `sha256` is taken of the canonical form, `end` is `meetingEndDateTime`, `read_at` when reading began;
    `participants` is `totalParticipantCount`, or where Graph does not tell it the number of records.
    """

    id: str
    start: datetime | None
    end: datetime
    participants: int
    sha256: str
    body: IO[bytes]
    size: int
    read_at: datetime


def listed(graph: Graph, reports: Where) -> list[Listed]:
    """The reports of a meeting or session, at most the 50 newest, in no order. Raises a GraphError."""
    operation = "list attendance reports"
    found: dict[str, Listed] = {}
    for page in graph.pages(reports.path, operation):
        for item in page:
            report = _listed(item, operation)
            found[report.id] = report
    return list(found.values())


@contextmanager
def read(graph: Graph, reports: Where, report_id: str) -> Iterator[Report]:
    """Read one report and every page of its records. Raises a GraphError; the body lives as long as the context."""
    operation, began = "get attendance report", times.now()
    address = f"{reports.path}/{segment(report_id)}"
    first = graph.get(f"{address}?$expand={RECORDS}", operation)
    head = _listed(first, operation)
    if head.end is None:
        raise Unavailable(operation, "the report has no end")
    with (
        tempfile.SpooledTemporaryFile(SPOOL_BYTES) as body,
        tempfile.SpooledTemporaryFile(SPOOL_BYTES) as canonical,
    ):
        try:
            sha256, records = _write(first, _record_pages(graph, first, address), body, canonical)
        except ValueError:
            raise Unavailable(operation, "the report cannot be written as JSON") from None
        size = body.tell()
        body.seek(0)
        told = first.get("totalParticipantCount")
        participants = told if isinstance(told, int) and not isinstance(told, bool) else records
        yield Report(report_id, head.start, head.end, participants, sha256, body, size, began)


def _record_pages(graph: Graph, first: dict[str, Any], address: str) -> Iterator[list[Any]]:
    """The report's records, page by page; where `$expand` was not honoured they are listed on their own."""
    operation = "list attendance records"
    if first.get(RECORDS) is None:
        yield from graph.pages(f"{address}/{RECORDS}", operation)
        return
    for page in itertools.chain([first], graph.following(next_link(first), operation)):
        records = page.get("value", page.get(RECORDS)) if page is not first else page[RECORDS]
        if not isinstance(records, list):
            raise Unavailable(operation, "the answer holds no list of records")
        yield records


def _write(
    report: dict[str, Any], pages: Iterator[list[Any]], body: IO[bytes], canonical: IO[bytes]
) -> tuple[str, int]:
    """Write the report to `body`, one line of JSON, and return its sha256 and the number of its records."""
    separator = b"{"
    index: list[tuple[str, int, int]] = []
    for name, value in {**report, RECORDS: None}.items():  # last where Graph did not expand it
        if name in _NEXT_LINKS:
            continue
        body.write(separator + jsontext.dumps(name) + b":")
        if name == RECORDS:
            index = _write_records(pages, body, canonical)
        else:
            body.write(jsontext.dumps(value))
        separator = b","
    body.write(b"}")
    return _sha256(report, index, canonical), len(index)


def _write_records(
    pages: Iterator[list[Any]], body: IO[bytes], canonical: IO[bytes]
) -> list[tuple[str, int, int]]:
    """Write the array of records; the index says where each one's canonical form lies: id, offset, length."""
    index: list[tuple[str, int, int]] = []
    separator = b"["
    for record in itertools.chain.from_iterable(pages):
        body.write(separator + jsontext.dumps(record))
        form = jsontext.canonical(record)
        record_id = record.get("id") if isinstance(record, dict) else None
        index.append((record_id if isinstance(record_id, str) else "", canonical.tell(), len(form)))
        canonical.write(form)
        separator = b","
    body.write(b"]" if index else b"[]")
    return index


def _sha256(report: dict[str, Any], index: list[tuple[str, int, int]], canonical: IO[bytes]) -> str:
    """Hash the canonical form of the whole report without ever holding it: records in the order of their ids."""
    digest = hashlib.sha256()
    separator = b"{"
    for name in sorted({*report, RECORDS}):
        if "@odata." in name:
            continue
        digest.update(separator + jsontext.canonical(name) + b":")
        if name == RECORDS:
            for position, (_, offset, length) in enumerate(sorted(index)):
                canonical.seek(offset)
                digest.update((b"," if position else b"[") + canonical.read(length))
            digest.update(b"]" if index else b"[]")
        else:
            digest.update(jsontext.canonical(report[name]))
        separator = b","
    digest.update(b"}")
    return digest.hexdigest()


def _listed(item: object, operation: str) -> Listed:
    report_id = item.get("id") if isinstance(item, dict) else None
    if not isinstance(item, dict) or not isinstance(report_id, str) or not report_id:
        raise Unavailable(operation, "a report has no id")
    try:
        start, end = (times.parse(item.get(name)) for name in ("meetingStartDateTime", "meetingEndDateTime"))
    except ValueError:
        raise Unavailable(operation, "the times of a report are not times") from None
    return Listed(report_id, start, end)
