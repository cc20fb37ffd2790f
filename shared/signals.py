"""Signals: news that a meeting may have ended, and the queue messages that carry them.

The webhook packs the signals of one POST into few messages, since the Functions host sends a binding's list one
message after another; the worker takes a pack apart again. Standard library only: the webhook loads this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from shared import messages, times
from shared.errors import NotOurMessage
from shared.messages import MAX_MESSAGE_BYTES, VERSION

CALL_RECORD = "callRecord"
PACK = "pack"
_PREFIX = "cr-"
FAR_AHEAD = timedelta(days=1)  # no clock is as wrong as this


class FoundBy(StrEnum):
    """How we came to know of a signal. A backfill takes every report of each meeting that it meets."""

    NOTIFICATION = "notification"
    SWEEP = "sweep"
    BACKFILL = "backfill"


@dataclass(frozen=True)
class Meeting:
    """What is known of the meeting behind a signal; grows from attempt to attempt."""

    start: datetime | None = None
    end: datetime | None = None
    join_url: str | None = None
    organizer_id: str | None = None
    meeting_id: str | None = None


@dataclass(frozen=True)
class Signal:
    """A call record was created: a call or meeting has ended.

    `attempt` counts the attempts made so far and fences: a message whose attempt is below the outcome's is
    dropped. `ticket` names the one message that continues a pending outcome. `filed` is the date of the
    outcome's partition once an outcome was written. `meeting` is what the sweep's list already told. A signal
    that is taken up again has a series of attempts of its own: it began at `since`, after `base` attempts. One that
    `confirms` only reads the stored reports a second time.
    """

    call_id: str
    first_seen: datetime
    attempt: int = 0
    ticket: str | None = None
    denied: bool = False
    filed: date | None = None
    traceparent: str | None = None
    found_by: FoundBy = FoundBy.NOTIFICATION
    meeting: Meeting | None = None
    since: datetime | None = None
    base: int = 0
    confirms: bool = False

    @property
    def id(self) -> str:
        """The signal's id, which names its outcome."""
        return signal_id(self.call_id)

    def following(self, ticket: str, filed: date, *, denied: bool, confirms: bool) -> Signal:
        """The signal as the next attempt's message carries it; what is known of the meeting is in the outcome."""
        return replace(
            self,
            attempt=self.attempt + 1,
            ticket=ticket,
            filed=filed,
            denied=denied,
            meeting=None,
            confirms=confirms,
        )


def signal_id(call_id: str) -> str:
    """The id of the signal of a call record."""
    return f"{_PREFIX}{call_id}"


def call_id_of(signal_id: str) -> str | None:
    """The call record of a signal's id; None for an id of another kind."""
    return signal_id.removeprefix(_PREFIX) if signal_id.startswith(_PREFIX) else None


def message(signal: Signal) -> str:
    """The queue message of one signal."""
    return messages.dumps({"version": VERSION, **_fields(signal)})


def pack(signals: Iterable[Signal]) -> list[str]:
    """As few messages as hold all `signals`, each within MAX_MESSAGE_BYTES; one signal goes unpacked."""
    head, tail = messages.dumps({"version": VERSION, "kind": PACK, "signals": []})[:-2], "]}"
    room = MAX_MESSAGE_BYTES - len(head) - len(tail)
    packs: list[list[str]] = []
    size = room + 1
    for signal in signals:
        item = messages.dumps(_fields(signal))  # ASCII, so characters are bytes
        if len(item) > room:  # the worker can ask for what the list told
            item = messages.dumps(_fields(replace(signal, meeting=None)))
        if size + len(item) + 1 > room:
            packs.append([])
            size = 0
        packs[-1].append(item)
        size += len(item) + 1
    return [
        head + ",".join(items) + tail if len(items) > 1 else f'{{"version":{VERSION},{items[0][1:]}'
        for items in packs
    ]


def unpack(text: str) -> Sequence[Signal]:
    """The signals of a message. Raises NotOurMessage."""
    content = messages.loads(text)
    if content.get("kind") != PACK:
        return (_signal(content),)
    items = content.get("signals")
    if not isinstance(items, list) or not items:
        raise NotOurMessage("A pack without signals.")
    return tuple(_signal(item) for item in items)


def _fields(signal: Signal) -> dict[str, Any]:
    meeting = signal.meeting or Meeting()
    return {
        "kind": CALL_RECORD,
        "callId": signal.call_id,
        "firstSeen": times.text(signal.first_seen),
        "attempt": signal.attempt,
        "ticket": signal.ticket,
        "denied": signal.denied or None,
        "filed": signal.filed.isoformat() if signal.filed else None,
        "foundBy": None if signal.found_by is FoundBy.NOTIFICATION else signal.found_by,
        "start": times.optional_text(meeting.start),
        "end": times.optional_text(meeting.end),
        "joinWebUrl": meeting.join_url,
        "organizerId": meeting.organizer_id,
        "meetingId": meeting.meeting_id,
        "since": times.optional_text(signal.since),
        "base": signal.base or None,
        "confirms": signal.confirms or None,
        "traceparent": signal.traceparent,
    }


def _signal(content: object) -> Signal:
    if not isinstance(content, dict) or content.get("kind") != CALL_RECORD:
        raise NotOurMessage("The kind of a signal is unknown.")
    first_seen = messages.moment(content, "firstSeen")
    if first_seen is None:
        raise NotOurMessage("firstSeen of a message is missing.")
    if first_seen > times.now() + FAR_AHEAD:
        raise NotOurMessage("firstSeen of a message lies in the future.")
    try:
        found_by = FoundBy(content.get("foundBy", FoundBy.NOTIFICATION))
    except ValueError:
        raise NotOurMessage("foundBy of a message is unknown.") from None
    return Signal(
        messages.opaque_id(content, "callId"),
        first_seen,
        messages.whole(content, "attempt"),
        messages.string(content, "ticket"),
        content.get("denied") is True,
        messages.day(content, "filed"),
        messages.trace_parent(content.get("traceparent")),
        found_by,
        _meeting(content),
        messages.moment(content, "since"),
        messages.whole(content, "base"),
        content.get("confirms") is True,
    )


def _meeting(content: Mapping[str, Any]) -> Meeting | None:
    known = Meeting(
        messages.moment(content, "start"),
        messages.moment(content, "end"),
        messages.string(content, "joinWebUrl"),
        messages.string(content, "organizerId"),
        messages.string(content, "meetingId"),
    )
    return None if known == Meeting() else known
