"""`fetch` and `me list`: reports from Graph for a person who signs in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from ... import times
from ...errors import NotFound, WrongUsage
from ...graph import reports, verbatim_json
from ...graph.client import Graph, page_items, segment
from ...messages import resource_paths
from ...settings import Settings
from .. import output
from ..output import report_errors
from ..session import current
from ..sign_in import SignIn

me = typer.Typer(no_args_is_help=True, help="Reports of your own meetings, for a person who signs in.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(fetch)


def fetch(
    address: Annotated[
        str,
        typer.Argument(
            metavar="ADDRESS", help="A report's URL, or its path from /me, /users or /solutions on."
        ),
    ],
    select: Annotated[
        str, typer.Option(metavar="NAMES", help="Include only these properties, comma-separated.")
    ] = "",
    expand: Annotated[bool, typer.Option(help="Include all attendance records.")] = True,
    output_file: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Write to this file instead of stdout."),
    ] = None,
) -> None:
    """Fetch one attendance report from Graph by its address, and show it as JSON."""
    with report_errors():
        _check_host(address, current().settings)
        location = resource_paths.parse_report_address(address)
        if location is None:
            raise WrongUsage(
                f"{address!r} is not the address of an attendance report, such as "
                "/me/onlineMeetings/ID/attendanceReports/ID."
            )
        names = [name.strip() for name in select.split(",") if name.strip()]
        try:
            report = reports.fetch_report(
                current().graph(),
                reports.locate_report(location),
                location.report_id,
                expand=expand,
                select=names,
            )
        except ValueError as failure:  # one of the names
            raise WrongUsage(str(failure)) from None
        output.write_json(verbatim_json.dumps(report), output_file)


@me.command("list")
def list_mine(
    join_url: Annotated[str, typer.Argument(metavar="URL", help="The meeting's join URL.")],
) -> None:
    """List the attendance reports of one of your meetings with their addresses."""
    with report_errors():
        graph = current().graph(SignIn.DEVICE_CODE)
        location = reports.SignedInUserReports(_find_my_meeting_id(graph, join_url))
        headers = sorted(reports.list_reports(graph, location), key=lambda each: (each.end is None, each.end))
        output.print_rows(
            [
                {
                    "id": each.id,
                    "start": times.optional_text(each.start),
                    "end": times.optional_text(each.end),
                    "address": f"/{location.path}/{segment(each.id)}",
                }
                for each in headers
            ],
            ("start", "end", "address"),
            "This meeting has no reports.",
        )


def _check_host(address: str, settings: Settings) -> None:
    """Refuse an address of another host.

    Only the path of an address is ever used, but the user should know.
    """
    host = urlsplit(address).hostname if "://" in address else None
    allowed = {urlsplit(root).hostname: root for root in (settings.cloud.graph_root, settings.graph_root)}
    if host and host not in allowed:
        raise WrongUsage(f"{host} is not Microsoft Graph, which is at {settings.cloud.graph_root}.")


def _find_my_meeting_id(graph: Graph, join_url: str) -> str:
    """Find the signed-in user's meeting with this join URL."""
    operation, quoted = "find meeting by join URL", join_url.replace("'", "''")
    condition = segment(f"JoinWebUrl eq '{quoted}'")
    meetings = page_items(graph.get(f"me/onlineMeetings?$filter={condition}", operation), operation)
    meeting_id = meetings[0].get("id") if meetings and isinstance(meetings[0], dict) else None
    if not isinstance(meeting_id, str):
        raise NotFound(operation, "you have no such meeting")
    return meeting_id
