"""`backfill` and `redrive`: jobs for the app, sent through its queue."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import typer

from ... import times
from ...errors import AttendanceError
from ...ledger.record import Result
from ...messages import tasks
from ...messages.tasks import Backfill, Redrive, Task
from ...reconcile.sweep import backfill_name
from ...storage.scans import Scan, ScanStore
from .. import options, output
from ..output import report_errors
from ..session import current

REACH = 30  # days of call records that Graph keeps
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the app has scanned these days.")]
Timeout = Annotated[int, typer.Option(help="Seconds to wait at most.", min=1)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(backfill)
    app.command()(redrive)


def backfill(
    first: options.FirstDay, last: options.LastDay, wait: Wait = False, timeout: Timeout = 3_600
) -> None:
    """Make the app fetch the reports of past days, as far as Graph still has them.

    Graph lists the calls of the last 30 days; for each meeting found, all reports that it still lists are fetched too.
    """
    with report_errors():
        window = options.days_between(first, last)
        job = Backfill(times.midnight(window[0]), times.midnight(window[-1]) + timedelta(days=1))
        if job.end <= times.now() - timedelta(days=REACH):
            raise AttendanceError(f"Graph lists the calls of the last {REACH} days only; --to is earlier.")
        began = times.now()
        current().upkeep.send(tasks.serialize_task(Task(job)))
        output.print_message("Request queued.")
        if wait:
            scan = _wait_for_scan(job, began, timeout)
            output.print_rows([{"records": scan.records, "missing": scan.missing, "error": scan.error}])


def redrive(
    outcome: Annotated[
        list[Result] | None, typer.Option(help="Which outcomes; may be given several times. Default: failed.")
    ] = None,
    first: Annotated[
        datetime | None,
        typer.Option(
            "--from",
            formats=["%Y-%m-%d"],
            metavar="YYYY-MM-DD",
            help="First day (UTC). Default: 30 days ago.",
        ),
    ] = None,
    last: options.OptionalLastDay = None,
) -> None:
    """Make the app retry settled signals; stored reports are read once more.

    Example: attendance redrive --outcome accessDenied
    """
    with report_errors():
        window = options.days_between(first, last, REACH)
        outcomes = frozenset(outcome or [Result.FAILED])
        if Result.PENDING in outcomes:
            raise AttendanceError("Pending signals cannot be redriven: they are retried anyway.")
        current().upkeep.send(tasks.serialize_task(Task(Redrive(outcomes, window[0], window[-1]))))
        output.print_message("Request queued.")


def _wait_for_scan(job: Backfill, began: datetime, seconds: float) -> Scan:
    """Return the app's scan of the window once it is finished.

    Raises AttendanceError if that takes too long.
    """
    scans = ScanStore(current().state, current().upkeep)

    def finished() -> Scan | None:
        blob = scans.read(backfill_name(job))
        return blob.scan if blob and blob.scan.finished and blob.scan.finished >= began else None

    if scan := output.wait_for(finished, "The app scans Graph's list …", seconds):
        return scan
    raise AttendanceError(f"The app has not finished within {seconds:.0f} s and continues. See `status`.")
