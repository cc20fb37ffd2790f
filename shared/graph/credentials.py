"""Tokens for Microsoft Graph and storage, from managed identity only.

With GRAPH_CLIENT_ID, Graph sees an app registration which trusts the identity and has no secret either. The identity
library quotes answers it cannot read, and these may hold a token: only the class of its errors leaves this module.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ClientAssertionCredential, ManagedIdentityCredential

from ..errors import Unavailable
from ..settings import Settings

CONNECT_TIMEOUT = 5.0  # seconds; the endpoint is on the same machine
READ_TIMEOUT = 20.0
RETRIES = 3
_OPTIONS: dict[str, Any] = {
    "connection_timeout": CONNECT_TIMEOUT,
    "read_timeout": READ_TIMEOUT,
    "retry_total": RETRIES,
}


class _RedactedErrors:
    """A credential whose errors quote nothing."""

    def __init__(self, name: str, source: TokenCredential) -> None:
        self._name = name
        self._credential = source

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """Return a token for these scopes, possibly cached.

        Raises ClientAuthenticationError.
        """
        try:
            token: AccessToken = self._credential.get_token(*scopes, **options)
            return token
        except Exception as failure:  # noqa: BLE001 - the SDK does not wrap errors of network, parser and cache
            problem = f"{self._name}: {type(failure).__name__}"
        raise ClientAuthenticationError(problem)  # outside the handler: no traceback may show the original


def managed_identity(client_id: str) -> TokenCredential:
    """Return the user-assigned identity of a client id, or for "" the system-assigned."""
    identity = ManagedIdentityCredential(client_id=client_id or None, **_OPTIONS)
    return _RedactedErrors("managed identity", identity)


def graph_token(settings: Settings) -> Callable[[bool, str | None], str]:
    """Bearer tokens for Graph: the identity's, or those of the app registration.

    Called with True it forgets the cached token first: after a 401 the cached one may be revoked or expired. Claims
    that Graph asked for then go along to who issues the new one.
    Raises Unavailable when no token is given.
    """
    lock = threading.Lock()
    current = _graph_credential(settings)

    def token(renew: bool, claims: str | None) -> str:
        nonlocal current
        with lock:
            if renew:
                current = _graph_credential(
                    settings
                )  # drops the token cache, which belongs to the credential
            source = current
        try:
            return str(source.get_token(settings.graph_scope, claims=claims).token)
        except ClientAuthenticationError as failure:
            raise Unavailable("get a token", failure.message) from None

    return token


def _graph_credential(settings: Settings) -> TokenCredential:
    if settings.graph_client_id:
        return _registration_credential(settings)
    return managed_identity(settings.client_id)


def _registration_credential(settings: Settings) -> TokenCredential:
    """Return the app registration; it trusts the identity's token as its proof."""
    identity, scope = managed_identity(settings.client_id), f"{settings.cloud.exchange_audience}/.default"
    registration = ClientAssertionCredential(
        settings.tenant_id,
        settings.graph_client_id,
        lambda: identity.get_token(scope).token,
        authority=settings.login_root,
        disable_instance_discovery=True,  # the authority is configured; do not look it up elsewhere
        **_OPTIONS,
    )
    return _RedactedErrors("app registration", registration)
