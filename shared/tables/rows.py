"""Rows of a report: per meeting, attendee, engagement, invitee.

Every row has every column (`columns`), and a value without its documented shape is null. Here are the definitions that
everybody shares: who a person is, how long somebody attended, who came late. Source:
https://learn.microsoft.com/graph/api/resources/attendancerecord
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from .. import times
from ..graph.invitees import Invitee, InviteeKind, InviteeList, ListState
from ..settings import GUID
from .spans import Span, clip_spans, length_of, merge_spans, parse_span

RECORDS = "attendanceRecords"
_TYPE = "#microsoft.graph."
_LINE = ("source", "meetingId", "organizerId", "eventId", "sessionId", "joinWebUrl", "seriesId")
_DETAILS = ("subject", "threadId", "meetingType")
_NO_PERSON = ("guest", "phone", "anonymous", "application")  # in the kind of an identity: its id is no user's
SHARE_DIGITS = 4

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
        "reportId": _text(line.get("id") or report.get("id")),
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
    held = parse_span(common["meetingStart"], common["meetingEnd"])
    scheduled = parse_span(common["scheduledStart"], common["scheduledEnd"])
    for number, record in enumerate(_objects(report.get(RECORDS))):
        intervals = _intervals(record)
        presence = _presence(intervals)
        first = min((each["join"] for each in intervals if each["join"]), default=None)
        last = max((each["leave"] for each in intervals if each["leave"]), default=None)
        yield {
            **common,
            **_person_columns(number, record, tenant_id),
            "attendedSeconds": _whole_number(record.get("totalAttendanceInSeconds")),
            "netSeconds": _net_seconds(presence),
            "attendedShare": _share(presence, held),
            "attendedShareOfSchedule": _share(presence, scheduled),
            "firstJoin": first,
            "lastLeave": last,
            "lateSeconds": _seconds_after(first, scheduled[0]) if first and scheduled else None,
            "leftEarlySeconds": _seconds_after(scheduled[1], last) if last and scheduled else None,
            "intervals": intervals,
        }


def engagement_rows(report: Mapping[str, Any], line: Mapping[str, Any], tenant_id: str = "") -> Iterator[Row]:
    """Yield one row per engagement.

    Reactions, raised hands, switches of camera or microphone; with person and meeting.
    """
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


def invitee_rows(
    report: Mapping[str, Any], line: Mapping[str, Any], found: InviteeList | None, tenant_id: str = ""
) -> Iterator[Row]:
    """Yield one row per person who was invited or registered.

    It has the meeting and the attendance. `attended` is null for whom the report cannot decide: nothing identifies the
    invitee, an invited address without an object id may be a group's, or records may be missing.
    """
    if not found or not found.invitees:
        return
    common, records = meeting_row(report, line), _objects(report.get(RECORDS))
    by_id = _records_by_id(records)
    has_all = isinstance(report.get(RECORDS), list) and not common["partial"]
    for number, each in enumerate(found.invitees):
        ids = _invitee_ids(each)
        matching = next((by_id[name] for name in ids if name in by_id), [])
        is_decidable = has_all and bool(each.person_id or (ids and each.kind is InviteeKind.REGISTERED))
        stays = [stay for record in matching for stay in _intervals(records[record])]
        yield {
            **common,
            "inviteeNumber": number,
            "kind": each.kind,
            "personKey": _person_key(each.person_id, each.email_address),
            "personId": _text(each.person_id),
            "displayName": _text(each.display_name),
            "tenantId": _text(each.tenant_id),
            "emailAddress": _text(each.email_address),
            "isExternal": _is_external(each.tenant_id, tenant_id),
            "role": _text(each.role),
            "registrationId": _text(each.registration_id),
            "registrationStatus": _text(each.status),
            "registeredAt": times.optional_text(each.registered_at),
            "canceledAt": times.optional_text(each.canceled_at),
            "attended": True if matching else False if is_decidable else None,
            "recordNumber": matching[0] if matching else None,
            "netSeconds": _net_seconds(_presence(stays)),
            "listComplete": found.state is ListState.COMPLETE,
        }


def _records_by_id(records: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], list[int]]:
    """The numbers of the records that have a registration, an object id or an address."""
    found: dict[tuple[str, str], list[int]] = {}
    for number, record in enumerate(records):
        _, identity = _find_identity(record.get("identity"))
        ids = record.get("registrationId"), identity.get("id"), record.get("emailAddress")
        for name in _named_ids(*ids):
            found.setdefault(name, []).append(number)
    return found


def _invitee_ids(invitee: Invitee) -> list[tuple[str, str]]:
    return _named_ids(invitee.registration_id, invitee.person_id, invitee.email_address)


def _named_ids(registration: object, person: object, address: object) -> list[tuple[str, str]]:
    """The known ones of these ids, each in one form, in the order of comparison."""
    values = {"registration": registration, "person": person, "address": address}
    texts = {name: (_text(value) or "").strip().lower() for name, value in values.items()}
    return [(name, text) for name, text in texts.items() if text]


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
    is_person = not any(each in kind_text for each in _NO_PERSON)
    return {
        "recordNumber": number,
        "recordId": _text(record.get("id")),
        "personKey": _person_key(person_id if is_person else None, address),
        "personId": person_id,
        "displayName": name,
        "tenantId": tenant,
        "identityType": kind,
        "emailAddress": address,
        "isExternal": _is_external(tenant, tenant_id),
        "role": _text(record.get("role")),
        "registrationId": _text(record.get("registrationId")),
    }


def _person_key(person_id: str | None, address: str | None) -> str | None:
    """Who it is: the object id of a user, else the address."""
    is_user = bool(person_id and GUID.match(person_id))
    key = _text(person_id if is_user else address and address.strip())
    return key.lower() if key else None


def _is_external(tenant: str | None, tenant_id: str) -> bool | None:
    return tenant.lower() != tenant_id.lower() if tenant and tenant_id else None


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


def _intervals(record: Mapping[str, Any]) -> list[Row]:
    return [_interval_columns(each) for each in _objects(record.get("attendanceIntervals"))]


def _interval_columns(interval: Mapping[str, Any]) -> Row:
    return {
        "join": times.optional_text(_moment(interval.get("joinDateTime"))),
        "leave": times.optional_text(_moment(interval.get("leaveDateTime"))),
        "seconds": _whole_number(interval.get("durationInSeconds")),
    }


def _schedule(line: Mapping[str, Any], start: datetime | None, end: datetime | None) -> Span | None:
    """The schedule of the meeting, if it is this one's and not another occurrence's."""
    scheduled = parse_span(line.get("scheduledStart"), line.get("scheduledEnd"))
    if scheduled is None or start is None or end is None:
        return None
    return scheduled if start < scheduled[1] and scheduled[0] < end else None


def _presence(intervals: Sequence[Row]) -> list[Span]:
    """When somebody was there, of stays that have both times."""
    return merge_spans([span for each in intervals if (span := parse_span(each["join"], each["leave"]))])


def _net_seconds(presence: Sequence[Span]) -> int | None:
    return round(length_of(presence).total_seconds()) if presence else None


def _share(presence: Sequence[Span], whole: Span | None) -> float | None:
    """The part of a time span in which somebody was present, from 0 to 1."""
    if whole is None or not presence:
        return None
    return round(length_of(clip_spans(presence, [whole])) / length_of([whole]), SHARE_DIGITS)


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
    """Return a text in valid Unicode.

    JSON can hold half of a surrogate pair, which is invalid elsewhere.
    """
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
