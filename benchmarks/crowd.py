"""Peak memory of archiving many large reports at once, and many reports in a row."""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from local.simulator.control.client import Control
from local.simulator.tenant.orders import NewSession
from local.stack import compose
from local.stack.program import Log

ROOT = Path(__file__).parents[1]
MEBIBYTE = 1024
INSTANCE = 512
ENGAGEMENTS = 50  # of each person of a large report
PROBE = """
import json, resource, sys
from concurrent.futures import ThreadPoolExecutor
from shared import services, times
from shared.archiving import worker
from shared.messages import signals
calls, threads = json.load(sys.stdin), int(sys.argv[1])
peaks = [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]
def archive(call):
    worker.handle_signals(signals.serialize_message(signals.call_record_news(call, times.now())), services.current())
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
with ThreadPoolExecutor(threads) as pool:
    list(pool.map(archive, calls))
print(json.dumps(peaks))
"""


@dataclass(frozen=True)
class Crowd:
    """Peaks in MiB.

    Of `at_once` reports of `people` with ENGAGEMENTS each, and of `many` reports of twelve, the latter after a tenth,
    half and all.

    Each thread has its own connections and its share of the heap, which the first thousand reports fill.
    """

    at_once: int
    people: int
    peak: float
    many: int
    after_a_tenth: float
    after_half: float
    after_all: float


def run(at_once: int = 16, people: int = 20_000, many: int = 10_000) -> Crowd:
    """Measure both."""
    settings = {"GRAPH_RATE": "100000", "MAINTAIN_SCHEDULE": "0 0 0 29 2 *", "SWEEP_SCHEDULE": "0 0 0 29 2 *"}
    with compose.up(settings=settings, log=Log(os.open(os.devnull, os.O_WRONLY))) as running:
        control = Control(running.graph)
        control.change_settings(recordPageSize=1_000)

        def peaks(count: int, size: int, threads: int, engagements: int | None = None) -> list[int]:
            calls = []
            for _ in range(count):
                meeting_id = control.add_meeting().meeting_id
                order = NewSession(meeting_id, participants=size, engagements=engagements, announce=False)
                calls.append(control.add_session(order).call_id)
            done = subprocess.run(
                [sys.executable, "-c", PROBE, str(threads)],
                input=json.dumps(calls),
                cwd=ROOT,
                env={**os.environ, **running.settings},
                capture_output=True,
                text=True,
                check=True,
                timeout=3_600,
            )
            found: list[int] = json.loads(done.stdout.splitlines()[-1])
            return found

        large = peaks(at_once, people, at_once, ENGAGEMENTS)
        small = peaks(many, 12, 16)
    return Crowd(
        at_once,
        people,
        large[-1] / MEBIBYTE,
        many,
        small[max(1, many // 10)] / MEBIBYTE,
        small[many // 2] / MEBIBYTE,
        small[-1] / MEBIBYTE,
    )


def peaks(found: Crowd) -> dict[str, float]:
    """Peak memory in MiB, by what was archived."""
    return {
        f"{found.many // 10:,} reports": found.after_a_tenth,
        f"{found.many // 2:,} reports": found.after_half,
        f"{found.many:,} reports": found.after_all,
        f"{found.at_once} of {found.people:,} people": found.peak,
        "an instance has": INSTANCE,
    }


def lines(found: Crowd) -> list[tuple[str, str, str]]:
    """What, measured, goal."""
    grown = found.after_all / found.after_half
    return [
        (
            f"peak memory of {found.at_once} reports of {found.people:,} people with {ENGAGEMENTS} engagements",
            f"{found.peak:.0f} MiB",
            f"≤ {INSTANCE} MiB",
        ),
        (f"peak after {found.many:,} reports, over that after half", f"{grown:.2f} x", "≤ 1.1 x"),
        (
            "  after a tenth, half, all",
            f"{found.after_a_tenth:.0f}, {found.after_half:.0f}, {found.after_all:.0f} MiB",
            "",
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crowd", description=__doc__)
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--many", type=int, default=10_000)
    options = parser.parse_args()
    for what, measured, goal in lines(run(people=options.people, many=options.many)):
        print(f"{what:<80} {measured:>20}  {goal}")


if __name__ == "__main__":
    main()
