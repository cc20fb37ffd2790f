"""Microsoft Entra's public keys, which verify the signatures of validation tokens.

Keys are fetched at first use and kept for a day. A token that names an unknown key causes another fetch, rate-limited
because anyone can name a key. Source:
https://learn.microsoft.com/entra/identity-platform/signing-key-rollover
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import jwt
import requests

from .. import logs
from ..bounded_http import BoundedSession, NoAnswer, Unbounded
from ..errors import Unavailable

SECONDS = 10.0  # for a whole answer
MAX_BYTES = 1024 * 1024
REFRESH_AFTER = 24 * 3600.0
RETRY_AFTER = 300.0  # to fetch an unknown key
FAILED_AFTER = 60.0  # to fetch keys when there are none, so that an outage does not cost a fetch per message
METADATA = "common/.well-known/openid-configuration"


class SigningKeys:
    """The signing keys of one authority. Thread-safe."""

    def __init__(self, login_root: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = login_root
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, tuple[jwt.PyJWK, str]] = {}
        self._last_fetch: float | None = None
        self._problem = ""

    def find(self, key_id: str) -> tuple[jwt.PyJWK, str] | None:
        """Return the key with this id and its issuer ("": any), or None if not published.

        Raises Unavailable if no keys can be fetched.
        """
        with self._lock:
            if self._is_due(key_id):
                self._refresh()
            if not self._keys:
                raise Unavailable("get signing keys", self._problem)
            return self._keys.get(key_id)

    def _is_due(self, key_id: str) -> bool:
        if self._last_fetch is None:
            return True
        age = self._clock() - self._last_fetch
        limit = FAILED_AFTER if not self._keys else REFRESH_AFTER if key_id in self._keys else RETRY_AFTER
        return age > limit

    def _refresh(self) -> None:
        """Fetch the keys; keep the known ones if that fails."""
        try:
            keys = self._fetch()
        except (NoAnswer, Unbounded, ValueError, RecursionError) as failure:
            self._problem = str(failure) or type(failure).__name__
            logs.warning("keys.unavailable", error=self._problem)
        else:
            self._keys = keys
        self._last_fetch = self._clock()

    def _fetch(self) -> dict[str, tuple[jwt.PyJWK, str]]:
        metadata = _get_object(f"{self._root}/{METADATA}")
        address = metadata.get("jwks_uri")
        if not isinstance(address, str) or urlsplit(address)[:2] != urlsplit(self._root)[:2]:
            raise ValueError("the keys lie elsewhere")
        listed = _get_object(address).get("keys")
        keys = dict(filter(None, map(_key, listed if isinstance(listed, list) else [])))
        if not keys:
            raise ValueError("there are no usable keys")
        return keys


def _key(listed: object) -> tuple[str, tuple[jwt.PyJWK, str]] | None:
    """Return id, key and issuer of a listed key, or None if it verifies no token."""
    if not isinstance(listed, dict) or listed.get("kty") != "RSA" or not isinstance(listed.get("kid"), str):
        return None
    issuer = listed.get("issuer")
    try:
        key = jwt.PyJWK(listed, "RS256")
    except Exception as failure:  # noqa: BLE001 - the library lets more through than its own errors
        logs.warning("key.unusable", error=type(failure).__name__)
        return None
    return listed["kid"], (key, issuer if isinstance(issuer, str) else "")


def _get_object(address: str) -> dict[str, Any]:
    """Fetch a JSON object without following redirects."""
    with BoundedSession() as session:
        answer = session.ask("GET", address, seconds=SECONDS, most=MAX_BYTES)
    if answer.status != requests.codes.ok:
        raise ValueError(f"status {answer.status}")
    content = json.loads(answer.content)
    if not isinstance(content, dict):
        raise ValueError("the answer is no JSON object")
    return content
