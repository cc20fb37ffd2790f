"""The keys with which Microsoft Entra signs validation tokens, as it publishes them.

They are fetched when they are first needed, kept for a day, and asked for once more when a token names one that is not
among them, at most once in a while: anybody can name a key. Source:
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
    """The signing keys of one authority. Safe to share between threads."""

    def __init__(self, login_root: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = login_root
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, tuple[jwt.PyJWK, str]] = {}
        self._asked: float | None = None

    def find(self, key_id: str) -> tuple[jwt.PyJWK, str] | None:
        """The key with this id and the issuer that it is for ("": any); None for one that is not published.

        Raises Unavailable when no keys can be had.
        """
        with self._lock:
            age = None if self._asked is None else self._clock() - self._asked
            if age is None or age > REFRESH_AFTER or (key_id not in self._keys and age > RETRY_AFTER):
                self._refresh()
            return self._keys.get(key_id)

    def _refresh(self) -> None:
        """Fetch them anew; those that are known stay where that fails."""
        try:
            found = self._fetch()
        except (requests.RequestException, ValueError, PyJWTError) as failure:
            logs.warning("keys.unavailable", error=type(failure).__name__)
            if not self._keys:
                raise Unavailable("get signing keys", type(failure).__name__) from None
        else:
            self._keys = found
        self._asked = self._clock()

    def _fetch(self) -> dict[str, tuple[jwt.PyJWK, str]]:
        metadata = _get_object(f"{self._root}/{METADATA}")
        address = metadata.get("jwks_uri")
        if not isinstance(address, str) or urlsplit(address)[:2] != urlsplit(self._root)[:2]:
            raise ValueError("the keys lie elsewhere")
        listed = _get_object(address).get("keys")
        keys: dict[str, tuple[jwt.PyJWK, str]] = {}
        for each in listed if isinstance(listed, list) else []:
            if isinstance(each, dict) and each.get("kty") == "RSA" and isinstance(each.get("kid"), str):
                issuer = each.get("issuer")
                keys[each["kid"]] = jwt.PyJWK(each, "RS256"), issuer if isinstance(issuer, str) else ""
        if not keys:
            raise ValueError("no keys")
        return keys


def _get_object(address: str) -> dict[str, Any]:
    """A JSON object, from that address and no other."""
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
