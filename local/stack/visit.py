"""Commands for a running stack: end a meeting, and show its blobs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from azure.identity import ManagedIdentityCredential
from azure.storage.blob import BlobServiceClient, ContainerClient
from rich.console import Console
from rich.tree import Tree

from local.simulator.control.client import Control
from local.simulator.tenant.orders import NewSession
from local.stack import app_settings


class NoStackError(RuntimeError):
    """No stack runs on that state."""


def read_announcement(state: Path) -> dict[str, Any]:
    """The announcement of the stack on `state`. Raises NoStackError."""
    try:
        found: dict[str, Any] = json.loads((state / "stack.json").read_text())
    except OSError:
        raise NoStackError(f"no stack runs on {state}: start one with `make up`") from None
    return found


def end_meeting(state: Path, participants: int) -> str:
    """End a meeting of the running stack's tenant, and return its ids."""
    control = Control(read_announcement(state)["graph"])
    meeting = control.add_meeting()
    made = control.add_session(NewSession(meeting.meeting_id, participants=participants))
    return f"call record {made.call_id}, attendance report {made.report_id}"


def show(state: Path, blob: str | None) -> None:
    """Print one blob of the running stack's container, or the names of all."""
    found = read_announcement(state)
    os.environ["IDENTITY_ENDPOINT"] = found["identity"]["endpoint"]
    os.environ["IDENTITY_HEADER"] = found["identity"]["header"]
    credential = ManagedIdentityCredential(
        client_id=app_settings.with_defaults(os.environ)["AZURE_CLIENT_ID"]
    )
    service = BlobServiceClient(found["blob"], credential=credential, connection_verify=found["ca"])
    container = service.get_container_client(found["container"])
    console = Console(highlight=False, soft_wrap=True)
    if blob:
        console.print(container.download_blob(blob, encoding="utf-8").readall(), markup=False)
    else:
        console.print(tree(container))


def tree(container: ContainerClient) -> Tree:
    """The names of all blobs, without those of days on which nothing happened."""
    names = list(container.list_blob_names())
    busy = {_day(name) for name in names if not name.startswith("manifests/")}
    shown = [name for name in names if _day(name) in busy]
    whole = Tree(f"[bold]container {container.container_name}[/]")
    for name in shown:
        whole.add(name)
    if len(shown) < len(names):
        empty = {_day(name) for name in names} - busy
        whole.add(f"[dim]… and the manifests of {len(empty)} days without meetings[/]")
    return whole


def _day(name: str) -> str:
    return name.split("/")[1] if "/" in name else ""
