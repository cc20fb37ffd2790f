"""Records of erasures, `erasures/<id>.json` in the state container.

They are read before anything is written that could name a person. While there are none this costs one listing a minute
and no hash.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from azure.storage.blob import ContainerClient

from ..errors import ErasureKeyError, NotOurMessage
from ..limits import Debounce
from ..messages import codec
from ..privacy.erasures import NO_ERASURES, ErasureList, ErasureRecord
from .blobs import get_blob

FOLDER = "erasures/"
MAX_AGE = 60.0  # seconds for which an instance works with the list that it has


@dataclass
class Erasures:
    """The erasures in one container. Raises azure.core errors."""

    container: ContainerClient
    secret: str
    _listed: Debounce = field(default_factory=lambda: Debounce(MAX_AGE))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _records: dict[tuple[str, str], ErasureRecord] = field(default_factory=dict)  # by name and ETag
    _current: ErasureList = NO_ERASURES

    def current(self) -> ErasureList:
        """Return the erasures, at most a minute old. Raises ErasureKeyError."""
        with self._lock:
            if self._listed.allows(FOLDER):
                try:
                    self._current = ErasureList(self.secret, self._read())
                except BaseException:
                    self._listed.forget(FOLDER)
                    raise
            return self._current

    def _read(self) -> list[ErasureRecord]:
        listed = {
            (blob.name, blob.etag)
            for blob in self.container.list_blobs(name_starts_with=FOLDER, include=["metadata"])
        }
        found = {each: self._records.get(each) or self._read_one(each[0]) for each in listed}
        self._records = {each: record for each, record in found.items() if record}
        return list(self._records.values())

    def _read_one(self, name: str) -> ErasureRecord | None:
        blob = get_blob(self.container, name)
        try:
            return codec.loads(ErasureRecord, blob.body) if blob else None
        except NotOurMessage:
            raise ErasureKeyError(f"has no use: the record {name} of an erasure cannot be read") from None
