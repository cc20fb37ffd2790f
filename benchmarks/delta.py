"""Cost of Delta logs.

A month of a tenant with 1,000 meetings a day, and a commit to 400 days of a million.

    python -m benchmarks.delta [--page FOLDER]

The product's own code on a container in memory, which counts requests. A day of 1,000 meetings has one part, which
each hourly round of its open day writes anew, then the sealing, and for one day in three a late report.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import hashlib
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast
from unittest import mock

from azure.storage.blob import ContainerClient

from benchmarks import tables
from shared import times
from shared.tables.columns import Table
from shared.tables.delta import DataFile, DeltaLog, time_columns
from tests.support.blobs import Blobs
from tests.support.measured import Page, machine, resident

FIRST = date(2026, 11, 1)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MONTH = 30
DAYS, PARTS, CHANGED = 400, 200, 20  # of a million meetings a day, and the parts that a round writes anew
PRICES = {"read": 0.0000004, "write": 0.00000625, "list": 0.00000625}  # zone-redundant storage
COLUMNS = "What", "A month of 1,000 meetings a day", "The 99th commit to 400 days of 200 parts", "The 100th"


@dataclass
class Storage:
    """A container with the log of a table, in time that is told."""

    table: Table
    now: datetime = field(default_factory=lambda: times.midnight(FIRST))
    requests: Counter[str] = field(default_factory=Counter)
    read: int = 0  # bytes

    def __post_init__(self) -> None:
        self.blobs = Blobs(lambda: self.now, lambda kind: self.requests.update([kind]))
        download = self.blobs.download_blob

        def count(name: str, **more: Any) -> Any:
            found = download(name, **more)
            self.read += len(found.body)
            return found

        self.blobs.download_blob = count  # type: ignore[method-assign]
        self.log = DeltaLog(cast(ContainerClient, self.blobs), self.table)

    def files(self, day: date, *numbers: int) -> list[DataFile]:
        """Files of a day, whose names differ."""
        made = []
        for number in numbers:
            digest = hashlib.sha256(f"{day} {number}".encode()).hexdigest()[:16]
            moment = times.text(self.now)
            bounds = dict.fromkeys(time_columns(self.table), (moment, moment))
            name = f"tables/{self.table}/date={day}/part-{number:05}-{digest}.parquet"
            made.append(DataFile(name, 5_000, 400_000, self.now, bounds))
        return made

    def written(self) -> tuple[int, int]:
        """Blobs of the log, and their bytes."""
        found = self.blobs.folder(f"tables/{self.table}/_delta_log").values()
        return len(found), sum(each.size for each in found)


def measure(function: Callable[[], Any]) -> tuple[float, float]:
    """Measure seconds, and MiB by which the process grows for a while.

    What it needed before does not count on Linux.
    """
    reset = Path("/proc/self/clear_refs")
    if not reset.exists():
        return tables.measure(function)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what was freed would be used again, and not count
    before = resident(os.getpid())
    reset.write_text("5")
    began = time.monotonic()
    function()
    seconds = time.monotonic() - began
    peak = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    return seconds, int(peak.split()[1]) / 1024 - before


def month(storage: Storage) -> int:
    """Write the log of a month. Return the number of commits."""
    commits = 0
    for number in range(MONTH):
        day = FIRST + number * DAY
        begins = times.midnight(day)
        rounds = [begins + each * HOUR for each in range(1, 25)] + [begins + 52 * HOUR]
        for version, moment in enumerate([*rounds, begins + 60 * HOUR] if number % 3 == 0 else rounds):
            storage.now = moment
            storage.log.replace_day(day, version + 1, storage.files(day, version))
            commits += 1
    return commits


def fill(storage: Storage) -> date:
    """Write the log of DAYS days. Return the last day."""
    for number in range(DAYS):
        storage.now += DAY
        day = FIRST + number * DAY
        storage.log.replace_day(day, 1, storage.files(day, *range(PARTS)))
    return day


def run() -> list[tuple[str, ...]]:
    """Measure."""
    small, large = Storage(Table.ATTENDEES), Storage(Table.ATTENDEES)
    with mock.patch.object(times, "now", partial(getattr, small, "now")):
        cpu, commits = time.process_time(), list[int]()
        seconds, memory = measure(lambda: commits.append(month(small)))
        cpu = time.process_time() - cpu
    with mock.patch.object(times, "now", partial(getattr, large, "now")):
        day = fill(large)
        shifted = (large.files(day, *range(CHANGED * each, CHANGED * each + PARTS)) for each in range(1, 101))
        steps = [replaced(large, day, version, files) for version, files in enumerate(shifted, 2)]
    usual, last = steps[-2], steps[-1]
    entries, size = small.written()
    cost = sum(PRICES[kind] * number for kind, number in small.requests.items())
    return [
        ("commits", f"{sum(commits):,}", "1", "1"),
        ("blobs of the log at the end", f"{entries:,}", "", ""),
        ("bytes of the log at the end", f"{size / 1e6:.1f} MB", "", ""),
        ("requests", told(small.requests), told(usual.requests), told(last.requests)),
        ("bytes read", *(f"{each / 1e6:.1f} MB" for each in (small.read, usual.read, last.read))),
        ("seconds", f"{seconds:.1f}", f"{usual.seconds:.2f}", f"{last.seconds:.2f}"),
        (
            "seconds of the processor, a commit",
            f"{cpu / sum(commits):.3f}",
            f"{usual.cpu:.2f}",
            f"{last.cpu:.2f}",
        ),
        ("more memory at the peak", *(f"{each:.0f} MiB" for each in (memory, usual.memory, last.memory))),
        ("requests in US dollars", f"{cost:.3f}", "", ""),
    ]


@dataclass(frozen=True)
class Step:
    """The cost of a commit."""

    requests: Counter[str]
    read: int
    seconds: float
    cpu: float
    memory: float


def replaced(storage: Storage, day: date, version: int, files: list[DataFile]) -> Step:
    """Replace the files of a day, and tell the cost."""
    storage.requests.clear()
    read, cpu = storage.read, time.process_time()
    seconds, memory = measure(lambda: storage.log.replace_day(day, version, files))
    return Step(Counter(storage.requests), storage.read - read, seconds, time.process_time() - cpu, memory)


def told(requests: Counter[str]) -> str:
    """A sentence of numbers."""
    return ", ".join(f"{requests[kind]:,} {kind}s" for kind in ("read", "write", "list"))


def page() -> Page:
    """The page of a run, as docs/measured/ has it."""
    made = Page("Delta logs", f"`python -m benchmarks.delta`. {machine()}")
    made.text(
        "The log of one table, `attendees`, on a container in memory: seconds are of Python alone, without the time of "
        "storage. Requests of other tables come on top, and none for a table whose files do not change. A day of "
        "1,000 meetings has one part, which each of 24 hourly rounds writes anew, then the sealing, and for one day "
        f"in three a late report. The large log has 80,000 files; a commit changes {CHANGED} of the day's {PARTS}. The "
        "99th commit after a checkpoint reads most entries; the 100th also writes the next checkpoint. The machine had "
        "other work: compare seconds of the processor."
    )
    made.table(COLUMNS, run())
    return made


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.delta", description=__doc__)
    logging.disable()
    parser.add_argument("--page", type=Path, metavar="FOLDER", help="write the page here")
    print(page().written(parser.parse_args().page, "delta"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
