"""The command line `attendance`: reports for a person who signs in, and the meetings that the app watches.

It reads the app's settings from the environment where they are set. What is asked for goes to stdout, everything else
to stderr. Exit codes: 0 done, 1 it did not work (one sentence on stderr says why), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from azure.core.exceptions import AzureError
from azure.storage.blob import BlobServiceClient

from shared import addresses, jsontext, reports, settings, signin, times, watch
from shared.errors import AttendanceError, NotFound
from shared.graph import Graph, Rate, items, segment
from shared.settings import STATE_SUFFIX, Operator
from shared.signin import SignIn
from shared.state import State

RATE = 5.0  # requests per second

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
me = typer.Typer(no_args_is_help=True, help="Reports of your own meetings, for a person who signs in.")
watching = typer.Typer(
    no_args_is_help=True, help="The meetings whose end Graph tells the app within seconds."
)
app.add_typer(me, name="me")
app.add_typer(watching, name="watch")

How = Annotated[
    SignIn,
    typer.Option("--sign-in", help="How to sign in. For /me: device-code or browser."),
]
ClientId = Annotated[
    str | None,
    typer.Option(
        envvar="ATTENDANCE_CLIENT_ID",
        help="Client id of a public client registration with the delegated permissions "
        "OnlineMeetings.Read and OnlineMeetingArtifact.Read.All; for device-code and browser.",
    ),
]
Output = Annotated[
    Path | None, typer.Option(help="Write to this file instead of stdout; whole, or not at all.")
]
Select = Annotated[str, typer.Option(help="Only these properties, comma-separated.")]
Expand = Annotated[bool, typer.Option(help="With the attendance records of all pages.")]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable.")]


@app.command()
def fetch(
    address: Annotated[
        str, typer.Argument(help="A report's address, whole or from /me, /users or /solutions on.")
    ],
    sign_in: How = SignIn.AZURE_CLI,
    client_id: ClientId = None,
    select: Select = "",
    expand: Expand = True,
    output: Output = None,
) -> None:
    """Fetch one attendance report by its address, and show it as JSON.

    Example: attendance fetch /me/onlineMeetings/MSo…/attendanceReports/c9b6db1c-… --sign-in device-code
    """
    with _told():
        found = addresses.report(address)
        if found is None:
            raise AttendanceError("This is not the address of an attendance report.")
        names = [name.strip() for name in select.split(",") if name.strip()]
        graph = _graph(sign_in, client_id)
        report = reports.fetch(graph, reports.where(found), found.report_id, expand=expand, select=names)
        _write(report, output)


@me.command("list")
def list_mine(
    join_url: Annotated[str, typer.Argument(help="The meeting's join URL.")],
    sign_in: How = SignIn.DEVICE_CODE,
    client_id: ClientId = None,
    as_json: Json = False,
) -> None:
    """List the attendance reports of one of your meetings, with the address of each."""
    with _told():
        graph = _graph(sign_in, client_id)
        mine = reports.MyMeetingReports(_my_meeting(graph, join_url))
        found = sorted(reports.listed(graph, mine), key=lambda each: (each.end is None, each.end))
        rows = [
            {
                "id": each.id,
                "start": times.optional_text(each.start),
                "end": times.optional_text(each.end),
                "address": f"/{mine.path}/{segment(each.id)}",
            }
            for each in found
        ]
        _show(rows, as_json, lambda row: f"{row['start']}  {row['end']}  {row['address']}")


@watching.command("add")
def watch_add(
    join_url: Annotated[str, typer.Argument(help="The meeting's join URL.")],
    organizer: Annotated[
        str | None, typer.Option(help="Object id of the organizer; needed for a short link.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Watch until this time (ISO 8601, UTC).")] = None,
    sign_in: How = SignIn.AZURE_CLI,
) -> None:
    """Watch a meeting. The app subscribes to its call events with the next run of maintain_subscriptions."""
    with _told():
        watched = watch.checked(join_url, organizer, _moment(until))
        _watch(sign_in).add(watched)
        typer.echo("Watched.", err=True)


@watching.command("list")
def watch_list(sign_in: How = SignIn.AZURE_CLI, as_json: Json = False) -> None:
    """List the meetings that are watched."""
    with _told():
        rows = [
            {
                "joinWebUrl": each.join_url,
                "organizerId": each.organizer_id,
                "until": times.optional_text(each.until),
            }
            for each in _watch(sign_in).listed()
        ]
        _show(
            rows,
            as_json,
            lambda row: f"{row['until'] or 'for good':24}  {row['organizerId']}  {row['joinWebUrl']}",
        )


@watching.command("remove")
def watch_remove(
    join_url: Annotated[str, typer.Argument(help="The meeting's join URL.")],
    sign_in: How = SignIn.AZURE_CLI,
) -> None:
    """Watch a meeting no more."""
    with _told():
        if not _watch(sign_in).remove(join_url):
            raise AttendanceError("This meeting is not watched.")
        typer.echo("Not watched any more.", err=True)


@contextmanager
def _told() -> Iterator[None]:
    """Whatever goes wrong is one sentence on stderr."""
    try:
        yield
    except (AttendanceError, ValueError) as failure:
        typer.echo(f"attendance: {failure}", err=True)
        raise typer.Exit(1) from None
    except AzureError as failure:
        typer.echo(f"attendance: Storage did not do it ({type(failure).__name__}).", err=True)
        raise typer.Exit(1) from None


def _operator() -> Operator:
    return settings.for_operator(os.environ)


def _graph(sign_in: SignIn, client_id: str | None) -> Graph:
    operator = _operator()
    token = signin.graph_token(signin.chosen(sign_in, operator, client_id), operator.graph_scope)
    return Graph(operator.graph_root, token, Rate(RATE))


def _watch(sign_in: SignIn) -> watch.Watch:
    operator = _operator()
    if not operator.blob_url:
        raise AttendanceError("Set AttendanceStorage__blobServiceUri to the address of the storage account.")
    service = BlobServiceClient(operator.blob_url, signin.chosen(sign_in, operator, None))
    return watch.Watch(State(service.get_container_client(operator.container + STATE_SUFFIX)))


def _my_meeting(graph: Graph, join_url: str) -> str:
    """The id of the signed-in user's meeting with this join URL."""
    operation, quoted = "find meeting by join URL", join_url.replace("'", "''")
    condition = segment(f"JoinWebUrl eq '{quoted}'")
    found = items(graph.get(f"me/onlineMeetings?$filter={condition}", operation), operation)
    meeting_id = found[0].get("id") if found and isinstance(found[0], dict) else None
    if not isinstance(meeting_id, str):
        raise NotFound(operation, "you have no such meeting")
    return meeting_id


def _moment(text: str | None) -> datetime | None:
    try:
        return times.parse(text)
    except ValueError:
        raise AttendanceError(f"{text!r} is not a time.") from None


def _show(rows: list[dict[str, Any]], as_json: bool, line: Callable[[dict[str, Any]], str]) -> None:
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
        return
    for row in rows:
        typer.echo(line(row))


def _write(content: object, output: Path | None) -> None:
    """Show it, or write it to a file that is whole or not there."""
    text = jsontext.dumps(content).decode() + "\n"
    if output is None:
        sys.stdout.write(text)
        return
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=output.parent, delete=False) as file:
        try:
            file.write(text)
            file.close()
            Path(file.name).replace(output)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    typer.echo(f"Written to {output}.", err=True)


if __name__ == "__main__":
    app(prog_name="attendance")
