"""`person`: find a person in the archive, and erase the person."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from ...errors import WrongUsage
from ...privacy.erasures import ErasureKey
from ...privacy.person import Person
from ...privacy.redact import find_roles
from .. import options, output, reading
from ..erasure.erase import QUIET_SECONDS, Erasure
from ..output import report_errors
from ..session import current

MIN_LENGTH = 3  # characters of an id, an address or a name

app = typer.Typer(no_args_is_help=True, help="Find or erase a person in the archive; see docs/privacy.md.")
Identifiers = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="WHO...",
        help="The person's object ids, e-mail addresses, user principal names and telephone numbers: give all that are "
        "known. They are compared whole; case, spaces and prefixes such as SMTP: do not matter.",
    ),
]
Names = Annotated[
    list[str] | None,
    typer.Option(
        "--name",
        metavar="NAME",
        help="A display name, for records that have nothing else; may be given several times. It also finds other "
        "people of that name.",
    ),
]


@app.command()
def find(first: options.FirstDay, last: options.LastDay, who: Identifiers = None, name: Names = None) -> None:
    """List the reports in which a person appears, as organizer, attendee or invitee."""
    with report_errors():
        person, container = _parse_person(who, name), current().container
        window = options.days_between(first, last)
        rows = []
        with output.progress_bar("Reading reports") as done:
            archived = (report for _, report in reading.iter_reports(container, window))
            for report, content, invitees in reading.read_bodies(container, archived, done):
                if appears := find_roles(content, report.metadata, person.tokens, invitees):
                    line = reading.index_fields(report)
                    rows.append({"as": " and ".join(appears), "start": line["start"], "path": report.name})
        where = options.format_days(window)
        output.print_rows(
            sorted(rows, key=lambda each: each["start"] or ""),
            if_empty=f"The person appears in no report stored {where}.",
        )


@app.command()
def erase(
    who: Identifiers = None,
    name: Names = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would be erased, and change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not count first, and do not ask.")] = False,
    wait: Annotated[
        int, typer.Option(metavar="SECONDS", help="Seconds to wait for the app, for each day.", min=1)
    ] = 600,
    quiet: Annotated[
        int,
        typer.Option(
            metavar="SECONDS",
            help="Seconds to wait between two scans, until every running function knows of the erasure. Fewer are "
            "safe only while the app is stopped.",
            min=0,
        ),
    ] = QUIET_SECONDS,
) -> None:
    """Erase a person from everything about past meetings.

    Also from reports of those meetings that are archived later. Counts first what would be erased, and asks.
    Attendance stays, without name: sums remain right. A record of the erasure, which names nobody without
    ERASURE_KEY, lies below erasures/ in the state container: the app redacts what it writes later about these
    meetings. If the command is interrupted, run it again to finish.
    """
    with report_errors():
        person, session = _parse_person(who, name), current()
        secret = session.erasure_key()
        erasure = Erasure(session, person, ErasureKey(secret), secret)
        if dry_run or not yes:
            with output.progress_bar("Counting", len(erasure.days())) as done:
                counted = erasure.count(done)
            if dry_run:
                output.print_rows([counted.to_json()])
                return
            output.print_message(
                f"{counted.reports} reports, {counted.outcomes} outcomes and {counted.state} blobs of state name the "
                f"person, and {counted.versions} earlier versions."
            )
            typer.confirm("Erase? This cannot be undone.", abort=True, err=True)
        erasure.begin()
        with output.progress_bar("Days", len(erasure.days())) as done:
            erasure.run(
                lambda: _wait(quiet),
                lambda look: output.wait_for(look, "The app rewrites manifests and tables …", wait),
                done,
            )
        output.print_rows([erasure.summary.to_json()])
        if erasure.summary.left:
            output.print_message(
                f"{len(erasure.summary.left)} blobs quote the person in free text or in properties that this version "
                "does not know, or cannot be changed or read: look at them, and decide."
            )


def _wait(seconds: int) -> None:
    if seconds:
        output.print_message(f"Waiting {seconds} s until every running function knows of the erasure …")
        time.sleep(seconds)


def _parse_person(who: list[str] | None, names: list[str] | None) -> Person:
    person = Person(frozenset(who or ()), frozenset(names or ()))
    if not person.tokens:
        raise WrongUsage("Give at least one id or address of the person, or --name.")
    if any(len(each.partition(":")[2]) < MIN_LENGTH for each in person.tokens):
        raise WrongUsage(f"An id, an address or a name has at least {MIN_LENGTH} characters.")
    return person
