"""Invitees of a meeting, and registrations for an event, as Graph gives them.

A pure function of the seed, and of the sessions that were held: half of those invited come, if as many came. Nobody
documents how Graph names a group, or a guest by address, so a list has both; it also has an entry twice.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from typing import Any

from local.simulator import odata
from local.simulator.moments import format_time
from local.simulator.odata import Entity
from local.simulator.tenant.attendance import CRM, END_OF_TIME, Attendee, attendees_at
from local.simulator.tenant.events import Events, VirtualEvent
from local.simulator.tenant.sessions import Meeting
from local.simulator.tenant.world import World

GROUP = "all-staff@contoso.example"
STATUSES = ("registered", "canceled", "waitlisted", "pendingApproval", "rejectedByOrganizer", "registered")
_PRESENTS = ("Organizer", "Presenter")  # roles of those who need no registration


def participants(world: World, meeting: Meeting) -> dict[str, Any] | None:
    """The organizer of a meeting and those invited; None if Graph tells nothing."""
    if meeting.invited is None:
        return None
    organizer = world.people[meeting.organizer_id]
    return {
        "organizer": _info(organizer.id, organizer.address, meeting.tenant_id, "presenter"),
        "attendees": list(islice(_invited(world, meeting), meeting.invited)),
    }


def registrations(world: World, events: Events, event: VirtualEvent) -> Iterator[Entity]:
    """The registrations for an event.

    They are of those who came and do not present, and of `registered` who did not come.
    """
    seen = set[str]()
    for session in events.sessions[event.id]:
        for each in _came(world, world.meetings[session.meeting_id]):
            is_new = each.id not in seen
            seen.add(each.id)
            if is_new and each.role not in _PRESENTS:
                person = world.people.get(each.id)
                name = person.display_name if person else None
                yield _registration(
                    event, each.id, each.id if person else None, name, each.address, "registered"
                )
    absent = [person for person in world.people.values() if person.id not in {*seen, event.organizer_id}]
    for number in range(event.registered):
        status = STATUSES[number % len(STATUSES)]
        if number % 3 == 2:  # somebody of another tenant
            yield _registration(
                event,
                f"visitor {number}",
                None,
                f"Visitor {number}",
                f"visitor{number}@fabrikam.example",
                status,
            )
        else:
            person = absent[number % len(absent)]
            yield _registration(
                event, f"{person.id} {number}", person.id, person.display_name, person.address, status
            )


def _invited(world: World, meeting: Meeting) -> Iterator[dict[str, Any]]:
    """Entries without end: in turn of those who came and of those who did not.

    In between is what is unpleasant.
    """
    came = [each.id for each in _came(world, meeting) if each.id in world.people]
    came = [each for each in came if each != meeting.organizer_id]
    absent = [each for each in world.people if each not in {*came, meeting.organizer_id}]
    number = 0
    while True:
        pool = came if number % 2 == 0 and number // 2 < len(came) else absent
        person = world.people[pool[number // 2 % len(pool)]]
        match number % 8:
            case 3:
                yield {"upn": GROUP, "role": "attendee", "identity": {"user": None}}
            case 4:  # again
                yield _info(person.id, person.address.upper(), meeting.tenant_id, "presenter")
                yield _info(person.id, person.address, meeting.tenant_id, "presenter")
            case 6:
                yield {"upn": f"visitor{number}@fabrikam.example", "role": "attendee", "identity": None}
            case 5:
                yield _info(person.id, None, None, "unknownFutureValue")
            case 7:
                yield {"upn": None, "role": None, "identity": {"user": {"id": None, "displayName": None}}}
            case _:
                yield _info(person.id, person.address, meeting.tenant_id, "attendee")
        number += 1


def _came(world: World, meeting: Meeting) -> list[Attendee]:
    """Who was in any session of the meeting, each once."""
    held = (world.sessions[call_id] for _, call_id in world.by_series.get(meeting.series, []))
    found = {
        each.id: each
        for session in held
        if session.meeting_id == meeting.id
        for each in attendees_at(world, session, END_OF_TIME)
    }
    return list(found.values())


def _info(person: str, upn: str | None, tenant: str | None, role: str) -> dict[str, Any]:
    user = {"id": person, "displayName": None, "tenantId": tenant, "identityProvider": "AAD"}
    others = dict.fromkeys(("phone", "guest", "encrypted", "onPremises", "application", "device"))
    return {"upn": upn, "role": role, "identity": {**others, "user": user}}


def _registration(
    event: VirtualEvent, key: str, user: str | None, name: str | None, email: str | None, status: str
) -> Entity:
    first, _, last = (name or "").partition(" ")
    at = event.start - timedelta(days=3)
    properties = {
        "id": str(uuid.uuid5(CRM, key)),
        "email": email or "",
        "firstName": first or None,
        "lastName": last or None,
        "status": status,
        "registrationDateTime": format_time(at).removesuffix("Z"),  # as the documented example has it
        "registrationQuestionAnswers": [{"displayName": "What do you eat?", "value": "all"}],
        "externalRegistrationInformation": None,
    }
    if user:  # of others it does not appear
        properties["userId"] = user
    if status == "canceled":
        properties["cancelationDateTime"] = format_time(at + timedelta(days=1))
    return odata.entity(**properties)
