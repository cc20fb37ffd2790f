"""Storage clients: sign-in, timeouts and retries.

Retries are short because the queue is the long retry: a message whose attempt fails is delivered again.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import requests
from azure.core.credentials import TokenCredential
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import BlobServiceClient
from azure.storage.blob import ExponentialRetry as BlobRetry
from azure.storage.queue import ExponentialRetry as QueueRetry
from azure.storage.queue import (
    QueueClient,
    QueueServiceClient,
    TextBase64DecodePolicy,
    TextBase64EncodePolicy,
)
from requests.adapters import HTTPAdapter

from ..bounded_http import keep_headers
from ..settings import THREADS

SIGNALS_QUEUE = "meeting-signals"
UPKEEP_QUEUE = "upkeep"
UPKEEP_POISON = f"{UPKEEP_QUEUE}-poison"
GRID_QUEUE = "graph-events"
GRID_QUEUES = (GRID_QUEUE, f"{GRID_QUEUE}-poison")  # with delivery through Event Grid
QUEUES = (SIGNALS_QUEUE, f"{SIGNALS_QUEUE}-poison", UPKEEP_QUEUE, UPKEEP_POISON)
DRAIN_LEASE = 60  # seconds to handle one page of messages
NEVER = -1  # a delayed message must not expire
BLOCK_BYTES = 4 * 1024 * 1024  # larger bodies are written in blocks, to limit memory

_TIMEOUTS: dict[str, Any] = {"connection_timeout": 5, "read_timeout": 30}
_RETRY: dict[str, Any] = {"initial_backoff": 1, "increment_base": 2, "retry_total": 4}


def blob_service(url: str, credential: TokenCredential, **options: Any) -> BlobServiceClient:
    """Return a client of an account's blobs; `options` override the defaults."""
    usual: dict[str, Any] = {
        "retry_policy": BlobRetry(**_RETRY),
        "max_single_put_size": BLOCK_BYTES,
        "max_block_size": BLOCK_BYTES,
        **_TIMEOUTS,
    }
    return BlobServiceClient(url, credential=credential, **_with_connections(usual | options))


def queue_service(url: str, credential: TokenCredential, **options: Any) -> QueueServiceClient:
    """Return a client of an account's queues; `options` override the defaults."""
    usual: dict[str, Any] = {"retry_policy": QueueRetry(**_RETRY), **_TIMEOUTS}
    return QueueServiceClient(url, credential=credential, **_with_connections(usual | options))


def _with_connections(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options with a connection for each thread.

    The SDK keeps 10 and drops the others with a warning.
    """
    session = requests.Session()
    session.auth = keep_headers
    session.mount("https://", HTTPAdapter(pool_maxsize=THREADS))
    return {"transport": RequestsTransport(session=session, **options), **options}


class Queue:
    """One queue; messages are Base64, as the Functions host expects."""

    def __init__(self, service: QueueServiceClient, name: str) -> None:
        self._service = service
        self._queue: QueueClient = service.get_queue_client(
            name,
            message_encode_policy=TextBase64EncodePolicy(),
            message_decode_policy=TextBase64DecodePolicy(),
        )

    def send(self, text: str, delay: int = 0) -> None:
        """Send a message which becomes visible after `delay` seconds."""
        self._queue.send_message(text, visibility_timeout=delay, time_to_live=NEVER)

    def drain(self, limit: int) -> Iterator[str]:
        """Yield the texts of at most `limit` messages; each is deleted after its turn.

        A text that is not Base64 is returned unchanged.
        """
        raw = self._service.get_queue_client(self._queue.queue_name)
        for message in raw.receive_messages(visibility_timeout=DRAIN_LEASE, max_messages=limit):
            yield _decode_text(message.content)
            raw.delete_message(message)


def _decode_text(content: str) -> str:
    try:
        return base64.b64decode(content, validate=True).decode(errors="backslashreplace")
    except ValueError:
        return content
