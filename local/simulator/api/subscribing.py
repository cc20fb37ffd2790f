"""The routes of `/subscriptions`: create, list, read, renew, reauthorize, delete.

An application sees its own subscriptions only, whoever else notifies the same URL; a user's token makes none here. The
event or meeting must exist, and an access policy must cover its organizer.
Sources: Create subscription, List subscriptions, Update subscription, subscription: reauthorize.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

from local.simulator import moments, odata
from local.simulator.api.routing import GraphRequest, Route
from local.simulator.delivery import handshake, resources, subscriptions
from local.simulator.delivery.carriers import Carriers
from local.simulator.delivery.subscriptions import Subscription, Subscriptions
from local.simulator.odata import Entity, GraphError, GraphReply
from local.simulator.settings import SimulatorSettings
from local.simulator.tenant.events import Events


class Subscribing:
    """The routes; `resumed` is called with the id of a renewed subscription."""

    def __init__(
        self,
        kept: Subscriptions,
        events: Events,
        settings: SimulatorSettings,
        carriers: Carriers,
        resumed: Callable[[str], None],
    ) -> None:
        self._kept = kept
        self._carriers = carriers
        self._events = events
        self._settings = settings
        self._resumed = resumed

    def routes(self) -> list[Route]:
        """The routes of this resource."""
        one = "/subscriptions/{subscription}"
        return [
            Route("POST", "/subscriptions", self.create),
            Route("GET", "/subscriptions", self.listed),
            Route("GET", one, self.get),
            Route("PATCH", one, self.renew),
            Route("DELETE", one, self.delete),
            Route("POST", one + "/reauthorize", self.reauthorize),
        ]

    async def create(self, request: GraphRequest) -> GraphReply:
        """A new subscription, once its URLs have answered the handshake."""
        caller = request.caller
        caller.as_application()
        wanted = subscriptions.parse_subscription(
            request.json(), str(uuid.uuid4()), caller.app_id, caller.object_id, self._now(), request.version
        )
        self._check_access(wanted)
        self._kept.check_room(wanted, self._settings.call_event_quota)
        for url in (wanted.notification_url, wanted.lifecycle_notification_url):
            if url is None:
                continue
            if self._carriers.takes(url):
                self._carriers.validate(url, wanted.topic.kind)
            else:
                await handshake.validate(url, self._settings.deadline_scale)
        # A second request for the same combination may have passed its own handshake meanwhile.
        self._kept.check_room(wanted, self._settings.call_event_quota)
        self._kept.put(wanted)
        return GraphReply(201, _one(request, wanted))

    async def listed(self, request: GraphRequest) -> GraphReply:
        """A page of the caller's subscriptions; no query options are supported."""
        request.caller.as_application()
        options = [name for name in request.query if name.startswith("$") and name != "$skiptoken"]
        if options:
            raise GraphError(400, "BadRequest", f"The query option '{options[0]}' is not supported.")
        own = [each for each in self._kept.living() if each.application_id == request.caller.app_id]
        start = odata.offset_of(request.query.get("$skiptoken"))
        size = self._settings.subscription_page_size or len(own) or 1
        next_link = None
        if start + size < len(own):
            next_link = odata.link(request.address, skiptoken=odata.skip_token(str(start + size)))
        items = [_without_client_state(each) for each in own[start : start + size]]
        return GraphReply(body=odata.collection(request.context("subscriptions"), items, next_link))

    async def get(self, request: GraphRequest) -> GraphReply:
        """One subscription."""
        return GraphReply(body=_one(request, self._own(request)))

    async def renew(self, request: GraphRequest) -> GraphReply:
        """A later expiry, or another certificate."""
        changed = subscriptions.renew_subscription(self._own(request), request.json(), self._now())
        self._kept.put(changed)
        self._resumed(changed.id)
        return GraphReply(body=_one(request, changed))

    async def delete(self, request: GraphRequest) -> GraphReply:
        """Delete a subscription."""
        self._kept.remove(self._own(request).id)
        return GraphReply(204)

    async def reauthorize(self, request: GraphRequest) -> GraphReply:
        """Resume delivery without a new expiry."""
        changed = subscriptions.reauthorize_subscription(self._own(request))
        self._kept.put(changed)
        self._resumed(changed.id)
        return GraphReply(204)

    def _now(self) -> datetime:
        """The time by Graph's clock."""
        return moments.now() + timedelta(seconds=self._settings.clock_offset)

    def _check_access(self, wanted: Subscription) -> None:
        """Check that the event or meeting exists and the caller may act for it.

        Raises GraphError.
        """
        topic, world = wanted.topic, self._events.world
        if topic.kind in ("virtualEvent", "attendanceReport") and self._settings.virtual_events != "offered":
            raise GraphError(400, "InvalidRequest", f"Resource '{wanted.resource}' is not supported.")
        if topic.kind == "attendanceReport":
            event = self._events.by_id.get(topic.about)
            if event is None or resources.reports_key(event.kind, event.id) != topic.key:
                raise GraphError(404, "NotFound", "The virtual event is not found.")
            world.policies.check(wanted.application_id, event.organizer_id)
        elif topic.kind == "callEvent":
            meeting_id = world.by_join_url.get(topic.about)
            if meeting_id is None:
                raise GraphError(404, "NotFound", "3004: Specified meeting is not found.")
            world.policies.check(wanted.application_id, world.meetings[meeting_id].organizer_id)

    def _own(self, request: GraphRequest) -> Subscription:
        request.caller.as_application()
        found = self._kept.find(request.parameters["subscription"])
        if found is None or found.application_id != request.caller.app_id:
            raise GraphError(404, "ResourceNotFound", "The object was not found.")
        return found


def _one(request: GraphRequest, subscription: Subscription) -> str:
    context = odata.text(request.context("subscriptions/$entity"))
    return odata.entity_text({"@odata.context": context} | subscription.entity())


def _without_client_state(subscription: Subscription) -> Entity:
    return {name: value for name, value in subscription.entity().items() if name != "clientState"}
