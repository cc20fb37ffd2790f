"""The tables of the archive compared with its reports, as a consumer reads them: manifest, files, rows.

`read` alone knows where files are. What a row must hold follows from the report that it is about.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import ContainerClient

from tests.support.parquet import rows_of

TABLES = ("meetings", "attendees", "engagements")
MOST_TOLD = 20
KEYS = ("reportId", "recordNumber", "engagement")  # of a table's rows, as far as it has them

type Rows = list[dict[str, Any]]


def read(container: ContainerClient, day: date) -> tuple[dict[str, Any], dict[str, Rows], list[str]]:
    """The manifest of a day, the rows of its tables, and files that are not as the manifest says."""
    manifest = _json(container, f"{_folder(day)}/manifest.json")
    named = _named(manifest)
    named = named.get("files", named)
    rows: dict[str, Rows] = {}
    problems = []
    for table in TABLES:
        rows[table] = []
        for file in named.get(table, []):
            try:
                body = container.download_blob(file["path"]).readall()
            except ResourceNotFoundError:
                problems.append(f"{file['path']} is named, and is not there")
                continue
            found = rows_of(body)
            told = len(found), len(body), hashlib.sha256(body).hexdigest()
            if told != (file["rows"], file["bytes"], file["sha256"]):
                problems.append(f"{file['path']} is not as the manifest says")
            if f"/date={day}/" not in file["path"]:
                problems.append(f"{file['path']} is named by {day}")
            rows[table] += found
    return manifest, rows, problems


def days(container: ContainerClient) -> list[date]:
    """The days that have a manifest."""
    folders = container.walk_blobs(name_starts_with="manifests/date=", delimiter="/")
    return sorted(date.fromisoformat(each.name.split("date=")[1][:10]) for each in folders)


def problems(container: ContainerClient) -> tuple[int, list[str]]:
    """The number of rows, and what in the tables is not as the reports are."""
    found: list[str] = []
    count = 0
    seen: Counter[tuple[str, ...]] = Counter()
    for day in days(container):
        manifest, rows, wrong = read(container, day)
        found += wrong
        if not manifest.get("complete") and not _is_current(container, day, manifest):
            continue  # an open day's tables may be of an hour before
        count += sum(map(len, rows.values()))
        found += [f"{day}: {each}" for each in _of_day(container, day, manifest, rows)]
        for table, many in rows.items():
            seen.update((table, *(str(row[key]) for key in KEYS if key in row)) for row in many)
    found += [f"{' '.join(row)} is in the tables {times} times" for row, times in seen.items() if times > 1]
    return count, found[:MOST_TOLD]


def behind(container: ContainerClient) -> list[date]:
    """The complete days whose tables are not those of their revision."""
    manifests = {day: _json(container, f"{_folder(day)}/manifest.json") for day in days(container)}
    return [
        day
        for day, each in manifests.items()
        if each.get("complete") and _named(each).get("revision") != each["revision"]
    ]


def _named(manifest: Mapping[str, Any]) -> dict[str, Any]:
    named: dict[str, Any] = manifest.get("tables") or {}
    return named


def _is_current(container: ContainerClient, day: date, manifest: Mapping[str, Any]) -> bool:
    """Whether there are tables of the index that is there."""
    named = _named(manifest)
    return bool(named.get("index")) and named["index"] == _index(container, day)[1]


def _index(container: ContainerClient, day: date) -> tuple[bytes, str]:
    """The index of a day, and its SHA-256."""
    index = container.download_blob(f"{_folder(day)}/reports.jsonl").readall()
    return index, hashlib.sha256(index).hexdigest()


def _of_day(
    container: ContainerClient, day: date, manifest: Mapping[str, Any], rows: Mapping[str, Rows]
) -> Iterator[str]:
    (index, sha256), tables = _index(container, day), _named(manifest)
    if manifest["complete"] and tables.get("revision") != manifest["revision"]:
        yield f"tables of revision {tables.get('revision')}, not {manifest['revision']}"
        return
    if tables.get("index") != sha256:
        yield "tables of another index"
    lines = {line["id"]: line for line in map(json.loads, index.splitlines())}
    listed = {row["reportId"] for row in rows["meetings"]}
    yield from (f"report {each} is not in the table" for each in sorted(lines.keys() - listed))
    yield from (
        f"report {each} is in the table, and not in the index" for each in sorted(listed - lines.keys())
    )
    own: dict[str, dict[str, Rows]] = {}
    for table, many in rows.items():
        for row in many:
            own.setdefault(row["reportId"], {name: [] for name in TABLES})[table].append(row)
    for report_id in listed & lines.keys():
        report = _json(container, lines[report_id]["path"])
        if not report:
            yield f"report {report_id} is in the index, and is not there"
        elif told := _differences(report, own[report_id]):
            yield f"report {report_id} has other {' and '.join(told)} in the tables"


def _differences(report: Mapping[str, Any], rows: Mapping[str, Rows]) -> list[str]:
    records = report["attendanceRecords"]
    expected = {
        "meetings": [(_moment(report["meetingEndDateTime"]), len(records))],
        "attendees": [_attendee(number, each) for number, each in enumerate(records)],
        "engagements": [
            (number, place, did["engagementType"])
            for number, each in enumerate(records)
            for place, did in enumerate(each.get("engagements") or [])
        ],
    }
    told: dict[str, list[tuple[Any, ...]]] = {
        "meetings": [(row["meetingEnd"], row["records"]) for row in rows["meetings"]],
        "attendees": [_row(row) for row in rows["attendees"]],
        "engagements": [
            (row["recordNumber"], row["engagement"], row["engagementType"]) for row in rows["engagements"]
        ],
    }
    return [table for table in TABLES if sorted(told[table], key=str) != sorted(expected[table], key=str)]


def _attendee(number: int, record: Mapping[str, Any]) -> tuple[Any, ...]:
    stays = [(_moment(each["joinDateTime"]), _moment(each["leaveDateTime"])) for each in _stays(record)]
    address = record["emailAddress"] or None
    return number, record["id"], address, record["role"], record["totalAttendanceInSeconds"], stays


def _row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    stays = [(each["join"], each["leave"]) for each in row["intervals"]]
    who = row["recordId"], row["emailAddress"], row["role"]
    return row["recordNumber"], *who, row["attendedSeconds"], stays


def _stays(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return record["attendanceIntervals"] or []


def _moment(text: str) -> datetime:
    """A time of Graph, cut to milliseconds."""
    moment = datetime.fromisoformat(text).astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _json(container: ContainerClient, name: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(container.download_blob(name).readall())
    except ResourceNotFoundError:
        return {}
    return found


def _folder(day: date) -> str:
    return f"manifests/date={day.isoformat()}"
