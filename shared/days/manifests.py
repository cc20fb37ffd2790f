"""Daily manifests: whether a day is final, and an index of its reports.

In `manifests/date=YYYY-MM-DD/`, `manifest.json` counts the day's outcomes and reports, says why its revision came and
names the files of the day's tables; `reports.jsonl` is the index. Index and counts come from two listings with
metadata, without reading an outcome or a report. Both are brought up to date each hour until the day is complete with
its tables, and written only if they change.

        look up both ETags ─▶ list outcomes, then reports ─▶ write reports.jsonl ─▶ write manifest.json
                 ▲                                                  │ 412                   │ 412
                 └───────── another writer, who may have listed later ──────────────────────┘

Each write is conditional on an ETag older than the listing, so an older listing never replaces a newer one. Outcomes
are listed first: a report is stored before its outcome says so, so the index has every report that an outcome names.
The manifest is written last: reading it first and then the index never gives an older index.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import IO, Annotated, Literal

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import ContainerClient

from .. import logs, times
from ..archive.reports import PARTIAL, Archive, ReportSummary, unknown_properties
from ..errors import NotOurMessage
from ..graph.known_properties import add_unknown
from ..ledger.publish import Outcomes
from ..ledger.record import Result
from ..messages import codec
from ..storage.blobs import get_blob, get_properties, is_container_missing, put_blob, retry_conflicts
from ..storage.names import day_folder
from .delays import DelayCounts, Delays
from .index import SPOOL_BYTES, RevisionReason, compare_indexes, index_lines, index_name, split_lines

_LINES = "application/x-ndjson"
ERASURES = "manifests/erasures.jsonl"  # the feed of days from which somebody was erased
COMPLETE, COMPLETE_WITH_TABLES = "complete", "tables"  # in the manifest's metadata
_REASONS = "reasons"  # in the index's metadata


@dataclass(frozen=True)
class TableFile:
    """File of a table.

    Its blob, rows, bytes, the SHA-256 of its bytes, and the version of its columns.
    """

    path: str
    rows: int
    bytes: int
    sha256: str
    schema_version: int


@dataclass(frozen=True)
class Tables:
    """Files of a day's tables, by table.

    In the order of the index with the SHA-256 `index`. `version` counts the sets of files that the manifest named,
    also the empty one after an erasure. `revision` is the day's whose tables these are, or 0 if the day was open
    when they were named. `delta_version` is, of each table, a version of its Delta log that has these files of the
    day; tables whose log does not have them yet are left out.
    """

    version: int = 0
    revision: int = 0
    index: str = ""
    files: Mapping[str, tuple[TableFile, ...]] = field(default_factory=dict)
    delta_version: Mapping[str, int] = field(default_factory=dict)

    def followed_by(self, files: Mapping[str, tuple[TableFile, ...]], index: str = "") -> Tables:
        """Return the next version, of these files.

        A Delta log that has the files of a table already need not be written. Version 0 has none, of any day.
        """
        known = {**dict.fromkeys(files.keys() - self.files.keys(), 0), **self.delta_version}
        same = {table: known[table] for table in known if files.get(table) == self.files.get(table, ())}
        return Tables(self.version + 1, 0, index, files, same)

    @property
    def is_committed(self) -> bool:
        """Whether the Delta logs have these files."""
        return self.files.keys() <= self.delta_version.keys()

    @property
    def paths(self) -> set[str]:
        """The names of all files."""
        return {each.path for files in self.files.values() for each in files}


NO_TABLES = Tables()


@dataclass(frozen=True)
class Manifest:
    """The manifest of one day.

    `outcomes` counts outcomes by result, without zeros; `partial` counts the `reports` that may lack records.
    `revision` counts the published complete versions: 0 before the first; it stays when a day becomes incomplete.
    `reasons` are those of the revision, and of an incomplete day those of the next one so far. `oldest_pending` is when
    the first of the pending outcomes was published. `unconfirmed` counts the outcomes of ids that Graph does not know,
    which are in no other count. `index` is the SHA-256 of the index; `tables` may be of a former one, until new ones
    are written. `delays` is None if no report is stored. `unknown_properties` are those of the day's reports that the
    version which stored them did not know, some of very many.
    """

    day: Annotated[date, "date"]
    complete: bool
    revision: int
    outcomes: Mapping[str, int]
    reports: int
    oldest_pending: datetime | None
    updated: datetime
    partial: int = 0
    unconfirmed: int = 0
    reasons: tuple[RevisionReason, ...] = ()
    index: str = ""
    tables: Tables = NO_TABLES
    delays: Delays | None = None
    unknown_properties: tuple[str, ...] = ()

    @property
    def has_tables(self) -> bool:
        """Whether the day is final and the tables are those of its revision."""
        return self.complete and self.tables.revision == self.revision


@dataclass(frozen=True)
class _StoredBlob:
    """A blob's ETag (None: no blob), and the sha256 of the index it is or describes.

    `reasons` say in what an index differs from the one that the manifest described when it was written.
    """

    etag: str | None = None
    sha256: str | None = None
    manifest: Manifest | None = None
    reasons: frozenset[RevisionReason] = frozenset()


class Manifests:
    """The manifests in one container. Raises azure.core errors."""

    def __init__(self, container: ContainerClient) -> None:
        self._container = container
        self._archive = Archive(container)
        self._outcomes = Outcomes(container)

    def read(self, day: date) -> Manifest | None:
        """Read the manifest of a day, or None."""
        return self._read_manifest(day).manifest

    def complete_days(self, first: date, last: date, mark: str = COMPLETE) -> set[date]:
        """Return the days from `first` to `last` whose manifest is complete.

        One listing per month. With COMPLETE_WITH_TABLES, only days whose tables exist too.
        """
        complete: set[str] = set()
        month = first.replace(day=1)
        while month <= last:
            prefix = f"manifests/date={month.isoformat()[:7]}-"
            blobs = self._container.list_blobs(name_starts_with=prefix, include=["metadata"])
            complete.update(blob.name for blob in blobs if (blob.metadata or {}).get(mark) == "true")
            month = (month + timedelta(days=31)).replace(day=1)
        days = (first + timedelta(days=number) for number in range((last - first).days + 1))
        return {day for day in days if manifest_name(day) in complete}

    def refresh(self, day: date, *, final: bool) -> Manifest:
        """Bring a day's index and manifest up to date; write only what changed.

        `final`: every call that ended on that day has an outcome. The day then is complete unless an outcome is
        pending. A day which was complete before becomes complete again without `final`. Raises Contention after too
        many lost races.
        """
        return retry_conflicts(lambda: self._refresh(day, final=final), f"the manifest of {day}")

    def name_tables(self, before: Manifest, files: Mapping[str, tuple[TableFile, ...]]) -> Manifest | None:
        """Name the tables of a manifest's index in it.

        Return the manifest that names them. None if the day has another index by now, or names other tables than
        `before`: files of those are used again, and nobody deletes a file that is named. Raises Contention after
        too many lost races.
        """
        subject = f"the manifest of {before.day}"
        named: Manifest | Literal[False] = retry_conflicts(lambda: self._name_tables(before, files), subject)
        return named or None

    def _name_tables(
        self, before: Manifest, files: Mapping[str, tuple[TableFile, ...]]
    ) -> Manifest | Literal[False] | None:
        """Try once; None if another writer was faster."""
        stored = self._read_manifest(before.day)
        manifest = stored.manifest
        if manifest is None or manifest.index != before.index:
            return False
        if (manifest.tables.index, manifest.tables.files) == (before.index, files):
            return manifest
        # The Delta logs may have got the tables before meanwhile; these are the next all the same.
        if (manifest.tables.version, manifest.tables.files) != (before.tables.version, before.tables.files):
            return False
        revision = manifest.revision if manifest.complete else 0
        tables = replace(manifest.tables.followed_by(files, before.index), revision=revision)
        now = replace(manifest, tables=tables, updated=times.now().replace(microsecond=0))
        if not self._put_manifest(now, stored.etag):
            return None
        logs.info(
            "tables.named",
            date=now.day,
            revision=revision,
            version=tables.version,
            files=len(tables.paths),
        )
        return now

    def name_delta_versions(self, before: Manifest, versions: Mapping[str, int]) -> None:
        """Name versions of the Delta logs that have the files of a manifest.

        Does nothing if the day has other files by now. Raises Contention after too many lost races.
        """

        def attempt() -> bool | None:
            """Try once; None if another writer was faster."""
            stored = self._read_manifest(before.day)
            manifest = stored.manifest
            if manifest is None or manifest.tables.version != before.tables.version:
                return False
            tables = replace(manifest.tables, delta_version={**manifest.tables.delta_version, **versions})
            now = replace(manifest, tables=tables, updated=times.now().replace(microsecond=0))
            return tables == manifest.tables or self._put_manifest(now, stored.etag) or None

        retry_conflicts(attempt, f"the manifest of {before.day}")

    def _refresh(self, day: date, *, final: bool) -> Manifest | None:
        """Try once; None if another writer was faster."""
        index, stored = self._read_index(day), self._read_manifest(day)
        outcomes, oldest_pending, unconfirmed, delays = self._count(day)
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as lines:
            reports, partial, unknown, sha256 = self._write_lines(day, lines)
            behind = index.sha256 != stored.sha256  # the manifest was not written after the index
            reasons = index.reasons if behind else frozenset[RevisionReason]()
            if index.sha256 and index.sha256 != sha256:
                reasons = reasons | self._compare(day, lines)
                if RevisionReason.ERASURE in reasons:
                    self._announce_erasure(day, stored.manifest)
            metadata = {"sha256": sha256} | ({_REASONS: ",".join(sorted(reasons))} if reasons else {})
            if index.sha256 != sha256 and not put_blob(
                self._container,
                index_name(day),
                lines,
                etag=index.etag,
                metadata=metadata,
                content_type=_LINES,
            ):
                return None
        before, updated = stored.manifest, times.now().replace(microsecond=0)
        seen = Manifest(
            day,
            False,
            0,
            outcomes,
            reports,
            oldest_pending,
            updated,
            partial,
            unconfirmed,
            index=sha256,
            delays=delays,
            unknown_properties=unknown,
        )
        now = next_manifest(before, seen, final=final, reasons=reasons)
        if now is before:
            return before
        if not self._put_manifest(now, stored.etag):
            return None
        logs.info(
            "manifest.written",
            date=day,
            complete=now.complete,
            revision=now.revision,
            reports=reports,
            pending=outcomes.get(Result.PENDING, 0),
            unconfirmed=unconfirmed or None,
        )
        return now

    def _put_manifest(self, manifest: Manifest, etag: str | None) -> bool:
        """Write a manifest. Return False if another writer was faster."""
        name, body = manifest_name(manifest.day), serialize_manifest(manifest)
        return bool(put_blob(self._container, name, body, etag=etag, metadata=manifest_metadata(manifest)))

    def _announce_erasure(self, day: date, before: Manifest | None) -> None:
        """Add a line to the feed of days from which somebody was erased.

        Before the day changes. It names nobody. A line that is there is not added again.
        """
        revision, version = (before.revision, before.tables.version) if before else (0, 0)
        line = {"date": day.isoformat(), "revision": revision + 1, "version": version + 1}

        def attempt() -> bool | None:
            """Try once; None if another writer was faster."""
            feed = get_blob(self._container, ERASURES)
            body = feed.body if feed else b""
            if any(line.items() <= json.loads(each).items() for each in body.splitlines()):
                return True
            body += json.dumps(line | {"at": times.text(times.now())}, separators=(",", ":")).encode() + b"\n"
            etag = feed.etag if feed else None
            return (
                put_blob(self._container, ERASURES, body, etag=etag, content_type=_LINES) is not None or None
            )

        retry_conflicts(attempt, ERASURES)

    def _count(self, day: date) -> tuple[dict[str, int], datetime | None, int, Delays | None]:
        """Count the day's outcomes by result.

        Return also when the oldest pending one was published, how many are unconfirmed, and the delays.
        """
        counts: Counter[str] = Counter()
        delays = DelayCounts()
        oldest: datetime | None = None
        unconfirmed = 0
        for outcome in self._outcomes.list(day):
            if not outcome.result:
                continue  # not written by the product
            if outcome.is_unconfirmed:
                unconfirmed += 1
                continue
            delays.add(outcome)
            counts[outcome.result] += 1
            if outcome.result == Result.PENDING and (oldest is None or outcome.written < oldest):
                oldest = outcome.written
        return dict(sorted(counts.items())), oldest, unconfirmed, delays.summarize()

    def _write_lines(self, day: date, lines: IO[bytes]) -> tuple[int, int, tuple[str, ...], str]:
        """Write the day's index.

        Return its number of reports, how many are partial, their unknown properties, and its sha256.
        """
        reports, digest, partial, unknown = 0, hashlib.sha256(), Counter[bool](), set[str]()
        for text in index_lines(_counted(self._archive.list_reports(day), partial, unknown)):
            digest.update(text)
            lines.write(text)
            reports += 1
        return reports, partial[True], tuple(sorted(unknown)), digest.hexdigest()

    def _compare(self, day: date, lines: IO[bytes]) -> set[RevisionReason]:
        """Return in what the new index differs from the stored one."""
        lines.seek(0)
        try:
            stored = self._container.download_blob(index_name(day))
            return compare_indexes(split_lines(stored.chunks()), lines)
        except ResourceNotFoundError as missing:
            if is_container_missing(missing):
                raise
            return set()

    def _read_index(self, day: date) -> _StoredBlob:
        properties = get_properties(self._container, index_name(day))
        if properties is None:
            return _StoredBlob()
        names = properties.metadata.get(_REASONS, "").split(",")
        reasons = frozenset(each for each in RevisionReason if each in names)
        return _StoredBlob(properties.etag, properties.metadata.get("sha256"), reasons=reasons)

    def _read_manifest(self, day: date) -> _StoredBlob:
        """Read the stored manifest; one that cannot be read counts as none."""
        blob = get_blob(self._container, manifest_name(day))
        if blob is None:
            return _StoredBlob()
        try:
            manifest = codec.loads(Manifest, blob.body)
        except NotOurMessage:
            manifest = None
        return _StoredBlob(blob.etag, manifest.index if manifest else None, manifest)


def next_manifest(
    before: Manifest | None, seen: Manifest, *, final: bool, reasons: Iterable[RevisionReason] = ()
) -> Manifest:
    """Return the manifest after `before`, or `before` itself if nothing changed.

    `seen` has the counts and the index; `complete`, `revision`, `reasons` and `tables` are decided here. Tables of this
    index are those of the revision too. After an erasure no tables are named: their files go at once. Other delays,
    unknown properties, or another number of unconfirmed outcomes alone make no new revision.
    """
    revision = before.revision if before else 0
    complete = (final or revision > 0) and Result.PENDING not in seen.outcomes
    is_changed = before is None or before.index != seen.index
    new = set(reasons)
    if revision == 0:
        new = {RevisionReason.SEALED} | (new & {RevisionReason.ERASURE})
    tables = before.tables if before else NO_TABLES
    if RevisionReason.ERASURE in new:
        tables = tables.followed_by(dict.fromkeys(tables.files, ()))
    if not seen.reports and tables.index != seen.index:
        tables = (
            tables.followed_by(dict.fromkeys(tables.files, ()), seen.index)
            if tables.paths
            else Tables(
                tables.version, index=seen.index, files=tables.files, delta_version=tables.delta_version
            )
        )
    known = before.reasons if before else ()
    now = replace(seen, complete=complete, revision=revision, reasons=known, tables=tables)
    if before and not is_changed:
        same = replace(
            before,
            updated=now.updated,
            unconfirmed=now.unconfirmed,
            delays=now.delays,
            unknown_properties=now.unknown_properties,
        )
        if same == now:
            return before if replace(before, updated=now.updated) == now else now
    if before and not before.complete:
        new |= set(known)
    if complete:
        now = replace(now, revision=revision + 1)
        new = new or {RevisionReason.CORRECTION if is_changed else RevisionReason.OUTCOME}
        if tables.index == seen.index:
            tables = replace(tables, revision=revision + 1)
    elif before and before.complete and not new:
        new = {RevisionReason.OUTCOME}
    return replace(now, reasons=tuple(sorted(new)), tables=tables)


def _counted(
    reports: Iterable[ReportSummary], partial: Counter[bool], unknown: set[str]
) -> Iterator[ReportSummary]:
    for each in reports:
        partial[PARTIAL in each.metadata] += 1
        add_unknown(unknown, unknown_properties(each.metadata))
        yield each


def serialize_manifest(manifest: Manifest) -> bytes:
    """Return the manifest as one line of JSON; schema in docs/consumers.md."""
    return codec.dumps(manifest, full=True).encode()


def manifest_metadata(manifest: Manifest) -> dict[str, str]:
    """Return the metadata of a manifest's blob, so a listing shows its state."""
    return {
        COMPLETE: json.dumps(manifest.complete),
        COMPLETE_WITH_TABLES: json.dumps(manifest.has_tables and manifest.tables.is_committed),
        "revision": str(manifest.revision),
        "tablesversion": str(manifest.tables.version),
        "reportssha256": manifest.index,
    }


def manifest_name(day: date) -> str:
    """Return the blob name of a day's manifest."""
    return f"{day_folder('manifests', day)}manifest.json"
