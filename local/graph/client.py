"""A client of the control routes, for tests and the demo, and a way to run a simulator for the length of a block."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from local.graph import wire
from local.graph.calls import Call
from local.graph.faults import Fault
from local.graph.notifications import Attempt
from local.graph.orders import NewMeeting, NewPast, NewSession
from local.graph.settings import Settings

TENANT = "11111111-2222-4333-8444-555555555555"
APP_ID = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
SECONDS = 30.0


@dataclass(frozen=True)
class MeetingMade:
    """The identifiers of a new meeting."""

    meeting_id: str
    organizer_id: str
    join_web_url: str
    join_meeting_id: str


@dataclass(frozen=True)
class SessionMade:
    """The identifiers of a new session; a report by that id exists when the session has one."""

    call_id: str
    report_id: str


class Control:
    """The control routes of the simulator at `url`. A refusal raises requests.HTTPError with the reason."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def add_meeting(self, order: NewMeeting | None = None) -> MeetingMade:
        """A new meeting."""
        return wire.from_wire(
            MeetingMade, self._json("POST", "meetings", wire.to_wire(order or NewMeeting()))
        )

    def add_session(self, order: NewSession | None = None) -> SessionMade:
        """A new session."""
        return wire.from_wire(
            SessionMade, self._json("POST", "sessions", wire.to_wire(order or NewSession()))
        )

    def change_session(self, call_id: str, **fields: object) -> None:
        """Changes fields of a session, by their names in JSON: `growAfter=0`."""
        self._json("PUT", f"sessions/{call_id}", fields)

    def add_past(self, order: NewPast) -> list[SessionMade]:
        """A seeded past of ended meetings."""
        made = self._json("POST", "world", wire.to_wire(order))
        return [wire.from_wire(SessionMade, each) for each in made]

    def deny(self, organizer_id: str, denied: bool = True) -> None:
        """Takes the application access policy of an organizer away, or grants it."""
        self._send("POST", f"organizers/{organizer_id}", {"denied": denied})

    def change_settings(self, **fields: object) -> Settings:
        """Changes settings, by their names in JSON: `recordPageSize=2`; returns all."""
        return wire.from_wire(Settings, self._json("PUT", "settings", fields))

    def add_fault(self, fault: Fault) -> None:
        """A fault to come."""
        self._send("POST", "faults", wire.to_wire(fault))

    def clear_faults(self) -> None:
        """No more faults."""
        self._send("DELETE", "faults")

    def calls(self) -> list[Call]:
        """The calls to the Graph side so far."""
        return [wire.from_wire(Call, each) for each in self._json("GET", "calls")]

    def clear_calls(self) -> None:
        """Forgets the calls so far."""
        self._send("DELETE", "calls")

    def deliveries(self) -> list[Attempt]:
        """Every attempt to deliver notifications so far."""
        return [wire.from_wire(Attempt, each) for each in self._json("GET", "deliveries")]

    def true_reports(self) -> dict[str, Any]:
        """Every report that Graph gives or will give, complete, by id."""
        reports: dict[str, Any] = self._json("GET", "truth/reports")
        return reports

    def true_report(self, report_id: str) -> bytes:
        """One report, complete, as JSON text."""
        return self._send("GET", f"truth/reports/{report_id}").content

    def subscriptions(self) -> list[dict[str, Any]]:
        """All living subscriptions, with what Graph never shows."""
        found: list[dict[str, Any]] = self._json("GET", "subscriptions")
        return found

    def change_subscription(self, subscription_id: str, **fields: object) -> None:
        """Changes fields of a subscription, by the names that `subscriptions` shows."""
        self._json("PUT", f"subscriptions/{subscription_id}", fields)

    def remove_subscription(self, subscription_id: str) -> None:
        """Has a subscription vanish silently."""
        self._send("DELETE", f"subscriptions/{subscription_id}")

    def send_lifecycle(self, subscription_id: str, event: str = "reauthorizationRequired") -> None:
        """Sends a lifecycle event; one that asks for reauthorization pauses delivery."""
        self._send("POST", f"subscriptions/{subscription_id}/lifecycle", {"event": event})

    def _json(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        return self._send(method, path, body).json()

    def _send(self, method: str, path: str, body: Mapping[str, object] | None = None) -> requests.Response:
        response = requests.request(method, f"{self.url}/_control/{path}", json=body, timeout=SECONDS)
        if not response.ok:
            raise requests.HTTPError(f"{response.status_code}: {response.text}", response=response)
        return response


@contextmanager
def running(
    state: Path | None = None, *, tenant: str = TENANT, app_id: str = APP_ID, seed: int = 1
) -> Iterator[Control]:
    """A simulator of its own for the length of the block; it ends with this process at the latest."""
    command = [sys.executable, "-m", "local.graph", "--exit-with-parent"]
    command += ["--tenant", tenant, "--app-id", app_id, "--seed", str(seed)]
    if state is not None:
        command += ["--state", str(state.resolve())]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root) as process:  # noqa: S603 - our own program
        try:
            assert process.stdout is not None  # noqa: S101 - PIPE was asked for
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("the simulator ended before it answered")
            yield Control(json.loads(line)["url"])
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
