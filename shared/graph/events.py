"""Read webinars and town halls from Graph: organizer, times and sessions.

Permission: VirtualEvent.Read.All, and an application access policy for the organizer. Sources:
https://learn.microsoft.com/graph/api/virtualeventwebinar-get, .../virtualeventtownhall-get and
.../virtualeventsession-get
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .. import times
from ..errors import Unavailable
from ..messages.signals import EVENT_ID, MAX_JOIN_URL, EventKind, EventSession, MeetingDetails
from .client import Graph, entries, segment
from .join_urls import parse_join_url
from .meeting_details import parse_details

ZONES = timedelta(hours=14)  # times are in the event's own zone, given by its Windows name


@dataclass(frozen=True)
class VirtualEvent:
    """A webinar or town hall; scheduled `start` and `end` are exact to ZONES only."""

    kind: EventKind
    id: str
    organizer_id: str | None
    start: datetime | None
    end: datetime | None
    status: str

    def is_open(self, now: datetime, grace: timedelta) -> bool:
        """Whether reports may still come: ended less than `grace` ago, or no known end."""
        return self.status != "canceled" and (self.end is None or now < self.end + ZONES + grace)

    def may_overlap(self, start: datetime, end: datetime, grace: timedelta) -> bool:
        """Whether one of its sessions may have taken place in [start, end)."""
        begins_in_time = self.start is None or self.start - ZONES < end
        return begins_in_time and (self.end is None or self.end + ZONES + grace >= start)


@dataclass(frozen=True)
class SessionDetails:
    """An event's session: its ids, and its join URL and organizer if known."""

    session: EventSession
    join_url: str | None
    organizer_id: str | None
    details: MeetingDetails


def event_path(kind: EventKind, event_id: str | None = None) -> str:
    """Return the path of one event, or of all events of a kind."""
    return f"solutions/virtualEvents/{kind}s" + (f"/{segment(event_id)}" if event_id else "")


def get_event(graph: Graph, kind: EventKind, event_id: str) -> VirtualEvent:
    """Read one event. Raises a GraphError."""
    operation = f"get {kind}"
    answer = graph.get(event_path(kind, event_id), operation)
    inner = answer.get("value")  # as the documented examples of some methods show it
    event = parse_event(kind, inner if "id" not in answer and isinstance(inner, dict) else answer)
    if event is None:
        raise Unavailable(operation, "the event has no id")
    return event


def get_session(graph: Graph, ids: EventSession) -> SessionDetails:
    """Read one session, with its join URL and organizer. Raises a GraphError."""
    address = f"{event_path(ids.source, ids.event_id)}/sessions/{segment(ids.session_id)}"
    return _parse_session(ids, graph.get(address, "get session"))


def list_sessions(graph: Graph, event: VirtualEvent) -> Iterator[SessionDetails]:
    """Yield the sessions of an event, without organizers. Raises a GraphError."""

    def parse_session(item: object) -> SessionDetails | None:
        session_id = item.get("id") if isinstance(item, dict) else None
        if not isinstance(item, dict) or not isinstance(session_id, str) or not EVENT_ID.match(session_id):
            return None
        return _parse_session(EventSession(event.kind, event.id, session_id), item)

    return entries(graph, f"{event_path(event.kind, event.id)}/sessions", "list sessions", parse_session)


def parse_event(kind: EventKind, item: object) -> VirtualEvent | None:
    """Read an event from Graph's JSON; None if it has no id."""
    event_id = item.get("id") if isinstance(item, dict) else None
    if not isinstance(item, dict) or not isinstance(event_id, str) or not EVENT_ID.match(event_id):
        return None
    status = item.get("status")
    return VirtualEvent(
        kind,
        event_id,
        _parse_organizer(item.get("createdBy")),
        _parse_moment(item.get("startDateTime")),
        _parse_moment(item.get("endDateTime")),
        status if isinstance(status, str) else "",
    )


def _parse_session(ids: EventSession, item: dict[str, Any]) -> SessionDetails:
    join_url, people = item.get("joinWebUrl"), item.get("participants")
    organizer = people.get("organizer") if isinstance(people, dict) else None
    organizer_id = _parse_organizer(organizer.get("identity") if isinstance(organizer, dict) else None)
    if not isinstance(join_url, str) or not 0 < len(join_url) <= MAX_JOIN_URL:
        join_url = None
    organizer_id = organizer_id or parse_join_url(join_url or "").organizer_id
    return SessionDetails(ids, join_url, organizer_id, parse_details(item))


def _parse_organizer(identities: object) -> str | None:
    user = identities.get("user") if isinstance(identities, dict) else None
    organizer = user.get("id") if isinstance(user, dict) else None
    return organizer if isinstance(organizer, str) and organizer else None


def _parse_moment(value: Any) -> datetime | None:
    """Read a dateTimeTimeZone as UTC, whatever its zone: see ZONES."""
    return times.possible(value.get("dateTime") if isinstance(value, dict) else value)
