"""Pseudonyms: replace ids in rows, and drop what identifies a person.

A pseudonym is the HMAC-SHA256 of an id. With the same key, a person has the same pseudonym in every export, and nobody
without the key can find the id by trying ids.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from ...errors import AttendanceError

LEAST = 16  # characters of a key
_IDS = frozenset(
    {
        *("reportId", "meetingId", "organizerId", "eventId", "sessionId", "seriesId", "threadId"),
        *("recordId", "personId", "personKey"),
    }
)
_LEFT_OUT = frozenset({"joinWebUrl", "subject", "displayName", "emailAddress", "registrationId"})


class Pseudonyms:
    """Pseudonyms made with one key. Raises AttendanceError if it is too short."""

    def __init__(self, key: str) -> None:
        if len(key) < LEAST:
            raise AttendanceError(f"The pseudonym key has fewer than {LEAST} characters.")
        self._key = key.encode("utf-8", "surrogateescape")

    def row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return a row with pseudonyms, the same for a person in every role."""
        return {
            name: None if name in _LEFT_OUT else self._of(value) if name in _IDS and value else value
            for name, value in row.items()
        }

    def _of(self, identifier: str) -> str:
        text = identifier.lower().encode("utf-8", "backslashreplace")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()[:32]
