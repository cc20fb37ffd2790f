"""App registrations that trust a managed identity, and checks of its assertions.

Source: Configure an application to trust a managed identity; the codes are those that Microsoft Entra ID gives.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import jwt

from local.sign_in.errors import LoginError

AUDIENCE = "api://AzureADTokenExchange"
IDENTITY_KEY = "LOCAL_IDENTITY_KEY"  # of the environment, so that no list of processes shows it


@dataclass(frozen=True)
class NewApp:
    """An app registration; `trusts`: object ids of the identities that it trusts."""

    app_id: str
    trusts: tuple[str, ...] = ()


def service_principal(app_id: str) -> str:
    """The object id of an application in the tenant."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"service principal of {app_id}"))


class Apps:
    """All registrations; `key` verifies the identity's assertions, none without it."""

    def __init__(self, issuer: str, key: bytes | None) -> None:
        self._issuer = issuer
        self._key = key
        self._by_id: dict[str, NewApp] = {}

    def add(self, app: NewApp) -> None:
        """Add a registration, or replace the one with the same id."""
        trusts = tuple(each.lower() for each in app.trusts)
        self._by_id[app.app_id.lower()] = NewApp(app.app_id.lower(), trusts)

    def all(self) -> list[NewApp]:
        """Every registration."""
        return list(self._by_id.values())

    def authenticated(self, app_id: str, assertion: str) -> NewApp:
        """The registration that `assertion` authenticates. Raises LoginError."""
        app = self._by_id.get(app_id.lower())
        if app is None:
            raise LoginError(
                "unauthorized_client", 700016, f"Application with identifier '{app_id}' was not found."
            )
        claims = self._claims(assertion)
        if claims.get("iss") != self._issuer:
            raise _no_match(700211, "issuer")
        if str(claims.get("sub")).lower() not in app.trusts:
            raise _no_match(700213, "subject")
        return app

    def _claims(self, assertion: str) -> dict[str, object]:
        if self._key is None:
            raise _no_match(700211, "issuer")
        try:
            claims: dict[str, object] = jwt.decode(
                assertion,
                self._key,
                algorithms=["HS256"],
                audience=AUDIENCE,
                options={"require": ["exp", "aud"]},
            )
        except (jwt.InvalidAudienceError, jwt.MissingRequiredClaimError):
            raise _no_match(700212, "audience") from None
        except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError):
            message = "Client assertion is not within its valid time range."
            raise LoginError("invalid_client", 700024, message, 401) from None
        except jwt.PyJWTError:
            raise LoginError("invalid_client", 50027, "JWT token is invalid or malformed.", 401) from None
        return claims


def _no_match(code: int, what: str) -> LoginError:
    message = f"No matching federated identity record found for presented assertion {what}."
    return LoginError("invalid_client", code, message, 401)
