"""Tables of a large day.

Time and memory of writing them, and seconds of one question by engine.

    python -m benchmarks.tables [REPORTS]

The product's own modules write a day of 100,000 reports, whose blobs are made when they are read; the files go to a
folder. The former form, lines of JSON with gzip, is made of the same rows for comparison.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, cast

from azure.storage.blob import ContainerClient

from benchmarks import engines
from shared.cli import database
from shared.cli.export.tables import ExportTable, Format, write_table
from shared.days.manifests import Manifest, Manifests
from shared.tables.day_tables import DayTables
from tests.support.blobs import Blob, Exists, Missing
from tests.support.parquet import rows_of

DAY = date(2026, 11, 23)
PEOPLE = 5  # in each meeting
MEBIBYTE = 1024  # of kibibytes


class LargeDay:
    """A container with a day's reports, and with what is written about them."""

    def __init__(self, reports: int, folder: Path) -> None:
        self.reports, self._folder = reports, folder
        self._written: dict[str, Blob] = {}

    def body(self, number: int) -> bytes:
        """The report of a meeting."""
        start = datetime(2026, 11, 23, 7, tzinfo=UTC) + timedelta(seconds=number % 36_000)
        end = start + timedelta(minutes=30)
        records = [
            {
                "id": f"{person:08x}-1111-4111-8111-{number:012x}",
                "emailAddress": f"person{person}@contoso.example",
                "totalAttendanceInSeconds": 1700 + place,
                "role": "Attendee",
                "registrationId": None,
                "identity": {
                    "@odata.type": "#microsoft.graph.communicationsUserIdentity",
                    "id": f"{person:08x}-1111-4111-8111-111111111111",
                    "displayName": f"Person {person}",
                    "tenantId": "7f1d3c52-0a86-4be4-9c1e-5b2f8f7a6d10",
                },
                "attendanceIntervals": [
                    {
                        "joinDateTime": (start + timedelta(seconds=place * 7)).isoformat(),
                        "leaveDateTime": (end - timedelta(seconds=place)).isoformat(),
                        "durationInSeconds": 1700 + place,
                    }
                ],
            }
            for place, person in enumerate(range(number % 997, number % 997 + PEOPLE))
        ]
        report = {
            "id": self._id(number),
            "totalParticipantCount": PEOPLE,
            "meetingStartDateTime": start.isoformat(),
            "meetingEndDateTime": end.isoformat(),
            "attendanceRecords": records,
        }
        return json.dumps(report, separators=(",", ":")).encode()

    def list_blobs(self, *, name_starts_with: str, **_: Any) -> Iterator[Any]:
        if not name_starts_with.startswith("reports/"):
            yield from [blob for name, blob in self._written.items() if name.startswith(name_starts_with)]
            return
        url = "https://teams.microsoft.com/l/meetup-join/19%253ameeting_{}%2540thread.v2/0?context=x"
        for number in range(self.reports):
            start = datetime(2026, 11, 23, 7, tzinfo=UTC) + timedelta(seconds=number % 36_000)
            metadata = {
                "sha256": hashlib.sha256(b"%d" % number).hexdigest(),
                "source": "onlineMeeting",
                "meetingid": f"MSo{number:090x}",
                "organizerid": f"{number % 997:08x}-1111-4111-8111-111111111111",
                "joinweburl": url.format(number % 50_000),
                "seriesid": f"{number % 50_000:032x}",
                "start": start.isoformat(),
                "end": (start + timedelta(minutes=30)).isoformat(),
                "participants": str(PEOPLE),
                "records": str(PEOPLE),
            }
            name = f"reports/date={DAY}/{self._id(number)}.json"
            yield SimpleNamespace(name=name, size=2_200, metadata=metadata)

    def get_blob_client(self, name: str) -> Any:
        def upload(data: IO[bytes] | bytes, **more: Any) -> dict[str, str]:
            if name in self._written and "If-None-Match" in str(more):
                raise Exists
            body = data if isinstance(data, bytes) else data.read()
            now, metadata = datetime.now(UTC), dict(more["metadata"] or {})
            self._written[name] = Blob(name, body, metadata, f'"{len(self._written)}"', now, now)
            if name.startswith("tables/"):
                file = self._folder / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(body)
            return {"etag": self._written[name].etag}

        return SimpleNamespace(upload_blob=upload, get_blob_properties=lambda: self._there(name))

    def download_blob(self, name: str, *, offset: int = 0, length: int | None = None) -> Any:
        if name.startswith("reports/"):
            number = int(name.rsplit("-", 1)[1].removesuffix(".json"), 16)
            metadata = {"sha256": hashlib.sha256(b"%d" % number).hexdigest()}
            now = datetime.now(UTC)
            return Blob(name, self.body(number), metadata, '"1"', now, now)
        blob = self._there(name)
        return replace(blob, body=blob.body[offset:][:length]) if offset or length else blob

    def _there(self, name: str) -> Blob:
        if name not in self._written:
            raise Missing
        return self._written[name]

    @staticmethod
    def _id(number: int) -> str:
        return f"{hashlib.sha256(b'%d' % (number // 4096)).hexdigest()[:8]}-2222-4222-8222-{number:012x}"


