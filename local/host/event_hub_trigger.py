"""Event hub trigger.

Delivers batches of a partition, retries the function, and then writes a checkpoint.

    position ─▶ next events ─▶ run ─┬─ succeeded ───────────────────────────────────┬─▶ checkpoint
                                    └─ failed ─▶ wait, as the retry policy says ─▶ run again ─┘ or retries are used up

The checkpoint is written whether the function succeeded or not, because there is no poison queue. It is not written if
the host stops in between, so its events come again. Each partition has one owner. What the platform does beyond that is
not here: balancing partitions between instances, prefetching, and scaling. Source: the reliable event processing and
the Event Hubs trigger pages of the Functions reference, and the extension's checkpoint store.
"""

import asyncio
import logging
from pathlib import Path

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import ContainerClient

from local.event_hub.partitions import Event, Partition, partitions
from local.host.invocation import BoundFunction, Invoker
from local.host.listener import Listener
from local.host.runtime import Failure, Retries

log = logging.getLogger(__name__)

CONTAINER = "azure-webjobs-eventhub"
PAUSE = 0.1  # seconds between looks at an empty partition
PATIENCE = 1.0  # seconds until another owner, or a failed checkpoint, is looked at again


class Checkpoints:
    """Positions of a consumer group in a hub's partitions.

    They are blobs of the host's account.
    """

    def __init__(self, container: ContainerClient, namespace: str, hub: str, group: str) -> None:
        self._container = container
        self._prefix = f"{namespace}/{hub}/{group}/checkpoint/".lower()

    def load(self, partition: str) -> tuple[int, int]:
        """The position behind the last batch, and the number of events before it."""
        try:
            found = self._container.get_blob_client(self._prefix + partition).get_blob_properties().metadata
        except ResourceNotFoundError:
            return 0, 0
        return int(found["offset"]), int(found["sequencenumber"])

    def save(self, partition: str, position: int, sequence: int) -> None:
        """Write a checkpoint, making the container if it is missing."""
        metadata = {"offset": str(position), "sequencenumber": str(sequence)}
        try:
            self._upload(partition, metadata)
        except ResourceNotFoundError:
            try:
                self._container.create_container()
            except ResourceExistsError:
                log.debug("another process made the container")
            self._upload(partition, metadata)

    def _upload(self, partition: str, metadata: dict[str, str]) -> None:
        self._container.upload_blob(self._prefix + partition, b"", overwrite=True, metadata=metadata)


class EventHubListener(Listener):
    """A reader of all partitions of one function's hub."""

    def __init__(
        self,
        bound: BoundFunction,
        folder: Path,
        namespace: str,
        container: ContainerClient,
        batch_size: int,
        invoker: Invoker,
        scale: float,
    ) -> None:
        super().__init__(bound.name)
        hub, group = bound.trigger["eventHubName"], bound.trigger.get("consumerGroup") or "$Default"
        self._bound = bound
        self._partitions = partitions(folder, namespace, hub)
        self._checkpoints = Checkpoints(container, namespace, hub, group)
        self._batch_size = batch_size
        self._invoker = invoker
        self._retries = bound.function.retries or Retries(0)
        self._scale = scale

    async def listen(self) -> None:
        """Read all partitions side by side until the host stops."""
        async with asyncio.TaskGroup() as group:
            for partition in self._partitions:
                group.create_task(self._read(partition))

    async def run_now(self, text: str) -> None:
        """Run the function with one event outside the hub."""
        await self._run("0", [Event(text, "", "0", 0)], 0, 0)

    async def _read(self, partition: Partition) -> None:
        while not self.stopping:
            with partition.owned() as mine:
                if mine:
                    await self._own(partition)
            await self.pause(PATIENCE)

    async def _own(self, partition: Partition) -> None:
        try:
            position, sequence = await asyncio.to_thread(self._checkpoints.load, partition.id)
            while not self.stopping:
                events = await asyncio.to_thread(partition.read, position, self._batch_size)
                if not events:
                    await self.pause(PAUSE)
                elif await self._handle(partition.id, events, sequence):
                    position, sequence = events[-1].next, sequence + len(events)
                    await asyncio.to_thread(self._checkpoints.save, partition.id, position, sequence)
        except AzureError as error:
            log.error("partition %s stands still: %s", partition.id, error, extra=self.about)

    async def _handle(self, partition: str, events: list[Event], sequence: int) -> bool:
        """Run until success or the last retry; False if the host stops before."""
        for attempt in range(self._retries.most + 1):
            try:
                await self._run(partition, events, sequence, attempt)
            except Failure:
                if attempt == self._retries.most:
                    break
                await self.pause(self._retries.delay(attempt) / self._scale)
                if self.stopping:
                    return False
            else:
                return True
        log.error("%d events of partition %s are passed over", len(events), partition, extra=self.about)
        return True

    async def _run(self, partition: str, events: list[Event], sequence: int, attempt: int) -> None:
        of_system = [
            {
                "EnqueuedTimeUtc": each.enqueued,
                "Offset": each.offset,
                "PartitionKey": None,
                "SequenceNumber": sequence + number,
            }
            for number, each in enumerate(events)
        ]
        metadata = {
            "SystemPropertiesArray": of_system,
            "PropertiesArray": [{} for _ in events],
            "PartitionContext": {"PartitionId": partition},
            "EnqueuedTimeUtcArray": [each["EnqueuedTimeUtc"] for each in of_system],
            "OffsetArray": [each["Offset"] for each in of_system],
            "PartitionKeyArray": [each["PartitionKey"] for each in of_system],
            "SequenceNumberArray": [each["SequenceNumber"] for each in of_system],
        }
        await self._invoker.run(self._bound, tuple(each.body for each in events), metadata, attempt=attempt)
