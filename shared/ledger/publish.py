"""Published outcomes for consumers: `outcomes/date=YYYY-MM-DD/<signalId>.json`.

        put the copy in the record's day, if its revision is greater ─▶ delete those of earlier days ─▶ read the record
              ▲                                                        again: has its day changed meanwhile? ──┐
              └───────────────────────────────── yes ──────────────────────────────────────────────────────────┘

Any number of publishers may do this at once, in any order and again after a crash: in the end there is one copy, that
of the last record (tests/model/test_publishing.py tries every interleaving). The metadata repeats what listings need.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial

from azure.storage.blob import BlobProperties, ContainerClient

from .. import logs, times
from ..privacy.erasures import NO_ERASURES, ErasureList
from ..storage.blobs import delete_blob, get_blob, get_properties, put_blob, retry_conflicts
from ..storage.names import day_blob_name, day_folder, decode_name_part
from .merge import merge_attempt
from .record import (
    UNCONFIRMED,
    AttemptSeries,
    NextAttempt,
    Purpose,
    Record,
    Result,
    commits_of_copy,
    dump_outcome,
    load_outcome,
    new_commit,
    outcome_metadata,
)
from .redaction import redact_record
from .store import Ledger

FOLDER = "outcomes"
UNREADABLE = "The outcome could not be read."


@dataclass(frozen=True)
class OutcomeSummary:
    """An outcome as a listing shows it.

    `version` is that of the call record, 0 if unknown. `organizer_id` is set only for denied outcomes; `written` is the
    time of the first write. `join_url_key` is that of the meeting's link, if it is known. `is_unconfirmed`: Graph does
    not know the signal's subject. `end` is the call's, `stored` when its first report was stored.
    """

    name: str
    result: str
    version: int
    next_attempt: datetime | None
    organizer_id: str | None
    written: datetime
    join_url_key: str | None = None
    is_unconfirmed: bool = False
    end: datetime | None = None
    first_seen: datetime | None = None
    stored: datetime | None = None

    @property
    def signal_id(self) -> str:
        """The id of its signal."""
        return signal_id_of(self.name)


class Outcomes:
    """Published outcomes in one container; raises azure.core errors."""

    def __init__(
        self, container: ContainerClient, erasures: Callable[[], ErasureList] = lambda: NO_ERASURES
    ) -> None:
        self._container, self._erasures = container, erasures

    @staticmethod
    def day_of(name: str) -> date:
        """Return the partition of a blob name."""
        return date.fromisoformat(name.split("date=", 1)[1][:10])

    @staticmethod
    def name(signal_id: str, day: date) -> str:
        """Return the blob name of a signal's outcome in the partition of `day`."""
        return day_blob_name(FOLDER, day, signal_id)

    def days(self) -> list[date]:
        """Return the days that have outcomes, oldest first, 5,000 per request."""
        days = []
        for each in self._container.walk_blobs(name_starts_with=f"{FOLDER}/", delimiter="/"):
            with contextlib.suppress(ValueError, IndexError):  # a folder of someone else's
                days.append(self.day_of(each.name))
        return days

    def list(self, day: date) -> Iterator[OutcomeSummary]:
        """The outcomes in the partition of `day`, 5,000 a request."""
        for blob in self._container.list_blobs(
            name_starts_with=day_folder(FOLDER, day), include=["metadata"]
        ):
            yield _summary(blob)

    def find(self, name: str) -> OutcomeSummary | None:
        """The outcome in the blob `name`, if it is there."""
        blob = get_properties(self._container, name)
        return _summary(blob) if blob else None

    def read(self, name: str) -> Record | None:
        """Read the record behind a copy, for a signal whose record is gone."""
        blob = get_blob(self._container, name)
        if blob is None:
            return None
        try:
            return load_outcome(blob.body, blob.metadata)
        except (ValueError, KeyError, TypeError):
            logs.error("outcome.unreadable", path=name)
            return self._placeholder(name, blob.metadata)

    def _placeholder(self, name: str, metadata: Mapping[str, str]) -> Record:
        """Return a record for a copy that this product did not write.

        It is checked soon and overwritten.
        """
        day = self.day_of(name)
        seen = _first_seen(metadata) or times.midnight(day)
        next_attempt = NextAttempt(0, seen, Purpose.LOOK)
        series, signal_id = AttemptSeries(seen), signal_id_of(name)
        return Record(
            signal_id,
            Result.FAILED,
            seen,
            0,
            series,
            next_attempt,
            last_error=UNREADABLE,
            revision=_revision(metadata),
            days=(day,),
            commits=commits_of_copy(metadata, seen),
        )

    def publish(self, record: Record, ledger: Ledger) -> Record:
        """Publish the record and delete older copies. Return the current record.

        Raises Contention after too many lost races.
        """

        def attempt() -> Record | None:
            nonlocal record
            *earlier, day = record.days
            name = self.name(record.signal_id, day)
            etag, other = retry_conflicts(lambda: self._put(name, record), name)
            names = (self.name(record.signal_id, each) for each in earlier)
            left = {name: other} | {each: self._delete_older(each, record) for each in names}
            stored = ledger.read(record.signal_id)
            if stored is None:  # it was removed meanwhile, so its copy goes too
                if etag:
                    delete_blob(self._container, name, etag=etag)
                return record
            days, record = record.days, stored.record
            unknown = next((each for each, metadata in left.items() if _is_unknown(metadata, record)), None)
            if unknown is None:
                return record if record.days == days else None
            if copy := self.read(unknown):
                change = partial(_adopt, copy=copy)
                adopted, _ = ledger.update(record.signal_id, change, new_commit("adopted"), stored)
                record = adopted or record
            return None

        return retry_conflicts(attempt, f"the outcome of {record.signal_id}")

    def _put(self, name: str, record: Record) -> tuple[str | None, Mapping[str, str]] | None:
        """Write a copy, unless there is one that is as new or not in the record.

        A first copy is written without reading. Return the ETag of this revision's copy, or None if another was left,
        and the metadata of the copy that was left. Return None if another writer was faster.
        """
        record = redact_record(record, self._erasures())
        metadata, etag = outcome_metadata(record), None
        if record.revision == 1 and (
            written := put_blob(self._container, name, dump_outcome(record), etag=None, metadata=metadata)
        ):
            return written, {}
        if blob := get_properties(self._container, name):
            other, etag = blob.metadata or {}, blob.etag
            if _is_unknown(other, record):
                return None, other
            if _revision(other) == record.revision:  # a PUT whose reply was lost, or another publisher's
                return etag, other
        written = put_blob(self._container, name, dump_outcome(record), etag=etag, metadata=metadata)
        return (written, {}) if written else None

    def _delete_older(self, name: str, record: Record) -> Mapping[str, str]:
        """Delete the copy `name`, unless it is of a commit not in the record.

        It may be newer, if the call's end has moved back to its day meanwhile. A copy that changes before it is deleted
        is left to its writer, which publishes again. Return the metadata of a copy that is not in the record.
        """
        blob = get_properties(self._container, name)
        metadata = (blob and blob.metadata) or {}
        if blob is None or _is_unknown(metadata, record):
            return metadata
        delete_blob(self._container, name, etag=blob.etag)
        return {}

    def remove(self, record: Record) -> None:
        """Delete the copies of a removed record, but none adopted by another record."""
        for day in record.days:
            name = self.name(record.signal_id, day)
            blob = get_properties(self._container, name)
            if blob and not _is_unknown(blob.metadata or {}, record):
                delete_blob(self._container, name, etag=blob.etag)


