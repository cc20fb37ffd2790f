"""Operational state: small JSON blobs in the container `<container>-state` of the host account.

The right to read reports, which are in the data account, shows none of it. Nothing here is the only copy of
anything: without it the next runs begin anew. A write is conditional on what was read, so that of two instances one
sees that it was overtaken.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from azure.storage.blob import ContainerClient, ContentSettings

from .blobs import delete_blob, get_blob, put_blob

TRIES = 3  # of a write that is refused although nobody else wrote
_JSON = ContentSettings(content_type="application/json")


@dataclass(frozen=True)
class StateBlob:
    """A blob as it was read."""

    content: dict[str, Any]
    etag: str


class StateStore:
    """The blobs of one container. Raises azure.core errors when storage does not answer."""

    def __init__(self, container: ContainerClient) -> None:
        self._container = container

    def read(self, name: str) -> StateBlob | None:
        """The blob `name`, or None. One that is no JSON object reads as an empty one, to be written over."""
        blob = get_blob(self._container, name)
        if blob is None:
            return None
        try:
            content = json.loads(blob.body)
        except ValueError:
            content = None
        return StateBlob(content if isinstance(content, dict) else {}, blob.etag)

    def write(self, name: str, content: Mapping[str, Any], entry: StateBlob | None) -> bool:
        """Write where `entry` was read, or with None where nothing is. False when someone was faster.

        A refusal alone does not say so: the client repeats a write whose reply was lost, and meets itself.
        """
        body, etag = _dumps(content), entry.etag if entry else None
        for _ in range(TRIES):
            if put_blob(self._container, name, body, etag=etag):
                return True
            there = get_blob(self._container, name)
            if there and there.body == body:
                return True
            if (there.etag if there else None) != etag:
                return False
        return False

    def put(self, name: str, content: Mapping[str, Any]) -> None:
        """Write, whatever is there."""
        self._container.upload_blob(name, _dumps(content), overwrite=True, content_settings=_JSON)

    def remove(self, name: str, entry: StateBlob | None = None) -> bool:
        """Delete, with `entry` only what was read. Whether it was there."""
        return delete_blob(self._container, name, etag=entry.etag if entry else None)

    def list_names(self, prefix: str, most: int) -> list[str]:
        """The names of at most `most` blobs below `prefix`."""
        found = self._container.list_blob_names(name_starts_with=prefix)
        return list(itertools.islice(found, most))


def _dumps(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
