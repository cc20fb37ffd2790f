"""`person`: find a person in the archive, and erase the person's data."""

from __future__ import annotations

from typing import Annotated

import typer

from ...errors import AttendanceError, WrongUsage
from ...privacy.redact import Person, find_roles
from .. import options, output, reading
from ..erasure.erase import Erasure
from ..output import report_errors
from ..session import current

MIN_LENGTH = 3  # characters of an id or an address

app = typer.Typer(no_args_is_help=True, help="Find or erase a person in the archive; see docs/privacy.md.")
Names = Annotated[
    list[str],
    typer.Argument(
        metavar="WHO...",
        help="The person's ids and e-mail addresses, all that you know. Case does not matter.",
    ),
]


@app.command()
def find(who: Names, first: options.FirstDay, last: options.LastDay) -> None:
    """List the reports in which a person appears, as organizer or attendee."""
    with report_errors():
        person, container = _parse_person(who), current().container
        window = options.days_between(first, last)
        rows = []
        with output.progress_bar("Reading reports") as done:
            archived = (report for _, report in reading.iter_reports(container, window))
            for report, content in reading.read_bodies(container, archived, done):
                if appears := find_roles(content, report.metadata, person):
                    line = reading.index_fields(report)
                    rows.append({"as": " and ".join(appears), "start": line["start"], "path": report.name})
        where = options.format_days(window)
        output.print_rows(rows, if_empty=f"The person appears in no report stored {where}.")


@app.command()
def erase(
    who: Names,
    first: options.FirstDay,
    last: options.LastDay,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    wait: Annotated[
        int, typer.Option(metavar="SECONDS", help="Seconds to wait for the app, per day.", min=1)
    ] = 600,
) -> None:
    """Erase a person from reports, outcomes, tables, exports and their versions.

    Attendance stays, without names, so sums remain right. Graph still has the reports: erased ones are not fetched
    again, but those of days outside of the window may be. A record of the erasure, which names nobody, is stored below
    erasures/ in the state container. If the command is interrupted, run it again to finish.
    """
    with report_errors():
        person, window = _parse_person(who), options.days_between(first, last)
        if not yes:
            typer.confirm(
                f"Erase from {window[0]} to {window[-1]}? This cannot be undone.", abort=True, err=True
            )
        erasure, complete = Erasure(current(), person), False
        try:
            with output.progress_bar("Days", len(window)) as done:
                for day in window:
                    erasure.erase_day(day)
                    done(1)
            erasure.remove_state()
            erasure.refresh_days(
                lambda read: output.wait_for(read, "The app rewrites manifests and tables …", wait)
            )
            erasure.delete_versions()
            complete = erasure.summary.pending == 0
        finally:
            erasure.record(window, complete=complete)
        output.print_rows([erasure.summary.to_json()])
        if not complete:
            raise AttendanceError(
                f"{erasure.summary.pending} outcomes are still pending and name the person: run the command again "
                "when they have settled, after RETRY_WINDOW."
            )


def _parse_person(who: list[str]) -> Person:
    names = frozenset(name.strip().lower() for name in who)
    if any(len(name) < MIN_LENGTH for name in names):
        raise WrongUsage(f"An id or an address has at least {MIN_LENGTH} characters.")
    return Person(names)
