"""The examples for consumers, run on the local stack."""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import azure.functions as func
import pytest

from local.simulator.tenant.orders import NewPast
from shared import times
from tests.host.test_indexing import index
from tests.support.archive_days import ArchiveDays, Meeting
from tests.support.command_line import environment, told
from tests.support.examples import EXAMPLES, example
from tests.support.front import Front, eventually, own_stack

TODAY = datetime.now(UTC).date()
PAST = TODAY - timedelta(days=3)
DAYS = [TODAY - timedelta(days=number) for number in range(5)]
WINDOW = ("--from", str(DAYS[-1]), "--to", str(TODAY))
ENGINES = [
    pytest.param(name, marks=pytest.mark.heavy(f"{name} is large and slow to start"))
    for name in ("duckdb", "pandas", "pyspark")
]
SECONDS = 300  # a bound for what takes a few, where a busy machine takes its time
LATE = 60  # seconds; nobody of the simulated Graph is later than some minutes

stack = own_stack()


def engine(name: str) -> ModuleType:
    if name == "pyspark":
        if shutil.which("java") is None:
            pytest.skip("PySpark needs Java, and there is none here")
        pytest.importorskip("pyspark")
    return example(f"{name}_questions")


@pytest.fixture(scope="module")
def copy(stack: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of an archive with a sealed past."""
    front, folder = Front(stack), tmp_path_factory.mktemp("copy")
    front.control.add_past(NewPast(days=4, meetings_per_day=3, participants=6))
    told(front, "backfill", *WINDOW, "--wait")
    front.table(PAST)
    eventually(lambda: all(map(front.has_current_tables, DAYS)), "tables of the open days")
    parts = ("--what", "reports", "--what", "manifests", "--what", "tables")
    assert told(front, "reports", "download", str(folder), *WINDOW, *parts)["fetched"] > 10
    return folder


@pytest.fixture(scope="module")
def truth(copy: Path) -> dict[str, Any]:
    """The reports of the copy, by id, as Graph has them."""
    return {file.stem: json.loads(file.read_bytes()) for file in copy.glob("reports/date=*/*.json")}


@pytest.mark.parametrize("name", ENGINES)
def test_who_attended_and_how_long(name: str, copy: Path, truth: dict[str, Any]) -> None:
    report_id, report = next(iter(truth.items()))
    wanted = [
        (each["id"], each["identity"].get("displayName"), each["totalAttendanceInSeconds"])
        for each in report["attendanceRecords"]
    ]
    found = engine(name).who_attended(str(copy), report_id)
    assert found == sorted(wanted, key=lambda row: (-row[2], row[0]))


@pytest.mark.parametrize("name", ENGINES)
def test_attendance_per_organizer_and_week(name: str, copy: Path) -> None:
    meetings: Counter[tuple[str, str]] = Counter()
    participants: Counter[tuple[str, str]] = Counter()
    for file in copy.glob("manifests/date=*/reports.jsonl"):
        for line in map(json.loads, file.read_text().splitlines()):
            day = datetime.fromisoformat(line["end"]).date()
            key = line["organizerId"], str(day - timedelta(days=day.weekday()))
            meetings[key] += 1
            participants[key] += line["participants"]
    wanted = [(*key, meetings[key], participants[key]) for key in sorted(meetings)]
    assert engine(name).per_organizer_and_week(str(copy)) == wanted


@pytest.mark.parametrize("name", ENGINES)
def test_late_joiners(name: str, copy: Path, truth: dict[str, Any]) -> None:
    wanted = []
    for report in truth.values():
        start = datetime.fromisoformat(report["meetingStartDateTime"])
        for record in report["attendanceRecords"]:
            first = min(
                datetime.fromisoformat(each["joinDateTime"]) for each in record["attendanceIntervals"]
            )
            if first - start > timedelta(minutes=1):
                wanted.append((report["id"], record["id"], (first - start).total_seconds()))
    found = engine(name).late_joiners(str(copy), 1)
    assert [row[:2] for row in found] == [row[:2] for row in sorted(wanted)]
    assert len(found) > 3
    assert all(abs(row[3] - want[2]) <= 1 for row, want in zip(found, sorted(wanted), strict=True))


@pytest.mark.parametrize("name", ENGINES)
def test_an_example_is_a_program(name: str, copy: Path) -> None:
    engine(name)
    program = [sys.executable, str(EXAMPLES / f"{name}_questions.py")]
    done = subprocess.run([*program, str(copy)], capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith(("Who", "Att", "Join"))] == [
        "Who attended, and how long",
        "Attendance per organizer and week",
        "Joined more than 10 minutes late",
    ]
    assert subprocess.run(program, capture_output=True, timeout=SECONDS).returncode != 0


@pytest.fixture(params=["nobody at all", "nobody in one meeting"])
def unattended(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of an archive with a meeting that nobody attended, and a day without meetings."""
    archive = ArchiveDays(datetime(2026, 11, 30, 6, tzinfo=UTC))
    monkeypatch.setattr(times, "now", archive.now)
    monday, tuesday = date(2026, 11, 23), date(2026, 11, 24)
    archive.store(monday, Meeting("nobody"))
    if request.param == "nobody in one meeting":
        archive.store(monday, Meeting("somebody", {"ann": [(5, 60)]}))
    for day in (monday, tuesday):
        archive.seal(day)
    return archive.copy(tmp_path / "copy")


@pytest.mark.parametrize("name", ENGINES)
def test_a_meeting_that_nobody_attended_breaks_no_question(name: str, unattended: Path) -> None:
    module, folder = engine(name), str(unattended)
    attended = [("somebody", "Ann", 300)] if list(unattended.rglob("somebody.json")) else []
    assert module.who_attended(folder, "nobody") == []
    assert module.per_organizer_and_week(folder) == []  # neither has an organizer
    assert [(row[0], *row[2:]) for row in module.late_joiners(folder, 1)] == attended
    module.ask([folder], module.who_attended, module.per_organizer_and_week, module.late_joiners)


def test_a_reader_loads_what_is_final_and_what_was_corrected(
    front: Front, copy: Path, tmp_path: Path
) -> None:
    incremental = example("incremental")
    first = incremental.run(front.container, tmp_path)
    assert str(PAST) in first.loaded
    assert str(TODAY) not in first.loaded
    for table in ("meetings", "attendees"):
        loaded = {file.name: file.read_bytes() for file in (tmp_path / table / f"date={PAST}").iterdir()}
        named = [copy / each["path"] for each in front.manifest(PAST)["tables"]["files"][table]]
        assert loaded == {file.name: file.read_bytes() for file in named}
    assert incremental.run(front.container, tmp_path) == incremental.Run()

    who = told(front, "reports", "list", "--from", str(PAST), "--to", str(PAST))[0]["organizerId"]
    told(front, "person", "erase", who, "--yes", "--quiet", "0")
    revisions = {day: front.manifest(date.fromisoformat(day))["revision"] for day in sorted(first.loaded)}
    corrected = {day: revision for day, revision in revisions.items() if revision > first.loaded[day]}
    assert str(PAST) in corrected
    assert incremental.run(front.container, tmp_path) == incremental.Run(corrected, list(corrected))
    assert incremental.run(front.container, tmp_path) == incremental.Run()
    assert not list(tmp_path.rglob(f".date={PAST}"))


def test_a_reader_is_a_program(front: Front, copy: Path, tmp_path: Path) -> None:
    program = [sys.executable, str(EXAMPLES / "incremental.py"), str(tmp_path / "x")]
    told_first, then = (
        subprocess.run(program, env=environment(front), capture_output=True, text=True, timeout=SECONDS)
        for _ in range(2)
    )
    assert f"{PAST} at revision" in told_first.stdout, told_first.stderr
    assert then.stdout == "Nothing is new.\n"


PROGRAMS = sorted(EXAMPLES.rglob("*.py"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_an_example_says_which_python_it_needs_and_is_written_in_it(program: Path) -> None:
    text = program.read_text()
    assert "Needs Python 3.10 or newer" in (ast.get_docstring(ast.parse(text)) or "")
    ast.parse(text, feature_version=(3, 10))


@pytest.mark.heavy("ruff and mypy come with make check")
def test_the_examples_use_nothing_that_python_3_10_lacks(tmp_path: Path) -> None:
    """Neither syntax nor a module or name of the standard library."""
    lacking = tmp_path / "lacking.py"
    lacking.write_text("import tomllib\nfrom datetime import UTC\nprint(f'{'nested'}', tomllib, UTC)\n")
    ruff = ("ruff", "check", "--quiet", "--isolated", "--target-version=py310", "--select=F,E9")
    skip = ("--follow-imports=skip", "--disable-error-code=import-untyped")
    mypy = ("mypy", "--config-file=", f"--cache-dir={tmp_path}", "--python-version=3.10", *skip)
    for tool in (ruff, mypy):
        for programs, code in ((PROGRAMS, 0), ([lacking], 1)):
            command = [sys.executable, "-m", *tool, *map(str, programs)]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS)
            assert done.returncode == code, done.stdout


@pytest.fixture
def subscriber(front: Front, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = example("event_grid/function_app")
    for name, value in environment(front).items():
        if os.environ.get(name) != value:
            monkeypatch.setenv(name, value)
    return module


def event(**changes: Any) -> func.EventGridEvent:
    told = json.loads((EXAMPLES / "event_grid" / "event.json").read_text()) | changes
    when = times.parse(told["eventTime"])
    return func.EventGridEvent(
        id=told["id"],
        data=told["data"],
        topic=told["topic"],
        subject=told["subject"],
        event_type=told["eventType"],
        event_time=when,
        data_version=told["dataVersion"],
    )


def test_a_subscriber_reads_the_report_that_an_event_names(
    subscriber: ModuleType, copy: Path, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[dict[str, Any]] = []
    monkeypatch.setattr(subscriber, "use", used.append)
    (name, *_) = front.container.list_blob_names(name_starts_with="reports/")
    prefix = "/blobServices/default/containers/attendance/blobs/"
    handle = subscriber.report_stored._function.get_user_function()
    handle(event(subject=prefix + name))
    assert used == [front.content(name)]
    for other in (
        {"subject": f"{prefix}outcomes/date=2026-11-23/x.json"},
        {"subject": f"/blobServices/default/containers/other/blobs/{name}"},
        {"subject": prefix + name, "eventType": "Microsoft.Storage.BlobDeleted"},
        {},  # a report that is gone
    ):
        handle(event(**other))
    assert len(used) == 1


def test_the_subscriber_indexes_under_the_runtime() -> None:
    bindings = index(Path(sys.executable), EXAMPLES / "event_grid")
    assert list(bindings) == ["report_stored"]
    assert '"type": "eventGridTrigger"' in bindings["report_stored"][0]