def _summary(blob: BlobProperties) -> OutcomeSummary:
    metadata = blob.metadata or {}
    version = metadata.get("version", "")
    return OutcomeSummary(
        blob.name,
        metadata.get("outcome", ""),
        int(version) if version.isdecimal() else 0,
        _next_attempt(metadata),
        metadata.get("organizerid"),
        blob.creation_time,
        join_url_key=_join_url_key(metadata),
        is_unconfirmed=UNCONFIRMED in metadata,
        end=times.possible(metadata.get("end")),
        first_seen=times.possible(metadata.get("firstseen")),
        stored=times.possible(metadata.get("stored")),
    )


def _join_url_key(metadata: Mapping[str, str]) -> str | None:
    """Return the key of the meeting's link, or None for a foreign blob."""
    with contextlib.suppress(KeyError, ValueError):
        return decode_name_part(metadata["joinurlkey"])
    return None


def signal_id_of(name: str) -> str:
    """Return the signal id of an outcome's blob name."""
    return decode_name_part(name.rsplit("/", 1)[1].removesuffix(".json"))


def _adopt(record: Record | None, copy: Record) -> Record | None:
    """Return the record merged with a copy of a commit that it does not have, or None.

    The commit is of another record of the signal, or was lost when an older one was restored.
    """
    if record is None or {each.id for each in copy.commits} <= {each.id for each in record.commits}:
        return None
    adopted = merge_attempt(copy, record, copy.attempt) or copy
    return replace(
        adopted,
        revision=max(copy.revision, record.revision),
        commits=(*record.commits, *copy.commits),
    )


def _is_unknown(metadata: Mapping[str, str], record: Record) -> bool:
    """Whether a copy is of a commit not in the record; a foreign blob is of none."""
    return "commit" in metadata and all(each.id != metadata["commit"] for each in record.commits)


def _revision(metadata: Mapping[str, str]) -> int:
    """Return the revision of a copy, or 0 for one this product did not write."""
    value = metadata.get("revision", "")
    return int(value) if value.isdecimal() and _first_seen(metadata) else 0


def _first_seen(metadata: Mapping[str, str]) -> datetime | None:
    """Return the signal's first sight, or None."""
    return times.possible(metadata.get("firstseen"))


def _next_attempt(metadata: Mapping[str, str]) -> datetime | None:
    """Return the time of the next attempt; an invalid time counts as long past."""
    value = metadata.get("nextattempt")
    return times.possible(value) or (times.EARLIEST if value else None)
