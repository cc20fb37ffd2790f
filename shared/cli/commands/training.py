"""`training`: who attended a meeting or a series enough, late, or not at all."""

from __future__ import annotations

import io
import json
import zoneinfo
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from azure.storage.blob import ContainerClient

from ... import times
from ...archive.reports import Archive, ReportSummary
from ...days.manifests import Manifests
from ...errors import AttendanceError, WrongUsage
from ...graph.join_urls import series_id
from ...health import lookup
from ...ledger.publish import Outcomes
from ...ledger.record import Result
from ...storage.blobs import run_in_parallel
from .. import options, output, reading
from ..export.spreadsheets import write_csv, write_workbook
from ..output import report_errors
from ..session import OutputFormat, current
from ..training import attendance, results, roster
from ..training.attendance import ANY_TIME, Expected, MeetingSession, Occasion, Policy, Training
from ..training.results import Account

ONE_DAY = timedelta(days=1)
AHEAD = 2 * ONE_DAY  # a meeting of the last day, in any time zone, ends by then
# Outcomes of a session that may have taken place and whose report is not here.
_SILENT = frozenset(Result) - {Result.STORED, Result.NOT_A_MEETING}


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
            "per address. Default: those who were invited, if the archive has tables of them.",
        ),
    ] = None,
    at_least: Annotated[
        attendance.Threshold | None,
        typer.Option(
            parser=_parser(attendance.parse_threshold),
            metavar="PERCENT|MINUTES",
            help="The least attendance, such as 80% or 45. Default: any time.",
        ),
    ] = None,
    late_after: Annotated[
        int | None,
        typer.Option(metavar="MINUTES", min=0, max=1_440, help="Mark who joined later than this after the begin."),
    ] = None,
    left_early: Annotated[
        int | None,
        typer.Option(metavar="MINUTES", min=0, max=1_440, help="Mark who left earlier than this before the end."),
    ] = None,
    of: Annotated[
        str | None,
        typer.Option(
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
        basis, hours = _parse_basis(of)
        policy = Policy(
            at_least or ANY_TIME, _minutes(late_after), _minutes(left_early), basis, hours, zone or UTC
        )
        days = options.days_between(first, last, options.MONTH)
        text = _asked_for(meeting, series)
        expected = _read_roster(roster_file) if roster_file else None
        account = _account(text, days, policy, expected)
        _write(account, chosen, file)


def _parse_basis(of: str | None) -> tuple[attendance.Basis | None, tuple[object, object] | None]:
    raise NotImplementedError
