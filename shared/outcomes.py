"""Outcomes: what became of each signal, one blob each, `outcomes/date=YYYY-MM-DD/<signalId>.json`.

The date is the UTC date on which the meeting ended; before that is known, the date of first sight (the blob then
moves). Metadata repeats `outcome` and `nextattempt`, so that one listing tells all. An outcome only improves:
`stored` is never replaced by less.

        n: attempt        worker                               a crash between two steps leaves
        1  enqueue message n+1, delayed, with a ticket         message n comes back; the ticket is in no outcome
        2  write the outcome: attempt n+1, that ticket         message n comes back, is below n+1 and is dropped
        3  complete message n                                  nothing
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import unquote

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import ContainerClient

from shared import logs, times
from shared.archive import partition
from shared.signals import FoundBy, Meeting, Signal
from shared.storage import no_container, put

MAX_RACES = 8
UNREADABLE = "The outcome could not be read."
REPEATS = timedelta(hours=4)  # for which Graph delivers a notification again


class Result(StrEnum):
    """The values of `outcome`."""

    STORED = "stored"
    NO_REPORT = "noReport"
    ACCESS_DENIED = "accessDenied"
    NOT_A_MEETING = "notAMeeting"
    NOT_FOUND = "notFound"
    NOT_SUPPORTED = "notSupported"
    EXTERNAL_ORGANIZER = "externalOrganizer"
    OUT_OF_SCOPE = "outOfScope"
    FAILED = "failed"
    PENDING = "pending"


# How much is known, from nothing to all: the better outcome stays.
_RANK = {
    Result.PENDING: 0,
    Result.FAILED: 1,
    Result.NOT_FOUND: 2,
    Result.ACCESS_DENIED: 2,
    Result.STORED: 4,
}
_KNOWN = 3


@dataclass(frozen=True)
class StoredReport:
    """A report as an outcome names it: its id, its end, and its blob."""

    id: str
    end: datetime
    path: str


@dataclass(frozen=True)
class Buried:
    """A message that could not be handled: its queue, and its text as it was."""

    queue: str
    text: str


@dataclass(frozen=True)
class Outcome:
    """One outcome. `attempt` counts the attempts made.

    `next_attempt` and `ticket` belong to the message under way; without a ticket, `next_attempt` is when the sweep
    takes the signal up again.
    """

    signal_id: str
    result: Result
    first_seen: datetime
    attempt: int
    settled: datetime | None = None
    next_attempt: datetime | None = None
    ticket: str | None = None
    meeting: Meeting = field(default_factory=Meeting)
    reports: tuple[StoredReport, ...] = ()
    last_error: str | None = None
    buried: Buried | None = None

    @property
    def day(self) -> date:
        """The partition it belongs in."""
        return (self.meeting.end or self.first_seen).astimezone(UTC).date()


@dataclass(frozen=True)
class Filed:
    """An outcome as it lies in storage."""

    outcome: Outcome
    name: str
    etag: str


@dataclass(frozen=True)
class Glance:
    """An outcome as a listing shows it. `organizer_id` only of those without access; `written` is the first time."""

    name: str
    result: str
    next_attempt: datetime | None
    organizer_id: str | None
    written: datetime


class Superseded(Exception):
    """The blob changed between reading and writing."""


def partitions(signal: Signal) -> tuple[date, ...]:
    """Where an outcome may lie before the call record is read: where it was filed, or by the time of first sight.

    That can be the day before, for Graph repeats a notification for hours.
    """
    if signal.filed:
        return (signal.filed,)
    return tuple(dict.fromkeys((signal.first_seen.date(), (signal.first_seen - REPEATS).date())))


def again(outcome: Outcome, found_by: FoundBy = FoundBy.NOTIFICATION) -> Signal | None:
    """The signal that takes an outcome up: its attempt is beyond the outcome's, so a message under way is fenced off.

    What was settled gets a window of its own. None for an outcome of a message that nobody could read.
    """
    if not outcome.signal_id.startswith("cr-"):
        return None
    anew = outcome.result is not Result.PENDING
    attempt = outcome.attempt + 1
    return Signal(
        call_id=outcome.signal_id.removeprefix("cr-"),
        first_seen=outcome.first_seen,
        attempt=attempt,
        filed=outcome.day,
        found_by=found_by,
        since=times.now() if anew else None,
        base=attempt if anew else 0,
    )


def is_stale(signal: Signal, outcome: Outcome | None) -> bool:
    """Whether a message was overtaken: someone made its attempt, or another message continues the outcome."""
    if outcome is None or signal.attempt > outcome.attempt:
        return False
    return signal.attempt < outcome.attempt or signal.ticket != outcome.ticket


def better(new: Outcome, old: Outcome | None, *, stale: bool) -> Outcome | None:
    """What to write over `old`, or None to leave it.

    The message in turn may not replace an outcome by one that knows less; it then only moves the fence. A message
    that was overtaken while it worked (`stale`) still improves what it finds; the attempt then moves past the
    other's, whose message is dropped.
    """
    if old is None:
        return new
    gain = _rank(new.result) - _rank(old.result)
    if (stale and gain <= 0) or (gain < 0 and old.result is Result.STORED):
        return None
    if gain < 0:
        new = replace(new, result=old.result, settled=old.settled, reports=old.reports, buried=old.buried)
    if new.attempt > old.attempt or (new.attempt == old.attempt and new.ticket is not None):
        return new
    return replace(new, attempt=old.attempt + 1, ticket=None, next_attempt=None)


def _rank(result: Result) -> int:
    return _RANK.get(result, _KNOWN)


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
            metadata = blob.metadata or {}
            yield Glance(
                blob.name,
                metadata.get("outcome", ""),
                _next_attempt(metadata),
                metadata.get("organizerid"),
                blob.creation_time,
            )

    def read(self, name: str) -> Filed | None:
        """The outcome in the blob `name`, if it is still there."""
        try:
            download = self._container.download_blob(name)
        except ResourceNotFoundError as missing:
            if no_container(missing):
                raise
            return None
        try:
            outcome = parse(download.readall())
        except (ValueError, KeyError, TypeError):
            outcome = self._unreadable(name)
        return Filed(outcome, name, download.properties.etag)

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
        if not put(self._container, name, dumps(outcome), etag=etag, metadata=_metadata(outcome)):
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


def dumps(outcome: Outcome) -> bytes:
    """The outcome's blob: one line of JSON; schema in docs/consumers.md."""
    meeting = outcome.meeting
    content = {
        "signalId": outcome.signal_id,
        "outcome": outcome.result,
        "reports": [
            {"id": report.id, "end": times.text(report.end), "path": report.path}
            for report in outcome.reports
        ],
        "organizerId": meeting.organizer_id,
        "meetingId": meeting.meeting_id,
        "joinWebUrl": meeting.join_url,
        "start": times.optional_text(meeting.start),
        "end": times.optional_text(meeting.end),
        "firstSeen": times.text(outcome.first_seen),
        "settled": times.optional_text(outcome.settled),
        "attempt": outcome.attempt,
        "nextAttempt": times.optional_text(outcome.next_attempt),
        "ticket": outcome.ticket,
        "lastError": outcome.last_error,
        "buried": asdict(outcome.buried) if outcome.buried else None,
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def parse(body: bytes) -> Outcome:
    """Read an outcome's blob. Raises ValueError, KeyError or TypeError for one that this product did not write."""
    content: dict[str, Any] = json.loads(body)
    first_seen = times.parse(content["firstSeen"])
    if first_seen is None:
        raise ValueError("an outcome has no firstSeen")
    return Outcome(
        signal_id=content["signalId"],
        result=Result(content["outcome"]),
        first_seen=first_seen,
        attempt=content["attempt"],
        settled=times.parse(content["settled"]),
        next_attempt=times.parse(content["nextAttempt"]),
        ticket=content["ticket"],
        meeting=Meeting(
            times.parse(content["start"]),
            times.parse(content["end"]),
            content["joinWebUrl"],
            content["organizerId"],
            content["meetingId"],
        ),
        reports=tuple(
            StoredReport(report["id"], times.parse(report["end"]) or first_seen, report["path"])
            for report in content["reports"]
        ),
        last_error=content["lastError"],
        buried=Buried(**content["buried"]) if content.get("buried") else None,
    )


def _next_attempt(metadata: Mapping[str, str]) -> datetime | None:
    """What is not a time counts as long past."""
    try:
        return times.parse(metadata.get("nextattempt"))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)


def _metadata(outcome: Outcome) -> dict[str, str]:
    metadata = {"outcome": str(outcome.result)}
    if outcome.next_attempt:
        metadata["nextattempt"] = times.text(outcome.next_attempt)
    if outcome.result is Result.ACCESS_DENIED and outcome.meeting.organizer_id:
        metadata["organizerid"] = outcome.meeting.organizer_id
    return metadata
