"""Lists of invitees, `invitees/date=YYYY-MM-DD/<reportId>-<hash>.json`.

They lie on the day of their report, in the archive and not in the operational state, because nothing else could make
them again: Graph's list is gone with the meeting. They are kept, read and erased as reports are. A list never changes:
another has another hash and so another name. It is written first, and then named by its SHA-256 in the metadata of the
report. So a report, its line of the index and its rows always mean the same list. One that no report names is deleted
after a day.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from azure.storage.blob import ContainerClient

from .. import logs, times
from ..errors import NotOurMessage
from ..graph.invitees import InviteeList
from ..messages import codec
from ..storage.blobs import delete_or_leave, get_blob, put_blob
from ..storage.names import day_folder
from .attribution import INVITEES_COUNT, INVITEES_SHA256, INVITEES_STATE

FOLDER = "invitees"
HASH_DIGITS = 16


@dataclass(frozen=True)
class ListFile:
    """A list as stored: metadata of its report and, if there is a list, its bytes."""

    metadata: Mapping[str, str]
    body: bytes | None = None

    @classmethod
    def of(cls, found: InviteeList) -> ListFile:
        """The file of this list."""
        state = {INVITEES_STATE: str(found.state)}
        if not found.state.is_list:
            return cls(state)
        body = codec.dumps(found).encode()
        sha256, count = hashlib.sha256(body).hexdigest(), str(len(found.invitees))
        return cls(state | {INVITEES_SHA256: sha256, INVITEES_COUNT: count}, body)

    def write(
        self, container: ContainerClient, report_name: str, metadata: Mapping[str, str], end: datetime
    ) -> None:
        """Write the list of a report, if the metadata that the report gets name it."""
        if self.body is not None and metadata.get(INVITEES_SHA256) == self.metadata[INVITEES_SHA256]:
            name = invitees_name(report_name, metadata)
            put_blob(container, name, self.body, etag=None, metadata={"end": times.text(end)})


def invitees_name(report_name: str, metadata: Mapping[str, str]) -> str:
    """Return the blob name of a report's list; "" if its metadata name none."""
    sha256 = metadata.get(INVITEES_SHA256)
    if not sha256:
        return ""
    _, day, identifier = report_name.removesuffix(".json").split("/", 2)
    return f"{FOLDER}/{day}/{identifier}-{sha256[:HASH_DIGITS]}.json"


def report_of(name: str) -> str:
    """Return the name of the report whose list has this name."""
    return f"reports/{name.removeprefix(f'{FOLDER}/').rpartition('-')[0]}.json"


def read_invitees(
    container: ContainerClient, report_name: str, metadata: Mapping[str, str]
) -> InviteeList | None:
    """Return the list that a report's metadata name.

    None if they name none, or if it is gone or damaged.
    """
    name = invitees_name(report_name, metadata)
    if not name:
        return None
    blob = get_blob(container, name)
    try:
        if blob and hashlib.sha256(blob.body).hexdigest() == metadata[INVITEES_SHA256]:
            return codec.loads(InviteeList, blob.body)
    except NotOurMessage:
        pass
    logs.warning("invitees.unreadable", path=name)
    return None


def clean_invitees(
    container: ContainerClient, day: date, reports: Iterable[tuple[str, Mapping[str, str]]], before: datetime
) -> bool:
    """Delete the lists of a day that no report names and that are older than `before`.

    `reports` are the names and metadata of the day's. Return whether none is left.
    """
    listed = list(container.list_blobs(name_starts_with=day_folder(FOLDER, day), include=["metadata"]))
    named, is_clean = {invitees_name(*each) for each in reports} if listed else set(), True
    for blob in listed:
        if blob.name in named:
            continue
        if blob.last_modified <= before and delete_or_leave(container, blob.name, etag=blob.etag):
            logs.info("invitees.deleted", date=day, path=blob.name)
        else:
            is_clean = False
    return is_clean
