"""Partitions of a hub: append-only files of events.

    FOLDER/NAMESPACE/HUB/0.jsonl, 1.jsonl        one line of JSON an event, in the order of arrival

An event's offset is the position of its line, and its sequence number is counted on reading. An event that has been
appended survives a crash of either side; half a line, of a writer that died, is passed over.
"""

import fcntl
import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

COUNT = 2
LARGEST_EVENT = 1024 * 1024  # bytes, of the Standard tier


@dataclass(frozen=True)
class Event:
    """An event as a consumer gets it; `next` is the position behind it."""

    body: str
    enqueued: str
    offset: str
    next: int


class Partition:
    """One partition, for a writer or a reader."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def id(self) -> str:
        """Its number."""
        return self._file.stem

    @property
    def size(self) -> int:
        """The position behind its last event."""
        return self._file.stat().st_size if self._file.exists() else 0

    @property
    def hub(self) -> str:
        """The name of its hub."""
        return self._file.parent.name

    def append(self, body: str, offset: str | None = None) -> None:
        """Append an event.

        `offset` replaces the numeric one, as in a hub with geo-replication. Raises ValueError if it is too large.
        """
        if len(body.encode()) > LARGEST_EVENT:
            raise ValueError(f"an event is larger than {LARGEST_EVENT} bytes")
        line = json.dumps({"body": body, "enqueued": datetime.now(UTC).isoformat(), "offset": offset})
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            end = file.seek(0, os.SEEK_END)
            torn = end > 0 and os.pread(file.fileno(), 1, end - 1) != b"\n"
            file.write(b"\n" * torn + line.encode() + b"\n")

    def read(self, position: int, limit: int) -> list[Event]:
        """The next events from a position on, at most `limit`."""
        try:
            file = self._file.open("rb")
        except FileNotFoundError:
            return []
        with file:
            file.seek(position)
            return list(itertools.islice(_events(file, position), limit))

    @contextmanager
    def owned(self) -> Iterator[bool]:
        """Whether this process has the partition for the block: only one at a time does."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.with_suffix(".owner").open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True


def _events(file: BinaryIO, position: int) -> Iterator[Event]:
    while (line := file.readline()).endswith(b"\n"):
        start, position = position, position + len(line)
        try:
            content = json.loads(line)
        except ValueError:
            continue
        yield Event(content["body"], content["enqueued"], content["offset"] or str(start), position)


def partitions(folder: Path, namespace: str, hub: str) -> list[Partition]:
    """The partitions of a hub, which need not exist yet."""
    return [
        Partition(folder / namespace.lower() / hub.lower() / f"{number}.jsonl") for number in range(COUNT)
    ]
