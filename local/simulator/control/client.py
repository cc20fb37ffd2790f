"""A client of the control routes, and a simulator for the length of a block."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from local.sign_in.apps import IDENTITY_KEY
from local.sign_in.client import LoginControl
from local.simulator import wire
from local.simulator.calls import Call
from local.simulator.delivery.carriers import GridQueue
from local.simulator.delivery.notifications import DeliveryAttempt
from local.simulator.faults.responses import Fault
from local.simulator.settings import SimulatorSettings
from local.simulator.tenant.orders import EventKind, NewCallEvent, NewEvent, NewMeeting, NewPast, NewSession
from local.stack.certificates import Certificates
from local.stack.identity import Identity

TENANT = "11111111-2222-4333-8444-555555555555"
APP_ID = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"


@dataclass(frozen=True)
class MeetingMade:
    """The identifiers of a new meeting."""

    meeting_id: str
    organizer_id: str
    join_web_url: str
    join_meeting_id: str


@dataclass(frozen=True)
class SessionMade:
    """The ids of a new session; the report exists only if the session has one."""

    call_id: str
    report_id: str


@dataclass(frozen=True)
class EventSessionMade:
    """A session of an event; `meeting_id` is needed to order a call in it."""

    session_id: str
    meeting_id: str
    join_web_url: str
    start: datetime
    end: datetime


@dataclass(frozen=True)
class EventMade:
    """The identifiers of a new webinar or town hall."""

    event_id: str
    kind: EventKind
    organizer_id: str
    sessions: tuple[EventSessionMade, ...]

    @property
    def path(self) -> str:
        """The event's path, as notifications name it."""
        return f"solutions/virtualEvents/{self.kind}s/{self.event_id}"


