"""Turn a report into rows: per meeting, per attendee, per attendance interval, per engagement.

Every row has every column (`columns`), and a value without its documented shape is null. Here are the definitions that
everybody shares: who a person is, how long somebody attended, who came late. Source:
https://learn.microsoft.com/graph/api/resources/attendancerecord
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from .. import times
from ..settings import GUID

RECORDS = "attendanceRecords"
_TYPE = "#microsoft.graph."
_LINE = ("source", "meetingId", "organizerId", "eventId", "sessionId", "joinWebUrl", "seriesId")
_DETAILS = ("subject", "threadId", "meetingType")
_NO_PERSON = ("guest", "phone", "anonymous", "application")  # in the kind of an identity: its id is no user's
SHARE_DIGITS = 4

type Span = tuple[datetime, datetime]
type Row = dict[str, Any]


def meeting_row(report: Mapping[str, Any], line: Mapping[str, Any]) -> Row:
    """Return the columns about the meeting, which every row of a report has.

    `line` is its line in the day's index, which has the meeting, its details and the organizer. The scheduled times are
    null if they are those of another occurrence: they do not overlap the meeting.
    """
    start, end = _moment(report.get("meetingStartDateTime")), _moment(report.get("meetingEndDateTime"))
    scheduled = _schedule(line, start, end)
    index = line.get("sessionIndex")
    return {
        "reportId": _text(report.get("id")) or line.get("id"),
        **{name: _text(line.get(name)) for name in _LINE},
        "sessionIndex": index if isinstance(index, int) else None,
        **{name: _text(line.get(name)) for name in _DETAILS},
        "scheduledStart": times.optional_text(scheduled and scheduled[0]),
        "scheduledEnd": times.optional_text(scheduled and scheduled[1]),
        "meetingStart": times.optional_text(start),
        "meetingEnd": times.optional_text(end),
        "meetingParticipants": _whole_number(report.get("totalParticipantCount")),
        "partial": line.get("partial") is True,
    }


def report_row(report: Mapping[str, Any], line: Mapping[str, Any]) -> Row:
    """Return the row of one report, with the number of its attendance records."""
    return meeting_row(report, line) | {"records": len(_objects(report.get(RECORDS)))}


def attendee_rows(report: Mapping[str, Any], line: Mapping[str, Any], tenant_id: str = "") -> Iterator[Row]:
    """Yield one row per attendance record, joined with its meeting."""
    common = meeting_row(report, line)
    held = _span(common["meetingStart"], common["meetingEnd"])
    scheduled = _span(common["scheduledStart"], common["scheduledEnd"])
    for number, record in enumerate(_objects(report.get(RECORDS))):
        intervals = [_interval_columns(each) for each in _objects(record.get("attendanceIntervals"))]
        spans = [span for each in intervals if (span := _span(each["join"], each["leave"]))]
        presence = _merge_spans(spans)
        first = min((each["join"] for each in intervals if each["join"]), default=None)
        last = max((each["leave"] for each in intervals if each["leave"]), default=None)
        yield {
            **common,
            **_person_columns(number, record, tenant_id),
            "attendedSeconds": _whole_number(record.get("totalAttendanceInSeconds")),
            "netSeconds": round(_length(presence).total_seconds()) if presence else None,
            "attendedShare": _share(presence, held),
            "attendedShareOfSchedule": _share(presence, scheduled),
            "firstJoin": first,
            "lastLeave": last,
            "lateSeconds": _seconds_after(first, scheduled[0]) if first and scheduled else None,
            "leftEarlySeconds": _seconds_after(scheduled[1], last) if last and scheduled else None,
            "intervals": intervals,
        }


def interval_rows(report: Mapping[str, Any], line: Mapping[str, Any], tenant_id: str = "") -> Iterator[Row]:
    """Yield one row per attendance interval, joined with person and meeting."""
    common = meeting_row(report, line)
    for number, record in enumerate(_objects(report.get(RECORDS))):
        person = _person_columns(number, record, tenant_id)
        for interval, each in enumerate(_objects(record.get("attendanceIntervals"))):
            yield {**common, **person, "interval": interval, **_interval_columns(each)}


def engagement_rows(report: Mapping[str, Any], line: Mapping[str, Any], tenant_id: str = "") -> Iterator[Row]:
    """Yield one row per reaction, raised hand and switch of camera or microphone, with person and meeting."""
    common = meeting_row(report, line)
    for number, record in enumerate(_objects(report.get(RECORDS))):
        person = _person_columns(number, record, tenant_id)
        for engagement, each in enumerate(_objects(record.get("engagements"))):
            yield {
                **common,
                **person,
                "engagement": engagement,
                "engagementType": _text(each.get("engagementType")),
                "engagementSubType": _text(each.get("engagementSubType")),
                "dateTime": times.optional_text(_moment(each.get("dateTime"))),
            }


def _person_columns(number: int, record: Mapping[str, Any], tenant_id: str) -> Row:
    """Return the columns about the person.

    A caller by telephone without a name is named by the number.
    """
    kind, identity = _find_identity(record.get("identity"))
    person_id, name = _text(identity.get("id")), _text(identity.get("displayName"))
    kind_text = (kind or "").lower()
    if not name and person_id and ("phone" in kind_text or person_id.startswith("+")):
        name = person_id
    address, tenant = _text(record.get("emailAddress")) or None, _text(identity.get("tenantId")) or None
    is_user = bool(person_id and GUID.match(person_id)) and not any(each in kind_text for each in _NO_PERSON)
    key = person_id if is_user else address and address.strip()
    return {
        "recordNumber": number,
        "recordId": _text(record.get("id")),
        "personKey": key.lower() if key else None,
        "personId": person_id,
        "displayName": name,
        "tenantId": tenant,
        "identityType": kind,
        "emailAddress": address,
        "isExternal": tenant.lower() != tenant_id.lower() if tenant and tenant_id else None,
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
    return kind.removeprefix(_TYPE) if kind else _text(key), identity


def _interval_columns(interval: Mapping[str, Any]) -> Row:
    return {
        "join": times.optional_text(_moment(interval.get("joinDateTime"))),
        "leave": times.optional_text(_moment(interval.get("leaveDateTime"))),
        "seconds": _whole_number(interval.get("durationInSeconds")),
    }


def _schedule(line: Mapping[str, Any], start: datetime | None, end: datetime | None) -> Span | None:
    """The schedule of the meeting, if it is this one's and not another occurrence's."""
    scheduled = _span(line.get("scheduledStart"), line.get("scheduledEnd"))
    if scheduled is None or start is None or end is None:
        return None
    return scheduled if start < scheduled[1] and scheduled[0] < end else None


def _span(start: str | None, end: str | None) -> Span | None:
    """Two times of a row; None for a missing one, or for an end that is not after the start."""
    if start is None or end is None:
        return None
    span = datetime.fromisoformat(start), datetime.fromisoformat(end)
    return span if span[0] < span[1] else None


def _merge_spans(spans: Sequence[Span]) -> list[Span]:
    """Merge overlapping stays, as of somebody who joined with two devices."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _length(spans: Sequence[Span]) -> timedelta:
    return sum((end - start for start, end in spans), timedelta())


