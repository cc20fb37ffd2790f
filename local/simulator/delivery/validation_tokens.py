"""Validation tokens of encrypted notifications, one per application and tenant.

Version 1.0 names the publisher in `appid`, 2.0 in `azp`; the audience is the application of the subscription. Faults
that were asked for act here. Source: Set up change notifications that include resource data, validation tokens.
"""

from __future__ import annotations

import base64
import hmac
import time
import uuid
from typing import Literal

from local.sign_in import signing
from local.sign_in.metadata import issuer
from local.sign_in.signing import SigningKey, SigningKeys
from local.simulator.faults.forgeries import TokenFault

PUBLISHER = "0bf30f3b-4a52-48df-9a82-234910c4a086"
PRINCIPAL = "5d0f1f0a-3c55-4b63-8e0e-7a1c9b7ad6b2"
STRANGER = "0badc0de-0000-4000-8000-0badc0de0bad"
LIFETIME = 86_400

type Version = Literal["1.0", "2.0"]
type Claims = dict[str, object]


class Publisher:
    """An issuer of the tokens of one tenant."""

    def __init__(self, tenant: str, authority: str, keys: SigningKeys) -> None:
        self._tenant = tenant
        self._authority = authority
        self._keys = keys

    def tokens(
        self, applications: list[str], versions: list[Version], fault: TokenFault | None = None
    ) -> list[str] | None:
        """The tokens of a POST to these applications, each forged on demand."""
        if fault == "missing":
            return None
        return [self._token(each, version, fault) for each in applications for version in versions]

    def _token(self, application: str, version: Version, fault: TokenFault | None) -> str:
        claims = self._spoilt(self._claims(application, version), version, fault)
        key = self._keys.current
        if fault in ("algNone", "hs256", "noKid", "garbage"):
            return _oddly_signed(claims, key, fault)
        header = {"typ": "JWT", "alg": "RS256", "x5t": key.kid, "kid": key.kid}
        if fault == "otherIssuersKey":
            return signing.token(claims, self._keys.of_consumers)
        if fault in ("forged", "unknownKid"):
            other = signing.make(key.issuer)
            return (
                signing.compact(header, claims, other.sign)
                if fault == "forged"
                else signing.token(claims, other)
            )
        return signing.token(claims, key)

    def _claims(self, application: str, version: Version) -> Claims:
        now = int(time.time())
        publisher: Claims = (
            {"appid": PUBLISHER, "appidacr": "2", "idp": issuer(self._authority, self._tenant, "1.0")}
            if version == "1.0"
            else {"azp": PUBLISHER, "azpacr": "2"}
        )
        return {
            "aud": application,
            "iss": issuer(self._authority, self._tenant, version),
            "iat": now,
            "nbf": now - 300,
            "exp": now + LIFETIME,
            "aio": base64.b64encode(uuid.uuid4().bytes).decode(),
            **publisher,
            "oid": PRINCIPAL,
            "sub": PRINCIPAL,
            "tid": self._tenant,
            "uti": signing.encoded(uuid.uuid4().bytes),
            "ver": version,
        }

    def _spoilt(self, claims: Claims, version: Version, fault: TokenFault | None) -> Claims:
        now = int(time.time())
        names: tuple[str, str] = ("appid", "azp") if version == "1.0" else ("azp", "appid")
        wrong: dict[TokenFault, Claims] = {
            "expired": {"nbf": now - 7200, "exp": now - 3600},
            "notYetValid": {"nbf": now + 3600},
            "noExpiry": {"exp": None},
            "wrongAudience": {"aud": STRANGER},
            "wrongIssuer": {"iss": issuer("https://login.example.com", self._tenant, "2.0")},
            "otherTenant": {"tid": STRANGER, "iss": issuer(self._authority, STRANGER, version)},
            "mismatchedTenant": {"tid": STRANGER},
            "wrongPublisher": {names[0]: STRANGER},
            "misplacedPublisher": {names[0]: None, names[1]: PUBLISHER},
            "unknownVersion": {"ver": "3.0"},
        }
        changed = claims | (wrong.get(fault, {}) if fault else {})
        return {name: value for name, value in changed.items() if value is not None}


def _oddly_signed(claims: Claims, key: SigningKey, fault: TokenFault) -> str:
    if fault == "garbage":
        return "not.a.token"
    if fault == "algNone":
        return signing.compact({"typ": "JWT", "alg": "none", "kid": key.kid}, claims, lambda _: b"")
    if fault == "hs256":
        secret = key.public_pem()
        header = {"typ": "JWT", "alg": "HS256", "kid": key.kid}
        return signing.compact(header, claims, lambda message: hmac.digest(secret, message, "sha256"))
    return signing.compact({"typ": "JWT", "alg": "RS256"}, claims, key.sign)
