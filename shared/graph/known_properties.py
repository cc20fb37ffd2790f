"""Find properties of a report that this version does not know.

They are archived as they are. That Graph has new ones is worth a note, because tables and the redaction of a person
know only those that are listed here. Source: https://learn.microsoft.com/graph/api/resources/meetingattendancereport,
attendancerecord, attendanceinterval and virtualeventregistration
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

_REPORT = frozenset(
    {
        "id",
        "totalParticipantCount",
        "meetingStartDateTime",
        "meetingEndDateTime",
        "attendanceRecords",
        "externalEventInformation",
    }
)
_RECORD = frozenset(
    {
        "id",
        "emailAddress",
        "totalAttendanceInSeconds",
        "role",
        "identity",
        "registrationId",
        "registrantId",
        "externalRegistrationInformation",
        "attendanceIntervals",
        "engagements",
    }
)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}\Z")  # of a property; anything else is not quoted
ODD = "(odd name)"
MOST = 50  # names that are kept of a report, of a day, or of all: Graph or a forger could send any number


def add_unknown(found: set[str], names: Iterable[str]) -> None:
    """Add names of unknown properties, as long as there are fewer than MOST."""
    for name in names:
        if len(found) >= MOST:
            break
        found.add(name)


def unknown_in_report(report: dict[str, Any]) -> Iterator[str]:
    """Yield the names of unknown properties of a report, without its records."""
    yield from _unknown(report, _REPORT, "")


def unknown_in_record(record: object) -> Iterator[str]:
    """Yield the names of unknown properties of an attendance record."""
    if isinstance(record, dict):
        yield from _unknown(record, _RECORD, "attendanceRecords/")


def _unknown(item: dict[str, Any], known: frozenset[str], prefix: str) -> Iterator[str]:
    for name in item.keys() - known:
        if "@" not in name:  # no annotation of OData
            yield prefix + (name if _NAME.match(name) else ODD)
