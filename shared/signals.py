"""Signals: news that a meeting may have ended, and the queue messages that carry them.

A message is JSON with `version` and `kind`, at most 40 KB, and holds no attendance data. The webhook packs the
signals of one POST into few messages, since the Functions host sends a binding's list one message after
another; the worker takes a pack apart again. Standard library only: the webhook loads this module.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from shared import times
from shared.errors import NotOurMessage

VERSION = 1
MAX_MESSAGE_BYTES = 40 * 1024
CALL_RECORD = "callRecord"
PACK = "pack"
RENEW = "renewSubscription"
MAINTAIN = "maintainSubscriptions"

# An id goes into addresses and blob names: it begins with a letter or digit, so it is never `.` or `..`.
OPAQUE_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._~=-]{0,127}\Z")
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")


@dataclass(frozen=True)
class Signal:
    """A call record was created: a call or meeting has ended.

    `attempt` counts the attempts made so far and fences: a message whose attempt is below the outcome's is
    dropped. `ticket` names the one message that continues a pending outcome. `filed` is the date of the
    outcome's partition once an outcome was written.
    """

    call_id: str
    first_seen: datetime
    attempt: int = 0
    ticket: str | None = None
    denied: bool = False
    filed: date | None = None
    traceparent: str | None = None

    @property
    def id(self) -> str:
        """The signal's id, which names its outcome."""
        return f"cr-{self.call_id}"

    def following(self, ticket: str, filed: date, *, denied: bool) -> Signal:
        """The signal as the next attempt's message carries it."""
        return replace(self, attempt=self.attempt + 1, ticket=ticket, filed=filed, denied=denied)


@dataclass(frozen=True)
class Task:
    """Upkeep to be done: renew one subscription, or go through all of them; `attempt` counts those that failed."""

    kind: str
    subscription_id: str | None = None
    traceparent: str | None = None
    attempt: int = 0


def message(signal: Signal) -> str:
    """The queue message of one signal."""
    return _text({"version": VERSION, **_fields(signal)})


def task_message(task: Task) -> str:
    """The queue message of one task."""
    return _text(
        {
            "version": VERSION,
            "kind": task.kind,
            "subscriptionId": task.subscription_id,
            "attempt": task.attempt,
            "traceparent": task.traceparent,
        }
    )


def pack(signals: Iterable[Signal]) -> list[str]:
    """As few messages as hold all `signals`, each within MAX_MESSAGE_BYTES; one signal goes unpacked."""
    head, tail = _text({"version": VERSION, "kind": PACK, "signals": []})[:-2], "]}"
    room = MAX_MESSAGE_BYTES - len(head) - len(tail)
    packs: list[list[str]] = []
    size = room + 1
    for signal in signals:
        item = _text(_fields(signal))  # ASCII, so characters are bytes
        if size + len(item) + 1 > room:
            packs.append([])
            size = 0
        packs[-1].append(item)
        size += len(item) + 1
    return [
        head + ",".join(items) + tail
        if len(items) > 1
        else _text({"version": VERSION, **json.loads(items[0])})
        for items in packs
    ]


def unpack(text: str) -> Sequence[Signal]:
    """The signals of a message. Raises NotOurMessage."""
    content = _content(text)
    if content.get("kind") != PACK:
        return (_signal(content),)
    items = content.get("signals")
    if not isinstance(items, list) or not items:
        raise NotOurMessage("A pack without signals.")
    return tuple(_signal(item) for item in items)


def task(text: str) -> Task:
    """The task of an upkeep message. Raises NotOurMessage."""
    content = _content(text)
    kind, subscription_id = content.get("kind"), content.get("subscriptionId")
    attempt, trace = _attempt(content), trace_parent(content.get("traceparent"))
    if kind == RENEW and isinstance(subscription_id, str) and OPAQUE_ID.match(subscription_id):
        return Task(RENEW, subscription_id, trace, attempt)
    if kind == MAINTAIN:
        return Task(MAINTAIN, None, trace, attempt)
    raise NotOurMessage("The kind of an upkeep message is unknown, or its subscriptionId is missing.")


def trace_parent(value: object) -> str | None:
    """`value` if it is a W3C traceparent, else None."""
    return value if isinstance(value, str) and _TRACE_PARENT.match(value) else None


def _text(content: dict[str, Any]) -> str:
    return json.dumps(
        {key: value for key, value in content.items() if value is not None}, separators=(",", ":")
    )


def _fields(signal: Signal) -> dict[str, Any]:
    return {
        "kind": CALL_RECORD,
        "callId": signal.call_id,
        "firstSeen": times.text(signal.first_seen),
        "attempt": signal.attempt,
        "ticket": signal.ticket,
        "denied": signal.denied or None,
        "filed": signal.filed.isoformat() if signal.filed else None,
        "traceparent": signal.traceparent,
    }


def _content(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise NotOurMessage("A queue message is not JSON.") from None
    if not isinstance(content, dict):
        raise NotOurMessage("A queue message is not a JSON object.")
    if content.get("version") != VERSION:
        raise NotOurMessage(f"A queue message is not of version {VERSION}.")
    return content


def _attempt(content: dict[str, Any]) -> int:
    attempt = content.get("attempt", 0)
    if not isinstance(attempt, int) or attempt < 0:
        raise NotOurMessage("The attempt of a message is not a whole number.")
    return attempt


def _signal(content: object) -> Signal:
    if not isinstance(content, dict) or content.get("kind") != CALL_RECORD:
        raise NotOurMessage("The kind of a signal is unknown.")
    call_id, attempt, ticket = content.get("callId"), _attempt(content), content.get("ticket")
    if not isinstance(call_id, str) or not OPAQUE_ID.match(call_id):
        raise NotOurMessage("A signal's callId is missing or not an id.")
    if ticket is not None and not isinstance(ticket, str):
        raise NotOurMessage("A signal's ticket is not a string.")
    try:
        first_seen = times.parse(content.get("firstSeen"))
        filed = date.fromisoformat(content["filed"]) if "filed" in content else None
    except (ValueError, TypeError):
        raise NotOurMessage("A signal's firstSeen or filed is not a time.") from None
    if first_seen is None:
        raise NotOurMessage("A signal's firstSeen is missing.")
    return Signal(
        call_id,
        first_seen,
        attempt,
        ticket,
        content.get("denied") is True,
        filed,
        trace_parent(content.get("traceparent")),
    )
