"""Tables of some days as a database: exactly the named files, and nothing else within reach."""

import itertools
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from shared import times
from shared.archive.invitees import ListFile
from shared.cli import database
from shared.cli.commands import reports, sql
from shared.cli.database import Day as TableDay
from shared.cli.database import describe_incomplete, lock_database, open_database, read_days
from shared.days.manifests import TableFile
from shared.errors import AttendanceError
from shared.graph.invitees import Invitee, InviteeKind, InviteeList, ListState
from shared.storage.blobs import get_blob
from shared.tables.columns import COLUMNS, Table
from tests.unit.test_day_tables import DAY, NOW, TENANT, Day


@pytest.fixture
def day(monkeypatch: pytest.MonkeyPatch) -> Day:
    """A sealed day of two reports, one of them of two people."""
    made = Day()
    monkeypatch.setattr(times, "now", lambda: made.steps.now)
    made.store("r0")
    made.store("r1", "p", "q")
    assert made.write()
    return made


def asked(day: Day, query: str, days: list[TableDay] | None = None) -> list[tuple[Any, ...]]:
    with open_database(day.container, days or read_days(day.container, [DAY]), TENANT) as opened:
        return opened.execute(query).fetchall()


ATTENDED = "SELECT date, reportId, personId FROM attendees ORDER BY ALL"
ALL = [(DAY, "r0", "p"), (DAY, "r1", "p"), (DAY, "r1", "q")]


def test_it_has_what_the_manifest_names_and_nothing_that_lies_beside(day: Day) -> None:
    (file,) = day.manifest.tables.files["attendees"]
    stray = file.path.replace("part-00000", "part-00009")
    day.blobs.upload_blob(stray, day.blobs.blobs[file.path].body, overwrite=True)
    assert asked(day, ATTENDED) == ALL
    assert asked(day, "FROM days") == [(DAY, True, 1, 2)]


