"""The control routes for webinars and town halls, call events, and encrypted notifications that are forged."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.simulator import moments, wire
from local.simulator.control.controls import DONE, Controls, body, read
from local.simulator.delivery import announcing
from local.simulator.delivery.notifications import Announcement, Notification
from local.simulator.delivery.subscriptions import Subscription
from local.simulator.faults.forgeries import Forgery
from local.simulator.tenant.events import VirtualEvent
from local.simulator.tenant.orders import NewCallEvent, NewEvent


class EventControls(Controls):
    """The routes, below `/_control`."""

    def routes(self) -> list[Route]:
        """All routes."""
        return [
            self._route("POST", "/events", self.add_event),
            self._route("PUT", "/events/{id}", self.change_event),
            self._route("POST", "/call-events", self.add_call_event),
            self._route("POST", "/forgeries", self.add_forgery),
            self._route("DELETE", "/forgeries", self.clear_forgeries),
        ]

    async def add_event(self, request: Request) -> Response:
        """A new webinar or town hall, announced when its time comes."""
        order, at = await read(request, NewEvent), moments.now()
        event = self._simulator.events.add(order, at)
        self._simulator.delivery.announce(announcing.of_event(event, order, at))
        return JSONResponse(self._made(event), 201)

    async def change_event(self, request: Request) -> Response:
        """Changes fields of an event, its sessions stay as they are."""
        changes = wire.partial_from_wire(VirtualEvent, await body(request))
        if changes.keys() & {"id", "kind", "organizer_id"}:
            raise ValueError("id, kind and organizer cannot be changed")
        changed = self._simulator.events.change(request.path_params["id"], **changes)
        return JSONResponse(wire.to_wire(changed))

    async def add_call_event(self, request: Request) -> Response:
        """A call event, told at once; or with `send: false` the bodies that would be POSTed, one a subscription."""
        asked = await body(request)
        kind = asked.pop("forgery", None) if isinstance(asked, dict) else None
        forgery = None if kind is None else wire.from_wire(Forgery, {"kind": kind})
        order = wire.from_wire(NewCallEvent, asked)
        news = announcing.of_call_event(self._world, order, moments.now())
        if not order.send:
            watching = self._simulator.subscriptions.to(news.topic)
            parcels = [[(_unsent(news, each), each)] for each in watching]
            return JSONResponse([self._simulator.bodies.written(each, forgery) for each in parcels])
        if forgery is not None:
            self._simulator.forgeries.add(forgery)
        self._simulator.delivery.announce(news)
        return Response(status_code=DONE)

    async def add_forgery(self, request: Request) -> Response:
        """What is wrong with encrypted notifications to come."""
        self._simulator.forgeries.add(await read(request, Forgery))
        return Response(status_code=DONE)

    async def clear_forgeries(self, _: Request) -> Response:
        """No more forgeries."""
        self._simulator.forgeries.clear()
        return Response(status_code=DONE)

    def _made(self, event: VirtualEvent) -> dict[str, Any]:
        return {
            "eventId": event.id,
            "kind": event.kind,
            "organizerId": event.organizer_id,
            "sessions": [
                {
                    "sessionId": each.id,
                    "meetingId": each.meeting_id,
                    "joinWebUrl": self._world.meetings[each.meeting_id].join_web_url,
                    "start": each.start.isoformat(),
                    "end": each.end.isoformat(),
                }
                for each in self._simulator.events.sessions[event.id]
            ],
        }


def _unsent(news: Announcement, subscription: Subscription) -> Notification:
    return Notification(1, subscription.id, "updated", news.kind, news.subject, 0.0, 0.0, detail=news.detail)
