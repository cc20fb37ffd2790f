"""`export`: tables of some days as files, in a folder or the container."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import ContainerClient, ContentSettings

from ...errors import AttendanceError, WrongUsage
from ...storage.names import day_folder
from .. import options, output
from ..database import Day, describe_incomplete, open_database, read_days
from ..export import tables
from ..export.pseudonyms import Pseudonyms
from ..export.tables import ExportTable, Format
from ..output import report_errors
from ..session import current

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

KEY = "ATTENDANCE_PSEUDONYM_KEY"
_TYPES = {
    Format.CSV: "text/csv; charset=utf-8",
    Format.PARQUET: "application/vnd.apache.parquet",
    Format.JSONL: "application/x-ndjson",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(export)


def export(
    first: options.FirstDay,
    last: options.LastDay,
    form: Annotated[Format, typer.Option("--format", help="How the files are written.")] = Format.PARQUET,
    table: Annotated[
        list[ExportTable] | None,
        typer.Option(
            metavar="TABLE",
            help=f"Which tables: {', '.join(ExportTable)}; may be given several times. Default: all.",
        ),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="PATH", help="Folder for the files; with --format xlsx, the workbook."
        ),
    ] = None,
    into_container: Annotated[
        bool,
        typer.Option("--into-container", help="Write to exports/ in the container of the reports instead."),
    ] = False,
    include_incomplete: Annotated[
        bool,
        typer.Option(
            "--include-incomplete", help="Export days that are not complete too; `complete` marks them."
        ),
    ] = False,
    bom: Annotated[
        bool, typer.Option("--bom", help="Begin CSV files with a byte order mark, for Excel.")
    ] = False,
    pseudonymise: Annotated[
        bool,
        typer.Option(
            "--pseudonymise",
            help=f"Leave out names and addresses, and replace ids by pseudonyms made with the key in {KEY}.",
        ),
    ] = False,
) -> None:
    """Export tables of some days.

    One row per meeting, attendee, interval of attendance, engagement or invitee.

    Each table and day is one file, which is complete or does not exist: `<table>/date=YYYY-MM-DD/part-00000.<format>`;
    a table without rows has none. XLSX is one workbook with a sheet per table. Each row says of which revision of its
    day it is, and whether that day is complete. The same command writes the same files again.
    """
    with report_errors():
        window = options.days_between(first, last)
        if (target is None) is not into_container:
            raise WrongUsage("Give either --output PATH or --into-container.")
        if bom and form is not Format.CSV:
            raise WrongUsage("--bom is for --format csv.")
        if form is Format.XLSX and (target is None or target.suffix.lower() != ".xlsx"):
            raise WrongUsage("--format xlsx writes one workbook: give --output NAME.xlsx.")
        pseudonyms = _load_pseudonyms() if pseudonymise else None
        container, wanted = current().container, table or list(ExportTable)
        days = read_days(container, window)
        if problem := describe_incomplete(days):
            if not include_incomplete:
                raise AttendanceError(
                    f"{problem} --include-incomplete exports such days too, and marks them."
                )
            output.print_message(problem)
        if form is Format.XLSX and target:
            counts = _export_workbook(days, wanted, target, pseudonyms)
        else:
            counts = dict.fromkeys(wanted, 0)
            with output.progress_bar("Days", len(days)) as done:
                for day in days:
                    for name, count in _export_day(day, wanted, form, target, pseudonyms, mark=bom).items():
                        counts[name] += count
                    done(1)
        output.print_rows([{"table": str(each), "rows": count} for each, count in counts.items()])


def _load_pseudonyms() -> Pseudonyms:
    key = os.environ.get(KEY)
    if key is None:
        output.print_message(f"{KEY} is not set: the pseudonyms are random and differ in every export.")
    return Pseudonyms(secrets.token_hex(32) if key is None else key)


@contextmanager
def _open(days: Sequence[Day], pseudonyms: Pseudonyms | None) -> Iterator[DuckDBPyConnection]:
    with open_database(current().container, days, current().settings.tenant_id) as database:
        if pseudonyms:
            pseudonyms.register(database)
        yield database


def _export_workbook(
    days: Sequence[Day], wanted: Sequence[ExportTable], file: Path, pseudonyms: Pseudonyms | None
) -> dict[ExportTable, int]:
    with (
        _open(days, pseudonyms) as database,
        output.atomic_file(file) as target,
    ):
        return tables.write_sheets(database, wanted, pseudonyms, target)


def _export_day(
    day: Day,
    wanted: Sequence[ExportTable],
    form: Format,
    folder: Path | None,
    pseudonyms: Pseudonyms | None,
    *,
    mark: bool,
) -> dict[ExportTable, int]:
    """Write the files of a day, and delete those that would have no rows.

    Return the number of rows by table.
    """
    container, counts = current().container, {}
    with (
        _open([day], pseudonyms) as database,
        tempfile.TemporaryDirectory() as private,
    ):
        for table in wanted:
            draft = Path(private, table)
            counts[table] = tables.write_table(database, table, pseudonyms, form, draft, mark=mark)
            name = f"{day_folder(table, day.date)}part-00000.{form}"
            if folder:
                _put_file(draft if counts[table] else None, folder / name)
            else:
                _put_blob(draft if counts[table] else None, container, f"exports/{name}", _TYPES[form])
    return counts


def _put_file(draft: Path | None, file: Path) -> None:
    """Put the draft in the place of a file; delete the file if there is none."""
    if draft is None:
        file.unlink(missing_ok=True)
        return
    with draft.open("rb") as source, output.atomic_file(file) as target:
        shutil.copyfileobj(source, target)


def _put_blob(draft: Path | None, container: ContainerClient, name: str, content_type: str) -> None:
    """Put the draft in the place of a blob; delete the blob if there is none."""
    if draft is None:
        with suppress(ResourceNotFoundError):
            container.delete_blob(name)
        return
    with draft.open("rb") as source:
        container.upload_blob(
            name, source, overwrite=True, content_settings=ContentSettings(content_type=content_type)
        )
