"""Webinars and town halls of the simulated tenant, with their sessions.

A session is an online meeting with an id of its own; it is held as any other meeting is, and each time makes a call
and a report. Times are given in the zone of the event, under its Windows name, as Graph gives them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from local.simulator.tenant.orders import EventKind, NewEvent, NewMeeting
from local.simulator.tenant.people import guid
from local.simulator.tenant.sessions import Meeting
from local.simulator.tenant.world import World

ZONES = {
    "UTC": "UTC",
    "AUS Eastern Standard Time": "Australia/Sydney",
    "Eastern Standard Time": "America/New_York",
    "India Standard Time": "Asia/Kolkata",
    "Pacific Standard Time": "America/Los_Angeles",
    "Tokyo Standard Time": "Asia/Tokyo",
    "W. Europe Standard Time": "Europe/Berlin",
}


@dataclass(frozen=True)
class VirtualEvent:
    """A webinar or town hall."""

    id: str
    kind: EventKind
    organizer_id: str
    co_organizers: tuple[str, ...]
    name: str
    status: str
    start: datetime
    end: datetime
    time_zone: str
    registered: int = 0

    @property
    def path(self) -> str:
        """The resource, as notifications name it."""
        return f"solutions/virtualEvents/{self.kind}s/{self.id}"


@dataclass(frozen=True)
class EventSession:
    """A session as scheduled."""

    id: str
    event_id: str
    meeting_id: str
    subject: str
    start: datetime
    end: datetime


@dataclass
class Events:
    """All events of a world."""

    world: World
    by_id: dict[str, VirtualEvent] = field(default_factory=dict)
    by_meeting: dict[str, EventSession] = field(default_factory=dict)
    sessions: dict[str, list[EventSession]] = field(default_factory=dict)

    def add(self, order: NewEvent, at: datetime) -> VirtualEvent:
        """A new event as ordered at `at`, with its sessions. Raises ValueError."""
        if order.time_zone not in ZONES:
            raise ValueError(f"timeZone cannot be {order.time_zone!r}; known: {', '.join(ZONES)}")
        if order.sessions < 1 or order.length <= 0 or order.gap < 0:
            raise ValueError("an event has sessions, and they have a length")
        length, gap = timedelta(seconds=order.length), timedelta(seconds=order.gap)
        start = order.start or at - length - (order.sessions - 1) * gap
        meeting_order = NewMeeting(organizer=order.organizer, subject=order.name, denied=order.denied)
        first = self.world.add_meeting(meeting_order, order.kind, order.meeting_view)
        source = self.world.source_of(first.id)
        event = VirtualEvent(
            id=guid(source) if order.plain_id else f"{guid(source)}@{self.world.tenant_id}",
            kind=order.kind,
            organizer_id=first.organizer_id,
            co_organizers=tuple(each.lower() for each in order.co_organizers),
            name=order.name or f"Virtual event {self.world.counter}",
            status=order.status,
            start=start,
            end=start + (order.sessions - 1) * gap + length,
            time_zone=order.time_zone,
            registered=order.registered,
        )
        self.put(event)
        for number in range(order.sessions):
            meeting = first if number == 0 else self._another(first, meeting_order)
            begins = start + number * gap
            subject = f"{event.name}, session {number + 1}"
            self.put_session(
                EventSession(guid(source), event.id, meeting.id, subject, begins, begins + length)
            )
        return event

    def put(self, event: VirtualEvent) -> None:
        """Add or replace an event."""
        for user in event.co_organizers:
            self.world.person(user)
        self.by_id[event.id] = event
        self.sessions.setdefault(event.id, [])

    def put_session(self, session: EventSession) -> None:
        """Add or replace a session of an event."""
        self.by_meeting[session.meeting_id] = session
        self.sessions[session.event_id].append(session)

    def change(self, event_id: str, **changes: object) -> VirtualEvent:
        """The event with some fields replaced. Raises KeyError."""
        event = replace(self.by_id[event_id], **changes)  # type: ignore[arg-type]
        self.put(event)
        return event

    def session(self, event: VirtualEvent, session_id: str) -> EventSession | None:
        """A session of `event` by id."""
        wanted = session_id.lower()
        return next((each for each in self.sessions[event.id] if each.id == wanted), None)

    def _another(self, first: Meeting, order: NewMeeting) -> Meeting:
        same = replace(order, organizer=first.organizer_id)
        return self.world.add_meeting(same, first.kind, first.view)


def zoned(moment: datetime, time_zone: str) -> dict[str, str]:
    """`moment` as a dateTimeTimeZone."""
    there = moment.astimezone(ZoneInfo(ZONES[time_zone])).replace(tzinfo=None)
    return {"dateTime": there.isoformat(timespec="seconds"), "timeZone": time_zone}


def plain(moment: datetime) -> str:
    """`moment` as the examples of sessions show it, against their type."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
