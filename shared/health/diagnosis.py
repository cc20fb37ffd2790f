"""What is wrong, in sentences: each names the thing and the cure. Nothing here reads or writes anything.

A problem makes the app unhealthy: meetings are being lost, or will be unless somebody mends something. A warning is
about meetings that are late, or reports that nobody will get until something is granted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from ..days.sealing import LATENESS
from ..errors import AccessDenied, GraphError
from ..ledger.access import MOST
from ..ledger.outcome import Result
from ..messages.envelope import VERSION
from ..messages.tasks import Kind
from ..settings import Settings
from ..storage.clients import SIGNALS_QUEUE, UPKEEP_QUEUE
from ..subscriptions import status
from ..subscriptions.status import Watched
from ..times import shown
from .parallel_reads import Silence
from .readings import Vitals

POISON = "-poison"
FORGERY_COUNTS = timedelta(hours=24)  # a wrong clientState is a problem for so long
SWEEP_EVERY = timedelta(hours=3)
OPEN_DAYS = 3  # a day may stay open for so long

_MISSING = {"QueueNotFound", "ContainerNotFound"}
_FORBIDDEN = {"AuthorizationFailure", "AuthorizationPermissionMismatch", "InsufficientAccountPermissions"}
_TOKENLESS = {"ClientAuthenticationError", "CredentialUnavailableError"}  # errors of azure.identity
_ASSIGN = "Assign the managed identity to the app, and let AZURE_CLIENT_ID name it."


@dataclass(frozen=True)
class Diagnosis:
    """Problems and warnings, the worst first, and the wanted subscriptions, None where Graph did not tell."""

    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    watched: tuple[Watched, ...] | None = None


@dataclass(frozen=True)
class Report:
    """All that health tells. With a `wrong_setting`, a sentence, nothing else was looked at."""

    at: datetime
    settings: Mapping[str, str]
    vitals: Vitals | None = None
    diagnosis: Diagnosis = Diagnosis()
    wrong_setting: str | None = None

    @property
    def problems(self) -> tuple[str, ...]:
        """The sentences that make the app unhealthy."""
        if self.wrong_setting:
            return (f"{self.wrong_setting} Mend it in the app's settings; until then nothing is archived.",)
        return self.diagnosis.problems

    @property
    def healthy(self) -> bool:
        """Whether there is no problem."""
        return not self.problems


def diagnose(vitals: Vitals, settings: Settings, now: datetime) -> Diagnosis:
    """Judge what was read at `now`."""
    listed = vitals.subscriptions
    watched = None if isinstance(listed, GraphError) else tuple(listed)
    problems = (
        *_silences(vitals),
        *_graph(vitals, settings),
        *status.problems(watched or (), vitals.maintenance),
        *_forgeries(vitals, now),
        *_poison(vitals),
        *_stopped_sweep(vitals, now),
    )
    warnings = (
        *_unstarted_sweep(vitals, now),
        *_failing_sweep(vitals),
        *status.warnings(watched or (), vitals.maintenance),
        *_denied(vitals),
        *_pending(vitals, settings, now),
        *_open_days(vitals, now.date()),
        *_failed(vitals),
    )
    return Diagnosis(problems, warnings, watched)


def oldest_pending(vitals: Vitals) -> datetime | None:
    """When the oldest signal that is pending was first seen, as far as manifests tell."""
    times = [manifest.oldest_pending for manifest in vitals.days.values() if manifest]
    return min((time for time in times if time), default=None)


def at_most(count: int) -> str:
    """How many organizers have no access, counted to `MOST`."""
    return f"{count:,} or more" if count >= MOST else f"{count:,}"


def _silences(vitals: Vitals) -> Iterator[str]:
    for name, length in vitals.queues.items():
        if isinstance(length, Silence):
            yield _silence(f"Queue {name}", length, "Storage Queue Data Contributor")
    for name, silence in vitals.containers.items():
        if silence:
            yield _silence(f"Container {name}", silence, "Storage Blob Data Contributor")


def _silence(what: str, silence: Silence, role: str) -> str:
    if silence.reason in _MISSING:
        return f"{what} is missing. Make it, or deploy again."
    if silence.reason in _FORBIDDEN:
        cure = f"Make the app's identity {role} on the storage account, and let the account's network rules take it."
    elif silence.reason in _TOKENLESS:
        cure = _ASSIGN
    else:
        cure = (
            "See whether the storage account is up, and whether its address is right in the app's settings."
        )
    return f"{what} does not answer ({silence.reason}). {cure}"


def _graph(vitals: Vitals, settings: Settings) -> Iterator[str]:
    failure = vitals.subscriptions
    if not isinstance(failure, GraphError):
        return
    if isinstance(failure, AccessDenied):
        cure = (
            "Grant the application permission CallRecords.Read.All to the app's identity. "
            "Its token keeps the permissions that it was made with, for up to a day."
        )
    elif failure.operation == "get a token":
        cure = _ASSIGN
    else:
        cure = f"Look again in some minutes; if it stays, see whether the app reaches {settings.graph_root}."
    yield f"The list of subscriptions cannot be read ({failure}). {cure}"


def _forgeries(vitals: Vitals, now: datetime) -> Iterator[str]:
    refused = vitals.refused
    if refused and now - refused.last < FORGERY_COUNTS:
        yield (
            f"Notifications with a wrong clientState: {refused.count:,} since {shown(refused.first)}, the last at "
            f"{shown(refused.last)}. They were dropped. If the client state was changed, set "
            "CLIENT_STATE_PREVIOUS to the old one; if not, they are forged, and nothing is lost. This clears "
            "24 hours after the last one."
        )


def _poison(vitals: Vitals) -> Iterator[str]:
    cures = {
        SIGNALS_QUEUE: "bury_poison makes a failed outcome of each; if they stay, its log says why.",
        UPKEEP_QUEUE: "See in the log why do_upkeep failed, mend that, put their text back on upkeep, and delete them.",
    }
    for queue, cure in cures.items():
        length = vitals.queues.get(queue + POISON)
        if isinstance(length, int) and length > 0:
            what = "1 message that was" if length == 1 else f"{length:,} messages that were"
            yield f"Queue {queue}{POISON} holds {what} given up. {cure}"


def _last_sweep(vitals: Vitals) -> datetime | None:
    """When a look last finished, or began where one is under way."""
    looks = [look for look in (vitals.recent, vitals.full) if look]
    return max((when for look in looks if (when := look.finished or look.started)), default=None)


def _has_run_long(vitals: Vitals, now: datetime) -> bool:
    """Whether the app showed a sign of life so long ago that a look should have finished since."""
    first = vitals.refused.first if vitals.refused else None
    signs = [sign for sign in (vitals.last_notification, vitals.last_report, first) if sign]
    return any(now - sign > SWEEP_EVERY for sign in signs)


def _stopped_sweep(vitals: Vitals, now: datetime) -> Iterator[str]:
    last = _last_sweep(vitals)
    if last is None and not _has_run_long(vitals, now):
        return
    if last is not None and now - last <= SWEEP_EVERY:
        return
    looks = [look for look in (vitals.recent, vitals.full) if look]
    finished = max((look.finished for look in looks if look.finished), default=None)
    since = f"since {shown(finished)}" if finished else "yet"
    error = next((look.error for look in looks if look.error), None)
    told = f" The last error was: {error}." if error else ""
    yield (
        f"No look of the sweep has finished {since}, so meetings that Graph did not announce are not looked for."
        f"{told} See in the log whether the functions sweep and do_upkeep run."
    )


def _failing_sweep(vitals: Vitals) -> Iterator[str]:
    """A look that Graph does not let go on."""
    errors = {look.error for look in (vitals.recent, vitals.full) if look and look.error}
    for error in sorted(errors):
        yield f"The sweep cannot go on: {error}. A 403 means that CallRecords.Read.All is missing."


def _unstarted_sweep(vitals: Vitals, now: datetime) -> Iterator[str]:
    if _last_sweep(vitals) is None and not _has_run_long(vitals, now):
        yield "No run of the sweep is known yet. SWEEP_SCHEDULE says when it runs."


def _denied(vitals: Vitals) -> Iterator[str]:
    count = vitals.denied.count
    if count:
        who = "1 organizer" if count == 1 else f"{at_most(count)} organizers"
        yield f"Graph refuses the reports of {who}. The list of organizers without access has the cure for each."


def _pending(vitals: Vitals, settings: Settings, now: datetime) -> Iterator[str]:
    oldest = oldest_pending(vitals)
    if oldest and now - oldest > timedelta(seconds=settings.retry_window) + LATENESS:
        yield (
            f"A signal has been pending since {shown(oldest)}, longer than RETRY_WINDOW. The sweep takes it up "
            f"again; if it stays, see in the log whether archive_reports works through {SIGNALS_QUEUE}."
        )


def _open_days(vitals: Vitals, today: date) -> Iterator[str]:
    last = today - timedelta(days=OPEN_DAYS)
    days = [
        day.isoformat()
        for day, manifest in vitals.days.items()
        if manifest and not manifest.complete and day < last
    ]
    if days:
        yield (
            f"Not complete although older than {OPEN_DAYS} days: {', '.join(days)}. A day is complete when a full "
            "look of the sweep has finished and nothing is pending: see what those say."
        )


def _failed(vitals: Vitals) -> Iterator[str]:
    failed = {
        day.isoformat(): count
        for day, manifest in vitals.days.items()
        if manifest and (count := manifest.outcomes.get(Result.FAILED))
    }
    if failed:
        count = sum(failed.values())
        message = {
            "version": VERSION,
            "kind": Kind.REDRIVE,
            "outcomes": [Result.FAILED],
            "from": min(failed),
            "to": max(failed),
        }
        what = "1 signal" if count == 1 else f"{count:,} signals"
        yield (
            f"{what} of the last {len(vitals.days)} days failed. Read lastError in the outcome, mend the cause, and "
            f"put on the queue {UPKEEP_QUEUE}: {json.dumps(message)}"
        )
