"""Tables of an export: their columns, and files of them.

They have the columns of the app's tables (`shared/tables/columns.py`) without nested ones, and at the end which
revision of the day a row is of, and whether that day is complete. All but a workbook hold one table of one day,
`<table>/date=YYYY-MM-DD/part-00000.<format>`. The date is in the folder's name only, so that no query engine reads it
twice; a workbook has it in each row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ...tables import columns
from ..database import literal
from .pseudonyms import Pseudonyms
from .spreadsheets import Sheet, write_csv, write_workbook

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ROWS_AT_ONCE = 10_000


class ExportTable(StrEnum):
    """One row per meeting, attendee, interval of attendance, engagement or invitee."""

    MEETINGS = "meetings"
    ATTENDEES = "attendees"
    INTERVALS = "intervals"
    ENGAGEMENTS = "engagements"
    INVITEES = "invitees"


class Format(StrEnum):
    """Format of a file, and its extension."""

    CSV = "csv"
    PARQUET = "parquet"
    JSONL = "jsonl"
    XLSX = "xlsx"


_MARKS: columns.Columns = {"revision": columns.LONG, "complete": columns.BOOLEAN}  # of the day
_KEYS: dict[ExportTable, tuple[str, ...]] = {
    ExportTable.INTERVALS: (*columns.KEYS[columns.Table.ATTENDEES], "interval"),
    **{ExportTable(table): names for table, names in columns.KEYS.items()},
}


def _export_columns(all_columns: columns.Columns) -> columns.Columns:
    """Those that are neither nested nor about the writing of a file, and the marks."""
    plain = {name: kind for name, kind in all_columns.items() if isinstance(kind, str)}
    return {name: kind for name, kind in plain.items() if name not in columns.WRITTEN} | _MARKS


COLUMNS: dict[ExportTable, columns.Columns] = {
    ExportTable.INTERVALS: _export_columns(
        {**columns.MEETING, **columns.PERSON, "interval": columns.LONG, **columns.INTERVAL}
    ),
    **{ExportTable(table): _export_columns(each) for table, each in columns.COLUMNS.items()},
}


def write_table(
    database: DuckDBPyConnection,
    table: ExportTable,
    pseudonyms: Pseudonyms | None,
    form: Format,
    file: Path,
    *,
    mark: bool = False,
) -> int:
    """Write a table, as CSV with a byte order mark if `mark`.

    Return the number of rows.
    """
    query = _select(table, COLUMNS[table], pseudonyms)
    match form:
        case Format.CSV:
            with file.open("wb") as target:
                return write_csv(tuple(COLUMNS[table]), _rows(database, query), target, mark=mark)
        case Format.JSONL:
            moments = [name for name, kind in COLUMNS[table].items() if kind == columns.TIMESTAMP]
            texts = ", ".join(
                f'strftime("{name}", \'%Y-%m-%dT%H:%M:%S.%gZ\') AS "{name}"' for name in moments
            )
            return _copy(database, f"SELECT * REPLACE ({texts}) FROM ({query})", "FORMAT json", file)
        case _:
            return _copy(database, query, "FORMAT parquet, COMPRESSION zstd", file)


def write_sheets(
    database: DuckDBPyConnection,
    tables: Iterable[ExportTable],
    pseudonyms: Pseudonyms | None,
    file: IO[bytes],
) -> dict[ExportTable, int]:
    """Write a workbook with a sheet for each table, whose rows begin with the date.

    Return the number of rows by table.
    """
    sheets = (
        Sheet(table, names, _rows(database, _select(table, names, pseudonyms)))
        for table in tables
        for names in [("date", *COLUMNS[table])]
    )
    return {ExportTable(name): count for name, count in write_workbook(sheets, file).items()}


def _select(table: ExportTable, names: Iterable[str], pseudonyms: Pseudonyms | None) -> str:
    """Return the query of a table's columns, with its rows in the order of their keys."""
    chosen = [
        f'days."{name}"' if name in _MARKS else pseudonyms.select(name) if pseudonyms else f'"{name}"'
        for name in names
    ]
    order = ", ".join(f'"{name}"' for name in ("date", *_KEYS[table]))
    return f"SELECT {', '.join(chosen)} FROM {table} JOIN days USING (date) ORDER BY {order}"


def _copy(database: DuckDBPyConnection, query: str, options: str, file: Path) -> int:
    found = database.execute(f"COPY ({query}) TO {literal(file)} ({options})").fetchone()
    return int(found[0]) if found else 0


def _rows(database: DuckDBPyConnection, query: str) -> Iterator[tuple[Any, ...]]:
    database.execute(query)
    while batch := database.fetchmany(ROWS_AT_ONCE):
        yield from batch
