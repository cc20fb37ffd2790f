"""Remove an erased person from a report: pure functions, no storage.

A person is identified by ids and e-mail addresses. A redacted attendance record keeps only its role and times, so sums
and charts stay right.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..graph import report_json
from ..graph.report_json import RECORDS

ERASED = "erased"  # blob metadata: a person was erased, so Graph's answer must not replace the blob
ORGANIZER, ATTENDEE = "organizer", "attendee"
# Metadata that contain the organizer's id. The series stays: other people's meetings belong to it, and it names nobody.
_ORGANIZER_METADATA = ("organizerid", "meetingid", "joinweburl", "joinurlkey")
_KEPT_PROPERTIES = ("@odata.type", "role", "totalAttendanceInSeconds", "attendanceIntervals")


@dataclass(frozen=True)
class Person:
    """The person to find: ids and e-mail addresses, in lower case."""

    identifiers: frozenset[str]

    def is_named(self, value: object) -> bool:
        """Whether a value is one of the person's ids or addresses."""
        return isinstance(value, str) and value.lower() in self.identifiers

    def is_in(self, text: str) -> bool:
        """Whether a text contains one of them."""
        return any(name in text.lower() for name in self.identifiers)

    def attended(self, record: object) -> bool:
        """Whether an attendance record is the person's."""
        if not isinstance(record, dict):
            return False
        identifiers = [record.get("id"), record.get("emailAddress"), *_list_ids(record.get("identity"))]
        return any(self.is_named(each) for each in identifiers)


def find_roles(report: Mapping[str, Any], metadata: Mapping[str, str], person: Person) -> list[str]:
    """Return the person's roles in a report: organizer, attendee, both or neither.

    `metadata` is that of the report's blob.
    """
    roles = [ORGANIZER] if person.is_named(metadata.get("organizerid")) else []
    return [*roles, ATTENDEE] if any(map(person.attended, _list_records(report))) else roles


@dataclass(frozen=True)
class RedactedReport:
    """A redacted report: one line of JSON, and the blob's metadata."""

    body: bytes
    metadata: dict[str, str]


def redact_report(
    report: Mapping[str, Any], metadata: Mapping[str, str], person: Person, when: str
) -> RedactedReport:
    """Return the report without the person.

    `when` goes into the metadata, which keeps later reads of Graph from restoring the person.
    """
    metadata = {**metadata, ERASED: when}
    content = dict(report)
    if person.is_named(metadata.get("organizerid")):
        # Annotations quote the report's address, which contains the organizer's id.
        content = {name: value for name, value in content.items() if "@odata." not in name}
        for name in _ORGANIZER_METADATA:
            metadata.pop(name, None)
    records = [
        _redact_record(record, number) if person.attended(record) else record
        for number, record in enumerate(_list_records(report))
    ]
    body, canonical = io.BytesIO(), io.BytesIO()
    metadata["sha256"] = report_json.write_report(content, iter([records]), body, canonical).sha256
    return RedactedReport(body.getvalue(), metadata)


def _redact_record(record: dict[str, Any], number: int) -> dict[str, Any]:
    """Return a record without its person; its id is unique in the report."""
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


def _list_records(report: Mapping[str, Any]) -> list[Any]:
    records = report.get(RECORDS)
    return records if isinstance(records, list) else []


def _list_ids(identity: object) -> Iterator[object]:
    """Yield the id of a flat identity, or the ids in an identity set."""
    if isinstance(identity, dict):
        yield identity.get("id")
        for each in identity.values():
            if isinstance(each, dict):
                yield each.get("id")
