"""Scenarios of a day of a large tenant."""

from __future__ import annotations

import bisect
import json
import math
from dataclasses import dataclass, field
from functools import partial
from random import Random

from benchmarks.scale.app import App, Deployment, virtual
from benchmarks.scale.assumptions import BEGIN, HOUR, Assumptions
from benchmarks.scale.clock import Clock
from benchmarks.scale.graph import Held, Trouble, moment

HALF_HOUR = 1_800.0
FIRST_END, LAST_END = 7 * HOUR, 19 * HOUR  # of the working day, in which most meetings end
AT_WORK = 0.9  # of all meetings
LATE_BY = 120.0  # seconds after the full or half hour; the mean, exponential
SWEPT_AT = 600.0  # seconds after each full hour
SAMPLED_EVERY = 60.0


@dataclass(frozen=True)
class Scenario:
    """What is simulated; `hours` from the midnight at which the day begins."""

    name: str
    deployment: Deployment = field(default_factory=Deployment)
    trouble: Trouble = field(default_factory=Trouble)
    meetings: int = 1_000_000
    hours: float = 54.0
    seed: int = 1


@dataclass
class Sample:
    """The state at a moment, for the plot."""

    at: float
    waiting: int
    messages: int
    instances: int
    stored: int
    possible: int  # reports that Graph has, of meetings that ended


@dataclass(frozen=True)
class Look:
    """A finished scan of the sweep, and its duration."""

    name: str
    began: float
    took: float
    records: int


def day_of_meetings(scenario: Scenario, assumed: Assumptions) -> Held:
    """The meetings of one day, most of them in working hours.

    They end about full and half hours.
    """
    draw = Random(scenario.seed)
    slots = [number * HALF_HOUR for number in range(1, 48)]
    at_work = [slot for slot in slots if FIRST_END < slot <= LAST_END]
    ends = sorted(
        draw.choice(at_work if draw.random() < AT_WORK else slots) + draw.expovariate(1 / LATE_BY)
        for _ in range(scenario.meetings)
    )

    def later(end: float, median: float, most: float) -> float:
        return end + min(median * math.exp(draw.gauss(0, assumed.delay_spread)), most)

    return Held(
        ends,
        [later(end, assumed.announced_after, assumed.announced_at_most) for end in ends],
        [later(end, assumed.ready_after, assumed.ready_at_most) for end in ends],
    )


def _invention(trouble: Trouble) -> list[float]:
    """When calls that do not exist are announced."""
    if trouble.leaked is None:
        return []
    begin, end = trouble.leaked
    return [begin + number / trouble.invented for number in range(int((end - begin) * trouble.invented))]


class Day:
    """One scenario, run; what came of it."""

    def __init__(self, scenario: Scenario, assumed: Assumptions) -> None:
        self.scenario, self.assumed = scenario, assumed
        self.held = day_of_meetings(scenario, assumed)
        self.clock = Clock(BEGIN)
        self.app = App(self.clock, self.held, scenario.trouble, scenario.deployment, assumed, scenario.seed)
        self.samples: list[Sample] = []
        self.looks: list[Look] = []
        self.unannounced: set[int] = set()
        self._ready = sorted(self.held.ready)

    def run(self) -> None:
        """From midnight on. Deterministic."""
        draw, clock = Random(self.scenario.seed + 1), self.clock
        with virtual(clock):
            for number, announced in enumerate(self.held.readable):
                if draw.random() < self.assumed.lost:
                    self.unannounced.add(number)
                else:
                    clock.at(announced, partial(self.app.post, number))
                    if draw.random() < self.assumed.repeated:
                        clock.at(announced + draw.expovariate(1 / HOUR), partial(self.app.post, number))
            for invented, at in enumerate(_invention(self.scenario.trouble)):
                clock.at(at, partial(self.app.post, self.scenario.meetings + invented))
            for hour in range(math.ceil(self.scenario.hours)):
                clock.at(hour * HOUR + SWEPT_AT, self.app.run_sweep)
            for minute in range(int(self.scenario.hours * HOUR / SAMPLED_EVERY)):
                clock.at((minute + 1) * SAMPLED_EVERY, self._sample)
            clock.run(self.scenario.hours * HOUR)

    def _sample(self) -> None:
        app, now = self.app, self.clock.now
        signals = app.queues["meeting-signals"]
        stored = sum(len(app.container.folder(folder)) for folder in app.container.folders("reports/"))
        possible = bisect.bisect_right(self._ready, now)
        self.samples.append(
            Sample(now, signals.waiting, signals.length, app.archive.instances, stored, possible)
        )
        for name in ("recent", "full"):
            self._note(name)

    def _note(self, name: str) -> None:
        """Record a scan that has finished since."""
        blob = self.app.state.folder("sweep").get(f"sweep/{name}.json")
        told = json.loads(blob.body) if blob else {}
        if told.get("finished"):
            began, ended = moment(told["started"]), moment(told["finished"])
            look = Look(name, began, ended - began, told.get("records", 0))
            if look not in self.looks:
                self.looks.append(look)
