"""Tables of days, open and sealed: Parquet files that never change.

They are of meetings, attendees, engagements and invitees, and save analysts from opening a million small files. When
the index of a day has changed, it is cut into parts. Each part is one message on `upkeep`, so the work scales out with
the app, and memory holds one part.

    index ─▶ parts ─▶ tables/<table>/date=YYYY-MM-DD/part-NNNNN-<hash>.parquet ─▶ all of this index? ─▶ manifest.tables

The hash in a name is that of the file's bytes, and NNNNN the part's number when it was written. The metadata tell the
SHA-256 of the part's lines of the index (`source`), so a part whose lines are the same stays named, whatever its number
is now. A report that is not as its line says ends its part, and the day gets a new index. So the tables hold exactly
the index that the manifest tells with them.

Files that no manifest names any more stay for a day, because somebody may be reading them; those that may name an
erased person go at once. The Delta logs (`delta`) follow the manifest, and let go of files before they are deleted.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from typing import IO, Any

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobProperties, ContainerClient

from .. import logs, times
from ..archive.attribution import INVITEES_SHA256
from ..archive.invitees import read_invitees
from ..archive.reports import Archive
from ..days.index import index_name, split_lines
from ..days.manifests import Manifest, Manifests, TableFile
from ..errors import DeltaRefused, NotAsIndexed
from ..graph.invitees import InviteeList
from ..messages.tasks import WriteDaily
from ..privacy.erasures import NO_ERASURES, ErasureList
from ..privacy.redact import redact_invitees, redact_line, redact_report
from ..storage.blobs import Blob, delete_or_leave, get_blob, is_container_missing, put_blob
from ..storage.names import day_folder
from . import rows
from .columns import COLUMNS, ON_REQUEST, SCHEMA_VERSION, Table
from .delta import SUPERSEDED_KEPT, DataFile, DeltaLog, time_columns
from .parquet import write_parquet

PART_BYTES = 64 * 1024 * 1024  # of reports per part, at most
PART_REPORTS = 5_000
USUAL_BYTES, USUAL_REPORTS = PART_BYTES // 2, PART_REPORTS // 2  # after which a part ends on average
INVITEE_BYTES = 500
THREADS = 8
SPOOL_BYTES = 4 * 1024 * 1024
GRACE = SUPERSEDED_KEPT  # for readers of files that no manifest names any more
YOUNG = GRACE / 2  # files that nobody deletes soon, and that can be named
NAME_DIGITS = 16
_TYPE = "application/vnd.apache.parquet"
_WRITING = threading.Lock()  # one part at a time per instance, to limit memory


type _Files = dict[Table, dict[str, BlobProperties]]
type _Indexed = tuple[dict[str, Any], dict[str, Any], InviteeList | None]


@dataclass(frozen=True)
class Cut:
    """Part of an index.

    Where its lines are, and the SHA-256 of them and of the version of the columns.
    """

    offset: int
    length: int
    source: str


class DayTables:
    """The tables in one container. Raises azure.core errors."""

    def __init__(
        self,
        container: ContainerClient,
        manifests: Manifests,
        tenant_id: str = "",
        erasures: Callable[[], ErasureList] = lambda: NO_ERASURES,
        retention_days: int = 0,
    ) -> None:
        self._container, self._manifests, self._erasures = container, manifests, erasures
        self._tenant_id = tenant_id
        self._logs = {table: DeltaLog(container, table, retention_days) for table in Table}
        self._are_created = False

    def plan_parts(self, manifest: Manifest) -> list[WriteDaily]:
        """Return the parts that must be written.

        The tables of this manifest can be named after that.
        """
        cuts = self._cuts(manifest)
        found = _find_parts(self._files(manifest.day), manifest) if cuts else {}
        missing = [number for number, cut in enumerate(cuts) if cut.source not in found]
        return [
            WriteDaily(
                manifest.day,
                manifest.index,
                number,
                len(cuts),
                cuts[number].offset,
                cuts[number].length,
                len(missing),
            )
            for number in missing
        ]

    def write_part(self, part: WriteDaily) -> Manifest | None:
        """Write one part; after the last one, have the manifest name the tables.

        Return the manifest if it does. A part of an outdated index is skipped, because the current index has its own
        parts. Raises NotAsIndexed if a report has changed since the index was made.
        """
        manifest, lines = self._manifests.read(part.day), self._lines(part)
        if lines is None or manifest is None or manifest.index != part.index:
            logs.info("tables.dropped", date=part.day, part=part.number)
            return None
        source = _source(lines)
        if source not in _find_parts(self._files(part.day), manifest):
            with _WRITING:
                self._write(part, lines, source, manifest)
        parts = _find_parts(self._files(part.day), manifest).values()
        written = sum(metadata["index"] == part.index for metadata in parts)
        return self.name(manifest) if written >= part.pending else None

    def name(self, manifest: Manifest) -> Manifest | None:
        """Have the manifest name the tables of its index, if all parts are written.

        Return the manifest if it does.
        """
        cuts, files = self._cuts(manifest), self._files(manifest.day)
        found = _find_parts(files, manifest)
        parts = [found[cut.source] for cut in cuts if cut.source in found]
        if len(parts) < max(1, len(cuts)):
            return None
        named: dict[str, tuple[TableFile, ...]] = {
            table: tuple(_table_file(files[table][part[table]]) for part in parts if table in part)
            for table in Table
            if table not in ON_REQUEST or files[table] or table in manifest.tables.files
        }
        return self._manifests.name_tables(manifest, named)

    def commit(self, manifest: Manifest) -> None:
        """Have the Delta logs name the files of a manifest.

        Then have the manifest say which version of them does. Does nothing if they have those of a later manifest.
        The manifest of an open day knows which logs have them; for a complete one the logs are read, except those
        of tables that never had a file of the day.
        """
        tables = manifest.tables
        known = {
            table for table, version in tables.delta_version.items() if not (manifest.complete and version)
        }
        self._commit(manifest, tables.files.keys() - known)

    def retire(self) -> None:
        """Have the Delta logs forget the days that retention is about to delete."""
        for table, log in self._logs.items():
            with _refusals(table):
                log.retire()

    def clean(self, day: date, version: int | None = None, *, at_once: bool = False) -> bool:
        """Delete the files that no manifest has named for a day.

        When no Delta log names them. Also lists of invitees that no report names. Return whether none is left, or
        the tables are not of this `version` any more. With `at_once`, delete all that were written for an earlier
        version.
        """
        manifest = self._manifests.read(day)
        if manifest is None or version not in (None, manifest.tables.version):
            return True  # retention deletes tables too; a later version has its own time
        named, now, files = manifest.tables.paths, times.now(), self._files(day)
        left = {
            table: {name: blob for name, blob in blobs.items() if name not in named}
            for table, blobs in files.items()
        }
        is_clean = Archive(self._container).clean_invitees(day, now - GRACE)
        for table, blobs in left.items():
            deleted = [
                blob
                for blob in blobs.values()
                if now - GRACE >= max(manifest.updated, blob.last_modified)
                or (at_once and int((blob.metadata or {}).get("version", "0")) < manifest.tables.version)
            ]
            is_clean = is_clean and len(deleted) == len(blobs)
            if deleted:
                self._commit(manifest, {table})
            for blob in deleted:
                if delete_or_leave(self._container, blob.name, etag=blob.etag):
                    logs.info("tables.deleted", date=day, path=blob.name)
                else:
                    is_clean = False
        return is_clean

    def _commit(self, manifest: Manifest, tables: Iterable[str]) -> None:
        """Have the logs of these tables name the files of a manifest."""
        day, named, versions = manifest.day, manifest.tables, dict[str, int]()
        self._create_logs()
        for table in sorted(map(Table, tables)):
            files = self._data_files(day, table, named.files.get(table, ()))
            with _refusals(table):
                version = self._logs[table].replace_day(day, named.version, files)
                if version is None:
                    logs.warning("delta.overtaken", date=day, table=table, tablesVersion=named.version)
                elif table not in named.delta_version or version < named.delta_version[table]:
                    versions[table] = version
        if versions:
            self._manifests.name_delta_versions(manifest, versions)

    def _create_logs(self) -> None:
        """Create the logs that are missing, so that a table without rows can be read too."""
        if self._are_created:
            return
        for table in self._logs.keys() - ON_REQUEST:
            with _refusals(table):
                self._logs[table].create()
        self._are_created = True

    def _data_files(self, day: date, table: Table, files: Iterable[TableFile]) -> list[DataFile]:
        """Return what a log tells of the files that a manifest names."""
        if not files:
            return []
        blobs = self._table_files(day, table)
        return [_data_file(each, blobs.get(each.path)) for each in files]

    def _cuts(self, manifest: Manifest) -> list[Cut]:
        """Cut the index of a manifest; no parts if the day has another one by now."""
        try:
            download = self._container.download_blob(index_name(manifest.day))
        except ResourceNotFoundError as missing:
            if is_container_missing(missing):
                raise
            return []
        if (download.properties.metadata or {}).get("sha256") != manifest.index:
            return []
        return list(cut_parts(split_lines(download.chunks())))

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

    def _files(self, day: date) -> _Files:
        return {table: self._table_files(day, table) for table in Table}

    def _table_files(self, day: date, table: Table) -> dict[str, BlobProperties]:
        folder = day_folder(f"tables/{table}", day)
        blobs = self._container.list_blobs(name_starts_with=folder, include=["metadata"])
        return {blob.name: blob for blob in blobs}

    def _write(self, part: WriteDaily, lines: list[bytes], source: str, manifest: Manifest) -> None:
        """Write the files of a part, those without rows excepted.

        That of the meetings last. Raises NotAsIndexed for a report that is gone or is not the one in the index. One
        that is not a JSON object has a row in `meetings` alone.
        """
        written = {"revision": manifest.revision, "writtenAt": times.text(times.now())}
        with ExitStack() as stack:
            drafts = {table: stack.enter_context(_Draft(table)) for table in Table}
            for report, line, invitees in self._reports(lines):
                drafts[Table.MEETINGS].add(rows.report_row(report, line) | written)
                for row in rows.attendee_rows(report, line, self._tenant_id):
                    drafts[Table.ATTENDEES].add(row | written)
                for row in rows.engagement_rows(report, line, self._tenant_id):
                    drafts[Table.ENGAGEMENTS].add(row | written)
                for row in rows.invitee_rows(report, line, invitees, self._tenant_id):
                    drafts[Table.INVITEES].add(row | written)
            common = {
                "index": part.index,
                "source": source,
                "version": str(manifest.tables.version),
                "schemaversion": str(SCHEMA_VERSION),
            }
            for table in Table:
                if table is not Table.MEETINGS and drafts[table].rows:
                    common[table] = self._put(part, table, drafts[table], common)
            self._put(part, Table.MEETINGS, drafts[Table.MEETINGS], common)

    def _put(self, part: WriteDaily, table: Table, draft: _Draft, metadata: Mapping[str, str]) -> str:
        """Write a file whose name follows from its bytes. Return the name."""
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as file:
            draft.write(file)
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            name = f"{day_folder(f'tables/{table}', part.day)}part-{part.number:05}-{sha256[:NAME_DIGITS]}.parquet"
            size = file.tell()
            etag = put_blob(
                self._container,
                name,
                file,
                etag=None,
                metadata={
                    **metadata,
                    "rows": str(draft.rows),
                    "sha256": sha256,
                    "bounds": json.dumps(draft.bounds, separators=(",", ":")),
                },
                content_type=_TYPE,
            )
        logs.info(
            "tables.written",
            date=part.day,
            table=table,
            part=part.number,
            rows=draft.rows,
            bytes=size,
            written=etag is not None,
        )
        return name

    def _reports(self, lines: Iterable[bytes]) -> Iterator[_Indexed]:
        """Yield reports, their lines and lists of invitees, without erased persons.

        Raises NotAsIndexed.
        """
        with ThreadPoolExecutor(THREADS) as threads:
            for batch in itertools.batched(map(json.loads, lines), THREADS, strict=False):
                for line, (blob, invitees) in zip(batch, threads.map(self._read, batch), strict=True):
                    report = _parse_report(blob.body)
                    if report is None:
                        logs.warning("tables.unreadable", report=line["id"], path=line["path"])
                    yield self._redact(report or {}, line, invitees)

    def _read(self, line: dict[str, Any]) -> tuple[Blob, InviteeList | None]:
        """Read a report and its list of invitees. Raises NotAsIndexed."""
        blob = get_blob(self._container, line["path"])
        if blob is None or blob.metadata.get("sha256") != line["sha256"]:
            raise NotAsIndexed(line["path"])
        if blob.metadata.get(INVITEES_SHA256) != line.get("inviteesSha256"):
            raise NotAsIndexed(line["path"])
        return blob, read_invitees(self._container, line["path"], blob.metadata)

    def _redact(self, report: dict[str, Any], line: dict[str, Any], invitees: InviteeList | None) -> _Indexed:
        """The same without those who are erased: it may have been read before that."""
        people = self._erasures().people(times.parse(line.get("end")))
        if people is None:
            return report, line, invitees
        redacted = redact_report(report, people)
        return (
            json.loads(redacted.body) if redacted else report,
            redact_line(line, people),
            redact_invitees(invitees, people) if invitees else None,
        )


class _Draft:
    """Rows of a file that is not written yet.

    As lines of JSON, on disk if they are many.
    """

    def __init__(self, table: Table) -> None:
        self._lines: IO[bytes] = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115 - closed below
        self._table, self._times = table, time_columns(table)
        self.rows = 0
        self.bounds: dict[str, tuple[str, str]] = {}  # the earliest and the latest time of each such column

    def __enter__(self) -> _Draft:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a row."""
        self._lines.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        self.rows += 1
        for name in self._times:
            if moment := row.get(name):
                first, last = self.bounds.get(name, (moment, moment))
                self.bounds[name] = min(first, moment), max(last, moment)

    def write(self, file: IO[bytes]) -> None:
        """Write the rows as Parquet."""
        self._lines.seek(0)
        write_parquet(self._lines, COLUMNS[self._table], file)


