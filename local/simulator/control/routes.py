"""The control routes: what tests and the demo use to shape the world and to look behind it. No token is needed.

They are no part of Graph and live under `/_control`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from local.simulator import moments, wire
from local.simulator.control.controls import DONE, Controls, body, read
from local.simulator.control.events import EventControls
from local.simulator.control.login import LoginControls
from local.simulator.delivery import announcing
from local.simulator.delivery.subscriptions import Subscription
from local.simulator.faults.responses import Fault
from local.simulator.settings import Settings
from local.simulator.tenant import attendance
from local.simulator.tenant.orders import NewMeeting, NewPast, NewSession
from local.simulator.tenant.sessions import Meeting, Session


class ControlRoutes(Controls):
    """The routes, acting on one simulator."""

    def routes(self) -> list[Route]:
        """All routes, below `/_control`."""
        return [
            *EventControls(self._simulator).routes(),
            *LoginControls(self._simulator).routes(),
            self._route("POST", "/meetings", self.add_meeting),
            self._route("POST", "/sessions", self.add_session),
            self._route("PUT", "/sessions/{id}", self.change_session),
            self._route("POST", "/world", self.add_past),
            self._route("POST", "/organizers/{id}", self.change_organizer),
            self._route("PUT", "/policy", self.change_policy),
            self._route("PUT", "/settings", self.change_settings),
            self._route("POST", "/faults", self.add_fault),
            self._route("GET", "/faults", self.list_faults),
            self._route("DELETE", "/faults", self.clear_faults),
            self._route("GET", "/calls", self.calls),
            self._route("DELETE", "/calls", self.clear_calls),
            self._route("GET", "/deliveries", self.deliveries),
            self._route("GET", "/truth/reports", self.true_reports),
            self._route("GET", "/truth/reports/{id}", self.true_report),
            self._route("GET", "/subscriptions", self.subscriptions),
            self._route("PUT", "/subscriptions/{id}", self.change_subscription),
            self._route("DELETE", "/subscriptions/{id}", self.remove_subscription),
            self._route("POST", "/subscriptions/{id}/lifecycle", self.send_lifecycle),
        ]

    async def add_meeting(self, request: Request) -> Response:
        """A new online meeting."""
        return JSONResponse(_meeting(self._world.add_meeting(await read(request, NewMeeting))), 201)

    async def add_session(self, request: Request) -> Response:
        """A new session; its call record is announced when its time comes."""
        order = await read(request, NewSession)
        session = self._world.add_session(order, moments.now())
        for news in announcing.of_session(self._simulator.events, session, order):
            self._simulator.delivery.announce(news)
        return JSONResponse({"callId": session.call_id, "reportId": session.report_id}, 201)

    async def change_session(self, request: Request) -> Response:
        """Changes fields of a session; announcements that are planned stay as they are."""
        changes = wire.partial_from_wire(Session, await request.json())
        if changes.keys() & {"call_id", "report_id", "meeting_id"}:
            raise ValueError("ids cannot be changed")
        return JSONResponse(wire.to_wire(self._world.change_session(request.path_params["id"], **changes)))

    async def add_past(self, request: Request) -> Response:
        """A past of ended meetings."""
        sessions = self._world.add_past(await read(request, NewPast), moments.now())
        made = [{"callId": each.call_id, "reportId": each.report_id} for each in sessions]
        return JSONResponse(made, 201)

    async def change_organizer(self, request: Request) -> Response:
        """Takes the application access policy of an organizer away, or grants it, to all or to some `apps`."""
        organizer = request.path_params["id"].lower()
        asked = await body(request)
        if asked.get("denied", False):
            self._world.policies.denied.add(organizer)
        else:
            self._world.policies.allow(organizer, asked.get("apps"))
        return Response(status_code=DONE)

    async def change_policy(self, request: Request) -> Response:
        """The tenant's own policy: the `apps` that may act for whoever has none; null: all."""
        apps = (await body(request))["apps"]
        self._world.policies.everyone = None if apps is None else [app.lower() for app in apps]
        return Response(status_code=DONE)

    async def change_settings(self, request: Request) -> Response:
        """Changes settings of the service; answers all of them."""
        settings = self._simulator.settings
        changes = wire.to_wire(settings) | await request.json()
        vars(settings).update(vars(wire.from_wire(Settings, changes)))
        return JSONResponse(wire.to_wire(settings))

    async def add_fault(self, request: Request) -> Response:
        """A fault to come."""
        self._simulator.faults.add(await read(request, Fault))
        return Response(status_code=DONE)

    async def list_faults(self, _: Request) -> Response:
        """The faults that are not used up, and how often each has struck."""
        found = self._simulator.faults.struck()
        return JSONResponse([{"fault": wire.to_wire(fault), "struck": struck} for fault, struck in found])

    async def clear_faults(self, _: Request) -> Response:
        """No more faults."""
        self._simulator.faults.clear()
        return Response(status_code=DONE)

    async def calls(self, _: Request) -> Response:
        """The calls that the Graph side has answered."""
        return JSONResponse([wire.to_wire(call) for call in self._simulator.calls])

    async def clear_calls(self, _: Request) -> Response:
        """Forgets the calls so far."""
        self._simulator.calls.clear()
        return Response(status_code=DONE)

    async def deliveries(self, _: Request) -> Response:
        """Every attempt to deliver notifications."""
        return JSONResponse([wire.to_wire(attempt) for attempt in self._simulator.delivery.attempts])

    async def true_reports(self, _: Request) -> Response:
        """Every report of an ended or running session that Graph gives or will give, complete, by id."""
        sessions = [
            session
            for session in self._world.sessions.values()
            if session.meeting_id is not None and not session.no_report and session.report_refused is None
        ]

        async def text() -> AsyncIterator[str]:
            yield "{"
            for number, session in enumerate(sessions):
                whole = attendance.whole_report(self._world, session)
                yield f"{',' if number else ''}{json.dumps(session.report_id)}:{whole}"
                await asyncio.sleep(0)  # thousands of reports must not keep Graph from answering
            yield "}"

        return StreamingResponse(text(), media_type="application/json")

    async def true_report(self, request: Request) -> Response:
        """One report, complete, whether Graph gives it or not."""
        session = self._world.session_of_report(request.path_params["id"])
        if session is None or session.meeting_id is None or session.no_report:
            raise KeyError(request.path_params["id"])
        return Response(attendance.whole_report(self._world, session), media_type="application/json")

    async def subscriptions(self, _: Request) -> Response:
        """All living subscriptions with what Graph never shows, such as clientState."""
        return JSONResponse([wire.to_wire(each) for each in self._simulator.subscriptions.living()])

    async def change_subscription(self, request: Request) -> Response:
        """Changes any field of a subscription."""
        found = self._subscription(request)
        changed = wire.from_wire(Subscription, wire.to_wire(found) | await request.json())
        self._simulator.subscriptions.put(changed)
        self._simulator.delivery.resume(changed.id)
        return JSONResponse(wire.to_wire(changed))

    async def remove_subscription(self, request: Request) -> Response:
        """A subscription vanishes silently."""
        self._simulator.subscriptions.remove(self._subscription(request).id)
        return Response(status_code=DONE)

    async def send_lifecycle(self, request: Request) -> Response:
        """Sends a lifecycle event of a subscription."""
        self._simulator.delivery.lifecycle(self._subscription(request), (await request.json())["event"])
        return Response(status_code=DONE)

    def _subscription(self, request: Request) -> Subscription:
        found = self._simulator.subscriptions.find(request.path_params["id"])
        if found is None:
            raise KeyError(request.path_params["id"])
        return found


def _meeting(meeting: Meeting) -> dict[str, Any]:
    return {
        "meetingId": meeting.id,
        "organizerId": meeting.organizer_id,
        "joinWebUrl": meeting.join_web_url,
        "joinMeetingId": meeting.join_meeting_id,
    }
