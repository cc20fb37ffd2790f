"""Webinars and town halls: lists, events, sessions, reports and registrations.

An application sees those whose organizer an access policy covers, a user those that he organizes, and no list. Only
the global cloud has them. Sources: List webinars, List townhalls, Get virtualEventWebinar, List sessions for a virtual
event, Get virtualEventSession, List registrations.
"""

from __future__ import annotations

import time

from local.simulator import odata
from local.simulator.api.reports import AttendanceReports, Place
from local.simulator.api.routing import GraphRequest, Route
from local.simulator.api.throttle import EVENTS_PER_APP, Throttle
from local.simulator.odata import Entity, GraphError, GraphReply
from local.simulator.settings import SimulatorSettings
from local.simulator.tenant import attendance
from local.simulator.tenant.events import Events, EventSession, VirtualEvent, plain, zoned
from local.simulator.tenant.invitees import registrations
from local.simulator.tenant.orders import EventKind
from local.simulator.tenant.world import World

ROOT = "/solutions/virtualEvents"
READ = ("VirtualEvent.Read", "VirtualEvent.ReadWrite")
_NOT_LISTED = (
    "isBroadcast", "audioConferencing", "chatInfo", "videoTeleconferenceId", "externalId", "joinMeetingIdSettings",
    "lobbyBypassSettings", "isEntryExitAnnounced", "allowedPresenters", "recordAutomatically", "videoOnDemandWebUrl",
)  # fmt: skip


