"""Read and write blobs; a write succeeds only if the blob's ETag is unchanged."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import IO, Any

from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobProperties, ContainerClient, ContentSettings

from .. import logs
from ..errors import Contention, SettingError, StorageRefused

THREADS = 8  # that wait for storage side by side
EXISTS = "BlobAlreadyExists"
BAD_REQUEST = 400
MAX_RACES = 8  # writers of one blob that may get in between


@dataclass(frozen=True)
class Blob:
    """A blob's content, ETag and metadata."""

    body: bytes
    etag: str
    metadata: dict[str, str]


def get_blob(container: ContainerClient, name: str) -> Blob | None:
    """Read a blob; None if it does not exist. Raises if the container is missing."""
    try:
        download = container.download_blob(name)
        body: bytes = download.readall()
    except ResourceNotFoundError as missing:
        if is_container_missing(missing):
            raise
        return None
    return Blob(body, download.properties.etag, download.properties.metadata or {})


def get_properties(container: ContainerClient, name: str) -> BlobProperties | None:
    """Read a blob's properties; None if it does not exist.

    Raises if the container is missing.
    """
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
    """Write a blob if it still has `etag`; with None, only if it does not exist.

    Return the new ETag; None where the condition does not hold. Raises StorageRefused for a write that is refused
    whatever the condition.
    """
    length = len(body) if isinstance(body, bytes) else body.seek(0, os.SEEK_END)
    if not isinstance(body, bytes):
        body.seek(0)
    try:
        answer = container.get_blob_client(name).upload_blob(
            body,
            length=length,
            overwrite=True,  # otherwise the client adds its own condition
            metadata=metadata,
            content_settings=ContentSettings(content_type=content_type),
            **_condition(etag),
        )
    except ResourceExistsError as conflict:  # which the SDK makes of every 409
        if conflict.error_code != EXISTS:  # type: ignore[attr-defined]
            raise _refusal(name, conflict) from None
        return None
    except (ResourceModifiedError, ResourceNotFoundError) as refusal:
        if is_container_missing(refusal):
            raise
        return None
    return str(answer["etag"])


def put_metadata(container: ContainerClient, name: str, metadata: dict[str, str], *, etag: str) -> bool:
    """Replace only the metadata if the blob still has `etag`. Return whether it had.

    Raises StorageRefused.
    """
    try:
        container.get_blob_client(name).set_blob_metadata(metadata, **_condition(etag))
    except ResourceExistsError as conflict:
        raise _refusal(name, conflict) from None
    except (ResourceModifiedError, ResourceNotFoundError) as refusal:
        if is_container_missing(refusal):
            raise
        return False
    return True


def delete_blob(container: ContainerClient, name: str, *, etag: str | None = None) -> bool:
    """Delete a blob, with `etag` only if it still has that one. Return whether it did.

    Raises StorageRefused.
    """
    condition = _condition(etag) if etag else {}
    try:
        container.delete_blob(name, **condition)
    except ResourceExistsError as conflict:
        raise _refusal(name, conflict) from None
    except ResourceModifiedError:
        return False
    except ResourceNotFoundError as missing:
        if is_container_missing(missing):
            raise
        return False
    return True


def delete_or_leave(container: ContainerClient, name: str, *, etag: str | None = None) -> bool:
    """Delete a blob as `delete_blob` does. If storage refuses, log it, return False."""
    try:
        delete_blob(container, name, etag=etag)
    except StorageRefused as refusal:
        logs.warning("blob.locked", path=name, error=str(refusal))
        return False
    return True


def retry_conflicts[T](attempt: Callable[[], T | None], subject: str) -> T:
    """Repeat a read and conditional write until it returns something other than None.

    `attempt` returns None if another writer was faster. Raises Contention after MAX_RACES lost races.
    """
    for _ in range(MAX_RACES):
        if (result := attempt()) is not None:
            return result
    raise Contention(subject)


def run_in_parallel[A, B](function: Callable[[A], B], items: Sequence[A]) -> list[B]:
    """Call a function that waits for storage on each item, in threads.

    Each call runs in a copy of the caller's context. Results keep the order of the items.
    """
    if len(items) < 2:
        return [function(each) for each in items]
    context = copy_context()
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(lambda each: context.copy().run(function, each), items))


def concerns_all(failure: Exception) -> bool:
    """Whether everything else would fail as well, and must wait.

    So it is without network, storage, sign-in, role or container, and with a wrong setting. A 409, a bad request, a
    lost race and a fault of this product may be of one blob alone.
    """
    if isinstance(failure, HttpResponseError):
        return not isinstance(failure, ResourceExistsError) and failure.status_code != BAD_REQUEST
    return isinstance(failure, AzureError | SettingError | OSError | MemoryError)


def is_container_missing(error: HttpResponseError) -> bool:
    """Whether a 404 is for the container, which is a fault of the deployment."""
    return bool(getattr(error, "error_code", None) == "ContainerNotFound")  # set by the storage SDK


def _refusal(name: str, conflict: ResourceExistsError) -> StorageRefused:
    """Return the error for a 409 that no other writer caused."""
    return StorageRefused(name, conflict.error_code)  # type: ignore[attr-defined]


def _condition(etag: str | None) -> dict[str, Any]:
    """Return the arguments of a conditional write; None: the blob must not exist."""
    if etag is None:
        return {"match_condition": MatchConditions.IfMissing}
    return {"match_condition": MatchConditions.IfNotModified, "etag": etag}
