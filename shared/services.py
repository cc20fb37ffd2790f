"""Connections shared by all functions of an instance."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

from azure.storage.blob import ContainerClient

from . import settings as app_settings
from .archive.reports import Archive
from .crypto.decryption import Keys, NoKeys, PemKeys
from .crypto.signing_keys import SigningKeys
from .crypto.validation_tokens import TokenValidator
from .days.manifests import Manifests
from .days.sealing import Sealing
from .graph.client import Graph
from .graph.credentials import graph_token, managed_identity
from .graph.meetings import MeetingCache
from .ledger.access import AccessRegister
from .ledger.journal import Journal
from .ledger.publish import Outcomes
from .ledger.store import Ledger
from .limits import NewsLimits, RateLimiter
from .settings import CALL_EVENTS, INVITEES, Settings
from .storage import clients
from .storage.erasures import Erasures
from .storage.heartbeat import Heartbeat
from .storage.scans import ScanStore
from .storage.state import StateStore
from .storage.subscription_registry import SubscriptionRegistry
from .storage.watchlist import Watchlist
from .tables.day_tables import DayTables


@dataclass(frozen=True)
class Services:
    """The product's connections; safe to share between threads."""

    settings: Settings
    erasures: Erasures
    graph: Graph
    archive: Archive
    journal: Journal
    tasks: clients.Queue
    dead_tasks: clients.Queue
    state: StateStore
    heartbeat: Heartbeat
    access: AccessRegister
    tables: DayTables
    sealing: Sealing
    scans: ScanStore
    watch: Watchlist
    subscriptions: SubscriptionRegistry
    news: NewsLimits
    keys: Keys
    validator: TokenValidator
    meetings: MeetingCache


def current() -> Services:
    """Return the services for the current app settings. Raises SettingError."""
    return _services(app_settings.load(os.environ))


def assemble(
    settings: Settings,
    graph: Graph,
    reports: ContainerClient,
    state_container: ContainerClient,
    queue: Callable[[str], clients.Queue],
    keys: Keys | None = None,
) -> Services:
    """Build the services from these connections.

    `queue` returns the queue of a name; `keys` decrypt notifications.
    """
    state, upkeep, manifests = StateStore(state_container), queue(clients.UPKEEP_QUEUE), Manifests(reports)
    erasures = Erasures(state_container, settings.erasure_key)
    tables = DayTables(reports, manifests, settings.tenant_id, erasures.current)
    sealing = Sealing(state, manifests, settings)
    return Services(
        settings,
        erasures,
        graph,
        Archive(reports, erasures.current, settings.retention_days),
        Journal(
            Ledger(state_container, erasures.current),
            Outcomes(reports, erasures.current),
            queue(clients.SIGNALS_QUEUE),
            sealing.mark_changed,
        ),
        upkeep,
        queue(clients.UPKEEP_POISON),
        state,
        Heartbeat(state),
        AccessRegister(state, upkeep, settings.client_id, settings.retry_first_delay),
        tables,
        sealing,
        ScanStore(state, upkeep),
        Watchlist(state),
        SubscriptionRegistry(state, graph, settings),
        NewsLimits(),
        keys or NoKeys(),
        TokenValidator(
            SigningKeys(settings.login_root),
            settings.graph_app_id,
            settings.tenant_id,
            settings.cloud.login_root,
        ),
        MeetingCache(with_invitees=INVITEES in settings.meeting_details),
    )


@lru_cache(maxsize=1)
def _services(settings: Settings) -> Services:
    host_identity = managed_identity(settings.host_client_id)
    data_blobs = clients.blob_service(settings.blob_url, managed_identity(settings.blob_client_id))
    host_blobs = clients.blob_service(settings.state_url, host_identity)
    queues = clients.queue_service(settings.queue_url, host_identity)
    token = graph_token(settings)
    graph = Graph(settings.graph_root, token, RateLimiter(settings.graph_rate))
    queue = partial(clients.Queue, queues)
    return assemble(
        settings,
        graph,
        data_blobs.get_container_client(settings.container),
        host_blobs.get_container_client(settings.state_container),
        queue,
        _keys(settings),
    )


def _keys(settings: Settings) -> Keys:
    """Return the private keys for rich notifications, if the settings need them."""
    if CALL_EVENTS not in settings.signals:
        return NoKeys()
    if "://" not in settings.encryption_key_id:
        return PemKeys(settings.encryption_key_id)
    from .crypto.key_vault import VaultKeys  # a package that nothing else needs

    return VaultKeys(settings.encryption_key_id, managed_identity(settings.client_id))
