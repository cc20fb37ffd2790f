"""Delta log of a table.

By it engines open its folder in one line and see whole states only. A commit is one blob,
`tables/<table>/_delta_log/<20 digits>.json`, written only if it is absent. It replaces the files of one day by
those that the day's manifest names, with their `counter` as the version of a `txn` action:

    read the log: last checkpoint, entries since ─▶ day's counter is higher? ─▶ yes: nothing to do
           ▲                                             │ same, and same files: nothing to do
           │                                             ▼ lower
           └──────── somebody else was faster ──── put the next entry

So a repetition does nothing, and a writer with an older set cannot win. A write whose reply was lost finds its own
entry when it reads the log again.

Every 100 commits a checkpoint is written, so nobody has to read the log from its beginning. Of the log's 80,000 files
(400 days of 200 parts), memory holds those of the day at hand. The log names nobody: paths are hashes, statistics are
counts and times. Source: https://github.com/delta-io/delta/blob/master/PROTOCOL.md
"""

from __future__ import annotations

import itertools
import json
import re
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobProperties, ContainerClient

from .. import logs, times
from ..errors import Contention, DeltaRefused
from ..storage.blobs import (
    THREADS,
    delete_or_leave,
    get_blob,
    is_container_missing,
    put_blob,
    run_in_parallel,
)
from .columns import BOOLEAN, COLUMNS, INTEGER, LONG, MAP, SCHEMA_VERSION, STRING, TIMESTAMP, Columns, Table
from .parquet import read_parquet, write_parquet

READER, WRITER = 1, 2  # versions of the protocol
CHECKPOINT_COMMITS = 100
SUPERSEDED_KEPT = timedelta(days=1)  # files that no manifest names any more
LOG_KEPT = timedelta(days=30)  # Delta's own default
MOST_DELETED = 500  # entries of a log in one run
MOST_REMOVED = 5_000  # files of days that retention is about to delete, in one commit
RETIRED_EARLY = timedelta(days=2)  # before storage deletes a file: it must be in no state that somebody reads
MAX_RACES = 100  # each lost race is another day's commit
PARTITION = "date"
SPOOL_BYTES = 4 * 1024 * 1024
_SCHEMA = "attendance.schemaVersion"  # in the table's configuration
_LAST_CHECKPOINT = "_last_checkpoint"
_DATE = re.compile(rb'"date": ?"(\d{4}-\d\d-\d\d)"')  # of a file's partition; in texts the quotes are escaped
_VERSION = re.compile(r"(\d{20})(\.json|\.checkpoint\.parquet)")
_ENTRY, _CHECKPOINT = ".json", ".checkpoint.parquet"
_PARQUET = "application/vnd.apache.parquet"
_PROTOCOL = {"protocol": {"minReaderVersion": READER, "minWriterVersion": WRITER}}
_FILE: Columns = {"path": STRING, "partitionValues": MAP, "size": LONG, "dataChange": BOOLEAN}
CHECKPOINT: Columns = {
    "txn": {"appId": STRING, "version": LONG},
    "add": {**_FILE, "modificationTime": LONG, "stats": STRING},
    "remove": {**_FILE, "deletionTimestamp": LONG, "extendedFileMetadata": BOOLEAN},
    "metaData": {
        **dict.fromkeys(("id", "name"), STRING),
        "format": {"provider": STRING, "options": MAP},
        "schemaString": STRING,
        "partitionColumns": [STRING],
        "configuration": MAP,
        "createdTime": LONG,
    },
    "protocol": {"minReaderVersion": INTEGER, "minWriterVersion": INTEGER},
}

type Action = dict[str, Any]


@dataclass(frozen=True)
class DataFile:
    """File that a manifest names.

    Its blob, rows, bytes, and bounds of its time columns. `written` is None if it is gone.
    """

    name: str
    rows: int
    bytes: int
    written: datetime | None
    bounds: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass
class _State:
    """A version of the table, with the files of some days only."""

    is_wanted: Callable[[str], bool]  # whether it holds the files of this date
    version: int = -1
    checkpoint: int = -1
    metadata: Action | None = None
    counters: dict[str, int] = field(default_factory=dict)
    files: dict[str, Action] = field(default_factory=dict)

    def advance(self, entry: Iterable[bytes]) -> None:
        """Apply the next entry of the log."""
        for line in entry:
            self.apply(line)
        self.version += 1

    def apply(self, line: bytes) -> None:
        """Apply an action."""
        found = _DATE.search(line)
        if found and not self.is_wanted(found[1].decode()):
            return
        for kind, action in json.loads(line).items():
            match kind:
                case "add" if self.is_wanted(_date_of(action)):
                    self.files[action["path"]] = action
                case "remove":
                    self.files.pop(action["path"], None)
                case "txn":
                    self.counters[action["appId"]] = action["version"]
                case "metaData":
                    self.metadata = action
                case "protocol":
                    _check_protocol(action)


