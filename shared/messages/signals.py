"""Signals (ended meetings, ready reports) and the messages on `meeting-signals`.

A signal's id is the same however often the signal is announced: `cr-` and a call record's id, `ve-` and the id of a
virtual event's report, or `ce-` and a hash of join URL and end of call. There are two kinds of messages:

- **news**, from the webhook, carries what cannot be read from Graph later;
- a **nudge** asks for the next attempt. All else is in the signal's record (`ledger.record`), so a nudge names neither
  person nor meeting.

The news of one POST is packed into few messages, because the Functions host sends the items of a binding one after
another. The worker unpacks them. Standard library only: the webhook loads this module.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from .. import times
from ..errors import NotOurMessage
from ..settings import GUID
from . import codec
from .codec import Moment
from .envelope import MAX_MESSAGE_BYTES, OPAQUE_ID, OpaqueId, TraceParent

VERSION = 2  # of messages on `meeting-signals`; other versions become dead letters
NEWS, NUDGE, PACK = "news", "nudge", "pack"
FAR_AHEAD = timedelta(days=1)  # more than any clock error
MAX_JOIN_URL = 2_048

# Ids of virtual events hold an @, and none of them is ever `.` or `..`.
EVENT_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._~=@+-]{0,255}\Z")
_CALL_EVENT = re.compile(r"ce-[0-9a-f]{64}\Z")
_SIGNAL_ID = re.compile(rf"(?:cr-|ve-){OPAQUE_ID.pattern}|{_CALL_EVENT.pattern}")

SignalId = Annotated[str, _SIGNAL_ID]


class SignalKind(StrEnum):
    """The subject of a signal."""

    CALL_RECORD = "callRecord"
    CALL_EVENT = "callEvent"
    REPORT_READY = "reportReady"


_PREFIXES = {SignalKind.CALL_RECORD: "cr-", SignalKind.CALL_EVENT: "ce-", SignalKind.REPORT_READY: "ve-"}


class Door(StrEnum):
    """The route by which news arrived; set by the trigger, not read from the body."""

    WEBHOOK = "webhook"
    EVENT_HUBS = "event-hubs"
    EVENT_GRID = "event-grid"


class EventKind(StrEnum):
    """The kinds of virtual events; values of `source`."""

    WEBINAR = "webinar"
    TOWNHALL = "townhall"


@dataclass(frozen=True)
class EventSession:
    """A session of a webinar or town hall."""

    source: EventKind
    event_id: Annotated[str, EVENT_ID]
    session_id: Annotated[str, EVENT_ID]


class Origin(StrEnum):
    """The source of a meeting's facts, the most reliable last."""

    NEWS = "news"
    LIST = "list"
    RECORD = "record"


_ORIGINS = tuple(Origin)


@dataclass(frozen=True)
class MeetingDetails:
    """Subject and schedule of an online meeting or event session.

    As far as MEETING_DETAILS has them kept. Of a recurring meeting Graph has one schedule only, which may be that
    of another occurrence.
    """

    subject: str | None = None
    scheduled_start: datetime | None = None
    scheduled_end: datetime | None = None
    thread_id: str | None = None
    meeting_type: str | None = None


@dataclass(frozen=True)
class Meeting:
    """Facts about the meeting of a signal; each attempt can add some.

    `version` is the version of the call record that the facts come from. `details` are None until they were read.
    """

    start: Moment | None = None
    end: Moment | None = None
    join_url: Annotated[str | None, "joinWebUrl"] = None
    organizer_id: str | None = None
    meeting_id: str | None = None
    event: Annotated[EventSession | None, codec.FLAT] = None
    version: Annotated[int, "recordVersion"] = 0
    origin: Annotated[Origin, "toldBy"] = Origin.NEWS
    organizer_tenant: str | None = None
    details: MeetingDetails | None = None

    def merge(self, other: Meeting) -> Meeting:
        """Combine two sets of facts.

        Of two values, the one from the later call record version wins, then the more reliable origin, then `other`.
        """
        first, second = (self, other) if self._weight > other._weight else (other, self)
        values = {
            each.name: _either(getattr(first, each.name), getattr(second, each.name)) for each in fields(self)
        }
        return Meeting(**values)

    @property
    def _weight(self) -> tuple[int, int]:
        return self.version, _ORIGINS.index(self.origin)


def _either(first: Any, second: Any) -> Any:
    return second if first is None else first


