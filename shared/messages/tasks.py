"""Tasks: what is to be done apart from archiving, one message of the queue `upkeep` each.

The webhook makes some, timers and workers others, and an operator can send `backfill` and `redrive` by hand. Standard
library only: the webhook loads this module.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from .. import times
from ..errors import NotOurMessage
from ..settings import GUID
from . import envelope
from .envelope import VERSION
from .signals import EVENT_ID, EventKind


class Kind(StrEnum):
    """The values of `kind`."""

    RENEW = "renewSubscription"
    MAINTAIN = "maintainSubscriptions"
    REFUSED = "notificationsRefused"
    SWEEP = "sweep"
    BACKFILL = "backfill"
    REDRIVE = "redrive"
    REFRESH = "refreshDay"
    DAILY = "writeDaily"
    SUBSCRIBE = "subscribeEvent"
    DELETE = "deleteSubscription"
    EXAMINE = "examine"


MOST_EXAMINED = 50
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_EXAMINATION = re.compile(r"[0-9a-f]{32}\Z")
_LOOK = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")


@dataclass(frozen=True)
class Renew:
    """Renew one subscription, which reauthorizes it too."""

    subscription_id: str


@dataclass(frozen=True)
class Maintain:
    """Go through all subscriptions."""


@dataclass(frozen=True)
class Refused:
    """Note that notifications came with a wrong clientState."""

    count: int


@dataclass(frozen=True)
class Sweep:
    """Do the next slice of a look at the lists of Graph; `step` fences as `attempt` does for a signal."""

    look: str
    step: int


@dataclass(frozen=True)
class Backfill:
    """Begin a look at all calls that started in [start, end).

    `missing_only`: what has an outcome is left as it is, as the sweep does.
    """

    start: datetime
    end: datetime
    missing_only: bool = False


@dataclass(frozen=True)
class Redrive:
    """Take up again what settled as one of `outcomes` on the days from `first` to `last`.

    `opened`: only signals of organizers that have opened; `started` is when the first slice of it began, and `after`
    the last outcome of the first day that is done.
    """

    outcomes: frozenset[str]
    first: date
    last: date
    opened: bool = False
    started: datetime | None = None
    after: str | None = None


@dataclass(frozen=True)
class Refresh:
    """Write a day's manifest anew."""

    day: date


@dataclass(frozen=True)
class Part:
    """Write a part of a day's table: `length` bytes of the index with this sha256, from `offset`; one of `parts`."""

    day: date
    index: str
    number: int
    parts: int
    offset: int
    length: int


@dataclass(frozen=True)
class Subscribe:
    """Have Graph announce the reports of a webinar or town hall."""

    source: EventKind
    event_id: str


@dataclass(frozen=True)
class Delete:
    """Delete one subscription of the app's identity."""

    subscription_id: str


@dataclass(frozen=True)
class Examine:
    """Have the app look at what it may and can do, for these organizers too, and put down what it finds as `id`."""

    id: str
    organizers: tuple[str, ...] = ()


type Job = (
    Delete | Examine | Subscribe | Renew | Maintain | Refused | Sweep | Backfill | Redrive | Refresh | Part
)


@dataclass(frozen=True)
class Task:
    """One message: what to do, and how often it has failed so far."""

    job: Job
    traceparent: str | None = None
    attempt: int = 0


def message(task: Task) -> str:
    """The queue message of a task."""
    content = {"version": VERSION, **_fields(task.job)}
    return envelope.dumps({**content, "attempt": task.attempt, "traceparent": task.traceparent})


def parse(text: str) -> Task:
    """The task of a message. Raises NotOurMessage."""
    content = envelope.loads(text)
    trace = envelope.trace_parent(content.get("traceparent"))
    return Task(_job(content), trace, envelope.whole(content, "attempt"))


def kind(job: Job) -> str:
    """The job's name in messages and logs."""
    return str(_fields(job)["kind"])


def _fields(job: Job) -> dict[str, Any]:
    match job:
        case Refused(count):
            return {"kind": Kind.REFUSED, "count": count}
        case Sweep(look, step):
            return {"kind": Kind.SWEEP, "look": look, "step": step}
        case Backfill(start, end, missing_only):
            window = {"from": times.text(start), "to": times.text(end)}
            return {"kind": Kind.BACKFILL, **window, "missingOnly": missing_only or None}
        case Redrive():
            return {
                "kind": Kind.REDRIVE,
                "outcomes": sorted(job.outcomes),
                "from": job.first.isoformat(),
                "to": job.last.isoformat(),
                "opened": job.opened or None,
                "started": times.optional_text(job.started),
                "after": job.after,
            }
        case Refresh(day):
            return {"kind": Kind.REFRESH, "date": day.isoformat()}
        case Examine(id_, organizers):
            return {"kind": Kind.EXAMINE, "id": id_, "organizers": list(organizers)}
        case Renew() | Maintain() | Subscribe() | Delete():
            return _of_subscriptions(job)
        case Part():
            return {
                "kind": Kind.DAILY,
                "date": job.day.isoformat(),
                "index": job.index,
                "part": job.number,
                "parts": job.parts,
                "offset": job.offset,
                "length": job.length,
            }


