"""Verify that Microsoft Graph sent a rich notification for this app and tenant.

A body has one token, in format version 1 or 2, for each app and tenant among its items. An invalid token rejects the
whole body; a valid one for another app or tenant proves nothing. Sources:
https://learn.microsoft.com/graph/change-notifications-with-resource-data and
https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import jwt
from jwt.exceptions import PyJWTError

from ..errors import NotGenuine, UnknownKey
from .signing_keys import SigningKeys

PUBLISHER = "0bf30f3b-4a52-48df-9a82-234910c4a086"  # Microsoft Graph Change Tracking
LEEWAY = 300.0  # seconds of clock skew
MAX_TOKENS = 50
_REQUIRED_CLAIMS = ["exp", "iss", "aud", "ver"]


@dataclass(frozen=True)
class TokenValidator:
    """Validator for one app in one tenant; `authority` is the cloud's sign-in address."""

    keys: SigningKeys
    app_id: str
    tenant_id: str
    authority: str

    def verify(self, tokens: Iterable[str]) -> None:
        """Verify all tokens, and that one of them is for this app and tenant.

        Raises NotGenuine if a token is invalid or none is for us, UnknownKey if its key may be published later, and
        Unavailable if signing keys cannot be fetched.
        """
        received = list(tokens)
        if len(received) > MAX_TOKENS:
            raise NotGenuine("too many tokens")
        claims = [self._verify(token) for token in received]  # verify all, even if the first is for us
        if not any(self._is_for_us(each) for each in claims):
            raise NotGenuine("no token is for this app and tenant")

    def _verify(self, token: str) -> dict[str, Any]:
        """Return the claims of a genuine token, for any app and tenant."""
        try:
            header = jwt.get_unverified_header(token)
        except (PyJWTError, ValueError):
            raise NotGenuine("a token is malformed") from None
        if header.get("alg") != "RS256":
            raise NotGenuine("a token is not signed with RS256")
        entry = self.keys.find(str(header.get("kid")))
        if entry is None:
            raise UnknownKey("a token's signing key is not published")
        key, issuer = entry
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                leeway=LEEWAY,
                options={"require": _REQUIRED_CLAIMS, "verify_aud": False},
            )
        except (PyJWTError, ValueError) as failure:
            raise NotGenuine(f"a token is invalid ({type(failure).__name__})") from None
        self._check_issuer(claims, issuer)
        publisher = claims.get("appid" if claims["ver"] == "1.0" else "azp")
        if publisher != PUBLISHER:
            raise NotGenuine("a token was not issued to Microsoft Graph")
        return claims

    def _check_issuer(self, claims: dict[str, Any], key_issuer: str) -> None:
        """Check that the tenant issued the token, and that the key belongs to the tenant.

        A tenant has one issuer for each token version. A key is published for one of the two and signs for both.
        """
        tenant, version = str(claims.get("tid")), str(claims["ver"])
        issuers = {"1.0": f"https://sts.windows.net/{tenant}/", "2.0": f"{self.authority}/{tenant}/v2.0"}
        if claims["iss"] != issuers.get(version):
            raise NotGenuine("a token has a wrong issuer")
        if key_issuer and key_issuer.replace("{tenantid}", tenant) not in issuers.values():
            raise NotGenuine("a token was signed with another issuer's key")

    def _is_for_us(self, claims: dict[str, Any]) -> bool:
        ours = str(claims["aud"]).lower() == self.app_id.lower()
        return bool(ours and str(claims["tid"]).lower() == self.tenant_id.lower())
