"""Rich notifications of call events on their way from the webhook to the worker: ciphertext, and who vouches for it.

The webhook can neither decrypt nor verify before it answers, so it carries on what came, with the validation tokens of
its body. A message with them is never stored elsewhere and never shown: what is buried or logged is only that a meeting
is to be looked at. Standard library only: the webhook loads this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .. import times
from ..errors import NotOurMessage
from . import envelope
from .envelope import MAX_MESSAGE_BYTES, VERSION
from .signals import MAX_JOIN_URL, Signal, of_call_event, unpack

KIND = "encryptedCallEvents"
FIELDS = ("data", "dataKey", "dataSignature", "encryptionCertificateId", "encryptionCertificateThumbprint")


@dataclass(frozen=True)
class Item:
    """One rich item: the meeting that it is about, and its `encryptedContent` as it came."""

    join_url: str
    content: Mapping[str, str]


@dataclass(frozen=True)
class Encrypted:
    """The rich items of one POST, and its validation tokens."""

    items: tuple[Item, ...]
    tokens: tuple[str, ...]
    first_seen: datetime
    traceparent: str | None = None

    def looks(self) -> tuple[Signal, ...]:
        """What is left without ciphertext and tokens: these meetings are to be looked at."""
        urls = dict.fromkeys(item.join_url for item in self.items)
        return tuple(
            of_call_event(url, self.first_seen, self.first_seen, traceparent=self.traceparent) for url in urls
        )


def pack(encrypted: Encrypted) -> tuple[list[str], tuple[Signal, ...]]:
    """As few messages as hold the items; and signals in place of those that no message can hold."""
    empty = len(_message(encrypted, ()))
    packs: list[list[Item]] = []
    too_large: list[Item] = []
    size = MAX_MESSAGE_BYTES
    for item in encrypted.items:
        length = len(envelope.dumps(_fields(item))) + 1
        if empty + length > MAX_MESSAGE_BYTES:
            too_large.append(item)
            continue
        if size + length > MAX_MESSAGE_BYTES:
            packs.append([])
            size = empty
        packs[-1].append(item)
        size += length
    texts = [_message(encrypted, items) for items in packs]
    return texts, Encrypted(tuple(too_large), (), encrypted.first_seen, encrypted.traceparent).looks()


def read(text: str) -> Sequence[Signal] | Encrypted:
    """What a message of `meeting-signals` holds: signals, or rich items. Raises NotOurMessage."""
    content = envelope.loads(text)
    return parse(content) if content.get("kind") == KIND else unpack(text)


def parse(content: Mapping[str, Any]) -> Encrypted:
    """Read a message of this kind. Raises NotOurMessage, which quotes nothing of it."""
    first_seen = envelope.moment(content, "firstSeen")
    items, tokens = content.get("items"), content.get("validationTokens", [])
    if first_seen is None or not isinstance(items, list) or not items:
        raise NotOurMessage("firstSeen or items of a message is missing.")
    if not isinstance(tokens, list) or not all(isinstance(each, str) for each in tokens):
        raise NotOurMessage("validationTokens of a message is not a list of strings.")
    found = tuple(_item(each) for each in items)
    return Encrypted(found, tuple(tokens), first_seen, envelope.trace_parent(content.get("traceparent")))


def content_of(value: object) -> dict[str, str] | None:
    """`encryptedContent` of a notification, or None for what has not its shape. What it does not name is left out."""
    if not isinstance(value, dict):
        return None
    content = {name: value[name] for name in FIELDS if isinstance(value.get(name), str)}
    return content if len(content) >= len(FIELDS) - 1 and set(FIELDS[:4]) <= set(content) else None


def _item(content: object) -> Item:
    url = content.get("joinWebUrl") if isinstance(content, dict) else None
    sealed = content_of(content.get("encryptedContent")) if isinstance(content, dict) else None
    if not isinstance(url, str) or not 0 < len(url) <= MAX_JOIN_URL or sealed is None:
        raise NotOurMessage("An item of a message has no joinWebUrl or no encryptedContent.")
    return Item(url, sealed)


def _message(encrypted: Encrypted, items: Iterable[Item]) -> str:
    return envelope.dumps(
        {
            "version": VERSION,
            "kind": KIND,
            "firstSeen": times.text(encrypted.first_seen),
            "validationTokens": list(encrypted.tokens),
            "items": [_fields(item) for item in items],
            "traceparent": encrypted.traceparent,
        }
    )


def _fields(item: Item) -> dict[str, Any]:
    return {"joinWebUrl": item.join_url, "encryptedContent": dict(item.content)}
