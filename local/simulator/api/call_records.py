"""Call records: one by id, and the list by start time.

The list gives whole seconds, a record seven digits of a second. A record can be revised: see `first_version_lacks`.
`organizer` and `participants` come empty (Global cloud since 2026-06-30); `organizer_v2` holds the organizer.
Sources: callRecord resource type, List callRecords, Get callRecord.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from local.simulator import moments, odata
from local.simulator.api.routing import GraphRequest, Route
from local.simulator.api.throttle import PER_APP, PER_RESOURCE, Throttle
from local.simulator.odata import Entity, GraphError, GraphReply
from local.simulator.settings import SimulatorSettings
from local.simulator.tenant.people import full_name
from local.simulator.tenant.sessions import Session
from local.simulator.tenant.world import World

PAGE = 60
_CLAUSE = re.compile(r"startDateTime (ge|gt|le|lt) (\S+)")
_EARLIEST = datetime.min.replace(tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC)
_LIST_OPTIONS = {"$filter", "$select", "$skiptoken"}
_KINDS_OF_IDENTITY = (
    "endpointType", "acsUser", "spoolUser", "phone", "guest", "encrypted", "onPremises", "acsApplicationInstance",
    "spoolApplicationInstance", "applicationInstance", "application", "device", "user",
)  # fmt: skip


@dataclass(frozen=True)
class StartRange:
    """The range of start times in a `$filter`."""

    low: datetime = _EARLIEST
    high: datetime = _LATEST
    low_open: bool = False
    high_open: bool = False

    def holds(self, start: datetime) -> bool:
        """Whether `start` lies inside."""
        above = start > self.low or (start == self.low and not self.low_open)
        return above and (start < self.high or (start == self.high and not self.high_open))


def parse_filter(text: str | None) -> StartRange:
    """The range that `$filter` describes. Raises GraphError for any other filter."""
    span = StartRange()
    for clause in re.split(r"\s+and\s+", text.strip()) if text is not None else ():
        match = _CLAUSE.fullmatch(clause)
        try:
            moment = moments.parse_time(match[2]) if match else None
        except ValueError:
            moment = None
        if match is None or moment is None:
            raise GraphError(400, "BadRequest", f"Invalid filter clause: '{clause}' is not supported.")
        if match[1] in ("ge", "gt"):
            span = StartRange(moment, span.high, match[1] == "gt", span.high_open)
        else:
            span = StartRange(span.low, moment, span.low_open, match[1] == "lt")
    return span


class CallRecords:
    """The routes below `/communications/callRecords`."""

    def __init__(self, world: World, settings: SimulatorSettings) -> None:
        self._world = world
        self._settings = settings
        self._throttle = Throttle()

    def routes(self) -> list[Route]:
        """The routes of this resource."""
        return [
            Route("GET", "/communications/callRecords", self.listed),
            Route("GET", "/communications/callRecords/{call}", self.get),
        ]

    async def get(self, request: GraphRequest) -> GraphReply:
        """One call record: 404 before it exists and after 30 days."""
        request.caller.as_application()
        call_id = request.parameters["call"].lower()
        self._count(request, call_id)
        session = self._world.sessions.get(call_id)
        if session is None or not session.record_exists(moments.now()):
            raise GraphError(404, "NotFound", "call record not found")
        properties = odata.select_properties(self._entity(session), request.query.get("$select"))
        context = odata.text(request.context("communications/callRecords/$entity"))
        return GraphReply(body=odata.entity_text({"@odata.context": context} | properties))

    async def listed(self, request: GraphRequest) -> GraphReply:
        """A page of the call records, by start time."""
        request.caller.as_application()
        self._count(request, "list")
        unsupported = [name for name in request.query if name.startswith("$") and name not in _LIST_OPTIONS]
        if unsupported:
            raise GraphError(400, "BadRequest", f"The query option '{unsupported[0]}' is not supported.")
        span = parse_filter(request.query.get("$filter"))
        first = (span.low, "")
        token = request.query.get("$skiptoken")
        if token is not None:
            first = _position(token)
        select = request.query.get("$select")
        size = request.page_size(PAGE)
        page: list[Session] = []
        next_link = None
        for session in self._world.records_from(first, moments.now(), span.high):
            if not span.holds(session.start):
                continue
            if len(page) == size:
                token = odata.skip_token(session.start.isoformat(), session.call_id)
                filter_ = request.query.get("$filter")
                next_link = odata.link(request.address, filter=filter_, select=select, skiptoken=token)
                break
            page.append(session)
        items = [odata.select_properties(self._listed_entity(session), select) for session in page]
        return GraphReply(
            body=odata.collection(request.context("communications/callRecords"), items, next_link)
        )

    def _count(self, request: GraphRequest, resource: str) -> None:
        if self._settings.throttling:
            at = time.monotonic()
            self._throttle.count(f"app {request.caller.app_id}", PER_APP, at)
            self._throttle.count(resource, PER_RESOURCE, at)

    def _entity(self, session: Session) -> Entity:
        seventh = int(session.call_id[0], 16) % 10
        end, lacking = moments.format_time(session.end, seventh), session.lacking(moments.now())
        properties = odata.entity(
            id=session.call_id,
            version=2 if session.first_version_lacks and not lacking else 1,
            type=session.type,
            modalities=["audio", "video"] if session.participants > 2 else ["audio"],
            lastModifiedDateTime=end,
            startDateTime=moments.format_time(session.start, seventh),
            endDateTime=end,
        )
        if session.meeting_id is not None:
            properties["joinWebUrl"] = odata.text(self._world.meetings[session.meeting_id].join_web_url)
        organizer = {
            "id": session.record_organizer or session.organizer_id,
            "administrativeUnitInfos": [],
            "identity": dict.fromkeys(_KINDS_OF_IDENTITY) | self._organizer(session),
        }
        properties |= odata.entity(organizer=None, participants=[], organizer_v2=organizer)
        return {name: value for name, value in properties.items() if name not in lacking}

    def _listed_entity(self, session: Session) -> Entity:
        """The record as the list shows it, whose times are in whole seconds."""
        times = {"startDateTime": session.start, "endDateTime": session.end}
        whole = {
            name: odata.text(moments.format_time(time.replace(microsecond=0))) for name, time in times.items()
        }
        properties = self._entity(session)
        return properties | {name: value for name, value in whole.items() if name in properties}

    def _organizer(self, session: Session) -> dict[str, object]:
        if session.phone_organizer:
            return {"phone": {"id": "+14255550123", "displayName": None, "tenantId": None}}
        if session.record_organizer == "guest":
            return {"guest": {"id": f"teamsvisitor:{session.call_id}", "displayName": None, "tenantId": None}}
        organizer = session.record_organizer or session.organizer_id
        person = self._world.people.get(organizer)
        meeting = None if session.meeting_id is None else self._world.meetings[session.meeting_id]
        name = person.display_name if person else full_name(self._world.source_of(organizer))
        tenant = meeting.tenant_id if meeting else self._world.tenant_id
        user = {
            "id": organizer,
            "displayName": name,
            "tenantId": tenant,
            "userPrincipalName": None,
        }
        return {"user": user}


def _position(token: str) -> tuple[datetime, str]:
    position = odata.position_of(token)
    try:
        start, call_id = position
        return moments.parse_time(start), call_id
    except ValueError:
        raise GraphError(400, "BadRequest", "The skip token is malformed.") from None