def measure(function: Callable[[], Any]) -> tuple[float, float]:
    """Seconds, and MiB by which the process has grown at its peak."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    function()
    return time.monotonic() - began, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / MEBIBYTE


def day_of(manifests: Manifests) -> Manifest:
    """The day's manifest."""
    manifest = manifests.read(DAY)
    assert manifest
    return manifest


def export(container: ContainerClient, days: list[database.Day], folder: Path) -> None:
    """Export the attendees of a day, as `attendance export` does."""
    with database.open_database(container, days) as opened:
        write_table(opened, ExportTable.ATTENDEES, None, Format.PARQUET, folder / "export")


def former_form(files: list[str], target: Path) -> int:
    """Write the rows as they were written before; return the bytes."""
    with gzip.open(target, "wt", encoding="utf-8") as packed:
        for file in files:
            for row in rows_of(Path(file).read_bytes()):
                packed.write(json.dumps(row, default=str) + "\n")
    return target.stat().st_size


def lines(reports: int) -> Iterator[tuple[str, str, str]]:
    """Measure, and give what, measured, goal."""
    folder = Path(tempfile.mkdtemp())
    try:
        blobs = LargeDay(reports, folder)
        container = cast(ContainerClient, blobs)
        manifests = Manifests(container)
        tables = DayTables(container, manifests, "7f1d3c52-0a86-4be4-9c1e-5b2f8f7a6d10")
        index = measure(lambda: manifests.refresh(DAY, final=True))
        yield f"index of {reports:,} reports", f"{index[0]:.1f} s, {index[1]:.0f} MiB more", ""
        parts = tables.plan_parts(day_of(manifests))
        first = measure(lambda: tables.write_part(parts[0]))
        yield f"first of {len(parts)} parts of the tables", f"{first[0]:.1f} s, {first[1]:.0f} MiB more", ""
        rest = measure(lambda: [tables.write_part(part) for part in parts[1:]])
        yield "  the others", f"{rest[0] / max(1, len(parts) - 1):.2f} s each, {rest[1]:.0f} MiB more", ""
        manifest = day_of(manifests)
        assert manifest.has_tables
        for table, named in (
            ("attendees", manifest.tables.files["attendees"]),
            ("meetings", manifest.tables.files["meetings"]),
        ):
            size = sum(each.bytes for each in named)
            rows = sum(each.rows for each in named)
            yield f"  {table}", f"{rows:,} rows, {size / 1e6:.1f} MB in {len(named)} files", ""
        days = database.read_days(container, [DAY])
        exported = measure(lambda: export(container, days, folder))
        yield "export of the attendees from tables", f"{exported[0]:.2f} s", ""
        exported = measure(lambda: export(container, [database.Day(DAY, None)], folder))
        yield "  the same from the reports", f"{exported[0]:.1f} s", ""
        files = [str(folder / each.path) for each in manifest.tables.files["attendees"]]
        answers = {}
        for name, ask in engines.ENGINES.items():
            try:
                ask(files[:1])  # imports
                began = time.monotonic()
                answers[name] = ask(files)
            except ImportError:
                yield f"one question to all rows, {name}", "not here", ""
                continue
            yield f"one question to all rows, {name}", f"{time.monotonic() - began:.2f} s", ""
        assert len({json.dumps(answer) for answer in answers.values()}) == 1
        before = folder / "before.jsonl.gz"
        former = former_form(files, before)
        began = time.monotonic()
        columns = "reportId: 'VARCHAR', personKey: 'VARCHAR', netSeconds: 'BIGINT', attendedShare: 'DOUBLE'"
        import duckdb

        sql = f"SELECT count(*), sum(netSeconds) FROM read_json($file, columns = {{{columns}}})"
        duckdb.connect().execute(sql, {"file": str(before)}).fetchall()
        seconds = time.monotonic() - began
        yield "attendees as lines of JSON with gzip, DuckDB", f"{former / 1e6:.1f} MB, {seconds:.2f} s", ""
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    for what, measured, _ in lines(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000):
        print(f"{what:<50} {measured}", flush=True)
