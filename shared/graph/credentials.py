"""Managed identity: tokens for Microsoft Graph and for storage. There is no other credential in the product.

Where GRAPH_CLIENT_ID is set, Graph sees an app registration that trusts the identity; that has no secret either.

The identity library quotes an answer that it cannot read, and that answer may hold a token. So none of its errors
leaves this module: only their class does.
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
        """A token for these scopes, perhaps a cached one. Raises ClientAuthenticationError."""
        try:
            token: AccessToken = self._credential.get_token(*scopes, **options)
            return token
        except Exception as failure:  # noqa: BLE001 - the SDK lets errors of its network, parser and cache through
            problem = f"{self._name}: {type(failure).__name__}"
        raise ClientAuthenticationError(problem)  # outside the handler, so that no traceback shows the first


def managed_identity(client_id: str) -> TokenCredential:
    """The user-assigned identity with this client id, or with "" the system-assigned one."""
    identity = ManagedIdentityCredential(client_id=client_id or None, **_OPTIONS)
    return _RedactedErrors("managed identity", identity)


def graph_token(settings: Settings) -> Callable[[bool], str]:
    """A source of bearer tokens for Graph: of the identity, or of the app registration that trusts it.

    Called with True it forgets the cached token first: after a 401 the cached one may be revoked or expired.
    Raises Unavailable when no token is given.
    """
    lock = threading.Lock()
    current = _for_graph(settings)

    def token(renew: bool) -> str:
        nonlocal current
        with lock:
            if renew:
                current = _for_graph(settings)  # its cache lives and dies with it
            source = current
        try:
            return str(source.get_token(settings.graph_scope).token)
        except ClientAuthenticationError as failure:
            raise Unavailable("get a token", failure.message) from None

    return token


def _for_graph(settings: Settings) -> TokenCredential:
    if settings.graph_client_id:
        return _registration(settings)
    return managed_identity(settings.client_id)


def _registration(settings: Settings) -> TokenCredential:
    """The app registration, which takes the identity's own token for its proof (workload identity federation)."""
    identity, scope = managed_identity(settings.client_id), f"{settings.cloud.exchange_audience}/.default"
    registration = ClientAssertionCredential(
        settings.tenant_id,
        settings.graph_client_id,
        lambda: identity.get_token(scope).token,
        authority=settings.login_root,
        disable_instance_discovery=True,  # the authority is set, and needs no other server's word
        **_OPTIONS,
    )
    return _RedactedErrors("app registration", registration)
