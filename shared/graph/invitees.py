"""Invitees of online meetings, and registrations for webinars and town halls.

A list holds at most MAX_INVITEES, each once and sorted: Graph may show one on two pages or in two
entries, and another order is no other list. Sources:
https://learn.microsoft.com/graph/api/resources/meetingparticipants and .../virtualeventregistration
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from .. import logs, times
from ..errors import AccessDenied, GraphError, NotFound, Refused
from ..messages.signals import EventSession
from .client import Graph, entries
from .events import event_path

MAX_INVITEES = 10_000
MAX_TEXT = 400  # characters of a value; an address has 320 at most
ORGANIZER = "organizer"  # as a role


class InviteeKind(StrEnum):
    """Invited to an online meeting, or registered for a webinar or town hall."""

    INVITED = "invited"
    REGISTERED = "registered"


class ListState(StrEnum):
    """What is known of a list: all, the first MAX_INVITEES, or why nothing is.

    NOT_SUPPORTED: Graph has no list for this meeting.
    """

    COMPLETE = "complete"
    TRUNCATED = "truncated"
    ACCESS_DENIED = "accessDenied"
    NOT_SUPPORTED = "notSupported"
    FAILED = "failed"

    @property
    def is_list(self) -> bool:
        """Whether there is a list, perhaps an empty one."""
        return self in (ListState.COMPLETE, ListState.TRUNCATED)


@dataclass(frozen=True, slots=True)
class Invitee:
    """Somebody who was invited or registered, as far as Graph says who.

    `person_id` is the object id of a user. A group or distribution list has an address at most, as some guests do.
    """

    kind: InviteeKind
    person_id: str | None = None
    email_address: str | None = None
    display_name: str | None = None
    tenant_id: str | None = None
    role: str | None = None
    registration_id: str | None = None
    status: Annotated[str | None, "registrationStatus"] = None
    registered_at: datetime | None = None
    canceled_at: datetime | None = None


@dataclass(frozen=True)
class InviteeList:
    """Those who were invited to a meeting, or registered for it."""

    state: ListState
    invitees: tuple[Invitee, ...] = ()


def parse_participants(meeting: Mapping[str, Any]) -> InviteeList:
    """Return who was invited to an online meeting, the organizer included."""
    people = meeting.get("participants")
    attendees = people.get("attendees") if isinstance(people, dict) else None
    if not isinstance(people, dict) or not isinstance(attendees, list):
        return InviteeList(ListState.NOT_SUPPORTED)
    organizer = _parse_participant(people.get("organizer"), role=ORGANIZER)
    invited = itertools.chain([organizer], map(_parse_participant, attendees))
    return _bounded(each for each in invited if each)


def list_registrations(graph: Graph, session: EventSession) -> InviteeList:
    """Read who registered for the event of a session.

    GET solutions/virtualEvents/{webinars|townhalls}/{id}/registrations, permission VirtualEvent.Read.All. A
    registration is for the event: Graph names its sessions one by one only. Raises a GraphError.
    """
    path = f"{event_path(session.source, session.event_id)}/registrations"
    return _bounded(entries(graph, path, "list registrations", _parse_registration))


def read_list(read: Callable[[], InviteeList]) -> tuple[InviteeList, GraphError | None]:
    """Return a list, or why there is none.

    A failure that may end is returned beside it.
    """
    try:
        return read(), None
    except GraphError as failure:
        logs.warning("invitees.unread", error=str(failure), requestId=failure.request_id or None)
        if isinstance(failure, AccessDenied):
            return InviteeList(ListState.ACCESS_DENIED), None
        if isinstance(failure, NotFound | Refused):
            return InviteeList(ListState.NOT_SUPPORTED), None
        return InviteeList(ListState.FAILED), failure


def _bounded(found: Iterable[Invitee]) -> InviteeList:
    read = list(itertools.islice(_without_copies(found), MAX_INVITEES + 1))
    state = ListState.TRUNCATED if len(read) > MAX_INVITEES else ListState.COMPLETE
    return InviteeList(state, tuple(sorted(_distinct(read[:MAX_INVITEES]), key=_text_order)))


def _without_copies(found: Iterable[Invitee]) -> Iterator[Invitee]:
    """Yield equal entries once; those whom nothing identifies all."""
    seen = set[Invitee]()
    for each in found:
        if each not in seen or not _keys(each):
            seen.add(each)
            yield each


def _distinct(read: Iterable[Invitee]) -> Iterator[Invitee]:
    """Yield each person or registration once; those whom nothing identifies all.

    Entries with an id come first, so that an entry of an address alone is known as theirs in any order.
    """
    seen = set[str]()
    for each in sorted(read, key=_telling_order):
        keys = _keys(each)
        if not keys or keys[0] not in seen:
            yield each
        seen.update(keys)


def _keys(invitee: Invitee) -> list[str]:
    """Return the identifiers of an entry, the best one first."""
    found = invitee.registration_id, invitee.person_id, invitee.email_address
    ids = found[:1] if invitee.registration_id else found[1:]
    return [key.lower() for key in ids if key]


def _telling_order(invitee: Invitee) -> tuple[object, ...]:
    """Order entries by how much they tell; of the same person, the first one counts."""
    is_organizer, has_address = invitee.role == ORGANIZER, invitee.email_address is not None
    spelling = [
        each.swapcase() for each in _text_order(invitee)
    ]  # an id in lower case before the same in upper
    return invitee.person_id is None, not is_organizer, not has_address, spelling


def _text_order(invitee: Invitee) -> list[str]:
    return [*map(str, astuple(invitee))]


def _parse_participant(item: object, role: str | None = None) -> Invitee | None:
    if not isinstance(item, dict):
        return None
    identities = item.get("identity")
    user = identities.get("user") if isinstance(identities, dict) else None
    user = user if isinstance(user, dict) else {}
    return Invitee(
        InviteeKind.INVITED,
        _text(user.get("id")),
        _text(item.get("upn")),
        _text(user.get("displayName")),
        _text(user.get("tenantId")),
        role or _text(item.get("role")),
    )


def _parse_registration(item: object) -> Invitee | None:
    if not isinstance(item, dict):
        return None
    names = [name for name in (_text(item.get("firstName")), _text(item.get("lastName"))) if name]
    return Invitee(
        InviteeKind.REGISTERED,
        _text(item.get("userId")),
        _text(item.get("email")),
        " ".join(names) or None,
        registration_id=_text(item.get("id")),
        status=_text(item.get("status")),
        registered_at=times.possible(item.get("registrationDateTime")),
        canceled_at=times.possible(item.get("cancelationDateTime")),
    )


def _text(value: object) -> str | None:
    return (value[:MAX_TEXT].strip() or None) if isinstance(value, str) else None
