"""Manifests: whether a day is final and what it holds, in `manifests/date=YYYY-MM-DD/`.

`manifest.json` counts the day's outcomes and reports, `reports.jsonl` is the index of its reports. Both come from two
listings with metadata: no outcome and no report is ever read for them.

        look up both ETags ─▶ list outcomes, then reports ─▶ write reports.jsonl ─▶ write manifest.json
                 ▲                                                  │ 412                   │ 412
                 └─────────── someone wrote, who may have listed later ─────────────────────┘

Each write is conditional on an ETag that is older than the listing, so an older listing never stays over a newer one.
Outcomes are listed first: a report is stored before its outcome says so, and an index lacks none that was promised.
The manifest comes last: who reads it and then the index never sees an index that is older.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import IO, Annotated

from azure.storage.blob import ContainerClient

from .. import logs, times
from ..archive.reports import PARTIAL, Archive, ReportSummary
from ..errors import NotOurMessage
from ..graph import verbatim_json
from ..ledger.publish import Outcomes
from ..ledger.record import Result
from ..messages import codec
from ..storage.blobs import get_blob, get_properties, put_blob, retry_conflicts
from ..storage.names import day_folder

SPOOL_BYTES = 1024 * 1024  # of an index kept in memory, the rest goes to a temporary file
_LINES = "application/x-ndjson"
COMPLETE, COMPLETE_WITH_TABLE = "complete", "whole"  # in the manifest's metadata
_INDEX_SHA256 = "reportssha256"  # in the manifest's metadata: sha256 of the index beside it


@dataclass(frozen=True)
class Manifest:
    """What is told of one day.

    `outcomes` counts them by outcome, without zeros; `partial` the `reports` that may lack records; `daily` names the
    parts of its table, none until all of them are written.

    `revision` counts the versions that were published as complete: 0 before the first; while a day is not complete
    any more it stays at the last. `oldest_pending` is when the first of the pending outcomes was filed.
    """

    day: Annotated[date, "date"]
    complete: bool
    revision: int
    outcomes: Mapping[str, int]
    reports: int
    daily: tuple[str, ...]
    oldest_pending: datetime | None
    updated: datetime
    partial: int = 0

    @property
    def is_complete_with_table(self) -> bool:
        """Whether the day is final and its table is there."""
        return self.complete and (bool(self.daily) or not self.reports)


@dataclass(frozen=True)
class _StoredBlob:
    """A blob as it was found: its ETag (None: no such blob), and the sha256 of the index that it is or tells of."""

    etag: str | None = None
    sha256: str | None = None
    manifest: Manifest | None = None


class Manifests:
    """The manifests in one container. Raises azure.core errors when storage does not answer."""

    def __init__(self, container: ContainerClient) -> None:
        self._container = container
        self._archive = Archive(container)
        self._outcomes = Outcomes(container)

    def read(self, day: date) -> Manifest | None:
        """The manifest of a day, or None where there is none."""
        return self._read_manifest(day).manifest

    def complete_days(self, first: date, last: date, mark: str = COMPLETE) -> set[date]:
        """The days from `first` to `last` (both included) whose manifest is complete; one listing a month.

        With the mark WHOLE only those whose table is there too.
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
        """Bring a day's index and manifest up to date; nothing is written when nothing changed.

        `final` says that every call that ended on that day has an outcome. The day then is complete unless an outcome
        is pending, and once it was complete it becomes so again without being told. Raises Contention after
        too many lost races.
        """
        return retry_conflicts(lambda: self._refresh(day, final=final), f"the manifest of {day}")

    def name_daily(self, day: date, index: str, names: Sequence[str]) -> None:
        """Have the manifest name the parts of the day's table, which was made of the index with this sha256.

        Does nothing when the day has another index by now. Raises Contention after too many lost races.
        """
        retry_conflicts(lambda: self._name_daily(day, index, tuple(names)), f"the manifest of {day}")

    def _name_daily(self, day: date, index: str, names: tuple[str, ...]) -> bool | None:
        """One try; None when another writer was faster."""
        filed = self._read_manifest(day)
        before = filed.manifest
        if before is None or not before.complete or filed.sha256 != index or before.daily == names:
            return False
        now = replace(before, daily=names)
        told = manifest_metadata(now, index)
        if not put_blob(
            self._container, manifest_name(day), serialize_manifest(now), etag=filed.etag, metadata=told
        ):
            return None
        logs.info("daily.named", date=day, revision=now.revision, parts=len(names))
        return True

    def _refresh(self, day: date, *, final: bool) -> Manifest | None:
        """One try; None when someone else wrote meanwhile."""
        index, filed = self._read_index(day), self._read_manifest(day)
        outcomes, oldest_pending = self._count(day)
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as lines:
            reports, partial, sha256 = self._write_lines(day, lines)
            told = {"sha256": sha256}
            if index.sha256 != sha256 and not put_blob(
                self._container, index_name(day), lines, etag=index.etag, metadata=told, content_type=_LINES
            ):
                return None
        before, updated = filed.manifest, times.now().replace(microsecond=0)
        seen = Manifest(day, False, 0, outcomes, reports, (), oldest_pending, updated, partial)
        now = next_manifest(before, seen, final=final, reports_changed=filed.sha256 != sha256)
        if now is before:
            return before
        told = manifest_metadata(now, sha256)
        if not put_blob(
            self._container, manifest_name(day), serialize_manifest(now), etag=filed.etag, metadata=told
        ):
            return None
        logs.info(
            "manifest.written",
            date=day,
            complete=now.complete,
            revision=now.revision,
            reports=reports,
            pending=outcomes.get(Result.PENDING, 0),
        )
        return now

    def _count(self, day: date) -> tuple[dict[str, int], datetime | None]:
        """The day's outcomes, counted, and when the oldest of those pending was filed."""
        counts: Counter[str] = Counter()
        oldest: datetime | None = None
        for outcome in self._outcomes.list(day):
            if not outcome.result:
                continue  # not the product's
            counts[outcome.result] += 1
            if outcome.result == Result.PENDING and (oldest is None or outcome.written < oldest):
                oldest = outcome.written
        return dict(sorted(counts.items())), oldest

    def _write_lines(self, day: date, lines: IO[bytes]) -> tuple[int, int, str]:
        """Write the day's index. How many reports it holds, how many of them are partial, and its sha256."""
        reports, partial, digest = 0, 0, hashlib.sha256()
        for report in self._archive.list_reports(day):
            text = index_line(report)
            digest.update(text)
            lines.write(text)
            reports += 1
            partial += PARTIAL in report.metadata
        return reports, partial, digest.hexdigest()

    def _read_index(self, day: date) -> _StoredBlob:
        there = get_properties(self._container, index_name(day))
        return _StoredBlob(there.etag, there.metadata.get("sha256")) if there else _StoredBlob()

    def _read_manifest(self, day: date) -> _StoredBlob:
        """The manifest as it lies there; one that cannot be read counts as none, to be written over."""
        blob = get_blob(self._container, manifest_name(day))
        if blob is None:
            return _StoredBlob()
        try:
            manifest = codec.loads(Manifest, blob.body)
        except NotOurMessage:
            manifest = None
        return _StoredBlob(blob.etag, blob.metadata.get(_INDEX_SHA256), manifest)


