"""Rich notifications of call events, queued encrypted for the worker to verify.

The webhook has to answer before it can decrypt or verify, so it queues the ciphertext with the validation tokens of its
request. Both travel on the queue only and are never stored or shown: a dead letter or log line names only the meeting.
Standard library only: the webhook loads this module.
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
    """Return the known fields of an `encryptedContent`, or None for another shape."""
    if not isinstance(value, dict):
        return None
    content = {name: value[name] for name in FIELDS if isinstance(value.get(name), str)}
    return content if len(content) >= len(FIELDS) - 1 and set(FIELDS[:4]) <= set(content) else None


def _require_content(value: object) -> dict[str, str]:
    content = parse_encrypted_content(value)
    if content is None:
        raise ValueError("lacks a part of the encrypted content")
    return content


@dataclass(frozen=True)
class RichItem:
    """One rich notification: its meeting, encrypted content and subscription."""

    join_url: Annotated[str, "joinWebUrl", re.compile(rf"(?s).{{1,{MAX_JOIN_URL}}}\Z")]
    content: Annotated[Mapping[str, str], "encryptedContent", _require_content]
    subscription_id: OpaqueId | None = None


@dataclass(frozen=True)
class EncryptedBatch:
    """The rich items of one POST, and its validation tokens; `waits` is as in News."""

    items: tuple[RichItem, ...]
    tokens: Annotated[tuple[str, ...], "validationTokens"]
    first_seen: Moment
    traceparent: TraceParent = None
    door: Door = Door.WEBHOOK
    waits: int = 0

    def without_ciphertext(self) -> tuple[News, ...]:
        """Return one news item per meeting, without ciphertext and tokens."""
        each = {item.join_url: item for item in self.items}
        return tuple(self.news(item, self.first_seen) for item in each.values())

    def news(self, item: RichItem, end: datetime, organizer_id: str | None = None) -> News:
        """Return the news that an item's call ended at `end`."""
        return call_event_news(
            item.join_url,
            end,
            self.first_seen,
            organizer_id,
            door=self.door,
            subscription_id=item.subscription_id,
            traceparent=self.traceparent,
        )


def pack_batch(encrypted: EncryptedBatch) -> tuple[list[str], int]:
    """Pack the items into few messages; count those too large for any."""
    empty = len(_serialize_items(encrypted, ()))
    packs: list[list[RichItem]] = []
    too_large = 0
    size = MAX_MESSAGE_BYTES
    for item in encrypted.items:
        length = len(codec.dumps(item)) + 1
        if empty + length > MAX_MESSAGE_BYTES:
            too_large += 1
            continue
        if size + length > MAX_MESSAGE_BYTES:
            packs.append([])
            size = empty
        packs[-1].append(item)
        size += length
    return [_serialize_items(encrypted, items) for items in packs], too_large


def parse_message(text: str) -> Sequence[Message] | EncryptedBatch:
    """Read a message of `meeting-signals`: news, nudges or rich items.

    Raises NotOurMessage.
    """
    content = envelope.loads(text, VERSION)
    if content.get("kind") != KIND:
        return signals.unpack_messages(content)
    encrypted = codec.decode(EncryptedBatch, content)
    if not encrypted.items:
        raise NotOurMessage("A message of encrypted items is empty.")
    return encrypted


def _serialize_items(encrypted: EncryptedBatch, items: Iterable[RichItem]) -> str:
    head = f'{{"version":{VERSION},"kind":"{KIND}",'
    return head + codec.dumps(replace(encrypted, items=tuple(items)))[1:]
