"""Rich notifications of call events on their way from the webhook to the worker: ciphertext, and who vouches for it.

The webhook can neither decrypt nor verify before it answers, so it carries on what came, with the validation tokens of
its body. A message with them is never stored elsewhere and never shown: what is buried or logged is only that a meeting
is to be looked at. Standard library only: the webhook loads this module.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from ..errors import NotOurMessage
from . import codec, envelope
from .codec import Moment
from .envelope import MAX_MESSAGE_BYTES, VERSION, TraceParent
from .signals import MAX_JOIN_URL, Signal, of_call_event, unpack

KIND = "encryptedCallEvents"
FIELDS = ("data", "dataKey", "dataSignature", "encryptionCertificateId", "encryptionCertificateThumbprint")


def content_of(value: object) -> dict[str, str] | None:
    """`encryptedContent` of a notification, or None for what has not its shape. What it does not name is left out."""
    if not isinstance(value, dict):
        return None
    content = {name: value[name] for name in FIELDS if isinstance(value.get(name), str)}
    return content if len(content) >= len(FIELDS) - 1 and set(FIELDS[:4]) <= set(content) else None


def _content(value: object) -> dict[str, str]:
    content = content_of(value)
    if content is None:
        raise ValueError("lacks a part of encrypted content")
    return content


@dataclass(frozen=True)
class Item:
    """One rich item: the meeting that it is about, and its `encryptedContent` as it came."""

    join_url: Annotated[str, "joinWebUrl", re.compile(rf"(?s).{{1,{MAX_JOIN_URL}}}\Z")]
    content: Annotated[Mapping[str, str], "encryptedContent", _content]


@dataclass(frozen=True)
class Encrypted:
    """The rich items of one POST, and its validation tokens."""

    items: tuple[Item, ...]
    tokens: Annotated[tuple[str, ...], "validationTokens"]
    first_seen: Moment
    traceparent: TraceParent = None

    def looks(self) -> tuple[Signal, ...]:
        """What is left without ciphertext and tokens: these meetings are to be looked at."""
        urls = dict.fromkeys(item.join_url for item in self.items)
        return tuple(
            of_call_event(url, self.first_seen, self.first_seen, traceparent=self.traceparent) for url in urls
        )


def pack(encrypted: Encrypted) -> tuple[list[str], tuple[Signal, ...]]:
    """As few messages as hold the items; and signals in place of those that no message can hold."""
    empty = len(_message(replace(encrypted, items=())))
    packs: list[list[Item]] = []
    too_large: list[Item] = []
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
    texts = [_message(replace(encrypted, items=tuple(items))) for items in packs]
    return texts, Encrypted(tuple(too_large), (), encrypted.first_seen, encrypted.traceparent).looks()


def read(text: str) -> Sequence[Signal] | Encrypted:
    """What a message of `meeting-signals` holds: signals, or rich items. Raises NotOurMessage."""
    content = envelope.loads(text)
    return parse(content) if content.get("kind") == KIND else unpack(text)


def parse(content: Mapping[str, Any]) -> Encrypted:
    """Read a message of this kind. Raises NotOurMessage, which quotes nothing of it."""
    found = codec.read(Encrypted, content)
    if not found.items:
        raise NotOurMessage("Encrypted.items is empty.")
    return found


def _message(encrypted: Encrypted) -> str:
    return envelope.dumps({"version": VERSION, "kind": KIND, **codec.write(encrypted)})