def next_manifest(before: Manifest | None, seen: Manifest, *, final: bool, reports_changed: bool) -> Manifest:
    """The manifest that follows `before`, which is `before` itself where nothing changed.

    `seen` holds what was counted; `complete`, `revision` and `daily` are decided here. A table of other reports is not
    this day's.
    """
    revision = before.revision if before else 0
    daily = before.daily if before and not reports_changed else ()
    complete = (final or revision > 0) and Result.PENDING not in seen.outcomes
    now = replace(seen, complete=complete, revision=revision, daily=daily)
    if before and not reports_changed and replace(before, updated=now.updated) == now:
        return before
    return replace(now, revision=revision + 1) if complete else now


def serialize_manifest(manifest: Manifest) -> bytes:
    """The manifest's blob: one line of JSON; schema in docs/consumers.md."""
    return codec.dumps(manifest, full=True).encode()


def manifest_metadata(manifest: Manifest, index_sha256: str) -> dict[str, str]:
    """The metadata of a manifest's blob, for which a listing is enough."""
    return {
        COMPLETE: json.dumps(manifest.complete),
        COMPLETE_WITH_TABLE: json.dumps(manifest.is_complete_with_table),
        "revision": str(manifest.revision),
        _INDEX_SHA256: index_sha256,
    }


def manifest_name(day: date) -> str:
    """The blob name of a day's manifest."""
    return f"{day_folder('manifests', day)}manifest.json"


def index_name(day: date) -> str:
    """The blob name of the index of a day's reports."""
    return f"{day_folder('manifests', day)}reports.jsonl"


def index_line(report: ReportSummary) -> bytes:
    """A report's line. It has every property, so that no engine takes one for unknown that first lines do not have."""
    told = report.metadata.get
    content = {
        "id": report.id,
        "path": report.name,
        "sha256": told("sha256"),
        "bytes": report.size,
        "source": told("source"),
        "meetingId": told("meetingid"),
        "organizerId": told("organizerid"),
        "eventId": told("eventid"),
        "sessionId": told("sessionid"),
        "joinWebUrl": told("joinweburl"),
        "joinUrlKey": told("joinurlkey"),
        "seriesId": told("seriesid"),
        "start": told("start"),
        "end": told("end"),
        "participants": int(told("participants", "")) if told("participants", "").isdecimal() else None,
        "partial": PARTIAL in report.metadata,
    }
    return verbatim_json.dumps(content) + b"\n"
