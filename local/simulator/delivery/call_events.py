"""Call events of a meeting: start, end, and changes of the roster.

The documentation names two properties differently in its examples and in its resource type; which form is sent is a
setting. Sources: change notifications for meeting call events; callEvent and participant resource types.
"""

from __future__ import annotations

import json
from datetime import datetime
from random import Random

from local.simulator import moments, odata
from local.simulator.settings import SimulatorSettings
from local.simulator.tenant.people import Person, guid

LEFT = "Participant has left the meeting call."
TYPE = "#microsoft.graph.callevent"


def detail(
    event_type: str, at: datetime, people: list[Person], tenant: str, source: Random, *, left: bool = False
) -> str:
    """The detail of an event, as JSON text; participants only for roster changes."""
    told: dict[str, object] = {
        "eventType": event_type,
        "eventDateTime": moments.format_time(at, source.randrange(10)),
    }
    if event_type == "rosterUpdated":
        told["participants"] = [_participant(person, tenant, source, left=left) for person in people]
    return odata.text(told)


def payload(resource: str, event_id: str, told: str, settings: SimulatorSettings) -> dict[str, object]:
    """The resource data of an event: what is encrypted, in the chosen form."""
    known = json.loads(told)
    event_type, participants = known.pop("eventType"), known.pop("participants", None)
    names = (
        ("eventType", "callEventType") if settings.call_event_name == "both" else (settings.call_event_name,)
    )
    data: dict[str, object] = {"@odata.type": TYPE, "@odata.id": resource, "id": event_id}
    data |= dict.fromkeys(names, event_type) | known
    if participants is not None:
        data[settings.roster_name] = participants
    return data


def _participant(person: Person, tenant: str, source: Random, *, left: bool) -> dict[str, object]:
    user = {"id": person.id, "displayName": person.display_name, "tenantId": tenant}
    participant: dict[str, object] = {"info": {"identity": {"user": user}}, "isInLobby": False}
    if left:
        participant["removedState"] = {"reason": LEFT}
    return participant | {"id": guid(source)}
