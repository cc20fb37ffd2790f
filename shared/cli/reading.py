"""Read stored reports, many at a time, and sum up days."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

from azure.storage.blob import ContainerClient

from .. import times
from ..archive.invitees import read_invitees
from ..archive.reports import Archive, ReportSummary, report_name
from ..days.index import index_line
from ..days.manifests import Manifest
from ..errors import AttendanceError
from ..graph.invitees import InviteeList
from ..graph.verbatim_json import MAX_INTEGER_DIGITS
from ..storage.blobs import Blob, get_blob, run_in_parallel
from ..tables.rows import attendee_rows

MOST_NAMED, MOST_TRIED = 100, 3  # organizers whose names are looked up, and reports that are read for each
THREADS = 16
AHEAD = 4  # batches of THREADS in memory at most


def day_row(day: date, manifest: Manifest | None, unknown: str | None = None) -> dict[str, object]:
    """Sum up a day in a row: whether it is complete, its reports and outcomes.

    `p95` is the time after the end of their calls within which 95 % of the signals had a report.
    """
    delays = manifest and manifest.delays
    outcomes = manifest and ", ".join(f"{name} {count}" for name, count in manifest.outcomes.items())
    return {
        "day": day.isoformat(),
        "complete": "yes" if manifest and manifest.complete else "no",
        "reports": manifest.reports if manifest else None,
        "p95": times.format_duration(delays.end_to_stored.p95) if delays else "",
        "outcomes": unknown if outcomes is None else outcomes,
    }


def iter_reports(container: ContainerClient, days: Iterable[date]) -> Iterator[tuple[date, ReportSummary]]:
    """Yield the reports of some days, with one listing per day."""
    archive = Archive(container)
    for day in days:
        for report in archive.list_reports(day):
            yield day, report


def read_bodies(
    container: ContainerClient, reports: Iterable[ReportSummary], done: Callable[[int], None] = lambda _: None
) -> Iterator[tuple[ReportSummary, dict[str, Any], InviteeList | None]]:
    """Read reports and their lists of invitees in parallel, and yield them in order.

    Deleted ones are skipped. Raises AttendanceError for a report that is not a JSON object.
    """

    def read(report: ReportSummary) -> tuple[Blob | None, InviteeList | None]:
        blob = get_blob(container, report.name)
        return blob, read_invitees(container, report.name, blob.metadata) if blob else None

    with ThreadPoolExecutor(THREADS) as threads:
        for batch in itertools.batched(reports, THREADS * AHEAD, strict=False):
            for report, (blob, invitees) in zip(batch, threads.map(read, batch), strict=True):
                done(1)
                if blob is not None:
                    yield report, parse_report(blob.body, report.name), invitees


def parse_report(body: bytes, name: str) -> dict[str, Any]:
    """Parse the report in a blob. Raises AttendanceError."""
    try:
        report = json.loads(body, parse_int=_integer)
    except (ValueError, RecursionError):
        report = None
    if not isinstance(report, dict):
        raise AttendanceError(f"{name} is not a report.")
    return report


def _integer(text: str) -> float:
    """An integer; as a float if it has more digits than Python reads at once."""
    return int(text) if len(text) <= MAX_INTEGER_DIGITS else float(text)


def index_fields(report: ReportSummary) -> dict[str, Any]:
    """Return the report's line of the index, made from the listing."""
    content: dict[str, Any] = json.loads(index_line(report))
    return content


def organizer_names(
    container: ContainerClient, reports: Iterable[tuple[str | None, str, int]]
) -> dict[str, str]:
    """Return the names of organizers, by their ids in lower case.

    From the attendance in their reports. Of each report given: organizer, blob and size. A few of the smallest of
    each organizer are read. One who did not attend, or was erased, has no name; nor have those after the first
    MOST_NAMED.
    """
    by_organizer: dict[str, list[tuple[int, str]]] = {}
    for organizer, name, size in reports:
        if organizer and (organizer.lower() in by_organizer or len(by_organizer) < MOST_NAMED):
            by_organizer.setdefault(organizer.lower(), []).append((size, name))

    def find(organizer: str) -> str | None:
        smallest = sorted(by_organizer[organizer])[:MOST_TRIED]
        blobs = ((get_blob(container, name), name) for _, name in smallest)
        names = (_organizer_in(parse_report(blob.body, name), organizer) for blob, name in blobs if blob)
        return next(filter(None, names), None)

    found = zip(by_organizer, run_in_parallel(find, list(by_organizer)), strict=True)
    return {organizer: name for organizer, name in found if name}


def _organizer_in(report: dict[str, Any], organizer: str) -> str | None:
    """Return an organizer's name, if a report of theirs has it."""
    for row in attendee_rows(report, {}):
        if (row["personId"] or "").lower() == organizer and row["displayName"]:
            return str(row["displayName"])
    return None


def locate_blob(container: ContainerClient, report: str, days: Iterable[date]) -> str:
    """Return a report's blob name for that name or for the report's id.

    The id is searched from the last day back. Raises AttendanceError if there is no such report.
    """
    if report.startswith("reports/"):
        return report
    for day in sorted(days, reverse=True):
        name = report_name(report, times.midnight(day))
        if container.get_blob_client(name).exists():
            return name
    raise AttendanceError("There is no report with this id on these days: see --from and --to.")
