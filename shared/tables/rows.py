"""Turn a report into rows: per meeting, per attendee, per attendance interval, per engagement.

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
        "seriesId": line.get("seriesId"),
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


def engagement_rows(report: Mapping[str, Any], line: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield one row per reaction, raised hand and switch of camera or microphone, with person and meeting."""
    common = meeting_row(report, line)
    for record in _objects(report.get(RECORDS)):
        person = _person_columns(record)
        for number, each in enumerate(_objects(record.get("engagements"))):
            yield {
                **common,
                **person,
                "engagement": number,
                "engagementType": _text(each.get("engagementType")),
                "engagementSubType": _text(each.get("engagementSubType")),
                "dateTime": _parse_time(each.get("dateTime")),
            }


def _person_columns(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns about the person. A caller by telephone without a name is named by the number."""
    kind, identity = _find_identity(record.get("identity"))
    person_id, name = _text(identity.get("id")), _text(identity.get("displayName"))
    if not name and person_id and ("phone" in (kind or "").lower() or person_id.startswith("+")):
        name = person_id
    return {
        "recordId": _text(record.get("id")),
        "personId": person_id,
        "displayName": name,
        "tenantId": _text(identity.get("tenantId")),
        "identityType": kind,
        "emailAddress": _text(record.get("emailAddress")) or None,
        "role": _text(record.get("role")),
        "registrationId": _text(record.get("registrationId")),
    }


def _find_identity(value: object) -> tuple[str | None, Mapping[str, Any]]:
    """Return the kind of an identity, and the identity.

    It is documented as flat, but can lie in a set under its kind. Of several in a set, the first with an id is taken,
    else the first with a name.
    """
    outer = _object(value)
    inner = [(key, _object(each)) for key, each in outer.items() if isinstance(each, dict)]
    whole: list[tuple[str | None, Mapping[str, Any]]] = [(None, outer)] if "id" in outer or not inner else []
    found = [*whole, *inner]
    telling = (each for name in ("id", "displayName") for each in found if _text(each[1].get(name)))
    key, identity = next(telling, found[0])
    kind = _text(identity.get("@odata.type"))
    return kind.removeprefix(_TYPE) if kind else key, identity


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