class VirtualEvents:
    """The routes below `/solutions/virtualEvents` for one kind of event."""

    def __init__(
        self, kind: EventKind, world: World, events: Events, settings: SimulatorSettings, throttle: Throttle
    ) -> None:
        self._kind = kind
        self._throttle = throttle
        self._world = world
        self._events = events
        self._settings = settings

    def routes(self) -> list[Route]:
        """The routes of this resource."""
        all_of = f"{ROOT}/{self._kind}s"
        one = all_of + "/{event}"
        session = one + "/sessions/{session}"
        return [
            Route("GET", all_of, self.listed),
            Route("GET", one, self.get),
            Route("GET", one + "/sessions", self.sessions),
            Route("GET", session, self.session),
            Route("GET", one + "/registrations", self.registrations),
            *AttendanceReports(self._world, self._settings, session, self.place).routes(),
        ]

    async def listed(self, request: GraphRequest) -> GraphReply:
        """A page of the events that the application may see."""
        self._open(request)
        request.caller.as_application()
        _only(request, "$count", "$skiptoken")
        allows = self._world.policies.allows
        seen = [
            each
            for each in self._events.by_id.values()
            if each.kind == self._kind and allows(request.caller.app_id, each.organizer_id)
        ]
        total = len(seen) if request.query.get("$count") == "true" else None
        items = [self._entity(each) for each in seen]
        return self._page(request, f"solutions/virtualEvents/{self._kind}s", items, total)

    async def get(self, request: GraphRequest) -> GraphReply:
        """One event."""
        _only(request)
        event = self._event(request)
        context = odata.text(request.context(f"solutions/virtualEvents/{self._kind}s/$entity"))
        return GraphReply(body=odata.entity_text({"@odata.context": context} | self._entity(event)))

    async def sessions(self, request: GraphRequest) -> GraphReply:
        """A page of an event's sessions, most of their properties empty."""
        _only(request, "$skiptoken")
        event = self._event(request)
        items = [self._summary(event, each) for each in self._events.sessions[event.id]]
        return self._page(request, f"solutions/virtualEvents/{self._kind}s('{event.id}')/sessions", items)

    async def registrations(self, request: GraphRequest) -> GraphReply:
        """A page of the registrations for an event.

        The last one comes again on the next page.
        """
        request.caller.needs(*READ)
        _only(request, "$skiptoken")
        event = self._event(request)
        items = list(registrations(self._world, self._events, event))
        context = f"solutions/virtualEvents/{self._kind}s('{event.id}')/registrations"
        return self._page(request, context, items, overlap=1)

    async def session(self, request: GraphRequest) -> GraphReply:
        """One session."""
        _only(request)
        event = self._event(request)
        session = self._session(request, event)
        meeting = self._world.meetings[session.meeting_id]
        organizer = {"id": event.organizer_id, "displayName": None, "tenantId": self._world.tenant_id}
        more = odata.entity(
            isBroadcast=self._kind == "townhall",
            chatInfo={"threadId": meeting.thread_id, "messageId": "0", "replyChainMessageId": None},
            participants={
                "organizer": {"identity": {"user": organizer}, "role": "presenter"},
                "attendees": [],
            },
        )
        where = f"solutions/virtualEvents/{self._kind}s('{event.id}')/sessions/$entity"
        context = {"@odata.context": odata.text(request.context(where))}
        return GraphReply(body=odata.entity_text(context | self._summary(event, session) | more))

    def place(self, request: GraphRequest) -> Place:
        """Where the reports of the session in a path are read. Raises GraphError."""
        request.caller.needs("OnlineMeetingArtifact.Read.All")
        event = self._event(request)
        session = self._session(request, event)
        where = (
            f"solutions/virtualEvents/{self._kind}s('{event.id}')/sessions('{session.id}')/attendanceReports"
        )
        return Place(self._world.meetings[session.meeting_id], where, attendance.OF_EVENT)

    def _event(self, request: GraphRequest) -> VirtualEvent:
        self._open(request)
        request.caller.needs(*READ, "OnlineMeetingArtifact.Read.All")
        event = self._events.by_id.get(request.parameters["event"].lower())
        if event is None or event.kind != self._kind:
            raise GraphError(404, "NotFound", "The virtual event is not found.")
        if request.caller.scopes is None:
            self._world.policies.check(request.caller.app_id, event.organizer_id)
        elif request.caller.object_id not in (event.organizer_id, *event.co_organizers):
            raise GraphError(403, "Forbidden", "User is not an organizer of the virtual event.")
        return event

    def _session(self, request: GraphRequest, event: VirtualEvent) -> EventSession:
        session = self._events.session(event, request.parameters["session"])
        if session is None:
            raise GraphError(404, "NotFound", "The session is not found.")
        return session

    def _open(self, request: GraphRequest) -> None:
        """Count a request.

        Raises GraphError for too many, or where this cloud has no virtual events.
        """
        if self._settings.throttling:
            self._throttle.count(request.caller.app_id, EVENTS_PER_APP, time.monotonic())
        if self._settings.virtual_events == "badRequest":
            raise GraphError(400, "BadRequest", "Resource not found for the segment 'virtualEvents'.")
        if self._settings.virtual_events == "notFound":
            raise GraphError(404, "UnknownError", "")

    def _page(
        self,
        request: GraphRequest,
        context: str,
        items: list[Entity],
        total: int | None = None,
        overlap: int = 0,
    ) -> GraphReply:
        start = odata.offset_of(request.query.get("$skiptoken"))
        size = request.page_size(self._settings.event_page_size or len(items) or 1)
        next_link = None
        if start + size < len(items):
            token, count = odata.skip_token(str(start + size)), request.query.get("$count")
            next_link = odata.link(request.address, count=count, skiptoken=token)
        page = items[max(0, start - overlap) : start + size]
        return GraphReply(body=odata.collection(request.context(context), page, next_link, total))

    def _entity(self, event: VirtualEvent) -> Entity:
        people, tenant = self._world.people, self._world.tenant_id
        user = {
            "@odata.type": attendance.USER,
            "id": event.organizer_id,
            "displayName": people[event.organizer_id].display_name,
            "tenantId": tenant,
        }
        kind = "Webinar" if event.kind == "webinar" else "Townhall"
        properties: Entity = {"@odata.type": odata.text(f"#microsoft.graph.virtualEvent{kind}")}
        properties |= odata.entity(
            id=event.id,
            status=event.status,
            displayName=event.name,
            description={"contentType": "html", "content": "<p>Café &amp; talk</p>"},
            startDateTime=zoned(event.start, event.time_zone),
            endDateTime=zoned(event.end, event.time_zone),
            createdBy={"application": None, "device": None, "user": user},
            audience="everyone",
            coOrganizers=[
                {"id": each, "displayName": people[each].display_name, "tenantId": tenant}
                for each in event.co_organizers
            ],
            settings={"isAttendeeEmailNotificationEnabled": False},
            externalEventInformation=[],
        )
        if event.kind == "townhall":
            properties |= odata.entity(isInviteOnly=False, invitedAttendees=[])
        return properties

    def _summary(self, event: VirtualEvent, session: EventSession) -> Entity:
        as_text = self._settings.session_time_form == "text"
        start, end = (
            plain(moment) if as_text else zoned(moment, event.time_zone)
            for moment in (session.start, session.end)
        )
        properties: Entity = {"@odata.type": odata.text("#microsoft.graph.virtualEventSession")}
        return properties | odata.entity(
            id=session.id,
            startDateTime=start,
            endDateTime=end,
            joinWebUrl=self._world.meetings[session.meeting_id].join_web_url,
            subject=session.subject,
            **dict.fromkeys(_NOT_LISTED),
        )


def _only(request: GraphRequest, *options: str) -> None:
    """Refuse query options that the resource does not document. Raises GraphError."""
    others = [name for name in request.query if name.startswith("$") and name not in options]
    if others:
        raise GraphError(400, "BadRequest", f"The query option '{others[0]}' is not supported.")
