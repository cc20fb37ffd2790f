"""The parts of one simulator and what they share; the state that survives a restart.

The file is replaced as a whole, so that a crash leaves the old state or the new one.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from local.graph import wire
from local.graph.callrecords import CallRecords
from local.graph.delivery import Delivery
from local.graph.faults import Faults
from local.graph.notifications import Notification
from local.graph.onlinemeetings import OnlineMeetings
from local.graph.reports import AttendanceReports
from local.graph.settings import Settings
from local.graph.subscribing import Subscribing
from local.graph.subscriptions import Subscription, Subscriptions
from local.graph.tokens import TokenCheck
from local.graph.world import Meeting, Session, World

SAVE_EVERY = 1.0


@dataclass(frozen=True)
class Call:
    """One call of a client to the Graph side; `status` is 0 where it got no reply."""

    method: str
    path: str
    status: int
    at: datetime


class Simulator:
    """One simulated tenant with all that acts on it."""

    def __init__(self, world: World, tokens: TokenCheck, state: Path | None = None) -> None:
        self.world = world
        self.tokens = tokens
        self.settings = Settings()
        self.subscriptions = Subscriptions()
        self.faults = Faults()
        self.calls: deque[Call] = deque(maxlen=100_000)
        self.delivery = Delivery(world.tenant_id, self.subscriptions, self.settings, self.changed)
        self._state = state
        self._dirty = asyncio.Event()
        meetings = OnlineMeetings(world)
        self.routes = [
            *CallRecords(world, self.settings).routes(),
            *meetings.routes(),
            *AttendanceReports(world, self.settings, meetings).routes(),
            *Subscribing(self.subscriptions, self.settings, self.delivery.resume).routes(),
        ]

    def changed(self) -> None:
        """Has the state saved soon."""
        self._dirty.set()

    async def keep_saved(self) -> None:
        """Saves the state after changes, rarely enough that saving never takes more than a tenth of the time."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            started = time.monotonic()
            self.save()
            await asyncio.sleep(max(SAVE_EVERY, 10 * (time.monotonic() - started)))

    def save(self) -> None:
        """Saves the state now."""
        if self._state is None:
            return
        scratch = self._state.with_name(self._state.name + ".new")
        scratch.write_text(json.dumps(self._snapshot()), encoding="utf-8")
        scratch.replace(self._state)

    def load(self) -> None:
        """Goes on from the state file, if there is one, also with its seed. Raises ValueError for another tenant's."""
        if self._state is None or not self._state.exists():
            return
        state = json.loads(self._state.read_text(encoding="utf-8"))
        if state["tenant"] != self.world.tenant_id:
            raise ValueError(f"{self._state} belongs to another tenant")
        self.world.reseed(state["seed"])
        self.world.counter = state["counter"]
        self.world.denied = set(state["denied"])
        vars(self.settings).update(wire.partial_from_wire(Settings, state["settings"]))
        for meeting in state["meetings"]:
            self.world.put_meeting(wire.from_wire(Meeting, meeting))
        for session in state["sessions"]:
            self.world.put_session(wire.from_wire(Session, session))
        for subscription in state["subscriptions"]:
            self.subscriptions.put(wire.from_wire(Subscription, subscription))
        waiting = [wire.from_wire(Notification, each) for each in state["notifications"]]
        self.delivery.restore(waiting, [(at, call, times) for at, call, times in state["announcements"]])

    def _snapshot(self) -> dict[str, Any]:
        waiting, announcements = self.delivery.pending()
        return {
            "tenant": self.world.tenant_id,
            "seed": self.world.seed,
            "counter": self.world.counter,
            "denied": sorted(self.world.denied),
            "settings": wire.to_wire(self.settings),
            "meetings": [wire.to_wire(each) for each in self.world.meetings.values()],
            "sessions": [wire.to_wire(each) for each in self.world.sessions.values()],
            "subscriptions": [wire.to_wire(each) for each in self.subscriptions.living()],
            "notifications": [wire.to_wire(each) for each in waiting],
            "announcements": announcements,
        }
