"""`backfill` and `redrive`: what the app is asked to do, through its queue."""

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
from ...storage.scans import Scan, Scans
from .. import options, output
from ..output import told
from ..session import current

REACH = 30  # days of call records that Graph keeps
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the app has listed all of it.")]
Timeout = Annotated[int, typer.Option(help="Seconds to wait at most.", min=1)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(backfill)
    app.command()(redrive)


def backfill(first: options.First, last: options.Last, wait: Wait = False, timeout: Timeout = 3_600) -> None:
    """Have the app fetch the reports of a window of the past, as far as Graph still has them.

    Graph lists the calls of the last 30 days; of each meeting found, all reports that it still lists are fetched too.
    """
    with told():
        window = options.between(first, last)
        job = Backfill(times.midnight(window[0]), times.midnight(window[-1]) + timedelta(days=1))
        if job.end <= times.now() - timedelta(days=REACH):
            raise AttendanceError(f"Graph lists the calls of the last {REACH} days only, and --to is before.")
        began = times.now()
        current().upkeep.send(tasks.serialize_task(Task(job)))
        output.say("The app was asked.")
        if wait:
            look = _finished(job, began, timeout)
            output.rows([{"records": look.records, "missing": look.missing, "error": look.error}])


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
    last: options.MaybeLast = None,
) -> None:
    """Have the app take up again what has settled; of what is stored, each report is read once more.

    Example: attendance redrive --outcome accessDenied
    """
    with told():
        window = options.between(first, last, REACH)
        chosen = frozenset(outcome or [Result.FAILED])
        if Result.PENDING in chosen:
            raise AttendanceError("What is pending is not taken up again: it comes again by itself.")
        current().upkeep.send(tasks.serialize_task(Task(Redrive(chosen, window[0], window[-1]))))
        output.say("The app was asked.")


def _finished(job: Backfill, began: datetime, seconds: float) -> Scan:
    """The app's look at the window, once it is finished. Raises AttendanceError when that takes too long."""
    looks = Scans(current().state, current().upkeep)

    def finished() -> Scan | None:
        kept = looks.read(backfill_name(job))
        return kept.scan if kept and kept.scan.finished and kept.scan.finished >= began else None

    if look := output.awaited(finished, "The app goes through Graph's list …", seconds):
        return look
    raise AttendanceError(f"The app has not finished within {seconds:.0f} s; it goes on. See `status`.")
