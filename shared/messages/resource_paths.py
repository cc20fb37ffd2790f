"""Extract ids from the Graph addresses of attendance reports and virtual events.

An address comes from a notification or from a user and is never followed. Only its ids are used, and only if it has a
documented shape; the product builds its own address from them. Standard library only: the webhook loads this module.
Source: https://learn.microsoft.com/graph/api/meetingattendancereport-get
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from .envelope import OPAQUE_ID
from .signals import EVENT_ID, MAX_JOIN_URL, EventKind, EventSession

_ID = r"(?:/([^/()?#]+)|\('([^/()?#]+)'\))"
_EVENT = rf"/?solutions/virtualEvents/(webinars|townhalls){_ID}"
_ONE_EVENT = re.compile(rf"{_EVENT}/?\Z", re.IGNORECASE)
_EVENT_REPORT = re.compile(
    rf"{_EVENT}/sessions{_ID}/(?:meetingAttendanceReports|attendanceReports){_ID}/?\Z", re.IGNORECASE
)
_MEETING_REPORT = re.compile(
    rf"/?(?:me|users{_ID})/onlineMeetings{_ID}/attendanceReports{_ID}/?\Z", re.IGNORECASE
)
_ROOT = re.compile(r"\A(?:https://[^/?#]+)?/?(?:v1\.0/|beta/)?", re.IGNORECASE)
_MEETING_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._~=@+*:/-]{0,1023}\Z")  # Base64, or the older form
# the resource of today, and that of 2022 to 2024, whose query is written in several ways
_SPACE, _QUOTE = r"(?:\+|%20| )", "(?:'|%27)"
_CALL_EVENTS = re.compile(
    r"/?communications/onlineMeetings(?:\(joinWebUrl='([^']+)'\)/meetingCallEvents"
    rf"|/?\?(?:\$|%24)filter=joinWebUrl{_SPACE}eq{_SPACE}{_QUOTE}([^']+?){_QUOTE})/?\Z",
    re.IGNORECASE,
)
MAX_DECODING = 3  # levels of percent-encoding of a join URL
_KINDS = {"webinars": EventKind.WEBINAR, "townhalls": EventKind.TOWNHALL}


@dataclass(frozen=True)
class MeetingReportIds:
    """Ids of an online meeting's report; `user_id` is None for the signed-in user."""

    user_id: str | None
    meeting_id: str
    report_id: str


@dataclass(frozen=True)
class EventReportIds:
    """Ids of a virtual event's report."""

    session: EventSession
    report_id: str


def parse_report_address(address: str) -> MeetingReportIds | EventReportIds | None:
    """Return the ids in a report's address, with or without host and version, or None."""
    below = _ROOT.sub("", address.strip(), count=1).partition("?")[0]
    if event := parse_event_report_path(below):
        return event
    match = _MEETING_REPORT.match(below)
    if match is None:
        return None
    user, meeting, name = ((match[at] or match[at + 1]) for at in (1, 3, 5))
    user_id = _decode_id(user, _MEETING_ID) if user else None
    meeting_id, report_id = _decode_id(meeting, _MEETING_ID), _decode_id(name, OPAQUE_ID)
    if (user and not user_id) or not meeting_id or not report_id:
        return None
    return MeetingReportIds(user_id, meeting_id, report_id)


def parse_event_path(address: str) -> tuple[EventKind, str] | None:
    """Return the ids in `solutions/virtualEvents/webinars/{id}`, or None."""
    match = _ONE_EVENT.match(address)
    event_id = _decode_id(match[2] or match[3], EVENT_ID) if match else None
    return (_KINDS[match[1].lower()], event_id) if match and event_id else None


def parse_event_report_path(address: str) -> EventReportIds | None:
    """Return the ids in the address of a virtual event's report, or None.

    The shape is `solutions/virtualEvents/webinars/{id}/sessions/{id}/attendanceReports/{id}`.
    """
    match = _EVENT_REPORT.match(address)
    if match is None:
        return None
    event_id, session_id = (
        _decode_id(match[2] or match[3], EVENT_ID),
        _decode_id(match[4] or match[5], EVENT_ID),
    )
    report_id = _decode_id(match[6] or match[7], OPAQUE_ID)
    if not (event_id and session_id and report_id):
        return None
    return EventReportIds(EventSession(_KINDS[match[1].lower()], event_id, session_id), report_id)


def extract_join_url(resource: str) -> str | None:
    """Return the join URL in a call event's resource, or None.

    A join URL is percent-encoded in Graph's other answers too; in the resource it is encoded once more.
    """
    match = _CALL_EVENTS.match(resource)
    url = (match[1] or match[2]) if match else ""
    for _ in range(MAX_DECODING):
        if url.startswith("https://"):
            return url if len(url) <= MAX_JOIN_URL else None
        url = unquote(url)
    return None


def _decode_id(text: str, shape: re.Pattern[str]) -> str | None:
    """Percent-decode an id once; None if it does not have this shape."""
    decoded = unquote(text)
    return decoded if shape.match(decoded) else None
