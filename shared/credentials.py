"""Managed identity: tokens for Microsoft Graph and for storage. There is no other credential in the product."""

from __future__ import annotations

import threading
from collections.abc import Callable

from azure.identity import ManagedIdentityCredential

from shared.errors import Unavailable

CONNECT_TIMEOUT = 5.0  # seconds; the endpoint is on the same machine
READ_TIMEOUT = 20.0
RETRIES = 3


def credential(client_id: str) -> ManagedIdentityCredential:
    """The user-assigned identity with this client id, or with "" the system-assigned one."""
    return ManagedIdentityCredential(
        client_id=client_id or None,
        connection_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        retry_total=RETRIES,
    )


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
        except Exception as failure:  # noqa: BLE001 - the SDK lets errors of its network, parser and cache through
            raise Unavailable("get a token", f"managed identity: {type(failure).__name__}") from None

    return token
