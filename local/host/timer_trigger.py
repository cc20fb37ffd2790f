"""The timer trigger: one run per occurrence, and one catch-up after an outage.

The status lies where the platform keeps it, in the blob container `azure-webjobs-hosts`; without that blob the
timer still ticks, it only cannot tell after a restart what it missed. A failed run is not repeated: the next
occurrence is the retry.
"""

import asyncio
import json
import logging
from datetime import UTC, datetime

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobClient, ContainerClient

from local.host.invocation import BoundFunction, Invoker
from local.host.listener import Listener
from local.host.runtime import Failure
from local.host.schedule import NEVER, Schedule, Status, is_current

log = logging.getLogger(__name__)

CONTAINER = "azure-webjobs-hosts"
# A timer that waits in one piece would be late by as long as the machine slept.
LONGEST_PAUSE = 30.0


class StatusBlob:
    """The blob that remembers one timer's runs across restarts."""

    def __init__(self, container: ContainerClient, host_id: str, function: str) -> None:
        self._container = container
        self._blob: BlobClient = container.get_blob_client(f"timers/{host_id}/{function}/status")

    def load(self) -> Status | None:
        """The recorded status; None if there is none that can be read."""
        try:
            return Status.from_json(self._blob.download_blob().readall())
        except (ResourceNotFoundError, ValueError, KeyError):
            return None

    def save(self, status: Status) -> None:
        """Record the status, making the container if it is missing."""
        text = json.dumps(status.as_json())
        try:
            self._blob.upload_blob(text, overwrite=True)
        except ResourceNotFoundError:
            try:
                self._container.create_container()
            except ResourceExistsError:
                log.debug("another process made the container")
            self._blob.upload_blob(text, overwrite=True)


class Timer(Listener):
    """The timer of one function; `blob` is None if it is not monitored."""

    def __init__(
        self, bound: BoundFunction, schedule: Schedule, blob: StatusBlob | None, invoker: Invoker
    ) -> None:
        super().__init__(bound.name)
        self._bound = bound
        self._schedule = schedule
        self._blob = blob
        self._invoker = invoker
        self._one_at_a_time = asyncio.Lock()

    async def listen(self) -> None:
        """Make up for a missed occurrence, then run at each one until the host stops."""
        status = await self._load()
        if status and status.next < datetime.now(UTC):
            await self._run(past_due=True)
        elif self._bound.trigger.get("runOnStartup"):
            await self._run()
        while not self.stopping:
            occurrence = self._schedule.after(datetime.now(UTC))
            while not self.stopping and (left := (occurrence - datetime.now(UTC)).total_seconds()) > 0:
                await self.pause(min(left, LONGEST_PAUSE))
            if not self.stopping:
                await self._run()

    async def run_now(self, text: str) -> None:
        """Run the function outside its schedule, after a run that is under way."""
        await self._run()

    async def _run(self, *, past_due: bool = False) -> None:
        async with self._one_at_a_time:
            begun = datetime.now(UTC)
            status = Status(begun, self._schedule.after(begun), begun)
            request = {
                "IsPastDue": past_due,
                "Schedule": {"AdjustForDST": True},
                "ScheduleStatus": status.as_json(),
            }
            try:
                await self._invoker.run(self._bound, json.dumps(request))
            except Failure:
                log.debug("the next occurrence is the retry", extra=self.about)
            # Written last: a run that a crash cut short is made up for.
            await self._save(status)

    async def _load(self) -> Status | None:
        """The status of an earlier run on this schedule, or the first occurrence."""
        if not self._blob:
            return None
        try:
            status = await asyncio.to_thread(self._blob.load)
        except AzureError as error:
            log.warning("timer status cannot be read, missed runs stay unknown: %s", error, extra=self.about)
            return None
        if status and is_current(status, self._schedule):
            return status
        now = datetime.now(UTC)
        await self._save(Status(NEVER, self._schedule.after(now), now))
        return None

    async def _save(self, status: Status) -> None:
        if not self._blob:
            return
        try:
            await asyncio.to_thread(self._blob.save, status)
        except AzureError as error:
            log.warning("timer status not recorded: %s", error, extra=self.about)
