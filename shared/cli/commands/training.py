"""`training`: who attended a meeting or a series enough, late, or not at all."""

from __future__ import annotations

import io
import json
import zoneinfo
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ...errors import WrongUsage
from .. import options, output
from ..export.spreadsheets import write_csv, write_workbook
from ..output import report_errors
from ..session import OutputFormat, current
from ..training import gathering, policy, roster, sheets
from ..training.page import render_page
from ..training.results import Account
from ..training.terminal import print_account


class TrainingFormat(StrEnum):
    """Values of `--format`, and the extensions of files."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    XLSX = "xlsx"
    HTML = "html"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(training)


def _parser[T](parse: Callable[[str], T]) -> Callable[[str], T]:
    """Return the parser of an option, whose ValueError is wrong usage."""

    def parse_option(text: str) -> T:
        try:
            return parse(text)
        except ValueError as problem:
            raise typer.BadParameter(str(problem)) from None

    return parse_option


def _parse_zone(text: str) -> tzinfo:
    try:
        return UTC if text.upper() == "UTC" else zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, OSError, ValueError):
        raise ValueError(f"{text!r} is no time zone of this machine, such as Europe/Berlin.") from None


def training(
    meeting: Annotated[
        str | None,
        typer.Argument(
            metavar="[MEETING]",
            help="Any copy of its link, its subject or a part of it, or the id of a report, meeting or series.",
        ),
    ] = None,
    series: Annotated[
        str | None, typer.Option(metavar="ID", help="The series instead: `seriesId` of `reports list`.")
    ] = None,
    roster_file: Annotated[
        Path | None,
        typer.Option(
            "--roster",
            metavar="FILE",
            help="Who should attend: CSV with a header (address, upn, email, object id, name, and more), or a line "
            "per address. Default: those who were invited, if the archive has lists of them.",
        ),
    ] = None,
    at_least: Annotated[
        policy.Threshold | None,
        typer.Option(
            parser=_parser(policy.parse_threshold),
            metavar="PERCENT|MINUTES",
            help="The least attendance, such as 80% or 45. Default: any time.",
        ),
    ] = None,
    late_after: Annotated[
        int | None,
        typer.Option(
            metavar="MINUTES", min=0, max=1_440, help="Mark who joined later than this after the begin."
        ),
    ] = None,
    left_early: Annotated[
        int | None,
        typer.Option(
            metavar="MINUTES", min=0, max=1_440, help="Mark who left earlier than this before the end."
        ),
    ] = None,
    of: Annotated[
        policy.Measure | None,
        typer.Option(
            parser=_parser(policy.parse_measure),
            metavar="schedule|meeting|HH:MM-HH:MM",
            help="The time that counts: the schedule, the meeting as it was held, or these hours of each date. "
            "Default: the schedule if it is known, else the meeting.",
        ),
    ] = None,
    zone: Annotated[
        tzinfo | None,
        typer.Option(
            "--time-zone",
            parser=_parser(_parse_zone),
            metavar="NAME",
            help="Time zone of dates and times, such as Europe/Berlin. Default: UTC.",
        ),
    ] = None,
    first: Annotated[
        datetime | None,
        typer.Option(
            "--from",
            parser=options.parse_day,
            metavar=options.DAY,
            help=f"First date. Default: {options.MONTH} days before --to.",
        ),
    ] = None,
    last: Annotated[
        datetime | None,
        typer.Option(
            "--to", parser=options.parse_day, metavar=options.DAY, help="Last date, included. Default: today."
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Write to this file: .csv, .json, .xlsx or .html."),
    ] = None,
    form: Annotated[
        TrainingFormat | None,
        typer.Option("--format", help="Format of the result. Default: by the file's ending, else a table."),
    ] = None,
) -> None:
    """Tell who attended a training or a series enough, late, or not at all.

    Sessions of one date are merged, so a restarted meeting counts as one. People are matched with the roster by object
    id, then by address, and never by name. An HTML file is made for printing. The rules: docs/training.md.
    """
    with report_errors():
        chosen = _choose_format(form, file)
        rules = policy.Policy(
            at_least or policy.ANY_TIME, _minutes(late_after), _minutes(left_early), of, zone or UTC
        )
        days = options.days_between(first, last, options.MONTH)
        text = _asked_for(meeting, series)
        given = _read_roster(roster_file) if roster_file else None
        found = gathering.find_sessions(current().container, text, days, is_series=meeting is None)
        _write(gathering.evaluate(found, rules, given), chosen, file)


def _asked_for(meeting: str | None, series: str | None) -> str:
    """Return the text by which the meeting is looked for."""
    if (meeting is None) is (series is None):
        raise WrongUsage("Give either a meeting or --series.")
    text = (meeting or series or "").strip()
    if not text:
        raise WrongUsage("Give a link, a subject or an id.")
    return text


def _choose_format(form: TrainingFormat | None, file: Path | None) -> TrainingFormat:
    """Return the format of the result.

    That of the option, of the file's ending, or of --json.
    """
    ending = file.suffix.lower()[1:] if file else ""
    if form is None and file and ending not in (*TrainingFormat,)[1:]:
        raise WrongUsage(f"{file} does not end in one of .csv, .json, .xlsx, .html: see --format.")
    if form is None:
        if current().format is OutputFormat.TSV:
            raise WrongUsage("There is no TSV of a training: use --format csv.")
        form = TrainingFormat(ending or current().format)
    if form is TrainingFormat.XLSX and file is None:
        raise WrongUsage("A workbook needs --output FILE.")
    if form is TrainingFormat.TABLE and file:
        raise WrongUsage("A table is for the terminal: choose another --format for a file.")
    return form


def _minutes(number: int | None) -> timedelta | None:
    return None if number is None else timedelta(minutes=number)


def _read_roster(file: Path) -> roster.Roster:
    with file.open("rb") as stream:
        content = stream.read(roster.MAX_BYTES + 1)
    if len(content) > roster.MAX_BYTES:
        raise WrongUsage(f"The roster {file} has more than {roster.MAX_BYTES // 1024 // 1024} MB.")
    return roster.parse_roster(content, str(file))


def _write(account: Account, form: TrainingFormat, file: Path | None) -> None:
    """Write the result in a format, to a file or to stdout.

    Notes that it cannot hold go to stderr.
    """
    match form:
        case TrainingFormat.TABLE:
            print_account(account)
        case TrainingFormat.JSON:
            output.write_json(json.dumps(sheets.content_json(account), ensure_ascii=False).encode(), file)
        case TrainingFormat.HTML:
            output.write_output(render_page(account).encode("utf-8", "xmlcharrefreplace"), file)
        case TrainingFormat.CSV:
            sheet, content = sheets.sheets(account)[0], io.BytesIO()
            write_csv(sheet.columns, sheet.rows, content, mark=file is not None)
            output.write_output(content.getvalue(), file)
            for note in account.notes:
                output.print_message(f"Note: {note}")
        case TrainingFormat.XLSX:
            workbook = io.BytesIO()
            write_workbook(sheets.sheets(account), workbook)
            output.write_output(workbook.getvalue(), file)
