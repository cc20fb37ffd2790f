"""Ten thousand meetings while Graph, storage and the Functions host fail.

As `tests.storm.recovery`, whose parts it uses: call records are announced three times and shuffled, a tenth never. All
the while Graph answers with faults, a proxy before storage loses requests and replies, and the host is killed. When the
first sweep is through, the weather clears and days pass: what the app then looks at again by itself, it looks at now.
At last all that lies in storage is compared with what Graph has. Exits with 1 when anything is lost, doubled or wrong.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

from local.simulator.control.client import Control
from local.stack import compose
from local.stack.compose import Stack
from local.stack.program import Log
from tests.storm import faulty_graph, faulty_storage, recovery
from tests.storm.faulty_storage import Chances
from tests.storm.recovery import Recovery
from tests.storm.recovery_result import Result
from tests.support.measured import Page, machine

WINDOW = timedelta(seconds=90)  # longer than faults in a row last
UNANNOUNCED = 0.1
SHARE = 0.01  # of the requests to storage that fail


@dataclass(frozen=True)
class Storm:
    """A run: what recovery found, and what happened meanwhile."""

    result: Result
    graph_faults: Mapping[str, int]
    storage_faults: Mapping[str, int]
    looked_at_again: int

    @property
    def problems(self) -> list[str]:
        """Everything that must not be."""
        return self.result.problems


def settings(window: timedelta = WINDOW) -> dict[str, str]:
    """The app settings of a stack for a storm."""
    return recovery.SETTINGS | {"RETRY_WINDOW": str(int(window.total_seconds()))}


def run(
    running: Stack,
    meetings: int,
    kills: int,
    seed: int,
    often: int = 1,
    window: timedelta = WINDOW,
) -> Storm:
    """Do everything.

    `often`: faults come so many times as often; `window`: the app's RETRY_WINDOW.

    Raises what `Recovery.run` raises.
    """
    control, chances = Control(running.graph), Chances(SHARE * often, seed)
    looked_at_again = 0
    with (
        faulty_storage.before(running, chances) as addresses,
        faulty_graph.weather(control, often) as weather,
    ):
        running.restart_functions(addresses)

        def clear() -> None:
            nonlocal looked_at_again
            weather.clear()
            chances.share = 0.0
            looked_at_again = storm.pass_days()
            storm.sweep("days later")

        storm = Recovery(
            running,
            kills,
            seed,
            unannounced=UNANNOUNCED,
            window=window,
            before_end=clear,
        )
        result = storm.run(meetings)
    return Storm(result, dict(weather.counts), dict(chances.counts), looked_at_again)


def page(storm: Storm, seed: int) -> Page:
    """The page of a run, as docs/measured/ has it."""
    result, found = storm.result, storm.result.found
    made = Page("Storm", f"`make storm`, seed {seed}. {machine()}")
    made.table(
        ("What", "Count"),
        [
            ("meetings that ended", f"{result.meetings:,}"),
            ("never announced", f"{result.unannounced:,}"),
            ("announced three times, shuffled", f"{result.meetings - result.unannounced:,}"),
            ("kills of the functions host", f"{result.kills:,}"),
            ("faults of Graph", f"{sum(storm.graph_faults.values()):,}"),
            ("faults of storage", f"{sum(storm.storage_faults.values()):,}"),
            ("POSTs that Graph had to repeat", f"{result.posts_repeated:,}"),
            ("reports missing before the sweep", f"{result.missing_before_sweep:,}"),
            ("outcomes looked at again days later", f"{storm.looked_at_again:,}"),
            ("**reports stored**", f"**{found.stored:,}**"),
            ("**reports lost**", f"**{len(found.missing):,}**"),
            ("**reports or outcomes doubled**", f"**{len(found.doubled):,}**"),
            ("**reports that are not what Graph has**", f"**{len(found.wrong):,}**"),
            ("**outcomes that are not as they must be**", f"**{len(found.unexpected):,}**"),
            ("**manifests that are wrong**", f"**{len(result.manifest_problems):,}**"),
            ("**messages left in poison queues**", f"**{result.poison:,}**"),
            (
                "calls to Graph for a stored report",
                f"{sum(result.calls.values()) / max(1, found.stored):.2f}",
            ),
            ("minutes", f"{result.seconds / 60:.0f}"),
        ],
    )
    made.text("## Faults")
    faults = {f"Graph: {kind}": count for kind, count in storm.graph_faults.items()}
    faults |= {f"storage, {kind}": count for kind, count in storm.storage_faults.items()}
    made.table(("Fault", "Times"), [(kind, f"{count:,}") for kind, count in sorted(faults.items())])
    made.text("## Outcomes by kind of meeting")
    rows = [
        (kind, name, f"{count:,}") for kind, seen in found.outcomes.items() for name, count in seen.items()
    ]
    made.table(("Meeting", "Outcome", "Count"), rows)
    made.bars("storm-faults", "Faults met, by kind", faults)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.storm.storm", description=__doc__)
    parser.add_argument("--meetings", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="the result as JSON instead of a page")
    parser.add_argument("--log", default=os.devnull, metavar="FILE", help="where the stack is heard")
    parser.add_argument("--page", type=Path, metavar="FOLDER", help="write the page and its plot here")
    options = parser.parse_args()
    descriptor = os.open(options.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with compose.up(settings=settings(), seed=options.seed, log=Log(descriptor)) as running:
        storm = run(running, options.meetings, options.kills, options.seed)
    if options.json:
        print(json.dumps(asdict(storm), indent=2))
    else:
        print(page(storm, options.seed).written(options.page, "storm"))
    for problem in storm.problems:
        print(problem, file=sys.stderr)
    return 1 if storm.problems else 0


if __name__ == "__main__":
    sys.exit(main())
