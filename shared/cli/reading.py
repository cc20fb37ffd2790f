"""Stored reports, read many at a time."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

from azure.storage.blob import ContainerClient

from ..archive.reports import Archive, ReportSummary, report_name
from ..days.manifests import index_line
from ..errors import AttendanceError
from ..storage.blobs import get_blob

THREADS = 16
AHEAD = 4  # batches of THREADS in memory at most


def iter_reports(container: ContainerClient, days: Iterable[date]) -> Iterator[tuple[date, ReportSummary]]:
    """The reports of some days, from one listing a day."""
    archive = Archive(container)
    for day in days:
        for report in archive.list_reports(day):
            yield day, report


def read_bodies(
    container: ContainerClient, found: Iterable[ReportSummary], done: Callable[[int], None] = lambda _: None
) -> Iterator[tuple[ReportSummary, dict[str, Any]]]:
    """Reports and what they say, in order; one that was deleted meanwhile is left out.

    Raises AttendanceError for a report that is no JSON object.
    """
    with ThreadPoolExecutor(THREADS) as threads:
        for batch in itertools.batched(found, THREADS * AHEAD, strict=False):
            blobs = threads.map(lambda each: get_blob(container, each.name), batch)
            for report, blob in zip(batch, blobs, strict=True):
                done(1)
                if blob is not None:
                    yield report, parse_report(blob.body, report.name)


def parse_report(body: bytes, name: str) -> dict[str, Any]:
    """The report in a blob. Raises AttendanceError for what is none."""
    try:
        report = json.loads(body)
    except (ValueError, RecursionError):
        report = None
    if not isinstance(report, dict):
        raise AttendanceError(f"{name} is no report.")
    return report


def index_fields(report: ReportSummary) -> dict[str, Any]:
    """A report's line of the index, from what the listing says."""
    content: dict[str, Any] = json.loads(index_line(report))
    return content


def locate_blob(container: ContainerClient, wanted: str, days: Iterable[date]) -> str:
    """The blob name of a report: `wanted` is that name, or the report's id, looked for from the last day back.

    Raises AttendanceError when there is none.
    """
    if wanted.startswith("reports/"):
        return wanted
    from .. import times

    for day in sorted(days, reverse=True):
        name = report_name(wanted, times.midnight(day))
        if container.get_blob_client(name).exists():
            return name
    raise AttendanceError("There is no report of this id on these days: see --from and --to.")
