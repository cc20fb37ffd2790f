"""Ledger: one record per signal, `signals/<signalId>.json` in the state container.

Every change is one compare-and-swap. Persons who are erased are taken out of the record first. A refused PUT is not
proof of a conflict: the storage client repeats a PUT whose reply was lost, and another writer may have written since.
The commit's id in the record tells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from azure.storage.blob import ContainerClient

from .. import logs, times
from ..errors import NotOurMessage
from ..messages import codec
from ..privacy.erasures import NO_ERASURES, ErasureList
from ..storage.blobs import delete_blob, get_blob, put_blob, retry_conflicts
from ..storage.names import encode_name_part
from .record import AttemptSeries, Commit, Record, Result
from .redaction import redact_record

FOLDER = "signals/"
UNREADABLE = "The record of this signal could not be read."


@dataclass(frozen=True)
class StoredRecord:
    """A record with the ETag of its blob."""

    record: Record
    etag: str


class Ledger:
    """The records in one container; raises azure.core errors."""

    def __init__(
        self, container: ContainerClient, erasures: Callable[[], ErasureList] = lambda: NO_ERASURES
    ) -> None:
        self._container, self._erasures = container, erasures

    def read(self, signal_id: str) -> StoredRecord | None:
        """Read the record of a signal.

        A record that cannot be parsed reads as failed and is overwritten by the next attempt.
        """
        blob = get_blob(self._container, _path(signal_id))
        if blob is None:
            return None
        try:
            record = codec.loads(Record, blob.body)
        except NotOurMessage as failure:
            logs.error("outcome.unreadable", path=_path(signal_id), error=str(failure))
            record = Record(
                signal_id, Result.FAILED, times.now(), 0, AttemptSeries(times.now()), last_error=UNREADABLE
            )
        return StoredRecord(record, blob.etag)

    def update(
        self,
        signal_id: str,
        change: Callable[[Record | None], Record | None],
        commit: Commit,
        stored: StoredRecord | None = None,
    ) -> tuple[Record | None, bool]:
        """Change a record by compare-and-swap, starting from `stored` (None: no record).

        Return the current record and whether this call changed it. `change` returns None to leave the record as it is.
        A record that is removed meanwhile is not written again. Raises Contention after too many lost races.
        """
        existed = stored is not None

        def attempt() -> tuple[Record | None, bool] | None:
            nonlocal stored
            old = stored.record if stored else None
            new = change(old)
            if new is None:
                return old, False
            new = redact_record(new, self._erasures()).with_commit(commit, old)
            body = codec.dumps(new).encode()
            if put_blob(self._container, _path(signal_id), body, etag=stored.etag if stored else None):
                return new, True
            stored = self.read(signal_id)
            if stored and any(each.id == commit.id for each in stored.record.commits):
                return stored.record, True
            return (None, False) if existed and stored is None else None

        return retry_conflicts(attempt, f"the record of {signal_id}")

    def remove(self, stored: StoredRecord) -> None:
        """Delete a record, unless it has changed since it was read."""
        delete_blob(self._container, _path(stored.record.signal_id), etag=stored.etag)


def _path(signal_id: str) -> str:
    return f"{FOLDER}{encode_name_part(signal_id)}.json"
