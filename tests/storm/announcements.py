"""Announces call records as Graph does: repeated, in any order, with retries; or through an event hub."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import requests
from azure.core.exceptions import ResourceNotFoundError

from local.event_hub.partitions import partitions
from local.stack.compose import Stack
from shared.graph.delivery import HUB
from shared.settings import EVENT_HUBS
from tests.support import posts

TIMES = 3
LARGEST_POST = 20
SENDERS = 4
MOST_UNREAD = 100_000  # bytes of a hub
MOST_WAITING = 2_000  # messages, delayed ones too
TRIES = 200
SECONDS_BETWEEN_TRIES = 0.3


class Announcer:
    """A sender of notifications to a stack; `repeated` counts POSTs sent again."""

    def __init__(self, running: Stack) -> None:
        self._running = running
        self._queue = running.queue_service().get_queue_client("meeting-signals")
        self._counting = threading.Lock()
        self._namespace = running.settings["GraphEventHub__fullyQualifiedNamespace"]
        self._checkpoints = running.state_service().get_container_client("azure-webjobs-eventhub")
        folder = Path(running.settings["LOCAL_EVENT_HUBS"])
        uses_hub = running.settings.get("DELIVERY") == EVENT_HUBS
        self._hub = partitions(folder, self._namespace, HUB) if uses_hub else []
        self.repeated = 0

    def announce(self, call_ids: Sequence[str], seconds: float, source: Random) -> None:
        """Send every id `TIMES` times, shuffled, in batches, spread over some seconds.

        It waits while many messages wait: Azurite looks through all of a queue for each that it gives out.
        Raises TimeoutError when the app does not take one.
        """
        posts.register(self._running)
        items = [*call_ids] * TIMES
        source.shuffle(items)
        batches = list(_batches(items, source))
        began = time.monotonic()

        def post(number: int) -> None:
            due = began + seconds * number / len(batches)
            time.sleep(max(0.0, due - time.monotonic()))
            while self._is_behind():
                time.sleep(SECONDS_BETWEEN_TRIES)
            if self._hub:
                self._hub[number % len(self._hub)].append(json.dumps(self._body(batches[number])))
            else:
                self._post(batches[number])

        with ThreadPoolExecutor(SENDERS) as senders:
            for _ in senders.map(post, range(len(batches))):
                pass

    def _post(self, call_ids: Sequence[str]) -> None:
        url = f"{self._running.functions.url}/api/notifications"
        body = self._body(call_ids)
        for _ in range(TRIES):
            try:
                if requests.post(url, json=body, timeout=10).status_code == requests.codes.accepted:
                    return
            except requests.RequestException:
                pass  # the host is being killed, or starts again
            with self._counting:
                self.repeated += 1
            time.sleep(SECONDS_BETWEEN_TRIES)
        raise TimeoutError("the app does not take a notification")

    def _is_behind(self) -> bool:
        """Whether many messages wait, or events that will become such."""
        if (self._queue.get_queue_properties().approximate_message_count or 0) > MOST_WAITING:
            return True
        return sum(each.size - self._read_to(each.id) for each in self._hub) > MOST_UNREAD

    def _read_to(self, partition: str) -> int:
        name = f"{self._namespace}/{HUB}/attendance/checkpoint/{partition}"
        try:
            return int(self._checkpoints.get_blob_client(name).get_blob_properties().metadata["offset"])
        except ResourceNotFoundError:
            return 0

    def _body(self, call_ids: Sequence[str]) -> dict[str, object]:
        return {"value": [posts.notification(call_id, self._running.settings) for call_id in call_ids]}


def _batches(items: Sequence[str], source: Random) -> Iterator[Sequence[str]]:
    start = 0
    while start < len(items):
        size = source.randint(1, LARGEST_POST)
        yield items[start : start + size]
        start += size
