"""`person`: where a person appears in the archive, and taking the person out of it."""

from __future__ import annotations

from typing import Annotated

import typer

from ...errors import AttendanceError
from ...privacy.redact import Person, find_roles
from .. import options, output, reading
from ..erasure.erase import Erasing
from ..output import told
from ..session import current

LEAST = 3  # characters of an id or an address

app = typer.Typer(no_args_is_help=True, help="Where a person appears in the archive; see docs/privacy.md.")
Who = Annotated[
    list[str],
    typer.Argument(
        help="The person's ids and e-mail addresses: give all that are known. Case does not matter."
    ),
]


@app.command()
def find(who: Who, first: options.First, last: options.Last) -> None:
    """List the reports in which a person appears, as organizer or attendee."""
    with told():
        person, container = _person(who), current().container
        window = options.between(first, last)
        found = []
        with output.progress("Reading reports") as done:
            archived = (report for _, report in reading.each_report(container, window))
            for report, content in reading.bodies(container, archived, done):
                if appears := find_roles(content, report.metadata, person):
                    line = reading.fields(report)
                    found.append({"as": " and ".join(appears), "start": line["start"], "path": report.name})
        output.rows(found, nothing="The person appears in no report of these days.")


@app.command()
def erase(
    who: Who,
    first: options.First,
    last: options.Last,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    wait: Annotated[int, typer.Option(help="Seconds to wait for the app, for each day.", min=1)] = 600,
) -> None:
    """Take a person out of reports, outcomes, tables, exports and their versions of some days.

    Attendance stays, without name: sums remain right. Graph still has the reports: what is erased here is not fetched
    again, but days outside of the window may be. A record of what was done, which names nobody, lies below erasures/ in
    the state container. A command that was interrupted is finished by giving it again.
    """
    with told():
        person, window = _person(who), options.between(first, last)
        if not yes:
            typer.confirm(
                f"Erase from {window[0]} to {window[-1]}? This cannot be undone.", abort=True, err=True
            )
        erasing, complete = Erasing(current(), person), False
        try:
            with output.progress("Days", len(window)) as done:
                for day in window:
                    erasing.day(day)
                    done(1)
            erasing.forget()
            erasing.refresh(
                lambda look: output.awaited(look, "The app writes manifests and tables anew …", wait)
            )
            erasing.versions()
            complete = erasing.done.pending == 0
        finally:
            erasing.put_down(window, complete=complete)
        output.rows([erasing.done.fields()])
        if not complete:
            raise AttendanceError(
                f"{erasing.done.pending} outcomes are still pending, and name the person: give the command again when "
                "they have settled, after RETRY_WINDOW."
            )


def _person(who: list[str]) -> Person:
    names = frozenset(name.strip().lower() for name in who)
    if any(len(name) < LEAST for name in names):
        raise AttendanceError(f"An id or an address has at least {LEAST} characters.")
    return Person(names)
