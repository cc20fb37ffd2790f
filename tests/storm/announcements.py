"""Announces call records as Graph does: repeated, in any order, with retries; by webhook, event hub, or both."""

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import requests
from azure.core.exceptions import ResourceNotFoundError

from local.event_hub.partitions import partitions
from local.stack.compose import Stack
from shared.graph.delivery import HUB
from shared.settings import EVENT_HUBS, WEBHOOK
from tests.support import posts

TIMES = 3
LARGEST_POST = 20
SENDERS = 4
MOST_UNREAD = 100_000  # bytes of a hub
MOST_WAITING = 2_000  # messages, delayed ones too
SECONDS_OF_TRIES = 900.0  # longer than storage is dark
SECONDS_BETWEEN_TRIES = 0.3


class Announcer:
    """A sender of notifications to a stack.

    `repeated` counts POSTs sent again, and `by_hub` events of the hub. `told` are the calls of which the app was told.
    `subscription`: the one that announces; "" while Graph has none, and what is due then is `lost`.
    """

    def __init__(self, running: Stack) -> None:
        self._running = running
        self._queue = running.queue_service().get_queue_client("meeting-signals")
        self._counting = threading.Lock()
        self._namespace = running.settings["GraphEventHub__fullyQualifiedNamespace"]
        self._checkpoints = running.state_service().get_container_client("azure-webjobs-eventhub")
        folder = Path(running.settings["LOCAL_EVENT_HUBS"])
        ways = running.settings.get("DELIVERY", WEBHOOK).split(",")
        self._hub = partitions(folder, self._namespace, HUB) if EVENT_HUBS in ways else []
        self._is_mixed = WEBHOOK in ways
        self.repeated = self.by_hub = self.lost = 0
        self.told: set[str] = set()
        self.subscription = posts.SUBSCRIPTION

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
            batch, subscription = batches[number], self.subscription
            if not subscription:
                with self._counting:
                    self.lost += len(batch)
                return
            body = self._body(batch, subscription)
            way, partition = divmod(number, max(1, len(self._hub)))
            if self._hub and (way % 2 or not self._is_mixed):
                self._hub[partition].append(json.dumps(body))
                self.by_hub += 1
            else:
                self._post(body)
            with self._counting:
                self.told.update(batch)

        with ThreadPoolExecutor(SENDERS) as senders:
            for _ in senders.map(post, range(len(batches))):
                pass

    def _post(self, body: Mapping[str, object]) -> None:
        url = f"{self._running.functions.url}/api/notifications"
        deadline = time.monotonic() + SECONDS_OF_TRIES
        while time.monotonic() < deadline:
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
        return self.unread > MOST_UNREAD

    @property
    def unread(self) -> int:
        """The bytes of the hub that the app has not forwarded yet."""
        return sum(each.size - self._read_to(each.id) for each in self._hub)

    def _read_to(self, partition: str) -> int:
        name = f"{self._namespace}/{HUB}/attendance/checkpoint/{partition}"
        try:
            return int(self._checkpoints.get_blob_client(name).get_blob_properties().metadata["offset"])
        except ResourceNotFoundError:
            return 0

    def _body(self, call_ids: Sequence[str], subscription: str) -> dict[str, object]:
        items = (posts.notification(call_id, self._running.settings) for call_id in call_ids)
        return {"value": [{**each, "subscriptionId": subscription} for each in items]}


def _batches(items: Sequence[str], source: Random) -> Iterator[Sequence[str]]:
    start = 0
    while start < len(items):
        size = source.randint(1, LARGEST_POST)
        yield items[start : start + size]
        start += size
