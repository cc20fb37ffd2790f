"""Signals: news that a meeting may have ended, and the queue messages that carry them.

Each kind has a prefix, and its id is the same however often the news comes: `cr-` and the id of a call record, `ve-`
and the id of a virtual event's report, `ce-` and a hash of a join URL and the time of the call's end. The webhook packs
the signals of one POST into few messages, since the Functions host sends a binding's list one message after another;
the worker takes a pack apart again. Standard library only: the webhook loads this module.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from .. import times
from ..errors import NotOurMessage
from . import envelope
from .envelope import MAX_MESSAGE_BYTES, VERSION

PACK = "pack"
FAR_AHEAD = timedelta(days=1)  # no clock is as wrong as this
MAX_JOIN_URL = 2_048

# Ids of virtual events hold an @, and none of them is ever `.` or `..`.
EVENT_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._~=@+-]{0,255}\Z")
_CALL_EVENT = re.compile(r"ce-[0-9a-f]{64}\Z")


class Kind(StrEnum):
    """What the news is about, and the values of `kind` in messages."""

    CALL_RECORD = "callRecord"
    CALL_EVENT = "callEvent"
    REPORT_READY = "reportReady"


_PREFIXES = {Kind.CALL_RECORD: "cr-", Kind.CALL_EVENT: "ce-", Kind.REPORT_READY: "ve-"}


class FoundBy(StrEnum):
    """How we came to know of a signal. A backfill takes every report of each meeting that it meets."""

    NOTIFICATION = "notification"
    SWEEP = "sweep"
    BACKFILL = "backfill"


class EventKind(StrEnum):
    """The kinds of virtual events, as `source` names them."""

    WEBINAR = "webinar"
    TOWNHALL = "townhall"


@dataclass(frozen=True)
class EventSession:
    """A session of a webinar or town hall."""

    source: EventKind
    event_id: str
    session_id: str


@dataclass(frozen=True)
class Meeting:
    """What is known of the meeting behind a signal; grows from attempt to attempt."""

    start: datetime | None = None
    end: datetime | None = None
    join_url: str | None = None
    organizer_id: str | None = None
    meeting_id: str | None = None
    event: EventSession | None = None


@dataclass(frozen=True)
class Signal:
    """News that a call or meeting has ended, or that a report is ready; `id` names its outcome.

    `attempt` counts the attempts made so far and fences: a message whose attempt is below the outcome's is
    dropped. `ticket` names the one message that continues a pending outcome. `filed` is the date of the
    outcome's partition once an outcome was written. `meeting` is what the news itself told. A signal
    that is taken up again has a series of attempts of its own: it began at `since`, after `base` attempts. One that
    `confirms` only reads the stored reports a second time.
    """

    id: str
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
    def kind(self) -> Kind:
        """What the news is about."""
        return kind_of(self.id) or Kind.CALL_RECORD

    @property
    def subject(self) -> str:
        """The id without its prefix: of a call record or a report, or a hash."""
        return self.id[3:]

    def following(self, ticket: str, filed: date, *, denied: bool, confirms: bool) -> Signal:
        """The signal as the next attempt's message carries it.

        What is known of the meeting is in the outcome; only what Graph cannot be asked for goes on here too.
        """
        return replace(
            self,
            attempt=self.attempt + 1,
            ticket=ticket,
            filed=filed,
            denied=denied,
            meeting=None if self.kind is Kind.CALL_RECORD else self.meeting,
            confirms=confirms,
        )


def kind_of(signal_id: str) -> Kind | None:
    """The kind of a signal's id; None for the outcome of a message that nobody could read."""
    return next((kind for kind, prefix in _PREFIXES.items() if signal_id.startswith(prefix)), None)


def call_record_id(call_id: str) -> str:
    """The id of the signal of a call record."""
    return f"{_PREFIXES[Kind.CALL_RECORD]}{call_id}"


def report_ready_id(report_id: str) -> str:
    """The id of the signal of a virtual event's report."""
    return f"{_PREFIXES[Kind.REPORT_READY]}{report_id}"


def call_event_id(join_url: str, end: datetime) -> str:
    """The id of the signal of a call's end: the same meeting and time have the same."""
    digest = hashlib.sha256(f"{join_url}\n{times.text(end)}".encode("utf-8", "backslashreplace"))
    return f"{_PREFIXES[Kind.CALL_EVENT]}{digest.hexdigest()}"


def of_call_record(call_id: str, first_seen: datetime, **known: Any) -> Signal:
    """A call record was created."""
    return Signal(call_record_id(call_id), first_seen, **known)


def of_report(report_id: str, session: EventSession, first_seen: datetime, **known: Any) -> Signal:
    """A report of a virtual event's session is ready."""
    return Signal(report_ready_id(report_id), first_seen, meeting=Meeting(event=session), **known)


def of_call_event(
    join_url: str, end: datetime, first_seen: datetime, organizer_id: str | None = None, **known: Any
) -> Signal:
    """A call ended; or, where the time is that of the news, something happened in a meeting that is to be looked at."""
    meeting = Meeting(end=end, join_url=join_url, organizer_id=organizer_id)
    return Signal(call_event_id(join_url, end), first_seen, meeting=meeting, **known)


