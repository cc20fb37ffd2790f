"""The token endpoint: grants and the tokens they give.

An application gets a token for Graph by an assertion of the identity that it trusts; a user by device code, browser
or refresh token. No secret and no password is accepted, because the product has none.
Sources: OAuth 2.0 client credentials, device code and authorization code flows of the Microsoft identity platform.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from local.sign_in import signing
from local.sign_in.apps import Apps, service_principal
from local.sign_in.errors import LoginError
from local.sign_in.metadata import SHARED, issuer
from local.sign_in.sign_ins import SignIn, SignIns
from local.sign_in.signing import SigningKeys

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
OF_SIGN_IN = ("openid", "profile", "offline_access", "email")
CONSENTED = ("OnlineMeetings.Read", "OnlineMeetingArtifact.Read.All", "VirtualEvent.Read", "User.Read")

type Form = Mapping[str, str]
type Answer = dict[str, object]


class User(Protocol):
    """A user who can sign in."""

    @property
    def display_name(self) -> str:
        """The name that people see."""

    @property
    def address(self) -> str:
        """The name to sign in with."""


@dataclass
class LoginSettings:
    """Settings that can change at run time (`PUT /_control/login/settings`)."""

    sign_in_as: str | None = None
    """The object id of a user who signs in without being asked."""
    device_code_interval: int = 5
    """Seconds between two questions of a device."""
    token_lifetime: int = 3599
    """Seconds that a token for Graph lives."""
    keys_name_issuer: bool = True
    """Whether each key of the key set names the issuer for whom it signs."""


@dataclass(frozen=True)
class Grants:
    """The grants of one tenant; `audience` is Graph's."""

    tenant: str
    authority: str
    audience: str
    keys: SigningKeys
    apps: Apps
    sign_ins: SignIns
    users: Mapping[str, User]
    settings: LoginSettings

    def token(self, tenant: str, form: Form) -> Answer:
        """The response of the token endpoint of `tenant` to `form`. Raises LoginError."""
        self.check_tenant(tenant)
        grant = _required(form, "grant_type")
        if grant == "client_credentials":
            return self._for_app(tenant, form)
        app_id = _required(form, "client_id").lower()
        if grant == DEVICE:
            signed_in = self.sign_ins.of_device(
                app_id, _required(form, "device_code"), self.settings.sign_in_as
            )
        elif grant == "authorization_code":
            code, verifier = _required(form, "code"), _required(form, "code_verifier")
            signed_in = self.sign_ins.of_browser(app_id, code, verifier)
        elif grant == "refresh_token":
            signed_in = self.sign_ins.of_refresh_token(app_id, _required(form, "refresh_token"))
        else:
            raise LoginError(
                "unsupported_grant_type", 70003, f"The app requested an unsupported grant type '{grant}'."
            )
        return self._for_user(signed_in)

    def device_code(self, tenant: str, form: Form, root: str) -> Answer:
        """A device code for `form`. Raises LoginError."""
        self.check_tenant(tenant)
        begun = self.sign_ins.begin(
            _required(form, "client_id").lower(), self.scopes(_required(form, "scope"))
        )
        page = f"{root}/devicelogin"
        return {
            "user_code": begun.user_code,
            "device_code": begun.code,
            "verification_uri": page,
            "expires_in": int(begun.expires - time.time()),
            "interval": self.settings.device_code_interval,
            "message": f"To sign in, open the page {page} and enter the code {begun.user_code} to authenticate.",
        }

    def scopes(self, wanted: str) -> tuple[str, ...]:
        """The scopes in a scope parameter, Graph's by their short names.

        Raises LoginError.
        """
        scopes: list[str] = []
        for each in wanted.split():
            name = self._of_graph(each)
            scopes += CONSENTED if name == ".default" else [name]
        unknown = set(scopes) - {*CONSENTED, *OF_SIGN_IN}
        if unknown:
            message = f"The application asked for scope '{min(unknown)}' that doesn't exist on the resource."
            raise LoginError("invalid_client", 650053, message)
        return tuple(dict.fromkeys(scopes))

    def check_tenant(self, tenant: str) -> None:
        """Raises LoginError for a tenant that is not this one and does not stand for any."""
        if tenant.lower() != self.tenant and tenant.lower() not in SHARED:
            raise LoginError("invalid_request", 90002, f"Tenant '{tenant}' not found.")

    def _of_graph(self, scope: str) -> str:
        if "://" not in scope:
            return scope
        plain = self.audience.rstrip("/")
        if not scope.startswith(plain + "/"):
            message = f"The resource principal named {scope.rpartition('/')[0]} was not found in the tenant."
            raise LoginError("invalid_resource", 500011, message)
        return scope.removeprefix(plain).lstrip("/")

    def _for_app(self, tenant: str, form: Form) -> Answer:
        if tenant.lower() in SHARED:
            raise LoginError("invalid_request", 900144, "Application tokens need the tenant's own endpoint.")
        if form.get("client_assertion_type") != ASSERTION:
            message = "The request body must contain 'client_assertion' of the type JWT bearer."
            raise LoginError("invalid_client", 7000216, message, 401)
        app = self.apps.authenticated(_required(form, "client_id"), _required(form, "client_assertion"))
        if [self._of_graph(scope) for scope in _required(form, "scope").split()] != [".default"]:
            raise LoginError(
                "invalid_scope", 1002012, "Client credentials need the scope '/.default' of one resource."
            )
        principal = service_principal(app.app_id)
        return self._answer({"appid": app.app_id, "idtyp": "app", "oid": principal, "sub": principal})

    def _for_user(self, signed_in: SignIn) -> Answer:
        user = self.users[signed_in.user]
        scopes = [scope for scope in signed_in.scopes if scope not in OF_SIGN_IN]
        claims = {
            "appid": signed_in.app_id,
            "idtyp": "user",
            "oid": signed_in.user,
            "sub": signed_in.user,
            "scp": " ".join(scopes),
            "upn": user.address,
            "name": user.display_name,
        }
        answer = self._answer(claims) | {"scope": " ".join(f"{self.audience}/{scope}" for scope in scopes)}
        client = json.dumps({"uid": signed_in.user, "utid": self.tenant}).encode()
        answer["client_info"] = base64.urlsafe_b64encode(client).rstrip(b"=").decode()
        if "openid" in signed_in.scopes:
            answer["id_token"] = signing.token(self._id_claims(signed_in, user), self.keys.current)
        if "offline_access" in signed_in.scopes:
            answer["refresh_token"] = self.sign_ins.refresh_token(signed_in)
        return answer

    def _answer(self, claims: dict[str, str]) -> Answer:
        lifetime = self.settings.token_lifetime
        whole = self._times() | {"aud": self.audience, "iss": issuer(self.authority, self.tenant, "1.0")}
        whole |= {"tid": self.tenant, "ver": "1.0", **claims}
        return {
            "token_type": "Bearer",
            "expires_in": lifetime,
            "ext_expires_in": lifetime,
            "access_token": signing.token(whole, self.keys.current),
        }

    def _id_claims(self, signed_in: SignIn, user: User) -> dict[str, object]:
        claims = self._times() | {
            "aud": signed_in.app_id,
            "iss": issuer(self.authority, self.tenant, "2.0"),
            "oid": signed_in.user,
            "sub": signed_in.user,
            "tid": self.tenant,
            "preferred_username": user.address,
            "name": user.display_name,
            "ver": "2.0",
        }
        return claims if signed_in.nonce is None else claims | {"nonce": signed_in.nonce}

    def _times(self) -> dict[str, object]:
        now = int(time.time())
        return {"iat": now, "nbf": now - 300, "exp": now + self.settings.token_lifetime}


def _required(form: Form, name: str) -> str:
    value = form.get(name)
    if not value:
        message = f"The request body must contain the following parameter: '{name}'."
        raise LoginError("invalid_request", 900144, message)
    return value
