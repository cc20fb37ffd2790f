"""What a worker works with, made once per instance: the settings, Graph, the archive, the outcomes, the queues."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache

from shared import settings as app_settings
from shared import storage
from shared.access import Access
from shared.archive import Archive
from shared.credentials import credential, graph_token
from shared.graph import Graph, Rate
from shared.heartbeat import Heartbeat
from shared.looks import Looks
from shared.manifests import Manifests
from shared.outcomes import Outcomes
from shared.sealing import Sealing
from shared.settings import Settings
from shared.state import State


@dataclass(frozen=True)
class Services:
    """The product's connections. Safe to share between threads."""

    settings: Settings
    graph: Graph
    archive: Archive
    outcomes: Outcomes
    signals: storage.Queue
    tasks: storage.Queue
    spoilt_tasks: storage.Queue
    state: State
    heartbeat: Heartbeat
    access: Access
    sealing: Sealing
    looks: Looks


def current() -> Services:
    """The services for the app settings as they are now. Raises SettingError."""
    return _services(app_settings.load(os.environ))


@lru_cache(maxsize=1)
def _services(settings: Settings) -> Services:
    blobs = storage.blob_service(settings, credential(settings.blob_client_id))
    queues = storage.queue_service(settings, credential(settings.queue_client_id))
    reports, apart = storage.containers(settings, blobs)
    state = State(apart)
    upkeep = storage.Queue(queues, storage.UPKEEP_QUEUE)
    return Services(
        settings,
        Graph(
            settings.graph_root,
            graph_token(settings.client_id, settings.graph_scope),
            Rate(settings.graph_rate),
        ),
        Archive(reports),
        Outcomes(reports),
        storage.Queue(queues, storage.SIGNALS_QUEUE),
        upkeep,
        storage.Queue(queues, storage.UPKEEP_POISON),
        state,
        Heartbeat(state),
        Access(state, upkeep, settings.client_id, settings.retry_first_delay),
        Sealing(state, Manifests(reports), settings),
        Looks(state, upkeep),
    )
