"""Erasures: records of who was erased, which are no personal data without the key.

A record holds keyed hashes of the person's identifiers, and until when: whatever is written later about a meeting that
ended by then is redacted on its way in. `ERASURE_KEY` is never rotated, because nothing else could make the hashes
again; each record carries the fingerprint of its key.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from ..errors import ErasureKeyError

HASH_BYTES = 16
RECORD_ID_DIGITS = 16
ERASED = "erased"  # in the id of an erased record, and in the metadata of a blob


@dataclass(frozen=True)
class ErasureRecord:
    """One erasure: keyed hashes of a person's identifiers.

    Whatever ended by `until` and has one of them is redacted. `key` is the fingerprint of the key.
    """

    key: str
    hashes: frozenset[str]
    until: datetime


class ErasureKey:
    """The secret behind the hashes. Two keys have two fingerprints."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self.fingerprint = self.digest("fingerprint")[:16]

    def digest(self, *parts: str) -> str:
        """The keyed hash of some texts, as 32 hex digits."""
        content = json.dumps(parts).encode()
        return hmac.digest(self._secret, content, "sha256")[:HASH_BYTES].hex()

    def record(self, tokens: Iterable[str], until: datetime) -> ErasureRecord:
        """The record of an erasure of these tokens."""
        return ErasureRecord(self.fingerprint, frozenset(map(self.digest, tokens)), until)


@dataclass(frozen=True)
class ErasedPeople(Container[str]):
    """The tokens of all who are erased from what ended at one time."""

    key: ErasureKey
    hashes: frozenset[str]

    def __contains__(self, token: object) -> bool:
        return isinstance(token, str) and self.key.digest(token) in self.hashes

    def record_id(self, report_id: str, record: str) -> str:
        """Return the id of an erased attendance record, equal at each reading."""
        return f"{ERASED}-{self.key.digest('record', report_id, record)[:RECORD_ID_DIGITS]}"


class ErasureList:
    """All erasures of one archive. Raises ErasureKeyError for another key's records."""

    def __init__(self, secret: str, records: Iterable[ErasureRecord]) -> None:
        self._secret, self._records = secret, tuple(records)
        if self._records and not secret:
            raise ErasureKeyError("is not set, and persons were erased with it")
        if any(each.key != self._key.fingerprint for each in self._records):
            raise ErasureKeyError("is not the one with which persons were erased")

    @cached_property
    def _key(self) -> ErasureKey:
        return ErasureKey(self._secret)

    def people(self, ended: datetime | None) -> ErasedPeople | None:
        """Who is erased from a meeting that ended then; None for nobody.

        While nobody knows when a meeting ended, it may have ended before any erasure.
        """
        hashes = [each.hashes for each in self._records if ended is None or ended <= each.until]
        return ErasedPeople(self._key, frozenset().union(*hashes)) if hashes else None


NO_ERASURES = ErasureList("", ())
