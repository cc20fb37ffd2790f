"""Forward Graph's events from an event hub or Event Grid.

They are handled as the webhook's are. An event hub has no poison queue: a batch is over when its function has
succeeded, or has failed as often as its retry policy allows. So nothing in an event raises here; it is dropped and
counted. What raises are wrong settings, and, in the host, a queue that refuses: both end in a retry. Order and
repeats do not matter to the worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .. import logs, settings, times
from ..errors import SettingError
from ..messages import envelope
from ..messages.signals import Door
from . import notifications, webhook
from .webhook import WebhookReply


def forward_events(
    bodies: Iterable[bytes], environ: Mapping[str, str], traceparent: str | None, door: Door
) -> WebhookReply:
    """Return the messages for the queues. Raises SettingError."""
    try:
        config = settings.load(environ)
    except SettingError as failure:
        logs.error("settings.wrong", error=str(failure))
        raise
    traceparent = envelope.parse_trace_parent(traceparent)
    received = notifications.parse_events(bodies, config, times.now(), door, traceparent)
    return webhook.forward(received, traceparent)
