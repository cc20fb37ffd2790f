"""Tasks: what is to be done apart from archiving, one message of the queue `upkeep` each.

The webhook makes some, timers and workers others, and an operator can send `backfill` and `redrive` by hand. Standard
library only: the webhook loads this module.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, ClassVar

from .. import times
from ..settings import GUID
from . import codec, envelope
from .codec import FLAT, Day, Moment
from .envelope import OpaqueId, TraceParent
from .signals import EVENT_ID, EventKind

VERSION = 1  # of the messages of `upkeep`
MAX_ORGANIZERS = 50


def _end(value: object) -> datetime:
    """A time; a day is meant to its end."""
    try:
        end = times.midnight(codec.parse_day(value)) + timedelta(days=1)
    except (ValueError, OverflowError):
        end = codec.parse_moment(value)
    return codec.check_year(end)


def _object_id(value: object) -> str:
    """An object id of Entra, in lower case."""
    if not isinstance(value, str) or not GUID.match(value):
        raise ValueError("is not an object id")
    return value.lower()


@dataclass(frozen=True)
class RenewSubscription:
    """Renew one subscription, which reauthorizes it too."""

    kind: ClassVar[str] = "renewSubscription"
    subscription_id: OpaqueId


@dataclass(frozen=True)
class MaintainSubscriptions:
    """Go through all subscriptions."""

    kind: ClassVar[str] = "maintainSubscriptions"


@dataclass(frozen=True)
class NotificationsRefused:
    """Note that notifications came with a wrong clientState."""

    kind: ClassVar[str] = "notificationsRefused"
    count: int = 0


@dataclass(frozen=True)
class Sweep:
    """Do the next slice of a look at the lists of Graph; `step` fences as `attempt` does for a signal."""

    kind: ClassVar[str] = "sweep"
    look: Annotated[str, re.compile(r"[a-z][a-z0-9-]{0,63}\Z")]
    step: int = 0


@dataclass(frozen=True)
class Backfill:
    """Begin a look at all calls that started in [start, end).

    `missing_only`: what has an outcome is left as it is, as the sweep does.
    """

    kind: ClassVar[str] = "backfill"
    start: Annotated[Moment, "from"]
    end: Annotated[datetime, "to", _end]
    missing_only: bool = False

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise ValueError("has a to that is not after its from")


@dataclass(frozen=True)
class Redrive:
    """Take up again what settled as one of `outcomes` on the days from `first` to `last`.

    `opened`: only signals of organizers that have opened; `started` is when the first slice of it began, and `after`
    the last outcome of the first day that is done.
    """

    kind: ClassVar[str] = "redrive"
    outcomes: frozenset[str]
    first: Annotated[Day, "from"]
    last: Annotated[Day, "to"]
    opened: bool = False
    started: Moment | None = None
    after: str | None = None

    def __post_init__(self) -> None:
        if not self.outcomes:
            raise ValueError("names no outcomes")
        if self.last < self.first:
            raise ValueError("has a to that is before its from")


@dataclass(frozen=True)
class RefreshDay:
    """Write a day's manifest anew."""

    kind: ClassVar[str] = "refreshDay"
    day: Annotated[Day, "date"]


@dataclass(frozen=True)
class WriteDaily:
    """Write a part of a day's table: `length` bytes of the index with this sha256, from `offset`; one of `parts`."""

    kind: ClassVar[str] = "writeDaily"
    day: Annotated[Day, "date"]
    index: Annotated[str, re.compile(r"[0-9a-f]{64}\Z")]
    number: Annotated[int, "part"]
    parts: int
    offset: int
    length: int


@dataclass(frozen=True)
class SubscribeEvent:
    """Have Graph announce the reports of a webinar or town hall."""

    kind: ClassVar[str] = "subscribeEvent"
    source: EventKind
    event_id: Annotated[str, EVENT_ID]


@dataclass(frozen=True)
class DeleteSubscription:
    """Delete one subscription of the app's identity."""

    kind: ClassVar[str] = "deleteSubscription"
    subscription_id: OpaqueId


@dataclass(frozen=True)
class Examine:
    """Have the app look at what it may and can do, for these organizers too, and put down what it finds as `id`."""

    kind: ClassVar[str] = "examine"
    id: Annotated[str, re.compile(r"[0-9a-f]{32}\Z")]
    organizers: tuple[Annotated[str, _object_id], ...]

    def __post_init__(self) -> None:
        if len(self.organizers) > MAX_ORGANIZERS:
            raise ValueError(f"has more than {MAX_ORGANIZERS} organizers")


Job = (
    DeleteSubscription
    | Examine
    | SubscribeEvent
    | RenewSubscription
    | MaintainSubscriptions
    | NotificationsRefused
    | Sweep
    | Backfill
    | Redrive
    | RefreshDay
    | WriteDaily
)


@dataclass(frozen=True)
class Task:
    """One message: what to do, and how often it has failed so far."""

    job: Annotated[Job, FLAT]
    traceparent: TraceParent = None
    attempt: int = 0


def serialize_task(task: Task) -> str:
    """The queue message of a task."""
    return envelope.dumps({"version": VERSION, **codec.encode(task)})


def parse_task(text: str) -> Task:
    """The task of a message. Raises NotOurMessage."""
    return codec.decode(Task, envelope.loads(text, VERSION))
