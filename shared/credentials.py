"""Managed identity: tokens for Microsoft Graph and for storage. There is no other credential in the product.

The identity library quotes an answer that it cannot read, and that answer may hold a token. So none of its errors
leaves this module: only their class does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ManagedIdentityCredential

from shared.errors import Unavailable

CONNECT_TIMEOUT = 5.0  # seconds; the endpoint is on the same machine
READ_TIMEOUT = 20.0
RETRIES = 3


class _Identity:
    """A managed identity whose errors quote nothing."""

    def __init__(self, client_id: str) -> None:
        self._credential = ManagedIdentityCredential(
            client_id=client_id or None,
            connection_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            retry_total=RETRIES,
        )

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """A token for these scopes, perhaps a cached one. Raises ClientAuthenticationError."""
        try:
            token: AccessToken = self._credential.get_token(*scopes, **options)
            return token
        except Exception as failure:  # noqa: BLE001 - the SDK lets errors of its network, parser and cache through
            problem = f"managed identity: {type(failure).__name__}"
        raise ClientAuthenticationError(problem)  # outside the handler, so that no traceback shows the first


def credential(client_id: str) -> TokenCredential:
    """The user-assigned identity with this client id, or with "" the system-assigned one."""
    return _Identity(client_id)


def graph_token(client_id: str, scope: str) -> Callable[[bool], str]:
    """A source of bearer tokens for `scope`.

    Called with True it forgets the cached token first: after a 401 the cached one may be revoked or expired.
    Raises Unavailable when the identity endpoint gives none.
    """
    lock = threading.Lock()
    current = credential(client_id)

    def token(renew: bool) -> str:
        nonlocal current
        with lock:
            if renew:
                current = credential(client_id)  # its cache lives and dies with it
            source = current
        try:
            return str(source.get_token(scope).token)
        except ClientAuthenticationError as failure:
            raise Unavailable("get a token", failure.message) from None

    return token
