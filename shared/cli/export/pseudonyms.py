"""Pseudonyms: replace ids in rows, and drop what identifies a person.

A pseudonym is the HMAC-SHA256 of an id. With the same key, a person has the same pseudonym in every export, and nobody
without the key can find the id by trying ids.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from ...errors import AttendanceError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

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

    def select(self, name: str) -> str:
        """Return the SQL of a column without what identifies a person; see `register`."""
        if name in _LEFT_OUT:
            return f'NULL::VARCHAR AS "{name}"'
        return f'pseudonym("{name}") AS "{name}"' if name in _IDS else f'"{name}"'

    def register(self, database: DuckDBPyConnection) -> None:
        """Let the queries of a database call `pseudonym`."""
        database.create_function("pseudonym", self.make, ["VARCHAR"], "VARCHAR")

    def make(self, identifier: str) -> str:
        """Return the pseudonym of an id, the same for a person in every role."""
        text = identifier.lower().encode("utf-8", "backslashreplace")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()[:32] if identifier else ""
