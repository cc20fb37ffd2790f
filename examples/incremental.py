"""Load each day once it is final, and again when it was corrected: a reader that remembers how far it came.

    export AttendanceStorage__blobServiceUri=https://ACCOUNT.blob.core.windows.net
    python examples/incremental.py FOLDER

A day is final when its manifest says `complete`; `revision` counts its corrections. The manifest's metadata says too
whether the tables of this revision are there, so one listing tells what is new. A file never changes, so the copy of a
day is exactly the files that its manifest names. FOLDER/cursor.json remembers the revision of each day that was loaded.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azure.core.credentials import TokenCredential
from azure.core.exceptions import ResourceNotFoundError
from azure.identity import DefaultAzureCredential
from azure.storage.blob import ContainerClient

TABLES = ("meetings", "attendees", "engagements")


@dataclass(frozen=True)
class Day:
    """A day that is final, at a revision."""

    date: str
    revision: int


def changes(container: ContainerClient, cursor: dict[str, int]) -> Iterator[Day]:
    """The days that are final, and that the cursor does not know at their revision."""
    for blob in container.list_blobs(name_starts_with="manifests/", include=["metadata"]):
        if blob.name.endswith("/manifest.json") and blob.metadata.get("tables") == "true":
            day = Day(blob.name.split("/")[1].removeprefix("date="), int(blob.metadata["revision"]))
            if cursor.get(day.date) != day.revision:
                yield day


def load(container: ContainerClient, day: Day, folder: Path) -> bool:
    """Replace the day's tables in the copy. False if a newer revision is there: the next run loads it."""
    found = manifest(container, day)
    if not found["complete"] or not day.revision == found["revision"] == found["tables"]["revision"]:
        return False
    moves = []
    for table in TABLES:
        draft, target = folder / table / f".date={day.date}", folder / table / f"date={day.date}"
        moves.append((draft, target))
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        for file in found["tables"]["files"].get(table, []):
            try:
                body = container.download_blob(file["path"]).readall()
            except ResourceNotFoundError:
                return False
            if hashlib.sha256(body).hexdigest() != file["sha256"]:
                raise SystemExit(f"{file['path']} is not what its manifest says.")
            (draft / file["path"].rsplit("/", 1)[1]).write_bytes(body)
    for draft, target in moves:
        shutil.rmtree(target, ignore_errors=True)
        draft.rename(target)
    return True


def manifest(container: ContainerClient, day: Day) -> dict[str, Any]:
    """The day's manifest as it is now."""
    content: dict[str, Any] = json.loads(
        container.download_blob(f"manifests/date={day.date}/manifest.json").readall()
    )
    return content


def run(container: ContainerClient, folder: Path) -> list[Day]:
    """Load what is new; the days that were loaded."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "cursor.json"
    cursor = json.loads(file.read_text()) if file.exists() else {}
    loaded = []
    for day in changes(container, cursor):
        if load(container, day, folder):
            cursor[day.date] = day.revision
            draft = folder / ".cursor.json"
            draft.write_text(json.dumps(cursor))
            draft.replace(file)  # the day is remembered when it is there, and not before
            loaded.append(day)
    return loaded


def main(folder: Path) -> None:
    """Load what is new, and say what that was."""
    credential: TokenCredential = DefaultAzureCredential()
    container = ContainerClient(
        os.environ["AttendanceStorage__blobServiceUri"],
        os.environ.get("ATTENDANCE_CONTAINER", "attendance"),
        credential,
    )
    loaded = run(container, folder)
    for day in loaded:
        print(f"{day.date} at revision {day.revision}")
    if not loaded:
        print("Nothing is new.")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: python {sys.argv[0]} FOLDER")
    main(Path(sys.argv[1]))
