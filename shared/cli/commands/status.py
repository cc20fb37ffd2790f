"""`status`: the health report, read from storage with the operator's rights."""

from __future__ import annotations

from datetime import datetime

import typer
from rich.text import Text

from ... import settings, times
from ...health import endpoint, readings
from ...health.diagnosis import HealthReport, diagnose
from ...health.readings import Readings
from ...times import format_utc
from .. import output
from ..output import UNWELL, report_errors
from ..session import Session, current


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status() -> None:
    """Show whether every meeting is archived, with problems and their remedies.

    Lists subscriptions, queues and the last 14 days. Ends with 3 when there is a problem. Subscriptions are as the app
    last published them.
    """
    with report_errors():
        health = collect_report(current())
        if current().as_json:
            output.print_json(endpoint.health_json(health))
        elif health.readings:
            _print_report(health, health.readings)
    if not health.healthy:
        raise typer.Exit(UNWELL)


def collect_report(session: Session) -> HealthReport:
    """Collect the current health report."""
    now, app = times.now(), session.settings
    sources = readings.build_sources(app, session.data_blobs, session.host_blobs, session.queues)
    collected = readings.collect(sources, now.date())
    return HealthReport(
        now, settings.public_values(session.environ), collected, diagnose(collected, app, now)
    )


def _print_report(health: HealthReport, readings: Readings) -> None:
    console = output.stdout()
    console.print(Text("healthy", "green") if health.healthy else Text("needs attention", "bold red"))
    for problem in health.problems:
        console.print(Text(f"Problem: {output.single_line(problem)}", "red"))
    for warning in health.diagnosis.warnings:
        console.print(Text(f"Warning: {output.single_line(warning)}", "yellow"))
    console.print()
    console.print(f"Last notification  {_format_time(readings.last_notification)}")
    console.print(f"Last report        {_format_time(readings.last_report)}")
    for name, length in readings.queues.items():
        console.print(f"Queue {name:28} {length if isinstance(length, int) else 'does not answer'}")
    console.print()
    subscriptions = [
        {"subscription": each.resource, "state": each.status, "expires": _format_time(each.expires)}
        for each in health.diagnosis.subscriptions or ()
    ]
    output.print_rows(subscriptions, if_empty="The app has published no subscriptions.")
    console.print()
    output.print_rows(
        [
            {
                "day": day.isoformat(),
                "complete": "yes" if manifest and manifest.complete else "no",
                "reports": manifest.reports if manifest else "",
                "outcomes": ", ".join(f"{name} {count}" for name, count in manifest.outcomes.items())
                if manifest
                else "unknown",
            }
            for day, manifest in sorted(readings.days.items(), reverse=True)
        ]
    )
    for each in readings.denied.organizers:
        console.print(
            Text(
                f"\nNo access to {output.single_line(each.id or 'call records')}: {output.single_line(each.remedy)}"
            )
        )


def _format_time(moment: datetime | None) -> str:
    return format_utc(moment) if moment else "never"
