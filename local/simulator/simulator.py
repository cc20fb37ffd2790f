"""One simulator, and the file with its state.

The file is replaced as a whole, so that a crash leaves the old state or the new one.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from local.sign_in.apps import NewApp
from local.sign_in.login import Login
from local.simulator import wire
from local.simulator.api.call_records import CallRecords
from local.simulator.api.online_meetings import OnlineMeetings
from local.simulator.api.reports import AttendanceReports
from local.simulator.api.subscribing import Subscribing
from local.simulator.api.throttle import EVENTS_SPAN, Throttle
from local.simulator.api.tokens import TokenCheck
from local.simulator.api.virtual_events import VirtualEvents
from local.simulator.calls import Call
from local.simulator.delivery.bodies import Bodies
from local.simulator.delivery.carriers import Carriers
from local.simulator.delivery.dispatch import Delivery
from local.simulator.delivery.notifications import Announcement, Notification
from local.simulator.delivery.subscriptions import Subscription, Subscriptions
from local.simulator.delivery.validation_tokens import Publisher
from local.simulator.faults.forgeries import Forgeries
from local.simulator.faults.responses import Faults
from local.simulator.settings import SimulatorSettings
from local.simulator.tenant.events import Events, EventSession, VirtualEvent
from local.simulator.tenant.orders import EventKind
from local.simulator.tenant.policies import Policies
from local.simulator.tenant.sessions import Meeting, Session
from local.simulator.tenant.world import World

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SAVE_EVERY = 1.0
FORM = 3  # of the state file


class OtherTenantError(ValueError):
    """The state file is another tenant's; the text says what to do."""


class Simulator:
    """One simulated tenant with everything that acts on it."""

    def __init__(
        self,
        world: World,
        tokens: TokenCheck,
        login: Login,
        authority: str,
        state: Path | None = None,
        hubs: Path | None = None,
    ) -> None:
        self.world = world
        self.events = Events(world)
        self.tokens = tokens
        self.login = login
        self.settings = SimulatorSettings()
        self.subscriptions = Subscriptions()
        self.faults = Faults()
        self.forgeries = Forgeries()
        self.calls: deque[Call] = deque(maxlen=100_000)
        publisher = Publisher(world.tenant_id, authority, login.keys)
        self.bodies = Bodies(world.tenant_id, self.settings, publisher, self.forgeries)
        source = f"/tenants/{world.tenant_id}/applications/{tokens.app_id}"
        self.carriers = Carriers(hubs, self.settings, source)
        self.delivery = Delivery(self.subscriptions, self.settings, self.bodies, self.carriers, self.changed)
        self._state = state
        self._dirty = asyncio.Event()
        meetings = OnlineMeetings(world)
        self.routes = [
            *CallRecords(world, self.settings).routes(),
            *meetings.routes(),
            *Subscribing(
                self.subscriptions, self.events, self.settings, self.carriers, self.delivery.resume
            ).routes(),
        ]
        throttle = Throttle(EVENTS_SPAN)
        for kind in get_args(EventKind.__value__):
            self.routes += VirtualEvents(kind, world, self.events, self.settings, throttle).routes()
        for whose in ("/users/{user}", "/me"):
            address = whose + "/onlineMeetings/{meeting}"
            self.routes += AttendanceReports(world, self.settings, address, meetings.place).routes()

    def changed(self) -> None:
        """Schedule saving the state."""
        self._dirty.set()

    async def keep_saved(self) -> None:
        """Save the state after changes, using at most a tenth of the time."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            started = time.monotonic()
            self.save()
            await asyncio.sleep(max(SAVE_EVERY, 10 * (time.monotonic() - started)))

    def save(self) -> None:
        """Save the state now."""
        if self._state is None:
            return
        scratch = self._state.with_name(self._state.name + ".new")
        scratch.write_text(json.dumps(self._snapshot()), encoding="utf-8")
        scratch.replace(self._state)

    def load(self) -> None:
        """Restore the state and seed from the state file, if it exists.

        Raises OtherTenantError for another tenant's.
        """
        if self._state is None or not self._state.exists():
            return
        state = json.loads(self._state.read_text(encoding="utf-8"))
        if state["tenant"] != self.world.tenant_id:
            raise OtherTenantError(
                f"The state in {self._state.parent} is of tenant {state['tenant']}, but TENANT_ID is "
                f"{self.world.tenant_id}: give the former again, use another folder (--state), or delete this one."
            )
        if state.get("form") != FORM:
            sys.stderr.write(f"{self._state} was written by another version; starting anew\n")
            return
        self.world.reseed(state["seed"])
        self.world.counter = state["counter"]
        vars(self.world.policies).update(wire.partial_from_wire(Policies, state["policies"]))
        vars(self.settings).update(wire.partial_from_wire(SimulatorSettings, state["settings"]))
        for meeting in state["meetings"]:
            self.world.put_meeting(wire.from_wire(Meeting, meeting))
        for session in state["sessions"]:
            self.world.put_session(wire.from_wire(Session, session))
        for event in state["events"]:
            self.events.put(wire.from_wire(VirtualEvent, event))
        for held in state["eventSessions"]:
            self.events.put_session(wire.from_wire(EventSession, held))
        for subscription in state["subscriptions"]:
            self.subscriptions.put(wire.from_wire(Subscription, subscription))
        for app in state["apps"]:
            self.login.apps.add(wire.from_wire(NewApp, app))
        self.delivery.restore(
            [wire.from_wire(Notification, each) for each in state["notifications"]],
            [wire.from_wire(Announcement, each) for each in state["announcements"]],
        )

    def _snapshot(self) -> dict[str, Any]:
        waiting, announcements = self.delivery.pending()
        kept: dict[str, Iterable[DataclassInstance]] = {
            "meetings": self.world.meetings.values(),
            "sessions": self.world.sessions.values(),
            "events": self.events.by_id.values(),
            "eventSessions": self.events.by_meeting.values(),
            "subscriptions": self.subscriptions.living(),
            "apps": self.login.apps.all(),
            "notifications": waiting,
            "announcements": announcements,
        }
        return {
            "form": FORM,
            "tenant": self.world.tenant_id,
            "seed": self.world.seed,
            "counter": self.world.counter,
            "policies": wire.to_wire(self.world.policies),
            "settings": wire.to_wire(self.settings),
            **{name: [wire.to_wire(each) for each in entries] for name, entries in kept.items()},
        }
