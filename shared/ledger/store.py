"""The ledger: one record for each signal, `signals/<signalId>.json` in the state container.

Every change is one compare-and-swap. A writer whose PUT is refused may have written all the same, for the storage
client repeats a PUT whose reply was lost, and another may have written since: the id of its commit tells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from azure.storage.blob import ContainerClient

from .. import logs, times
from ..errors import NotOurMessage
from ..messages import codec
from ..storage.blobs import delete, get, put, until_written
from ..storage.names import name_part
from .record import AttemptSeries, Commit, Record, Result

FOLDER = "signals/"
UNREADABLE = "The record of this signal could not be read."


@dataclass(frozen=True)
class StoredRecord:
    """A record as it was read, and the ETag of its blob."""

    record: Record
    etag: str


class Ledger:
    """The records in one container. Raises azure.core errors when storage does not answer."""

    def __init__(self, container: ContainerClient) -> None:
        self._container = container

    def read(self, signal_id: str) -> StoredRecord | None:
        """The record of a signal. One that this product did not write reads as failed, to be written over."""
        blob = get(self._container, _path(signal_id))
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
        """Write what `change` makes of the record, starting from `stored` (None: from no record).

        Return the record as it is now and whether this call changed it; `change` returns None to leave it. A record
        that is removed meanwhile is not written again. Raises Contention after too many lost races.
        """
        existed = stored is not None

        def attempt() -> tuple[Record | None, bool] | None:
            nonlocal stored
            old = stored.record if stored else None
            new = change(old)
            if new is None:
                return old, False
            new = new.with_commit(commit, old)
            body = codec.dumps(new).encode()
            if put(self._container, _path(signal_id), body, etag=stored.etag if stored else None):
                return new, True
            stored = self.read(signal_id)
            if stored and any(each.id == commit.id for each in stored.record.commits):
                return stored.record, True
            return (None, False) if existed and stored is None else None

        return until_written(attempt, f"the record of {signal_id}")

    def remove(self, stored: StoredRecord) -> None:
        """Delete a record, unless it has changed since it was read."""
        delete(self._container, _path(stored.record.signal_id), etag=stored.etag)


def _path(signal_id: str) -> str:
    return f"{FOLDER}{name_part(signal_id)}.json"
