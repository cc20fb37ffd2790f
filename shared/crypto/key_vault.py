"""Private keys in Azure Key Vault, which unwraps and signs without exporting them.

A certificate's id is `<key>/<version>`. Only versions of the key in ENCRYPTION_KEY_ID are used, so nothing in a
notification becomes an address. Source:
https://learn.microsoft.com/python/api/overview/azure/keyvault-keys-readme
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import urlsplit

import requests
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError
from azure.core.pipeline.transport import RequestsTransport
from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import CryptographyClient
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from ..bounded_http import keep_headers
from ..errors import Unavailable
from .decryption import OAEP_SHA1, Certificate, sign_certificate

_TIMEOUTS = {"connection_timeout": 5, "read_timeout": 20, "retry_total": 3}
BAD_REQUEST = 400
_VERSION = re.compile(r"[0-9a-f]{32}\Z")


class VaultKeys:
    """The versions of one key. Errors name the operation and quote nothing."""

    def __init__(self, key_url: str, credential: TokenCredential, *, verify_challenge: bool = True) -> None:
        parts = urlsplit(key_url)
        self._vault = f"{parts.scheme}://{parts.netloc}"
        _, _, self._name, *version = parts.path.split("/")
        self._version = version[0] if version else None
        self._credential = credential
        session = requests.Session()
        session.auth = keep_headers
        self._options = {
            **_TIMEOUTS,
            "verify_challenge_resource": verify_challenge,
            "transport": RequestsTransport(session=session, **_TIMEOUTS),
        }
        self._certificate = lru_cache(maxsize=8)(self._sign_certificate)

    def current(self) -> Certificate:
        """Return the certificate of the configured version, or of the newest."""
        if self._version:
            return self._certificate(self._version)
        client = KeyClient(self._vault, self._credential, **self._options)
        try:
            version = client.get_key(self._name).properties.version or ""
        except AzureError as failure:
            raise Unavailable("get encryption key", type(failure).__name__) from None
        return self._certificate(version)

    def unwrap(self, certificate_id: str, wrapped: bytes) -> bytes | None:
        """Unwrap with the version that the certificate names."""
        name, _, version = certificate_id.rpartition("/")
        if name != self._name or not _VERSION.match(version):
            return None
        try:
            return self._key(version).decrypt(wrapped, OAEP_SHA1)
        except AzureError as failure:
            if getattr(failure, "status_code", None) == BAD_REQUEST:
                problem = "the vault rejected the wrapped key"
            else:
                raise Unavailable("unwrap with encryption key", type(failure).__name__) from None
        raise ValueError(problem)

    def _key(self, version: str) -> RSAPrivateKey:
        address = f"{self._vault}/keys/{self._name}/{version}"
        try:
            return CryptographyClient(address, self._credential, **self._options).create_rsa_private_key()
        except AzureError as failure:
            raise Unavailable("get encryption key", type(failure).__name__) from None

    def _sign_certificate(self, version: str) -> Certificate:
        try:
            return sign_certificate(f"{self._name}/{version}", self._key(version))
        except AzureError as failure:
            raise Unavailable("sign with encryption key", type(failure).__name__) from None
