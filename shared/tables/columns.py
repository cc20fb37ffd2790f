"""Columns of the tables.

Each has one type and is always there, null if Graph gives no value. A file has no column `date`: it is in the
folder's name, where every engine looks for it. A change of columns raises SCHEMA_VERSION. Documented in
docs/consumers.md.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

SCHEMA_VERSION = 1
# Named as in Delta. A dict is a struct, a list of one has such elements.
STRING, LONG, DOUBLE, BOOLEAN, TIMESTAMP = "string", "long", "double", "boolean", "timestamp"
INTEGER, MAP = "integer", "map"  # of a Delta log: 32 bits; text by text
type Columns = dict[str, Any]


class Table(StrEnum):
    """A row per report, attendance record, engagement, or invitee of a report."""

    MEETINGS = "meetings"
    ATTENDEES = "attendees"
    ENGAGEMENTS = "engagements"
    INVITEES = "invitees"


MEETING: Columns = {
    **dict.fromkeys(("reportId", "source", "meetingId", "organizerId", "eventId", "sessionId"), STRING),
    **dict.fromkeys(("joinWebUrl", "seriesId"), STRING),
    "sessionIndex": LONG,
    **dict.fromkeys(("subject", "threadId", "meetingType"), STRING),
    **dict.fromkeys(("scheduledStart", "scheduledEnd", "meetingStart", "meetingEnd"), TIMESTAMP),
    "meetingParticipants": LONG,
    "partial": BOOLEAN,
}
PERSON: Columns = {
    "recordNumber": LONG,
    **dict.fromkeys(("recordId", "personKey", "personId", "displayName", "tenantId"), STRING),
    **dict.fromkeys(("identityType", "emailAddress"), STRING),
    "isExternal": BOOLEAN,
    **dict.fromkeys(("role", "registrationId"), STRING),
}
INTERVAL: Columns = {"join": TIMESTAMP, "leave": TIMESTAMP, "seconds": LONG}
ATTENDANCE: Columns = {
    **dict.fromkeys(("attendedSeconds", "netSeconds"), LONG),
    **dict.fromkeys(("attendedShare", "attendedShareOfSchedule"), DOUBLE),
    **dict.fromkeys(("firstJoin", "lastLeave"), TIMESTAMP),
    **dict.fromkeys(("lateSeconds", "leftEarlySeconds"), LONG),
}
ENGAGEMENT: Columns = {
    "engagement": LONG,
    **dict.fromkeys(("engagementType", "engagementSubType"), STRING),
    "dateTime": TIMESTAMP,
}
INVITEE: Columns = {
    "inviteeNumber": LONG,
    **dict.fromkeys(("kind", "personKey", "personId", "displayName", "tenantId", "emailAddress"), STRING),
    "isExternal": BOOLEAN,
    **dict.fromkeys(("role", "registrationId", "registrationStatus"), STRING),
    **dict.fromkeys(("registeredAt", "canceledAt"), TIMESTAMP),
    "attended": BOOLEAN,
    **dict.fromkeys(("recordNumber", "netSeconds"), LONG),
    "listComplete": BOOLEAN,
}
WRITTEN: Columns = {"revision": LONG, "writtenAt": TIMESTAMP}
COLUMNS: dict[Table, Columns] = {
    Table.MEETINGS: {**MEETING, "records": LONG, **WRITTEN},
    Table.ATTENDEES: {**MEETING, **PERSON, **ATTENDANCE, "intervals": [INTERVAL], **WRITTEN},
    Table.ENGAGEMENTS: {**MEETING, **PERSON, **ENGAGEMENT, **WRITTEN},
    Table.INVITEES: {**MEETING, **INVITEE, **WRITTEN},
}
# Tables that are there only if somebody asked for their rows.
ON_REQUEST = frozenset({Table.INVITEES})
# With `date`, no two rows of a table are equal in these.
KEYS: dict[Table, tuple[str, ...]] = {
    Table.MEETINGS: ("reportId",),
    Table.ATTENDEES: ("reportId", "recordNumber"),
    Table.ENGAGEMENTS: ("reportId", "recordNumber", "engagement"),
    Table.INVITEES: ("reportId", "inviteeNumber"),
}
