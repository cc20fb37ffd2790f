"""The queue trigger: lease a message, run the function, delete or release it.

After too many failures the message moves to the poison queue.

Follows what was measured on Microsoft's queue extension, with one difference: there the lease is fixed at ten
minutes, here it is configurable, so that a crash heals sooner. Storage that fails never ends the process; a
message that could not be settled comes back when its lease is over.
"""

import asyncio
import base64
import logging
import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.storage.queue import QueueClient, QueueMessage

from local.host.hostjson import QueueOptions
from local.host.invocation import BoundFunction, Invoker
from local.host.listener import Listener
from local.host.queue_output import send
from local.host.runtime import Failure

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.1
_NO_BLANKS = str.maketrans("", "", " \t\r\n")


def pause_after(empty_polls: int, longest: float, jitter: float) -> float:
    """Seconds until the next poll, after so many empty ones; `jitter` is 0.8 to 1.2."""
    if empty_polls == 1:
        return min(FIRST_PAUSE, longest)
    return min(FIRST_PAUSE + FIRST_PAUSE * 2.0 ** min(empty_polls - 2, 30) * jitter, longest)


def decode(text: str, is_base64: bool) -> bytes:
    """The body of a message.

    Raises ValueError if the text is not base64 by .NET's rules (blanks are skipped).
    """
    return base64.b64decode(text.translate(_NO_BLANKS), validate=True) if is_base64 else text.encode()


class QueueListener(Listener):
    """A poller of one function's queue; `poison` is None for a poison queue itself."""

    def __init__(
        self,
        bound: BoundFunction,
        client: QueueClient,
        poison: QueueClient | None,
        options: QueueOptions,
        lease: int,
        invoker: Invoker,
    ) -> None:
        super().__init__(bound.name)
        self._bound = bound
        self._client = client
        self._poison = poison
        self._options = options
        self._lease = lease
        self._invoker = invoker
        self._running: set[asyncio.Task[None]] = set()
        self._trouble = ""

    async def listen(self) -> None:
        """Poll until the host stops, then wait for the messages that are being processed."""
        empty_polls = 0
        while not self.stopping:
            if len(self._running) > self._options.new_batch_threshold:
                await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            elif messages := await self._poll():
                empty_polls = 0
                await self._deliver(messages)
            else:
                empty_polls += 1
                jitter = random.uniform(0.8, 1.2)
                await self.pause(pause_after(empty_polls, self._options.max_polling_interval, jitter))
        if self._running:
            await asyncio.wait(self._running)

    async def run_now(self, text: str) -> None:
        """Run the function with `text` as the body of a message outside the queue."""
        now = datetime.now(UTC)
        message = QueueMessage(content=text)
        message.id, message.pop_receipt, message.dequeue_count = str(uuid.uuid4()), "", 1
        message.inserted_on = message.next_visible_on = now
        message.expires_on = now + timedelta(days=7)
        await self._execute(message, text.encode())

    async def _poll(self) -> list[QueueMessage]:
        try:
            messages = await asyncio.to_thread(self._receive)
        except ResourceNotFoundError:
            self._tell(f"queue '{self._client.queue_name}' does not exist")
        except AzureError as error:
            self._tell(f"queue '{self._client.queue_name}' cannot be read: {error}")
        else:
            self._trouble = ""
            return messages
        return []

    def _receive(self) -> list[QueueMessage]:
        # One page is one GetMessages; iterating over the messages themselves would go on to the next page.
        pages = self._client.receive_messages(
            messages_per_page=self._options.batch_size, visibility_timeout=self._lease
        ).by_page()
        return list(next(pages, ()))

    def _tell(self, trouble: str) -> None:
        """Log a change of the queue's state, not every poll."""
        if trouble != self._trouble:
            log.warning("%s", trouble, extra=self.about)
        self._trouble = trouble

    async def _deliver(self, messages: list[QueueMessage]) -> None:
        readable = []
        for message in messages:
            try:
                readable.append((message, decode(message.content or "", self._options.base64)))
            except ValueError:
                log.warning("message %s is not base64 (messageEncoding)", message.id, extra=self.about)
                await self._bury(message)
        for message, body in readable:
            task = asyncio.create_task(self._process(message, body))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _process(self, message: QueueMessage, body: bytes) -> None:
        attempts = message.dequeue_count or 0
        if self._poison and attempts > self._options.max_dequeue_count:
            await self._bury(message)
        elif await self._execute_leased(message, body):
            await self._settle(self._client.delete_message, message.id, message.pop_receipt)
        elif self._poison and attempts >= self._options.max_dequeue_count:
            await self._bury(message)
        elif self._poison:
            await self._settle(
                self._client.update_message,
                message.id,
                message.pop_receipt,
                visibility_timeout=self._options.visibility_timeout,
            )

    async def _execute_leased(self, message: QueueMessage, body: bytes) -> bool:
        execution = asyncio.create_task(self._execute(message, body))
        pause = self._lease / 2
        while not (await asyncio.wait({execution}, timeout=pause))[0]:
            try:
                renewed = await asyncio.to_thread(
                    self._client.update_message,
                    message.id,
                    message.pop_receipt,
                    visibility_timeout=self._lease,
                )
            except AzureError as error:
                log.warning("lease of message %s not renewed: %s", message.id, error, extra=self.about)
                pause = self._lease / 10
            else:
                message.pop_receipt = renewed.pop_receipt
                pause = self._lease / 2
        return execution.result()

    async def _execute(self, message: QueueMessage, body: bytes) -> bool:
        try:
            await self._invoker.run(self._bound, body.decode(), _metadata(message))
        except UnicodeDecodeError as error:
            log.error("message %s is not text: %s", message.id, error, extra=self.about)
            return False
        except Failure:
            return False
        return True

    async def _bury(self, message: QueueMessage) -> None:
        if not self._poison:
            return
        log.warning("message %s goes to '%s'", message.id, self._poison.queue_name, extra=self.about)
        # Copied first: a crash between the two makes a duplicate, the other order would lose the message.
        if await self._settle(send, self._poison, message.content or ""):
            await self._settle(self._client.delete_message, message.id, message.pop_receipt)

    async def _settle(self, call: Callable[..., object], *arguments: Any, **options: Any) -> bool:
        try:
            await asyncio.to_thread(call, *arguments, **options)
        except ResourceNotFoundError:
            log.debug("the message is gone", extra=self.about)
        except AzureError as error:
            log.error("message not settled, it comes back after its lease: %s", error, extra=self.about)
            return False
        return True


def _metadata(message: QueueMessage) -> dict[str, object]:
    times = {
        "InsertionTime": message.inserted_on,
        "ExpirationTime": message.expires_on,
        "NextVisibleTime": message.next_visible_on,
    }
    known = {"Id": message.id, "DequeueCount": message.dequeue_count, "PopReceipt": message.pop_receipt}
    return {**known, **{name: moment.isoformat() for name, moment in times.items() if moment}}