def cut_parts(lines: Iterable[bytes]) -> Iterator[Cut]:
    """Cut the lines of an index into parts.

    A part ends with a line that ends parts, or before it would be too large. So the cuts depend on the index alone, and
    a line that comes or goes moves those around it and no others.
    """
    offset = reports = size = 0
    part: list[bytes] = []

    def cut() -> Cut:
        """Close the part."""
        nonlocal offset, part, reports, size
        closed = Cut(offset, sum(map(len, part)), _source(part))
        offset, part, reports, size = offset + closed.length, [], 0, 0
        return closed

    for line in lines:
        report = json.loads(line)
        weight = _weight(report)
        if part and (reports == PART_REPORTS or size + weight > PART_BYTES):
            yield cut()
        part.append(line)
        reports, size = reports + 1, size + weight
        if _ends_part(report):
            yield cut()
    if part:
        yield cut()


def _weight(line: Mapping[str, Any]) -> int:
    """Bytes of a report, and of its list of invitees as if each were a record."""
    return int(line["bytes"]) + INVITEE_BYTES * int(line.get("invitees") or 0)


def _ends_part(line: Mapping[str, Any]) -> bool:
    """Whether a part ends with this report.

    A hash of its path decides, so every instance cuts in the same places.
    """
    chance = max(1 / USUAL_REPORTS, _weight(line) / USUAL_BYTES)
    return bool(zlib.crc32(line["path"].encode()) < chance * (1 << 32))


