"""Daily manifests: whether a day is final, and an index of its reports.

In `manifests/date=YYYY-MM-DD/`, `manifest.json` counts the day's outcomes and reports and `reports.jsonl` is the index.
Both come from two listings with metadata, without reading an outcome or a report.

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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import IO, Annotated

from azure.storage.blob import ContainerClient

from .. import logs, times
from ..archive.reports import PARTIAL, Archive, ReportSummary
from ..errors import NotOurMessage
from ..graph import verbatim_json
from ..graph.meeting_details import decode_details
from ..ledger.publish import Outcomes
from ..ledger.record import Result
from ..messages import codec
from ..storage.blobs import get_blob, get_properties, put_blob, retry_conflicts
from ..storage.names import day_folder

SPOOL_BYTES = 1024 * 1024  # of an index in memory; then it goes to a temporary file
_LINES = "application/x-ndjson"
COMPLETE, COMPLETE_WITH_TABLE = "complete", "whole"  # in the manifest's metadata
_INDEX_SHA256 = "reportssha256"  # in the manifest's metadata: sha256 of its index


@dataclass(frozen=True)
class Manifest:
    """The manifest of one day.

    `outcomes` counts outcomes by result, without zeros; `partial` counts the `reports` that may lack records. `daily`
    names the parts of the day's attendee table, once all are written. `revision` counts the published complete
    versions: 0 before the first; it stays when a day becomes incomplete. `oldest_pending` is when the first of the
    pending outcomes was published.
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
        """Whether the day is final and its attendee table exists."""
        return self.complete and (bool(self.daily) or not self.reports)


