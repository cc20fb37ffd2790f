"""Delta tables read back: by a reader of the log that knows the protocol alone, and as files for engines."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.support.blobs import Blob
from tests.support.parquet import rows_of

type Read = Callable[[str], bytes | None]


@dataclass
class Snapshot:
    """A version of a table."""

    version: int = -1
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    protocol: dict[str, Any] = field(default_factory=dict)
    entries: int = 0  # that were read

    def apply(self, action: dict[str, Any]) -> None:
        match action:
            case {"add": {"path": path} as file}:
                self.files[unquote(path)] = file
            case {"remove": {"path": path}}:
                self.files.pop(unquote(path), None)
            case {"txn": {"appId": app_id, "version": version}}:
                self.counters[app_id] = version
            case {"metaData": metadata}:
                self.metadata = metadata
            case {"protocol": protocol}:
                self.protocol = protocol

    @property
    def schema(self) -> dict[str, Any]:
        """The types of the columns by their names."""
        return {each["name"]: each["type"] for each in json.loads(self.metadata["schemaString"])["fields"]}

    def paths(self, day: object) -> set[str]:
        """The files of a day."""
        return {path for path, file in self.files.items() if file["partitionValues"] == {"date": str(day)}}


def read_log(read: Read, root: str, *, whole: bool = False, version: int | None = None) -> Snapshot:
    """Read a log as engines do, or with `whole` from its beginning; up to a version."""
    found, log = Snapshot(), f"{root}/_delta_log/"
    last = None if whole else read(f"{log}_last_checkpoint")
    if last:
        found.version = json.loads(last)["version"]
        body = read(f"{log}{found.version:020}.checkpoint.parquet")
        assert body, "the last checkpoint is missing"
        for row in rows_of(body):
            ((kind, action),) = ((kind, each) for kind, each in row.items() if each)
            found.apply({kind: action})
    while version != found.version and (entry := read(f"{log}{found.version + 1:020}.json")) is not None:
        actions = [json.loads(line) for line in entry.splitlines()]
        keys = [
            (kind, each.get("path") or each.get("appId"))
            for action in actions
            for kind, each in action.items()
        ]
        assert len(set(keys)) == len(keys), "two actions of one entry are about the same"
        for action in actions:
            found.apply(action)
        found.version += 1
        found.entries += 1
    return found


def unpack(blobs: dict[str, Blob], root: str, folder: Path) -> Path:
    """Write a table as files, for engines."""
    for blob in [each for name, each in blobs.items() if name.startswith(f"{root}/")]:
        target = folder / blob.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(blob.body)
    return folder / root
