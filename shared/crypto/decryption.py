"""Decrypt rich notifications, and make the certificate Graph encrypts them for.

        dataKey        ─ RSA-OAEP, SHA-1 ─▶ a key of 32 bytes, new for each item
        dataSignature  = HMAC-SHA256(key, data), compared in constant time before anything is decrypted
        data           ─ AES-256-CBC, the key's first 16 bytes as IV, PKCS 7 ─▶ JSON

Every failure raises Undecipherable, which quotes nothing. Sources:
https://learn.microsoft.com/graph/change-notifications-with-resource-data and
https://learn.microsoft.com/graph/api/resources/changenotificationencryptedcontent
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, padding, serialization
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.x509.oid import NameOID

from ..errors import SettingError, Undecipherable

KEY_BYTES = 32
MIN_KEY_BITS, MAX_KEY_BITS = 2_048, 4_096  # of an RSA key, as Graph accepts it
NAME = "Teams attendance reports"
VALIDITY = datetime(2025, 1, 1, tzinfo=UTC), datetime(2049, 12, 31, tzinfo=UTC)  # Graph requires no renewal
OAEP_SHA1 = OAEP(mgf=MGF1(algorithm=hashes.SHA1()), algorithm=hashes.SHA1(), label=None)  # noqa: S303 - Graph's choice


@dataclass(frozen=True)
class Certificate:
    """A certificate for a subscription: its id (at most 128 characters) and DER form."""

    id: str
    der: bytes


class Keys(Protocol):
    """The app's private keys, current and earlier ones."""

    def current(self) -> Certificate:
        """Return the certificate for new subscriptions."""
        ...

    def unwrap(self, certificate_id: str, wrapped: bytes) -> bytes | None:
        """Unwrap a symmetric key; None if the certificate is not ours.

        Raises ValueError if it was not wrapped for this certificate, Unavailable if the private key cannot be reached.
        """
        ...


class NoKeys:
    """No key is configured: nothing can be decrypted."""

    def current(self) -> Certificate:
        """Raise SettingError."""
        raise SettingError("ENCRYPTION_KEY_ID", "is missing")

    def unwrap(self, certificate_id: str, wrapped: bytes) -> bytes | None:
        """Return None."""
        return None


class PemKeys:
    """Private keys in a PEM file without password: the current one, then earlier.

    Raises SettingError on use if the file cannot be read or holds anything else.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def current(self) -> Certificate:
        """Return the certificate of the first key."""
        certificate_id, key = next(iter(self._read().items()))
        return sign_certificate(certificate_id, key)

    def unwrap(self, certificate_id: str, wrapped: bytes) -> bytes | None:
        """Unwrap with the private key whose public key has this hash."""
        key = self._read().get(certificate_id)
        return key.decrypt(wrapped, OAEP_SHA1) if key else None

    def _read(self) -> dict[str, RSAPrivateKey]:
        try:
            text = self._path.read_bytes()
        except OSError:
            raise SettingError("ENCRYPTION_KEY_ID", "names a file that cannot be read") from None
        keys: dict[str, RSAPrivateKey] = {}
        mark = b"-----BEGIN "
        for block in text.split(mark)[1:]:
            try:
                key = serialization.load_pem_private_key(mark + block, password=None)
            except (ValueError, TypeError):
                raise SettingError(
                    "ENCRYPTION_KEY_ID", "names a file that contains more than private keys"
                ) from None
            if not isinstance(key, RSAPrivateKey) or not MIN_KEY_BITS <= key.key_size <= MAX_KEY_BITS:
                raise SettingError(
                    "ENCRYPTION_KEY_ID",
                    f"names a file with a key that is not RSA of {MIN_KEY_BITS} to {MAX_KEY_BITS} bits",
                )
            keys[_fingerprint(key)] = key
        if not keys:
            raise SettingError("ENCRYPTION_KEY_ID", "names a file without a private key")
        return keys


def decrypt(content: Mapping[str, str], keys: Keys) -> dict[str, Any]:
    """Return the resource data of an `encryptedContent`. Raises Undecipherable."""
    key = _unwrap_key(content, keys)
    data = _decode_base64(content, "data")
    signature = hmac.digest(key, data, hashlib.sha256)
    if not hmac.compare_digest(signature, _decode_base64(content, "dataSignature")):
        raise Undecipherable("the signature does not match the data")
    return _parse_object(_decrypt_data(data, key))


def sign_certificate(certificate_id: str, key: RSAPrivateKey) -> Certificate:
    """Return a self-signed certificate; the same key always gives the same one."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    begins, ends = VALIDITY
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(int(_fingerprint(key)[:30], 16) + 1)
        .not_valid_before(begins)
        .not_valid_after(ends)
        .sign(key, hashes.SHA256())
    )
    return Certificate(certificate_id, certificate.public_bytes(serialization.Encoding.DER))


def _fingerprint(key: RSAPrivateKey) -> str:
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(public).hexdigest()


def _decode_base64(content: Mapping[str, str], name: str) -> bytes:
    try:
        return base64.b64decode(content.get(name, ""), validate=True)
    except ValueError:
        raise Undecipherable(f"{name} is not Base64") from None


def _unwrap_key(content: Mapping[str, str], keys: Keys) -> bytes:
    wrapped = _decode_base64(content, "dataKey")
    try:
        key = keys.unwrap(content.get("encryptionCertificateId", ""), wrapped)
    except ValueError:
        raise Undecipherable("the key was not wrapped for this certificate with OAEP and SHA-1") from None
    if key is None:
        raise Undecipherable("the certificate is not ours")
    if len(key) != KEY_BYTES:
        raise Undecipherable(f"the key does not have {KEY_BYTES} bytes")
    return key


def _decrypt_data(data: bytes, key: bytes) -> bytes:
    decryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).decryptor()
    unpadder = padding.PKCS7(128).unpadder()
    try:
        padded = decryptor.update(data) + decryptor.finalize()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        raise Undecipherable("the data is not correctly padded") from None


def _parse_object(text: bytes) -> dict[str, Any]:
    try:
        content = json.loads(text.decode())
    except (ValueError, RecursionError):
        raise Undecipherable("the data is not JSON in UTF-8") from None
    if not isinstance(content, dict):
        raise Undecipherable("the data is not a JSON object")
    return content
