"""Tables of some days as a DuckDB database.

Its views read copies of exactly the files that the manifests name. The copies lie in a private temporary folder and
are deleted with it. They are not kept for the next command: copies on somebody's machine would outlive an erasure. A
day whose manifest names no tables yet is read from its reports. The view `days` says which days are complete.

DuckDB (68 MB) reads and writes Parquet and JSON, so the command line needs no pyarrow (170 MB).
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import ContainerClient

from .. import times
from ..archive.reports import Archive
from ..days.index import index_lines
from ..days.manifests import Manifest, Manifests, TableFile
from ..errors import AttendanceError
from ..graph.invitees import InviteeList
from ..storage.blobs import is_container_missing, run_in_parallel
from ..tables import rows
from ..tables.columns import BOOLEAN, COLUMNS, DOUBLE, LONG, MEETING, PERSON, STRING, TIMESTAMP, Table
from .reading import THREADS, read_bodies

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_BYTES = 16 * 1024**3  # of table files in one database
TRIES = 3  # to copy a day whose files are replaced meanwhile
ROWS_AT_ONCE = 1_000
INTERVALS = "intervals"
VIEWS = (*Table, INTERVALS, "days")
_TYPES = {
    STRING: "VARCHAR",
    LONG: "BIGINT",
    DOUBLE: "DOUBLE",
    BOOLEAN: "BOOLEAN",
    TIMESTAMP: "TIMESTAMPTZ",
}
_VALUE = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s"{}\[\]:,]+')  # of JSON: a string, a number, or a word
_ALL_VALUES = """
SELECT DISTINCT unnest([to_json(name), value])
FROM (SELECT to_json(COLUMNS(*)) FROM read_parquet(?, hive_partitioning = false))
UNPIVOT INCLUDE NULLS (value FOR name IN (COLUMNS(*)))
"""
type _Row = Mapping[str, Any]
_ROWS: dict[Table, Callable[[_Row, _Row, InviteeList | None, str], Iterable[_Row]]] = {
    Table.MEETINGS: lambda report, line, _, __: [rows.report_row(report, line)],
    Table.ATTENDEES: lambda report, line, _, tenant: rows.attendee_rows(report, line, tenant),
    Table.ENGAGEMENTS: lambda report, line, _, tenant: rows.engagement_rows(report, line, tenant),
    Table.INVITEES: rows.invitee_rows,
}


@dataclass(frozen=True)
class Day:
    """A day and its manifest, if it has one."""

    date: date
    manifest: Manifest | None

    @property
    def is_complete(self) -> bool:
        """Whether the manifest says so, and the tables are those of a complete version."""
        return (
            self.manifest is not None and self.manifest.complete and (self.revision > 0 or self.files == {})
        )

    @property
    def revision(self) -> int:
        """The revision of the tables; 0 if they are of an open day, or not there."""
        return self.manifest.tables.revision if self.manifest else 0

    @property
    def files(self) -> dict[Table, Sequence[TableFile]] | None:
        """The files of each table; None if the manifest names none yet."""
        named = self.manifest and self.manifest.tables.files
        if self.manifest and not named:
            return None if self.manifest.reports else {}
        return {table: named.get(table, ()) for table in Table} if named else None


def read_days(container: ContainerClient, days: Iterable[date]) -> list[Day]:
    """Read the manifests of some days, in parallel."""
    manifests = Manifests(container)
    return run_in_parallel(lambda day: Day(day, manifests.read(day)), list(days))


def describe_incomplete(days: Iterable[Day]) -> str:
    """Return a sentence that names the days which are not complete; "" if all are."""
    missing = [day.date.isoformat() for day in days if not day.is_complete]
    if not missing:
        return ""
    shown = (
        f"{', '.join(missing[:3])} and {len(missing) - 3} more" if len(missing) > 4 else ", ".join(missing)
    )
    return f"Not complete yet: {shown}."


@contextmanager
def open_database(
    container: ContainerClient,
    days: Sequence[Day],
    tenant_id: str = "",
    done: Callable[[int], None] = lambda _: None,
) -> Iterator[DuckDBPyConnection]:
    """Copy the tables of some days, and open a database with a view of each.

    At the end it is closed, and the copies are deleted. `done` is called for each file. Raises AttendanceError, also
    for an error of DuckDB in the block.
    """
    import duckdb  # only when needed

    size = sum(each.bytes for day in days for files in (day.files or {}).values() for each in files)
    if size > MOST_BYTES:
        raise AttendanceError(
            f"The tables of these days have {size / 1024**3:.0f} GiB, more than {MOST_BYTES // 1024**3}: choose fewer."
        )
    with tempfile.TemporaryDirectory(prefix="attendance-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        copied = _copy_days(container, days, folder, done)
        for day in copied:
            if day.files is None:
                _write_rows(container, day.date, folder, tenant_id)
        connection = duckdb.connect(
            config={
                "python_enable_replacements": False,  # no table is a variable of this program
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "temp_directory": str(folder / "spill"),
            }
        )
        try:
            connection.execute("SET TimeZone = 'UTC'")
            _create_views(connection, copied, folder)
            yield connection
        except duckdb.Error as failure:
            raise AttendanceError(describe_error(failure)) from None
        except RuntimeError as failure:  # how it says that somebody pressed Ctrl-C
            if "interrupt" not in str(failure):
                raise
            raise KeyboardInterrupt from None
        finally:
            connection.close()


def lock_database(connection: DuckDBPyConnection) -> None:
    """Let no query of the database reach another file, the network or a setting."""
    found = connection.execute("SELECT current_setting('temp_directory')").fetchone()
    folder = Path(str(found and found[0])).parent  # private, and deleted at the end
    connection.execute(f"SET allowed_directories = {literal([folder])}")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def describe_error(failure: Exception) -> str:
    """Return an error of DuckDB as a sentence, without the line of SQL that it shows."""
    lines = [line for line in str(failure).splitlines() if line and not line.startswith(("LINE ", " "))]
    return f"DuckDB: {' '.join(lines)}"


def parquet_text(body: bytes) -> str:
    """Return the different values of any Parquet file, and its columns' names.

    Each on a line, as JSON has it. Raises an error of DuckDB for what is none.
    """
    import duckdb

    values: dict[str, None] = {}  # parts of nested values too, most of which are in many of them
    with tempfile.TemporaryDirectory(prefix="attendance-") as folder, duckdb.connect() as connection:
        file = Path(folder, "x.parquet")
        file.write_bytes(body)
        found = connection.execute(_ALL_VALUES, [str(file)])
        while rows := found.fetchmany(ROWS_AT_ONCE):
            for (text,) in rows:
                values.update(dict.fromkeys(_VALUE.findall(text or "")))
    return "\n".join(values)


def literal(value: object) -> str:
    """A text, or a list of texts, as SQL."""
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    return "'" + str(value).replace("'", "''") + "'"


def _copy_days(
    container: ContainerClient, days: Sequence[Day], folder: Path, done: Callable[[int], None]
) -> list[Day]:
    """Copy the files of some days.

    Return the days as they were copied: newer revisions may be there.
    """
    copied, waiting = [], list(days)
    with ThreadPoolExecutor(THREADS) as threads:
        for _ in range(TRIES):
            wanted = [
                (day, each, _file(folder, table, day.date, f"{number}.parquet"))
                for day in waiting
                for table, files in (day.files or {}).items()
                for number, each in enumerate(files)
            ]
            gone = set()
            for (day, _, _), is_copied in zip(
                wanted, threads.map(lambda each: _copy_file(container, *each[1:]), wanted), strict=True
            ):
                done(1)
                if not is_copied:
                    gone.add(day.date)
            copied += [day for day in waiting if day.date not in gone]
            for day, _, copy in wanted:
                if day.date in gone:
                    copy.unlink(missing_ok=True)
            if not gone:
                return sorted(copied, key=lambda day: day.date)
            before = {day.date: day.files for day in waiting}
            waiting = read_days(container, sorted(gone))
            if deleted := [day.date for day in waiting if day.files and day.files == before[day.date]]:
                raise AttendanceError(
                    f"Files of {deleted[0]} are gone that its manifest names: retention is deleting that day. "
                    "Leave it out, see --from."
                )
    raise AttendanceError(f"The tables of {min(gone)} are being replaced: run the same command again.")


def _copy_file(container: ContainerClient, file: TableFile, copy: Path) -> bool:
    """Copy a file. Return whether it is still there."""
    digest = hashlib.sha256()
    try:
        with copy.open("wb") as target:
            for chunk in container.download_blob(file.path).chunks():
                digest.update(chunk)
                target.write(chunk)
    except ResourceNotFoundError as missing:
        if is_container_missing(missing):
            raise
        return False
    if digest.hexdigest() != file.sha256:
        raise AttendanceError(f"{file.path} is not as its manifest says.")
    return True


def _write_rows(container: ContainerClient, day: date, folder: Path, tenant_id: str) -> None:
    """Write the rows of a day without tables, made from its reports."""
    reports = list(Archive(container).list_reports(day))
    if not reports:
        return
    lines = {line["id"]: line for line in map(json.loads, index_lines(reports))}
    written = {"revision": 0, "writtenAt": times.text(times.now())}
    drafts = {table: _file(folder, table, day, "rows.jsonl").open("wb") for table in _ROWS}
    try:
        for report, content, invitees in read_bodies(container, reports):
            for table, make_rows in _ROWS.items():
                for row in make_rows(content, lines[report.id], invitees, tenant_id):
                    drafts[table].write(
                        json.dumps({"date": day.isoformat(), **row, **written}).encode() + b"\n"
                    )
    finally:
        for draft in drafts.values():
            draft.close()


def _file(folder: Path, table: Table, day: date, name: str) -> Path:
    """The place of a copy, where engines find the day in the folder's name."""
    file = folder / table / f"date={day.isoformat()}" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def _create_views(connection: DuckDBPyConnection, days: Sequence[Day], folder: Path) -> None:
    for table, columns in COLUMNS.items():
        copies = sorted(
            (folder / table).rglob("*.parquet"), key=lambda file: (file.parent.name, int(file.stem))
        )
        made = sorted((folder / table).rglob("*.jsonl"))
        typed = {"date": "DATE", **{name: _type(kind) for name, kind in columns.items()}}
        parts = [
            f"SELECT {', '.join(f'NULL::{kind} AS "{name}"' for name, kind in typed.items())} WHERE false"
        ]
        if copies:
            parts.append(
                f"SELECT * FROM read_parquet({literal(copies)}, union_by_name = true, hive_partitioning = true, "
                "hive_types = {'date': DATE})"
            )
        if made:
            struct = ", ".join(f"'{name}': {literal(kind)}" for name, kind in typed.items())
            parts.append(
                f"SELECT * FROM read_json({literal(made)}, format = 'newline_delimited', hive_partitioning = false, "
                f"columns = {{{struct}}})"
            )
        connection.execute(f"CREATE VIEW {table} AS {' UNION ALL BY NAME '.join(parts)}")
    common = ", ".join(f'"{name}"' for name in ("date", *MEETING, *PERSON))
    connection.execute(
        f"CREATE VIEW {INTERVALS} AS SELECT * EXCLUDE (stay), UNNEST(stay) FROM (SELECT {common}, "
        f'UNNEST(range(len(intervals))) AS "interval", UNNEST(intervals) AS stay FROM {Table.ATTENDEES})'
    )
    connection.execute("CREATE TABLE days (date DATE, complete BOOLEAN, revision BIGINT, reports BIGINT)")
    for day in days:
        reports = day.manifest and day.manifest.reports
        connection.execute(
            "INSERT INTO days VALUES (?, ?, ?, ?)", [day.date, day.is_complete, day.revision, reports]
        )


def _type(kind: Any) -> str:
    """A type of DuckDB for that of a column."""
    if isinstance(kind, list):
        return f"{_type(kind[0])}[]"
    if isinstance(kind, dict):
        return f"STRUCT({', '.join(f'"{name}" {_type(each)}' for name, each in kind.items())})"
    return _TYPES[kind]
