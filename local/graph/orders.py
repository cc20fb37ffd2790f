"""What can be asked of the simulated world: the bodies of the control routes that add to it.

All delays are seconds after the end of the session.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

type MeetingKind = Literal["scheduled", "recurring", "channel", "meetNow", "short"]


@dataclass(frozen=True)
class NewMeeting:
    """An online meeting. `meetNow` and `short` have `/meet/` links, which name neither tenant nor organizer.

    `tenant`: the organizer is of that other tenant. `join_url_refused`: the JoinWebUrl filter answers 400 for it;
    unless told, it does for `short` alone. `channel`: the name of the channel in which a channel meeting is held.
    """

    kind: Literal["scheduled", "recurring", "channel", "meetNow", "short"] = "scheduled"
    organizer: str | None = None
    tenant: str | None = None
    subject: str | None = None
    denied: bool = False
    join_url_refused: bool | None = None
    channel: str = "General"


@dataclass(frozen=True)
class NewSession:
    """A call, of a meeting or (no `meeting_id`) ad hoc, and what will be told about it.

    `announce`: how many times the call record is announced (False: never). `announce_delay`: as `record_delay`
    unless told. `early_report`: a report can be read while the meeting runs. `grow_after`: until then the report
    holds a part of its records. `report_refused`: the status with which the report itself is always refused.
    """

    meeting_id: str | None = None
    type: Literal["groupCall", "peerToPeer"] = "groupCall"
    start: datetime | None = None
    end: datetime | None = None
    participants: int = 3
    report_delay: float = 0.0
    record_delay: float = 0.0
    announce: bool | int = True
    announce_delay: float | None = None
    early_report: bool = False
    grow_after: float | None = None
    no_report: bool = False
    report_refused: int | None = None
    phone_organizer: bool = False


@dataclass(frozen=True)
class NewPast:
    """A seeded past: meetings that ended on each of the last `days` days and were never announced."""

    days: int
    meetings_per_day: int
    participants: int = 5