@dataclass(frozen=True)
class _StoredBlob:
    """A blob's ETag (None: no blob), and the sha256 of the index it is or describes."""

    etag: str | None = None
    sha256: str | None = None
    manifest: Manifest | None = None


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

        One listing per month. With COMPLETE_WITH_TABLE, only days whose attendee table exists too.
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

    def name_daily(self, day: date, index: str, names: Sequence[str]) -> None:
        """Add the parts of the day's attendee table to the manifest.

        `index` is the sha256 of the index they were made of. Does nothing if the day has another index now. Raises
        Contention after too many lost races.
        """
        retry_conflicts(lambda: self._name_daily(day, index, tuple(names)), f"the manifest of {day}")

    def _name_daily(self, day: date, index: str, names: tuple[str, ...]) -> bool | None:
        """Try once; None if another writer was faster."""
        stored = self._read_manifest(day)
        before = stored.manifest
        if before is None or not before.complete or stored.sha256 != index or before.daily == names:
            return False
        now = replace(before, daily=names)
        metadata = manifest_metadata(now, index)
        if not put_blob(
            self._container, manifest_name(day), serialize_manifest(now), etag=stored.etag, metadata=metadata
        ):
            return None
        logs.info("daily.named", date=day, revision=now.revision, parts=len(names))
        return True

    def _refresh(self, day: date, *, final: bool) -> Manifest | None:
        """Try once; None if another writer was faster."""
        index, stored = self._read_index(day), self._read_manifest(day)
        outcomes, oldest_pending = self._count(day)
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as lines:
            reports, partial, sha256 = self._write_lines(day, lines)
            metadata = {"sha256": sha256}
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
        seen = Manifest(day, False, 0, outcomes, reports, (), oldest_pending, updated, partial)
        now = next_manifest(before, seen, final=final, reports_changed=stored.sha256 != sha256)
        if now is before:
            return before
        metadata = manifest_metadata(now, sha256)
        if not put_blob(
            self._container, manifest_name(day), serialize_manifest(now), etag=stored.etag, metadata=metadata
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
        """Count the day's outcomes; return when the oldest pending one was published."""
        counts: Counter[str] = Counter()
        oldest: datetime | None = None
        for outcome in self._outcomes.list(day):
            if not outcome.result:
                continue  # not written by the product
            counts[outcome.result] += 1
            if outcome.result == Result.PENDING and (oldest is None or outcome.written < oldest):
                oldest = outcome.written
        return dict(sorted(counts.items())), oldest

    def _write_lines(self, day: date, lines: IO[bytes]) -> tuple[int, int, str]:
        """Write the day's index. Return its number of reports, how many are partial, and its sha256."""
        reports, partial, digest = 0, 0, hashlib.sha256()
        for report in self._archive.list_reports(day):
            text = index_line(report)
            digest.update(text)
            lines.write(text)
            reports += 1
            partial += PARTIAL in report.metadata
        return reports, partial, digest.hexdigest()

    def _read_index(self, day: date) -> _StoredBlob:
        properties = get_properties(self._container, index_name(day))
        return (
            _StoredBlob(properties.etag, properties.metadata.get("sha256")) if properties else _StoredBlob()
        )

    def _read_manifest(self, day: date) -> _StoredBlob:
        """Read the stored manifest; one that cannot be read counts as none."""
        blob = get_blob(self._container, manifest_name(day))
        if blob is None:
            return _StoredBlob()
        try:
            manifest = codec.loads(Manifest, blob.body)
        except NotOurMessage:
            manifest = None
        return _StoredBlob(blob.etag, blob.metadata.get(_INDEX_SHA256), manifest)


def next_manifest(before: Manifest | None, seen: Manifest, *, final: bool, reports_changed: bool) -> Manifest:
    """Return the manifest after `before`, or `before` itself if nothing changed.

    `seen` has the counts; `complete`, `revision` and `daily` are decided here. A table made of other reports is
    dropped.
    """
    revision = before.revision if before else 0
    daily = before.daily if before and not reports_changed else ()
    complete = (final or revision > 0) and Result.PENDING not in seen.outcomes
    now = replace(seen, complete=complete, revision=revision, daily=daily)
    if before and not reports_changed and replace(before, updated=now.updated) == now:
        return before
    return replace(now, revision=revision + 1) if complete else now


def serialize_manifest(manifest: Manifest) -> bytes:
    """Return the manifest as one line of JSON; schema in docs/consumers.md."""
    return codec.dumps(manifest, full=True).encode()


def manifest_metadata(manifest: Manifest, index_sha256: str) -> dict[str, str]:
    """Return the metadata of a manifest's blob, so a listing shows its state."""
    return {
        COMPLETE: json.dumps(manifest.complete),
        COMPLETE_WITH_TABLE: json.dumps(manifest.is_complete_with_table),
        "revision": str(manifest.revision),
        _INDEX_SHA256: index_sha256,
    }


def manifest_name(day: date) -> str:
    """Return the blob name of a day's manifest."""
    return f"{day_folder('manifests', day)}manifest.json"


def index_name(day: date) -> str:
    """Return the blob name of a day's index of reports."""
    return f"{day_folder('manifests', day)}reports.jsonl"


def index_line(report: ReportSummary) -> bytes:
    """Return a report's line, with every property.

    An engine that infers the columns from the first lines then misses none.
    """
    get = report.metadata.get
    details = decode_details(get("details"))
    content = {
        "id": report.id,
        "path": report.name,
        "sha256": get("sha256"),
        "bytes": report.size,
        "source": get("source"),
        "meetingId": get("meetingid"),
        "organizerId": get("organizerid"),
        "eventId": get("eventid"),
        "sessionId": get("sessionid"),
        "joinWebUrl": get("joinweburl"),
        "joinUrlKey": get("joinurlkey"),
        "seriesId": get("seriesid"),
        "start": get("start"),
        "end": get("end"),
        "participants": int(get("participants", "")) if get("participants", "").isdecimal() else None,
        "partial": PARTIAL in report.metadata,
        "subject": details.subject,
        "scheduledStart": times.optional_text(details.scheduled_start),
        "scheduledEnd": times.optional_text(details.scheduled_end),
        "threadId": details.thread_id,
        "meetingType": details.meeting_type,
    }
    return verbatim_json.dumps(content) + b"\n"
