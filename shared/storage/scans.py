"""Progress of a reconciliation scan, saved in `sweep/<name>.json` between slices.

A scan is a chain of messages. Each runs one slice, saves the progress and sends the next message. `step` numbers the
slices: of two messages with the same step, the second finds its slice done. A later run of the timer resumes a chain
that broke.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Annotated

from .. import logs, times
from ..errors import NotOurMessage
from ..graph.client import Trail
from ..messages import codec, tasks
from ..messages.signals import EventKind
from ..messages.tasks import Sweep, Task
from .clients import Queue
from .state import StateBlob, StateStore

RECENT = "recent"
FULL = "full"
MAX_SCANS = 1_000
BROKEN_AFTER = timedelta(minutes=20)  # after the planned start of the next slice


@dataclass(frozen=True)
class OverdueCursor:
    """The next day with overdue outcomes, and the last blob name done on it."""

    day: date
    after: str | None = None


@dataclass(frozen=True)
class CallCursor:
    """The start of the next day whose calls are listed, and the page to resume at."""

    at: datetime
    link: str | None = None
    trail: Trail = field(default_factory=Trail)


@dataclass(frozen=True)
class EventCursor:
    """The kinds of events left, the page to resume at, and the events done on it."""

    kinds: tuple[EventKind, ...]
    link: str | None = None
    done: int = 0
    trail: Trail = field(default_factory=Trail)


@dataclass(frozen=True)
class Scan:
    """A scan of overdue outcomes, calls started in [start, end), and virtual events.

    A cursor is None when its part is done or not requested. `days` are the first and last day that a backfill asks for;
    they may lie before `start`, because Graph lists reports longer than calls. `unclear` are days which cannot be
    sealed after this scan. Counts: `records` seen, `missing` outcomes, `late` ones whose message was lost, `failures`
    since the last page, `restarts` of the current day.
    """

    name: str
    started: datetime
    start: Annotated[datetime, "from"]
    end: Annotated[datetime, "to"]
    next: datetime
    overdue: OverdueCursor | None = None
    calls: CallCursor | None = None
    events: EventCursor | None = None
    days: tuple[date, ...] = ()
    step: int = 0
    updated: datetime | None = None
    finished: datetime | None = None
    records: int = 0
    missing: int = 0
    late: int = 0
    unclear: tuple[date, ...] = ()
    failures: int = 0
    restarts: int = 0
    error: str | None = None


@dataclass(frozen=True)
class StoredScan:
    """A scan with its state blob."""

    scan: Scan
    blob: StateBlob


@dataclass(frozen=True)
class ScanStore:
    """The scans of one app."""

    state: StateStore
    upkeep: Queue

    def read(self, name: str) -> StoredScan | None:
        """Read a scan; None if it does not exist or another version wrote it."""
        blob = self.state.read(_path(name))
        try:
            return StoredScan(codec.decode(Scan, blob.content), blob) if blob else None
        except NotOurMessage:
            return None

    def begin(self, scan: Scan) -> bool:
        """Begin a scan unless one of that name is unfinished. Return whether it began."""
        stored = self.read(scan.name)
        if stored and not stored.scan.finished:
            logs.info("sweep.running", look=scan.name, step=stored.scan.step)
            if stored.scan.step == 0:
                self.send(stored.scan)  # its message may never have been sent
            return False
        blob = stored.blob if stored else self.state.read(_path(scan.name))
        if self.state.write(_path(scan.name), codec.encode(scan), blob):
            logs.info("sweep.started", look=scan.name, start=scan.start, end=scan.end)
            self.send(scan)
            return True
        return False

    def resume(self) -> None:
        """Resume every scan whose chain of messages broke."""
        for path in self.state.list_names("sweep/", MAX_SCANS):
            name = path.removeprefix("sweep/").removesuffix(".json")
            stored = self.read(name) if "/" not in name else None
            if stored and not stored.scan.finished and times.now() > stored.scan.next + BROKEN_AFTER:
                logs.info("sweep.resumed", look=name, step=stored.scan.step)
                self.send(stored.scan)

    def save(self, scan: Scan, stored: StoredScan) -> bool:
        """Save the progress. Return False if another message ran this slice."""
        return self.state.write(_path(scan.name), codec.encode(scan), stored.blob)

    def send(self, scan: Scan, delay: int = 0) -> None:
        """Send the message of the next slice."""
        self.upkeep.send(tasks.serialize_task(Task(Sweep(scan.name, scan.step))), delay)


def _path(name: str) -> str:
    return f"sweep/{name}.json"
