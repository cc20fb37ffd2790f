"""An outcome: what became of one signal, and the form in which it is stored. Schema: docs/consumers.md."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

from .. import times
from ..messages.signals import EventKind, EventSession, Meeting


class Result(StrEnum):
    """The values of `outcome`."""

    STORED = "stored"
    NO_REPORT = "noReport"
    ACCESS_DENIED = "accessDenied"
    NOT_A_MEETING = "notAMeeting"
    NOT_FOUND = "notFound"
    NOT_SUPPORTED = "notSupported"
    EXTERNAL_ORGANIZER = "externalOrganizer"
    OUT_OF_SCOPE = "outOfScope"
    FAILED = "failed"
    PENDING = "pending"


@dataclass(frozen=True)
class StoredReport:
    """A report as an outcome names it: its id, its end, and its blob."""

    id: str
    end: datetime
    path: str


@dataclass(frozen=True)
class Buried:
    """A message that could not be handled: its queue, and its text as it was."""

    queue: str
    text: str


@dataclass(frozen=True)
class Outcome:
    """One outcome. `attempt` counts the attempts made.

    `next_attempt` and `ticket` belong to the message under way; without a ticket, `next_attempt` is when the sweep
    takes the signal up again.
    """

    signal_id: str
    result: Result
    first_seen: datetime
    attempt: int
    settled: datetime | None = None
    next_attempt: datetime | None = None
    ticket: str | None = None
    meeting: Meeting = field(default_factory=Meeting)
    reports: tuple[StoredReport, ...] = ()
    last_error: str | None = None
    buried: Buried | None = None

    @property
    def day(self) -> date:
        """The partition it belongs in."""
        return (self.meeting.end or self.first_seen).astimezone(UTC).date()


def dumps(outcome: Outcome) -> bytes:
    """The outcome's blob: one line of JSON."""
    meeting = outcome.meeting
    content = {
        "signalId": outcome.signal_id,
        "outcome": outcome.result,
        "reports": [
            {"id": report.id, "end": times.text(report.end), "path": report.path}
            for report in outcome.reports
        ],
        "organizerId": meeting.organizer_id,
        "meetingId": meeting.meeting_id,
        "source": meeting.event.source if meeting.event else None,
        "eventId": meeting.event.event_id if meeting.event else None,
        "sessionId": meeting.event.session_id if meeting.event else None,
        "joinWebUrl": meeting.join_url,
        "start": times.optional_text(meeting.start),
        "end": times.optional_text(meeting.end),
        "firstSeen": times.text(outcome.first_seen),
        "settled": times.optional_text(outcome.settled),
        "attempt": outcome.attempt,
        "nextAttempt": times.optional_text(outcome.next_attempt),
        "ticket": outcome.ticket,
        "lastError": outcome.last_error,
        "buried": asdict(outcome.buried) if outcome.buried else None,
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def parse(body: bytes) -> Outcome:
    """Read an outcome's blob. Raises ValueError, KeyError or TypeError for one that this product did not write."""
    content: dict[str, Any] = json.loads(body)
    first_seen = times.parse(content["firstSeen"])
    if first_seen is None:
        raise ValueError("an outcome has no firstSeen")
    return Outcome(
        signal_id=content["signalId"],
        result=Result(content["outcome"]),
        first_seen=first_seen,
        attempt=content["attempt"],
        settled=times.parse(content["settled"]),
        next_attempt=times.parse(content["nextAttempt"]),
        ticket=content["ticket"],
        meeting=Meeting(
            times.parse(content["start"]),
            times.parse(content["end"]),
            content["joinWebUrl"],
            content["organizerId"],
            content["meetingId"],
            _event(content),
        ),
        reports=tuple(
            StoredReport(report["id"], times.parse(report["end"]) or first_seen, report["path"])
            for report in content["reports"]
        ),
        last_error=content["lastError"],
        buried=Buried(**content["buried"]) if content.get("buried") else None,
    )


def _event(content: dict[str, Any]) -> EventSession | None:
    if content.get("source") is None:
        return None
    return EventSession(EventKind(content["source"]), content["eventId"], content["sessionId"])


def metadata(outcome: Outcome) -> dict[str, str]:
    """What the blob's metadata repeats, so that one listing tells how a day went."""
    told = {"outcome": str(outcome.result)}
    if outcome.next_attempt:
        told["nextattempt"] = times.text(outcome.next_attempt)
    if outcome.result is Result.ACCESS_DENIED and outcome.meeting.organizer_id:
        told["organizerid"] = outcome.meeting.organizer_id
    return told
