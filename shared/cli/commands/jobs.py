"""`backfill` and `redrive`: jobs for the app, sent through its queue."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Annotated

import typer

from ... import times
from ...errors import AttendanceError, WrongUsage
from ...graph.join_urls import join_url_key
from ...ledger.publish import Outcomes, OutcomeSummary
from ...ledger.record import Record, Result
from ...ledger.store import Ledger
from ...messages import tasks
from ...messages.signals import Meeting, call_record_signal_id
from ...messages.tasks import MAX_SIGNALS, Backfill, Redrive, Task
from ...reconcile.sweep import backfill_name
from ...storage.blobs import run_in_parallel
from ...storage.scans import Scan, ScanStore
from .. import options, output, reading
from ..output import report_errors
from ..session import current

REACH = 30  # days of call records that Graph keeps
MOST_WAITED = 2_000  # signals whose records are read again and again
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the app has done it.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")]
Timeout = Annotated[int, typer.Option(metavar="SECONDS", help="Seconds to wait at most.", min=1)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(backfill)
    app.command()(redrive)


def backfill(
    first: options.FirstDay,
    last: options.LastDay,
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = 3_600,
) -> None:
    """Make the app fetch the reports of past days, as far as Graph still has them.

    Graph lists the calls of the last 30 days; for each meeting found, all reports that it still lists are fetched too.
    """
    with report_errors():
        window, now = options.days_between(first, last), times.now()
        _refuse_future(window)
        job = Backfill(times.midnight(window[0]), times.midnight(window[-1]) + timedelta(days=1))
        if job.end <= now - timedelta(days=REACH):
            raise WrongUsage(f"Graph lists the calls of the last {REACH} days only; --to is earlier.")
        if dry_run:
            output.print_rows(_known_days([day for day in window if day <= now.date()]))
            return
        current().upkeep.send(tasks.serialize_task(Task(job)))
        output.print_message("Request queued.")
        if wait:
            scan = _wait_for_scan(job, now, timeout)
            output.print_rows([{"records": scan.records, "missing": scan.missing, "error": scan.error}])


def redrive(
    outcome: Annotated[
        list[Result] | None,
        typer.Option(
            metavar="OUTCOME",
            help=f"Which outcomes: {', '.join(each for each in Result if each is not Result.PENDING)}; may be given "
            "several times. Default: failed; with --signal, --organizer or --meeting: all but stored.",
        ),
    ] = None,
    signal: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Only this signal or call; may be given several times."),
    ] = None,
    organizer: Annotated[
        str | None, typer.Option(metavar="ID", help="Only of this organizer (object id).")
    ] = None,
    meeting: Annotated[
        str | None,
        typer.Option(metavar="ID|URL", help="Only of this meeting: its id, or any copy of its link."),
    ] = None,
    first: options.MonthAgo = None,
    last: options.OptionalLastDay = None,
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = 3_600,
) -> None:
    """Make the app retry settled signals; stored reports are read once more.

    A signal whose report was stored once is never `failed`, so by default it retries what never succeeded.
    """
    with report_errors():
        window = options.days_between(first, last, options.MONTH)
        _refuse_future(window)
        if Result.PENDING in (outcome or ()):
            raise WrongUsage("Pending signals cannot be redriven: they are retried anyway.")
        is_narrow = bool(signal or organizer or meeting)
        usual = set(Result) - {Result.PENDING, Result.STORED} if is_narrow else {Result.FAILED}
        results = frozenset(outcome or usual)
        found = _find_signals(signal) if signal else _list_outcomes(window, results, organizer, meeting)
        selected = [each for each in found if each.result in results]
        days = sorted({Outcomes.day_of(each.name) for each in selected})
        if not selected or dry_run:
            who = "none of these signals" if signal else f"no signal {options.format_days(window)}"
            _print_counts(selected, f"Nothing to redrive: {who} is {' or '.join(sorted(results))}.")
            return
        counts = ", ".join(f"{result} {count:,}" for result, count in _count(selected).items())
        output.print_message(f"{len(selected):,} signals: {counts}.")
        began = times.now()
        if is_narrow:
            for batch in itertools.batched(selected, MAX_SIGNALS, strict=False):
                ids = tuple(each.signal_id for each in batch)
                current().upkeep.send(
                    tasks.serialize_task(Task(Redrive(results, days[0], days[-1], signals=ids)))
                )
        else:
            current().upkeep.send(tasks.serialize_task(Task(Redrive(results, window[0], window[-1]))))
        output.print_message("Request queued.")
        if wait:
            _wait_for_signals([each.signal_id for each in selected], began, timeout)


def _refuse_future(window: Sequence[date]) -> None:
    today = times.now().date()
    if window[0] > today:
        raise WrongUsage(f"--from {window[0]} is in the future: today is {today} (UTC).")


def _known_days(days: Sequence[date]) -> list[dict[str, object]]:
    """Return each day's completeness, reports and outcomes."""
    manifests = run_in_parallel(current().health_sources.manifests.read, list(days))
    return [reading.day_row(*each) for each in zip(days, manifests, strict=True)]


