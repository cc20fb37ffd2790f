"""`status`: the health report, read from storage with the operator's rights."""

from __future__ import annotations

from datetime import datetime

import typer
from rich.text import Text

from ... import settings, times
from ...errors import SettingError, WrongUsage
from ...health import endpoint, findings, readings
from ...health.diagnosis import HealthReport, diagnose
from ...health.lookup import ONE_DAY
from ...health.page import UNKNOWN, format_delay, format_length
from ...health.readings import Readings
from ...times import format_utc
from .. import output, reading
from ..output import UNWELL, report_errors
from ..session import OutputFormat, Session, current


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status() -> None:
    """Show whether every meeting is archived, with problems and their remedies.

    Lists subscriptions, queues and the last 14 days. Ends with 3 when there is a problem. Subscriptions are as the app
    last published them.
    """
    with report_errors():
        if current().format not in (OutputFormat.TABLE, OutputFormat.JSON):
            raise WrongUsage("status is not one table: --output is table or json.")
        health = collect_report(current())
        if current().as_json:
            output.print_json(endpoint.health_json(health))
        else:
            _print_report(health)
        if health.readings and health.readings.maintenance:
            output.compare_version(health.readings.maintenance.version)
    if not health.healthy:
        raise typer.Exit(UNWELL)


def collect_report(session: Session) -> HealthReport:
    """Collect the current health report."""
    now, values = times.now(), settings.public_values(session.environ)
    try:
        app = session.settings
    except SettingError as failure:
        return HealthReport(now, values, wrong_setting=str(failure))
    collected = readings.collect(session.health_sources, now.date())
    return HealthReport(now, values, collected, diagnose(collected, app, now, as_operator=True))


def _print_report(health: HealthReport) -> None:
    console = output.stdout()
    console.print(Text("healthy", "green") if health.healthy else Text("needs attention", "bold red"))
    for problem in health.problems:
        console.print(Text(f"Problem: {output.single_line(problem)}", "red"))
    for warning in health.diagnosis.warnings:
        console.print(Text(f"Warning: {output.single_line(warning)}", "yellow"))
    if health.readings:
        _print_readings(health, health.readings)


def _print_readings(health: HealthReport, readings: Readings) -> None:
    console = output.stdout()
    never = "never" if readings.is_state_known else UNKNOWN
    console.print()
    console.print(f"Last notification  {_format_time(readings.last_notification, never)}")
    console.print(f"Last report        {_format_time(readings.last_report, never)}")
    delay = format_delay(
        health.at.date() - ONE_DAY, readings.days, "none" if readings.is_data_known else UNKNOWN
    )
    console.print(f"Yesterday's delay  {delay}")
    scan = readings.recent or readings.full
    overdue = (
        f"{scan.late:,} at the sweep of {format_utc(scan.finished or scan.started)}" if scan else UNKNOWN
    )
    console.print(f"Overdue signals    {overdue}")
    for name, length in readings.queues.items():
        console.print(f"Queue {name:24} {format_length(length)}")
    console.print()
    subscriptions = [
        {"subscription": each.resource, "state": each.status, "expires": _format_time(each.expires, "-")}
        for each in health.diagnosis.subscriptions or ()
    ]
    if readings.is_state_known:
        output.print_rows(subscriptions, if_empty="The app has published no subscriptions.")
        console.print()
    if readings.is_data_known:
        days = sorted(readings.days.items(), reverse=True)
        output.print_rows([reading.day_row(*each, "no manifest yet") for each in days])
    for each in readings.denied.organizers:
        denied = findings.organizer_denied(each.id, each.since, each.remedy, each.retry_at)
        text = f"\nNo {output.single_line(denied.check)}: {output.single_line(denied.text)}"
        console.print(Text(text))


def _format_time(moment: datetime | None, otherwise: str) -> str:
    return format_utc(moment) if moment else otherwise
