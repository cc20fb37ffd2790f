"""Signals: an ended meeting or a ready report, and the messages of the queue `meeting-signals`.

A signal has an id that is the same however often it is announced: `cr-` and the id of a call record, `ve-` and the id
of a virtual event's report, `ce-` and a hash of a join URL and the time of the call's end. Two kinds of message name
one: **news**, from a door, carries what Graph cannot be asked for later; a **nudge** asks for the next attempt, and
everything else is in the signal's record (see `ledger.record`), so that no person and no meeting is in it. A door packs
the news of one POST into few messages, because the Functions host sends the items of a binding one after another; the
worker takes a pack apart. Standard library only: the webhook loads this module.
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

VERSION = 2  # of the messages of `meeting-signals`; others are buried and shown
NEWS, NUDGE, PACK = "news", "nudge", "pack"
FAR_AHEAD = timedelta(days=1)  # no clock is as wrong as this
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
    """The way by which news came in, written from the trigger and never from the body."""

    WEBHOOK = "webhook"


class EventKind(StrEnum):
    """The kinds of virtual events, as `source` names them."""

    WEBINAR = "webinar"
    TOWNHALL = "townhall"


@dataclass(frozen=True)
class EventSession:
    """A session of a webinar or town hall."""

    source: EventKind
    event_id: Annotated[str, EVENT_ID]
    session_id: Annotated[str, EVENT_ID]


class Origin(StrEnum):
    """Who told the facts of a meeting, the most reliable last."""

    NEWS = "news"
    LIST = "list"
    RECORD = "record"


_ORIGINS = tuple(Origin)


@dataclass(frozen=True)
class Meeting:
    """The facts about the meeting behind a signal; they grow from attempt to attempt.

    `version` is that of the call record that told them.
    """

    start: datetime | None = None
    end: datetime | None = None
    join_url: Annotated[str | None, "joinWebUrl"] = None
    organizer_id: str | None = None
    meeting_id: str | None = None
    event: Annotated[EventSession | None, codec.FLAT] = None
    version: Annotated[int, "recordVersion"] = 0
    origin: Annotated[Origin, "toldBy"] = Origin.NEWS
    organizer_tenant: str | None = None

    def merge(self, other: Meeting) -> Meeting:
        """The facts of both: of two values the later version's, then the more reliable one's, else that of `other`."""
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
    """An announcement by Graph, as a door passes it on."""

    signal_id: SignalId
    first_seen: Moment
    door: Door = Door.WEBHOOK
    subscription_id: OpaqueId | None = None
    meeting: Annotated[Meeting, codec.FLAT] = Meeting()
    traceparent: TraceParent = None

    def __post_init__(self) -> None:
        """Raise ValueError for news that lacks what Graph cannot be asked for."""
        match kind_of(self.signal_id):
            case SignalKind.REPORT_READY if self.meeting.event is None:
                raise ValueError("is of a report and names no session")
            case SignalKind.CALL_EVENT if self.meeting.join_url is None:
                raise ValueError("is of a call event and names no meeting")


@dataclass(frozen=True)
class Nudge:
    """A request for the attempt that follows the first `attempt` ones."""

    signal_id: SignalId
    attempt: int
    traceparent: TraceParent = None


type Message = News | Nudge
_KINDS: dict[str, type[News | Nudge]] = {NEWS: News, NUDGE: Nudge}


def kind_of(signal_id: str) -> SignalKind | None:
    """The kind of a signal by its id; None for the record of a message that could not be read."""
    return next((kind for kind, prefix in _PREFIXES.items() if signal_id.startswith(prefix)), None)


def subject_of(signal_id: str) -> str:
    """The id without its prefix: of a call record or a report, or a hash."""
    return signal_id[3:]


def call_record_signal_id(call_id: str) -> str:
    """The id of a call record's signal."""
    return f"{_PREFIXES[SignalKind.CALL_RECORD]}{_canonical(call_id)}"


def report_signal_id(report_id: str) -> str:
    """The id of the signal of a virtual event's report."""
    return f"{_PREFIXES[SignalKind.REPORT_READY]}{_canonical(report_id)}"


def call_event_signal_id(join_url: str, end: datetime) -> str:
    """The id of the signal of a call that ended then."""
    content = f"{join_url} {times.text(end)}".encode("utf-8", "surrogatepass")
    return f"{_PREFIXES[SignalKind.CALL_EVENT]}{hashlib.sha256(content).hexdigest()}"


def call_record_news(call_id: str, first_seen: datetime, **known: Any) -> News:
    """News of a call record."""
    return News(call_record_signal_id(call_id), first_seen, **known)


def report_news(report_id: str, session: EventSession, first_seen: datetime, **known: Any) -> News:
    """News of a report of a virtual event's session."""
    return News(report_signal_id(report_id), first_seen, meeting=Meeting(event=session), **known)


def call_event_news(
    join_url: str, end: datetime, first_seen: datetime, organizer_id: str | None = None, **known: Any
) -> News:
    """News of a call's end; where the end is not known, `end` is the time of the news."""
    meeting = Meeting(end=end, join_url=join_url, organizer_id=organizer_id)
    return News(call_event_signal_id(join_url, end), first_seen, meeting=meeting, **known)


def serialize_message(each: Message) -> str:
    """The text of one message."""
    return f'{{"version":{VERSION},{_item(each)[1:]}'


def pack_messages(each: Iterable[Message]) -> list[str]:
    """The texts of as few messages as hold all of these, each within MAX_MESSAGE_BYTES; one alone is not packed."""
    head, tail = f'{{"version":{VERSION},"kind":"{PACK}","messages":[', "]}"
    room = MAX_MESSAGE_BYTES - len(head) - len(tail)
    packs: list[list[str]] = []
    size = room + 1
    for item in map(_item, each):  # ASCII, so characters are bytes
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
    """The news and nudges in the content of a message. Raises NotOurMessage."""
    if content.get("kind") != PACK:
        return (_parse(content),)
    items = content.get("messages")
    if not isinstance(items, list) or not items:
        raise NotOurMessage("A pack holds no messages.")
    return tuple(map(_parse, items))


def _item(each: Message) -> str:
    kind = NEWS if isinstance(each, News) else NUDGE
    return f'{{"kind":"{kind}",{codec.dumps(each)[1:]}'


def _parse(item: object) -> Message:
    name = item.get("kind") if isinstance(item, dict) else None
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise NotOurMessage("The kind of a queue message is unknown.")
    found = codec.decode(kind, item)
    if isinstance(found, News) and found.first_seen > times.now() + FAR_AHEAD:
        raise NotOurMessage("firstSeen of a queue message lies in the future.")
    return found


def _canonical(identifier: str) -> str:
    """An id in GUID form in lower case: Graph writes one id in both."""
    return identifier.lower() if GUID.match(identifier) else identifier
