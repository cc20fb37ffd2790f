"""The results of a simulated day, in figures and plots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.scale.assumptions import BEGIN, HOUR
from benchmarks.scale.azure import Bill
from benchmarks.scale.graph import LIST, MEETING, RECORD, REPORT, REPORTS, series
from benchmarks.scale.scenarios import Day, Look, Sample, Scenario
from tests.support.measured import Times, new_figure, percentiles

# US dollars, as in docs/cost.md.
GB_SECOND, EXECUTION = 0.000026, 0.0000004
OPERATION, WRITE, READ = 0.0000004, 0.000005, 0.0000004
GIGABYTES = 2.0  # of an instance
COLORS = {RECORD: "#0072B2", MEETING: "#009E73", REPORTS: "#CC79A7", REPORT: "#E69F00", LIST: "#D55E00"}
LOG_OF_MEETING = 0.012 / 1_000 * 2.3


@dataclass(frozen=True)
class Result:
    """The result of a scenario.

    `calls`, `refused` and `most` (in one window of the limit) by operation.
    """

    scenario: Scenario
    stored: int
    outcomes: Mapping[str, int]
    since_announced: Times
    since_possible: Times  # from the later one of notification and report on
    since_end: Times  # of announced ones
    unannounced: Times  # from their end on
    last_stored: float
    answered: Times  # a notification
    calls: Mapping[str, int]
    refused: Mapping[str, int]
    most: Mapping[str, int]
    limits: Mapping[str, int]
    looks: Sequence[Look]
    instances: int
    webhooks: int
    samples: Sequence[Sample]
    series: Mapping[str, Counter[int]]
    cost: float
    invented: int = 0  # calls to Graph for call records that do not exist
    unconfirmed: int = 0  # outcomes of such calls

    @property
    def pending(self) -> int:
        """Signals that were under way at the end."""
        return self.outcomes.get("pending", 0)

    @property
    def calls_of_report(self) -> float:
        """Calls to Graph for each stored report, the sweep's lists left out."""
        calls = sum(count for kind, count in self.calls.items() if kind != LIST) - self.invented
        return calls / max(1, self.stored)

    @property
    def full_look(self) -> Look | None:
        """The full scan with most calls."""
        return self._look("full")

    @property
    def recent_look(self) -> Look | None:
        """The scan of the last hours with most calls."""
        return self._look("recent")

    def _look(self, name: str) -> Look | None:
        found = (each for each in self.looks if each.name == name)
        return max(found, key=lambda each: (each.records, each.took), default=None)


def result(day: Day) -> Result:
    """The figures of a day that was run."""
    held, app = day.held, day.app
    announced, possible, ended, unannounced = (list[float]() for _ in range(4))
    last = 0.0
    for name, moment in _stored(day):
        number = int(name.rpartition("-")[2].removesuffix(".json"))
        last = max(last, moment)
        if number in day.unannounced:
            unannounced.append(moment - held.ends[number])
        else:
            ended.append(moment - held.ends[number])
            announced.append(moment - held.readable[number])
            possible.append(moment - max(held.readable[number], held.ready[number]))
    limits, outcomes = app.tenant.limits, list(app.outcomes())
    real = [each for each in outcomes if int(each["signalId"].rpartition("-")[2]) < len(held.ends)]
    return Result(
        scenario=day.scenario,
        stored=len(announced) + len(unannounced),
        outcomes=Counter(each["outcome"] for each in real),
        since_announced=percentiles(announced),
        since_possible=percentiles(possible),
        since_end=percentiles(ended),
        unannounced=percentiles(unannounced),
        last_stored=last,
        answered=percentiles(app.webhook.times),
        calls=app.tenant.calls,
        refused=app.tenant.refused,
        most={kind: limit.most for kind, limit in limits.items()},
        limits={kind: limit.requests for kind, limit in limits.items()},
        looks=day.looks,
        instances=app.archive.most_instances,
        webhooks=app.webhook.most_instances,
        samples=day.samples,
        series=app.tenant.series,
        cost=_cost(day),
        invented=app.tenant.invented,
        unconfirmed=len(outcomes) - len(real),
    )


def _stored(day: Day) -> Iterator[tuple[str, float]]:
    container = day.app.container
    for folder in container.folders("reports/"):
        for name, blob in container.folder(folder).items():
            yield name, (blob.creation_time - BEGIN).total_seconds()


def _cost(day: Day) -> float:
    """Of the whole scenario, without what is paid for an app that does nothing."""
    app = day.app
    bills: list[Bill] = [app.archive.bill, app.upkeep.bill, app.bury.bill, app.webhook.bill]
    work = sum(bill.seconds for bill in bills) * GIGABYTES * GB_SECOND
    executions = sum(bill.executions for bill in bills) * EXECUTION
    queues = sum(queue.operations for queue in app.queues.values()) * OPERATION
    blobs = (app.requests["write"] + app.requests["list"]) * WRITE + app.requests["read"] * READ
    return work + executions + queues + blobs + day.scenario.meetings * LOG_OF_MEETING


