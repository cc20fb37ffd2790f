"""Every engine that can be had reads the tables of a day with the same types, and answers as the simulator knows."""

import json
import shutil
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from benchmarks import engines
from local.simulator.tenant.orders import NewPast
from shared.tables.columns import COLUMNS, Table
from tests.support.front import Front, own_stack

pytestmark = pytest.mark.heavy("the engines are large, and slow to start")
PAST = datetime.now(UTC).date() - timedelta(days=3)
stack = own_stack(MEETING_DETAILS="subject,schedule,invitees")

# The words of each engine for the types of the columns.
TYPES = {
    "duckdb": ("VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "TIMESTAMP WITH TIME ZONE"),
    "polars": ("String", "Int64", "Float64", "Boolean", "Datetime(time_unit='us', time_zone='UTC')"),
    "pyarrow": ("string", "int64", "double", "bool", "timestamp[us, tz=UTC]"),
    "pyspark": ("string", "bigint", "double", "boolean", "timestamp"),
}
KINDS = ("string", "long", "double", "boolean", "timestamp")


def seconds(text: str) -> float:
    """A time of Graph's, cut to the millisecond."""
    moment = datetime.fromisoformat(text)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000).timestamp()


def presence(spans: list[dict[str, Any]], low: float = 0.0, high: float = float("inf")) -> float:
    """Seconds of presence between two times, overlapping stays counted once."""
    net, reached = 0.0, low
    for join, leave in sorted(
        (seconds(each["joinDateTime"]), seconds(each["leaveDateTime"])) for each in spans
    ):
        net += max(0.0, min(leave, high) - max(join, reached))
        reached = max(reached, min(leave, high))
    return net


@pytest.fixture(scope="module")
def copy(stack: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a sealed day's tables, and the reports and index they are made of."""
    front, folder = Front(stack), tmp_path_factory.mktemp("copy")
    front.control.add_past(NewPast(days=4, meetings_per_day=12, participants=25))
    front.table(PAST)
    for prefix in ("reports", *(f"tables/{table}" for table in Table), "manifests"):
        for name in front.container.list_blob_names(name_starts_with=f"{prefix}/date={PAST}/"):
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(front.container.download_blob(name).readall())
    return folder


def files(copy: Path, table: str) -> list[str]:
    manifest = json.loads((copy / f"manifests/date={PAST}/manifest.json").read_bytes())
    return [str(copy / each["path"]) for each in manifest["tables"]["files"][table]]


@pytest.fixture(scope="module")
def truth(copy: Path) -> engines.Answer:
    """The answer, from the reports as Graph sent them and the schedules in the index."""
    lines = (copy / f"manifests/date={PAST}/reports.jsonl").read_text().splitlines()
    schedules = {line["id"]: line["scheduledStart"] for line in map(json.loads, lines)}
    answer: engines.Answer = []
    for file in copy.glob("reports/date=*/*.json"):
        report = json.loads(file.read_bytes())
        start, end = (seconds(report[f"meeting{which}DateTime"]) for which in ("Start", "End"))
        counts: dict[str, int] = defaultdict(int)
        people = set()
        for record in report["attendanceRecords"]:
            spans = record["attendanceIntervals"]
            flat = {"flat": record["identity"]} | record["identity"]  # or nested in a set, under its kind
            *_, (kind, identity) = [(kind, each) for kind, each in flat.items() if isinstance(each, dict)]
            is_user = str(identity.get("@odata.type", kind)).lower().endswith(("useridentity", "user"))
            is_user = is_user and len(identity["id"] or "") == len(record["id"])  # a GUID
            key = identity["id"] if is_user else record["emailAddress"]
            people.add(key.lower() if key else None)
            first = min(seconds(each["joinDateTime"]) for each in spans)
            counts["net"] += round(presence(spans))
            counts["enough"] += int(round(presence(spans, start, end) / (end - start), 4) >= engines.ENOUGH)
            counts["late"] += int(first - seconds(schedules[report["id"]]) >= 1)
            counts["stays"] += sum(each["durationInSeconds"] for each in spans)
        net, enough, late, stays = (counts[name] for name in ("net", "enough", "late", "stays"))
        numbers = len(report["attendanceRecords"]), len(people - {None}), net, enough, late, stays
        answer.append((report["id"], *numbers))
    return sorted(answer)


def need(name: str) -> None:
    pytest.importorskip(name)
    if name == "pyspark" and shutil.which("java") is None:
        pytest.skip("PySpark needs Java, and there is none here")


@pytest.mark.parametrize("name", engines.ENGINES)
def test_an_engine_answers_as_the_simulator_knows(name: str, copy: Path, truth: engines.Answer) -> None:
    need(name)
    assert [tuple(row) for row in engines.ENGINES[name](files(copy, "attendees"))] == truth
    assert len(truth) == 12
    assert all(sum(int(row[column]) for row in truth) for column in range(1, 7))


@pytest.mark.parametrize("table", list(Table))
@pytest.mark.parametrize("name", TYPES)
def test_an_engine_reads_every_column_with_its_type(name: str, copy: Path, table: Table) -> None:
    need(name)
    words = dict(zip(KINDS, TYPES[name], strict=True))
    wanted = {column: words[kind] for column, kind in COLUMNS[table].items() if isinstance(kind, str)}
    found = engines.types_of(name, files(copy, table))
    assert list(found) == list(COLUMNS[table])
    assert {column: found[column] for column in wanted} == wanted