class DeltaLog:
    """Delta log of one table.

    Raises azure.core errors, and DeltaRefused for a log that somebody else changed.
    """

    def __init__(self, container: ContainerClient, table: Table, retention_days: int = 0) -> None:
        self._container, self._table, self._retention_days = container, table, retention_days
        self._root = f"tables/{table}/"

    def create(self) -> None:
        """Create an empty table if there is none."""
        if not self._blobs():
            self._put(0, "CREATE TABLE", [_PROTOCOL, self._metadata(None)])

    def replace_day(self, day: date, counter: int, files: Sequence[DataFile]) -> int | None:
        """Have the table name exactly these files of a day.

        Return a version that does; None if a later set of files has been committed. A day of which a file is gone, or
        about to be deleted by retention, leaves the table. Raises Contention after too many lost races.
        """
        is_kept = all(each.written and _milliseconds(each.written) >= self._expired for each in files)
        app_id, new = f"{PARTITION}={day}", [self._add(day, each) for each in files]
        paths = {each["add"]["path"] for each in new}

        def actions(state: _State) -> list[Action] | None:
            """Return what is to be committed; None if a later set has been."""
            committed = state.counters.get(app_id, 0)
            if committed > counter:
                return None
            old = {path: each for path, each in state.files.items() if _date_of(each) == str(day)}
            if not is_kept:
                return [_txn(app_id, 0), *map(_remove, old.values())] if old else []
            if old.keys() == paths and committed == counter:
                return []
            removed = [_remove(each) for path, each in old.items() if path not in paths]
            added = [each for each in new if each["add"]["path"] not in old]
            return [_txn(app_id, counter), *removed, *added]

        return self._commit(str(day), actions)

    def retire(self) -> None:
        """Remove the days with files that retention is about to delete."""
        if self._retention_days:
            self._commit("", lambda state: [])

    def _commit(self, day: str, actions: Callable[[_State], list[Action] | None]) -> int | None:
        """Commit the actions that follow from the newest version.

        And remove the days that are to be retired.
        """
        retired = str(times.now().date() - self._retention) if self._retention_days else ""
        state = self._read(lambda other: other == day or other <= retired)
        for _ in range(MAX_RACES):
            wanted = actions(state)
            if wanted is None:
                return None
            wanted = [*wanted, *self._retired(state, day)]
            if not wanted:
                break
            if _schema_version(state.metadata) < SCHEMA_VERSION:
                wanted = [self._metadata(state.metadata), *wanted]
            if self._put(state.version + 1, "WRITE", wanted):
                state.advance(map(_line, wanted))
                break
            self._advance(state)
        else:
            raise Contention(f"the log of {self._root}")
        if state.version - max(state.checkpoint, 0) >= CHECKPOINT_COMMITS:
            self._write_checkpoint(state)
            self._clean()
        return state.version

    def _read(self, is_wanted: Callable[[str], bool]) -> _State:
        """Read the newest version."""
        state = _State(is_wanted)
        state.version = state.checkpoint = self._last_checkpoint()
        for line in self._checkpoint_lines(state.checkpoint):
            state.apply(line)
        self._advance(state)
        if state.version < 0:
            self.create()
            self._advance(state)
        if state.metadata is None:
            raise DeltaRefused(f"the beginning of that of {self._root} is missing")
        return state

    def _advance(self, state: _State) -> None:
        """Bring a state to the newest version."""
        for entry in self._entries(state.version + 1):
            state.advance(entry.splitlines())

    def _entries(self, version: int) -> Iterator[bytes]:
        """Yield the entries from a version on."""
        size = 1
        while True:
            blobs = run_in_parallel(
                lambda number: get_blob(self._container, self._name(number)), range(version, version + size)
            )
            for blob in blobs:
                if blob is None:
                    return
                yield blob.body
            version, size = version + size, THREADS

    def _last_checkpoint(self) -> int:
        """Return the version of the last checkpoint; -1 if there is none.

        Somebody else's in several parts is not read, but the one before.
        """
        blob = get_blob(self._container, self._path(_LAST_CHECKPOINT))
        told = json.loads(blob.body) if blob else {"parts": 0}
        if "parts" not in told:
            return int(told["version"])
        return max(
            (version for version, blob in self._blobs() if blob.name.endswith(_CHECKPOINT)), default=-1
        )

    def _checkpoint_lines(self, version: int) -> Iterator[bytes]:
        """Yield the actions of a checkpoint."""
        if version < 0:
            return
        with (
            tempfile.SpooledTemporaryFile(SPOOL_BYTES) as file,
            tempfile.SpooledTemporaryFile(SPOOL_BYTES) as lines,
        ):
            try:
                for chunk in self._container.download_blob(self._name(version, _CHECKPOINT)).chunks():
                    file.write(chunk)
            except ResourceNotFoundError as missing:
                if is_container_missing(missing):
                    raise
                raise DeltaRefused(f"{self._name(version, _CHECKPOINT)} is missing") from None
            file.seek(0)
            read_parquet(file, lines)
            lines.seek(0)
            yield from lines

    def _write_checkpoint(self, state: _State) -> None:
        """Write the state as a checkpoint, then say that it is the last one."""
        latest: dict[str, Action] = {}  # of the files that were changed since the last checkpoint
        for entry in itertools.islice(self._entries(state.checkpoint + 1), state.version - state.checkpoint):
            for action in map(json.loads, entry.splitlines()):
                if file := action.get("add") or action.get("remove"):
                    latest[file["path"]] = action
        actions = adds = 0
        with (
            tempfile.SpooledTemporaryFile(SPOOL_BYTES) as lines,
            tempfile.SpooledTemporaryFile(SPOOL_BYTES) as file,
        ):
            for line in self._state_lines(state, latest):
                actions, adds = actions + 1, adds + line.startswith(b'{"add"')
                lines.write(line)
            lines.seek(0)
            write_parquet(lines, CHECKPOINT, file)
            size = file.tell()
            put_blob(
                self._container,
                self._name(state.version, _CHECKPOINT),
                file,
                etag=None,
                content_type=_PARQUET,
            )
        before = get_blob(self._container, self._path(_LAST_CHECKPOINT))
        if before is None or json.loads(before.body)["version"] < state.version:
            told = {"version": state.version, "size": actions, "sizeInBytes": size, "numOfAddFiles": adds}
            etag = before.etag if before else None
            put_blob(self._container, self._path(_LAST_CHECKPOINT), _line(told), etag=etag)
        logs.info("delta.checkpoint", table=self._table, version=state.version, files=adds, bytes=size)

    def _state_lines(self, state: _State, latest: Mapping[str, Action]) -> Iterator[bytes]:
        """Yield the actions of a checkpoint.

        Those of the last one that still hold, and those since.
        """
        yield _line(_PROTOCOL)
        yield _line({"metaData": state.metadata})
        for app_id, version in state.counters.items():
            yield _line(_txn(app_id, version))
        oldest = _milliseconds(times.now() - SUPERSEDED_KEPT)
        for line in self._checkpoint_lines(state.checkpoint):
            action = json.loads(line)
            file = action.get("add") or action.get("remove")
            if file and file["path"] not in latest and _holds(action, oldest):
                yield line
        for action in latest.values():
            if _holds(action, oldest):
                yield _line({kind: {**file, "dataChange": False} for kind, file in action.items()})

    def _clean(self) -> None:
        """Delete entries older than LOG_KEPT, the oldest first.

        Those that a checkpoint as old makes superfluous.
        """
        blobs, cutoff = self._blobs(), times.now() - LOG_KEPT
        old = [each for each in blobs if each[1].last_modified <= cutoff]
        last = max((version for version, blob in old if blob.name.endswith(_ENTRY)), default=-1)
        checkpoint = max(
            (version for version, blob in old if blob.name.endswith(_CHECKPOINT) and version <= last),
            default=-1,
        )
        for name in [blob.name for version, blob in blobs if version < checkpoint][:MOST_DELETED]:
            if not delete_or_leave(self._container, name):
                break  # a later one without those before it would be a gap

    def _blobs(self) -> list[tuple[int, BlobProperties]]:
        """List the log's entries and checkpoints by their version."""
        found = self._container.list_blobs(name_starts_with=self._path(""), include=["metadata"])
        named = [(_VERSION.fullmatch(blob.name.removeprefix(self._path(""))), blob) for blob in found]
        return [(int(name[1]), blob) for name, blob in named if name]

    def _retired(self, state: _State, but: str) -> list[Action]:
        """Remove days, oldest first, with files that retention is about to delete."""
        days: dict[str, list[Action]] = {}
        for each in state.files.values():
            days.setdefault(_date_of(each), []).append(each)
        removed: list[Action] = []
        for day, files in sorted(days.items()):
            is_due = any(each["modificationTime"] < self._expired for each in files)
            if day != but and is_due and len(removed) < MOST_REMOVED:
                removed += [_txn(f"{PARTITION}={day}", 0), *map(_remove, files)]
                logs.info("delta.retired", table=self._table, date=day, files=len(files))
        return removed

    def _put(self, version: int, operation: str, actions: Iterable[Action]) -> bool:
        """Write an entry if it is absent. Return whether it was."""
        told = {
            "timestamp": _milliseconds(times.now()),
            "operation": operation,
            "operationParameters": {},
            "engineInfo": "teams-attendance-reports",
            "txnId": str(uuid.uuid4()),
        }
        body = b"".join(map(_line, [{"commitInfo": told}, *actions]))
        if put_blob(self._container, self._name(version), body, etag=None) is None:
            return False
        logs.info("delta.committed", table=self._table, version=version)
        return True

    def _metadata(self, before: Action | None) -> Action:
        """Return the table's metadata with the columns as they are now."""
        fields = {PARTITION: "date", **COLUMNS[self._table]}
        stated = before or {
            "id": str(uuid.uuid4()),
            "name": str(self._table),
            "format": {"provider": "parquet", "options": {}},
            "partitionColumns": [PARTITION],
            "configuration": {
                "delta.checkpointInterval": str(CHECKPOINT_COMMITS),
                "delta.deletedFileRetentionDuration": f"interval {SUPERSEDED_KEPT.days} days",
                "delta.logRetentionDuration": f"interval {LOG_KEPT.days} days",
            },
            "createdTime": _milliseconds(times.now()),
        }
        configuration = {
            **stated["configuration"],
            "delta.dataSkippingStatsColumns": ",".join(time_columns(self._table)),
            _SCHEMA: str(SCHEMA_VERSION),
        }
        schema = json.dumps(_delta_type(fields), separators=(",", ":"))
        return {"metaData": {**stated, "schemaString": schema, "configuration": configuration}}

    def _add(self, day: date, file: DataFile) -> Action:
        bounds = {
            name: {column: each[end] for column, each in file.bounds.items()}
            for end, name in enumerate(("minValues", "maxValues"))
            if file.bounds
        }
        return {
            "add": {
                "path": file.name.removeprefix(self._root),
                "partitionValues": {PARTITION: str(day)},
                "size": file.bytes,
                "modificationTime": _milliseconds(file.written) if file.written else 0,
                "dataChange": True,
                "stats": json.dumps({"numRecords": file.rows, **bounds}, separators=(",", ":")),
            }
        }

    @property
    def _retention(self) -> timedelta:
        return timedelta(days=self._retention_days) - RETIRED_EARLY

    @property
    def _expired(self) -> int:
        """Files that were written before are to be retired."""
        return _milliseconds(times.now() - self._retention) if self._retention_days else 0

    def _name(self, version: int, suffix: str = _ENTRY) -> str:
        return self._path(f"{version:020}{suffix}")

    def _path(self, name: str) -> str:
        return f"{self._root}_delta_log/{name}"