def _share(presence: Sequence[Span], whole: Span | None) -> float | None:
    """The part of a time span in which somebody was present, from 0 to 1."""
    if whole is None or not presence:
        return None
    within = [(max(start, whole[0]), min(end, whole[1])) for start, end in presence]
    attended = _length([(start, end) for start, end in within if start < end])
    return round(attended / (whole[1] - whole[0]), SHARE_DIGITS)


def _seconds_after(later: str | datetime, earlier: str | datetime) -> int:
    """Whole seconds by which a time is later than another; 0 if it is not."""
    late, early = (
        datetime.fromisoformat(each) if isinstance(each, str) else each for each in (later, earlier)
    )
    return max(0, int((late - early).total_seconds()))


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [_object(each) for each in value] if isinstance(value, list) else []


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    """A text in valid Unicode: JSON can hold half of a surrogate pair, which is invalid elsewhere."""
    if not isinstance(value, str):
        return None
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()


def _whole_number(value: object) -> int | None:
    """A count, also one that Graph writes as `2.0`.

    None for a negative one, and for one beyond the 64 bits of any engine.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        return None
    return int(value) if 0 <= value < 1 << 63 else None


def _moment(value: object) -> datetime | None:
    """A time, cut to the millisecond, which every engine reads.

    Graph writes up to seven digits.
    """
    moment = times.possible(value)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000) if moment else None
