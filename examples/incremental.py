"""Load each day once it is final, and again when it was corrected: a reader that remembers how far it came.

    export AttendanceStorage__blobServiceUri=https://ACCOUNT.blob.core.windows.net
    python examples/incremental.py FOLDER

Needs Python 3.10 or newer, azure-identity and azure-storage-blob.

A day is final when its manifest says `complete`; `revision` counts its corrections. The manifest's metadata says too
whether the tables of this revision are there, so one listing tells what is new. A file never changes, so the copy of a
day is exactly the files that its manifest names. FOLDER/cursor.json remembers the revision of each day that was loaded.

While a day is open again, the copy keeps its last final revision. A day that is gone from the archive goes from the
copy too, and so does, at once, a day from which a person was erased: it comes back with the revision that is without
the person.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azure.core.credentials import TokenCredential
from azure.core.exceptions import ResourceNotFoundError
from azure.identity import DefaultAzureCredential
from azure.storage.blob import ContainerClient

ERASURES = "manifests/erasures.jsonl"


@dataclass
class Run:
    """The days that a run loaded, with their revision, those that it removed, and why it passed over others."""

    loaded: dict[str, int] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


class Skipped(Exception):
    """Why a day is not loaded in this run. The next run tries again."""


class Copy:
    """The copy in a folder. The cursor is written after the files, so the next run makes up for one that was ended."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._cursor = folder, folder / "cursor.json"
        self.revisions: dict[str, int] = json.loads(self._cursor.read_text()) if self._cursor.exists() else {}
        self._delete(".date=*")

    def replace(self, date: str, revision: int, files: Iterable[tuple[str, str, bytes]]) -> None:
        """Replace a day by files: the table, name and bytes of each."""
        drafts = {}
        try:
            for table, name, body in files:
                drafts[table] = self._folder / table / f".date={date}"
                drafts[table].mkdir(parents=True, exist_ok=True)
                (drafts[table] / name).write_bytes(body)
            self._delete(f"date={date}")
            for table, draft in drafts.items():
                draft.rename(self._folder / table / f"date={date}")
        finally:
            self._delete(f".date={date}")
        self._remember({**self.revisions, date: revision})

    def remove(self, date: str) -> None:
        """Remove a day."""
        self._delete(f"date={date}")
        self._remember({day: revision for day, revision in self.revisions.items() if day != date})

    def _delete(self, day: str) -> None:
        for folder in self._folder.glob(f"*/{day}"):
            shutil.rmtree(folder)

    def _remember(self, revisions: dict[str, int]) -> None:
        draft = self._folder / ".cursor.json"
        draft.write_text(json.dumps(revisions))
        draft.replace(self._cursor)
        self.revisions = revisions


def run(container: ContainerClient, folder: Path) -> Run:
    """Bring the copy in the folder up to date."""
    copy, done = Copy(folder), Run()
    final, least = final_revisions(container), revisions_without_the_erased(container)
    if copy.revisions and not final:
        raise SystemExit("The container has no manifests. Nothing was removed from the copy.")
    for date, revision in list(copy.revisions.items()):
        if date not in final or revision < least.get(date, 0):
            copy.remove(date)
            done.removed.append(date)
    for date, newest in final.items():
        if newest is None or newest == copy.revisions.get(date):
            continue
        try:
            if newest < least.get(date, 0):
                raise Skipped("a revision without an erased person comes")
            copy.replace(date, newest, download(container, date, newest))
            done.loaded[date] = newest
        except Skipped as reason:
            done.skipped[date] = str(reason)
    return done


def final_revisions(container: ContainerClient) -> dict[str, int | None]:
    """The days that have a manifest: the revision of those that are final and have its tables, None for others."""
    days: dict[str, int | None] = {}
    for blob in container.list_blobs(name_starts_with="manifests/", include=["metadata"]):
        if blob.name.endswith("/manifest.json"):
            metadata = blob.metadata or {}
            is_final = metadata.get("tables") == "true"
            days[blob.name.split("/")[1].removeprefix("date=")] = (
                int(metadata["revision"]) if is_final else None
            )
    return days


def revisions_without_the_erased(container: ContainerClient) -> dict[str, int]:
    """For each day from which somebody was erased, the first revision without all who were."""
    try:
        feed = container.download_blob(ERASURES).readall()
    except ResourceNotFoundError:
        return {}
    return {
        line["date"]: line["revision"] for line in map(json.loads, feed.splitlines())
    }  # the last line counts


def download(container: ContainerClient, date: str, revision: int) -> Iterator[tuple[str, str, bytes]]:
    """The table, name and bytes of each file of a day at that revision. Raises Skipped."""
    try:
        manifest = json.loads(container.download_blob(f"manifests/date={date}/manifest.json").readall())
        tables: dict[str, Any] = manifest["tables"]
        if not manifest["complete"] or not revision == manifest["revision"] == tables["revision"]:
            raise Skipped("it has just changed")
        for table, files in tables["files"].items():
            for file in files:
                body = container.download_blob(file["path"]).readall()
                if hashlib.sha256(body).hexdigest() != file["sha256"]:
                    raise Skipped(f"{file['path']} is not what its manifest says")
                yield table, file["path"].rsplit("/", 1)[1], body
    except ResourceNotFoundError:
        raise Skipped("a blob is gone") from None
    except (ValueError, LookupError, TypeError):
        raise Skipped("its manifest cannot be read") from None


def main(folder: Path) -> None:
    """Bring the copy up to date, and say what was done."""
    credential: TokenCredential = DefaultAzureCredential()
    container = ContainerClient(
        os.environ["AttendanceStorage__blobServiceUri"],
        os.environ.get("ATTENDANCE_CONTAINER", "attendance"),
        credential,
    )
    done = run(container, folder)
    for date in done.removed:
        print(f"{date} removed")
    for date, revision in done.loaded.items():
        print(f"{date} at revision {revision}")
    for date, reason in done.skipped.items():
        print(f"{date} passed over: {reason}", file=sys.stderr)
    if not (done.removed or done.loaded or done.skipped):
        print("Nothing is new.")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: python {sys.argv[0]} FOLDER")
    main(Path(sys.argv[1]))
