"""Cost of archiving a report: CPU seconds, calls to Graph, reports per second.

Beside the product, on the same machine and stack: a script that makes the very same HTTP calls and does nothing else,
and one with Microsoft's SDKs (`msgraph-sdk`, `azure-storage-blob`) that does the same job as simply as they allow.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from local.simulator.control.client import Control, MeetingMade, SessionMade
from local.simulator.faults.responses import Fault
from local.simulator.tenant.orders import NewMeeting, NewSession
from local.stack import compose
from local.stack.compose import Stack
from local.stack.program import Log

ROOT = Path(__file__).parents[1]
NEVER = "0 0 0 29 2 *"
SETTINGS = {"MAINTAIN_SCHEDULE": NEVER, "SWEEP_SCHEDULE": NEVER, "GRAPH_RATE": "100000", "CONFIRM_AFTER": "0"}
PEOPLE = 12
SLOW = 0.3  # seconds that a slow Graph takes for a call
THREADS = 16


@dataclass(frozen=True)
class Cost:
    """Cost of one report: CPU milliseconds, calls, requests, reports per second.

    `calls` are those to Graph, `storage` the requests to blobs and queues. `with_storage_sdk` is the script whose calls
    to storage go through azure-storage-blob, as the product's do.
    """

    reports: int
    product: float
    script: float
    with_storage_sdk: float
    sdk: float
    calls: float
    storage: float
    swept: float
    recurring: float
    product_rate: float
    script_rate: float


def run(count: int) -> Cost:
    """Measure all, with so many reports each time."""
    with compose.up(settings=SETTINGS, log=Log(os.open(os.devnull, os.O_WRONLY))) as running:
        control = Control(running.graph)
        recorded, counted, swept, sdk, slow = (_ended(control, count) for _ in range(5))
        announced = _ended(control, count, ago=timedelta(days=2))
        busy = _worker(
            running, {"record": _ids(recorded), "measure": _ids(counted), "threads": 1, "portion": 10}
        )
        counted_alone = _count(running, {"measure": _ids(_ended(control, count))})
        from_list = _count(running, {"measure": _ids(swept), "swept": _told(swept)})
        first, again = _ids(announced), _ids(_again(control, announced))
        recurring = _count(running, {"record": first, "measure": again})
        theirs = _sdk(running, sdk)
        control.add_fault(Fault("/v1.0/", action="delay", seconds=SLOW, times=-1))
        half = count // 2
        recorded, counted = slow[:half], slow[half:]
        rates = _worker(
            running,
            {"record": _ids(recorded), "measure": _ids(counted), "threads": THREADS, "portion": count},
        )
    return Cost(
        count,
        busy["product"]["cpu"] * 1000,
        busy["script"]["cpu"] * 1000,
        busy["bySdk"]["cpu"] * 1000,
        theirs["cpu"] / count * 1000,
        counted_alone["calls"],
        counted_alone["storage"],
        from_list["calls"],
        recurring["calls"],
        len(counted) / rates["product"]["seconds"],
        len(recorded) / rates["script"]["seconds"],
    )


type Made = tuple[MeetingMade, SessionMade]


def _ended(control: Control, count: int, ago: timedelta = timedelta()) -> list[Made]:
    found, end = [], datetime.now(UTC) - ago
    for _ in range(count):
        meeting = control.add_meeting(NewMeeting("recurring"))
        start = end - timedelta(minutes=30)
        order = NewSession(meeting.meeting_id, start=start, end=end, participants=PEOPLE, announce=False)
        found.append((meeting, control.add_session(order)))
    return found


def _again(control: Control, made: list[Made]) -> list[Made]:
    """Another session of each of these meetings."""
    return [
        (meeting, control.add_session(NewSession(meeting.meeting_id, participants=PEOPLE, announce=False)))
        for meeting, _ in made
    ]


def _ids(made: list[Made]) -> list[str]:
    return [session.call_id for _, session in made]


def _told(made: list[Made]) -> dict[str, dict[str, str]]:
    """The entries of Graph's list of call records for each of these."""
    return {
        session.call_id: {"organizer": meeting.organizer_id, "url": meeting.join_web_url}
        for meeting, session in made
    }


def _count(running: Stack, job: dict[str, Any]) -> dict[str, float]:
    """Calls and requests for each archived report, without those of `record`."""
    counted: dict[str, float] = _worker(running, {"record": [], "threads": 1, "count": True, **job})
    return counted


def _worker(running: Stack, job: dict[str, Any]) -> Any:
    return _python(running, "benchmarks.archiving_worker", job)


def _sdk(running: Stack, made: list[Made]) -> Any:
    job = [{"call": call, **told} for call, told in _told(made).items()]
    return _python(running, "benchmarks.archiving_sdk", job)


def _python(running: Stack, module: str, job: Any) -> Any:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", module],
        input=json.dumps(job),
        cwd=ROOT,
        env={**os.environ, **running.settings},
        capture_output=True,
        text=True,
        timeout=1_200,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2_000:])
    return json.loads(done.stdout.splitlines()[-1])


def cpu(found: Cost) -> dict[str, float]:
    """CPU milliseconds of a report, by who archives it."""
    return {
        "the product": found.product,
        "a script of the same calls": found.script,
        "that script, azure-storage-blob": found.with_storage_sdk,
        "msgraph-sdk, azure-storage-blob": found.sdk,
    }


def lines(found: Cost) -> list[tuple[str, str, str]]:
    """What, measured, goal."""
    return [
        (
            "CPU of a report, over a script of the same calls",
            f"{found.product / found.script:.2f} x",
            "≤ 1.5 x",
        ),
        (
            "  what that script needs with azure-storage-blob for storage",
            f"{found.with_storage_sdk / found.script:.2f} x",
            "",
        ),
        (
            "CPU of a report, over that script with azure-storage-blob",
            f"{found.product / found.with_storage_sdk:.2f} x",
            "≤ 1.2 x",
        ),
        ("CPU of a report, over Microsoft's SDKs", f"{found.product / found.sdk:.2f} x", "≤ 0.3 x"),
        (
            "  product, script, with that SDK, all SDKs",
            f"{found.product:.1f}, {found.script:.1f}, {found.with_storage_sdk:.1f}, {found.sdk:.1f} ms",
            "",
        ),
        (
            "reports a second, 300 ms a call, over the script",
            f"{found.product_rate / found.script_rate:.2f} x",
            "≥ 0.9 x",
        ),
        ("  product, script", f"{found.product_rate:.1f}, {found.script_rate:.1f} a second", ""),
        ("calls to Graph for a report", f"{found.calls:.2f}", "≤ 4"),
        ("  found by the sweep", f"{found.swept:.2f}", "≤ 3"),
        ("  another session of a known meeting", f"{found.recurring:.2f}", "≤ 3"),
        ("requests to storage for a report", f"{found.storage:.2f}", ""),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.archiving", description=__doc__)
    parser.add_argument("--reports", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = run(options.reports)
    if options.json:
        print(json.dumps(asdict(found), indent=2))
        return
    for what, measured, goal in lines(found):
        print(f"{what:<50} {measured:>30}  {goal}")


if __name__ == "__main__":
    main()
