"""Forged encrypted notifications on demand: wrong tokens and wrong content.

Each acts on the next POST that carries encrypted items, as often as asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

type TokenFault = Literal[
    "forged",  # by another key, under the name of the published one
    "unknownKid",  # by another key, under its own name
    "noKid",  # rightly signed, but no key is named
    "otherIssuersKey",  # by a published key that may sign for personal accounts only
    "algNone",
    "hs256",  # with the public key as the shared secret
    "expired",
    "notYetValid",
    "noExpiry",
    "wrongAudience",
    "wrongIssuer",
    "otherTenant",  # rightly issued by another tenant
    "mismatchedTenant",  # the tenant claim is not the issuer's
    "wrongPublisher",
    "misplacedPublisher",  # in the claim that belongs to the other version
    "unknownVersion",
    "garbage",
    "missing",  # null, as for a service principal that requires an assignment
]
type ContentFault = Literal[
    "tamperedData",
    "tamperedSignature",
    "tamperedKey",
    "unknownCertificate",
    "pkcs1",
    "oaepSha256",
    "shortKey",  # AES-128
    "swapped",  # the content of another item of the POST, or of another meeting where there is only one
    "notUtf8",
    "notJson",
    "notAnObject",
    "noContent",
]


@dataclass(frozen=True)
class Forgery:
    """A fault of the next `times` POSTs (-1: all) with encrypted items."""

    kind: TokenFault | ContentFault
    times: int = 1

    def __post_init__(self) -> None:
        if self.times == 0 or self.times < -1:
            raise ValueError("a forgery needs times of 1 or more (-1: always)")


class Forgeries:
    """The pending forgeries, in order."""

    def __init__(self) -> None:
        self._entries: list[tuple[Forgery, int]] = []

    def add(self, forgery: Forgery) -> None:
        """Append `forgery`."""
        self._entries.append((forgery, forgery.times))

    def clear(self) -> None:
        """Remove all."""
        self._entries.clear()

    def take(self) -> Forgery | None:
        """The forgery for this POST, counted as used."""
        if not self._entries:
            return None
        forgery, left = self._entries[0]
        if left == 1:
            del self._entries[0]
        elif left > 1:
            self._entries[0] = (forgery, left - 1)
        return forgery
