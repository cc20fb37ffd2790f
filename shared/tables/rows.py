"""Turn a report into rows: per meeting, per attendee, per attendance interval.

Every row has every column, so an engine that infers the columns from the first rows misses none. A value without its
documented shape is null. Columns: docs/consumers.md. Source:
https://learn.microsoft.com/graph/api/resources/attendancerecord
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .. import times

RECORDS = "attendanceRecords"
_TYPE = "#microsoft.graph."


def meeting_row(report: Mapping[str, Any], line: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of one report.

    `line` is its line in the day's index, which has the meeting and the organizer.
    """
    end = _parse_time(report.get("meetingEndDateTime"))
    return {
        "date": end[:10] if end else None,
        "reportId": _text(report.get("id")) or line.get("id"),
        "source": line.get("source"),
        "meetingId": line.get("meetingId"),
        "organizerId": line.get("organizerId"),
        "eventId": line.get("eventId"),
        "sessionId": line.get("sessionId"),
        "joinWebUrl": line.get("joinWebUrl"),
        "meetingStart": _parse_time(report.get("meetingStartDateTime")),
        "meetingEnd": end,
        "meetingParticipants": _whole_number(report.get("totalParticipantCount")),
    }


def attendee_rows(report: Mapping[str, Any], line: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield one row per attendance record, joined with its meeting."""
    common = meeting_row(report, line)
    for record in _objects(report.get(RECORDS)):
        spans = [_interval_columns(each) for each in _objects(record.get("attendanceIntervals"))]
        yield {
            **common,
            **_person_columns(record),
            "attendedSeconds": _whole_number(record.get("totalAttendanceInSeconds")),
            "firstJoin": min((each["join"] for each in spans if each["join"]), default=None),
            "lastLeave": max((each["leave"] for each in spans if each["leave"]), default=None),
            "intervals": spans,
        }


def interval_rows(report: Mapping[str, Any], line: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield one row per attendance interval, joined with person and meeting."""
    common = meeting_row(report, line)
    for record in _objects(report.get(RECORDS)):
        person = _person_columns(record)
        for number, each in enumerate(_objects(record.get("attendanceIntervals"))):
            yield {**common, **person, "interval": number, **_interval_columns(each)}


def _person_columns(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns about the person.

    An identity is documented as flat; an identity set holds it under the kind of person.
    """
    identity = _object(record.get("identity"))
    flat = (
        identity
        if "id" in identity
        else next((each for each in identity.values() if _object(each)), identity)
    )
    kind = _text(flat.get("@odata.type")) or _text(identity.get("@odata.type"))
    return {
        "recordId": _text(record.get("id")),
        "personId": _text(flat.get("id")),
        "displayName": _text(flat.get("displayName")),
        "tenantId": _text(flat.get("tenantId")),
        "identityType": kind.removeprefix(_TYPE) if kind else None,
        "emailAddress": _text(record.get("emailAddress")) or None,
        "role": _text(record.get("role")),
        "registrationId": _text(record.get("registrationId")),
    }


def _interval_columns(interval: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "join": _parse_time(interval.get("joinDateTime")),
        "leave": _parse_time(interval.get("leaveDateTime")),
        "seconds": _whole_number(interval.get("durationInSeconds")),
    }


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [_object(each) for each in value] if isinstance(value, list) else []


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _whole_number(value: object) -> int | None:
    """A whole number, also one that Graph writes as `2.0`; None for one beyond the 64 bits of any engine."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        return None
    return int(value) if abs(value) < 1 << 63 else None


def _parse_time(value: object) -> str | None:
    """UTC with milliseconds, which every engine reads; Graph writes up to seven digits. Null where it cannot be."""
    try:
        moment = times.parse(value)
    except ValueError:
        return None
    return times.text(moment) if moment and 2000 <= moment.year < 3000 else None
