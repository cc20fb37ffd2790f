"""Virtual events at Graph: webinars and town halls, their organizers, their sessions, and the reports of those.

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
from ..messages.signals import EVENT_ID, MAX_JOIN_URL, EventKind, EventSession
from .client import Graph, segment
from .join_urls import parse_join_url

ZONES = timedelta(hours=14)  # times are given in the event's own zone, under a name that only Windows knows


@dataclass(frozen=True)
class VirtualEvent:
    """A webinar or town hall. `start` and `end` are as scheduled, and right to half a day: see ZONES."""

    kind: EventKind
    id: str
    organizer_id: str | None
    start: datetime | None
    end: datetime | None
    status: str

    def is_open(self, now: datetime, grace: timedelta) -> bool:
        """Whether reports of it may still come: it was not over `grace` ago, or nobody knows when it is."""
        return self.status != "canceled" and (self.end is None or now < self.end + ZONES + grace)

    def may_overlap(self, start: datetime, end: datetime, grace: timedelta) -> bool:
        """Whether a session of it may have been held in [start, end)."""
        begins_in_time = self.start is None or self.start - ZONES < end
        return begins_in_time and (self.end is None or self.end + ZONES + grace >= start)


@dataclass(frozen=True)
class SessionDetails:
    """A session of an event: its ids, and join URL and organizer if Graph returns them."""

    session: EventSession
    join_url: str | None
    organizer_id: str | None


def event_path(kind: EventKind, event_id: str | None = None) -> str:
    """The path of all events of a kind, or of one."""
    return f"solutions/virtualEvents/{kind}s" + (f"/{segment(event_id)}" if event_id else "")


def get_event(graph: Graph, kind: EventKind, event_id: str) -> VirtualEvent:
    """One event. Raises a GraphError."""
    operation = f"get {kind}"
    found = parse_event(kind, graph.get(event_path(kind, event_id), operation))
    if found is None:
        raise Unavailable(operation, "the event has no id")
    return found


def get_session(graph: Graph, ids: EventSession) -> SessionDetails:
    """One session, with its join URL and organizer. Raises a GraphError."""
    address = f"{event_path(ids.source, ids.event_id)}/sessions/{segment(ids.session_id)}"
    return _parse_session(ids, graph.get(address, "get session"))


def list_sessions(graph: Graph, found: VirtualEvent) -> Iterator[SessionDetails]:
    """The sessions of an event, without organizers. Raises a GraphError."""
    operation = "list sessions"
    for page in graph.list_pages(f"{event_path(found.kind, found.id)}/sessions", operation):
        for item in page:
            session_id = item.get("id") if isinstance(item, dict) else None
            if isinstance(session_id, str) and EVENT_ID.match(session_id):
                yield _parse_session(EventSession(found.kind, found.id, session_id), item)


def parse_event(kind: EventKind, item: object) -> VirtualEvent | None:
    """An event as Graph shows it; None for one without an id."""
    event_id = item.get("id") if isinstance(item, dict) else None
    if not isinstance(item, dict) or not isinstance(event_id, str) or not EVENT_ID.match(event_id):
        return None
    status = item.get("status")
    return VirtualEvent(
        kind,
        event_id,
        _organizer(item.get("createdBy")),
        _moment(item.get("startDateTime")),
        _moment(item.get("endDateTime")),
        status if isinstance(status, str) else "",
    )


def _parse_session(ids: EventSession, item: dict[str, Any]) -> SessionDetails:
    join_url, people = item.get("joinWebUrl"), item.get("participants")
    organizer = people.get("organizer") if isinstance(people, dict) else None
    organizer_id = _organizer(organizer.get("identity") if isinstance(organizer, dict) else None)
    if not isinstance(join_url, str) or not 0 < len(join_url) <= MAX_JOIN_URL:
        join_url = None
    return SessionDetails(ids, join_url, organizer_id or parse_join_url(join_url or "").organizer_id)


def _organizer(identities: object) -> str | None:
    user = identities.get("user") if isinstance(identities, dict) else None
    organizer = user.get("id") if isinstance(user, dict) else None
    return organizer if isinstance(organizer, str) and organizer else None


def _moment(value: Any) -> datetime | None:
    """A dateTimeTimeZone, read as UTC whatever its zone: see ZONES."""
    try:
        return times.parse(value.get("dateTime") if isinstance(value, dict) else value)
    except ValueError:
        return None