def time_columns(table: Table) -> list[str]:
    """The columns of which statistics have the bounds."""
    return [name for name, kind in COLUMNS[table].items() if kind == TIMESTAMP]


def _delta_type(kind: Any) -> Any:
    """The type in a table's schema. Every column may be null."""
    if isinstance(kind, list):
        return {"type": "array", "elementType": _delta_type(kind[0]), "containsNull": True}
    if isinstance(kind, dict):
        fields = [
            {"name": name, "type": _delta_type(each), "nullable": True, "metadata": {}}
            for name, each in kind.items()
        ]
        return {"type": "struct", "fields": fields}
    return kind


def _schema_version(metadata: Action | None) -> int:
    return int((metadata or {}).get("configuration", {}).get(_SCHEMA, 0))


def _check_protocol(protocol: Action) -> None:
    """Raise DeltaRefused for a protocol that this version does not know."""
    versions = protocol["minReaderVersion"], protocol["minWriterVersion"]
    if versions[0] > READER or versions[1] > WRITER:
        raise DeltaRefused(f"somebody raised its protocol to {versions}")


def _date_of(file: Action) -> str:
    return str((file.get("partitionValues") or {}).get(PARTITION, ""))


def _txn(app_id: str, version: int) -> Action:
    return {"txn": {"appId": app_id, "version": version}}


def _remove(file: Action) -> Action:
    kept = {name: file[name] for name in ("path", "partitionValues", "size")}
    deleted = _milliseconds(times.now())
    return {
        "remove": {**kept, "dataChange": True, "deletionTimestamp": deleted, "extendedFileMetadata": True}
    }


def _holds(action: Action, oldest: int) -> bool:
    """Whether a file is still in the table, or was removed not long ago."""
    return "add" in action or action["remove"].get("deletionTimestamp", 0) >= oldest


def _line(action: Mapping[str, Any]) -> bytes:
    return json.dumps(action, separators=(",", ":")).encode() + b"\n"


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
