"""`sql`: questions to the tables of some days, in SQL."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ... import times
from ...errors import AttendanceError, WrongUsage
from .. import options, output
from ..database import (
    VIEWS,
    describe_error,
    describe_incomplete,
    literal,
    lock_database,
    open_database,
    read_days,
)
from ..output import report_errors
from ..session import current

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

COLUMNS = """
SELECT table_name AS "view", column_name AS "column", data_type AS type
FROM information_schema.columns ORDER BY table_name, ordinal_position
"""
MOST_ROWS = 100_000
MOST_SQL = 1024 * 1024  # bytes of a file
_READERS = {".csv": "read_csv", ".parquet": "read_parquet", ".json": "read_json", ".jsonl": "read_json"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sql)


def sql(
    query: Annotated[
        str | None,
        typer.Argument(
            metavar="SQL", help="The question, in DuckDB's SQL; or give --file. Without: list all columns."
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="File with the question; - reads stdin.")
    ] = None,
    first: options.MonthAgo = None,
    last: options.OptionalLastDay = None,
    more: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="NAME=FILE",
            help="A table of your own to join: a CSV, Parquet or JSON file. May be given several times.",
        ),
    ] = None,
) -> None:
    """Answer a question in SQL from the tables of some days.

    Views: `meetings`, `attendees`, `engagements`, `invitees`, `intervals` (a row per stay) and `days` (which are
    complete). All have the column `date`, the UTC date on which a meeting ended; times are TIMESTAMPTZ. A day that is
    not complete is read as it is now. The query reaches these views and your --with files, and nothing else here or on
    the network. docs/questions.md has queries to copy.
    """
    with report_errors():
        text, own = _read_query(query, file), [_parse_own(each) for each in more or []]
        container, window = current().container, options.days_between(first, last, options.MONTH)
        days = read_days(container, window) if text is not COLUMNS else []
        if problem := describe_incomplete(itertools.dropwhile(lambda day: day.manifest is None, days)):
            output.print_message(problem)
        total = sum(len(files) for day in days for files in (day.files or {}).values())
        with (
            output.progress_bar("Files", total) as done,
            open_database(container, days, current().settings.tenant_id, done) as database,
        ):
            rows = answer(database, text, own)
        output.print_rows(rows)


def _read_query(query: str | None, file: Path | None) -> str:
    if query is not None and file is not None:
        raise WrongUsage("Give either the SQL or --file FILE.")
    if file is None:
        return COLUMNS if query is None else query
    if str(file) == "-":
        return sys.stdin.read(MOST_SQL)
    with file.open(encoding="utf-8-sig") as stream:
        return stream.read(MOST_SQL)


def _parse_own(text: str) -> tuple[str, Path]:
    """Parse `NAME=FILE`. Raises WrongUsage."""
    name, _, file = text.partition("=")
    if not name.isidentifier() or not file or name.lower() in VIEWS:
        raise WrongUsage(f"--with {text}: give NAME=FILE, with a name that no view has.")
    if Path(file).suffix.lower() not in _READERS:
        raise WrongUsage(f"--with {text}: the file must end in one of {', '.join(_READERS)}.")
    return name, Path(file)


def answer(database: DuckDBPyConnection, query: str, own: Sequence[tuple[str, Path]]) -> list[dict[str, Any]]:
    """Answer a query, which reaches nothing but the views and the user's own files.

    Raises WrongUsage for SQL that DuckDB does not take, and other errors of DuckDB as they are.
    """
    import duckdb

    try:
        for name, file in own:
            with file.open("rb"):  # says so if it cannot be read
                reader = _READERS[file.suffix.lower()]
            database.execute(f'CREATE TABLE "{name}" AS FROM {reader}({literal(file)})')
        lock_database(database)
        database.execute(query)
        names = _distinct([column[0] for column in database.description or []])
        rows = database.fetchmany(MOST_ROWS + 1) if names else []
    except duckdb.ProgrammingError as failure:
        raise WrongUsage(describe_error(failure)) from None
    if len(rows) > MOST_ROWS:
        raise AttendanceError(
            f"The answer has more than {MOST_ROWS:,} rows: add a LIMIT, or see `attendance export`."
        )
    return [dict(zip(names, map(_plain, row), strict=True)) for row in rows]


def _distinct(names: Sequence[str]) -> list[str]:
    """Names of columns, each once: `a`, `a_1`."""
    seen: dict[str, None] = {}
    for name in names:
        number = 0
        while (each := f"{name}_{number}" if number else name) in seen:
            number += 1
        seen[each] = None
    return list(seen)


def _plain(value: object) -> object:
    """A value as JSON has it."""
    match value:
        case datetime():
            return times.text(value) if value.tzinfo else value.isoformat()
        case date():
            return value.isoformat()
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case list() | tuple():
            return [_plain(each) for each in value]
        case dict():
            return {str(name): _plain(each) for name, each in value.items()}
        case float() if not math.isfinite(value):  # JSON has no such number
            return str(value)
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)