def _find_parts(files: _Files, manifest: Manifest) -> dict[str, dict[str, str]]:
    """Find the parts that can be named.

    The names of their files by table, and other metadata, by source. The file of meetings is written last, and its
    metadata name the others. A part that is not named must be young, and written since the tables before were named
    or dropped, so that nobody deletes it.
    """
    named, oldest, version = manifest.tables.paths, times.now() - YOUNG, str(manifest.tables.version)
    found: dict[str, dict[str, str]] = {}
    for name, blob in files[Table.MEETINGS].items():
        metadata = {**(blob.metadata or {}), Table.MEETINGS: name}
        if name not in named and (blob.last_modified < oldest or metadata["version"] != version):
            continue
        if all(metadata[table] in files[table] for table in Table if table in metadata):
            source = metadata["source"]
            if source not in found or name in named:
                found[source] = metadata
    return found


def _table_file(blob: BlobProperties) -> TableFile:
    metadata = blob.metadata or {}
    return TableFile(
        blob.name, int(metadata["rows"]), blob.size, metadata["sha256"], int(metadata["schemaversion"])
    )


def _data_file(file: TableFile, blob: BlobProperties | None) -> DataFile:
    """A file as a log names it."""
    bounds = json.loads((blob.metadata or {}).get("bounds", "{}")) if blob else {}
    return DataFile(file.path, file.rows, file.bytes, blob.last_modified if blob else None, bounds)


@contextmanager
def _refusals(table: Table) -> Iterator[None]:
    """Log that a Delta log cannot be continued.

    Reports, manifests and files do not depend on it.
    """
    try:
        yield
    except DeltaRefused as refused:
        logs.error("delta.refused", table=table, error=str(refused))


def _source(lines: Iterable[bytes]) -> str:
    """Hash the lines of a part, and the version of the columns that its rows have."""
    digest = hashlib.sha256(b"%d\n" % SCHEMA_VERSION)
    for line in lines:
        digest.update(line)
    return digest.hexdigest()


def _parse_report(body: bytes) -> dict[str, Any] | None:
    try:
        report = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return report if isinstance(report, dict) else None
