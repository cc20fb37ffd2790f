"""What the two webhook routes answer: the validation handshake, and the acknowledgement of notifications.

The reply never waits for Graph, Key Vault or Blob storage: it is ready as soon as the signals are handed to the
output binding, which the host writes to the queue before it sends the reply. Standard library only. Status codes:

    200  the decoded validation token, and nothing else
    202  every item that authenticates is on the queue; it does not tell which did
    400  not a notification collection        413  too large
    503  the settings are wrong, so Graph is to come again (it does for 4 hours)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared import logs, notifications, settings, signals, times
from shared.errors import NotANotification, SettingError

MAX_LOGGED = 50  # signal ids in one log line


@dataclass(frozen=True)
class Reply:
    """A status, a plain text, and the messages for `meeting-signals` and `upkeep`."""

    status: int
    text: str = ""
    signals: Sequence[str] = ()
    tasks: Sequence[str] = ()


def answer(
    *, validation_token: str | None, body: bytes, environ: Mapping[str, str], traceparent: str | None
) -> Reply:
    """Answer one POST to a webhook route. Never raises for what a sender can do."""
    try:
        config = settings.load(environ)
    except SettingError as failure:
        logs.error("settings.wrong", error=str(failure))
        return Reply(503, "The app is not configured; its health page says what is wrong.")
    if validation_token is not None:
        logs.info("handshake.answered")
        return Reply(200, validation_token)
    if len(body) > config.notification_max_bytes:
        logs.warning("notification.refused", reason="tooLarge", bytes=len(body))
        return Reply(413, f"The body is larger than {config.notification_max_bytes} bytes.")
    traceparent = signals.trace_parent(traceparent)
    try:
        received = notifications.read(body, config, times.now(), traceparent)
    except NotANotification as failure:
        logs.warning("notification.refused", reason=str(failure), bytes=len(body))
        return Reply(400, str(failure))
    logs.info(
        "notification.received",
        count=len(received.signals),
        signals=[signal.id for signal in received.signals[:MAX_LOGGED]],
        tasks=len(received.tasks),
        traceparent=traceparent,
    )
    if received.dropped:
        logs.warning("notification.dropped", **received.dropped)
    return Reply(
        202,
        signals=signals.pack(received.signals),
        tasks=[signals.task_message(task) for task in received.tasks],
    )
