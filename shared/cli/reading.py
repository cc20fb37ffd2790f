"""Read stored reports, many at a time, and sum up days."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

from azure.storage.blob import ContainerClient

from ..archive.invitees import read_invitees
from ..archive.reports import Archive, ReportSummary, report_name
from ..days.manifests import Manifest, index_line
from ..errors import AttendanceError
from ..graph.invitees import InviteeList
from ..graph.verbatim_json import MAX_INTEGER_DIGITS
from ..storage.blobs import Blob, get_blob

THREADS = 16
AHEAD = 4  # batches of THREADS in memory at most


def day_row(day: date, manifest: Manifest | None, unknown: str | None = None) -> dict[str, object]:
    """Sum up a day in a row: whether it is complete, its reports and outcomes."""
    outcomes = manifest and ", ".join(f"{name} {count}" for name, count in manifest.outcomes.items())
    return {
        "day": day.isoformat(),
        "complete": "yes" if manifest and manifest.complete else "no",
        "reports": manifest.reports if manifest else None,
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


def locate_blob(container: ContainerClient, report: str, days: Iterable[date]) -> str:
    """Return a report's blob name for that name or for the report's id.

    The id is searched from the last day back. Raises AttendanceError if there is no such report.
    """
    if report.startswith("reports/"):
        return report
    from .. import times

    for day in sorted(days, reverse=True):
        name = report_name(report, times.midnight(day))
        if container.get_blob_client(name).exists():
            return name
    raise AttendanceError("There is no report with this id on these days: see --from and --to.")
