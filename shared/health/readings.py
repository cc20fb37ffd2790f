"""Collect everything that health reports, in parallel and within ten seconds.

A read that fails becomes a value, not an exception. The cost does not grow with volume. Storage: 4 queues, and the
first messages of those that have any, 14 manifests, 7 state blobs, 1 listing (of up to 5,000 names), and one blob for
each denied organizer that is shown, at most 50: 26 to 80 requests. Graph: 1 request per page of the app's own
subscriptions, in practice 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import lru_cache, partial
from typing import Any

from azure.storage.blob import BlobServiceClient
from azure.storage.blob import LinearRetry as BlobRetry
from azure.storage.queue import LinearRetry as QueueRetry
from azure.storage.queue import QueueServiceClient

from .. import times
from ..days.manifests import Manifest, Manifests
from ..errors import ErasureKeyError, GraphError
from ..graph.client import Graph
from ..graph.credentials import graph_token, managed_identity
from ..ledger import access
from ..limits import RateLimiter
from ..settings import EVENT_GRID, EVENT_HUBS, Settings
from ..storage import clients, heartbeat
from ..storage.erasures import Erasures
from ..storage.scans import FULL, RECENT, Scan, ScanStore
from ..storage.state import StateBlob, StateStore
from ..storage.subscription_registry import SubscriptionRegistry
from ..subscriptions import desired, status
from ..subscriptions.status import DELIVERING, Maintenance, SubscriptionStatus, SubscriptionView
from .explanation import Freshness
from .lookup import MeetingLookup, build_lookup
from .parallel_reads import GRAPH_SECONDS, ParallelReads, ReadFailure

DAYS = 14
MOST_SHOWN = 50  # organizers without access
GRAPH_RATE = 2.0  # per second, apart from the workers' rate: a busy app is not unhealthy

_HEARTBEATS = (
    heartbeat.NOTIFICATION,
    heartbeat.REPORT,
    heartbeat.REFUSED,
    heartbeat.MAINTENANCE,
    heartbeat.PROPERTIES,
)
# Short time limits, because somebody waits for the response.
_LIMITS: dict[str, Any] = {"connection_timeout": 2, "read_timeout": 3}
_RETRY: dict[str, Any] = {"backoff": 1, "retry_total": 1, "random_jitter_range": 0}
BLOB_LIMITS: dict[str, Any] = {"retry_policy": BlobRetry(**_RETRY), **_LIMITS}
QUEUE_LIMITS: dict[str, Any] = {"retry_policy": QueueRetry(**_RETRY), **_LIMITS}
MOST_PEEKED = 32  # messages in one request


@dataclass(frozen=True)
class RefusedNotifications:
    """Notifications with a wrong clientState.

    `ours` is when a subscription of this app last sent one, and its id.
    """

    first: datetime | None
    last: datetime
    count: int
    ours: tuple[datetime, str] | None = None


@dataclass(frozen=True)
class UnknownProperties:
    """Properties of reports that this version does not know.

    And when the last of them was first seen.
    """

    at: datetime
    names: tuple[str, ...]


@dataclass(frozen=True)
class DeniedOrganizer:
    """An organizer whose reports Graph refuses; id None: all call records.

    `retry_at`: when Graph is asked once more, before the refusal counts as settled.
    """

    id: str | None
    since: datetime | None
    remedy: str
    retry_at: datetime | None = None


@dataclass(frozen=True)
class DeniedOrganizers:
    """Organizers without access: their number up to `access.MOST`, and some of them."""

    count: int
    organizers: tuple[DeniedOrganizer, ...]


@dataclass(frozen=True)
class QueueLength:
    """Messages of a queue, as storage estimates them.

    And those that a worker may take now, up to MOST_PEEKED. The others are delayed, as the second reading of a
    fresh report is, or being processed.
    """

    messages: int
    waiting: int

    @property
    def delayed(self) -> int:
        """The messages that are not waiting; 0 if too many wait to be counted."""
        return 0 if self.waiting >= MOST_PEEKED else self.messages - self.waiting


type SubscriptionSource = Callable[[], Sequence[SubscriptionView] | None]


@dataclass(frozen=True)
class Sources:
    """The connections to read from.

    `subscriptions` are Graph's, and reading them raises GraphError; or else those that the app published last.
    `erasures` is None where ERASURE_KEY is not at hand, as on an operator's machine.
    """

    settings: Settings
    subscriptions: SubscriptionSource
    asks_graph: bool
    queues: QueueServiceClient
    manifests: Manifests
    state: StateStore
    scans: ScanStore
    lookup: MeetingLookup
    erasures: Erasures | None = None


@dataclass(frozen=True)
class Readings:
    """Everything that was read.

    None means that a value does not exist yet, or could not be read if its container has a failure. `days` are the last
    14, oldest first; `recent` and `full` are the last reconciliation scans.
    """

    queues: Mapping[str, QueueLength | ReadFailure]
    containers: Mapping[str, ReadFailure | None]
    subscriptions: Sequence[SubscriptionView] | GraphError | ReadFailure | None
    last_notification: datetime | None
    last_report: datetime | None
    refused: RefusedNotifications | None
    maintenance: Maintenance | None
    recent: Scan | None
    full: Scan | None
    days: Mapping[date, Manifest | None]
    denied: DeniedOrganizers
    last_validation: datetime | None = None
    unknown_properties: UnknownProperties | None = None
    is_data_known: bool = True
    is_state_known: bool = True
    wrong_key: str | None = None


def collect(sources: Sources, today: date) -> Readings:
    """Read everything within some ten seconds; `today` is the last day."""
    with ParallelReads() as reads:
        subscriptions = reads.start(sources.subscriptions)
        of_grid = clients.GRID_QUEUES if EVENT_GRID in sources.settings.deliveries else ()
        lengths = {
            name: reads.start(partial(_length, sources.queues, name)) for name in (*clients.QUEUES, *of_grid)
        }
        through_hub = (heartbeat.VALIDATION,) if sources.settings.delivery == EVENT_HUBS else ()
        beats = {
            name: reads.start(partial(sources.state.read, name)) for name in (*_HEARTBEATS, *through_hub)
        }
        scans = {name: reads.start(partial(sources.scans.read, name)) for name in (RECENT, FULL)}
        key = reads.start(partial(key_fault, sources.erasures))
        names = reads.start(partial(sources.state.list_names, access.DENIED, access.MOST))
        days = [today - timedelta(days=back) for back in reversed(range(DAYS))]
        manifests = {day: reads.start(partial(sources.manifests.read, day)) for day in days}
        denied = reads.result(names)
        refusals = [
            reads.start(partial(sources.state.read, name)) for name in _first_shown(_value(denied) or [])
        ]

        lengths_read = {name: reads.result(length) for name, length in lengths.items()}
        beats_read = {name: reads.result(beat) for name, beat in beats.items()}
        scans_read = {name: reads.result(scan) for name, scan in scans.items()}
        days_read = {day: reads.result(manifest) for day, manifest in manifests.items()}
        refusals_read = [reads.result(refusal) for refusal in refusals]
        listed = reads.graph_result(subscriptions) if sources.asks_graph else reads.result(subscriptions)
        of_state = [denied, *beats_read.values(), *scans_read.values(), *refusals_read, listed]
        data_failure, state_failure = _failure(days_read.values()), _failure(of_state)
        beat = {name: _content(answer) for name, answer in beats_read.items()}
        scan_blobs = {name: _value(answer) for name, answer in scans_read.items()}
        return Readings(
            queues=lengths_read,
            wrong_key=_value(reads.result(key)),
            containers={
                sources.settings.container: data_failure,
                sources.settings.state_container: state_failure,
            },
            is_data_known=data_failure is None,
            is_state_known=state_failure is None,
            subscriptions=listed,
            last_notification=_time(beat[heartbeat.NOTIFICATION], "at"),
            last_report=_time(beat[heartbeat.REPORT], "at"),
            refused=_parse_refused(beat[heartbeat.REFUSED]),
            maintenance=status.parse_maintenance(beat[heartbeat.MAINTENANCE]),
            last_validation=_time(beat.get(heartbeat.VALIDATION, {}), "at"),
            unknown_properties=_parse_properties(beat[heartbeat.PROPERTIES]),
            recent=blob.scan if (blob := scan_blobs[RECENT]) else None,
            full=blob.scan if (blob := scan_blobs[FULL]) else None,
            days={day: _value(answer) for day, answer in days_read.items()},
            denied=DeniedOrganizers(
                len(_value(denied) or []),
                tuple(_parse_organizer(content) for each in refusals_read if (content := _content(each))),
            ),
        )


def freshness(state: StateStore, scans: ScanStore) -> Freshness:
    """Read when a notification last came, and when a scan last finished.

    Raises azure.core errors.
    """
    beat = state.read(heartbeat.NOTIFICATION)
    stored = [scans.read(name) for name in (RECENT, FULL)]
    finished = [each.scan.finished for each in stored if each and each.scan.finished]
    return Freshness(_time(_content(beat), "at"), max(finished, default=None))


@lru_cache(maxsize=1)
def app_sources(settings: Settings) -> Sources:
    """Return the app's own connections, with little patience."""
    host_identity = managed_identity(settings.host_client_id)
    graph = Graph(
        settings.graph_root, graph_token(settings), RateLimiter(min(GRAPH_RATE, settings.graph_rate))
    )
    host_blobs = clients.blob_service(settings.state_url, host_identity, **BLOB_LIMITS)
    state = StateStore(host_blobs.get_container_client(settings.state_container))
    sources = build_sources(
        settings,
        clients.blob_service(settings.blob_url, managed_identity(settings.blob_client_id), **BLOB_LIMITS),
        host_blobs,
        clients.queue_service(settings.queue_url, host_identity, **QUEUE_LIMITS),
        partial(_subscriptions, SubscriptionRegistry(state, graph, settings), graph, settings),
    )
    container = host_blobs.get_container_client(settings.state_container)
    return replace(sources, erasures=Erasures(container, settings.erasure_key))


