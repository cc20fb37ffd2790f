"""The daily copy: a day's attendees as rows, so that analysts need not open a million small files.

When a day is sealed, its index is cut into parts, and each part is one message on `upkeep`, so that the work scales out
with the app. A part is the same bytes whoever writes it, and says in its metadata of which index it is; the manifest
names the parts once all of them are there.

        index  ──▶ parts ──▶ daily/date=YYYY-MM-DD/part-NNNNN.jsonl.gz ──▶ all of this index? ──▶ manifest.daily
"""

from __future__ import annotations

import contextlib
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

from azure.core import MatchConditions
from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError
from azure.storage.blob import ContainerClient

from .. import logs, times
from ..days.manifests import Manifests, index_name
from ..graph import verbatim_json
from ..messages.tasks import WriteDaily
from ..privacy.erasures import NO_ERASURES, ErasureList
from ..privacy.redact import redact_line, redact_report
from ..storage.blobs import get_blob, get_properties, is_container_missing, put_blob
from ..storage.names import day_folder
from . import rows

PART_BYTES = 64 * 1024 * 1024  # of reports in one part, before it is packed
PART_REPORTS = 2_000
THREADS = 8
SPOOL_BYTES = 4 * 1024 * 1024
_TYPE = "application/gzip"
_PACKING = threading.Lock()  # an instance packs one part at a time, so that memory follows a part


class AttendeeTable:
    """The daily copies in one container. Raises azure.core errors when storage does not answer."""

    def __init__(
        self,
        container: ContainerClient,
        manifests: Manifests,
        erasures: Callable[[], ErasureList] = lambda: NO_ERASURES,
    ) -> None:
        self._container, self._manifests, self._erasures = container, manifests, erasures

    def plan_parts(self, day: date) -> list[WriteDaily]:
        """The parts of a day as its index is now; none where there is no index."""
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
        """Write one part, and have the manifest name all of them when this was the last.

        Nothing is done for a part of an index that is not the day's any more: its successor has parts of its own.
        """
        lines = self._lines(part)
        if lines is None:
            logs.info("daily.dropped", date=part.day, part=part.number)
            return
        name, told = part_name(part.day, part.number), {"index": part.index, "parts": str(part.parts)}
        source = hashlib.sha256(b"".join(lines)).hexdigest()
        there = get_properties(self._container, name)
        if there is None or there.metadata.get("lines") != source:
            with _PACKING:
                self._write(part, lines, told | {"lines": source}, there.etag if there else None)
        elif there.metadata.get("index") != part.index:
            self._update_metadata(name, told | {"lines": source}, there.etag)
        if self._are_all_written(part):
            self._manifests.name_daily(
                part.day, part.index, [part_name(part.day, each) for each in range(part.parts)]
            )

    def _lines(self, part: WriteDaily) -> list[bytes] | None:
        """The part's lines of the index; None when the index is another one now."""
        try:
            download = self._container.download_blob(
                index_name(part.day), offset=part.offset, length=part.length
            )
        except ResourceNotFoundError:
            return None
        if (download.properties.metadata or {}).get("sha256") != part.index:
            return None
        return [line for line in download.readall().splitlines(keepends=True) if line.strip()]

    def _write(self, part: WriteDaily, lines: list[bytes], told: dict[str, str], etag: str | None) -> None:
        """Pack the part's rows. A report that is gone or is no JSON leaves its rows out; the index has its line."""
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as body:
            count = 0
            with gzip.GzipFile(fileobj=body, mode="wb", filename="", mtime=0) as packed:
                for row in self._rows(lines):
                    packed.write(verbatim_json.dumps(row) + b"\n")
                    count += 1
            size = body.tell()
            name = part_name(part.day, part.number)
            written = put_blob(self._container, name, body, etag=etag, metadata=told, content_type=_TYPE)
        logs.info("daily.written", date=part.day, part=part.number, rows=count, bytes=size, written=written)

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
        """Whether all parts are of this index; those of a longer one before are deleted then."""
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
            self._remove(name)
        return True

    def _update_metadata(self, name: str, told: dict[str, str], etag: str) -> None:
        """Put down that a part, as it was read, is of another index too; should it have changed, its writer knows."""
        unchanged: dict[str, Any] = {"etag": etag, "match_condition": MatchConditions.IfNotModified}
        with contextlib.suppress(ResourceModifiedError, ResourceNotFoundError):
            self._container.get_blob_client(name).set_blob_metadata(told, **unchanged)

    def _remove(self, name: str) -> None:
        with contextlib.suppress(ResourceNotFoundError):
            self._container.delete_blob(name)


def part_name(day: date, number: int) -> str:
    """The blob name of a part of a day's table."""
    return f"{day_folder('daily', day)}part-{number:05}.jsonl.gz"


def cut_parts(lines: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Where the parts lie in an index: (offset, length) of each, from the length of each line and its report's bytes.

    Depends on the index alone, so that everybody cuts it in the same places.
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
    """The length of each line and the bytes of its report; of an index in chunks, for it may be larger than memory."""
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
