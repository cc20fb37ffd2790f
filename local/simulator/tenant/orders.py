"""The bodies of the control routes that add to the tenant.

All delays are seconds after the end of the session.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

type MeetingKind = Literal[
    "scheduled", "recurring", "channel", "meetNow", "short", "personal", "webinar", "townhall"
]
type EventKind = Literal["webinar", "townhall"]
type View = Literal["plain", "same", "reordered", "different", "hidden"]

MAY_COME_LATER = ("joinWebUrl", "type", "endDateTime", "organizer_v2")
CALL_EVENTS = ("callStarted", "rosterUpdated", "callEnded")


@dataclass(frozen=True)
class NewMeeting:
    """An online meeting.

    `meetNow` and `short` have `/meet/` links, which name neither tenant nor organizer.

    `personal`: a personal account's, at teams.live.com. `tenant`: the organizer is of that other tenant.
    `join_url_refused`: the JoinWebUrl filter answers 400 for it; unless told, it does for `short` alone. `channel`: the
    name of the channel in which a channel meeting is held. `old`: its thread is of the form before 2021. Unless
    `scheduled_start` and `scheduled_end` are told, a meeting is scheduled around its first session. `invited`: the
    number of its attendees as invited; None: it has no participants at all.
    """

    kind: Literal["scheduled", "recurring", "channel", "meetNow", "short", "personal"] = "scheduled"
    organizer: str | None = None
    tenant: str | None = None
    subject: str | None = None
    denied: bool = False
    join_url_refused: bool | None = None
    channel: str = "General"
    old: bool = False
    scheduled_start: datetime | None = None
    scheduled_end: datetime | None = None
    invited: int | None = 0


@dataclass(frozen=True)
class NewSession:
    """A call in a meeting or an event's session, or ad hoc without `meeting_id`.

    `engagements`: how often each person reacts, speaks and so on; None: up to three times a stay.
    `announce`: how many times the call record is announced (False: never). `announce_delay`: as `record_delay`
    unless told. `record_organizer`: whom the call record names in place of the organizer, an object id or `guest`.
    `early_report`: a report can be read while the meeting runs. `grow_after`: until then the report
    holds a part of its records. `report_refused`: the status with which the report itself is always refused.
    `announce_report`: how many times the report of an event's session is announced, `report_announce_delay` seconds
    after it can be read. `call_events`: those that are told to whoever watches the meeting, each when its time comes,
    the end `call_event_delay` seconds later. `first_version_lacks`: properties that the call record has only from its
    second version on, which is there `revised_after` seconds after the end, and of which nobody is told.
    """

    meeting_id: str | None = None
    type: Literal["groupCall", "peerToPeer"] = "groupCall"
    start: datetime | None = None
    end: datetime | None = None
    participants: int = 3
    engagements: int | None = None
    report_delay: float = 0.0
    record_delay: float = 0.0
    announce: bool | int = True
    announce_delay: float | None = None
    early_report: bool = False
    grow_after: float | None = None
    no_report: bool = False
    first_version_lacks: tuple[str, ...] = ()
    revised_after: float = 0.0
    report_refused: int | None = None
    phone_organizer: bool = False
    record_organizer: str | None = None
    announce_report: bool | int = True
    report_announce_delay: float = 0.0
    call_events: tuple[str, ...] = CALL_EVENTS
    call_event_delay: float = 0.0

    def __post_init__(self) -> None:
        _check_call_events(*self.call_events)
        if unknown := set(self.first_version_lacks) - set(MAY_COME_LATER):
            raise ValueError(
                f"no call record lacks {min(unknown)!r} at first; {', '.join(MAY_COME_LATER)} it may"
            )


@dataclass(frozen=True)
class NewPast:
    """Meetings that ended on each of the `days` UTC days before today, not announced."""

    days: int
    meetings_per_day: int
    participants: int = 5


@dataclass(frozen=True)
class NewEvent:
    """A webinar or town hall with `sessions` sessions of `length` seconds.

    Each begins `gap` seconds after the one before.

    Unless `start` is told, the last one ends now. A session is held with the order of a session for its `meetingId`,
    as often as wanted: each time makes another report. `time_zone`: the Windows name of the zone in which Graph gives
    the times. `registered`: how many registered and do not come, beside those who do. `plain_id`: the id without the
    tenant. `meeting_view`: how the organizer's online meetings show the session: its reports with the `same` content,
    `reordered`, `different` (without registrations), or not (`hidden`).
    """

    kind: Literal["webinar", "townhall"] = "webinar"
    organizer: str | None = None
    co_organizers: tuple[str, ...] = ()
    name: str | None = None
    status: Literal["draft", "published", "canceled"] = "published"
    sessions: int = 1
    start: datetime | None = None
    length: float = 3600.0
    gap: float = 86_400.0
    time_zone: str = "UTC"
    registered: int = 0
    plain_id: bool = False
    denied: bool = False
    meeting_view: Literal["same", "reordered", "different", "hidden"] = "reordered"
    announce: bool | int = True
    announce_delay: float = 0.0


@dataclass(frozen=True)
class NewCallEvent:
    """A call event of a meeting, sent at once; `participants` are on its roster.

    Without `send` it is not told: the answer holds what would have been POSTed, ready to be changed and posted.
    """

    join_web_url: str
    event_type: str = "callEnded"
    at: datetime | None = None
    participants: int = 3
    times: int = 1
    send: bool = True

    def __post_init__(self) -> None:
        _check_call_events(self.event_type)


def _check_call_events(*names: str) -> None:
    unknown = set(names) - set(CALL_EVENTS)
    if unknown:
        raise ValueError(f"there is no call event {min(unknown)!r}; known: {', '.join(CALL_EVENTS)}")
