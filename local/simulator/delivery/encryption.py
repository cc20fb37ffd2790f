"""Encrypted resource data, and checks of a subscriber's certificate.

A new AES-256 key for each item, CBC with PKCS #7 padding, its first 16 bytes as initialization vector; HMAC-SHA256
over the ciphertext under the same key; the key wrapped with RSA-OAEP, SHA-1. Faults that were asked for act here.
Source: Set up change notifications that include resource data.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric import padding as wrapping
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding

from local.simulator.faults.forgeries import ContentFault
from local.simulator.odata import GraphError

FEWEST_BITS, MOST_BITS = 2048, 4096
ID_LENGTH = 128
KEY_BYTES = 32
VECTOR_BYTES = 16


def parse_certificate(text: object) -> x509.Certificate:
    """A subscription's certificate, in base64 DER. Raises GraphError 400."""
    try:
        der = base64.b64decode(text, validate=True) if isinstance(text, str) and text else b""
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key()
    except (binascii.Error, ValueError):
        raise _invalid("encryptionCertificate must be a base64-encoded X.509 certificate.") from None
    if not isinstance(key, rsa.RSAPublicKey) or not FEWEST_BITS <= key.key_size <= MOST_BITS:
        raise _invalid(f"encryptionCertificate must hold an RSA key of {FEWEST_BITS} to {MOST_BITS} bits.")
    return certificate


def parse_certificate_id(text: object) -> str:
    """The subscriber's own name for its certificate. Raises GraphError 400."""
    if not isinstance(text, str) or not 0 < len(text) <= ID_LENGTH:
        raise _invalid(f"encryptionCertificateId must be a string of 1 to {ID_LENGTH} characters.")
    return text


def encrypt(
    plain: bytes, certificate: x509.Certificate, certificate_id: str, fault: ContentFault | None = None
) -> dict[str, Any]:
    """The `encryptedContent` of an item."""
    key = os.urandom(VECTOR_BYTES if fault == "shortKey" else KEY_BYTES)
    padder = padding.PKCS7(algorithms.AES.block_size).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(key[:VECTOR_BYTES])).encryptor()
    data = encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
    signature = hmac.digest(key, data, "sha256")
    public = certificate.public_key()
    assert isinstance(public, rsa.RSAPublicKey)  # noqa: S101 - checked when the subscription was made
    wrapped = public.encrypt(key, _wrapping(fault))
    if fault == "tamperedData":
        data = _flipped(data)
    elif fault == "tamperedSignature":
        signature = _flipped(signature)
    elif fault == "tamperedKey":
        wrapped = _flipped(wrapped)
    thumbprint = hashlib.sha1(certificate.public_bytes(Encoding.DER), usedforsecurity=False).hexdigest()
    return {
        "data": base64.b64encode(data).decode(),
        "dataSignature": base64.b64encode(signature).decode(),
        "dataKey": base64.b64encode(wrapped).decode(),
        "encryptionCertificateId": "unknown" if fault == "unknownCertificate" else certificate_id,
        "encryptionCertificateThumbprint": thumbprint.upper(),
    }


def _wrapping(fault: ContentFault | None) -> wrapping.AsymmetricPadding:
    if fault == "pkcs1":
        return wrapping.PKCS1v15()
    used = hashes.SHA256() if fault == "oaepSha256" else hashes.SHA1()  # noqa: S303 - as documented
    return wrapping.OAEP(wrapping.MGF1(used), used, None)


def _flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def _invalid(message: str) -> GraphError:
    return GraphError(400, "InvalidRequest", message)
