"""`explain`: one meeting's story, from its end to its report."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from datetime import date, datetime
from typing import Annotated

import typer
from rich.text import Text

from ... import times
from ...errors import AttendanceError, WrongUsage
from ...health import explanation, readings
from ...health.explanation import Change, Explanation, Possibility
from ...health.lookup import FoundMeetings, MeetingLookup, build_lookup
from ...ledger.record import Result
from ...limits import Debounce
from ...storage.scans import ScanStore
from ...times import format_utc
from .. import options, output
from ..output import report_errors
from ..session import current

WIDTH = 78  # columns at most, for reading
LABELS = 10  # columns of the labels
SEARCH_EVERY = 10.0  # seconds, while a meeting is unknown


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(explain)


def explain(
    meeting: Annotated[
        str,
        typer.Argument(
            metavar="MEETING",
            help="Any copy of its link, its subject or a part of it, or the id of its signal, call, report, or (with "
            "--on) organizer.",
        ),
    ],
    on: Annotated[
        datetime | None,
        typer.Option(
            parser=options.parse_day,
            metavar=options.DAY,
            help="The day of the meeting (UTC). Default: the last 30 days.",
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Follow it until it is settled, and report each step.")
    ] = False,
    timeout: Annotated[int, typer.Option(metavar="SECONDS", help="Seconds to wait at most.", min=1)] = 3_600,
) -> None:
    """Tell what became of a meeting.

    Each step with its time, why, what comes next, whom to ask, what to run. Ends with 1 if the meeting is unknown,
    and says what that can mean.
    """
    with report_errors():
        text, day = meeting.strip(), on.date() if on else None
        if not text:
            raise WrongUsage("Give a link, a subject or an id.")
        if day and day > times.now().date():
            raise WrongUsage(f"--on {day} is in the future: today is {times.now().date()} (UTC).")
        lookup = build_lookup(current().container, current().state_container)
        is_settled = True
        if wait:
            found, is_settled = _follow(lookup, text, day, timeout)
        else:
            found = lookup.find(text, day)
        _print_found(found, text, day)
        if not found.meetings:
            raise AttendanceError("The app knows of no such meeting.")
        if not is_settled:
            raise AttendanceError(f"It is still pending after {timeout} s, and the app goes on.")


def _follow(lookup: MeetingLookup, text: str, on: date | None, seconds: float) -> tuple[FoundMeetings, bool]:
    """Report new steps on stderr until all is settled.

    Return what was found, and whether it is settled.
    """
    found, told = lookup.find(text, on), set[Change]()
    search = Debounce(SEARCH_EVERY)
    search.allows(text)

    def settled() -> bool | None:
        nonlocal found
        if found.meetings:
            found = lookup.refresh(found.meetings)
        elif search.allows(text):
            found = lookup.find(text, on)
        for each in reversed(found.meetings):
            story = explanation.explain_meeting(each, current().settings, times.now())
            _tell(story, told, is_alone=len(found.meetings) == 1)
        records = [each.record for each in found.meetings if each.record]
        is_pending = any(each.result is Result.PENDING for each in records)
        return None if is_pending or not found.meetings else True

    is_settled = bool(output.wait_for(settled, "", seconds))
    return found, is_settled


def _tell(each: Explanation, told: set[Change], *, is_alone: bool) -> None:
    """Print the changes that have not been told; of several meetings, with the signal."""
    record = each.meeting.record
    signal = "" if is_alone or record is None else f"{record.signal_id}: "
    for change in each.history:
        if change not in told:
            told.add(change)
            line = output.single_line(f"{format_utc(change.at)}  {signal}{change.text}")
            sys.stderr.write(f"{line}\n")  # which the spinner lets pass above itself


def _print_found(found: FoundMeetings, text: str, on: date | None) -> None:
    session, now = current(), times.now()
    stories = [explanation.explain_meeting(each, session.settings, now) for each in found.meetings]
    possible: list[Possibility] = []
    if not stories:
        fresh = readings.freshness(session.state, ScanStore(session.state, session.upkeep))
        possible = explanation.explain_unknown(text, on, session.settings, now, fresh)
    if session.as_json:
        unknown = [{"says": each.text, "certain": each.is_certain, "run": each.run} for each in possible]
        meetings = [explanation.explanation_json(each) for each in stories]
        output.print_json(
            {"meetings": meetings, "left": found.left, "unread": found.unread, "unknown": unknown}
        )
        return
    console = output.stdout(WIDTH)
    width = min(console.width, WIDTH)
    for lines in (*(_story(each, width) for each in stories), _unknown(possible, width)):
        for line in lines:
            console.print(Text(line), soft_wrap=True)
    for sentence in explanation.describe_rest(found):
        output.print_message(sentence)


def _story(each: Explanation, width: int) -> Iterator[str]:
    """Yield the lines about one meeting."""
    for label, value in explanation.describe_facts(each):
        yield f"{label:{LABELS}}{output.single_line(value)}"
    yield ""
    for when, text in explanation.describe_history(each):
        yield from _wrap(f"{when}  ", text, width)
    yield ""
    for label, value in explanation.describe_reason(each):
        yield from _wrap(f"{label:{LABELS}}", value, width)
    yield from (f"{'Run':{LABELS}}{command}" for command in each.reason.run)
    yield ""


def _unknown(possible: list[Possibility], width: int) -> Iterator[str]:
    """Yield the lines about an unknown meeting."""
    if not possible:
        return
    yield explanation.unknown_heading(possible)
    yield ""
    for each in possible:
        yield from _wrap("- ", each.text, width)
        if each.run:
            yield f"  {each.run}"


def _wrap(label: str, value: str, width: int) -> list[str]:
    """Wrap a sentence behind a label; ids and links stay whole."""
    return textwrap.wrap(
        output.single_line(value),
        width,
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
    )
