"""Reports in Blob storage: `reports/date=YYYY-MM-DD/<reportId>.json`, written once and replaced only by a change.

        first write          If-None-Match: *      ── 201 ─▶ stored
              │ 409: the name exists
              ▼
        compare its metadata sha256 equal, or what is stored says more ─▶ nothing to do (see `compare`)
              │ this reading says at least as much
              ▼
        replace              If-Match: <its ETag>  ── 200 ─▶ replaced (the account keeps the version before)
              └─ 412: someone was faster ─▶ compare again

So the same report from any number of signals and instances is one blob, and no reading makes it worse. The date is the
UTC date of `meetingEndDateTime`; a report that grew past midnight leaves no copy in the day before. The blob's metadata
tells all that an index of reports needs, so that one listing makes the index and no report is read for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any

from azure.storage.blob import BlobProperties, ContainerClient

from .. import logs, times
from ..graph.reports import MeetingReports, Report, ReportLocation
from ..privacy.redact import ERASED
from ..storage.blobs import delete_blob, get_properties, put_blob, put_metadata, retry_conflicts
from ..storage.names import day_blob_name, day_folder, decode_name_part, encode_header
from .attribution import attribution, merge_facts, replace_facts

LONGEST_MEETING = timedelta(hours=30)
NO_ETAG = '"0x0"'  # no blob has it, so a write with it is refused
PARTIAL = "partial"  # metadata of a report of which some records may be missing
MAX_HEADER = 4_096  # characters of one value
MAX_METADATA = 8_000  # characters of all names and values; storage refuses a blob with more than 8 KB


class StoreResult(StrEnum):
    """What became of a reading. WAITING: it says less than what is stored, and counts once an equal one has come."""

    CREATED = "created"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"
    KEPT = "kept"
    WAITING = "waiting"

    @property
    def is_left(self) -> bool:
        """Whether what was stored before is left as it is, because it says more."""
        return self in (StoreResult.KEPT, StoreResult.WAITING)


@dataclass(frozen=True)
class Writing:
    """What became of a reading, and the blob that holds the report now."""

    result: StoreResult
    name: str
    end: datetime
    is_partial: bool


def report_name(report_id: str, end: datetime) -> str:
    """The blob name of a report that ended at `end`."""
    return day_blob_name("reports", end.astimezone(UTC).date(), report_id)


@dataclass(frozen=True)
class ReportSummary:
    """A report as a listing shows it: its id, its blob's name and size in bytes, and its metadata, decoded."""

    id: str
    name: str
    size: int
    metadata: Mapping[str, str]


class Archive:
    """The reports in one container."""

    def __init__(self, container: ContainerClient) -> None:
        self._container = container

    def has_report(self, report_id: str, end: datetime) -> bool:
        """Whether a report is stored, under the end that it is listed with."""
        return self._container.get_blob_client(report_name(report_id, end)).exists()

    def probe_write(self) -> None:
        """Try to write, and change nothing. Raises azure.core errors where the app may not."""
        put_blob(self._container, "doctor/probe", b"", etag=NO_ETAG)

    def list_reports(self, day: date) -> Iterator[ReportSummary]:
        """The reports in the partition of `day`, ordered by name, 5,000 a request.

        Blobs without a `sha256` are passed over: they are not the product's.
        """
        prefix = day_folder("reports", day)
        for blob in self._container.list_blobs(name_starts_with=prefix, include=["metadata"]):
            if "sha256" in (blob.metadata or {}):
                identifier = decode_name_part(blob.name.removeprefix(prefix).removesuffix(".json"))
                told = {key: decode_name_part(value) for key, value in blob.metadata.items()}
                yield ReportSummary(identifier, blob.name, blob.size, told)

    def store(
        self,
        report: Report,
        reports: ReportLocation,
        *,
        earlier: str | None = None,
        is_confirmed: bool = False,
    ) -> Writing:
        """Write a report, unless what is stored says more; `earlier` is the name of the blob that is known to hold it.

        With `is_confirmed` a smaller one is written too: an equal reading was made before.
        Raises azure.core errors when storage does not answer, Contention after too many lost races.
        """
        name, headers = report_name(report.id, report.end), report_metadata(report, reports)
        elsewhere = {*_names_before(report), *([earlier] if earlier else ())} - {name}

        def attempt() -> Writing | None:
            """One try; None when another writer was faster."""
            metadata = headers
            for each, found in self._found(elsewhere).items():
                result = compare(report, reports.source, found, is_confirmed=is_confirmed)
                if result.is_left:
                    is_complete = self._add_facts(each, found, report, metadata)
                    return _writing(result, each, found, report) if is_complete else None
                metadata = _with_facts(metadata, found, report)
            writing = self._write(name, report, reports.source, metadata, is_confirmed=is_confirmed)
            if writing and not writing.result.is_left:
                for each, found in self._found(
                    elsewhere
                ).items():  # again: who was slower may have written one
                    is_left = compare(report, reports.source, found, is_confirmed=is_confirmed).is_left
                    if not is_left and delete_blob(self._container, each, etag=found.etag):
                        logs.info("report.moved", report=report.id, path=each)
            return writing

        writing = retry_conflicts(attempt, f"the blob of report {report.id}")
        logs.info(
            "report.stored",
            report=report.id,
            meeting=reports.meeting_id,
            path=writing.name,
            result=writing.result,
            bytes=report.size,
            records=report.records,
            partial=report.is_partial or None,
        )
        return writing

    def _write(
        self, name: str, report: Report, source: str, metadata: dict[str, str], *, is_confirmed: bool
    ) -> Writing | None:
        """Write the blob `name` if that makes it no worse; None when another writer was faster."""
        new = Writing(StoreResult.CREATED, name, report.end, report.is_partial)
        if put_blob(self._container, name, report.body, etag=None, metadata=metadata):
            return new
        existing = get_properties(self._container, name)
        if existing is None:
            return None  # deleted meanwhile
        result = compare(report, source, existing, is_confirmed=is_confirmed)
        if result is not StoreResult.REPLACED:
            is_complete = self._add_facts(name, existing, report, metadata)
            return _writing(result, name, existing, report) if is_complete else None
        metadata = _with_facts(metadata, existing, report)
        replaced = put_blob(self._container, name, report.body, etag=existing.etag, metadata=metadata)
        return replace(new, result=result) if replaced else None

    def _add_facts(
        self, name: str, existing: BlobProperties, report: Report, metadata: Mapping[str, str]
    ) -> bool:
        """Write the facts that a blob which is left lacks; a person may have been erased from them.

        Return False when another writer was faster.
        """
        known = existing.metadata or {}
        facts = merge_facts(known, metadata, report.organizers)
        complete = fit_headers(replace_facts(known, facts))
        if ERASED in known or complete == known:
            return True
        if not put_metadata(self._container, name, complete, etag=existing.etag):
            return False
        logs.info("report.attributed", report=report.id, path=name)
        return True

    def _found(self, names: Iterable[str]) -> dict[str, BlobProperties]:
        found = ((name, get_properties(self._container, name)) for name in sorted(names))
        return {name: each for name, each in found if each}