def key_fault(erasures: Erasures | None) -> str | None:
    """What is wrong with the key of erasures; None for nothing."""
    try:
        if erasures:
            erasures.current()
    except ErasureKeyError as fault:
        return str(fault)
    return None


def build_sources(
    settings: Settings,
    data_blobs: BlobServiceClient,
    host_blobs: BlobServiceClient,
    queues: QueueServiceClient,
    subscriptions: SubscriptionSource | None = None,
) -> Sources:
    """Build the sources; by default, subscriptions as the app last published them."""
    reports = data_blobs.get_container_client(settings.container)
    state_container = host_blobs.get_container_client(settings.state_container)
    state = StateStore(state_container)
    return Sources(
        settings,
        subscriptions or partial(_published, state),
        subscriptions is not None,
        queues,
        Manifests(reports),
        state,
        ScanStore(state, clients.Queue(queues, clients.UPKEEP_QUEUE)),
        build_lookup(reports, state_container),
    )


def _subscriptions(
    registry: SubscriptionRegistry, graph: Graph, settings: Settings
) -> Sequence[SubscriptionView]:
    with graph.within(GRAPH_SECONDS):  # otherwise a thread that nobody waits for would keep retrying
        existing = registry.listed()
    return status.statuses(existing, desired.fixed_subscriptions(settings), settings, times.now())


