"""The dbt package: right on an archive, and again after the archive changed."""

import json
import os
import shutil
import subprocess
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local.stack.program import ROOT
from shared import times
from shared.tables.columns import COLUMNS, KEYS, Table
from tests.support.archive_days import ArchiveDays, Meeting, person_id, series_id

PROGRAM = ROOT / ".local/dbt/bin/dbt"
PACKAGE = ROOT / "examples/dbt"
SECONDS = 300

MONDAY, TUESDAY, EMPTY = date(2026, 11, 23), date(2026, 11, 24), date(2026, 11, 28)
TRAINING = [
    Meeting("t1", {"ann": [(0, 30)], "bob": [(5, 30)], "eve": [(0, 10)]}, "training", (0, 30)),
    Meeting("t2", {"ann": [(35, 60)], "eve": [(40, 50)]}, "training", (35, 60)),  # after a restart
]
FIRE_SAFETY, WEEKLY = series_id("training"), series_id("weekly")
PEOPLE = {"ann": [(0, 40), (20, 60)], "bob": [(0, 30)]}

pytestmark = [
    pytest.mark.heavy("dbt takes 10 seconds a run"),
    pytest.mark.skipif(not PROGRAM.exists(), reason="dbt is not installed: make check does it"),
]


class Dbt:
    """The package in a folder of its own, run as its users run it."""

    def __init__(self, folder: Path, archive: ArchiveDays) -> None:
        self._archive, self._copy = archive, folder / "copy"
        self.project = shutil.copytree(
            PACKAGE, folder / "dbt", ignore=shutil.ignore_patterns("target", "logs")
        )
        (self.project / "seeds/trainings.csv").write_text(
            f"seriesId,title,atLeast\n{FIRE_SAFETY},Fire safety,0.8\n"
        )
        lines = [
            f"{FIRE_SAFETY},{person_id(each).upper()},{each},Sales" for each in ("ann", "bob", "dan", "eve")
        ]
        roster = "seriesId,personKey,displayName,department\n" + "\n".join(lines)
        (self.project / "seeds/roster.csv").write_text(roster)

    def run(self, *arguments: str, code: int = 0) -> dict[str, str]:
        """Run dbt on a fresh copy of the archive; the status of each node."""
        self._archive.copy(self._copy)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DBT", "PYTHON"))}
        done = subprocess.run(
            [PROGRAM, "--no-use-colors", *arguments],
            cwd=self.project,
            env={**kept, "ATTENDANCE_ARCHIVE": f"{self._copy}/"},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert not (
            self.project / ".user.yml"
        ).exists()  # which has the id that statistics of use are sent with
        results = self.project / "target/run_results.json"
        found = json.loads(results.read_text())["results"] if "build" in arguments else []
        return {each["unique_id"].split(".")[2]: each["status"] for each in found}

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query finds in the database."""
        import duckdb

        with duckdb.connect(str(self.project / "attendance.duckdb"), read_only=True) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> ArchiveDays:
    """Three days: a restarted training, an ordinary meeting and one that nobody attended, and a day without any."""
    made = ArchiveDays(datetime(2026, 11, 30, 6, tzinfo=UTC))
    monkeypatch.setattr(times, "now", made.now)
    made.store(MONDAY, *TRAINING)
    made.store(TUESDAY, Meeting("w1", PEOPLE), Meeting("nobody", series="void", planned=None))
    for day in (MONDAY, TUESDAY, EMPTY):
        assert made.seal(day).has_tables
    return made


@pytest.fixture
def dbt(archive: ArchiveDays, tmp_path: Path) -> Dbt:
    return Dbt(tmp_path, archive)


ATTENDED = "SELECT day(date), displayName, netSeconds // 60 FROM attendance ORDER BY ALL"


def problems(statuses: dict[str, str]) -> dict[str, str]:
    return {name: status for name, status in statuses.items() if status not in ("success", "pass")}


def test_it_answers_from_the_files_that_the_manifests_name(dbt: Dbt) -> None:
    assert problems(dbt.run("--warn-error", "build")) == {}
    assert dbt.rows("SELECT count(*) FROM stg_engagements") == [(0,)]
    assert dbt.rows("SELECT reportId, records FROM stg_meetings ORDER BY ALL") == [
        ("nobody", 0),
        ("t1", 3),
        ("t2", 2),
        ("w1", 2),
    ]
    assert dbt.rows(ATTENDED) == [
        (23, "Ann", 55),
        (23, "Bob", 25),
        (23, "Eve", 20),
        (24, "Ann", 60),  # with two devices
        (24, "Bob", 30),
    ]
    late = "SELECT lateSeconds, leftEarlySeconds, attendedShare, attendedShareOfSchedule FROM attendance "
    assert dbt.rows(f"{late} WHERE displayName = 'Bob' ORDER BY date") == [
        (300, 1800, 0.4545, 0.4167),
        (0, 1800, 0.5, 0.5),
    ]
    assert dbt.rows("SELECT subject, sessions, heldSeconds // 60 FROM meetings_held ORDER BY ALL") == [
        ("Training", 2, 55),
        ("Void", 1, 60),
        ("Weekly", 1, 60),
    ]
    assert dbt.rows("SELECT displayName, share, day(passedOn), result FROM training ORDER BY ALL") == [
        ("ann", 0.9167, 23, "passed"),
        ("bob", 0.4167, None, "tooShort"),
        ("dan", None, None, "absent"),
        ("eve", 0.3333, None, "tooShort"),
    ]
    series = "SELECT displayName, meetingsHeld, meetingsAttended, shareOfMeetings FROM attendance_by_series "
    assert dbt.rows(f"{series} WHERE seriesId = '{WEEKLY}' ORDER BY ALL") == [
        ("Ann", 1, 1, 1.0),
        ("Bob", 1, 1, 1.0),
    ]


def test_a_later_build_follows_what_became_of_the_days(dbt: Dbt, archive: ArchiveDays) -> None:
    dbt.run("build")
    before = dbt.rows(ATTENDED)

    archive.set_pending(TUESDAY, is_pending=True)  # reopened: what was corrected is there, and not final
    archive.store(TUESDAY, Meeting("w1", {"ann": [(0, 50)]}, engagements=2))
    assert not archive.seal(TUESDAY).complete
    assert len(archive.blobs.below(f"tables/attendees/date={TUESDAY}/")) == 2  # one that no manifest names
    assert problems(dbt.run("build")) == {}
    assert dbt.rows(ATTENDED) == [*before[:3], (24, "Ann", 50)]
    assert dbt.rows("SELECT count(*) FROM stg_engagements") == [(2,)]
    assert dbt.rows("SELECT DISTINCT day(date), isFinal FROM attendance ORDER BY ALL") == [
        (23, True),
        (24, False),
    ]
    only_final = ("--vars", "only_final_days: true")
    assert problems(dbt.run("build", *only_final)) == {}
    assert dbt.rows(ATTENDED) == before[:3]

    archive.set_pending(TUESDAY, is_pending=False)
    assert archive.seal(TUESDAY).has_tables
    archive.erase(MONDAY, "eve")
    archive.refresh(MONDAY)
    archive.clean(MONDAY, at_once=True)
    assert problems(dbt.run("build")) == {"every_final_day_has_its_tables": "warn"}
    assert dbt.rows(ATTENDED) == [(24, "Ann", 50)]
    archive.seal(MONDAY)
    assert problems(dbt.run("build", *only_final)) == {}
    erased = [(23, None, 10), (23, None, 10)]
    assert dbt.rows(ATTENDED) == [(23, "Ann", 55), (23, "Bob", 25), *erased, (24, "Ann", 50)]
    assert dbt.rows("SELECT result FROM training WHERE displayName = 'eve'") == [("absent",)]

    archive.expire(MONDAY)
    archive.expire(TUESDAY, is_kept=lambda name: "meetings" not in name)
    assert problems(dbt.run("build")) == {"no_named_file_is_gone": "warn"}
    assert dbt.rows(ATTENDED) == []


DUCKDB = {
    "string": "varchar",
    "long": "bigint",
    "double": "double",
    "boolean": "boolean",
    "timestamp": "timestamp with time zone",
}


def duckdb_type(kind: Any) -> str:
    if isinstance(kind, list):
        return f"struct({', '.join(f'"{name}" {DUCKDB[each]}' for name, each in kind[0].items())})[]"
    return DUCKDB[kind]


def test_it_has_the_tables_columns_types_and_keys_of_the_code(dbt: Dbt) -> None:
    dbt.run("parse")
    manifest = json.loads((dbt.project / "target/manifest.json").read_text())["nodes"]
    keys = {
        node["attached_node"].split(".")[2]: node["test_metadata"]["kwargs"]["columns"]
        for node in manifest.values()
        if node.get("test_metadata", {}).get("name") == "unique_combination"
    }
    for table in Table:
        columns = manifest[f"model.attendance.stg_{table}"]["columns"].values()
        wanted = {"date": "date"} | {name: duckdb_type(kind) for name, kind in COLUMNS[table].items()}
        assert {each["name"]: each["data_type"] for each in columns} == wanted
        assert all(each["description"] for each in columns)
        assert keys[f"stg_{table}"] == ["date", *KEYS[table]]


@pytest.mark.parametrize(("age", "status"), [(2, "pass"), (10, "error")])
def test_it_is_fresh_while_the_newest_final_day_is(
    dbt: Dbt, archive: ArchiveDays, age: int, status: str
) -> None:
    for day in (MONDAY, TUESDAY, EMPTY):
        archive.expire(day)
    archive.steps.now = datetime.now(UTC)
    archive.seal(archive.steps.now.date() - timedelta(days=age))
    today = archive.steps.now.date()
    assert not archive.seal(today, final=False).complete
    dbt.run("source", "freshness", code=0 if status == "pass" else 1)
    (found,) = json.loads((dbt.project / "target/sources.json").read_text())["results"]
    assert found["status"] == status
