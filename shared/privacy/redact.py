"""What is taken out of a report when a person is erased.

Nothing here reads or writes storage.

Of a redacted attendance record only what says nothing of the person stays: its role and times, so that sums and
pictures remain right. Redacting the same report again, or another reading of it, gives the same.
"""

from __future__ import annotations

import io
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..graph import report_json, verbatim_json
from ..graph.invitees import Invitee, InviteeList
from ..graph.meeting_details import decode_details, encode_details
from ..graph.report_json import RECORDS
from ..messages.signals import MeetingDetails, lower_guid
from .erasures import ERASED, ErasedPeople
from .identifiers import id_token, name_token, names, quotes, tokens_of_record

MARK = {ERASED: "true"}  # metadata of a blob from which someone was erased
ORGANIZER, ATTENDEE, QUOTED = "organizer", "attendee", "quoted in the subject"
# Metadata that contain the organizer's id. The series stays: other people's meetings belong to it, and it names nobody.
_ORGANIZER_METADATA = ("organizerid", "meetingid", "joinweburl", "joinurlkey")
_DETAILS = "details"  # metadata
_FREE_TEXT = ("subject", "thread_id")
_KEPT_PROPERTIES = ("@odata.type", "role", "totalAttendanceInSeconds")
_INTERVALS = "attendanceIntervals"
_KEPT_OF_INTERVAL = ("@odata.type", "joinDateTime", "leaveDateTime", "durationInSeconds")


@dataclass(frozen=True)
class RedactedReport:
    """A report without the person: its line of JSON, and the sha256 of that."""

    body: bytes
    sha256: str


def find_roles(
    report: Mapping[str, Any],
    metadata: Mapping[str, str],
    who: Container[str],
    invitees: InviteeList | None = None,
) -> list[str]:
    """The roles of the person in a report.

    They are organizer, attendee, quoted in the subject, invited, registered. `metadata` are the blob's, and `invitees`
    those that it names.
    """
    details = decode_details(metadata.get(_DETAILS))
    roles = {
        ORGANIZER: is_organizer(metadata, who) or any(_quoted(report, who)),
        ATTENDEE: any(attended(each, who) for each in _records(report)),
        QUOTED: redact_details(details, who) is not details,
    }
    listed = {str(each.kind) for each in invitees.invitees if is_invitee(each, who)} if invitees else set()
    return [role for role, is_found in roles.items() if is_found] + sorted(listed)


def is_organizer(metadata: Mapping[str, str], who: Container[str]) -> bool:
    """Whether a blob's metadata name the person as the meeting's organizer."""
    return any(names(metadata.get(each), who) for each in _ORGANIZER_METADATA)


def attended(record: object, who: Container[str]) -> bool:
    """Whether an attendance record is of the person."""
    return isinstance(record, dict) and any(token in who for token in tokens_of_record(record))


def is_invitee(invitee: Invitee, who: Container[str]) -> bool:
    """Whether somebody who was invited or registered is the person."""
    ids = (invitee.person_id, invitee.email_address, invitee.registration_id)
    tokens = [*map(id_token, filter(None, ids)), *map(name_token, filter(None, [invitee.display_name]))]
    return any(token in who for token in tokens)


def redact_invitees(found: InviteeList, who: Container[str]) -> InviteeList:
    """The list with nothing but kind, role and status of the person.

    The same one where it does not have the person.
    """
    left = [
        Invitee(each.kind, role=each.role, status=each.status) if is_invitee(each, who) else each
        for each in found.invitees
    ]
    return found if tuple(left) == found.invitees else replace(found, invitees=tuple(left))


def redact_metadata(metadata: Mapping[str, str], who: Container[str]) -> dict[str, str]:
    """Redact the metadata of a blob.

    An erased organizer, and a subject that quotes an erased person.
    """
    redacted = dict(metadata)
    if is_organizer(metadata, who):
        redacted = {name: value for name, value in metadata.items() if name not in _ORGANIZER_METADATA} | MARK
    details = decode_details(metadata.get(_DETAILS))
    left = redact_details(details, who)
    if left is not details:
        redacted |= {_DETAILS: encode_details(left)} | MARK
    return {name: value for name, value in redacted.items() if value}


def redact_details(details: MeetingDetails, who: Container[str]) -> MeetingDetails:
    """The details of a meeting without those that quote the person.

    The same ones where none does.
    """
    quoted = {name: None for name in _FREE_TEXT if quotes(getattr(details, name), who)}
    return replace(details, **quoted) if quoted else details


def redact_line(line: Mapping[str, Any], who: Container[str]) -> dict[str, Any]:
    """Redact a report's line of the index.

    An erased organizer, and a subject that quotes an erased person.
    """
    removed = {name for name in ("subject", "threadId") if quotes(line.get(name), who)}
    if is_organizer({name.lower(): value for name, value in line.items()}, who):
        removed |= {name for name in line if name.lower() in _ORGANIZER_METADATA}
    return {name: None if name in removed else value for name, value in line.items()}


def redact_report(report: Mapping[str, Any], people: ErasedPeople) -> RedactedReport | None:
    """The report without those who are erased; None where nothing names them."""
    quoted = set(_quoted(report, people))
    found = _records(report)
    records = [_redact_record(report, each, people) if attended(each, people) else each for each in found]
    if not quoted and all(new is old for new, old in zip(records, found, strict=True)):
        return None
    # Annotations quote the address of the report, which holds the organizer's id.
    content = {name: value for name, value in report.items() if name not in quoted}
    body, canonical = io.BytesIO(), io.BytesIO()
    written = report_json.write_report(content, iter([records]), body, canonical)
    return RedactedReport(body.getvalue(), written.sha256)


def _quoted(report: Mapping[str, Any], who: Container[str]) -> Iterator[str]:
    """Return the report's own properties whose text quotes the person.

    Not those of its records.
    """
    for name, value in report.items():
        if name not in (RECORDS, "id") and isinstance(value, str) and names(value, who):
            yield name


def _redact_record(report: Mapping[str, Any], record: dict[str, Any], people: ErasedPeople) -> dict[str, Any]:
    """A record that names nobody."""
    identity, identifier = record.get("identity"), record.get("id")
    kind = (
        {"@odata.type": identity["@odata.type"]}
        if isinstance(identity, dict) and "@odata.type" in identity
        else {}
    )
    known = identifier if isinstance(identifier, str) else verbatim_json.canonical(record).decode()
    return {
        "id": people.record_id(lower_guid(str(report.get("id"))), known),
        "emailAddress": None,
        "identity": {**kind, "id": None, "displayName": None},
        "registrationId": None,
        **{name: record[name] for name in _KEPT_PROPERTIES if name in record},
        **({_INTERVALS: _redact_intervals(record[_INTERVALS])} if _INTERVALS in record else {}),
    }


def _redact_intervals(intervals: object) -> list[dict[str, Any]] | None:
    """Intervals of attendance with their times only."""
    if not isinstance(intervals, list):
        return None
    known = [each for each in intervals if isinstance(each, dict)]
    return [{name: each[name] for name in _KEPT_OF_INTERVAL if name in each} for each in known]


def _records(report: Mapping[str, Any]) -> list[Any]:
    records = report.get(RECORDS)
    return records if isinstance(records, list) else []
