"""Rich notifications of call events on their way from the door to the worker: ciphertext, and who vouches for it.

A door can neither decrypt nor verify before it answers, so it passes on what came, with the validation tokens of its
body. Ciphertext and tokens travel on the queue only, and are never stored or shown elsewhere: a buried or logged one is
reduced to news that a meeting is to be looked at. Standard library only: the webhook loads this module.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated

from ..errors import NotOurMessage
from . import codec, envelope, signals
from .codec import Moment
from .envelope import MAX_MESSAGE_BYTES, OpaqueId, TraceParent
from .signals import MAX_JOIN_URL, VERSION, Door, Message, News, call_event_news

KIND = "encryptedCallEvents"
FIELDS = ("data", "dataKey", "dataSignature", "encryptionCertificateId", "encryptionCertificateThumbprint")


def parse_encrypted_content(value: object) -> dict[str, str] | None:
    """The `encryptedContent` of a notification without what it does not name; None for another shape."""
    if not isinstance(value, dict):
        return None
    content = {name: value[name] for name in FIELDS if isinstance(value.get(name), str)}
    return content if len(content) >= len(FIELDS) - 1 and set(FIELDS[:4]) <= set(content) else None


def _content(value: object) -> dict[str, str]:
    content = parse_encrypted_content(value)
    if content is None:
        raise ValueError("lacks a part of encrypted content")
    return content


@dataclass(frozen=True)
class RichItem:
    """One rich item: the meeting that it is about, its `encryptedContent`, and its subscription."""

    join_url: Annotated[str, "joinWebUrl", re.compile(rf"(?s).{{1,{MAX_JOIN_URL}}}\Z")]
    content: Annotated[Mapping[str, str], "encryptedContent", _content]
    subscription_id: OpaqueId | None = None


@dataclass(frozen=True)
class EncryptedBatch:
    """The rich items of one POST, and its validation tokens."""

    items: tuple[RichItem, ...]
    tokens: Annotated[tuple[str, ...], "validationTokens"]
    first_seen: Moment
    traceparent: TraceParent = None
    door: Door = Door.WEBHOOK

    def without_ciphertext(self) -> tuple[News, ...]:
        """News, without ciphertext and tokens, that these meetings are to be looked at."""
        each = {item.join_url: item for item in self.items}
        return tuple(self.news(item, self.first_seen) for item in each.values())

    def news(self, item: RichItem, end: datetime, organizer_id: str | None = None) -> News:
        """News of an item: its call ended then."""
        return call_event_news(
            item.join_url,
            end,
            self.first_seen,
            organizer_id,
            door=self.door,
            subscription_id=item.subscription_id,
            traceparent=self.traceparent,
        )


def pack_batch(encrypted: EncryptedBatch) -> tuple[list[str], tuple[News, ...]]:
    """The texts of as few messages as hold the items; and news in place of those that no message can hold."""
    empty = len(_message(encrypted, ()))
    packs: list[list[RichItem]] = []
    too_large: list[RichItem] = []
    size = MAX_MESSAGE_BYTES
    for item in encrypted.items:
        length = len(codec.dumps(item)) + 1
        if empty + length > MAX_MESSAGE_BYTES:
            too_large.append(item)
            continue
        if size + length > MAX_MESSAGE_BYTES:
            packs.append([])
            size = empty
        packs[-1].append(item)
        size += length
    texts = [_message(encrypted, items) for items in packs]
    return texts, replace(encrypted, items=tuple(too_large)).without_ciphertext()


def parse_message(text: str) -> Sequence[Message] | EncryptedBatch:
    """The content of a message of `meeting-signals`: news and nudges, or rich items. Raises NotOurMessage."""
    content = envelope.loads(text, VERSION)
    if content.get("kind") != KIND:
        return signals.unpack_messages(content)
    encrypted = codec.decode(EncryptedBatch, content)
    if not encrypted.items:
        raise NotOurMessage("A message of rich items holds none.")
    return encrypted


def _message(encrypted: EncryptedBatch, items: Iterable[RichItem]) -> str:
    head = f'{{"version":{VERSION},"kind":"{KIND}",'
    return head + codec.dumps(replace(encrypted, items=tuple(items)))[1:]