@pytest.mark.parametrize("table", list(Table))
@pytest.mark.parametrize("has_rows", [True, False])
def test_a_view_has_all_columns_with_their_types_also_without_rows(
    day: Day, table: Table, has_rows: bool
) -> None:
    days = read_days(day.container, [DAY if has_rows else DAY - timedelta(days=1)])
    kinds = {name: kind for name, kind, *_ in asked(day, f"DESCRIBE {table}", days)}
    assert list(kinds) == ["date", *COLUMNS[table]]
    assert kinds["date"] == "DATE"
    assert kinds["meetingStart"] == "TIMESTAMP WITH TIME ZONE"
    assert set(kinds.values()) <= {
        *("DATE", "VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "TIMESTAMP WITH TIME ZONE"),
        'STRUCT("join" TIMESTAMP WITH TIME ZONE, leave TIMESTAMP WITH TIME ZONE, "seconds" BIGINT)[]',
    }


def test_a_day_without_tables_is_read_from_its_reports(day: Day) -> None:
    before = DAY - timedelta(days=1)
    for name in list(day.blobs.blobs):
        if name.startswith("reports/"):
            blob = day.blobs.blobs[name]
            day.blobs.upload_blob(
                name.replace(str(DAY), str(before)), blob.body, overwrite=True, metadata=blob.metadata
            )
    days = read_days(day.container, [before, DAY])
    assert asked(day, ATTENDED, days) == [(before, *row[1:]) for row in ALL] + ALL
    assert asked(day, "FROM days ORDER BY date", days) == [(before, False, 0, None), (DAY, True, 1, 2)]
    assert describe_incomplete(days) == f"Not complete yet: {before}."


def test_many_days_that_are_not_complete_are_counted() -> None:
    days = [TableDay(DAY + timedelta(days=number), None) for number in range(6)]
    text = describe_incomplete(days)
    assert text == "Not complete yet: 2026-11-23, 2026-11-24, 2026-11-25 and 3 more."


def test_files_that_are_replaced_meanwhile_are_those_of_the_new_revision(day: Day) -> None:
    seen = read_days(day.container, [DAY])
    old = day.manifest.tables.paths
    day.store("r2")
    assert day.write()
    for path in old - day.manifest.tables.paths:
        day.blobs.delete_blob(path)
    assert asked(day, ATTENDED, seen) == [*ALL, (DAY, "r2", "p")]
    assert asked(day, "SELECT revision FROM days", seen) == [(2,)]


def test_files_that_stay_away_are_said(day: Day) -> None:
    for path in day.manifest.tables.paths:
        day.blobs.delete_blob(path)
    with pytest.raises(
        AttendanceError, match="Files of 2026-11-23 are gone that its manifest names: retention"
    ):
        asked(day, ATTENDED)


def test_tables_that_are_replaced_again_and_again_are_said(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, counted = read_days(day.container, [DAY]), itertools.count(1)

    def reread(*_: object) -> list[TableDay]:
        """Another set of files each time, none of which is there."""
        manifest = day.manifest
        file = replace(manifest.tables.files["attendees"][0], path=f"tables/attendees/{next(counted)}")
        return [
            TableDay(DAY, replace(manifest, tables=replace(manifest.tables, files={"attendees": (file,)})))
        ]

    monkeypatch.setattr(database, "read_days", reread)
    day.blobs.delete_blob(day.manifest.tables.files["attendees"][0].path)
    with pytest.raises(AttendanceError, match="The tables of 2026-11-23 are being replaced"):
        asked(day, ATTENDED, seen)


def test_a_file_that_is_not_as_its_manifest_says_is_refused(day: Day) -> None:
    (file,) = day.manifest.tables.files["meetings"]
    day.blobs.upload_blob(file.path, b"PAR1", overwrite=True)
    with pytest.raises(AttendanceError, match=r"tables/meetings/.* is not as its manifest says"):
        asked(day, ATTENDED)


def test_more_than_a_disk_should_hold_is_refused_before_anything_is_copied(day: Day) -> None:
    (found,) = read_days(day.container, [DAY])
    assert found.manifest
    large = TableFile("tables/attendees/x", 1, 17 * 1024**3, "0", 1)
    tables = replace(found.manifest.tables, files={"attendees": (large,)})
    with pytest.raises(AttendanceError, match="17 GiB, more than 16: choose fewer"):
        asked(day, ATTENDED, [TableDay(DAY, replace(found.manifest, tables=tables))])


def test_nothing_is_left_behind(day: Day, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    asked(day, ATTENDED)
    with pytest.raises(
        AttendanceError, match="DuckDB: Catalog Error: Table with name nothing does not exist!"
    ):
        asked(day, "FROM nothing")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def locked(day: Day) -> Iterator[duckdb.DuckDBPyConnection]:
    with open_database(day.container, read_days(day.container, [DAY]), TENANT) as opened:
        lock_database(opened)
        yield opened


def test_a_locked_database_answers(locked: duckdb.DuckDBPyConnection) -> None:
    assert locked.execute(ATTENDED).fetchall() == ALL
    local = "SELECT strftime(TIMESTAMPTZ '2026-11-23 23:30Z' AT TIME ZONE 'Europe/Berlin', '%Y-%m-%d %H:%M')"
    assert locked.execute(local).fetchall() == [("2026-11-24 00:30",)]


SECRET = "nobody may read this variable"


@pytest.mark.parametrize(
    "query",
    [
        "FROM read_text('{file}')",
        "FROM '{file}'",
        "FROM read_csv('{file}')",
        "FROM read_blob('/proc/self/environ')",
        "FROM glob('/*')",
        "FROM sniff_csv('{file}')",
        "FROM parquet_metadata('{file}')",
        "FROM read_csv('https://contoso.example/')",
        "COPY attendees TO '{file}.csv'",
        "EXPORT DATABASE '{file}.d'",
        "IMPORT DATABASE '{file}.d'",
        "ATTACH '{file}.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "SET temp_directory = '/tmp'",
        "PRAGMA log_query_path = '{file}.log'",
        "CALL enable_logging(storage = 'file', storage_path = '{file}.log')",
        "CREATE PERSISTENT SECRET s (TYPE http)",
        "SELECT getenv('HOME')",
        "FROM SECRET",
        "FROM day",
    ],
)
def test_a_locked_database_reaches_nothing_else(
    locked: duckdb.DuckDBPyConnection, tmp_path: Path, query: str
) -> None:
    file = tmp_path / "x.csv"
    file.write_text("a\n1\n")
    with pytest.raises(duckdb.Error):
        locked.execute(query.format(file=file)).fetchall()
    assert [each.name for each in tmp_path.iterdir()] == ["x.csv"]


def test_a_name_of_a_folder_is_no_sql() -> None:
    assert database.literal([Path("a'b"), "c"]) == "['a''b', 'c']"


def test_any_parquet_file_can_be_searched(day: Day) -> None:
    (file,) = day.manifest.tables.files["attendees"]
    values = database.parquet_text(day.blobs.blobs[file.path].body).splitlines()
    assert {'"personId"', '"q"'} <= set(values)


def test_a_value_of_many_rows_is_searched_once(tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    query = (
        "SELECT number, 'Zoë \"Z\" {Q}' AS name, [{'at': 'a, b'}] AS nested FROM range(3000) AS t (number)"
    )
    duckdb.sql(f"COPY ({query}) TO '{file}'")
    values = database.parquet_text(file.read_bytes()).splitlines()
    numbers, others = (
        [each for each in values if each.isdecimal()],
        [each for each in values if not each.isdecimal()],
    )
    assert sorted(numbers, key=int) == [str(number) for number in range(3000)]
    assert sorted(others) == sorted(['"number"', '"name"', r'"Zoë \"Z\" {Q}"', '"nested"', '"at"', '"a, b"'])


def test_an_open_day_has_its_tables_and_is_not_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Day()
    monkeypatch.setattr(times, "now", lambda: made.steps.now)
    made.store("r0")
    assert [made.tables.write_part(part) for part in made.seal(final=False)] != [None]
    days = read_days(made.container, [DAY])
    assert asked(made, ATTENDED, days) == ALL[:1]
    assert asked(made, "FROM days", days) == [(DAY, False, 0, 1)]
    assert describe_incomplete(days) == f"Not complete yet: {DAY}."


@pytest.mark.parametrize(("most", "named"), [(None, "a@x, b@x\n"), (1, "a@x and 1 more: use --all\n")])
def test_a_report_names_those_who_were_invited_and_absent(
    most: int | None, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made, name = Day(), f"reports/date={DAY}/r.json"
    people = [Invitee(InviteeKind.INVITED, each, f"{each}@x") for each in ("a", "b", "p")]
    invitees = ListFile.of(InviteeList(ListState.COMPLETE, tuple(people)))
    invitees.write(made.container, name, invitees.metadata, NOW)
    made.store("r", "p", body=None, **invitees.metadata)
    blob = get_blob(made.container, name)
    assert blob
    reports._print_absent(made.container, name, blob, most)
    assert capsys.readouterr().out == f"\nInvited or registered, and not in this report: {named}"


def test_an_answer_is_of_values_that_json_has(day: Day) -> None:
    query = "SELECT -5 AS a, -0.25::DECIMAL(4, 2) AS b, ['nan'::DOUBLE, -1.5] AS c, '-inf'::DOUBLE AS d"
    with open_database(day.container, read_days(day.container, [DAY]), TENANT) as database:
        (row,) = sql.answer(database, query, [])
    assert row == {"a": -5, "b": -0.25, "c": ["nan", -1.5], "d": "-inf"}
    json.dumps(row, allow_nan=False)


def test_a_query_that_is_interrupted_ends_as_any_command_does(day: Day) -> None:
    days = read_days(day.container, [DAY])
    with pytest.raises(KeyboardInterrupt), open_database(day.container, days, TENANT):
        raise RuntimeError("Query interrupted")  # as DuckDB does on SIGINT
    with pytest.raises(RuntimeError, match="other"), open_database(day.container, days, TENANT):
        raise RuntimeError("other")
