"""Problems and warnings of the health report, with remedies: pure decisions.

A problem makes the app unhealthy: meetings are being lost, or will be unless somebody acts. A warning is about late
meetings, or reports that cannot be read until access is granted. Sentences about subscriptions and the webhooks'
address are in `findings`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from ..days.sealing import MAX_RECORD_DELAY
from ..errors import GraphError
from ..ledger.access import MOST
from ..ledger.record import Result
from ..settings import EVENT_HUBS, Settings
from ..storage.clients import GRID_QUEUE, SIGNALS_QUEUE, UPKEEP_QUEUE
from ..subscriptions.status import Maintenance, SubscriptionStatus, SubscriptionView
from ..times import format_utc
from . import findings
from .findings import Finding, Severity
from .parallel_reads import ReadFailure
from .readings import QueueLength, Readings

POISON = "-poison"
REFUSALS_COUNT = timedelta(hours=24)  # a wrong clientState is shown for so long
PROPERTIES_COUNT = timedelta(days=14)  # news of unknown properties is shown for so long
SWEEP_EVERY = timedelta(hours=3)
OPEN_DAYS = 3  # after which an incomplete day is a warning


@dataclass(frozen=True)
class Diagnosis:
    """Problems and warnings, the worst first, and the desired subscriptions.

    `subscriptions` is None if Graph did not list them.
    """

    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    subscriptions: tuple[SubscriptionView, ...] | None = None


@dataclass(frozen=True)
class HealthReport:
    """The result of the health check.

    With a `wrong_setting`, which is a sentence, nothing else was read.
    """

    at: datetime
    settings: Mapping[str, str]
    readings: Readings | None = None
    diagnosis: Diagnosis = Diagnosis()
    wrong_setting: str | None = None

    @property
    def problems(self) -> tuple[str, ...]:
        """The sentences that make the app unhealthy."""
        if self.wrong_setting:
            return (findings.settings(self.wrong_setting).text,)
        return self.diagnosis.problems

    @property
    def healthy(self) -> bool:
        """Whether there is no problem."""
        return not self.problems


def diagnose(
    readings: Readings, settings: Settings, now: datetime, *, as_operator: bool = False
) -> Diagnosis:
    """Find problems and warnings in what was read at `now`.

    It was read with the app's rights or an operator's.
    """
    subscriptions, run = readings.subscriptions, readings.maintenance
    views = (
        None
        if subscriptions is None or isinstance(subscriptions, GraphError | ReadFailure)
        else tuple(subscriptions)
    )
    desired = [each for each in views or () if not _is_foreign(each)]
    causes = storage_findings(readings, settings, as_operator=as_operator)
    problems = (
        *(each.text for each in causes),
        *_wrong_key(readings),
        *_unreadable_list(readings, settings, causes),
        *_subscriptions(desired, run, Severity.PROBLEM),
        *_silent_hub(readings, settings, now),
        *_refused_ours(readings, now),
        *_poison(readings),
        *_stopped_sweep(readings, now),
    )
    warnings = (
        *_unstarted_sweep(readings, now),
        *_failing_sweep(readings),
        *_subscriptions(desired, run, Severity.WARNING),
        *_maintenance(desired, run),
        *denied_warnings(readings),
        *_pending(readings, settings, now),
        *_open_days(readings, now.date()),
        *_failed_signals(readings),
        *_forgeries(readings, now),
        *_unknown_properties(readings, now),
    )
    return Diagnosis(problems, warnings, views)


def oldest_pending(readings: Readings) -> datetime | None:
    """Return when the oldest pending signal was first seen, from the manifests."""
    times = [manifest.oldest_pending for manifest in readings.days.values() if manifest]
    return min((time for time in times if time), default=None)


def _count_of(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def format_count(count: int) -> str:
    """Format the number of denied organizers, which are counted up to `MOST`."""
    return f"{count:,} or more" if count >= MOST else f"{count:,}"


def storage_findings(readings: Readings, settings: Settings, *, as_operator: bool) -> list[Finding]:
    """Return one finding per cause of unreadable queues and containers."""
    failures = [
        findings.Unread(f"queue {name}", settings.queue_url, length.reason, is_queue=True)
        for name, length in readings.queues.items()
        if isinstance(length, ReadFailure)
    ]
    urls = {settings.container: settings.blob_url, settings.state_container: settings.state_url}
    failures += [
        findings.Unread(f"container {name}", urls[name], failure.reason)
        for name, failure in readings.containers.items()
        if failure
    ]
    return findings.unread_storage(failures, as_operator=as_operator)


def _wrong_key(readings: Readings) -> Iterator[str]:
    if readings.wrong_key:
        yield f"{readings.wrong_key} Give the app its former key back; until then nothing is archived."


def _unreadable_list(readings: Readings, settings: Settings, causes: Sequence[Finding]) -> Iterator[str]:
    if isinstance(readings.subscriptions, GraphError):
        finding = findings.unreadable_list(readings.subscriptions, settings.graph_root)
        if finding.remedy not in [each.remedy for each in causes]:
            yield finding.text
    elif readings.subscriptions is None:
        yield findings.never_maintained().text


def _is_foreign(view: SubscriptionView) -> bool:
    """Whether the app did not ask for this subscription and works without it."""
    return view.id is not None and view.status in (SubscriptionStatus.UNWANTED, SubscriptionStatus.ELSEWHERE)


def _subscriptions(
    views: Sequence[SubscriptionView], run: Maintenance | None, severity: Severity
) -> Iterator[str]:
    for view in views:
        finding = findings.subscription(view, run)
        if finding.severity is severity:
            yield finding.text


def _silent_hub(readings: Readings, settings: Settings, now: datetime) -> Iterator[str]:
    if settings.delivery == EVENT_HUBS:
        finding = findings.hub(readings.maintenance, readings.last_validation, now)
        if finding.severity is Severity.PROBLEM:
            yield finding.text


def _maintenance(views: Sequence[SubscriptionView], run: Maintenance | None) -> Iterator[str]:
    if run is None:
        return
    if run.problems and views and all(each.status is SubscriptionStatus.ACTIVE for each in views):
        yield findings.last_maintenance(run).text
    if run.own_handshake:
        accepted = findings.is_accepted_by_graph(views, run)
        yield findings.closed_to("the app", run.own_handshake, accepted=accepted).text


def _refused_ours(readings: Readings, now: datetime) -> Iterator[str]:
    ours = readings.refused and readings.refused.ours
    if ours and now - ours[0] < REFUSALS_COUNT:
        yield (
            f"Graph sent notifications of subscription {ours[1]} with a clientState that the app does not accept, the "
            f"last at {format_utc(ours[0])}. They were dropped. If the client state was changed by hand, "
            "CLIENT_STATE_PREVIOUS must hold the former one (`scripts/rotate` sees to it). This clears 24 hours after "
            "the last one."
        )


def _forgeries(readings: Readings, now: datetime) -> Iterator[str]:
    refused = readings.refused
    if refused and now - refused.last < REFUSALS_COUNT and not any(_refused_ours(readings, now)):
        yield (
            f"{_count_of(refused.count, 'notification')} with a wrong clientState since {format_utc(refused.first)}, "
            f"the last at {format_utc(refused.last)}. Anyone can send such; they were dropped, and nothing is lost."
        )


def _unknown_properties(readings: Readings, now: datetime) -> Iterator[str]:
    found = readings.unknown_properties
    if found and now - found.at < PROPERTIES_COUNT:
        yield (
            f"Graph's reports have properties that this version does not know: {', '.join(found.names)}, the latest "
            f"since {format_utc(found.at)}. They are archived as they are, and tables leave them out: is there a newer "
            "version? This clears after 14 days."
        )


def _poison(readings: Readings) -> Iterator[str]:
    remedies = {
        SIGNALS_QUEUE: "bury_poison records each as a failed outcome; if they stay, its log says why.",
        GRID_QUEUE: "The sweep finds their meetings; check the log for why receive_grid_events failed, and clear it.",
        UPKEEP_QUEUE: "The next sweep empties it; if it fills again, check the log for why do_upkeep fails.",
    }
    for queue, remedy in remedies.items():
        length = readings.queues.get(queue + POISON)
        if isinstance(length, QueueLength) and length.messages:
            what = _count_of(length.messages, "message")
            yield f"Queue {queue}{POISON} holds {what} that failed too often. {remedy}"


def _last_sweep(readings: Readings) -> datetime | None:
    """Return when a scan last finished, or started if one is running."""
    scans = [scan for scan in (readings.recent, readings.full) if scan]
    return max((when for scan in scans if (when := scan.finished or scan.started)), default=None)


def _has_run_long(readings: Readings, now: datetime) -> bool:
    """Whether the app has run so long that a scan should have finished."""
    first = readings.refused.first if readings.refused else None
    signs = [sign for sign in (readings.last_notification, readings.last_report, first) if sign]
    return any(now - sign > SWEEP_EVERY for sign in signs)


def _stopped_sweep(readings: Readings, now: datetime) -> Iterator[str]:
    last = _last_sweep(readings)
    if not readings.is_state_known or (last is None and not _has_run_long(readings, now)):
        return
    if last is not None and now - last <= SWEEP_EVERY:
        return
    scans = [scan for scan in (readings.recent, readings.full) if scan]
    finished = max((scan.finished for scan in scans if scan.finished), default=None)
    since = f"since {format_utc(finished)}" if finished else "yet"
    error = next((scan.error for scan in scans if scan.error), None)
    last_error = f" The last error was: {error}." if error else ""
    yield (
        f"The reconciliation scan has not finished {since}; meetings Graph failed to announce are not being recovered."
        f"{last_error} Check the log for whether the functions sweep and do_upkeep run."
    )


def _failing_sweep(readings: Readings) -> Iterator[str]:
    """Warn about a scan that Graph stops."""
    errors = {scan.error for scan in (readings.recent, readings.full) if scan and scan.error}
    for error in sorted(errors):
        cure = " A 403 means that CallRecords.Read.All is missing." if "status 403" in error else ""
        yield f"The reconciliation scan is failing and will go on where it stopped: {error}.{cure}"


def _unstarted_sweep(readings: Readings, now: datetime) -> Iterator[str]:
    if readings.is_state_known and _last_sweep(readings) is None and not _has_run_long(readings, now):
        yield "The reconciliation scan has not run yet. SWEEP_SCHEDULE says when it runs."


def denied_warnings(readings: Readings) -> Iterator[str]:
    """Yield the warning that sums up the organizers without access, if there are any."""
    count = readings.denied.count
    if count:
        who = "1 organizer" if count == 1 else f"{format_count(count)} organizers"
        yield f"Graph refuses the reports of {who}. The list of organizers without access has the remedy for each."


def _pending(readings: Readings, settings: Settings, now: datetime) -> Iterator[str]:
    oldest = oldest_pending(readings)
    if oldest and now - oldest > timedelta(seconds=settings.retry_window) + MAX_RECORD_DELAY:
        yield (
            f"A signal has been pending since {format_utc(oldest)}, longer than RETRY_WINDOW. The sweep retries it; "
            f"if it stays, check the log for whether archive_reports handles the messages of {SIGNALS_QUEUE}."
        )


def _open_days(readings: Readings, today: date) -> Iterator[str]:
    last = today - timedelta(days=OPEN_DAYS)
    days = [
        day.isoformat()
        for day, manifest in readings.days.items()
        if manifest and not manifest.complete and day < last
    ]
    if days:
        yield (
            f"Incomplete after more than {OPEN_DAYS} days: {', '.join(days)}. A day is complete when a full "
            "reconciliation scan has finished and nothing is pending: check those two."
        )


def _failed_signals(readings: Readings) -> Iterator[str]:
    failed = {
        day.isoformat(): count
        for day, manifest in readings.days.items()
        if manifest and (count := manifest.outcomes.get(Result.FAILED))
    }
    if failed:
        count = sum(failed.values())
        yield (
            f"{_count_of(count, 'signal')} of the last {len(readings.days)} days failed. Read lastError in the "
            f"outcome, fix the cause, and run: attendance redrive --from {min(failed)} --to {max(failed)}"
        )
