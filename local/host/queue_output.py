"""The `queue` output binding: a function's items become messages, in order.

An item counts as sent once the service has answered; there is no batching, and what was sent before a failure
stays sent. Measured on Microsoft's queue extension: no time-to-live or delay is given, a missing queue is made.
"""

import base64
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import QueueClient


@dataclass(frozen=True)
class QueueOutput:
    """Where one output binding writes, and whether the host encodes its messages."""

    client: QueueClient
    base64: bool

    def send(self, items: Iterable[str]) -> None:
        """Enqueue the items in order; an AzureError leaves the later ones unsent."""
        for item in items:
            send(self.client, base64.b64encode(item.encode()).decode() if self.base64 else item)


def send(client: QueueClient, text: str) -> None:
    """Enqueue one message text as it is, making the queue if there is none."""
    try:
        client.send_message(text)
    except ResourceNotFoundError:
        with suppress(ResourceExistsError):
            client.create_queue()
        client.send_message(text)
