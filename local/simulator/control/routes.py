"""The control routes, with which tests and the demo change and read the tenant.

They are no part of Graph and live under `/_control`. A handler is given the body, a JSON object, and its path's ids.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from local.sign_in.apps import NewApp
from local.sign_in.login import Login
from local.simulator import moments, wire
from local.simulator.delivery import announcing
from local.simulator.delivery.carriers import GridQueue
from local.simulator.delivery.notifications import Announcement, Notification
from local.simulator.delivery.subscriptions import Subscription
from local.simulator.faults.forgeries import Forgery
from local.simulator.faults.responses import Fault
from local.simulator.simulator import Simulator
from local.simulator.tenant import attendance
from local.simulator.tenant.events import VirtualEvent
from local.simulator.tenant.orders import NewCallEvent, NewEvent, NewMeeting, NewPast, NewSession
from local.simulator.tenant.sessions import Meeting, Session

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

type Body = dict[str, Any]
type Handler = Callable[..., object]


class ControlRoutes:
    """The routes, acting on one simulator."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._world = simulator.world
        self._login = simulator.login

    def routes(self) -> list[Route]:
        """All routes, below `/_control`."""
        return [self._route(*entry) for entry in self._table()]

    def _table(self) -> list[tuple[str, str, Handler]]:
        return [
            ("POST", "/meetings", self.add_meeting),
            ("POST", "/sessions", self.add_session),
            ("PUT", "/sessions/{call_id}", self.change_session),
            ("POST", "/world", self.add_past),
            ("POST", "/organizers/{organizer}", self.change_organizer),
            ("PUT", "/policy", self.change_policy),
            ("POST", "/events", self.add_event),
            ("PUT", "/events/{event}", self.change_event),
            ("POST", "/call-events", self.add_call_event),
            ("POST", "/forgeries", self.add_forgery),
            ("DELETE", "/forgeries", lambda _: self._simulator.forgeries.clear()),
            ("GET", "/deliveries", lambda _: _listed(self._simulator.delivery.attempts)),
            ("GET", "/truth/reports", self.true_reports),
            ("GET", "/truth/reports/{report}", self.true_report),
            ("GET", "/subscriptions", lambda _: _listed(self._simulator.subscriptions.living())),
            ("PUT", "/subscriptions/{subscription}", self.change_subscription),
            ("DELETE", "/subscriptions/{subscription}", self.remove_subscription),
            ("POST", "/subscriptions/{subscription}/lifecycle", self.send_lifecycle),
            ("PUT", "/grid-queue", self.connect_topic),
            ("POST", "/login/keys", self.rotate_keys),
            ("PUT", "/login/keys", lambda _: self._login.keys.publish()),
            ("POST", "/login/apps", lambda body: self._login.apps.add(wire.from_wire(NewApp, body))),
            ("GET", "/login/device-codes", self.device_codes),
            ("POST", "/login/device-codes/{code}", self.answer_device),
            *_of_service("", self._simulator),
            *_of_service("/login", self._login),
        ]

    def _route(self, method: str, path: str, handler: Handler) -> Route:
        """A route; its handler returns a response, a value to send as JSON, or None."""

        async def endpoint(request: Request) -> Response:
            try:
                body = await request.json() if await request.body() else {}
                if not isinstance(body, dict):
                    raise ValueError("expected a JSON object")
                answer = handler(body, **request.path_params)
            except KeyError as missing:
                return JSONResponse({"error": f"there is no {missing}"}, 404)
            except ValueError as wrong:
                return JSONResponse({"error": str(wrong)}, 400)
            if method != "GET":
                self._simulator.changed()
            if answer is None:
                return Response(status_code=204)
            made = 201 if method == "POST" else 200
            return answer if isinstance(answer, Response) else JSONResponse(answer, made)

        return Route(path, endpoint, methods=[method])

    def add_meeting(self, body: Body) -> object:
        """Add an online meeting."""
        return _meeting(self._world.add_meeting(wire.from_wire(NewMeeting, body)))

    def add_session(self, body: Body) -> object:
        """Add a session; its call record is announced when due."""
        order = wire.from_wire(NewSession, body)
        session = self._world.add_session(order, moments.now())
        for news in announcing.of_session(self._simulator.events, session, order):
            self._simulator.delivery.announce(news)
        return _session(session)

    def change_session(self, body: Body, call_id: str) -> object:
        """Change fields of a session; planned announcements do not change."""
        changes = wire.partial_from_wire(Session, body)
        if changes.keys() & {"call_id", "report_id", "meeting_id"}:
            raise ValueError("ids cannot be changed")
        return wire.to_wire(self._world.change_session(call_id, **changes))

    def add_past(self, body: Body) -> object:
        """Add a past of ended meetings."""
        sessions = self._world.add_past(wire.from_wire(NewPast, body), moments.now())
        return [_session(each) for each in sessions]

    def change_organizer(self, body: Body, organizer: str) -> None:
        """Grant or remove an organizer's access policy, or delete the user."""
        if body.get("deleted", False):
            self._world.policies.deleted.add(organizer.lower())
        elif body.get("denied", False):
            self._world.policies.denied.add(organizer.lower())
        else:
            self._world.policies.allow(organizer, body.get("apps"))

    def change_policy(self, body: Body) -> None:
        """Change the tenant's policy: `apps` that may act for others; null: all."""
        apps = body["apps"]
        self._world.policies.everyone = None if apps is None else [app.lower() for app in apps]

    def add_event(self, body: Body) -> object:
        """Add a webinar or town hall, announced when due."""
        order, at = wire.from_wire(NewEvent, body), moments.now()
        event = self._simulator.events.add(order, at)
        self._simulator.delivery.announce(announcing.of_event(event, order, at))
        sessions = [
            {
                "sessionId": each.id,
                "meetingId": each.meeting_id,
                "joinWebUrl": self._world.meetings[each.meeting_id].join_web_url,
                "start": each.start.isoformat(),
                "end": each.end.isoformat(),
            }
            for each in self._simulator.events.sessions[event.id]
        ]
        return {
            "eventId": event.id,
            "kind": event.kind,
            "organizerId": event.organizer_id,
            "sessions": sessions,
        }

    def change_event(self, body: Body, event: str) -> object:
        """Change fields of an event, not its sessions."""
        changes = wire.partial_from_wire(VirtualEvent, body)
        if changes.keys() & {"id", "kind", "organizer_id"}:
            raise ValueError("id, kind and organizer cannot be changed")
        return wire.to_wire(self._simulator.events.change(event, **changes))

    def add_call_event(self, body: Body) -> Response | None:
        """Send a call event, or with `send: false` return its bodies."""
        kind = body.pop("forgery", None)
        forgery = None if kind is None else wire.from_wire(Forgery, {"kind": kind})
        order = wire.from_wire(NewCallEvent, body)
        news = announcing.of_call_event(self._world, order, moments.now())
        if not order.send:
            watching = self._simulator.subscriptions.to(news.topic)
            parcels = [[(_unsent(news, each), each)] for each in watching]
            return JSONResponse([self._simulator.bodies.written(each, forgery) for each in parcels])
        if forgery is not None:
            self._simulator.forgeries.add(forgery)
        self._simulator.delivery.announce(news)
        return None

    def add_forgery(self, body: Body) -> None:
        """Forge encrypted notifications to come."""
        self._simulator.forgeries.add(wire.from_wire(Forgery, body))

    def true_reports(self, _: Body) -> Response:
        """Every report that Graph returns or will return, complete, by id."""
        sessions = [
            session
            for session in self._world.sessions.values()
            if session.meeting_id is not None and not session.no_report and session.report_refused is None
        ]

        async def text() -> AsyncIterator[str]:
            yield "{"
            for number, session in enumerate(sessions):
                whole = self._whole(session)
                yield f"{',' if number else ''}{json.dumps(session.report_id)}:{whole}"
                await asyncio.sleep(0)  # thousands of reports must not keep Graph from answering
            yield "}"

        return StreamingResponse(text(), media_type="application/json")

    def true_report(self, _: Body, report: str) -> Response:
        """One report, complete, whether Graph returns it or not."""
        session = self._world.session_of_report(report)
        if session is None or session.meeting_id is None or session.no_report:
            raise KeyError(report)
        return Response(self._whole(session), media_type="application/json")

    def _whole(self, session: Session) -> str:
        government = self._simulator.settings.report_properties == "usGovernment"
        return attendance.whole_report(self._world, session, government=government)

    def change_subscription(self, body: Body, subscription: str) -> object:
        """Change any field of a subscription, also hidden ones such as clientState."""
        found = self._subscription(subscription)
        changed = wire.from_wire(Subscription, wire.to_wire(found) | body)
        self._simulator.subscriptions.put(changed)
        self._simulator.delivery.resume(changed.id)
        return wire.to_wire(changed)

    def remove_subscription(self, _: Body, subscription: str) -> None:
        """Remove a subscription silently."""
        self._simulator.subscriptions.remove(self._subscription(subscription).id)

    def send_lifecycle(self, body: Body, subscription: str) -> None:
        """Send a lifecycle event of a subscription."""
        self._simulator.delivery.lifecycle(self._subscription(subscription), body["event"])

    def connect_topic(self, body: Body) -> None:
        """Activate the partner topic, and lead its events to a queue."""
        self._simulator.carriers.connect(wire.from_wire(GridQueue, body))
        self._simulator.settings.topic_is_connected = True

    def rotate_keys(self, body: Body) -> object:
        """Sign with a new key."""
        key = self._login.keys.rotate(keep=body.get("keep", True), publish=body.get("publish", True))
        return {"kid": key.kid}

    def device_codes(self, _: Body) -> object:
        """The pending device codes."""
        return [
            {"userCode": each.user_code, "appId": each.app_id, "scopes": each.scopes}
            for each in self._login.sign_ins.waiting()
        ]

    def answer_device(self, body: Body, code: str) -> None:
        """Sign a user in by device code, or decline (`user` null)."""
        user = body["user"]
        if user is not None and user.lower() not in self._login.users:
            raise ValueError(f"{user} is no user of the tenant")
        self._login.sign_ins.answer(code, user and user.lower())

    def _subscription(self, name: str) -> Subscription:
        found = self._simulator.subscriptions.find(name)
        if found is None:
            raise KeyError(name)
        return found


