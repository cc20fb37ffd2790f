"""Bearer tokens for Graph: audience and times are checked, signatures are not.

A token with scopes is a user's (delegated), any other an application's own.

Signatures are left out because the stack's identity endpoint is no authority; the audience catches the common
fault, a token of another resource. A token is never logged and never part of a message.
"""

from __future__ import annotations

from dataclasses import dataclass

import jwt

from local.simulator.odata import GraphError


@dataclass(frozen=True)
class Caller:
    """The caller: client id, and object id of its service principal or user.

    `scopes` is None for an application that acts for itself.
    """

    app_id: str
    object_id: str
    scopes: frozenset[str] | None = None

    def as_application(self) -> None:
        """Refuse a user's token on a route for applications. Raises GraphError 403."""
        if self.scopes is not None:
            raise GraphError(403, "Forbidden", "Insufficient privileges to complete the operation.")

    def needs(self, *scopes: str) -> None:
        """Refuse a user's token without any of these scopes. Raises GraphError 403."""
        if self.scopes is not None and self.scopes.isdisjoint(scopes):
            raise GraphError(403, "Forbidden", "Insufficient privileges to complete the operation.")

    def me(self) -> str:
        """The signed-in user's object id. Raises GraphError 400 for an application."""
        if self.scopes is None:
            message = "/me request is only valid with delegated authentication flow."
            raise GraphError(400, "BadRequest", message)
        return self.object_id


@dataclass(frozen=True)
class TokenCheck:
    """A check of tokens for `audience`; `app_id` is used if a token names no app."""

    audience: str
    app_id: str

    def caller(self, authorization: str) -> Caller:
        """The caller that an Authorization header proves. Raises GraphError 401."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _invalid("Access token is empty.")
        plain = self.audience.rstrip("/")
        try:
            claims = jwt.decode(
                token.strip(),
                audience=[plain, plain + "/"],
                options={
                    "verify_signature": False,
                    "verify_exp": True,
                    "verify_nbf": True,
                    "verify_aud": True,
                    "require": ["exp", "aud"],
                },
            )
        except jwt.ExpiredSignatureError:
            raise _invalid("Lifetime validation failed, the token is expired.") from None
        except (jwt.InvalidAudienceError, jwt.MissingRequiredClaimError):
            raise _invalid("Access token validation failure. Invalid audience.") from None
        except jwt.PyJWTError:
            raise _invalid("CompactToken parsing failed.") from None
        app_id = str(claims.get("appid") or claims.get("azp") or self.app_id)
        scopes = claims.get("scp")
        granted = frozenset(scopes.split()) if isinstance(scopes, str) and scopes else None
        return Caller(app_id.lower(), str(claims.get("oid") or app_id).lower(), granted)


def _invalid(message: str) -> GraphError:
    return GraphError(
        401,
        "InvalidAuthenticationToken",
        message,
        {"WWW-Authenticate": 'Bearer realm="", error="invalid_token"'},
    )
