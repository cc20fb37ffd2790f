"""The outcomes in storage, one blob for each signal: `outcomes/date=YYYY-MM-DD/<signalId>.json`.

The date is the UTC date on which the meeting ended; before that is known, the date of first sight (the blob then
moves). Metadata repeats `outcome` and `nextattempt`, so that one listing tells all. Which outcome stays is decided in
`fence`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from urllib.parse import unquote

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import ContainerClient

from .. import logs, times
from ..messages.signals import Signal
from ..privacy.redact import ERASED
from ..storage.blobs import get, properties, put
from ..storage.names import partition
from .fence import better, is_stale, partitions
from .outcome import Outcome, Result, dumps, metadata, parse

MAX_RACES = 8
UNREADABLE = "The outcome could not be read."


@dataclass(frozen=True)
class Filed:
    """An outcome as it lies in storage. `is_erased`: a person was taken out of it, and it stays as it is."""

    outcome: Outcome
    name: str
    etag: str
    is_erased: bool = False


@dataclass(frozen=True)
class Glance:
    """An outcome as a listing shows it. `organizer_id` only of those without access; `written` is the first time."""

    name: str
    result: str
    next_attempt: datetime | None
    organizer_id: str | None
    written: datetime

    @property
    def signal_id(self) -> str:
        """The signal whose outcome it is."""
        return unquote(self.name.rsplit("/", 1)[1].removesuffix(".json"))


class Superseded(Exception):
    """The blob changed between reading and writing."""


def overtaken(signal: Signal, filed: Filed | None) -> bool:
    """Whether a message was overtaken by what is filed, or would bring an erased person back.

    One that was is dropped, and the log says so.
    """
    if filed is None or not (filed.is_erased or is_stale(signal, filed.outcome)):
        return False
    outcome = filed.outcome
    logs.info(
        "signal.dropped",
        attempt=signal.attempt,
        outcome=outcome.result,
        meeting=outcome.meeting.meeting_id,
    )
    return True


class Outcomes:
    """The outcomes in one container."""

    def __init__(self, container: ContainerClient) -> None:
        self._container = container

    @staticmethod
    def day_of(name: str) -> date:
        """The partition of the blob `name`."""
        return date.fromisoformat(name.split("date=", 1)[1][:10])

    @staticmethod
    def name(signal_id: str, day: date) -> str:
        """The blob name of a signal's outcome in the partition of `day`."""
        return partition("outcomes", day, signal_id)

    def days(self) -> list[date]:
        """The days that have outcomes, oldest first, in one request for 5,000 of them."""
        folders = self._container.walk_blobs(name_starts_with="outcomes/", delimiter="/")
        days = []
        for folder in folders:
            with contextlib.suppress(ValueError, IndexError):  # a folder of someone else's
                days.append(self.day_of(folder.name))
        return days

    def listed(self, day: date) -> Iterator[Glance]:
        """The outcomes in the partition of `day`, 5,000 a request."""
        blobs = self._container.list_blobs(
            name_starts_with=f"outcomes/date={day.isoformat()}/", include=["metadata"]
        )
        for blob in blobs:
            told = blob.metadata or {}
            yield Glance(
                blob.name,
                told.get("outcome", ""),
                _next_attempt(told),
                told.get("organizerid"),
                blob.creation_time,
            )

    def result(self, name: str) -> str | None:
        """The result in the blob `name`, if it is there."""
        there = properties(self._container, name)
        return (there.metadata or {}).get("outcome", "") if there else None

    def read(self, name: str) -> Filed | None:
        """The outcome in the blob `name`, if it is still there."""
        blob = get(self._container, name)
        if blob is None:
            return None
        try:
            outcome = parse(blob.body)
        except (ValueError, KeyError, TypeError):
            outcome = self._unreadable(name)
        return Filed(outcome, name, blob.etag, ERASED in blob.metadata)

    def _unreadable(self, name: str) -> Outcome:
        """What stands for an outcome that another version or another hand wrote, until it is written over."""
        signal_id = unquote(name.rsplit("/", 1)[1].removesuffix(".json"))
        logs.error("outcome.unreadable", path=name)
        return Outcome(signal_id, Result.FAILED, times.midnight(self.day_of(name)), 0, last_error=UNREADABLE)

    def find(self, signal_id: str, days: Iterable[date]) -> Filed | None:
        """The signal's outcome in the first of `days` that has one."""
        for day in days:
            if filed := self.read(self.name(signal_id, day)):
                return filed
        return None

    def write(self, outcome: Outcome, found: Filed | None) -> None:
        """Write an outcome over `found` (None: over nothing), moving it when its day has become known.

        Raises Superseded when the blob changed meanwhile.
        """
        name = self.name(outcome.signal_id, outcome.day)
        moved = found is not None and found.name != name
        etag = found.etag if found and not moved else None
        if not put(self._container, name, dumps(outcome), etag=etag, metadata=metadata(outcome)):
            raise Superseded
        if found and moved:
            self.remove(found.name)

    def settle(self, signal: Signal, outcome: Outcome, filed: Filed | None) -> tuple[str, Outcome | None]:
        """Write what became of `signal` over what was read (`filed`), unless something better is there.

        The name of the blob that holds the truth now, and what was written to it. Raises Superseded when other
        workers never rest.
        """
        for _ in range(MAX_RACES):
            old = filed.outcome if filed else None
            written = better(outcome, old, stale=is_stale(signal, old))
            if filed and written is None:
                return filed.name, None
            if written is not None:
                try:
                    self.write(written, filed)
                except Superseded:
                    filed = self.find(signal.id, dict.fromkeys((outcome.day, *partitions(signal))))
                    continue
                return self.name(signal.id, written.day), written
        raise Superseded(f"outcome of {signal.id}")

    def remove(self, name: str) -> None:
        """Delete an outcome that lies in another partition now, whatever was written to it meanwhile.

        Nothing is lost: the next message of whoever wrote it finds the outcome where it lies now.
        """
        try:
            self._container.delete_blob(name)
        except ResourceNotFoundError:
            return  # someone else moved it


def _next_attempt(told: Mapping[str, str]) -> datetime | None:
    """What is not a time counts as long past."""
    try:
        return times.parse(told.get("nextattempt"))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