def _of_service(prefix: str, service: Simulator | Login) -> list[tuple[str, str, Handler]]:
    """Settings, faults and calls, which Graph and the login endpoint have alike."""

    def change_settings(body: Body) -> object:
        settings = service.settings
        vars(settings).update(vars(wire.from_wire(type(settings), wire.to_wire(settings) | body)))
        return wire.to_wire(settings)

    def list_faults(_: Body) -> object:
        found = service.faults.struck()
        return [{"fault": wire.to_wire(fault), "struck": struck} for fault, struck in found]

    return [
        ("PUT", f"{prefix}/settings", change_settings),
        ("POST", f"{prefix}/faults", lambda body: service.faults.add(wire.from_wire(Fault, body))),
        ("GET", f"{prefix}/faults", list_faults),
        ("DELETE", f"{prefix}/faults", lambda _: service.faults.clear()),
        ("GET", f"{prefix}/calls", lambda _: _listed(service.calls)),
        ("DELETE", f"{prefix}/calls", lambda _: service.calls.clear()),
    ]


def _listed(entries: Iterable[DataclassInstance]) -> list[dict[str, Any]]:
    return [wire.to_wire(each) for each in entries]


def _meeting(meeting: Meeting) -> dict[str, Any]:
    return {
        "meetingId": meeting.id,
        "organizerId": meeting.organizer_id,
        "joinWebUrl": meeting.join_web_url,
        "joinMeetingId": meeting.join_meeting_id,
    }


def _session(session: Session) -> dict[str, Any]:
    return {"callId": session.call_id, "reportId": session.report_id}


def _unsent(news: Announcement, subscription: Subscription) -> Notification:
    return Notification(1, subscription.id, "updated", news.kind, news.subject, 0.0, 0.0, detail=news.detail)
