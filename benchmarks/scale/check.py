"""The model compared with the local stack: the same notifications, sent to both.

One functions host on both sides, which answers, archives and has the same budget of calls; Graph takes the same time.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

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
AFTER_END = 10.0  # seconds after its end that a call is announced
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
    """One side: times until the outcome, and answered calls by operation."""

    times: Times  # from the notification on
    since_end: Times
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
        posts.register(running)
        _post(running, _ended(control))  # the host is warm, as the modelled one is
        _outcomes(running, 1)
        control.clear_calls()
        control.add_fault(SLOW)
        posted = _post_all(running, control, trace)
        outcomes = _outcomes(running, trace.notifications + 1)
        well = [call for call in control.calls() if call.status == requests.codes.ok]
        calls = {kind: sum(each(call.path) for call in well) for kind, each in KINDS.items()}
    return _run(posted, outcomes, calls)


def _run(posted: Mapping[str, float], outcomes: Iterable[Mapping[str, Any]], calls: Mapping[str, int]) -> Run:
    """The times of the signals that were posted, in seconds since 1970 by signal id."""
    since_posted, since_end = list[float](), list[float]()
    for each in outcomes:
        if each["signalId"] in posted:
            end, settled = (datetime.fromisoformat(each[name]).timestamp() for name in ("end", "settled"))
            since_posted.append(settled - posted[each["signalId"]])
            since_end.append(settled - end)
    return Run(percentiles(since_posted), percentiles(since_end), calls)


KINDS: dict[str, Callable[[str], bool]] = {
    "call records": lambda path: "/callRecords/" in path,
    "meetings": lambda path: path.partition("?")[0].endswith("/onlineMeetings"),
    "lists of reports": lambda path: path.partition("?")[0].endswith("/attendanceReports"),
    "reports": lambda path: "/attendanceReports/" in path,
}


def _ended(control: Control) -> str:
    end = datetime.now(UTC) - timedelta(seconds=AFTER_END)
    meeting = control.add_meeting(NewMeeting("recurring"))
    order = NewSession(meeting.meeting_id, start=end - timedelta(minutes=30), end=end, announce=False)
    return control.add_session(order).call_id


def _post_all(running: Stack, control: Control, trace: Trace) -> dict[str, float]:
    """Have calls end, and announce them at their times.

    Return when each signal's notification was sent. Graph is down in between, when the trace says so.
    """
    begin, down = time.time(), trace.down
    posted: dict[str, float] = {}
    due: list[tuple[float, Callable[[], object]]] = [
        (number * trace.apart, partial(_note, posted, running, control))
        for number in range(trace.notifications)
    ]
    if down:
        due += [(down[0], partial(_become, control, DOWN)), (down[1], partial(_become, control, SLOW))]
    for moment, act in sorted(due, key=lambda each: each[0]):
        time.sleep(max(0.0, begin + moment - time.time()))
        act()
    return posted


def _note(posted: dict[str, float], running: Stack, control: Control) -> None:
    each = _ended(control)
    posted[f"cr-{each}"] = time.time()
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


def _outcomes(running: Stack, count: int) -> list[dict[str, Any]]:
    """The outcomes, once so many are stored."""
    container = running.blob_service().get_container_client(running.container)
    deadline = time.monotonic() + GIVE_UP_AFTER
    while time.monotonic() < deadline:
        blobs = list(container.list_blobs(name_starts_with="outcomes/", include=["metadata"]))
        if sum((blob.metadata or {}).get("outcome") == "stored" for blob in blobs) >= count:
            return [json.loads(container.download_blob(blob.name).readall()) for blob in blobs]
        time.sleep(1)
    raise TimeoutError(f"{count} outcomes did not come")


def modelled(trace: Trace) -> Run:
    """The model of that host."""
    clock = Clock(BEGIN)
    announced = [AFTER_END + number * trace.apart for number in range(trace.notifications)]
    ends = [each - AFTER_END for each in announced]
    down = (trace.down[0] + AFTER_END, trace.down[1] + AFTER_END) if trace.down else None
    environ = ("CONFIRM_AFTER", "0"), ("RETRY_FIRST_DELAY", str(FIRST_DELAY))
    deployment = Deployment(instances=1, graph_rate=trace.rate, environ=environ)
    app = App(clock, Held(ends, announced, ends), Trouble(down=down), deployment, HOST, seed=1)
    with virtual(clock):
        for number, at in enumerate(announced):
            clock.at(at, partial(app.post, number))
        clock.run(GIVE_UP_AFTER)
    posted = {f"cr-{call_id(number)}": BEGIN.timestamp() + at for number, at in enumerate(announced)}
    calls = [app.tenant.answered[kind] for kind in (RECORD, MEETING, REPORTS, REPORT)]
    return _run(posted, app.outcomes(), dict(zip(KINDS, calls, strict=True)))


def rows(compared: Sequence[Compared]) -> list[tuple[str, ...]]:
    """A table."""
    found: list[tuple[str, ...]] = []
    for each in compared:
        spans = {
            "notification to outcome": (each.measured.times, each.modelled.times),
            f"end to outcome, announced {AFTER_END:g} s after it": (
                each.measured.since_end,
                each.modelled.since_end,
            ),
        }
        for (span_of, sides), what in itertools.product(spans.items(), ("median", "p99", "last")):
            ours, theirs = (getattr(side, what) for side in sides)
            found.append(
                (each.trace.name, f"{span_of}: {what}", span(ours), span(theirs), f"{theirs / ours:.2f}")
            )
        ours, theirs = sum(each.measured.calls.values()), sum(each.modelled.calls.values())
        found.append(
            (each.trace.name, "calls that Graph answered", f"{ours:,}", f"{theirs:,}", f"{theirs / ours:.2f}")
        )
    return found
