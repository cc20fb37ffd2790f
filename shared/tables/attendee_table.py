"""Attendee table: a day's attendees as rows in a few compressed files.

It saves analysts from opening a million small files. When a day is sealed, its index is cut into parts. Each part is
one message on `upkeep`, so the work scales out with the app. A part has the same bytes whoever writes it, and its
metadata names its index; the manifest names the parts once all of them exist.

        index  ──▶ parts ──▶ daily/date=YYYY-MM-DD/part-NNNNN.jsonl.gz ──▶ all of this index? ──▶ manifest.daily
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import ContainerClient

from .. import logs, times
from ..days.manifests import Manifests, index_name
from ..graph import verbatim_json
from ..messages.tasks import WriteDaily
from ..privacy.erasures import NO_ERASURES, ErasureList
from ..privacy.redact import redact_line, redact_report
from ..storage.blobs import (
    delete_blob,
    get_blob,
    get_properties,
    is_container_missing,
    put_blob,
    put_metadata,
)
from ..storage.names import day_folder
from . import rows

PART_BYTES = 64 * 1024 * 1024  # of reports per part, uncompressed
PART_REPORTS = 2_000
THREADS = 8
SPOOL_BYTES = 4 * 1024 * 1024
_TYPE = "application/gzip"
_PACKING = threading.Lock()  # one part at a time per instance, to limit memory


class AttendeeTable:
    """The attendee tables in one container. Raises azure.core errors."""

    def __init__(
        self,
        container: ContainerClient,
        manifests: Manifests,
        erasures: Callable[[], ErasureList] = lambda: NO_ERASURES,
    ) -> None:
        self._container, self._manifests, self._erasures = container, manifests, erasures

    def plan_parts(self, day: date) -> list[WriteDaily]:
        """Return the parts for the day's current index; empty if there is no index."""
        try:
            index = self._container.download_blob(index_name(day))
        except ResourceNotFoundError as missing:
            if is_container_missing(missing):
                raise
            return []
        cuts = list(cut_parts(_sizes(index.chunks())))
        sha256 = (index.properties.metadata or {}).get("sha256", "")
        return [
            WriteDaily(day, sha256, number, len(cuts), offset, length)
            for number, (offset, length) in enumerate(cuts)
        ]

    def write_part(self, part: WriteDaily) -> None:
        """Write one part; after the last one, have the manifest name all parts.

        A part of an outdated index is skipped, because the current index has its own parts.
        """
        lines = self._lines(part)
        if lines is None:
            logs.info("daily.dropped", date=part.day, part=part.number)
            return
        name, metadata = part_name(part.day, part.number), {"index": part.index, "parts": str(part.parts)}
        source = hashlib.sha256(b"".join(lines)).hexdigest()
        existing = get_properties(self._container, name)
        if existing is None or existing.metadata.get("lines") != source:
            with _PACKING:
                self._write(part, lines, metadata | {"lines": source}, existing.etag if existing else None)
        elif existing.metadata.get("index") != part.index:
            # The part is unchanged and also belongs to another index. If it changed meanwhile, its writer records that.
            put_metadata(self._container, name, metadata | {"lines": source}, etag=existing.etag)
        if self._are_all_written(part):
            self._manifests.name_daily(
                part.day, part.index, [part_name(part.day, each) for each in range(part.parts)]
            )

    def _lines(self, part: WriteDaily) -> list[bytes] | None:
        """Return the part's lines of the index, or None if the index has changed."""
        try:
            download = self._container.download_blob(
                index_name(part.day), offset=part.offset, length=part.length
            )
        except ResourceNotFoundError:
            return None
        if (download.properties.metadata or {}).get("sha256") != part.index:
            return None
        return [line for line in download.readall().splitlines(keepends=True) if line.strip()]

    def _write(
        self, part: WriteDaily, lines: list[bytes], metadata: dict[str, str], etag: str | None
    ) -> None:
        """Compress and write the part's rows.

        A report that is gone or is not JSON has no rows; the index still has its line.
        """
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as body:
            count = 0
            with gzip.GzipFile(fileobj=body, mode="wb", filename="", mtime=0) as packed:
                for row in self._rows(lines):
                    packed.write(verbatim_json.dumps(row) + b"\n")
                    count += 1
            size = body.tell()
            name = part_name(part.day, part.number)
            etag_after = put_blob(
                self._container, name, body, etag=etag, metadata=metadata, content_type=_TYPE
            )
        logs.info(
            "daily.written", date=part.day, part=part.number, rows=count, bytes=size, written=etag_after
        )

    def _rows(self, lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
        with ThreadPoolExecutor(THREADS) as threads:
            for batch in itertools.batched(map(json.loads, lines), THREADS, strict=False):
                bodies = threads.map(lambda line: get_blob(self._container, line["path"]), batch)
                for line, blob in zip(batch, bodies, strict=True):
                    report = _parse_report(blob.body) if blob else None
                    if report is None:
                        logs.warning("daily.skipped", report=line["id"], path=line["path"])
                    else:
                        yield from rows.attendee_rows(*self._redact(report, line))

    def _redact(self, report: dict[str, Any], line: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """A report and its line without those who are erased: it may have been read before that."""
        end = times.parse(line.get("end"))
        people = self._erasures().people(end) if end else None
        if people is None:
            return report, line
        redacted = redact_report(report, people)
        return json.loads(redacted.body) if redacted else report, redact_line(line, people)

    def _are_all_written(self, part: WriteDaily) -> bool:
        """Whether all parts belong to this index; if so, delete those of a longer one."""
        prefix = day_folder("daily", part.day)
        ours = {part_name(part.day, number) for number in range(part.parts)}
        surplus = []
        for blob in self._container.list_blobs(name_starts_with=prefix, include=["metadata"]):
            if blob.name not in ours:
                surplus.append(blob.name)
            elif (blob.metadata or {}).get("index") == part.index:
                ours.remove(blob.name)
        if ours:
            return False
        for name in surplus:
            delete_blob(self._container, name)
        return True


def part_name(day: date, number: int) -> str:
    """Return the blob name of a part of a day's table."""
    return f"{day_folder('daily', day)}part-{number:05}.jsonl.gz"


def cut_parts(lines: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield offset and length of each part of an index.

    `lines` are the length of each line and its report's bytes. The cuts depend on the index alone, so every instance
    cuts in the same places.
    """
    offset = length = reports = size = 0
    for line, report in lines:
        if reports and (reports == PART_REPORTS or size + report > PART_BYTES):
            yield offset, length
            offset, length, reports, size = offset + length, 0, 0, 0
        length, reports, size = length + line, reports + 1, size + report
    if reports:
        yield offset, length


def _sizes(index: Iterable[bytes]) -> Iterator[tuple[int, int]]:
    """Yield the length of each line and its report's bytes.

    The index comes in chunks because it may be larger than memory.
    """
    rest = b""
    for chunk in index:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield len(line) + 1, json.loads(line)["bytes"]


def _parse_report(body: bytes) -> dict[str, Any] | None:
    try:
        report = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return report if isinstance(report, dict) else None
