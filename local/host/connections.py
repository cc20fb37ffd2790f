"""App settings in bindings: `%NAME%` in values, and storage connections by prefix.

Connections are identity-based only: a connection string would carry the account's key, and nothing here may
need one. Source of the setting names: the identity-based connections section of the Functions reference.
"""

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import requests
from azure.core.credentials import TokenCredential
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import ManagedIdentityCredential
from azure.storage.blob import ContainerClient
from azure.storage.queue import LinearRetry, QueueClient
from requests.adapters import HTTPAdapter

CONNECTIONS = 64


class MissingSettingError(LookupError):
    """An app setting that a binding names does not exist or is incomplete."""


class AppSettings:
    """The app's settings, by name in any case, and the storage clients they describe."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._values = {name.lower(): value for name, value in environment.items()}
        self._credentials: dict[str | None, TokenCredential] = {}

    def resolve(self, text: str) -> str:
        """`text` with every `%NAME%` replaced by that setting."""

        def value(match: re.Match[str]) -> str:
            found = self._values.get(match[1].lower())
            if found is None:
                raise MissingSettingError(f"'%{match[1]}%' does not resolve to a value")
            return found

        return re.sub(r"%([^%]+)%", value, text)

    def disables(self, function: str) -> bool:
        """Whether `AzureWebJobs.<function>.Disabled` is set, in either of its forms."""
        names = (f"azurewebjobs{sep}{function.lower()}{sep}disabled" for sep in (".", "__"))
        return any(self._values.get(name, "").lower() in ("true", "1") for name in names)

    def queue(self, connection: str, name: str) -> QueueClient:
        """A client of the queue `name`, for raw message texts."""
        return QueueClient(
            self._endpoint(connection, "queue"), name, self._credential(connection), **self._transport
        )

    def container(self, connection: str, name: str) -> ContainerClient:
        """A client of the blob container `name`."""
        return ContainerClient(
            self._endpoint(connection, "blob"), name, self._credential(connection), **self._transport
        )

    def namespace(self, connection: str) -> str:
        """The host name of the Event Hubs namespace of a connection."""
        name = f"{connection}__fullyQualifiedNamespace"
        found = self._values.get(name.lower())
        if not found:
            raise MissingSettingError(f"Event Hubs connection '{connection}': setting '{name}' is missing")
        return found

    @cached_property
    def _transport(self) -> dict[str, Any]:
        # The SDK's own patience (three tries, 15 s apart and more) would hold a webhook's sender for a minute.
        retry = LinearRetry(backoff=1, retry_total=2, random_jitter_range=0)
        # One pool for all clients: a batch settles its messages at once, and the default keeps ten connections.
        session = requests.Session()
        session.mount("https://", HTTPAdapter(pool_maxsize=CONNECTIONS))
        transport = RequestsTransport(
            session=session, session_owner=False, connection_timeout=5, read_timeout=20
        )
        return {"retry_policy": retry, "transport": transport}

    def _endpoint(self, connection: str, service: str) -> str:
        names = [f"{connection}__{service}ServiceUri", f"{connection}__serviceUri"]
        for name in names:
            if uri := self._values.get(name.lower()):
                return uri
        if account := self._values.get(f"{connection}__accountName".lower()):
            return f"https://{account}.{service}.core.windows.net"
        raise MissingSettingError(
            f"Storage connection '{connection}': setting '{names[0]}' is missing"
            + (" (connection strings are not supported)" if connection.lower() in self._values else "")
        )

    def _credential(self, connection: str) -> TokenCredential:
        client_id = self._values.get(f"{connection}__clientId".lower())
        if client_id not in self._credentials:
            self._credentials[client_id] = ManagedIdentityCredential(client_id=client_id)
        return self._credentials[client_id]
