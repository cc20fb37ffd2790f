"""`backfill` and `redrive`: jobs for the app, sent through its queue."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Annotated

import typer

from ... import times
from ...errors import AttendanceError, WrongUsage
from ...graph.join_urls import join_url_key
from ...health.lookup import is_link
from ...ledger.publish import Outcomes, OutcomeSummary
from ...ledger.record import Record, Result
from ...ledger.store import Ledger
from ...messages import signals, tasks
from ...messages.signals import call_record_signal_id
from ...messages.tasks import MAX_SIGNALS, Backfill, Redrive, Task
from ...reconcile.sweep import backfill_name
from ...storage.blobs import run_in_parallel
from ...storage.scans import Scan, ScanStore
from .. import options, output, reading
from ..output import report_errors
from ..session import current

REACH = 30  # days of call records that Graph keeps
MOST_WAITED = 2_000  # signals whose records are read again and again
Organizer = Annotated[str | None, typer.Option(metavar="ID", help="Only of this organizer (object id).")]
Meeting = Annotated[
    str | None,
    typer.Option(metavar="ID|URL", help="Only of this meeting: its id, or any copy of its link."),
]
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
    organizer: Organizer = None,
    meeting: Meeting = None,
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = 3_600,
) -> None:
    """Make the app fetch the reports of past days, as far as Graph still has them.

    Graph lists the calls of the last 30 days; for each meeting found, all reports that it still lists are fetched too.
    With --organizer or --meeting, only calls that the app knows already are asked for.
    """
    with report_errors():
        window, now = options.days_between(first, last), times.now()
        if organizer or meeting:
            _backfill_some(window, organizer, meeting, timeout if wait else None, dry_run=dry_run)
            return
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
    organizer: Organizer = None,
    meeting: Meeting = None,
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
        if Result.PENDING in (outcome or ()):
            raise WrongUsage("Pending signals cannot be redriven: they are retried anyway.")
        is_narrow = bool(signal or organizer or meeting)
        usual = set(Result) - {Result.PENDING, Result.STORED} if is_narrow else {Result.FAILED}
        results = frozenset(outcome or usual)
        found = _find_signals(signal) if signal else _list_outcomes(window, results, organizer, meeting)
        selected = [each for each in found if each.result in results]
        if not selected or dry_run:
            who = "none of these signals" if signal else f"no signal {options.format_days(window)}"
            _print_counts(selected, f"Nothing to redrive: {who} is {' or '.join(sorted(results))}.")
            return
        jobs = _name_signals(selected, results) if is_narrow else [Redrive(results, window[0], window[-1])]
        _request(selected, jobs, timeout if wait else None)


def _backfill_some(
    window: Sequence[date], organizer: str | None, meeting: str | None, timeout: int | None, *, dry_run: bool
) -> None:
    """Ask for the reports of an organizer's meetings, or of one meeting.

    Those that were held on these days.
    """
    everything = frozenset(Result)
    selected = _first_of_each(_list_outcomes(window, everything, organizer, meeting))
    if not selected or dry_run:
        whole = f"attendance backfill --from {window[0]} --to {window[-1]}"
        _print_counts(
            selected,
            f"Nothing to backfill: the app knows no such call {options.format_days(window)}. To look for calls that it "
            f"does not know yet: {whole}",
        )
        return
    _request(selected, _name_signals(selected, everything, (window[0], window[-1])), timeout)


def _first_of_each(outcomes: Sequence[OutcomeSummary]) -> list[OutcomeSummary]:
    """Leave out stored signals of a meeting of which there is another.

    Each attempt fetches all of its reports.
    """
    seen, chosen = set[str](), list[OutcomeSummary]()
    for each in sorted(outcomes, key=lambda each: each.result == Result.STORED):
        if each.result != Result.STORED or each.join_url_key not in seen:
            chosen.append(each)
        if each.join_url_key:
            seen.add(each.join_url_key)
    return sorted(chosen, key=lambda each: each.name)


def _name_signals(
    selected: Sequence[OutcomeSummary], results: frozenset[Result], backfill: tuple[date, ...] = ()
) -> Iterator[Redrive]:
    """Yield jobs that name these signals, and no person."""
    in_order = sorted(selected, key=lambda each: each.name)
    for batch in itertools.batched(in_order, MAX_SIGNALS, strict=False):
        first, last = (Outcomes.day_of(each.name) for each in (batch[0], batch[-1]))
        ids = tuple(each.signal_id for each in batch)
        yield Redrive(results, first, last, signals=ids, backfill=backfill)


def _request(selected: Sequence[OutcomeSummary], jobs: Iterable[Redrive], timeout: int | None) -> None:
    """Say how many signals there are, and send the jobs.

    Wait for an attempt at each unless `timeout` is None.
    """
    ids = [each.signal_id for each in selected]
    counts = ", ".join(f"{result} {count:,}" for result, count in _count(selected).items())
    output.print_message(f"{len(selected):,} signals: {counts}.")
    if timeout and len(ids) > MOST_WAITED:
        raise WrongUsage(f"More than {MOST_WAITED:,} signals cannot be waited for: leave out --wait.")
    before = _last_attempts(ids) if timeout else {}
    for job in jobs:
        current().upkeep.send(tasks.serialize_task(Task(job)))
    output.print_message("Request queued.")
    if timeout:
        _wait_for_signals(before, timeout)


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

    Read those of the right kind if an organizer or a meeting is asked for; of a meeting's link, the listing tells.
    """
    outcomes = Outcomes(current().container)
    keys = (None, join_url_key(meeting)) if meeting and is_link(meeting) else ()

    def is_wanted(record: Record | None) -> bool:
        return record is not None and _is_of(record.meeting, organizer, meeting)

    selected: list[OutcomeSummary] = []
    with output.progress_bar("Days", len(window)) as done:
        for day in window:
            listed = [
                each
                for each in outcomes.list(day)
                if each.result in results and (not keys or each.join_url_key in keys)
            ]
            if organizer or meeting:
                records = run_in_parallel(lambda each: outcomes.read(each.name), listed)
                listed = [each for each, record in zip(listed, records, strict=True) if is_wanted(record)]
            selected += listed
            done(1)
    return selected


def _is_of(facts: signals.Meeting, organizer: str | None, meeting: str | None) -> bool:
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


def _last_attempts(identifiers: Sequence[str]) -> dict[str, str | None]:
    """Return the id of each signal's last attempt, which another attempt replaces.

    It is compared instead of times, because the clocks here and in the app differ.
    """
    ledger = Ledger(current().state_container)
    records = run_in_parallel(ledger.read, list(identifiers))
    return {
        identifier: _last_attempt(stored.record) if stored else None
        for identifier, stored in zip(identifiers, records, strict=True)
    }


def _last_attempt(record: Record) -> str | None:
    return next((each.id for each in reversed(record.commits) if each.result), None)


def _wait_for_signals(before: Mapping[str, str | None], seconds: float) -> None:
    """Wait until each signal has had another attempt.

    Another than that `before`. Show their outcomes. Raises AttendanceError.
    """
    ledger, results = Ledger(current().state_container), Counter[str]()
    waiting = list(before)
    with output.progress_bar("Signals", len(waiting)) as done:

        def finished() -> bool | None:
            nonlocal waiting
            records = run_in_parallel(ledger.read, waiting)
            left = []
            for identifier, stored in zip(waiting, records, strict=True):
                if stored and _last_attempt(stored.record) == before[identifier]:
                    left.append(identifier)
                else:
                    results[stored.record.result if stored else "sent again"] += 1
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
