"""Remove an erased organizer from a signal's record before it is written.

A pending signal goes on without the organizer: each attempt asks the call record again.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from ..messages.signals import Meeting
from ..privacy.erasures import ErasureList
from ..privacy.identifiers import names
from ..privacy.redact import redact_details
from .record import Record


def redact_record(record: Record, erasures: ErasureList) -> Record:
    """The record without those who are erased."""
    people, buried = erasures.people(record.meeting.end or record.first_seen), record.buried
    if people is None:
        return record
    meeting = redact_meeting(record.meeting, record.first_seen, erasures)
    if meeting.details:
        meeting = replace(meeting, details=redact_details(meeting.details, people))
    return replace(
        record,
        meeting=meeting,
        last_error=None if names(record.last_error, people) else record.last_error,
        buried=None if buried and names(buried.text, people) else buried,
    )


def redact_meeting(meeting: Meeting, first_seen: datetime, erasures: ErasureList) -> Meeting:
    """Return the facts of a meeting without an organizer who is erased."""
    people = erasures.people(meeting.end or first_seen)
    if people is None or not (names(meeting.organizer_id, people) or names(meeting.join_url, people)):
        return meeting
    return Meeting(
        meeting.start,
        meeting.end,
        event=meeting.event,
        version=meeting.version,
        origin=meeting.origin,
        details=meeting.details,
    )
