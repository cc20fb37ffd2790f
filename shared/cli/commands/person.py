"""`person`: where a person appears in the archive, and taking the person out of it."""

from __future__ import annotations

from typing import Annotated

import typer

from ...errors import AttendanceError
from ...privacy.redact import Person, find_roles
from .. import options, output, reading
from ..erasure.erase import Erasure
from ..output import report_errors
from ..session import current

MIN_LENGTH = 3  # characters of an id or an address

app = typer.Typer(no_args_is_help=True, help="Where a person appears in the archive; see docs/privacy.md.")
Names = Annotated[
    list[str],
    typer.Argument(
        help="The person's ids and e-mail addresses: give all that are known. Case does not matter."
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
        output.print_rows(rows, if_empty="The person appears in no report of these days.")


@app.command()
def erase(
    who: Names,
    first: options.FirstDay,
    last: options.LastDay,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    wait: Annotated[int, typer.Option(help="Seconds to wait for the app, for each day.", min=1)] = 600,
) -> None:
    """Take a person out of reports, outcomes, tables, exports and their versions of some days.

    Attendance stays, without name: sums remain right. Graph still has the reports: what is erased here is not fetched
    again, but days outside of the window may be. A record of what was done, which names nobody, lies below erasures/ in
    the state container. A command that was interrupted is finished by giving it again.
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
                lambda look: output.wait_for(look, "The app writes manifests and tables anew …", wait)
            )
            erasure.delete_versions()
            complete = erasure.summary.pending == 0
        finally:
            erasure.record(window, complete=complete)
        output.print_rows([erasure.summary.to_json()])
        if not complete:
            raise AttendanceError(
                f"{erasure.summary.pending} outcomes are still pending, and name the person: give the command again "
                "when they have settled, after RETRY_WINDOW."
            )


def _parse_person(who: list[str]) -> Person:
    names = frozenset(name.strip().lower() for name in who)
    if any(len(name) < MIN_LENGTH for name in names):
        raise AttendanceError(f"An id or an address has at least {MIN_LENGTH} characters.")
    return Person(names)
