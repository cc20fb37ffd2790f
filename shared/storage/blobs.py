"""Blobs read and written on a condition: what `get` read is what `put` writes over."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
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

from ..errors import Contention

THREADS = 8  # that wait for storage side by side
MAX_RACES = 8  # writers of one blob that may get in between


@dataclass(frozen=True)
class Blob:
    """A blob as it was read."""

    body: bytes
    etag: str
    metadata: dict[str, str]


def get_blob(container: ContainerClient, name: str) -> Blob | None:
    """The blob `name`, None where there is none. A missing container raises."""
    try:
        download = container.download_blob(name)
        body: bytes = download.readall()
    except ResourceNotFoundError as missing:
        if is_container_missing(missing):
            raise
        return None
    return Blob(body, download.properties.etag, download.properties.metadata or {})


def get_properties(container: ContainerClient, name: str) -> BlobProperties | None:
    """The properties of the blob `name`, None where there is none. A missing container raises."""
    try:
        return container.get_blob_client(name).get_blob_properties()
    except ResourceNotFoundError as missing:
        if is_container_missing(missing):
            raise
        return None


def put_blob(
    container: ContainerClient,
    name: str,
    body: bytes | IO[bytes],
    *,
    etag: str | None,
    metadata: dict[str, str] | None = None,
    content_type: str = "application/json",
) -> str | None:
    """Write where the blob still has `etag`, or with None where there is no blob. A file is written from its beginning.

    Return the new ETag; None where the condition does not hold.
    """
    length = len(body) if isinstance(body, bytes) else body.seek(0, os.SEEK_END)
    if not isinstance(body, bytes):
        body.seek(0)
    try:
        written = container.get_blob_client(name).upload_blob(
            body,
            length=length,
            overwrite=True,  # else the client adds a condition of its own
            metadata=metadata,
            content_settings=ContentSettings(content_type=content_type),
            **_condition(etag),
        )
    except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError) as refusal:
        if is_container_missing(refusal):
            raise
        return None
    return str(written["etag"])


def put_metadata(container: ContainerClient, name: str, metadata: dict[str, str], *, etag: str) -> bool:
    """Replace the metadata alone while the blob still has `etag`. Return whether they were written."""
    try:
        container.get_blob_client(name).set_blob_metadata(metadata, **_condition(etag))
    except (ResourceModifiedError, ResourceNotFoundError) as refusal:
        if is_container_missing(refusal):
            raise
        return False
    return True


def delete_blob(container: ContainerClient, name: str, *, etag: str | None = None) -> bool:
    """Delete a blob, with `etag` only while it has that one. Return whether it was deleted."""
    condition = _condition(etag) if etag else {}
    try:
        container.delete_blob(name, **condition)
    except ResourceModifiedError:
        return False
    except ResourceNotFoundError as missing:
        if is_container_missing(missing):
            raise
        return False
    return True


def retry_conflicts[T](attempt: Callable[[], T | None], subject: str) -> T:
    """The result of a read and a conditional write, repeated while it is None because another writer was faster.

    Raises Contention after MAX_RACES lost races.
    """
    for _ in range(MAX_RACES):
        if (result := attempt()) is not None:
            return result
    raise Contention(subject)


def run_in_parallel[A, B](function: Callable[[A], B], items: Sequence[A]) -> list[B]:
    """The results of a function that waits for storage, called for these items in the context of this thread."""
    if len(items) < 2:
        return [function(each) for each in items]
    context = copy_context()
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(lambda each: context.copy().run(function, each), items))


def is_container_missing(error: HttpResponseError) -> bool:
    """Whether a 404 means that the deployment's container is missing: a fault, where a missing blob is not."""
    return bool(getattr(error, "error_code", None) == "ContainerNotFound")  # the storage SDK adds it


def _condition(etag: str | None) -> dict[str, Any]:
    """The arguments that let a write happen only while the blob has this ETag, or with None only where none is."""
    if etag is None:
        return {"match_condition": MatchConditions.IfMissing}
    return {"match_condition": MatchConditions.IfNotModified, "etag": etag}
