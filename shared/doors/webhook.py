"""Answer the two webhook routes: validation handshake and notifications.

The answer never waits for Graph, Key Vault or Blob storage. It is ready once the messages are in the output binding,
which the host writes to the queue before it sends the answer. Standard library only. Status codes:

    200  handshake: the decoded validation token, and nothing else
    202  every authentic item is on the queue; the answer does not say which items were authentic
    400  not a notification collection        413  too large
    503  the settings are wrong; Graph retries for 4 hours
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .. import logs, settings, times
from ..errors import NotANotification, SettingError
from ..limits import Debounce
from ..messages import envelope, rich_notifications, signals, tasks
from ..messages.tasks import NotificationsRefused, Task
from . import notifications

MAX_LOGGED = 50  # signal ids in one log line
REPORT_INTERVAL = 60.0  # seconds


@dataclass(frozen=True)
class WebhookReply:
    """Status, plain text, and messages for the queues `meeting-signals` and `upkeep`."""

    status: int
    text: str = ""
    signals: Sequence[str] = ()
    tasks: Sequence[str] = ()


def answer_post(
    *, validation_token: str | None, body: bytes, environ: Mapping[str, str], traceparent: str | None
) -> WebhookReply:
    """Answer one POST to a webhook route. Never raises because of a request."""
    try:
        config = settings.load(environ)
    except SettingError as failure:
        logs.error("settings.wrong", error=str(failure))
        return WebhookReply(503, "The app is not configured; its health page says what is wrong.")
    if validation_token is not None:
        logs.info("handshake.answered")
        return WebhookReply(200, validation_token)
    traceparent = envelope.parse_trace_parent(traceparent)
    if len(body) > config.notification_max_bytes:
        logs.warning("notification.refused", reason="tooLarge", bytes=len(body), traceparent=traceparent)
        return WebhookReply(413, f"The body is larger than {config.notification_max_bytes} bytes.")
    try:
        received = notifications.parse_notifications(body, config, times.now(), traceparent)
    except NotANotification as failure:
        logs.warning("notification.refused", reason=str(failure), bytes=len(body), traceparent=traceparent)
        return WebhookReply(400, str(failure))
    logs.info(
        "notification.received",
        count=len(received.signals),
        signals=[news.signal_id for news in received.signals[:MAX_LOGGED]],
        encrypted=len(received.encrypted.items) or None,
        tasks=len(received.tasks),
        traceparent=traceparent,
    )
    if received.dropped:
        logs.warning("notification.dropped", **received.dropped, traceparent=traceparent)
    todo = [tasks.serialize_task(task) for task in received.tasks]
    if count := _REFUSALS.add(received.dropped["clientState"]):
        todo.append(tasks.serialize_task(Task(NotificationsRefused(count), traceparent)))
    encrypted, too_large = rich_notifications.pack_batch(received.encrypted)
    return WebhookReply(
        202, signals=[*signals.pack_messages([*received.signals, *too_large]), *encrypted], tasks=todo
    )


class RefusalCounter:
    """Count wrong clientStates; report the count at most once per REPORT_INTERVAL.

    Anyone can send a wrong clientState, and must not be able to fill the queue.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._count = 0
        self._debounce = Debounce(REPORT_INTERVAL, clock=clock)
        self._lock = threading.Lock()

    def add(self, count: int) -> int:
        """Add to the count. Return the total if it is to be reported now, else 0."""
        with self._lock:
            self._count += count
            if not self._count or not self._debounce.allows("told"):
                return 0
            total, self._count = self._count, 0
            return total


_REFUSALS = RefusalCounter()
