"""Keys that sign tokens, and the key set with their public halves.

Written with `cryptography` alone: a product that checks signatures with a JWT library is not checked by itself. The
key set has the form that Microsoft's has, with a certificate and an `issuer` for each key; one key of several is
bound to the tenant of personal accounts and must sign for nobody else.
Source: OpenID Connect metadata of the Microsoft identity platform, observed key sets.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"
BITS = 2048
YEARS = timedelta(days=5 * 365)

type Claims = Mapping[str, object]
type Sign = Callable[[bytes], bytes]


@dataclass(frozen=True)
class SigningKey:
    """A key pair, its certificate and its issuer (`{tenantid}`: any tenant's)."""

    private: rsa.RSAPrivateKey
    certificate: x509.Certificate
    issuer: str

    @cached_property
    def kid(self) -> str:
        """The key's name: as at Microsoft the thumbprint of its certificate."""
        return encoded(hashlib.sha1(self._der(), usedforsecurity=False).digest())

    def sign(self, message: bytes) -> bytes:
        """An RS256 signature."""
        return self.private.sign(message, padding.PKCS1v15(), hashes.SHA256())

    def public_pem(self) -> bytes:
        """The public key in PEM form, as a forger would take it for a shared secret."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.private.public_key().public_bytes(serialization.Encoding.PEM, form)

    def published(self, names_issuer: bool) -> dict[str, object]:
        """The entry of the key set."""
        numbers = self.private.public_key().public_numbers()
        entry: dict[str, object] = {
            "kty": "RSA",
            "use": "sig",
            "kid": self.kid,
            "x5t": self.kid,
            "n": encoded(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8)),
            "e": encoded(numbers.e.to_bytes(3)),
            "x5c": [base64.b64encode(self._der()).decode()],
        }
        if names_issuer:
            entry |= {
                "cloud_instance_name": self.issuer.split("/")[2].removeprefix("login."),
                "issuer": self.issuer,
            }
        return entry

    def _der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)


class SigningKeys:
    """The keys of one authority, created when first used, because few runs sign."""

    def __init__(self, authority: str) -> None:
        self._authority = authority
        self._keys: list[SigningKey] = []
        self._hidden: set[str] = set()

    @property
    def current(self) -> SigningKey:
        """The key that signs."""
        return self._made()[0]

    @property
    def of_consumers(self) -> SigningKey:
        """A published key that may sign for personal accounts only."""
        return self._made()[-1]

    def published(self) -> list[SigningKey]:
        """The keys of the key set, not in order of use."""
        return [key for key in reversed(self._made()) if key.kid not in self._hidden]

    def rotate(self, *, keep: bool = True, publish: bool = True) -> SigningKey:
        """Sign with a new key.

        `keep`: earlier keys stay in the key set; `publish`: the new one is in it.
        """
        keys = self._made()
        new = make(self._issuer("{tenantid}"))
        if not keep:
            del keys[:-1]
        if not publish:
            self._hidden.add(new.kid)
        keys.insert(0, new)
        return new

    def publish(self) -> None:
        """Add every key to the key set."""
        self._hidden.clear()

    def _made(self) -> list[SigningKey]:
        if not self._keys:
            tenants = ("{tenantid}", "{tenantid}", CONSUMERS)
            self._keys = [make(self._issuer(tenant)) for tenant in tenants]
        return self._keys

    def _issuer(self, tenant: str) -> str:
        return f"{self._authority}/{tenant}/v2.0"


def make(issuer: str) -> SigningKey:
    """A new key with a self-signed certificate."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "accounts.accesscontrol.example")])
    start = datetime.now(UTC) - timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(start).not_valid_after(start + YEARS)
    return SigningKey(private, builder.sign(private, hashes.SHA256()), issuer)


def token(claims: Claims, key: SigningKey) -> str:
    """A signed token."""
    return compact({"typ": "JWT", "alg": "RS256", "x5t": key.kid, "kid": key.kid}, claims, key.sign)


def compact(header: Claims, claims: Claims, sign: Sign) -> str:
    """A token with any header, signed in any way."""
    parts = [encoded(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims)]
    message = ".".join(parts)
    return f"{message}.{encoded(sign(message.encode()))}"


def encoded(data: bytes) -> str:
    """Base64 for URLs without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