def compare(report: Report, source: str, existing: BlobProperties, *, is_confirmed: bool) -> StoreResult:
    """What becomes of a stored report when this reading of it, from `source`, has come.

    A reading says more by more records, then a later end, then more bytes. A partial one replaces only what has fewer
    records, or is partial and says less. A whole one replaces what says no more; what says more waits for an equal
    reading. A webinar's or town hall's own report is never replaced by its meeting's view, and nothing from which a
    person was erased is replaced at all.
    """
    told = existing.metadata or {}
    is_same_source = told.get("source") in (source, None)
    if ERASED in told or (not is_same_source and source == MeetingReports.source):
        return StoreResult.KEPT
    if is_same_source and told.get("sha256") == report.sha256:
        return StoreResult.UNCHANGED
    if not told.get("records", "").isdecimal():  # not this product's metadata
        return StoreResult.KEPT if report.is_partial else StoreResult.REPLACED
    says: tuple[Any, ...] = report.records, times.text(report.end), report.size
    said: tuple[Any, ...] = int(told["records"]), told.get("end", ""), existing.size
    if not is_same_source:  # the two views of one session differ in form
        says, said = says[:1], said[:1]
    elif existing.last_modified > report.read_at and says <= said:
        return StoreResult.KEPT  # a slower worker must not undo what a later one read
    if report.is_partial:
        is_more = says[0] > said[0] or (PARTIAL in told and says > said)
        return StoreResult.REPLACED if is_more else StoreResult.KEPT
    return StoreResult.REPLACED if says >= said or is_confirmed else StoreResult.WAITING


def _writing(result: StoreResult, name: str, existing: BlobProperties, report: Report) -> Writing:
    """The blob as it was left."""
    told = existing.metadata or {}
    return Writing(result, name, times.plausible(told.get("end")) or report.end, PARTIAL in told)


def _names_before(report: Report) -> Iterator[str]:
    """The names under which an earlier reading may have left the report, when it still ran on a day before."""
    last = report.end.astimezone(UTC).date()
    first = max(report.start or report.end, report.end - LONGEST_MEETING).astimezone(UTC).date()
    for days in range((last - first).days):
        yield day_blob_name("reports", first + timedelta(days=days), report.id)


def _with_facts(metadata: dict[str, str], existing: BlobProperties, report: Report) -> dict[str, str]:
    """The metadata of a reading, with the facts of the blob that it replaces."""
    facts = merge_facts(existing.metadata or {}, metadata, report.organizers)
    return fit_headers(replace_facts(metadata, facts))


def report_metadata(report: Report, reports: ReportLocation) -> dict[str, str]:
    """The metadata of a report's blob, encoded for headers.

    What is not known, or too long for a header, is left out: it must not cost the report.
    """
    known = {
        **attribution(reports),
        "start": times.text(report.start) if report.start else "",
        "end": times.text(report.end),
        "participants": str(report.participants),
        "records": str(report.records),
        PARTIAL: "true" if report.is_partial else "",
        "sha256": report.sha256,
    }
    return fit_headers({key: encode_header(value) for key, value in known.items()})


def fit_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Encoded metadata without what is empty or too long; the longest values go until all fit."""
    headers = {key: value for key, value in headers.items() if 0 < len(value) <= MAX_HEADER}
    while sum(len(key) + len(value) for key, value in headers.items()) > MAX_METADATA:
        del headers[max(headers, key=lambda key: len(headers[key]))]
    return headers
