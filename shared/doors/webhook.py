"""Answer the two webhook routes: validation handshake and notifications.

The answer never waits for Graph, Key Vault or Blob storage. It is ready once the messages are in the output binding,
which the host writes to the queue before it sends the answer. Standard library only. Status codes:

    200  the decoded validation token, and nothing else
    202  every item that authenticates is on the queue; the reply does not tell which did
    400  not a notification collection        413  too large, or too large for a body with escapes
    503  the settings are wrong, so Graph is to come again (it does for 4 hours)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .. import logs, settings, times
from ..errors import NotANotification, SettingError
from ..limits import MAX_REPORTED_IDS, Tally
from ..messages import envelope, rich_notifications, signals, tasks
from ..messages.tasks import NotificationsRefused, Task
from ..settings import CALL_EVENTS, Settings
from . import notifications, prefilter
from .notifications import ParsedNotifications

MAX_LOGGED = 50  # signal ids in one log line


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
        if due := _HANDSHAKES.add({"count": 1}):
            logs.info("handshake.answered", **due.counts)
        return WebhookReply(200, validation_token)
    if refused := _refused_unparsed(body, config):
        return refused
    traceparent = envelope.parse_trace_parent(traceparent)
    try:
        received = notifications.parse_notifications(body, config, times.now(), traceparent)
    except NotANotification as failure:
        return _refuse(400, "notNotifications", str(failure))
    return forward(received, traceparent)


def forward(received: ParsedNotifications, traceparent: str | None) -> WebhookReply:
    """The messages for what was received, with the reply that acknowledges it."""
    todo = [tasks.serialize_task(task) for task in received.tasks]
    if received.signals or received.encrypted.items or todo:
        logs.info(
            "notification.received",
            count=len(received.signals),
            signals=[news.signal_id for news in received.signals[:MAX_LOGGED]],
            encrypted=len(received.encrypted.items) or None,
            tasks=len(todo),
            traceparent=traceparent,
        )
    sealed, too_large = rich_notifications.pack_batch(received.encrypted)
    todo += _drop(received.dropped + Counter(tooLarge=too_large), received.refused_ids)
    return WebhookReply(202, signals=[*signals.pack_messages(received.signals), *sealed], tasks=todo)


def _refused_unparsed(body: bytes, config: Settings) -> WebhookReply | None:
    """The reply to a body that is too large to be parsed for a stranger.

    None for one that is to be parsed.
    """
    if len(body) > config.notification_max_bytes:
        return _refuse(413, "tooLarge", f"The body is larger than {config.notification_max_bytes} bytes.")
    if len(body) <= prefilter.SMALL or not config.has_plain_states:
        return None
    if prefilter.is_escaped(body):
        if CALL_EVENTS in config.signals:
            return None
        return _refuse(413, "escaped", f"A body with escapes is larger than {prefilter.SMALL} bytes.")
    if prefilter.holds_state(body, config.client_states):
        return None
    return WebhookReply(
        202, tasks=_drop({"clientState": 1}, prefilter.subscription_ids(body, MAX_REPORTED_IDS))
    )


def _refuse(status: int, reason: str, text: str) -> WebhookReply:
    if due := _REFUSED.add({reason: 1}):
        logs.warning("notification.refused", **due.counts)
    return WebhookReply(status, text)


def _drop(counts: Mapping[str, int], subscription_ids: Sequence[str]) -> list[str]:
    """Count dropped items.

    Return the task that reports those with a wrong client state, once in a while.
    """
    due = _DROPPED.add(counts, subscription_ids)
    if not due:
        return []
    logs.warning("notification.dropped", **due.counts)
    count = due.counts["clientState"]
    return [tasks.serialize_task(Task(NotificationsRefused(count, due.subscription_ids)))] if count else []


_HANDSHAKES, _REFUSED, _DROPPED = Tally(), Tally(), Tally()
