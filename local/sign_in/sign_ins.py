"""Pending sign-ins: device codes, browser codes and refresh tokens.

Each names application and scopes, and is redeemed by that application alone; a code once only.
Sources: RFC 8628 (device code), RFC 7636 (PKCE), OAuth 2.0 of the Microsoft identity platform.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass

from local.sign_in.errors import LoginError
from local.sign_in.signing import encoded

SECONDS_TO_SIGN_IN = 900
LETTERS = "BCDFGHJKLMNPQRSTVWXZ23456789"


@dataclass(frozen=True)
class SignIn:
    """Who signed in, where, and for what."""

    app_id: str
    scopes: tuple[str, ...]
    user: str
    nonce: str | None = None


@dataclass
class DeviceCode:
    """A pending sign-in; `user` is "" until it is answered, None if declined."""

    code: str
    user_code: str
    app_id: str
    scopes: tuple[str, ...]
    expires: float
    user: str | None = ""


class SignIns:
    """All sign-ins that have not been redeemed."""

    def __init__(self) -> None:
        self._device_codes: dict[str, DeviceCode] = {}
        self._browser_codes: dict[str, tuple[SignIn, str]] = {}
        self._refresh_tokens: dict[str, SignIn] = {}

    def begin(self, app_id: str, scopes: tuple[str, ...]) -> DeviceCode:
        """A device code, and the short code that its user types."""
        user_code = "".join(secrets.choice(LETTERS) for _ in range(9))
        expires = time.time() + SECONDS_TO_SIGN_IN
        begun = DeviceCode(secrets.token_urlsafe(48), user_code, app_id, scopes, expires)
        self._device_codes[begun.code] = begun
        return begun

    def answer(self, user_code: str, user: str | None) -> None:
        """The user signs in, or (None) declines. Raises KeyError for an unknown code."""
        for begun in self._device_codes.values():
            if begun.user_code == user_code.upper():
                begun.user = user
                return
        raise KeyError(user_code)

    def waiting(self) -> list[DeviceCode]:
        """The device codes without an answer."""
        return [each for each in self._device_codes.values() if each.user == ""]

    def of_device(self, app_id: str, code: str, instead: str | None) -> SignIn:
        """The sign-in of a device code; `instead` signs in without being asked.

        Raises LoginError.
        """
        begun = self._device_codes.get(code)
        if begun is None or begun.app_id != app_id:
            raise LoginError("invalid_grant", 70008, "The provided device code is not known.")
        if begun.expires < time.time():
            raise LoginError("expired_token", 70020, "The device code has expired.")
        user = (begun.user or instead) if begun.user is not None else None
        if user is None and begun.user is None:
            raise LoginError(
                "authorization_declined", 70018, "The end user denied the authorization request."
            )
        if not user:
            raise LoginError(
                "authorization_pending", 70016, "OAuth 2.0 device flow error. Authorization is pending."
            )
        del self._device_codes[code]
        return SignIn(begun.app_id, begun.scopes, user)

    def browser_code(self, signed_in: SignIn, challenge: str) -> str:
        """The code that the browser brings back."""
        code = secrets.token_urlsafe(32)
        self._browser_codes[code] = (signed_in, challenge)
        return code

    def of_browser(self, app_id: str, code: str, verifier: str) -> SignIn:
        """The sign-in behind a browser's code. Raises LoginError."""
        signed_in, challenge = self._browser_codes.pop(code, (None, ""))
        if signed_in is None or signed_in.app_id != app_id:
            raise LoginError("invalid_grant", 70000, "The provided authorization code is not valid.")
        if encoded(hashlib.sha256(verifier.encode()).digest()) != challenge:
            raise LoginError("invalid_grant", 501481, "The code verifier does not match the code challenge.")
        return signed_in

    def refresh_token(self, signed_in: SignIn) -> str:
        """A token for further access tokens without the user."""
        token = secrets.token_urlsafe(48)
        self._refresh_tokens[token] = signed_in
        return token

    def of_refresh_token(self, app_id: str, token: str) -> SignIn:
        """The sign-in behind a refresh token. Raises LoginError."""
        signed_in = self._refresh_tokens.get(token)
        if signed_in is None or signed_in.app_id != app_id:
            raise LoginError("invalid_grant", 700082, "The refresh token is not valid.")
        return signed_in
