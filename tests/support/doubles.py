"""Containers, queues and Microsoft Graph in memory, for histories.

They follow the real ones in what a race depends on: ETags and conditions with their status codes, delayed messages,
what Graph shows at which time. Every operation asks `Steps` first, which may let others go first, or have it fail.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import IO, Any
from urllib.parse import parse_qs, unquote, urlsplit

from azure.core import MatchConditions
from azure.core.exceptions import (
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)

from shared.errors import AccessDenied, GraphError, NotFound, Throttled, Unavailable
from shared.graph import client
from tests.support.blobs import Blob, BlobClient, Folder, check, coded

PAGE = 2  # call records a page


class Fault(Enum):
    """A failure: the operation is not made, loses its reply, or is made twice."""

    NOT_MADE = 0
    ANSWER_LOST = 1
    MADE_TWICE = 2


@dataclass
class Steps:
    """Simulated time and order; `pause` is called before each operation."""

    now: datetime
    pause: Callable[[], Fault | None] = lambda: None

    def take[T](self, effect: Callable[[], T]) -> T:
        """Make an operation of storage, or have it fail."""
        fault = self.pause()
        if fault is Fault.NOT_MADE:
            raise ServiceRequestError("not made")
        result = effect()
        if fault is Fault.ANSWER_LOST:
            raise ServiceResponseError("the answer was lost")
        return effect() if fault is Fault.MADE_TWICE else result


@dataclass
class Container:
    """The used part of ContainerClient; `watch` gets name, before and after."""

    steps: Steps
    watch: Callable[[str, Blob | None, Blob | None], None] = lambda name, before, after: None
    blobs: dict[str, Blob] = field(default_factory=dict)
    versions: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    is_versioned: bool = False
    earlier: dict[tuple[str, str | None], Blob] = field(default_factory=dict)  # by name and version

    def get_blob_client(self, name: str, version_id: str | None = None) -> BlobClient:
        return BlobClient(self, name, version_id)

    def download_blob(self, name: str, *, offset: int = 0, length: int | None = None) -> Blob:
        def download() -> Blob:
            blob = self._there(name)
            return replace(blob, body=blob.body[offset:][:length])

        return self.steps.take(download)

    def delete_blob(
        self, name: str, *, match_condition: MatchConditions | None = None, etag: str | None = None
    ) -> None:
        def delete() -> None:
            before = self._there(name)
            check(before, match_condition, etag)
            del self.blobs[name]
            self._keep(before)
            self.watch(name, before, None)

        self.steps.take(delete)

    def upload_blob(
        self,
        name: str,
        data: bytes | IO[bytes],
        *,
        overwrite: bool,
        metadata: dict[str, str] | None = None,
        match_condition: MatchConditions | None = None,
        etag: str | None = None,
        **_: object,
    ) -> str:
        body = data if isinstance(data, bytes) else data.read()
        assert overwrite, "without it the client adds a condition of its own"

        def upload() -> str:
            before = self.blobs.get(name)
            check(before, match_condition, etag)
            now = self.steps.now.replace(microsecond=0)  # as in the headers that carry them
            created = before.creation_time if before else now
            version = f'"0x{next(self.versions):X}"'
            if before:
                self._keep(before)
            self.blobs[name] = after = Blob(name, body, dict(metadata or {}), version, created, now)
            self.watch(name, before, after)
            return version

        return self.steps.take(upload)

    def list_blobs(self, *, name_starts_with: str, include: list[str]) -> Iterator[Blob]:
        assert include in (["metadata"], ["metadata", "versions"])
        yield from self.steps.take(lambda: self.below(name_starts_with))
        if "versions" in include:
            yield from [
                blob for blob in list(self.earlier.values()) if blob.name.startswith(name_starts_with)
            ]

    def walk_blobs(self, *, name_starts_with: str, delimiter: str) -> Iterator[Folder]:
        names = self.steps.take(lambda: [blob.name for blob in self.below(name_starts_with)])
        depth = name_starts_with.count(delimiter) + 1
        folders = {delimiter.join(name.split(delimiter)[:depth]) + delimiter for name in names}
        yield from map(Folder, sorted(folders))

    def list_blob_names(self, *, name_starts_with: str = "") -> Iterator[str]:
        yield from (blob.name for blob in self.steps.take(lambda: self.below(name_starts_with)))

    def _keep(self, before: Blob) -> None:
        """Keep a version of what is replaced or deleted, as the account does."""
        if self.is_versioned:
            self.earlier[before.name, before.etag] = replace(
                before, version_id=before.etag, is_current_version=False
            )

    def below(self, prefix: str) -> list[Blob]:
        """The blobs whose names begin with `prefix`, in order.

        Not an operation: for those who check.
        """
        return [self.blobs[name] for name in sorted(name for name in self.blobs if name.startswith(prefix))]

    def _there(self, name: str) -> Blob:
        if name not in self.blobs:
            raise coded(ResourceNotFoundError("404"), "BlobNotFound")
        return self.blobs[name]


@dataclass(eq=False)
class Message:
    """A queue message, visible from `due` on.

    `received` is its dequeue count, `held` its current handler.
    """

    text: str
    due: datetime
    received: int = 0
    held: int = 0
    dies_at: int | None = None  # operations after which whoever handles it dies, longer each time


@dataclass
class Queue:
    """A queue, as the product sends to it and as the Functions host takes from it."""

    steps: Steps
    messages: list[Message] = field(default_factory=list)

    def send(self, text: str, delay: int = 0) -> None:
        """Enqueue a message that nobody sees for `delay` seconds."""
        due = timedelta(seconds=delay)
        self.steps.take(lambda: self.messages.append(Message(text, self.steps.now + due)))

    def drain(self, most: int) -> Iterator[str]:
        """The texts of at most `most` messages, each deleted when the next is requested."""
        for message in self.steps.take(self.visible)[:most]:
            message.due = self.steps.now + timedelta(seconds=60)
            yield message.text
            self.delete(message)

    def delete(self, message: Message) -> None:
        """Complete a message; one that is gone already is no error."""
        self.steps.take(lambda: self.messages.remove(message) if message in self.messages else None)

    def visible(self) -> list[Message]:
        """The messages that can be received now, the one that waits longest first."""
        free = [each for each in self.messages if each.due <= self.steps.now and not each.held]
        return sorted(free, key=lambda each: each.due)


class Loss(Enum):
    """How Graph shows only the first record of a report: a next link is lost, or it counts no more than this one."""

    LINK = 0
    COUNT = 1

    def apply_to(self, report: dict[str, Any]) -> dict[str, Any]:
        """The report as Graph shows it."""
        shown = report | {"attendanceRecords": report["attendanceRecords"][:1]}
        return shown if self is Loss.LINK else shown | {"totalParticipantCount": 1}


@dataclass(frozen=True)
class Call:
    """A call in Graph: its record is `readable` and `listed` from then on.

    `readings` are what Graph shows of its report, from when on. `opens`: when the organizer's access policy is there.
    Times are None for never.
    """

    id: str
    record: dict[str, Any]
    readable: datetime | None
    listed: datetime | None
    organizer: str
    opens: datetime | None
    readings: tuple[tuple[datetime, dict[str, Any]], ...]
    earlier: tuple[datetime, dict[str, Any]] | None = None  # the version before, and until when it is shown
    losses: list[Loss | None] = field(default_factory=list)  # of the next readings of its report
    meeting: dict[str, Any] = field(default_factory=dict)  # what the online meeting tells beside its id

    def shown(self, now: datetime) -> dict[str, Any]:
        """The record as it is now."""
        return self.earlier[1] if self.earlier and now < self.earlier[0] else self.record

    def report(self, now: datetime) -> dict[str, Any] | None:
        """What Graph shows of its report now."""
        return next((report for since, report in reversed(self.readings) if since <= now), None)


class Graph(client.Graph):
    """Microsoft Graph with these calls; paging is the real client's."""

    def __init__(self, steps: Steps, calls: list[Call], records_open: datetime) -> None:
        self._steps = steps
        self._calls = calls
        self._records_open = records_open
        self._of_thread = threading.local()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """As the real one."""
        self._of_thread.until = self._steps.now + timedelta(seconds=seconds)
        try:
            yield
        finally:
            del self._of_thread.until

    def check_time(self, operation: str) -> None:
        """Raise Unavailable when the time that `within` gave is over."""
        now = self._steps.now
        if now > getattr(self._of_thread, "until", now):
            raise Unavailable(operation, "the time limit of this attempt has passed")

    @property
    def request_id(self) -> str | None:
        return None

    def get(self, path: str, operation: str) -> dict[str, Any]:
        self.check_time(operation)
        fault = self._steps.pause()
        if fault is Fault.NOT_MADE:
            raise Unavailable(operation, "no complete answer")
        if fault is Fault.ANSWER_LOST:
            throttled = Throttled(operation, "Graph asks for a retry", status=429)
            throttled.retry_after = 300.0
            raise throttled
        url = urlsplit(path.removeprefix("https://graph/"))
        parts = [unquote(part) for part in url.path.split("/")]
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        return (
            self._records(parts, query, operation)
            if parts[0] == "communications"
            else self._meetings(parts, query, operation)
        )

    def _records(self, parts: list[str], query: dict[str, str], operation: str) -> dict[str, Any]:
        now = self._steps.now
        if now < self._records_open:
            raise _refusal(AccessDenied, operation)
        if len(parts) > 2:
            found = [each for each in self._calls if each.id == parts[2] and _past(each.readable, now)]
            return found[0].shown(now) if found else _missing(operation)
        _, _, first, _, _, _, last = query["$filter"].split()
        offset = int(query.get("$skip", "0"))
        begins = [(each.record["startDateTime"], each) for each in self._calls if _past(each.listed, now)]
        within = [each for begin, each in begins if first <= begin < last]
        items = [_terse(each.shown(now)) for each in within[offset : offset + PAGE]]
        link = f"https://graph/communications/callRecords?$filter={query['$filter']}&$skip={offset + PAGE}"
        return {"value": items} | ({"@odata.nextLink": link} if len(within) > offset + PAGE else {})

    def _meetings(self, parts: list[str], query: dict[str, str], operation: str) -> dict[str, Any]:
        now = self._steps.now
        organized = [each for each in self._calls if each.organizer == parts[1]]
        if not organized or not _past(organized[0].opens, now):
            raise _refusal(AccessDenied, operation)
        if len(parts) == 3:
            wanted = query["$filter"].removeprefix("JoinWebUrl eq '").removesuffix("'")
            found = [
                {"id": meeting_id(each), **each.meeting}
                for each in organized
                if each.record["joinWebUrl"] == wanted
            ]
            return {"value": found[:1]}
        shown = [each.report(now) for each in organized if meeting_id(each) == parts[3]]
        reports = [report for report in shown if report]
        if len(parts) == 5:
            return {"value": [{**report, "attendanceRecords": None} for report in reports]}
        one = next((each for each in reports if each["id"].lower() == parts[5].lower()), None) or _missing(
            operation
        )
        if len(parts) > 6:
            return {"value": one["attendanceRecords"]}
        call = next(each for each in organized if each.report(now) is one)
        loss = call.losses.pop(0) if call.losses else None
        return loss.apply_to(one) if loss else one


def meeting_id(call: Call) -> str:
    """The id of the online meeting that a call was held in."""
    return f"meeting of {call.record['joinWebUrl']}"


def _terse(record: dict[str, Any]) -> dict[str, Any]:
    """A record as the list shows it, with whole seconds and omissions."""
    told = {name: value for name, value in record.items() if name not in record.get("unlisted", ())}
    for name in ("startDateTime", "endDateTime"):
        told[name] = told[name] and re.sub(r"\.\d+Z$", "Z", told[name])
    return told


def _past(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and moment <= now


def _missing(operation: str) -> dict[str, Any]:
    raise _refusal(NotFound, operation)


def _refusal(kind: type[GraphError], operation: str) -> GraphError:
    return kind(operation, "refused by Graph", status=403 if kind is AccessDenied else 404)