def _published(state: StateStore) -> Sequence[SubscriptionView] | None:
    """Return the subscriptions as of the last maintenance, or None.

    Since then they may have expired.
    """
    run, now = status.read_last_run(state), times.now()
    if run is None or run.subscriptions is None:
        return None
    return [
        replace(each, status=SubscriptionStatus.EXPIRED)
        if each.status in DELIVERING and each.expires and each.expires <= now
        else each
        for each in run.subscriptions
    ]


def _length(queues: QueueServiceClient, name: str) -> QueueLength:
    queue = queues.get_queue_client(name)
    messages = int(queue.get_queue_properties().approximate_message_count or 0)
    waiting = len(queue.peek_messages(MOST_PEEKED)) if messages else 0
    return QueueLength(max(messages, waiting), waiting)


def _first_shown(denied: Sequence[str]) -> list[str]:
    """Return the names of the organizers to show; the whole tenant comes first."""
    return sorted(denied, key=lambda name: access.CALL_RECORDS not in name)[:MOST_SHOWN]


def _value[T](answer: T | ReadFailure) -> T | None:
    return None if isinstance(answer, ReadFailure) else answer


def _failure(answers: Iterable[object]) -> ReadFailure | None:
    return next((answer for answer in answers if isinstance(answer, ReadFailure)), None)


def _content(answer: StateBlob | ReadFailure | None) -> dict[str, Any]:
    return answer.content if isinstance(answer, StateBlob) else {}


def _parse_refused(content: Mapping[str, Any]) -> RefusedNotifications | None:
    last, ours = _time(content, "at"), content.get("ours")
    if last is None:
        return None
    ours = ours if isinstance(ours, dict) else {}
    sent = _time(ours, "at")
    return RefusedNotifications(
        _time(content, "first"),
        last,
        _count(content, "count"),
        (sent, str(ours.get("subscription"))) if sent else None,
    )


def _parse_properties(content: Mapping[str, Any]) -> UnknownProperties | None:
    at, names = _time(content, "at"), heartbeat.recorded_properties(content)
    return UnknownProperties(at, tuple(names)) if at and names else None


def _parse_organizer(content: Mapping[str, Any]) -> DeniedOrganizer:
    organizer_id = content.get("organizerId")
    return DeniedOrganizer(
        str(organizer_id) if organizer_id else None,
        _time(content, "since"),
        str(content.get("cure") or ""),
        _time(content, access.RETRY_AT),
    )


def _time(content: Mapping[str, Any], name: str) -> datetime | None:
    try:
        return times.parse(content.get(name))
    except ValueError:
        return None


def _count(content: Mapping[str, Any], name: str) -> int:
    value = content.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
