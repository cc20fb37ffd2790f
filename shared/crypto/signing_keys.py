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
from jwt.exceptions import PyJWTError

from .. import logs
from ..errors import Unavailable

TIMEOUT = (5.0, 10.0)
MAX_BYTES = 1024 * 1024
REFRESH_AFTER = 24 * 3600.0
RETRY_AFTER = 300.0
METADATA = "common/.well-known/openid-configuration"


class SigningKeys:
    """The signing keys of one authority. Thread-safe."""

    def __init__(self, login_root: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = login_root
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, tuple[jwt.PyJWK, str]] = {}
        self._last_fetch: float | None = None

    def find(self, key_id: str) -> tuple[jwt.PyJWK, str] | None:
        """Return the key with this id and its issuer ("": any), or None if not published.

        Raises Unavailable if no keys can be fetched.
        """
        with self._lock:
            age = None if self._last_fetch is None else self._clock() - self._last_fetch
            if age is None or age > REFRESH_AFTER or (key_id not in self._keys and age > RETRY_AFTER):
                self._refresh()
            return self._keys.get(key_id)

    def _refresh(self) -> None:
        """Fetch the keys; keep the known ones if that fails."""
        try:
            keys = self._fetch()
        except (requests.RequestException, ValueError, PyJWTError) as failure:
            logs.warning("keys.unavailable", error=type(failure).__name__)
            if not self._keys:
                raise Unavailable("get signing keys", type(failure).__name__) from None
        else:
            self._keys = keys
        self._last_fetch = self._clock()

    def _fetch(self) -> dict[str, tuple[jwt.PyJWK, str]]:
        metadata = _get_object(f"{self._root}/{METADATA}")
        address = metadata.get("jwks_uri")
        if not isinstance(address, str) or urlsplit(address)[:2] != urlsplit(self._root)[:2]:
            raise ValueError("the keys are at another address")
        entries = _get_object(address).get("keys")
        keys: dict[str, tuple[jwt.PyJWK, str]] = {}
        for each in entries if isinstance(entries, list) else []:
            if isinstance(each, dict) and each.get("kty") == "RSA" and isinstance(each.get("kid"), str):
                issuer = each.get("issuer")
                keys[each["kid"]] = jwt.PyJWK(each, "RS256"), issuer if isinstance(issuer, str) else ""
        if not keys:
            raise ValueError("no keys")
        return keys


def _get_object(address: str) -> dict[str, Any]:
    """Fetch a JSON object without following redirects."""
    with requests.get(address, timeout=TIMEOUT, allow_redirects=False, stream=True) as reply:
        if reply.status_code != requests.codes.ok:
            raise ValueError(f"status {reply.status_code}")
        body = reply.raw.read(MAX_BYTES + 1, decode_content=True)
    if len(body) > MAX_BYTES:
        raise ValueError("too large")
    content = json.loads(body)
    if not isinstance(content, dict):
        raise ValueError("no object")
    return content
