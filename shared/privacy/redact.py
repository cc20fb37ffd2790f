"""What is taken out of a report when a person is erased. Nothing here reads or writes storage.

A person is told by ids and e-mail addresses. Of a redacted record only what says nothing of the person stays: its role
and times, so that sums and pictures remain right.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..graph import report_json
from ..graph.report_json import RECORDS

ERASED = "erased"  # metadata of a blob from which a person was erased: Graph's answer must not replace it
ORGANIZER, ATTENDEE = "organizer", "attendee"
# Metadata that hold the organizer's id. The series stays: other people's meetings belong to it, and it names nobody.
_ORGANIZER_METADATA = ("organizerid", "meetingid", "joinweburl", "joinurlkey")
_KEPT_PROPERTIES = ("@odata.type", "role", "totalAttendanceInSeconds", "attendanceIntervals")


@dataclass(frozen=True)
class Person:
    """Who is looked for: ids and e-mail addresses, in lower case."""

    identifiers: frozenset[str]

    def is_named(self, value: object) -> bool:
        """Whether a value is one of the person's ids or addresses."""
        return isinstance(value, str) and value.lower() in self.identifiers

    def is_in(self, text: str) -> bool:
        """Whether a text holds one of them."""
        return any(name in text.lower() for name in self.identifiers)

    def attended(self, record: object) -> bool:
        """Whether an attendance record is of the person."""
        if not isinstance(record, dict):
            return False
        known = [record.get("id"), record.get("emailAddress"), *_ids(record.get("identity"))]
        return any(self.is_named(each) for each in known)


def find_roles(report: Mapping[str, Any], told: Mapping[str, str], person: Person) -> list[str]:
    """What the person is in a report: organizer, attendee, both or neither; `told` is the blob's metadata."""
    found = [ORGANIZER] if person.is_named(told.get("organizerid")) else []
    return [*found, ATTENDEE] if any(map(person.attended, _records(report))) else found


@dataclass(frozen=True)
class RedactedReport:
    """A report without the person: its line of JSON, and the metadata that differ."""

    body: bytes
    metadata: dict[str, str]


def redact_report(
    report: Mapping[str, Any], told: Mapping[str, str], person: Person, when: str
) -> RedactedReport:
    """The report without the person; `when` is put down, so that no later read of Graph brings the person back."""
    metadata = {**told, ERASED: when}
    content = dict(report)
    if person.is_named(told.get("organizerid")):
        # Annotations quote the address of the report, which holds the organizer's id.
        content = {name: value for name, value in content.items() if "@odata." not in name}
        for name in _ORGANIZER_METADATA:
            metadata.pop(name, None)
    records = [
        _redact_record(record, number) if person.attended(record) else record
        for number, record in enumerate(_records(report))
    ]
    body, canonical = io.BytesIO(), io.BytesIO()
    metadata["sha256"] = report_json.write_report(content, iter([records]), body, canonical).sha256
    return RedactedReport(body.getvalue(), metadata)


def _redact_record(record: dict[str, Any], number: int) -> dict[str, Any]:
    """A record that says nobody's name; its id is no other's in the report."""
    identity = record.get("identity")
    kind = (
        {"@odata.type": identity["@odata.type"]}
        if isinstance(identity, dict) and "@odata.type" in identity
        else {}
    )
    return {
        "id": f"{ERASED}-{number}",
        "emailAddress": None,
        "identity": {**kind, "id": None, "displayName": None},
        "registrationId": None,
        **{name: record[name] for name in _KEPT_PROPERTIES if name in record},
    }


def _records(report: Mapping[str, Any]) -> list[Any]:
    records = report.get(RECORDS)
    return records if isinstance(records, list) else []


def _ids(identity: object) -> Iterator[object]:
    """The id of a flat identity, or of each in a set of them."""
    if isinstance(identity, dict):
        yield identity.get("id")
        for each in identity.values():
            if isinstance(each, dict):
                yield each.get("id")
