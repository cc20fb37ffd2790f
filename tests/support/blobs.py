"""A container in memory, with the conditions and status codes of the real one.

Names are indexed by folder, so that a day of a million blobs can be listed without a look at all others.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import IO, Any

from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)

CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob, its properties, its item in a listing, and its download."""

    name: str
    body: bytes
    metadata: dict[str, str]
    etag: str
    creation_time: datetime
    last_modified: datetime
    version_id: str | None = None
    is_current_version: bool | None = None

    @property
    def size(self) -> int:
        return len(self.body)

    @property
    def properties(self) -> Blob:
        return self

    def readall(self) -> bytes:
        return self.body

    def chunks(self) -> Iterator[bytes]:
        """The body in pieces."""
        return (self.body[start : start + CHUNK] for start in range(0, len(self.body), CHUNK))


class Missing(ResourceNotFoundError):
    """The SDK's error, without its slow constructor."""

    def __init__(self) -> None:
        self.error_code, self.message = "BlobNotFound", "404"


class Exists(ResourceExistsError):
    """The same, where a blob is."""

    def __init__(self) -> None:
        self.error_code, self.message = "BlobAlreadyExists", "409"


@dataclass(frozen=True)
class Folder:
    """A part of a name before a delimiter."""

    name: str


class Blobs:
    """A container.

    `wait` is called before `read`, `write` and `list`; `now` tells the time.
    """

    def __init__(self, now: Callable[[], datetime], wait: Callable[[str], None]) -> None:
        self._now, self._wait = now, wait
        self._folders: dict[str, dict[str, Blob]] = {}
        self._versions = itertools.count(1)

    def get_blob_client(self, name: str) -> BlobClient:
        return BlobClient(self, name)

    def download_blob(self, name: str, *, offset: int = 0, length: int | None = None) -> Blob:
        self._wait("read")
        blob = self.there(name)
        return replace(blob, body=blob.body[offset:][:length]) if offset or length is not None else blob

    def delete_blob(
        self, name: str, *, match_condition: MatchConditions | None = None, etag: str | None = None
    ) -> None:
        self._wait("write")
        check(self.there(name), match_condition, etag)
        del self._folders[_folder(name)][name]

    def upload_blob(
        self,
        name: str,
        data: bytes | IO[bytes],
        *,
        overwrite: bool,
        metadata: dict[str, str] | None = None,
        match_condition: MatchConditions | None = None,
        etag: str | None = None,
        **_: object,
    ) -> str:
        assert overwrite, "without it the client adds a condition of its own"
        body = data if isinstance(data, bytes) else data.read()
        self._wait("write")
        folder = self._folders.setdefault(_folder(name), {})
        before = folder.get(name)
        check(before, match_condition, etag)
        now = self._now()
        created = before.creation_time if before else now
        folder[name] = Blob(name, body, dict(metadata or {}), f'"{next(self._versions):X}"', created, now)
        return folder[name].etag

    def list_blobs(self, *, name_starts_with: str, include: list[str]) -> Iterator[Blob]:
        assert include == ["metadata"]
        return self._pages(name_starts_with)

    def list_blob_names(self, *, name_starts_with: str) -> Iterator[str]:
        return (blob.name for blob in self._pages(name_starts_with))

    def walk_blobs(self, *, name_starts_with: str, delimiter: str) -> Iterator[Folder]:
        assert delimiter == "/"
        self._wait("list")
        depth = name_starts_with.count("/") + 1
        names = {
            "/".join(folder.split("/")[:depth]) + "/"
            for folder, blobs in self._folders.items()
            if folder.startswith(name_starts_with) and blobs
        }
        yield from map(Folder, sorted(names))

    def _pages(self, prefix: str) -> Iterator[Blob]:
        """The blobs below `prefix` in order; a page of 5,000 is one request.

        What is deleted meanwhile is left out.
        """
        folders = [folder for folder in sorted(self._folders) if f"{folder}/".startswith(prefix)]
        folders = folders or [_folder(prefix)]
        names = [name for each in folders for name in self._folders.get(each, ()) if name.startswith(prefix)]
        names.sort()
        for page in itertools.batched(names or [""], 5_000, strict=False):
            self._wait("list")
            for name in page:
                if blob := self._folders.get(_folder(name), {}).get(name):
                    yield blob

    def folders(self, prefix: str) -> list[str]:
        """The folders that begin so, at once."""
        return [name for name in self._folders if name.startswith(prefix)]

    def folder(self, name: str) -> Mapping[str, Blob]:
        """The blobs of a folder, at once."""
        return self._folders.get(name, {})

    def there(self, name: str) -> Blob:
        """The blob `name`, at once."""
        try:
            return self._folders[_folder(name)][name]
        except KeyError:
            raise Missing from None


@dataclass(frozen=True)
class BlobClient:
    """One blob of a container."""

    container: Any
    name: str
    version_id: str | None = None

    def download_blob(self) -> Blob:
        """A version of it."""
        found: Blob = self.container.earlier[self.name, self.version_id]
        return found

    def delete_blob(self) -> None:
        """Delete a version of it."""
        del self.container.earlier[self.name, self.version_id]

    def exists(self) -> bool:
        try:
            self.container.download_blob(self.name)
        except ResourceNotFoundError:
            return False
        return True

    def get_blob_properties(self) -> Blob:
        found: Blob = self.container.download_blob(self.name)
        return found

    def upload_blob(self, data: bytes | IO[bytes], **arguments: Any) -> dict[str, str]:
        return {"etag": self.container.upload_blob(self.name, data, **arguments)}

    def set_blob_metadata(self, metadata: dict[str, str], **condition: Any) -> None:
        body = self.container.download_blob(self.name).body
        self.container.upload_blob(self.name, body, overwrite=True, metadata=metadata, **condition)


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def check(before: Blob | None, condition: MatchConditions | None, etag: str | None) -> None:
    """Raise what storage answers where the condition of a write does not hold."""
    if condition is MatchConditions.IfMissing and before:
        raise Exists
    if condition is MatchConditions.IfNotModified and (before is None or before.etag != etag):
        raise coded(ResourceModifiedError("412"), "ConditionNotMet")


def coded[E: HttpResponseError](error: E, code: str) -> E:
    """The error as the storage SDK raises it: with the service's own code."""
    error.error_code = code  # type: ignore[attr-defined]
    return error
