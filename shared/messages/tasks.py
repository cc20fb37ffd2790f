"""Tasks: maintenance work, one message each on the queue `upkeep`.

The webhook, timers and workers send them; an operator can send `backfill` and `redrive`. Standard library only: the
webhook loads this module.
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

VERSION = 1  # of messages on `upkeep`
MAX_ORGANIZERS = 50
MAX_RENEWED = 20
MAX_SIGNALS = 200  # named in one redrive


def _parse_end(value: object) -> datetime:
    """Read a time, or a date as the end of its day."""
    try:
        end = times.midnight(codec.parse_day(value)) + timedelta(days=1)
    except (ValueError, OverflowError):
        end = codec.parse_moment(value)
    return codec.check_year(end)


def _parse_object_id(value: object) -> str:
    """Read an Entra object id, in lower case."""
    if not isinstance(value, str) or not GUID.match(value):
        raise ValueError("is not an object id")
    return value.lower()


@dataclass(frozen=True)
class RenewSubscription:
    """Renew one subscription, which also reauthorizes it."""

    kind: ClassVar[str] = "renewSubscription"
    subscription_id: OpaqueId


@dataclass(frozen=True)
class MaintainSubscriptions:
    """Renew these subscriptions, then go through all."""

    kind: ClassVar[str] = "maintainSubscriptions"
    subscription_ids: tuple[OpaqueId, ...] = ()


@dataclass(frozen=True)
class NotificationsRefused:
    """Count notifications that carried a wrong clientState."""

    kind: ClassVar[str] = "notificationsRefused"
    count: int = 0
    subscription_ids: tuple[Annotated[str, _parse_object_id], ...] = ()


@dataclass(frozen=True)
class Sweep:
    """Run the next time slice of a scan of Graph's lists.

    `step` numbers the slices: a message for an earlier step is out of date and does nothing.
    """

    kind: ClassVar[str] = "sweep"
    look: Annotated[str, re.compile(r"[a-z][a-z0-9-]{0,63}\Z")]
    step: int = 0


@dataclass(frozen=True)
class Backfill:
    """Start a scan of all calls that started in [start, end).

    With `missing_only`, calls that have an outcome are skipped.
    """

    kind: ClassVar[str] = "backfill"
    start: Annotated[Moment, "from"]
    end: Annotated[datetime, "to", _parse_end]
    missing_only: bool = False

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise ValueError("has a `to` that is not after its `from`")


@dataclass(frozen=True)
class Redrive:
    """Retry the signals with these outcomes on the days from `first` to `last`.

    `opened`: only signals of organizers whose access was restored. `started` is when the first slice began; `after` is
    the last outcome of the first day that is done. `signals`: only these, unless it is empty.
    """

    kind: ClassVar[str] = "redrive"
    outcomes: frozenset[str]
    first: Annotated[Day, "from"]
    last: Annotated[Day, "to"]
    opened: bool = False
    started: Moment | None = None
    after: str | None = None
    signals: tuple[OpaqueId, ...] = ()

    def __post_init__(self) -> None:
        if not self.outcomes:
            raise ValueError("names no outcomes")
        if self.last < self.first:
            raise ValueError("has a `to` that is before its `from`")
        if len(self.signals) > MAX_SIGNALS:
            raise ValueError(f"has more than {MAX_SIGNALS} signals")


@dataclass(frozen=True)
class RefreshDay:
    """Bring a day's manifest up to date."""

    kind: ClassVar[str] = "refreshDay"
    day: Annotated[Day, "date"]


@dataclass(frozen=True)
class WriteDaily:
    """Write one of the `parts` of a day's tables.

    The part covers `length` bytes, from `offset`, of the day's index with this sha256. `pending` parts of it are to be
    written; the others are written before.
    """

    kind: ClassVar[str] = "writeDaily"
    day: Annotated[Day, "date"]
    index: Annotated[str, re.compile(r"[0-9a-f]{64}\Z")]
    number: Annotated[int, "part"]
    parts: int
    offset: int
    length: int
    pending: int = 0


@dataclass(frozen=True)
class CleanTables:
    """Delete the files of a day's tables that nobody names any more.

    With `tables_version`, only if the tables are still of this version.
    """

    kind: ClassVar[str] = "cleanTables"
    day: Annotated[Day, "date"]
    tables_version: int | None = None


@dataclass(frozen=True)
class SubscribeEvent:
    """Subscribe to the attendance reports of a webinar or town hall."""

    kind: ClassVar[str] = "subscribeEvent"
    source: EventKind
    event_id: Annotated[str, EVENT_ID]


@dataclass(frozen=True)
class RecordValidation:
    """Record that Graph's validation message came through the event hub."""

    kind: ClassVar[str] = "recordValidation"


@dataclass(frozen=True)
class DeleteSubscription:
    """Delete one of the app's subscriptions."""

    kind: ClassVar[str] = "deleteSubscription"
    subscription_id: OpaqueId


@dataclass(frozen=True)
class Examine:
    """Run the self-check, with access to these organizers; store its result as `id`."""

    kind: ClassVar[str] = "examine"
    id: Annotated[str, re.compile(r"[0-9a-f]{32}\Z")]
    organizers: tuple[Annotated[str, _parse_object_id], ...]

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
    | RecordValidation
    | Sweep
    | Backfill
    | Redrive
    | RefreshDay
    | WriteDaily
    | CleanTables
)


@dataclass(frozen=True)
class Task:
    """A queue message: the job, and the number of failed attempts."""

    job: Annotated[Job, FLAT]
    traceparent: TraceParent = None
    attempt: int = 0


def serialize_task(task: Task) -> str:
    """Return the queue message of a task."""
    return envelope.dumps({"version": VERSION, **codec.encode(task)})


def parse_task(text: str) -> Task:
    """Read a task from its message. Raises NotOurMessage."""
    return codec.decode(Task, envelope.loads(text, VERSION))
