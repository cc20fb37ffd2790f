"""Looks at Graph's lists, as they are remembered between slices: `sweep/<look>.json`.

A look is one chain of messages, each of which does a slice, writes down how far it came, and sends the next one. `step`
fences: of two messages of one step, the second finds that it was overtaken. A chain that broke is taken up again where
it was by a later run of the timer.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import date, datetime, timedelta
from typing import Any

from .. import logs, times
from ..messages import tasks
from ..messages.signals import FoundBy
from ..messages.tasks import Sweep, Task
from .clients import Queue
from .state import Entry, State

RECENT = "recent"
FULL = "full"
MOST = 1_000
BROKEN_AFTER = timedelta(minutes=20)  # past the time at which the next slice was to begin


@dataclass(frozen=True)
class Look:
    """One look at the calls that started in [start, end).

    `due` is the day whose outcomes are next looked through for what is overdue (`due_after`: the last one that was
    done), `at` the start of the day whose calls are listed and `link` the page to go on with. `unclear` are days that
    cannot be sealed after this look.
    Counts: `records` seen, `missing` ones without an outcome, `failures` since the last page that came,
    `restarts` of the day that is listed. `kinds` are the kinds of virtual events that are to be gone through after the
    calls, the first one from `link` on, of whose page `done` events are done.
    """

    name: str
    started: datetime
    start: datetime
    end: datetime
    at: datetime
    next: datetime
    due: date | None = None
    due_after: str | None = None
    link: str | None = None
    found_by: FoundBy = FoundBy.SWEEP
    step: int = 0
    updated: datetime | None = None
    finished: datetime | None = None
    records: int = 0
    missing: int = 0
    unclear: tuple[str, ...] = ()
    failures: int = 0
    restarts: int = 0
    error: str | None = None
    kinds: tuple[str, ...] = ()
    done: int = 0


@dataclass(frozen=True)
class Kept:
    """A look as it was read."""

    look: Look
    entry: Entry


@dataclass(frozen=True)
class Looks:
    """The looks of one app."""

    state: State
    upkeep: Queue

    def read(self, name: str) -> Kept | None:
        """The look `name`; None for none, or one that an older version wrote."""
        entry = self.state.read(_path(name))
        try:
            return Kept(_parse(entry.content), entry) if entry else None
        except (KeyError, TypeError, ValueError):
            return None

    def begin(self, look: Look) -> bool:
        """Begin a look, unless one of that name is not finished. Whether it was begun."""
        kept = self.read(look.name)
        if kept and not kept.look.finished:
            logs.info("sweep.running", look=look.name, step=kept.look.step)
            if kept.look.step == 0:
                self.send(kept.look)  # was it written down and never sent?
            return False
        entry = kept.entry if kept else self.state.read(_path(look.name))
        if self.state.write(_path(look.name), _content(look), entry):
            logs.info("sweep.started", look=look.name, start=look.start, end=look.end)
            self.send(look)
            return True
        return False

    def resume(self) -> None:
        """Take up every look whose chain of messages broke."""
        for path in self.state.names("sweep/", MOST):
            name = path.removeprefix("sweep/").removesuffix(".json")
            kept = self.read(name) if "/" not in name else None
            if kept and not kept.look.finished and times.now() > kept.look.next + BROKEN_AFTER:
                logs.info("sweep.resumed", look=name, step=kept.look.step)
                self.send(kept.look)

    def save(self, look: Look, kept: Kept) -> bool:
        """Write down how far a slice came. False when another message did that slice."""
        return self.state.write(_path(look.name), _content(look), kept.entry)

    def send(self, look: Look, delay: int = 0) -> None:
        """Send the message of the look's next slice."""
        self.upkeep.send(tasks.message(Task(Sweep(look.name, look.step))), delay)


def _path(name: str) -> str:
    return f"sweep/{name}.json"


def _content(look: Look) -> dict[str, Any]:
    content = asdict(look)
    content["from"], content["to"] = content.pop("start"), content.pop("end")
    for key, value in content.items():
        if isinstance(value, datetime):
            content[key] = times.text(value)
        elif isinstance(value, date):
            content[key] = value.isoformat()
    return content


def _parse(content: dict[str, Any]) -> Look:
    known = {"kinds": (), "done": 0, **content, "start": content["from"], "end": content["to"]}
    values: dict[str, Any] = {each.name: known[each.name] for each in fields(Look)}
    for key in ("started", "start", "end", "at", "next"):
        values[key] = datetime.fromisoformat(values[key])
    for key in ("updated", "finished"):
        values[key] = times.parse(values[key])
    values["due"] = date.fromisoformat(values["due"]) if values["due"] else None
    values["found_by"] = FoundBy(values["found_by"])
    values["unclear"], values["kinds"] = tuple(values["unclear"]), tuple(values["kinds"])
    return Look(**values)
