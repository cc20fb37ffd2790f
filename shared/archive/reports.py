"""Report blobs in `reports/date=YYYY-MM-DD/`, written once, replaced if changed.

        first write          If-None-Match: *      ── 201 ─▶ stored
              │ 409: the name exists
              ▼
        compare its metadata sha256 equal, or the stored one has more ─▶ nothing to do (see `compare`)
              │ this reading has at least as much
              ▼
        replace              If-Match: <its ETag>  ── 200 ─▶ replaced (the account keeps the version before)
              └─ 412: another writer was faster ─▶ compare again

Persons who are erased are taken out first, and a report older than RETENTION_DAYS is not written.

So a report is one blob, however many signals and instances store it, and no reading makes it worse. The date is the UTC
date of `meetingEndDateTime`; a report that grew past midnight leaves no copy on the day before. The metadata has
everything that an index of reports needs: one listing makes the index, without reading a report.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any

from azure.storage.blob import BlobProperties, ContainerClient

from .. import logs, times
from ..errors import StorageRefused
from ..graph import verbatim_json
from ..graph.invitees import InviteeList
from ..graph.reports import MeetingReports, Report, ReportLocation
from ..messages.signals import lower_guid
from ..privacy.erasures import NO_ERASURES, ErasedPeople, ErasureList
from ..privacy.redact import MARK, redact_invitees, redact_metadata, redact_report
from ..storage.blobs import delete_blob, get_properties, put_blob, put_metadata, retry_conflicts
from ..storage.names import MAX_HEADER, day_blob_name, day_folder, decode_name_part, encode_header
from .attribution import attribution, merge_facts, replace_facts, without_invitees
from .invitees import ListFile, clean_invitees

LONGEST_MEETING = timedelta(hours=30)
NO_ETAG = '"0x0"'  # matches no blob, so a write with it always fails
PARTIAL = "partial"  # metadata of a report that may lack records
STORED = "stored"  # metadata: when a report was first stored under its name
UNKNOWN_PROPERTIES, MOST_PROPERTIES = "unknownproperties", 10  # metadata, and how many names it has at most
MAX_METADATA = 8_000  # characters of all names and values; storage refuses a blob with more than 8 KB
_REDACTING = threading.Lock()  # one report at a time per instance, to limit memory


class StoreResult(StrEnum):
    """The result of storing a report.

    WAITING: a smaller one, which is stored if an equal one follows. EXPIRED: older than RETENTION_DAYS.
    """

    CREATED = "created"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"
    KEPT = "kept"
    WAITING = "waiting"
    EXPIRED = "expired"

    @property
    def is_left(self) -> bool:
        """Whether the stored report stays as it is, because it has more."""
        return self in (StoreResult.KEPT, StoreResult.WAITING)


@dataclass(frozen=True)
class Writing:
    """The result of storing a report, and the blob that holds it now."""

    result: StoreResult
    name: str
    end: datetime
    is_partial: bool


def report_name(report_id: str, end: datetime) -> str:
    """Return the blob name of a report that ended at `end`."""
    return day_blob_name("reports", end.astimezone(UTC).date(), lower_guid(report_id))


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
        """Tell whether a report of this end is older than RETENTION_DAYS."""
        return times.has_expired(end, self._retention_days)

    def has_report(self, report_id: str, end: datetime) -> bool:
        """Whether a report is stored, under the end that it is listed with.

        One that came back without its metadata, as from a copy, is not: the next write gives it back.
        """
        found = get_properties(self._container, report_name(report_id, end))
        return found is not None and "sha256" in (found.metadata or {})

    def clean_invitees(self, day: date, before: datetime) -> bool:
        """Delete lists of invitees that no report names and are older than `before`.

        Return whether none is left.
        """
        reports = ((each.name, each.metadata) for each in self.list_reports(day))
        return clean_invitees(self._container, day, reports, before)

    def probe_write(self) -> None:
        """Test write access without changing anything. Raises azure.core errors."""
        put_blob(self._container, "doctor/probe", b"", etag=NO_ETAG)

    def list_reports(self, day: date) -> Iterator[ReportSummary]:
        """List the reports in the partition of `day` by name, 5,000 per request.

        Blobs without a `sha256` are skipped: the product did not write them.
        """
        for blob in self._container.list_blobs(
            name_starts_with=day_folder("reports", day), include=["metadata"]
        ):
            if summary := _summary(blob):
                yield summary

    def find_report(self, report_id: str, day: date) -> ReportSummary | None:
        """Return a report in the partition of `day`, or None."""
        blob = get_properties(self._container, report_name(report_id, times.midnight(day)))
        return _summary(blob) if blob else None

    def store(
        self,
        report: Report,
        reports: ReportLocation,
        *,
        earlier: str | None = None,
        is_confirmed: bool = False,
        invitees: InviteeList | None = None,
    ) -> Writing:
        """Store a report unless the stored one has more, and its list of invitees.

        `earlier` is the name of a blob that holds the report. With `is_confirmed`, a smaller report replaces a larger
        one, because an equal one was read before. Raises azure.core errors, and Contention after too many lost races.
        """
        name = report_name(report.id, report.end)
        if self.has_expired(report.end):
            return Writing(StoreResult.EXPIRED, name, report.end, report.is_partial)
        people = self._erasures().people(report.end)
        report, headers = _redact(report, report_metadata(report, reports), people)
        listed, headers = _list_file(invitees, headers, people)
        elsewhere = {*_earlier_names(report), *([earlier] if earlier else ())} - {name}

        def attempt() -> Writing | None:
            """Try once; None if another writer was faster."""
            metadata = headers
            for other, blob in self._get_all(elsewhere).items():
                result = compare(report, reports.source, blob, is_confirmed=is_confirmed)
                if result.is_left:
                    is_complete = self._add_facts(other, blob, report, metadata, listed)
                    return _left(result, other, blob, report) if is_complete else None
                known = without_invitees(blob.metadata or {})  # the list of another day is read again
                metadata = self._merge_facts(metadata, known, metadata, report)
            writing = self._write(name, report, reports.source, metadata, listed, is_confirmed=is_confirmed)
            if writing and not writing.result.is_left:
                # Again, because a slower worker may have written one in between.
                for other, blob in self._get_all(elsewhere).items():
                    is_left = compare(report, reports.source, blob, is_confirmed=is_confirmed).is_left
                    if not is_left:
                        self._delete_moved(report, other, blob)
            return writing

        try:
            writing = retry_conflicts(attempt, f"the blob of report {report.id}")
        except StorageRefused as refusal:
            blob = get_properties(self._container, name)
            if not blob or not self.has_report(report.id, report.end):
                raise
            _log_locked(report, name, refusal)
            writing = _left(StoreResult.KEPT, name, blob, report)
        logs.info(
            "report.stored",
            report=report.id,
            meeting=None if MARK.items() <= headers.items() else reports.meeting_id,
            path=writing.name,
            result=writing.result,
            bytes=report.size,
            records=report.records,
            partial=report.is_partial or None,
        )
        return writing

    def _write(
        self,
        name: str,
        report: Report,
        source: str,
        metadata: dict[str, str],
        listed: ListFile,
        *,
        is_confirmed: bool,
    ) -> Writing | None:
        """Try once to write the blob `name`; None if another writer was faster."""
        new = Writing(StoreResult.CREATED, name, report.end, report.is_partial)
        listed.write(self._container, name, metadata, report.end)
        stored = {STORED: times.text(times.now())}
        if put_blob(self._container, name, report.body, etag=None, metadata=metadata | stored):
            return new
        existing = get_properties(self._container, name)
        if existing is None:
            return None  # deleted in between
        result = compare(report, source, existing, is_confirmed=is_confirmed)
        if result is not StoreResult.REPLACED:
            is_complete = self._add_facts(name, existing, report, metadata, listed)
            return _left(result, name, existing, report) if is_complete else None
        metadata = self._merge_facts(metadata, existing.metadata or {}, metadata, report)
        metadata |= {key: value for key, value in (existing.metadata or {}).items() if key == STORED}
        replaced = put_blob(self._container, name, report.body, etag=existing.etag, metadata=metadata)
        return replace(new, result=result) if replaced else None

    def _add_facts(
        self,
        name: str,
        existing: BlobProperties,
        report: Report,
        metadata: Mapping[str, str],
        listed: ListFile,
    ) -> bool:
        """Add missing facts to a blob that is kept, if storage allows it.

        False if another writer was faster.
        """
        known = existing.metadata or {}
        complete = self._merge_facts(known, known, metadata, report)
        if complete == known:
            return True
        listed.write(self._container, name, complete, report.end)
        try:
            if not put_metadata(self._container, name, complete, etag=existing.etag):
                return False
        except StorageRefused as refusal:
            _log_locked(report, name, refusal)
            return True
        logs.info("report.attributed", report=report.id, path=name)
        return True

    def _delete_moved(self, report: Report, name: str, blob: BlobProperties) -> None:
        """Delete the copy of a report that is stored elsewhere, if storage allows it."""
        try:
            if delete_blob(self._container, name, etag=blob.etag):
                logs.info("report.moved", report=report.id, path=name)
        except StorageRefused as refusal:
            _log_locked(report, name, refusal)

    def _merge_facts(
        self, metadata: Mapping[str, str], known: Mapping[str, str], new: Mapping[str, str], report: Report
    ) -> dict[str, str]:
        """Return `metadata` with the known facts and those of the new reading."""
        facts = merge_facts(known, new, report.organizers)
        merged = fit_headers(replace_facts(metadata, facts))
        people = self._erasures().people(report.end)
        return redact_metadata(merged, people) if people else merged

    def _get_all(self, names: Iterable[str]) -> dict[str, BlobProperties]:
        """Return the properties of those blobs that exist."""
        blobs = {name: get_properties(self._container, name) for name in sorted(names)}
        return {name: blob for name, blob in blobs.items() if blob}


def _redact(
    report: Report, metadata: dict[str, str], people: ErasedPeople | None
) -> tuple[Report, dict[str, str]]:
    """Return the report and its metadata without persons who are erased."""
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


def _list_file(
    found: InviteeList | None, metadata: dict[str, str], people: ErasedPeople | None
) -> tuple[ListFile, dict[str, str]]:
    """Return the file of a list without erased persons, and metadata that name it."""
    if found is None:
        return ListFile({}), metadata
    left = redact_invitees(found, people) if people else found
    listed = ListFile.of(left)
    return listed, metadata | dict(listed.metadata) | ({} if left is found else MARK)


def compare(report: Report, source: str, existing: BlobProperties, *, is_confirmed: bool) -> StoreResult:
    """Return what this reading of a report, from `source`, does to the stored one.

    Readings are ordered by number of records, then participant count, end and size. A partial reading replaces a report
    with fewer records, or a smaller partial one. A complete reading replaces a report that is not larger; a smaller
    reading waits for an equal one. The meeting's view never replaces the own report of a webinar or town hall.
    """
    metadata = existing.metadata or {}
    is_same_source = metadata.get("source") in (source, None)
    if not is_same_source and source == MeetingReports.source:
        return StoreResult.KEPT
    if is_same_source and metadata.get("sha256") == report.sha256:
        return StoreResult.UNCHANGED
    if not metadata.get("records", "").isdecimal():  # a restored or copied blob
        return StoreResult.KEPT if report.is_partial else StoreResult.REPLACED
    count = int(metadata["participants"]) if metadata.get("participants", "").isdecimal() else 0
    new: tuple[Any, ...] = report.records, report.participants, times.text(report.end), report.size
    old: tuple[Any, ...] = int(metadata["records"]), count, metadata.get("end", ""), existing.size
    if not is_same_source:  # the two views of one session differ in form
        new, old = new[:1], old[:1]
    elif existing.last_modified > report.read_at and new <= old:
        return StoreResult.KEPT  # a slower worker must not undo what a later one read
    if report.is_partial:
        has_more = new[0] > old[0] or (PARTIAL in metadata and new > old)
        return StoreResult.REPLACED if has_more else StoreResult.KEPT
    return StoreResult.REPLACED if new >= old or is_confirmed else StoreResult.WAITING


def _summary(blob: BlobProperties) -> ReportSummary | None:
    """Summarize a blob; None for one that the product did not write."""
    if "sha256" not in (blob.metadata or {}):
        return None
    identifier = decode_name_part(blob.name.rsplit("/", 1)[1].removesuffix(".json"))
    metadata = {key: decode_name_part(value) for key, value in blob.metadata.items()}
    return ReportSummary(identifier, blob.name, blob.size, metadata)


def _log_locked(report: Report, name: str, refusal: StorageRefused) -> None:
    logs.error("report.locked", report=report.id, path=name, error=str(refusal))


def _left(result: StoreResult, name: str, existing: BlobProperties, report: Report) -> Writing:
    """Return the result of leaving the stored blob as it is."""
    metadata = existing.metadata or {}
    return Writing(result, name, times.plausible(metadata.get("end")) or report.end, PARTIAL in metadata)


def _earlier_names(report: Report) -> Iterator[str]:
    """Yield the names of copies that a growing report left on earlier days."""
    last = report.end.astimezone(UTC).date()
    first = max(report.start or report.end, report.end - LONGEST_MEETING).astimezone(UTC).date()
    for days in range((last - first).days):
        yield day_blob_name("reports", first + timedelta(days=days), report.id)


def report_metadata(report: Report, reports: ReportLocation) -> dict[str, str]:
    """Return the metadata of a report's blob, encoded for headers.

    A value that is unknown or too long for a header is left out; the report is stored in any case.
    """
    values = {
        **attribution(reports),
        "start": times.text(report.start) if report.start else "",
        "end": times.text(report.end),
        "participants": str(report.participants),
        "records": str(report.records),
        PARTIAL: "true" if report.is_partial else "",
        UNKNOWN_PROPERTIES: ",".join(sorted(report.unknown)[:MOST_PROPERTIES]),
        "sha256": report.sha256,
    }
    return fit_headers({key: encode_header(value) for key, value in values.items()})


def unknown_properties(metadata: Mapping[str, str]) -> list[str]:
    """Return the unknown properties that a report's metadata name."""
    return [each for each in metadata.get(UNKNOWN_PROPERTIES, "").split(",") if each]


def fit_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Drop empty and too long metadata values, then the longest until all fit."""
    headers = {key: value for key, value in headers.items() if 0 < len(value) <= MAX_HEADER}
    while sum(len(key) + len(value) for key, value in headers.items()) > MAX_METADATA:
        del headers[max(headers, key=lambda key: len(headers[key]))]
    return headers
