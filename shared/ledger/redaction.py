"""Remove an erased organizer from a signal's record before it is written.

A pending signal goes on without the organizer: each attempt asks Graph again. So all erasures apply while the end of a
meeting is unknown, and nothing is lost of one that turns out to have ended after them.
"""

from __future__ import annotations

from dataclasses import replace

from ..messages.signals import Meeting
from ..privacy.erasures import ErasureList
from ..privacy.identifiers import names
from ..privacy.redact import redact_details
from .record import Record, Result


def redact_record(record: Record, erasures: ErasureList) -> Record:
    """The record without those who are erased."""
    people, buried = erasures.people(record.meeting.end), record.buried
    if people is None:
        return record
    meeting = redact_meeting(record.meeting, erasures)
    details = redact_details(meeting.details, people) if meeting.details else None
    if details is not meeting.details:
        is_for_now = meeting.end is None and record.result is Result.PENDING
        meeting = _unresolved(meeting) if is_for_now else replace(meeting, details=details)
    return replace(
        record,
        meeting=meeting,
        last_error=None if names(record.last_error, people) else record.last_error,
        buried=None if buried and names(buried.text, people) else buried,
    )


def redact_meeting(meeting: Meeting, erasures: ErasureList) -> Meeting:
    """Return the facts of a meeting without an organizer who is erased."""
    people = erasures.people(meeting.end)
    if people is None or not (names(meeting.organizer_id, people) or names(meeting.join_url, people)):
        return meeting
    return replace(_unresolved(meeting), details=meeting.details)


def _unresolved(meeting: Meeting) -> Meeting:
    """Return the meeting without the facts for which the next attempt asks Graph."""
    return Meeting(
        meeting.start, meeting.end, event=meeting.event, version=meeting.version, origin=meeting.origin
    )
