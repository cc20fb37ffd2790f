"""The model compared with the local stack: the same notifications, sent to both.

One functions host on both sides, which answers, archives and has the same budget of calls; Graph takes the same time.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import requests

from benchmarks.scale.app import App, Deployment, virtual
from benchmarks.scale.assumptions import BEGIN, Assumptions
from benchmarks.scale.clock import Clock
from benchmarks.scale.graph import MEETING, RECORD, REPORT, REPORTS, Held, Trouble, call_id
from benchmarks.scale.results import span
from local.simulator.control.client import Control
from local.simulator.faults.responses import Fault
from local.simulator.tenant.orders import NewMeeting, NewSession
from local.stack import compose
from local.stack.compose import Stack
from local.stack.program import Log
from tests.support import posts
from tests.support.measured import Times, percentiles

NEVER = "0 0 0 29 2 *"
LATENCY = 0.2  # seconds that Graph takes for each call, on both sides
SLOW = Fault("/v1.0/", action="delay", seconds=LATENCY, times=-1)
DOWN = replace(SLOW, status=503)
FIRST_DELAY = 5
AGO = 600.0  # seconds before the first notification at which all meetings had ended
GIVE_UP_AFTER = 300.0
HOST = replace(
    Assumptions(),
    latency=LATENCY,
    latency_spread=0.0,
    storage_time=0.008,
    starts_in=0.0,
    scaled_every=0.1,
    leaves_after=3_600.0,
)


@dataclass(frozen=True)
class Trace:
    """Notifications, one every `apart` seconds, to an app with `rate` calls a second.

    Graph may be down.
    """

    name: str
    notifications: int
    apart: float
    rate: float
    down: tuple[float, float] | None = None  # seconds after the first notification


TRACES = (
    Trace("200 notifications in 40 s, all calls in budget", 200, 0.2, 30.0),
    Trace("200 notifications in 10 s, 20 calls a second", 200, 0.05, 20.0),
    Trace("100 notifications in 20 s, Graph down for 20 s", 100, 0.2, 30.0, (5.0, 25.0)),
)


@dataclass(frozen=True)
class Run:
    """One side: times from notification to outcome, and answered calls by operation."""

    times: Times
    calls: Mapping[str, int]


@dataclass(frozen=True)
class Compared:
    """A trace, measured and modelled."""

    trace: Trace
    measured: Run
    modelled: Run


def run(traces: Sequence[Trace] = TRACES) -> list[Compared]:
    """Measure and simulate each."""
    return [Compared(trace, measured(trace), modelled(trace)) for trace in traces]


def measured(trace: Trace) -> Run:
    """On the local stack. Raises TimeoutError when it does not end."""
    settings = {
        "MAINTAIN_SCHEDULE": NEVER,
        "SWEEP_SCHEDULE": NEVER,
        "CONFIRM_AFTER": "0",
        "GRAPH_RATE": str(trace.rate),
        "RETRY_FIRST_DELAY": str(FIRST_DELAY),
    }
    with compose.up(settings=settings, log=Log(os.open(os.devnull, os.O_WRONLY))) as running:
        control = Control(running.graph)
        ids = [_ended(control) for _ in range(trace.notifications)]
        _post(running, _ended(control))  # the host is warm, as the modelled one is
        _outcomes(running, 1)
        control.clear_calls()
        control.add_fault(SLOW)
        posted = _post_all(running, control, trace, ids)
        outcomes = _outcomes(running, trace.notifications + 1)
        well = [call for call in control.calls() if call.status == requests.codes.ok]
        calls = {kind: sum(each(call.path) for call in well) for kind, each in KINDS.items()}
    settled = [outcomes[f"cr-{each}"] - posted[each] for each in ids]
    return Run(percentiles(settled), calls)


KINDS: dict[str, Callable[[str], bool]] = {
    "call records": lambda path: "/callRecords/" in path,
    "meetings": lambda path: path.partition("?")[0].endswith("/onlineMeetings"),
    "lists of reports": lambda path: path.partition("?")[0].endswith("/attendanceReports"),
    "reports": lambda path: "/attendanceReports/" in path,
}


def _ended(control: Control) -> str:
    end = datetime.now(UTC) - timedelta(seconds=AGO)
    meeting = control.add_meeting(NewMeeting("recurring"))
    order = NewSession(meeting.meeting_id, start=end - timedelta(minutes=30), end=end, announce=False)
    return control.add_session(order).call_id


def _post_all(running: Stack, control: Control, trace: Trace, ids: Sequence[str]) -> dict[str, float]:
    """Announce them at their times, and return when each was sent.

    Graph is down in between, when the trace says so.
    """
    begin, down = time.time(), trace.down
    due: list[tuple[float, Callable[[], object]]] = []
    posted: dict[str, float] = {}
    for number, each in enumerate(ids):
        due.append((number * trace.apart, partial(_note, posted, running, each)))
    if down:
        due += [(down[0], partial(_become, control, DOWN)), (down[1], partial(_become, control, SLOW))]
    for moment, act in sorted(due, key=lambda each: each[0]):
        time.sleep(max(0.0, begin + moment - time.time()))
        act()
    return posted


def _note(posted: dict[str, float], running: Stack, each: str) -> None:
    posted[each] = time.time()
    _post(running, each)


def _become(control: Control, fault: Fault) -> None:
    """From now on only this fault."""
    control.clear_faults()
    control.add_fault(fault)


def _post(running: Stack, each: str) -> None:
    url = f"{running.functions.url}/api/notifications"
    requests.post(
        url, json={"value": [posts.notification(each, running.settings)]}, timeout=30
    ).raise_for_status()


def _outcomes(running: Stack, count: int) -> dict[str, float]:
    """When each signal was settled, once so many are stored."""
    container = running.blob_service().get_container_client(running.container)
    deadline = time.monotonic() + GIVE_UP_AFTER
    while time.monotonic() < deadline:
        blobs = list(container.list_blobs(name_starts_with="outcomes/", include=["metadata"]))
        if sum((blob.metadata or {}).get("outcome") == "stored" for blob in blobs) >= count:
            bodies = [json.loads(container.download_blob(blob.name).readall()) for blob in blobs]
            return {each["signalId"]: datetime.fromisoformat(each["settled"]).timestamp() for each in bodies}
        time.sleep(1)
    raise TimeoutError(f"{count} outcomes did not come")


def modelled(trace: Trace) -> Run:
    """The model of that host."""
    clock = Clock(BEGIN + timedelta(seconds=AGO))
    ended = [0.0] * trace.notifications
    environ = ("CONFIRM_AFTER", "0"), ("RETRY_FIRST_DELAY", str(FIRST_DELAY))
    deployment = Deployment(instances=1, graph_rate=trace.rate, environ=environ)
    app = App(
        clock, Held([-AGO] * len(ended), ended, ended), Trouble(down=trace.down), deployment, HOST, seed=1
    )
    with virtual(clock):
        for number in range(trace.notifications):
            clock.at(number * trace.apart, partial(app.post, number))
        clock.run(GIVE_UP_AFTER)
    settled = {each["signalId"]: datetime.fromisoformat(each["settled"]) for each in app.outcomes()}
    since = [
        (settled[f"cr-{call_id(number)}"] - clock.begin).total_seconds() - number * trace.apart
        for number in range(trace.notifications)
    ]
    calls = [app.tenant.answered[kind] for kind in (RECORD, MEETING, REPORTS, REPORT)]
    return Run(percentiles(since), dict(zip(KINDS, calls, strict=True)))


def rows(compared: Sequence[Compared]) -> list[tuple[str, ...]]:
    """A table."""
    found: list[tuple[str, ...]] = []
    for each in compared:
        for what in ("median", "p99", "last"):
            ours, theirs = getattr(each.measured.times, what), getattr(each.modelled.times, what)
            found.append(
                (
                    each.trace.name,
                    f"notification to outcome: {what}",
                    span(ours),
                    span(theirs),
                    f"{theirs / ours:.2f}",
                )
            )
        ours, theirs = sum(each.measured.calls.values()), sum(each.modelled.calls.values())
        found.append(
            (each.trace.name, "calls that Graph answered", f"{ours:,}", f"{theirs:,}", f"{theirs / ours:.2f}")
        )
    return found
