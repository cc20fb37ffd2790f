"""`export`: tables of some days as CSV or Parquet, in a folder or the container."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import ContainerClient, ContentSettings

from ...archive.reports import Archive, ReportSummary
from ...days.manifests import index_lines
from ...errors import WrongUsage
from ...storage.names import day_folder
from .. import options, output, reading
from ..export import tables
from ..export.pseudonyms import Pseudonyms
from ..export.tables import ExportTable, Format, Row
from ..output import report_errors
from ..session import current

KEY = "ATTENDANCE_PSEUDONYM_KEY"
SPOOL_BYTES = 16 * 1024 * 1024
_TYPES = {Format.CSV: "text/csv; charset=utf-8", Format.PARQUET: "application/vnd.apache.parquet"}


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
    output_folder: Annotated[
        Path | None, typer.Option("--output", metavar="FOLDER", help="Folder for the files.")
    ] = None,
    into_container: Annotated[
        bool,
        typer.Option("--into-container", help="Write to exports/ in the container of the reports instead."),
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

    Each table and day is one file, which is complete or does not exist: `<table>/date=YYYY-MM-DD/part-00000.<format>`.
    A day without reports has none, and a day without engagements or invitees has no file of them. The same command
    writes the same files again.
    """
    with report_errors():
        window = options.days_between(first, last)
        if (output_folder is None) is not into_container:
            raise WrongUsage("Give either --output FOLDER or --into-container.")
        if bom and form is not Format.CSV:
            raise WrongUsage("--bom is for --format csv.")
        pseudonyms = _load_pseudonyms() if pseudonymise else None
        container, counts = current().container, dict.fromkeys(table or list(ExportTable), 0)
        with output.progress_bar("Days", len(window)) as done:
            for day in window:
                reports = list(Archive(container).list_reports(day))
                for each in counts:
                    target = _ExportFile(
                        container, output_folder, f"{day_folder(each, day)}part-00000.{form}", form, mark=bom
                    )
                    counts[each] += _write_table(each, reports, target, container, pseudonyms)
                done(1)
        output.print_rows([{"table": str(each), "rows": count} for each, count in counts.items()])


def _load_pseudonyms() -> Pseudonyms:
    key = os.environ.get(KEY)
    if key is None:
        output.print_message(f"{KEY} is not set: the pseudonyms are random and differ in every export.")
    return Pseudonyms(secrets.token_hex(32) if key is None else key)


class _ExportFile:
    """One file of an export."""

    def __init__(
        self, container: ContainerClient, root: Path | None, name: str, form: Format, *, mark: bool
    ) -> None:
        self._container, self._root, self._name, self.form = container, root, name, form
        self._mark = mark

    def remove(self) -> None:
        """Delete the file if it exists."""
        if self._root:
            (self._root / self._name).unlink(missing_ok=True)
            return
        try:
            self._container.delete_blob(f"exports/{self._name}")
        except ResourceNotFoundError:
            return

    def write(self, table: ExportTable, rows: Iterable[Row]) -> int:
        """Write the complete file or none. Return the number of rows."""
        if self._root:
            with output.atomic_file(self._root / self._name) as file:
                return tables.write_table(table, rows, self.form, file, mark=self._mark)
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as draft:
            count = tables.write_table(table, rows, self.form, draft, mark=self._mark)
            length = draft.tell()
            draft.seek(0)
            self._container.upload_blob(
                f"exports/{self._name}",
                draft,
                length=length,
                overwrite=True,
                content_settings=ContentSettings(content_type=_TYPES[self.form]),
            )
        return count


def _write_table(
    table: ExportTable,
    reports: list[ReportSummary],
    target: _ExportFile,
    container: ContainerClient,
    pseudonyms: Pseudonyms | None,
) -> int:
    if not reports:
        target.remove()
        return 0

    lines = {line["id"]: line for line in map(json.loads, index_lines(reports))}
    tenant_id = current().settings.tenant_id

    def all_rows() -> Iterator[Row]:
        for report, content, invitees in reading.read_bodies(container, reports):
            for row in tables.report_rows(table, content, lines[report.id], invitees, tenant_id):
                yield pseudonyms.row(row) if pseudonyms else row

    rows = all_rows()
    if table in (ExportTable.ENGAGEMENTS, ExportTable.INVITEES):  # few tenants have any
        first = next(rows, None)
        if first is None:
            target.remove()
            return 0
        rows = itertools.chain([first], rows)
    return target.write(table, rows)
