"""The stack's storage accounts: their containers and queues, and clients.

Nothing here is the product's: tests and the demo look into the accounts without it. The SDK is loaded only by
those who ask for a client, because it takes a second, for which every start of the stack would wait.
"""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from local.stack.azurite import Azurite
from local.stack.identity import Identity
from local.stack.program import StartError

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken
    from azure.storage.blob import BlobServiceClient
    from azure.storage.queue import QueueServiceClient

QUEUES = (
    "meeting-signals",
    "meeting-signals-poison",
    "upkeep",
    "upkeep-poison",
    "graph-events",
    "graph-events-poison",
)
RESOURCE = "https://storage.azure.com"
API_VERSION = "2025-11-05"
MADE_OR_THERE = {HTTPStatus.CREATED, HTTPStatus.NO_CONTENT, HTTPStatus.CONFLICT}


@dataclass(frozen=True)
class Tokens:
    """A credential for the SDK, with tokens of the identity."""

    identity: Identity

    def get_token(self, *scopes: str, **_options: Any) -> AccessToken:
        """A token for the resource of the first scope."""
        from azure.core.credentials import AccessToken

        answer = self.identity.token(scopes[0].removesuffix("/.default"))
        return AccessToken(answer["access_token"], int(answer["expires_on"]))


def blob_service(azurite: Azurite, identity: Identity) -> BlobServiceClient:
    """A client for the containers of the data account."""
    return _blobs(azurite.blob_url, azurite, identity)


def state_service(azurite: Azurite, identity: Identity) -> BlobServiceClient:
    """A client for the containers of the host account."""
    return _blobs(azurite.state_url, azurite, identity)


def _blobs(url: str, azurite: Azurite, identity: Identity) -> BlobServiceClient:
    from azure.storage.blob import BlobServiceClient

    return BlobServiceClient(url, credential=Tokens(identity), **_transport(azurite))


def queue_service(azurite: Azurite, identity: Identity) -> QueueServiceClient:
    """A client for the host account's queues, with messages as stored (base64)."""
    from azure.storage.queue import QueueServiceClient

    return QueueServiceClient(azurite.queue_url, credential=Tokens(identity), **_transport(azurite))


def create(azurite: Azurite, identity: Identity, container: str) -> None:
    """Create the containers and queues of a deployment, if missing.

    Raises StartError.
    """
    trusted = ssl.create_default_context(cafile=azurite.ca)
    headers = {
        "Authorization": f"Bearer {identity.token(RESOURCE)['access_token']}",
        "x-ms-version": API_VERSION,
        "Content-Length": "0",
    }
    wanted = (
        (azurite.blob_url, [f"{container}?restype=container"]),
        (azurite.state_url, [f"{container}-state?restype=container"]),
        (azurite.queue_url, QUEUES),
    )
    for service, names in wanted:
        address = urlsplit(service)
        connection = http.client.HTTPSConnection(address.netloc, timeout=30, context=trusted)
        try:
            for name in names:
                connection.request("PUT", f"{address.path}/{name}", headers=headers)
                response = connection.getresponse()
                response.read()
                if response.status not in MADE_OR_THERE:
                    raise StartError(f"Azurite refused to create {name}: {response.status} {response.reason}")
        finally:
            connection.close()


def _transport(azurite: Azurite) -> dict[str, Any]:
    # A proxy of this machine's environment knows no way to the loopback address.
    return {"connection_verify": str(azurite.ca), "use_env_settings": False}
