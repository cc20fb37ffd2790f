"""Identifiers of a person, in one form however they are written.

An identifier is whole: an object id, an e-mail address, a user principal name or a telephone number. Graph, Exchange
and people write the same one in several ways: in another letter case, decomposed, with spaces or line breaks around
it, with a prefix (`SMTP:`, `sip:`, `8:orgid:`). A display name is no identifier, because it can be another person's:
it counts only where it was asked for. A **token** is one of the two in its one form, `id:…` or `name:…`; who is looked
for is any container of tokens, in plain form or hashed.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Container, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from ..messages.resource_paths import MAX_DECODING

MAX_NAME_WORDS = 8
NAMES = frozenset({"displayName"})
# Values of a record that are nobody's identifier: kinds, tenants, and lists that hold times only.
_IMPERSONAL = frozenset({"@odata.type", "tenantId", "role", "attendanceIntervals", "engagements", *NAMES})
_PREFIX = re.compile(r"(?:smtp|sip|mailto|tel|8:(?:orgid|gcch|dod)|4(?=:\+)):")
_IN_TEXT = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[^\s\"'<>()\[\]{},;:|/\\=&?]+@[^\s\"'<>()\[\]{},;:|/\\=&?]+",
    re.IGNORECASE,
)
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# A run of anything but spaces and punctuation: names may hold combining marks and symbols.
_WORD = re.compile(r"[^\s!-/:-@\[-`{-~\u2010-\u2027\u3000-\u303f]+")
# Graph's ids of meetings are base64 of the organizer's id.
_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")


def id_token(value: str) -> str:
    """Return the token of an identifier, in whichever form it is written.

    `SMTP: Frida@Contoso.Example ` and `frida@contoso.example` have the same.
    """
    text = fold(value)
    while prefix := _PREFIX.match(text):
        text = text[prefix.end() :]
    return f"id:{text}"


def name_token(value: str) -> str:
    """The token of a display name. Spaces between its parts count once."""
    return f"name:{fold(value, ' ')}"


def fold(value: str, space: str = "") -> str:
    """Normalize letter case, Unicode form, white space and invisible characters."""
    text = value
    if not text.isascii():
        composed = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
        invisible = [each for each in set(composed) if unicodedata.category(each) == "Cf"]
        text = composed.translate(dict.fromkeys(map(ord, invisible)))
    return space.join(text.lower().split())


def tokens_of_record(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield the tokens of an attendance record and of its identity, at any depth."""
    for name, value in record.items():
        if name in NAMES or name == "identity":
            yield from _tokens({name: value})
        elif isinstance(value, str) and name not in _IMPERSONAL:
            yield id_token(value)


def _tokens(content: Mapping[str, Any]) -> Iterator[str]:
    waiting: list[Any] = [content]
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting += each
        elif isinstance(each, dict):
            for name, value in each.items():
                if isinstance(value, dict | list):
                    waiting.append(value)
                elif isinstance(value, str) and value:
                    if name in NAMES:
                        yield name_token(value)
                    elif name not in _IMPERSONAL:
                        yield id_token(value)


def tokens_in_text(text: str) -> Iterator[str]:
    """Yield the tokens of whole identifiers in a text, also encoded ones.

    A join URL holds the organizer's object id percent-encoded, and the id of a meeting holds it in base64.
    """
    for _ in range(MAX_DECODING):
        yield from (id_token(found[0]) for found in _IN_TEXT.finditer(text))
        decoded = unquote(text)
        if decoded == text:
            break
        text = decoded
    for found in _ENCODED.finditer(text):
        yield from (id_token(each[0]) for each in _IN_TEXT.finditer(_base64_text(found[0])))


def quotes(text: str | None, who: Container[str]) -> bool:
    """Whether a free text, such as a subject, names the person."""
    if not text:
        return False
    if names(text, who) or any(id_token(found) in who for found in _GUID.findall(text)):
        return True
    folded = fold(text, " ")
    words = [(found.start(), found.end()) for found in _WORD.finditer(folded)]
    return any(
        name_token(folded[begin:end]) in who
        for number, (begin, _) in enumerate(words)
        for _, end in words[number : number + MAX_NAME_WORDS]
    )


def names(text: str | None, who: Container[str]) -> bool:
    """Whether a text is an identifier of the person, or quotes one."""
    return text is not None and (id_token(text) in who or any(token in who for token in tokens_in_text(text)))


def _base64_text(text: str) -> str:
    try:
        padded = text.rstrip("=").replace("-", "+").replace("_", "/")
        return base64.b64decode(padded + "=" * (-len(padded) % 4)).decode("latin-1")
    except (binascii.Error, ValueError):
        return ""
