"""`watch`: choose meetings whose end Graph reports within seconds."""

from __future__ import annotations

from typing import Annotated

import typer

from ... import times
from ...errors import AttendanceError, WrongUsage
from ...settings import CALL_EVENTS
from ...storage import watchlist
from ...times import format_utc
from .. import output
from ..output import report_errors
from ..session import current

app = typer.Typer(no_args_is_help=True, help="Choose meetings whose end Graph reports within seconds.")
JoinUrl = Annotated[str, typer.Argument(metavar="URL", help="The meeting's join URL.")]


@app.command()
def add(
    join_url: JoinUrl,
    organizer: Annotated[
        str | None, typer.Option(metavar="ID", help="Object id of the organizer; needed for a short link.")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Watch until then (UTC): 2026-12-31, or 2026-12-31T17:00:00Z."),
    ] = None,
) -> None:
    """Watch a meeting; the next maintenance run subscribes to its call events."""
    with report_errors():
        try:
            end = times.parse(until)
            if end is None and until is not None:
                raise ValueError("is no time")
        except ValueError:
            raise WrongUsage(
                f"--until {until!r} is not a time of the form 2026-12-31 or 2026-12-31T17:00:00Z."
            ) from None
        if end and end <= times.now():
            raise WrongUsage(f"--until {format_utc(end)} has passed.")
        _watchlist().add(watchlist.build_watched_meeting(join_url, organizer, end))
        output.print_message("The meeting is watched.")
        if CALL_EVENTS not in current().settings.signals:
            output.print_message(
                f"attendance: Warning: SIGNALS in these settings does not name {CALL_EVENTS}; until the app's does, "
                "Graph is not asked for the meeting's events."
            )


@app.command("list")
def list_watched() -> None:
    """List the watched meetings."""
    with report_errors():
        output.print_rows(
            [
                {
                    "joinWebUrl": each.join_url,
                    "organizerId": each.organizer_id,
                    "until": times.optional_text(each.until),
                }
                for each in sorted(
                    _watchlist().list_meetings(tidy=False),  # the operator may lack the right to delete
                    key=lambda each: (each.until or times.LATEST, each.join_url),
                )
            ],
            ("until", "organizerId", "joinWebUrl"),
            "No meeting is watched.",
        )


@app.command()
def remove(join_url: JoinUrl) -> None:
    """Stop watching a meeting."""
    with report_errors():
        if not _watchlist().remove(join_url):
            raise AttendanceError("This meeting is not watched.")
        output.print_message("The meeting is no longer watched.")


def _watchlist() -> watchlist.Watchlist:
    return watchlist.Watchlist(current().state)
