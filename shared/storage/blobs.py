"""Blobs read and written on a condition: what `get` read is what `put` writes over."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import IO, Any

from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobProperties, ContainerClient, ContentSettings


@dataclass(frozen=True)
class Blob:
    """A blob as it was read."""

    body: bytes
    etag: str
    metadata: dict[str, str]


def get(container: ContainerClient, name: str) -> Blob | None:
    """The blob `name`, None where there is none. A missing container raises."""
    try:
        download = container.download_blob(name)
        body: bytes = download.readall()
    except ResourceNotFoundError as missing:
        if no_container(missing):
            raise
        return None
    return Blob(body, download.properties.etag, download.properties.metadata or {})


def properties(container: ContainerClient, name: str) -> BlobProperties | None:
    """The properties of the blob `name`, None where there is none. A missing container raises."""
    try:
        return container.get_blob_client(name).get_blob_properties()
    except ResourceNotFoundError as missing:
        if no_container(missing):
            raise
        return None


def put(
    container: ContainerClient,
    name: str,
    body: bytes | IO[bytes],
    *,
    etag: str | None,
    metadata: dict[str, str] | None = None,
    content_type: str = "application/json",
) -> bool:
    """Write where the blob still has `etag`, or with None where there is no blob.

    False when that does not hold. A file is written from its beginning.
    """
    length = len(body) if isinstance(body, bytes) else body.seek(0, os.SEEK_END)
    if not isinstance(body, bytes):
        body.seek(0)
    try:
        container.upload_blob(
            name,
            body,
            length=length,
            overwrite=True,  # else the client adds a condition of its own
            metadata=metadata,
            content_settings=ContentSettings(content_type=content_type),
            **_condition(etag),
        )
    except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError) as refusal:
        if no_container(refusal):
            raise
        return False
    return True


def no_container(error: HttpResponseError) -> bool:
    """Whether a 404 means that the deployment's container is missing: a fault, where a missing blob is not."""
    return bool(getattr(error, "error_code", None) == "ContainerNotFound")  # the storage SDK adds it


def _condition(etag: str | None) -> dict[str, Any]:
    """The arguments that let a write happen only while the blob has this ETag, or with None only where none is."""
    if etag is None:
        return {"match_condition": MatchConditions.IfMissing}
    return {"match_condition": MatchConditions.IfNotModified, "etag": etag}
