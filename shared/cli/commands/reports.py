"""`reports`: list, show and download what the archive holds."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterable, Iterator
from datetime import date
from enum import StrEnum
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any

import typer
from azure.storage.blob import BlobProperties, ContainerClient

from ...archive.invitees import read_invitees
from ...archive.reports import PARTIAL
from ...errors import AttendanceError, WrongUsage
from ...graph.join_urls import join_url_key
from ...graph.meeting_details import decode_details
from ...health.lookup import has_subject
from ...storage.blobs import Blob, get_blob
from ...storage.names import day_folder
from ...tables.columns import Table
from ...tables.rows import invitee_rows
from .. import options, output, reading
from ..output import report_errors
from ..session import current

# What a file system says to a name: too long, a file where a folder must be, a character that it does not have.
_ODD_NAMES = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EINVAL, errno.EILSEQ}
PICTURES = (".svg", ".png", ".html")

Meeting = Annotated[
    str | None,
    typer.Option(metavar="ID|URL", help="Only of this meeting: its id, its series, or any copy of its link."),
]
Subject = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Only of meetings whose subject has this text in it.")
]

app = typer.Typer(no_args_is_help=True, help="List, show and download archived reports.")


class ArchivePart(StrEnum):
    """The parts of the archive, named like their folders."""

    REPORTS = "reports"
    OUTCOMES = "outcomes"
    INVITEES = "invitees"
    MANIFESTS = "manifests"
    TABLES = "tables"


@app.command("list")
def list_reports(
    first: options.OptionalFirstDay = None,
    last: options.OptionalLastDay = None,
    organizer: Annotated[
        str | None, typer.Option(metavar="ID", help="Only of this organizer (object id).")
    ] = None,
    meeting: Meeting = None,
    subject: Subject = None,
) -> None:
    """List the stored reports of some days."""
    with report_errors():
        window = options.days_between(first, last)
        lines = _select(current().container, window, meeting, subject)
        selected = (
            each
            for each in lines
            if organizer is None or (each["organizerId"] or "").lower() == organizer.lower()
        )
        columns = ("start", "end", "participants", "subject", "source", "organizer", "organizerId", "id")
        filters = [
            f"of organizer {organizer}" if organizer else "",
            f"of meeting {meeting}" if meeting else "",
            f"with the subject {subject}" if subject else "",
        ]
        where = " ".join(filter(None, [options.format_days(window), *filters]))
        in_order = sorted(selected, key=_start)
        names = reading.organizer_names(
            current().container, ((each["organizerId"], each["path"], each["bytes"]) for each in in_order)
        )
        for each in in_order:
            each["organizer"] = names.get((each["organizerId"] or "").lower())
        output.print_rows(in_order, columns, f"No report is stored {where}.")


def _start(line: dict[str, Any]) -> str:
    return line["start"] or ""


def _select(
    container: ContainerClient, days: Iterable[date], meeting: str | None, subject: str | None
) -> Iterator[dict[str, Any]]:
    """Yield the index lines of a meeting's reports.

    The meeting is given by a link, an id or its subject.
    """
    for _, report in reading.iter_reports(container, days):
        line = reading.index_fields(report)
        if (meeting is None or _is_of(line, meeting)) and (
            subject is None or has_subject(line["subject"], subject)
        ):
            yield line


def _is_of(line: dict[str, Any], meeting: str) -> bool:
    """Whether a report is of this meeting, event or series.

    It is given by its id or its link.
    """
    ids = (line["meetingId"], line["eventId"], line["sessionId"], line["seriesId"])
    return meeting in ids or join_url_key(meeting) == line["joinUrlKey"]


@app.command()
def show(
    report: Annotated[
        str | None,
        typer.Argument(
            metavar="[REPORT]",
            help="Id of the report, or the name of its blob; or give --meeting or --subject.",
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Write the picture to this file: .svg, .png or .html."),
    ] = None,
    everybody: Annotated[
        bool, typer.Option("--all", help="Show every person, however many there are.")
    ] = False,
    first: options.MonthAgo = None,
    last: options.OptionalLastDay = None,
    meeting: Meeting = None,
    subject: Subject = None,
) -> None:
    """Draw who attended a meeting and when, in the terminal or as a picture.

    In the terminal, those who were invited or registered and did not come are named too, where that is known. With
    --json, print the report as stored. If several reports are of the meeting or the subject, list them.
    """
    with report_errors():
        if picture and picture.suffix.lower() not in PICTURES:
            raise WrongUsage(f"{picture} does not end in one of {', '.join(PICTURES)}.")
        if picture and current().as_json:
            raise WrongUsage("--json prints the report, and --output FILE is for a picture: leave out one.")
        container = current().container
        days = options.days_between(first, last, options.MONTH)
        name = _find_one(container, days, report, meeting, subject)
        blob = get_blob(container, name)
        if blob is None:
            raise AttendanceError(f"There is no blob {name}.")
        if current().as_json:
            output.write_json(blob.body, None)
            return
        from ..draw import terminal, timeline  # loaded only here, because they are slow to import

        picture_data = timeline.parse_timeline(
            reading.parse_report(blob.body, name), decode_details(blob.metadata.get("details")).subject
        )
        if picture is None:
            most = None if everybody else terminal.ROWS
            output.stdout(terminal.WIDTH).print(terminal.Drawing(picture_data, most))
            _print_absent(container, name, blob, most)
            return
        from ..draw import image as pictures

        output.write_output(pictures.render_picture(picture_data, picture.suffix.lower()[1:]), picture)


def _find_one(
    container: ContainerClient,
    days: list[date],
    report: str | None,
    meeting: str | None,
    subject: str | None,
) -> str:
    """Return the name of the one blob that is asked for.

    Raises AttendanceError, after listing several.
    """
    if (report is None) is (meeting is None and subject is None):
        raise AttendanceError("Give either the id of a report, or --meeting or --subject.")
    if report is not None:
        return reading.locate_blob(container, report, days)
    found = list(_select(container, days, meeting, subject))
    if not found:
        raise AttendanceError("No such report is stored on these days: see --from and --to.")
    if len(found) > 1:
        output.print_rows(sorted(found, key=_start), ("start", "participants", "subject", "id"))
        raise AttendanceError(f"{len(found)} reports match: give the id of one.")
    path: str = found[0]["path"]
    return path


def _print_absent(container: ContainerClient, name: str, blob: Blob, most: int | None) -> None:
    """Print who was invited or registered and has no record in this report."""
    invitees, report = read_invitees(container, name, blob.metadata), reading.parse_report(blob.body, name)
    absent = [
        output.single_line(row["displayName"] or row["emailAddress"] or row["personId"])
        for row in invitee_rows(report, {"partial": PARTIAL in blob.metadata}, invitees)
        if row["attended"] is False
    ]
    if absent:
        shown, more = absent[:most], len(absent[most:]) if most else 0
        text = f"\nInvited or registered, and not in this report: {', '.join(shown)}"
        typer.echo(f"{text} and {more:,} more: use --all" if more else text)


@app.command()
def download(
    folder_: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder for the copy; it is created if needed.")
    ],
    first: options.OptionalFirstDay = None,
    last: options.OptionalLastDay = None,
    what: Annotated[
        list[ArchivePart] | None,
        typer.Option(
            metavar="PART",
            help=f"Which parts: {', '.join(ArchivePart)}; may be given several times. Default: reports.",
        ),
    ] = None,
) -> None:
    """Copy some days of the archive into a folder, with the same names.

    Unchanged files are not fetched again. A file whose blob is gone stays.
    """
    with report_errors():
        container, parts = current().container, what or [ArchivePart.REPORTS]
        window = options.days_between(first, last)
        folder_.mkdir(parents=True, exist_ok=True)  # else a file there is a fault of each blob's name
        fetched = unchanged = odd = 0
        with output.progress_bar("Copying") as done:
            for blob in _list_blobs(container, parts, window):
                try:
                    target = _target_file(folder_, blob.name)
                    if _is_unchanged(target, blob):
                        unchanged += 1
                    elif body := get_blob(container, blob.name):
                        with output.atomic_file(target) as file:
                            file.write(body.body)
                        fetched += 1
                except (OSError, ValueError) as failure:
                    if isinstance(failure, OSError) and failure.errno not in _ODD_NAMES:
                        raise
                    output.print_message(f"Not copied, because no file can have this name: {blob.name}")
                    odd += 1
                done(1)
        if current().as_json:
            output.print_json({"fetched": fetched, "unchanged": unchanged})
        else:
            output.print_message(f"{fetched} fetched, {unchanged} unchanged.")
        if odd:
            raise AttendanceError(f"{odd} of the blobs were not copied, because of their names.")


def _list_blobs(
    container: ContainerClient, what: Iterable[ArchivePart], window: Iterable[date]
) -> Iterator[BlobProperties]:
    for day in window:
        for each in what:
            folders = [f"{each}/{table}" for table in Table] if each is ArchivePart.TABLES else [each]
            for folder in folders:
                yield from container.list_blobs(name_starts_with=day_folder(folder, day))


def _target_file(root: Path, name: str) -> Path:
    """Return the file of a blob.

    Raises ValueError for a name that leads out of the folder on any system.
    """
    windows = PureWindowsPath(name)
    if ".." in windows.parts or windows.anchor:
        raise ValueError("not a name within the folder")
    return root.joinpath(*PurePosixPath(name).parts)


def _is_unchanged(target: Path, blob: BlobProperties) -> bool:
    """Whether the file equals the blob: its size, and its MD5 if storage has one."""
    if not target.is_file() or target.stat().st_size != blob.size:
        return False
    md5 = blob.content_settings.content_md5
    digest = hashlib.md5(target.read_bytes(), usedforsecurity=False).digest()
    return md5 is not None and digest == bytes(md5)
