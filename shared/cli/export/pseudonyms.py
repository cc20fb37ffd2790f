"""Rows without names: ids become pseudonyms, and what tells who somebody is, is left out.

A pseudonym is the HMAC-SHA256 of an id. With the same key the same person has the same pseudonym in every export, and
nobody without the key can find out whose it is by trying ids.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from ...errors import AttendanceError

LEAST = 16  # characters of a key
_IDS = frozenset(
    {"reportId", "meetingId", "organizerId", "eventId", "sessionId", "seriesId", "recordId", "personId"}
)
_LEFT_OUT = frozenset({"joinWebUrl", "displayName", "emailAddress", "registrationId"})


class Pseudonyms:
    """Pseudonyms of one key. Raises AttendanceError for one that is too short."""

    def __init__(self, key: str) -> None:
        if len(key) < LEAST:
            raise AttendanceError(f"The key of pseudonyms has fewer than {LEAST} characters.")
        self._key = key.encode("utf-8", "surrogateescape")

    def row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row with pseudonyms. An organizer has the same one as organizer and as attendee."""
        return {
            name: None if name in _LEFT_OUT else self._of(value) if name in _IDS and value else value
            for name, value in row.items()
        }

    def _of(self, identifier: str) -> str:
        text = identifier.lower().encode("utf-8", "backslashreplace")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()[:32]
