"""Index of a day's reports: `manifests/date=YYYY-MM-DD/reports.jsonl`.

One line per report, ordered by when it was first stored, so a new report adds a line at the end. It comes from a
listing with metadata, without reading a report.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from enum import StrEnum
from typing import Any

from .. import times
from ..archive.attribution import INVITEES_COUNT, INVITEES_SHA256, INVITEES_STATE
from ..archive.reports import PARTIAL, STORED, ReportSummary
from ..graph import verbatim_json
from ..graph.meeting_details import decode_details
from ..privacy.erasures import ERASED
from ..storage.names import day_folder

SPOOL_BYTES = 1024 * 1024  # of an index in memory; then it goes to a temporary file
_NO_SESSION = b'"sessionIndex":null}\n'
_TIME_BITS = 48  # of milliseconds
_OFFSET_BITS = 48
_KEY_BYTES = 14


class RevisionReason(StrEnum):
    """Why a revision came. CORRECTION: a report was changed, moved or deleted.

    OUTCOME: the reports are the same.
    """

    SEALED = "sealed"
    LATE_REPORT = "lateReport"
    CORRECTION = "correction"
    ERASURE = "erasure"
    OUTCOME = "outcome"


def index_name(day: date) -> str:
    """Return the blob name of a day's index of reports."""
    return f"{day_folder('manifests', day)}reports.jsonl"


def index_lines(reports: Iterable[ReportSummary]) -> Iterator[bytes]:
    """Yield the line of each report of a day.

    With the number of its session among those of the same meeting. The lines are ordered by when the report was
    first stored, and those of one instant as they are listed. So a new report adds a line at the end. In memory are
    110 bytes for each report.
    """
    order, sessions = list[int](), list[int]()
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as draft:
        for report in reports:
            order.append(_milliseconds(report.metadata.get(STORED)) << _OFFSET_BITS | draft.tell())
            sessions.append(_session_key(report.metadata))
            draft.write(sessions[-1].to_bytes(_KEY_BYTES) + index_line(report))
        order.sort()
        sessions.sort()
        for place in order:
            draft.seek(place & ((1 << _OFFSET_BITS) - 1))
            key, line = int.from_bytes(draft.read(_KEY_BYTES)), draft.readline()
            number = bisect_left(sessions, key) - bisect_left(sessions, key >> _TIME_BITS << _TIME_BITS) + 1
            yield line.removesuffix(_NO_SESSION) + b'"sessionIndex":%d}\n' % number if key else line


def index_line(report: ReportSummary) -> bytes:
    """Return a report's line, with every property.

    An engine that infers the columns from the first lines then misses none.
    """
    get = report.metadata.get
    details = decode_details(get("details"))
    content = {
        "id": report.id,
        "path": report.name,
        "sha256": get("sha256"),
        "bytes": report.size,
        "source": get("source"),
        "meetingId": get("meetingid"),
        "organizerId": get("organizerid"),
        "eventId": get("eventid"),
        "sessionId": get("sessionid"),
        "joinWebUrl": get("joinweburl"),
        "joinUrlKey": get("joinurlkey"),
        "seriesId": get("seriesid"),
        "start": get("start"),
        "end": get("end"),
        "stored": times.optional_text(times.possible(get(STORED))),
        "participants": _count(get("participants")),
        "partial": PARTIAL in report.metadata,
        "subject": details.subject,
        "scheduledStart": times.optional_text(details.scheduled_start),
        "scheduledEnd": times.optional_text(details.scheduled_end),
        "threadId": details.thread_id,
        "meetingType": details.meeting_type,
        "invitees": _count(get(INVITEES_COUNT)),
        "inviteesState": get(INVITEES_STATE),
        "inviteesSha256": get(INVITEES_SHA256),
        "erased": ERASED in report.metadata,
        "sessionIndex": None,
    }
    return verbatim_json.dumps(content) + b"\n"


def split_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a blob that comes in chunks.

    It may be larger than memory.
    """
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line + b"\n" for line in lines)


def compare_indexes(old: Iterable[bytes], new: Iterable[bytes]) -> set[RevisionReason]:
    """Return in what two indexes, each ordered by `stored` and `path`, differ."""
    found: set[RevisionReason] = set()
    before, after = iter(old), iter(new)
    left, right = next(before, None), next(after, None)
    while left is not None or right is not None:
        if left == right:
            left, right = next(before, None), next(after, None)
            continue
        was, now = (json.loads(each) if each else None for each in (left, right))
        if was is None or (now is not None and _place(now) < _place(was)):
            found.add(RevisionReason.LATE_REPORT)
            right = next(after, None)
        elif now is None or _place(was) < _place(now):
            found.add(RevisionReason.CORRECTION)
            left = next(before, None)
        else:
            found.add(RevisionReason.ERASURE if now["erased"] else RevisionReason.CORRECTION)
            left, right = next(before, None), next(after, None)
    return found


def _place(line: Mapping[str, Any]) -> tuple[str, str]:
    """By what a line has its place in the index."""
    return line.get("stored") or "", line["path"]


def _session_key(metadata: Mapping[str, str]) -> int:
    """A hash of the meeting, followed by the start of the session.

    0 if one of them is unknown.
    """
    meeting = metadata.get("seriesid") or metadata.get("meetingid") or metadata.get("sessionid")
    start = times.plausible(metadata.get("start"))
    if not meeting or start is None:
        return 0
    meeting_hash = hashlib.blake2b(meeting.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(meeting_hash) << _TIME_BITS | int(start.timestamp() * 1000)


def _milliseconds(moment: str | None) -> int:
    """A time since 1970; 0 if it is unknown."""
    known = times.possible(moment)
    return int(known.timestamp() * 1000) if known else 0


def _count(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None