def message(signal: Signal) -> str:
    """The queue message of one signal."""
    return envelope.dumps({"version": VERSION, **_fields(signal)})


def pack(signals: Iterable[Signal]) -> list[str]:
    """As few messages as hold all `signals`, each within MAX_MESSAGE_BYTES; one signal goes unpacked."""
    head, tail = envelope.dumps({"version": VERSION, "kind": PACK, "signals": []})[:-2], "]}"
    room = MAX_MESSAGE_BYTES - len(head) - len(tail)
    packs: list[list[str]] = []
    size = room + 1
    for signal in signals:
        item = envelope.dumps(_fields(signal))  # ASCII, so characters are bytes
        if len(item) > room and signal.kind is Kind.CALL_RECORD:  # the worker can ask for what the list told
            item = envelope.dumps(_fields(replace(signal, meeting=None)))
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
    content = envelope.loads(text)
    if content.get("kind") != PACK:
        return (_signal(content),)
    items = content.get("signals")
    if not isinstance(items, list) or not items:
        raise NotOurMessage("A pack without signals.")
    return tuple(_signal(item) for item in items)


def _fields(signal: Signal) -> dict[str, Any]:
    meeting = signal.meeting or Meeting()
    event = meeting.event
    return {
        "kind": signal.kind,
        **_subject(signal),
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
        "source": event.source if event else None,
        "eventId": event.event_id if event else None,
        "sessionId": event.session_id if event else None,
        "since": times.optional_text(signal.since),
        "base": signal.base or None,
        "confirms": signal.confirms or None,
        "traceparent": signal.traceparent,
    }


def _subject(signal: Signal) -> dict[str, str]:
    match signal.kind:
        case Kind.CALL_RECORD:
            return {"callId": signal.subject}
        case Kind.REPORT_READY:
            return {"reportId": signal.subject}
        case Kind.CALL_EVENT:
            return {"signalId": signal.id}


def _id(content: Mapping[str, Any], meeting: Meeting | None) -> str:
    """The signal's id. Raises NotOurMessage also for one that lacks what cannot be asked for."""
    match content.get("kind"):
        case Kind.CALL_RECORD:
            return call_record_id(envelope.opaque_id(content, "callId"))
        case Kind.REPORT_READY:
            if meeting is None or meeting.event is None:
                raise NotOurMessage("A message of a report names no session.")
            return report_ready_id(envelope.opaque_id(content, "reportId"))
        case Kind.CALL_EVENT:
            signal_id = envelope.string(content, "signalId")
            if signal_id is None or not _CALL_EVENT.match(signal_id):
                raise NotOurMessage("signalId of a message is missing or not an id.")
            if meeting is None or meeting.join_url is None:
                raise NotOurMessage("A message of a call event names no meeting.")
            return signal_id
        case _:
            raise NotOurMessage("The kind of a signal is unknown.")


def _signal(content: object) -> Signal:
    if not isinstance(content, dict):
        raise NotOurMessage("The kind of a signal is unknown.")
    meeting = _meeting(content)
    signal_id = _id(content, meeting)
    first_seen = envelope.moment(content, "firstSeen")
    if first_seen is None:
        raise NotOurMessage("firstSeen of a message is missing.")
    if first_seen > times.now() + FAR_AHEAD:
        raise NotOurMessage("firstSeen of a message lies in the future.")
    try:
        found_by = FoundBy(content.get("foundBy", FoundBy.NOTIFICATION))
    except ValueError:
        raise NotOurMessage("foundBy of a message is unknown.") from None
    return Signal(
        signal_id,
        first_seen,
        envelope.whole(content, "attempt"),
        envelope.string(content, "ticket"),
        content.get("denied") is True,
        envelope.day(content, "filed"),
        envelope.trace_parent(content.get("traceparent")),
        found_by,
        meeting,
        envelope.moment(content, "since"),
        envelope.whole(content, "base"),
        content.get("confirms") is True,
    )


def _meeting(content: Mapping[str, Any]) -> Meeting | None:
    known = Meeting(
        envelope.moment(content, "start"),
        envelope.moment(content, "end"),
        envelope.string(content, "joinWebUrl"),
        envelope.string(content, "organizerId"),
        envelope.string(content, "meetingId"),
        _event(content),
    )
    return None if known == Meeting() else known


def _event(content: Mapping[str, Any]) -> EventSession | None:
    source, event_id, session_id = (
        envelope.string(content, name) for name in ("source", "eventId", "sessionId")
    )
    if source is None and event_id is None and session_id is None:
        return None
    try:
        kind = EventKind(source or "")
    except ValueError:
        raise NotOurMessage("source of a message is no kind of event.") from None
    if not (event_id and EVENT_ID.match(event_id) and session_id and EVENT_ID.match(session_id)):
        raise NotOurMessage("eventId or sessionId of a message is missing or not an id.")
    return EventSession(kind, event_id, session_id)
