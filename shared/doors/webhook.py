"""What the two webhook routes answer: the validation handshake, and the acknowledgement of notifications.

The reply never waits for Graph, Key Vault or Blob storage: it is ready as soon as the signals are handed to the
output binding, which the host writes to the queue before it sends the reply. Standard library only. Status codes:

    200  the decoded validation token, and nothing else
    202  every item that authenticates is on the queue; it does not tell which did
    400  not a notification collection        413  too large
    503  the settings are wrong, so Graph is to come again (it does for 4 hours)
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
REPORT_INTERVAL = 60.0  # seconds; anyone can send a wrong clientState, and must not fill the queue with it


@dataclass(frozen=True)
class WebhookReply:
    """A status, a plain text, and the messages for `meeting-signals` and `upkeep`."""

    status: int
    text: str = ""
    signals: Sequence[str] = ()
    tasks: Sequence[str] = ()


def answer_post(
    *, validation_token: str | None, body: bytes, environ: Mapping[str, str], traceparent: str | None
) -> WebhookReply:
    """Answer one POST to a webhook route. Never raises for what a sender can do."""
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
    sealed, too_large = rich_notifications.pack_batch(received.encrypted)
    return WebhookReply(
        202, signals=[*signals.pack_messages([*received.signals, *too_large]), *sealed], tasks=todo
    )


class RefusalCounter:
    """Gathers how often a clientState was wrong, so that it is told at most once in TOLD_EVERY seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._count = 0
        self._once = Debounce(REPORT_INTERVAL, clock=clock)
        self._lock = threading.Lock()

    def add(self, count: int) -> int:
        """Count these; the number that is to be told now, or 0."""
        with self._lock:
            self._count += count
            if not self._count or not self._once.allows("told"):
                return 0
            told, self._count = self._count, 0
            return told


_REFUSALS = RefusalCounter()