def _find_signals(identifiers: Sequence[str]) -> list[OutcomeSummary]:
    """Return the outcomes of these signals or calls.

    Raises AttendanceError for one that is unknown.
    """
    ledger, outcomes = Ledger(current().state_container), Outcomes(current().container)

    def find(identifier: str) -> OutcomeSummary:
        for signal_id in (identifier, call_record_signal_id(identifier)):
            if (stored := ledger.read(signal_id)) and (
                summary := outcomes.find(outcomes.name(signal_id, stored.record.day))
            ):
                return summary
        raise AttendanceError(
            f"The app knows no signal {identifier}; to see what that can mean: attendance explain {identifier}"
        )

    return run_in_parallel(find, list(dict.fromkeys(identifiers)))


def _list_outcomes(
    window: Sequence[date], results: frozenset[Result], organizer: str | None, meeting: str | None
) -> list[OutcomeSummary]:
    """List the outcomes of these days.

    Read those of the right kind if an organizer or a meeting is asked for.
    """
    outcomes = Outcomes(current().container)

    def is_wanted(record: Record | None) -> bool:
        return record is not None and _is_of(record.meeting, organizer, meeting)

    selected: list[OutcomeSummary] = []
    with output.progress_bar("Days", len(window)) as done:
        for day in window:
            listed = [each for each in outcomes.list(day) if each.result in results]
            if organizer or meeting:
                records = run_in_parallel(lambda each: outcomes.read(each.name), listed)
                listed = [each for each, record in zip(listed, records, strict=True) if is_wanted(record)]
            selected += listed
            done(1)
    return selected


def _is_of(facts: Meeting, organizer: str | None, meeting: str | None) -> bool:
    """Whether a signal is of this organizer and meeting.

    The meeting or event is given by its id, or by any copy of its link.
    """
    ids = (facts.meeting_id, *((facts.event.event_id, facts.event.session_id) if facts.event else ()))
    return (organizer is None or (facts.organizer_id or "").lower() == organizer.lower()) and (
        meeting is None
        or meeting in ids
        or (facts.join_url is not None and join_url_key(facts.join_url) == join_url_key(meeting))
    )


def _count(selected: Sequence[OutcomeSummary]) -> Counter[str]:
    return Counter(each.result for each in selected)


def _print_counts(selected: Sequence[OutcomeSummary], if_empty: str) -> None:
    counts = Counter((Outcomes.day_of(each.name).isoformat(), each.result) for each in selected)
    rows = [
        {"day": day, "outcome": result, "signals": count} for (day, result), count in sorted(counts.items())
    ]
    output.print_rows(rows, if_empty=if_empty)


def _wait_for_signals(identifiers: list[str], began: datetime, seconds: float) -> None:
    """Wait until each signal has had an attempt, and show their outcomes.

    Raises AttendanceError.
    """
    if len(identifiers) > MOST_WAITED:
        raise AttendanceError(
            f"More than {MOST_WAITED:,} signals cannot be waited for; the app goes on. See `status`."
        )
    ledger, results = Ledger(current().state_container), Counter[str]()
    waiting = identifiers
    with output.progress_bar("Signals", len(identifiers)) as done:

        def finished() -> bool | None:
            nonlocal waiting
            records = run_in_parallel(ledger.read, waiting)
            left = []
            for identifier, stored in zip(waiting, records, strict=True):
                record = stored.record if stored else None
                if record and (record.series.began < began or not record.series.attempts):
                    left.append(identifier)
                else:
                    results[record.result if record else "sent again"] += 1
                    done(1)
            waiting = left
            return None if waiting else True

        is_done = output.wait_for(finished, "", seconds)
    output.print_rows([{"outcome": result, "signals": count} for result, count in sorted(results.items())])
    if not is_done:
        raise AttendanceError(
            f"{len(waiting):,} signals have had no attempt within {seconds:.0f} s; the app goes on. See `status`."
        )


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