@dataclass(frozen=True)
class News:
    """An announcement by Graph, as a door passes it on.

    `waits` counts the waits for its subscription; `packed`: it came in one POST with others.
    """

    signal_id: SignalId
    first_seen: Moment
    door: Door = Door.WEBHOOK
    subscription_id: OpaqueId | None = None
    meeting: Annotated[Meeting, codec.FLAT] = Meeting()
    traceparent: TraceParent = None
    waits: int = 0
    packed: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError if facts are missing that cannot be read from Graph."""
        match kind_of(self.signal_id):
            case SignalKind.REPORT_READY if self.meeting.event is None:
                raise ValueError("is for a report but names no session")
            case SignalKind.CALL_EVENT if self.meeting.join_url is None:
                raise ValueError("is for a call event but names no meeting")


@dataclass(frozen=True)
class Nudge:
    """A request for the next attempt, after `attempt` earlier ones."""

    signal_id: SignalId
    attempt: int
    traceparent: TraceParent = None


type Message = News | Nudge
_KINDS: dict[str, type[News | Nudge]] = {NEWS: News, NUDGE: Nudge}


def kind_of(signal_id: str) -> SignalKind | None:
    """Return the kind of a signal from its id; None for a dead letter."""
    return next((kind for kind, prefix in _PREFIXES.items() if signal_id.startswith(prefix)), None)


def subject_of(signal_id: str) -> str:
    """Return the id without its prefix: a call record's or report's id, or a hash."""
    return signal_id[3:]


def call_record_signal_id(call_id: str) -> str:
    """Return the id of a call record's signal."""
    return f"{_PREFIXES[SignalKind.CALL_RECORD]}{lower_guid(call_id)}"


def report_signal_id(report_id: str) -> str:
    """Return the signal id of a virtual event's report."""
    return f"{_PREFIXES[SignalKind.REPORT_READY]}{lower_guid(report_id)}"


def call_event_signal_id(join_url: str, end: datetime | str) -> str:
    """Return the signal id of a call event: by the call's end, or by its hash."""
    text = end if isinstance(end, str) else times.text(end)
    content = f"{join_url} {text}".encode("utf-8", "surrogatepass")
    return f"{_PREFIXES[SignalKind.CALL_EVENT]}{hashlib.sha256(content).hexdigest()}"


def call_record_news(call_id: str, first_seen: datetime, **fields: Any) -> News:
    """Return news of a call record."""
    return News(call_record_signal_id(call_id), first_seen, **fields)


def report_news(report_id: str, session: EventSession, first_seen: datetime, **fields: Any) -> News:
    """Return news of a virtual event's report."""
    return News(report_signal_id(report_id), first_seen, meeting=Meeting(event=session), **fields)


def call_event_news(
    join_url: str, end: datetime, first_seen: datetime, organizer_id: str | None = None, **fields: Any
) -> News:
    """Return news of an ended call; if its end is unknown, `end` is the arrival."""
    meeting = Meeting(end=end, join_url=join_url, organizer_id=organizer_id)
    return News(call_event_signal_id(join_url, end), first_seen, meeting=meeting, **fields)


def serialize_message(each: Message) -> str:
    """Return the text of one message."""
    return f'{{"version":{VERSION},{_serialize_item(each)[1:]}'


def pack_messages(each: Iterable[Message]) -> list[str]:
    """Pack messages into as few texts as possible, each within MAX_MESSAGE_BYTES.

    A single message is not packed.
    """
    head, tail = f'{{"version":{VERSION},"kind":"{PACK}","messages":[', "]}"
    room = MAX_MESSAGE_BYTES - len(head) - len(tail)
    packs: list[list[str]] = []
    size = room + 1
    for item in map(_serialize_item, each):  # ASCII, so characters are bytes
        if size + len(item) + 1 > room:
            packs.append([])
            size = 0
        packs[-1].append(item)
        size += len(item) + 1
    return [
        head + ",".join(items) + tail if len(items) > 1 else f'{{"version":{VERSION},{items[0][1:]}'
        for items in packs
    ]


def unpack_messages(content: dict[str, Any]) -> Sequence[Message]:
    """Return the news and nudges in a message. Raises NotOurMessage."""
    if content.get("kind") != PACK:
        return (_parse_message(content),)
    items = content.get("messages")
    if not isinstance(items, list) or not items:
        raise NotOurMessage("A pack is empty.")
    return tuple(map(_parse_message, items))


def _serialize_item(each: Message) -> str:
    kind = NEWS if isinstance(each, News) else NUDGE
    return f'{{"kind":"{kind}",{codec.dumps(each)[1:]}'


def _parse_message(item: object) -> Message:
    name = item.get("kind") if isinstance(item, dict) else None
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise NotOurMessage("The kind of a queue message is unknown.")
    message = codec.decode(kind, item)
    if isinstance(message, News) and message.first_seen > times.now() + FAR_AHEAD:
        raise NotOurMessage("firstSeen of a queue message lies in the future.")
    return message


def lower_guid(identifier: str) -> str:
    """Lower-case an id if it is a GUID, because Graph writes one id in either case."""
    return identifier.lower() if GUID.match(identifier) else identifier