class Control(LoginControl):
    """The control routes of a simulator.

    A refusal raises requests.HTTPError with the reason.
    """

    def add_meeting(self, order: NewMeeting | None = None) -> MeetingMade:
        """Add a meeting."""
        return wire.from_wire(
            MeetingMade, self._json("POST", "meetings", wire.to_wire(order or NewMeeting()))
        )

    def add_session(self, order: NewSession | None = None) -> SessionMade:
        """Add a session."""
        return wire.from_wire(
            SessionMade, self._json("POST", "sessions", wire.to_wire(order or NewSession()))
        )

    def change_session(self, call_id: str, **fields: object) -> None:
        """Change fields of a session, by their names in JSON: `growAfter=0`."""
        self._json("PUT", f"sessions/{call_id}", fields)

    def add_event(self, order: NewEvent | None = None) -> EventMade:
        """Add a webinar or town hall."""
        made = self._json("POST", "events", wire.to_wire(order or NewEvent()))
        sessions = tuple(wire.from_wire(EventSessionMade, each) for each in made.pop("sessions"))
        return EventMade(made["eventId"], made["kind"], made["organizerId"], sessions)

    def change_event(self, event_id: str, **fields: object) -> None:
        """Change fields of an event, by their names in JSON: `status="canceled"`."""
        self._json("PUT", f"events/{quote(event_id)}", fields)

    def tell(self, order: NewCallEvent) -> None:
        """Send a call event of a meeting to all who watch it."""
        self._send("POST", "call-events", wire.to_wire(order))

    def written(self, order: NewCallEvent, forgery: str | None = None) -> list[dict[str, Any]]:
        """The bodies of a call event, one per subscription; nothing is sent."""
        asked = wire.to_wire(order) | {"send": False, "forgery": forgery}
        bodies: list[dict[str, Any]] = self._json("POST", "call-events", asked)
        return bodies

    def forge(self, kind: str, times: int = 1) -> None:
        """Forge the next POSTs with encrypted items; see `forgeries`."""
        self._send("POST", "forgeries", {"kind": kind, "times": times})

    def clear_forgeries(self) -> None:
        """Remove all forgeries."""
        self._send("DELETE", "forgeries")

    def add_past(self, order: NewPast) -> list[SessionMade]:
        """Add a seeded past of ended meetings."""
        made = self._json("POST", "world", wire.to_wire(order))
        return [wire.from_wire(SessionMade, each) for each in made]

    def deny(self, organizer_id: str, denied: bool = True) -> None:
        """Remove an organizer's application access policy, or grant it to every app."""
        self._send("POST", f"organizers/{organizer_id}", {"denied": denied})

    def delete_user(self, organizer_id: str) -> None:
        """Deletes a user: Graph does not know him any more."""
        self._send("POST", f"organizers/{organizer_id}", {"deleted": True})

    def allow(self, organizer_id: str, *apps: str) -> None:
        """Grant an organizer's application access policy to these applications alone."""
        self._send("POST", f"organizers/{organizer_id}", {"denied": False, "apps": list(apps)})

    def allow_everyone(self, *apps: str) -> None:
        """Grant the tenant's policy to these applications, or without any to all."""
        self._send("PUT", "policy", {"apps": list(apps) or None})

    def change_settings(self, **fields: object) -> SimulatorSettings:
        """Change settings by JSON name, as in `recordPageSize=2`, and return all."""
        return wire.from_wire(SimulatorSettings, self._json("PUT", "settings", fields))

    def add_fault(self, fault: Fault) -> None:
        """Add a fault."""
        self._send("POST", "faults", wire.to_wire(fault))

    def faults(self) -> list[tuple[Fault, int]]:
        """The unused faults, and how often each has struck."""
        return [
            (wire.from_wire(Fault, each["fault"]), each["struck"]) for each in self._json("GET", "faults")
        ]

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._send("DELETE", "faults")

    def calls(self) -> list[Call]:
        """The calls to the Graph side so far."""
        return [wire.from_wire(Call, each) for each in self._json("GET", "calls")]

    def clear_calls(self) -> None:
        """Forget the calls so far."""
        self._send("DELETE", "calls")

    def deliveries(self) -> list[DeliveryAttempt]:
        """Every attempt to deliver notifications so far."""
        return [wire.from_wire(DeliveryAttempt, each) for each in self._json("GET", "deliveries")]

    def true_reports(self) -> dict[str, Any]:
        """Every report that Graph returns or will return, complete, by id."""
        reports: dict[str, Any] = self._json("GET", "truth/reports")
        return reports

    def true_report(self, report_id: str) -> bytes:
        """One report, complete, as JSON text."""
        return self._send("GET", f"truth/reports/{report_id}").content

    def subscriptions(self) -> list[dict[str, Any]]:
        """All living subscriptions, including properties that Graph never shows."""
        found: list[dict[str, Any]] = self._json("GET", "subscriptions")
        return found

    def change_subscription(self, subscription_id: str, **fields: object) -> None:
        """Change fields of a subscription, by the names that `subscriptions` shows."""
        self._json("PUT", f"subscriptions/{subscription_id}", fields)

    def remove_subscription(self, subscription_id: str) -> None:
        """Remove a subscription silently."""
        self._send("DELETE", f"subscriptions/{subscription_id}")

    def send_lifecycle(self, subscription_id: str, event: str = "reauthorizationRequired") -> None:
        """Send a lifecycle event; one that asks for reauthorization pauses delivery."""
        self._send("POST", f"subscriptions/{subscription_id}/lifecycle", {"event": event})

    def connect_topic(self, queue: GridQueue) -> None:
        """Activate the partner topic, and lead its events to a queue."""
        self._send("PUT", "grid-queue", wire.to_wire(queue))


@contextmanager
def running(
    state: Path | None = None,
    *,
    tenant: str = TENANT,
    app_id: str = APP_ID,
    seed: int = 1,
    certificates: Certificates | None = None,
    identity: Identity | None = None,
    cloud: str = "global",
) -> Iterator[Control]:
    """A simulator for the length of the block, or of this process.

    `certificates` has its login endpoint speak HTTPS; `identity` is the managed identity whose tokens it knows.
    """
    command = [sys.executable, "-m", "local.simulator", "--exit-with-parent"]
    command += ["--tenant", tenant, "--app-id", app_id, "--seed", str(seed), "--cloud", cloud]
    if state is not None:
        command += ["--state", str(state.resolve())]
    if certificates is not None:
        command += ["--certificate", str(certificates.server)]
    env = dict(os.environ) | ({IDENTITY_KEY: identity.key.hex()} if identity else {})
    root = Path(__file__).parents[3]
    with subprocess.Popen(  # noqa: S603 - our own program
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root, env=env
    ) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - PIPE was asked for
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("the simulator ended before it answered")
            said = json.loads(line)
            yield Control(said["url"], said["login"], certificates.roots if certificates else None)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