def rows(results: Sequence[Result]) -> list[tuple[str, ...]]:
    """A table: one row a figure, one column a scenario, then the goal."""
    goals = {
        "signals still pending at the end": "0",
        "  for 1,000 meetings": "≤ 0.25",
    }
    figures: list[tuple[str, list[str]]] = [
        ("meetings", [f"{each.scenario.meetings:,}" for each in results]),
        ("reports stored", [f"{each.stored:,}" for each in results]),
        ("signals still pending at the end", [f"{each.pending:,}" for each in results]),
        ("notification to 202: median, p99, longest", [_ms(each.answered) for each in results]),
        ("end to archive: median", [span(each.since_end.median) for each in results]),
        ("end to archive: p99", [span(each.since_end.p99) for each in results]),
        ("end to archive: last", [span(each.since_end.last) for each in results]),
        ("notification to archive: median", [span(each.since_announced.median) for each in results]),
        ("notification to archive: p99", [span(each.since_announced.p99) for each in results]),
        ("notification to archive: last", [span(each.since_announced.last) for each in results]),
        ("of it the app's own share: median", [span(each.since_possible.median) for each in results]),
        ("of it the app's own share: p99", [span(each.since_possible.p99) for each in results]),
        ("of it the app's own share: last", [span(each.since_possible.last) for each in results]),
        ("never announced, end to archive: median", [span(each.unannounced.median) for each in results]),
        ("never announced, end to archive: last", [span(each.unannounced.last) for each in results]),
        ("last report stored, hours after midnight", [f"{each.last_stored / HOUR:.1f}" for each in results]),
        ("most messages that waited", [f"{max(one.waiting for one in each.samples):,}" for each in results]),
        (
            "most messages, delayed ones too",
            [f"{max(one.messages for one in each.samples):,}" for each in results],
        ),
        ("most instances of the archive", [f"{each.instances}" for each in results]),
        ("most instances of the webhook", [f"{each.webhooks}" for each in results]),
        ("calls to Graph for a report", [f"{each.calls_of_report:.2f}" for each in results]),
        ("calls that Graph refused", [f"{sum(each.refused.values()):,}" for each in results]),
        ("calls to Graph for invented call records", [f"{each.invented:,}" for each in results]),
        ("outcomes of invented call records", [f"{each.unconfirmed:,}" for each in results]),
        ("full look that saw most calls", [_look(each.full_look) for each in results]),
        ("look at the last hours that saw most calls", [_look(each.recent_look) for each in results]),
        ("cost in US dollars", [f"{each.cost:,.0f}" for each in results]),
        ("  for 1,000 meetings", [f"{each.cost / each.scenario.meetings * 1000:.2f}" for each in results]),
    ]
    return [(what, *values, goals.get(what, "")) for what, values in figures]


def limit_rows(each: Result) -> list[tuple[str, str, str, str]]:
    """Calls, refusals, and how near the limit they came, by operation."""
    return [
        (
            kind,
            f"{each.calls.get(kind, 0):,}",
            f"{each.refused.get(kind, 0):,}",
            f"{each.most[kind]:,} of {each.limits[kind]:,}",
        )
        for kind in (RECORD, MEETING, REPORTS, REPORT, LIST)
    ]


def span(seconds: float) -> str:
    """A time in the unit that suits it."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 2 * HOUR else f"{seconds / HOUR:.1f} h"


def _ms(times: Times) -> str:
    return ", ".join(f"{each * 1000:,.0f} ms" for each in (times.median, times.p99, times.last))


def _look(look: Look | None) -> str:
    return f"{span(look.took)}, {look.records:,} calls" if look else "none ended"


def figure(each: Result) -> Any:
    """The day as a plot: reports, queue, calls, instances."""
    made = new_figure(11, 9)
    top, queue, calls, instances = made.subplots(4, 1, sharex=True)
    hours = [sample.at / HOUR for sample in each.samples]
    top.plot(
        hours, [sample.possible for sample in each.samples], label="reports that there are", color="#999999"
    )
    top.plot(hours, [sample.stored for sample in each.samples], label="reports stored", color="#0072B2")
    queue.plot(
        hours, [sample.waiting for sample in each.samples], label="messages that wait", color="#D55E00"
    )
    queue.plot(
        hours, [sample.messages for sample in each.samples], label="delayed ones too", color="#E69F00", lw=0.8
    )
    for kind, color in COLORS.items():
        points = list(series(each.series[kind])) if each.series[kind] else []
        calls.plot([at for at, _ in points], [count for _, count in points], label=kind, color=color, lw=0.8)
    for kind, seconds in ((RECORD, 20), (LIST, 20)):
        limit = each.limits[kind] / seconds
        calls.axhline(limit, color=COLORS[kind], ls=":", lw=0.8, label=f"limit of {kind}")
    instances.plot(
        hours,
        [sample.instances for sample in each.samples],
        label="instances of the archive",
        color="#009E73",
    )
    for axes, title in zip(
        (top, queue, calls, instances), ("Reports", "Queue", "Calls a second", "Instances"), strict=True
    ):
        axes.set_ylabel(title)
        axes.set_ylim(bottom=0)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        axes.yaxis.set_major_formatter("{x:,.0f}")
        _mark(axes, each.scenario)
    instances.set_xlabel("hours after midnight")
    top.set_title(each.scenario.name)
    return made


def _mark(axes: Any, scenario: Scenario) -> None:
    trouble = scenario.trouble
    for begin, end in filter(None, (trouble.down, trouble.scarce, trouble.leaked)):
        axes.axvspan(begin / HOUR, end / HOUR, color="#D55E00", alpha=0.1, lw=0)
