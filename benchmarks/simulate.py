"""A day of a million meetings in virtual time.

The product's own code runs on a modelled Graph and a modelled Azure.

Four days: an ordinary one, one with an outage of Graph, one on which Graph grants a quarter of its limits, and one on
which somebody who knows the client state invents calls for an hour.
The model is then held against the real local stack: the same notifications, measured and modelled.
"""

import argparse
import gc
import os
import pickle
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from benchmarks.scale import check, results
from benchmarks.scale.app import Deployment
from benchmarks.scale.assumptions import HOUR, Assumptions
from benchmarks.scale.graph import Trouble
from benchmarks.scale.results import Result
from benchmarks.scale.scenarios import Day, Scenario
from tests.support.measured import Page, machine

MILLION = 1_000_000
LARGE = Deployment(instances=40, graph_rate=900.0)
DOWN = 10 * HOUR, 14 * HOUR
SCARCE = 0.0, 24 * HOUR
GRANTED = 0.25
LEAKED = 11 * HOUR, 12 * HOUR


def scenarios(meetings: int, seed: int) -> list[Scenario]:
    """The days that are simulated."""
    return [
        Scenario("An ordinary day", LARGE, Trouble(), meetings, 30.0, seed),
        Scenario("Graph is down from 10:00 to 14:00", LARGE, Trouble(down=DOWN), meetings, 30.0, seed),
        Scenario(
            "Graph grants a quarter of its limits all day",
            LARGE,
            Trouble(scarce=SCARCE, granted=GRANTED),
            meetings,
            34.0,
            seed,
        ),
        Scenario("Invented calls from 11:00 to 12:00", LARGE, Trouble(leaked=LEAKED), meetings, 30.0, seed),
    ]


def simulated(scenario: Scenario, keep: Path | None) -> Result:
    """One simulated day, or the saved result of an interrupted run."""
    kept = keep / f"{scenario.name}.pickle" if keep else None
    if kept and kept.exists():
        found: Result = pickle.loads(kept.read_bytes())
        return found
    # Millions of blobs are looked through rarely; what failures leave, often.
    gc.set_threshold(50_000, 20, 50)
    day = Day(scenario, Assumptions())
    day.run()
    found = results.result(day)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(pickle.dumps(found))
    return found


def page(days: Sequence[Result], compared: Sequence[check.Compared]) -> Page:
    """The page of a run, as docs/measured/ has it."""
    made = Page("Scale", f"`make simulate`. {machine()}")
    deployment = days[0].scenario.deployment
    made.text(
        "The product's own code (pipeline, retries, budgets, sweep, sealing) in virtual time, on a modelled Graph and "
        f"a modelled Azure. Deployed with `maximumInstances={deployment.instances}` and "
        f"`graphRequestsPerSecond={deployment.graph_rate:g}`, which the instances of all function groups share: the "
        "archive has a third, and a quarter of that are call records, whose limit is 75 a second. Instances of 2,048 "
        "MB. Meetings end at full and half hours, nine in ten of them from 07:00 to 19:00. Where somebody invents "
        f"calls, it is {Trouble().invented:g} of them a second, with the right client state."
    )
    made.table(("What", *(day.scenario.name for day in days), "Goal"), results.rows(days))
    for number, day in enumerate(days):
        made.text(f"## {day.scenario.name}")
        made.plot(f"scale-{number + 1}", day.scenario.name, results.figure(day))
        made.table(
            ("Operation", "Calls", "Refused", "Most in a window of its limit"), results.limit_rows(day)
        )
    if compared:
        made.text("## The model beside the real thing")
        made.text(
            "The same notifications to the local stack (one functions host, Azurite, the simulated Graph) and to the "
            "model of it."
        )
        made.table(("Trace", "What", "Measured", "Modelled", "Ratio"), check.rows(compared))
    made.text("## What the model takes for granted")
    made.text("Times in seconds.")
    made.table(("What", "Value", "Source"), list(Assumptions().rows()))
    return made


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulate", description=__doc__)
    parser.add_argument("--meetings", type=int, default=MILLION, help="of each day")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--no-check", action="store_true", help="leave out the comparison with the local stack"
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FOLDER",
        help="put down what each day gave, and do not simulate it again",
    )
    parser.add_argument("--page", type=Path, metavar="FOLDER", help="write the page and its plots here")
    options = parser.parse_args()
    compared = [] if options.no_check else check.run()
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as processes:
        days = list(
            processes.map(partial(simulated, keep=options.keep), scenarios(options.meetings, options.seed))
        )
    print(page(days, compared).written(options.page, "scale"))
    lost = [day.scenario.name for day in days if day.stored + day.pending < day.scenario.meetings]
    for name in lost:
        print(f"{name}: reports were lost", file=sys.stderr)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
