"""Operational state: small JSON blobs in `<container>-state` of the host account.

Reports are in the data account, so a reader of reports cannot read this state. None of it is the only copy of anything:
without it, the next runs start over. Writes are conditional: of two instances, one finds its write rejected.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from azure.storage.blob import ContainerClient, ContentSettings

from .blobs import delete_blob, get_blob, put_blob

TRIES = 3  # of a write that is rejected although no other writer changed the blob
_JSON = ContentSettings(content_type="application/json")


@dataclass(frozen=True)
class StateBlob:
    """A state blob's content and ETag."""

    content: dict[str, Any]
    etag: str


class StateStore:
    """The blobs of one container. Raises azure.core errors."""

    def __init__(self, container: ContainerClient) -> None:
        self._container = container

    def read(self, name: str) -> StateBlob | None:
        """Read a blob, or None. One that is not a JSON object reads as empty."""
        blob = get_blob(self._container, name)
        if blob is None:
            return None
        try:
            content = json.loads(blob.body)
        except ValueError:
            content = None
        return StateBlob(content if isinstance(content, dict) else {}, blob.etag)

    def write(self, name: str, content: Mapping[str, Any], blob: StateBlob | None) -> bool:
        """Write over `blob` as it was read; with None, only if it does not exist.

        Return False if another writer was faster. A 412 is not proof of that: the SDK may have repeated a write that
        had already succeeded.
        """
        body, etag = _dumps(content), blob.etag if blob else None
        for _ in range(TRIES):
            if put_blob(self._container, name, body, etag=etag):
                return True
            current = get_blob(self._container, name)
            if current and current.body == body:
                return True
            if (current.etag if current else None) != etag:
                return False
        return False

    def put(self, name: str, content: Mapping[str, Any]) -> None:
        """Write unconditionally."""
        self._container.upload_blob(name, _dumps(content), overwrite=True, content_settings=_JSON)

    def remove(self, name: str, blob: StateBlob | None = None) -> bool:
        """Delete a blob, with `blob` only as it was read. Return whether it existed."""
        return delete_blob(self._container, name, etag=blob.etag if blob else None)

    def list_names(self, prefix: str, limit: int) -> list[str]:
        """List the names of at most `limit` blobs below `prefix`."""
        names = self._container.list_blob_names(name_starts_with=prefix)
        return list(itertools.islice(names, limit))


def _dumps(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