def _of_subscriptions(job: Renew | Maintain | Subscribe | Delete) -> dict[str, Any]:
    match job:
        case Renew(subscription_id):
            return {"kind": Kind.RENEW, "subscriptionId": subscription_id}
        case Maintain():
            return {"kind": Kind.MAINTAIN}
        case Subscribe(source, event_id):
            return {"kind": Kind.SUBSCRIBE, "source": source, "eventId": event_id}
        case Delete(subscription_id):
            return {"kind": Kind.DELETE, "subscriptionId": subscription_id}


def _job(content: Mapping[str, Any]) -> Job:
    name = content.get("kind")
    read = _READERS.get(name) if isinstance(name, str) else None
    if read is None:
        raise NotOurMessage("The kind of an upkeep message is unknown.")
    return read(content)


def _sweep(content: Mapping[str, Any]) -> Sweep:
    look = envelope.string(content, "look")
    if look is None or not _LOOK.match(look):
        raise NotOurMessage("look of a message is missing or not a name.")
    return Sweep(look, envelope.whole(content, "step"))


def _backfill(content: Mapping[str, Any]) -> Backfill:
    """A day as `to` is meant to its end."""
    start, end = envelope.moment(content, "from"), envelope.moment(content, "to")
    if start is None or end is None:
        raise NotOurMessage("from or to of a message is missing.")
    if "T" not in str(content["to"]):
        end += timedelta(days=1)
    if end <= start:
        raise NotOurMessage("to of a message is not after its from.")
    return Backfill(start, end, content.get("missingOnly") is True)


def _redrive(content: Mapping[str, Any]) -> Redrive:
    outcomes = content.get("outcomes")
    if not isinstance(outcomes, list) or not outcomes or not all(isinstance(each, str) for each in outcomes):
        raise NotOurMessage("outcomes of a message is not a list of outcomes.")
    first, last = _required_day(content, "from"), _required_day(content, "to")
    if last < first:
        raise NotOurMessage("to of a message is before its from.")
    started = envelope.moment(content, "started")
    after = envelope.string(content, "after")
    return Redrive(frozenset(outcomes), first, last, content.get("opened") is True, started, after)


def _subscribe(content: Mapping[str, Any]) -> Subscribe:
    event_id = envelope.string(content, "eventId")
    source = envelope.string(content, "source")
    if source is None or source not in set(EventKind) or event_id is None or not EVENT_ID.match(event_id):
        raise NotOurMessage("source or eventId of a message names no event.")
    return Subscribe(EventKind(source), event_id)


def _examine(content: Mapping[str, Any]) -> Examine:
    id_, organizers = envelope.string(content, "id"), content.get("organizers")
    if id_ is None or not _EXAMINATION.match(id_):
        raise NotOurMessage("id of a message is missing or not 32 hex digits.")
    if not isinstance(organizers, list) or len(organizers) > MOST_EXAMINED:
        raise NotOurMessage(f"organizers of a message is not a list of at most {MOST_EXAMINED}.")
    if not all(isinstance(each, str) and GUID.match(each) for each in organizers):
        raise NotOurMessage("organizers of a message holds something that is not an object id.")
    return Examine(id_, tuple(each.lower() for each in organizers))


def _part(content: Mapping[str, Any]) -> Part:
    index = envelope.string(content, "index")
    if index is None or not _SHA256.match(index):
        raise NotOurMessage("index of a message is missing or no sha256.")
    numbers = (envelope.whole(content, name) for name in ("part", "parts", "offset", "length"))
    return Part(_required_day(content, "date"), index, *numbers)


def _required_day(content: Mapping[str, Any], name: str) -> date:
    value = envelope.day(content, name)
    if value is None:
        raise NotOurMessage(f"{name} of a message is missing.")
    return value


_READERS: dict[str, Callable[[Mapping[str, Any]], Job]] = {
    Kind.RENEW: lambda content: Renew(envelope.opaque_id(content, "subscriptionId")),
    Kind.DELETE: lambda content: Delete(envelope.opaque_id(content, "subscriptionId")),
    Kind.EXAMINE: _examine,
    Kind.MAINTAIN: lambda _: Maintain(),
    Kind.REFUSED: lambda content: Refused(envelope.whole(content, "count")),
    Kind.SWEEP: _sweep,
    Kind.BACKFILL: _backfill,
    Kind.REDRIVE: _redrive,
    Kind.REFRESH: lambda content: Refresh(_required_day(content, "date")),
    Kind.DAILY: _part,
    Kind.SUBSCRIBE: _subscribe,
}
