"""Report blobs in `reports/date=YYYY-MM-DD/`, written once, replaced if changed.

        first write          If-None-Match: *      ── 201 ─▶ stored
              │ 409: the name exists
              ▼
        read its metadata    sha256 equal, or from ────────▶ nothing to do
              │ it differs   a webinar or town hall and this is its meeting's view
              ▼
        replace              If-Match: <its ETag>  ── 200 ─▶ replaced (the account keeps the version before)
              └─ 412: another writer was faster ─▶ read its metadata again

Persons who are erased are taken out first, and what is older than RETENTION_DAYS is not written.

So a report is one blob, however many signals and instances store it. The date is the UTC date of `meetingEndDateTime`;
a report that grew past midnight leaves no copy on the day before. The metadata has everything that an index of reports
needs: one listing makes the index, without reading a report.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from urllib.parse import quote

from azure.storage.blob import ContainerClient

from .. import logs, times
from ..errors import StorageRefused
from ..graph import verbatim_json
from ..graph.reports import MeetingReports, Report, ReportLocation
from ..privacy.erasures import NO_ERASURES, ErasureList
from ..privacy.redact import MARK, redact_metadata, redact_report
from ..storage.blobs import delete_blob, get_properties, put_blob, retry_conflicts
from ..storage.names import day_blob_name, day_folder, decode_name_part

LONGEST_MEETING = timedelta(hours=30)
NO_ETAG = '"0x0"'  # matches no blob, so a write with it always fails
_REDACTING = threading.Lock()  # an instance holds one report at a time, so that memory follows a report
MAX_HEADER = 4_096  # characters; storage allows 8 KB of metadata per blob


class StoreResult(StrEnum):
    """The result of storing a report. EXPIRED: nothing is kept of that time."""

    CREATED = "created"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"
    KEPT = "kept"
    EXPIRED = "expired"


def report_name(report_id: str, end: datetime) -> str:
    """Return the blob name of a report that ended at `end`."""
    return day_blob_name("reports", end.astimezone(UTC).date(), report_id)


@dataclass(frozen=True)
class ReportSummary:
    """A listed report: id, blob name, size in bytes, and decoded metadata."""

    id: str
    name: str
    size: int
    metadata: Mapping[str, str]


class Archive:
    """The reports in one container."""

    def __init__(
        self,
        container: ContainerClient,
        erasures: Callable[[], ErasureList] = lambda: NO_ERASURES,
        retention_days: int = 0,
    ) -> None:
        self._container, self._erasures, self._retention_days = container, erasures, retention_days

    def has_expired(self, end: datetime) -> bool:
        """Whether a report of that end is older than what is kept, so that it must not come back."""
        return times.has_expired(end, self._retention_days)

    def has_report(self, report_id: str, end: datetime) -> bool:
        """Whether a report is stored, under the end that it is listed with.

        One that came back without its metadata, as from a copy, is not: the next write gives it back.
        """
        found = get_properties(self._container, report_name(report_id, end))
        return found is not None and "sha256" in (found.metadata or {})

    def probe_write(self) -> None:
        """Test write access without changing anything. Raises azure.core errors."""
        put_blob(self._container, "doctor/probe", b"", etag=NO_ETAG)

    def list_reports(self, day: date) -> Iterator[ReportSummary]:
        """List the reports in the partition of `day` by name, 5,000 per request.

        Blobs without a `sha256` are skipped: the product did not write them.
        """
        prefix = day_folder("reports", day)
        for blob in self._container.list_blobs(name_starts_with=prefix, include=["metadata"]):
            if "sha256" in (blob.metadata or {}):
                identifier = decode_name_part(blob.name.removeprefix(prefix).removesuffix(".json"))
                metadata = {key: decode_name_part(value) for key, value in blob.metadata.items()}
                yield ReportSummary(identifier, blob.name, blob.size, metadata)

    def store(self, report: Report, reports: ReportLocation, *, only_grown: bool = False) -> StoreResult:
        """Store a report; with `only_grown`, a smaller one never replaces a larger one.

        Raises azure.core errors, and Contention after too many lost races.
        """
        if self.has_expired(report.end):
            return StoreResult.EXPIRED
        name = report_name(report.id, report.end)
        report, headers = self._redact(report, report_metadata(report, reports))
        try:
            stored = retry_conflicts(
                lambda: self._write(name, report, headers, only_grown=only_grown),
                f"the blob of report {report.id}",
            )
        except StorageRefused as refusal:
            if not self.has_report(report.id, report.end):
                raise
            logs.error("report.locked", report=report.id, path=name, error=str(refusal))
            stored = StoreResult.KEPT
        if stored is not StoreResult.KEPT:
            self._delete_earlier_copies(report)
        logs.info(
            "report.stored",
            report=report.id,
            meeting=None if MARK.items() <= headers.items() else reports.meeting_id,
            path=name,
            result=stored,
            bytes=report.size,
        )
        return stored

    def _write(
        self, name: str, report: Report, metadata: dict[str, str], *, only_grown: bool
    ) -> StoreResult | None:
        """Try once to write; None if another writer was faster."""
        if put_blob(self._container, name, report.body, etag=None, metadata=metadata):
            return StoreResult.CREATED
        existing = get_properties(self._container, name)
        if existing is None:
            return None  # deleted in between
        source, ours = existing.metadata.get("source"), metadata["source"]
        same_source = source in (ours, None)
        if not same_source and ours == MeetingReports.source:
            return StoreResult.KEPT
        if same_source and existing.metadata.get("sha256") == report.sha256:
            return StoreResult.UNCHANGED
        # A slower worker must not undo what a later one read.
        newer = same_source and "sha256" in existing.metadata and existing.last_modified > report.read_at
        if (only_grown and report.size < existing.size) or (newer and report.size <= existing.size):
            return StoreResult.KEPT
        replaced = put_blob(self._container, name, report.body, etag=existing.etag, metadata=metadata)
        return StoreResult.REPLACED if replaced else None

    def _redact(self, report: Report, metadata: dict[str, str]) -> tuple[Report, dict[str, str]]:
        """The report and its metadata without those who are erased."""
        people = self._erasures().people(report.end)
        if people is None:
            return report, metadata
        metadata = redact_metadata(metadata, people)
        with _REDACTING:
            report.body.seek(0)
            redacted = redact_report(verbatim_json.loads(report.body.read()), people)
        if redacted is None:
            return report, metadata
        return (
            replace(report, body=io.BytesIO(redacted.body), size=len(redacted.body), sha256=redacted.sha256),
            metadata | MARK | {"sha256": redacted.sha256},
        )

    def _delete_earlier_copies(self, report: Report) -> None:
        """Delete copies on earlier days, stored while the report was still growing."""
        last = report.end.astimezone(UTC).date()
        first = max(report.start or report.end, report.end - LONGEST_MEETING).astimezone(UTC).date()
        for days in range((last - first).days):
            name = day_blob_name("reports", first + timedelta(days=days), report.id)
            if delete_blob(self._container, name):
                logs.info("report.moved", report=report.id, path=name)


def report_metadata(report: Report, reports: ReportLocation) -> dict[str, str]:
    """Return the metadata of a report's blob, encoded for headers.

    A value that is unknown or too long for a header is left out; the report is stored in any case.
    """
    values = {
        **reports.metadata,
        "start": times.text(report.start) if report.start else "",
        "end": times.text(report.end),
        "participants": str(report.participants),
        "sha256": report.sha256,
    }
    headers = {key: _encode_header(value) for key, value in values.items()}
    return {key: value for key, value in headers.items() if 0 < len(value) <= MAX_HEADER}


def _encode_header(value: str) -> str:
    """Percent-encode a header value: spaces, and all but printable ASCII."""
    return quote(value, safe="!\"#$&'()*+,/:;<=>?@[\\]^`{|}", errors="surrogatepass")
