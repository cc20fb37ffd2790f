"""Progress of a reconciliation scan, saved between time slices in `sweep/<name>.json`.

A scan is one chain of messages, each of which does a slice, saves how far it came, and sends the next one. `step`
fences: of two messages of one step, the second finds that it was overtaken. A broken chain is resumed where it was by a
later run of the timer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated

from .. import logs, times
from ..errors import NotOurMessage
from ..messages import codec, tasks
from ..messages.signals import EventKind
from ..messages.tasks import Sweep, Task
from .clients import Queue
from .state import StateBlob, StateStore

RECENT = "recent"
FULL = "full"
MOST = 1_000
BROKEN_AFTER = timedelta(minutes=20)  # past the time at which the next slice was to begin


@dataclass(frozen=True)
class OverdueCursor:
    """The day whose overdue outcomes come next, and the last of its names that was done."""

    day: date
    after: str | None = None


@dataclass(frozen=True)
class CallCursor:
    """The start of the day whose calls are listed next, and the page to go on with."""

    at: datetime
    link: str | None = None


@dataclass(frozen=True)
class EventCursor:
    """The kinds of virtual events that are left, the page of the first to go on with, and how many of it are done."""

    kinds: tuple[EventKind, ...]
    link: str | None = None
    done: int = 0


@dataclass(frozen=True)
class Scan:
    """One scan of overdue outcomes, of the calls that started in [start, end), and of virtual events.

    A cursor is None when its part is done or not asked for. `days` are the first and the last one that a backfill asked
    for, which may lie before `start`: Graph lists no calls from there, but reports. `unclear` are days that cannot be
    sealed after this scan. Counts: `records` seen, `missing` ones without an outcome, `failures` since the last page
    that came, `restarts` of the day that is listed.
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
    unclear: tuple[date, ...] = ()
    failures: int = 0
    restarts: int = 0
    error: str | None = None


@dataclass(frozen=True)
class StoredScan:
    """A scan as it was read."""

    scan: Scan
    entry: StateBlob


@dataclass(frozen=True)
class Scans:
    """The scans of one app."""

    state: StateStore
    upkeep: Queue

    def read(self, name: str) -> StoredScan | None:
        """The scan `name`; None for none, or one that another version wrote."""
        entry = self.state.read(_path(name))
        try:
            return StoredScan(codec.decode(Scan, entry.content), entry) if entry else None
        except NotOurMessage:
            return None

    def begin(self, scan: Scan) -> bool:
        """Begin a scan, unless one of that name is not finished. Return whether it was begun."""
        stored = self.read(scan.name)
        if stored and not stored.scan.finished:
            logs.info("sweep.running", look=scan.name, step=stored.scan.step)
            if stored.scan.step == 0:
                self.send(stored.scan)  # was it saved and never sent?
            return False
        entry = stored.entry if stored else self.state.read(_path(scan.name))
        if self.state.write(_path(scan.name), codec.encode(scan), entry):
            logs.info("sweep.started", look=scan.name, start=scan.start, end=scan.end)
            self.send(scan)
            return True
        return False

    def resume(self) -> None:
        """Resume every scan whose chain of messages broke."""
        for path in self.state.list_names("sweep/", MOST):
            name = path.removeprefix("sweep/").removesuffix(".json")
            stored = self.read(name) if "/" not in name else None
            if stored and not stored.scan.finished and times.now() > stored.scan.next + BROKEN_AFTER:
                logs.info("sweep.resumed", look=name, step=stored.scan.step)
                self.send(stored.scan)

    def save(self, scan: Scan, stored: StoredScan) -> bool:
        """Save how far a slice came. False when another message did that slice."""
        return self.state.write(_path(scan.name), codec.encode(scan), stored.entry)

    def send(self, scan: Scan, delay: int = 0) -> None:
        """Send the message of the next slice."""
        self.upkeep.send(tasks.serialize_task(Task(Sweep(scan.name, scan.step))), delay)


def _path(name: str) -> str:
    return f"sweep/{name}.json"
