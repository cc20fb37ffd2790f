"""The system as its users see it: notifications go in over HTTP, blobs come out."""

import json
import time
from collections.abc import Callable
from typing import Any

import requests
from azure.core.exceptions import ResourceNotFoundError

from local.graph.client import Control, SessionMade
from local.graph.orders import NewMeeting, NewSession
from local.stack import Stack

SECONDS = 60.0  # a bound for what takes a second or two


def eventually[T](look: Callable[[], T], what: str, seconds: float = SECONDS) -> T:
    """The first true thing that `look` sees."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.1)
    return seen


class Front:
    """Ways to tell the app something and to see what became of it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.control = Control(stack.graph)
        self.container = stack.blob_service().get_container_client(stack.container)

    @property
    def url(self) -> str:
        return f"{self.stack.functions.url}/api"

    def item(self, call_id: str, **changes: object) -> dict[str, object]:
        """A change notification of a call record, as Graph writes it."""
        return {
            "subscriptionId": "5f1a3c8e-1f0e-4c9a-b6a4-6b1f2f0f8a11",
            "clientState": self.stack.settings["CLIENT_STATE"],
            "changeType": "created",
            "resource": f"communications/callRecords/{call_id}",
            "subscriptionExpirationDateTime": "2099-01-01T00:00:00Z",
            "resourceData": {
                "@odata.type": "#microsoft.graph.callrecord",
                "@odata.id": f"communications/callRecords/{call_id}",
                "id": call_id,
            },
            "tenantId": self.stack.settings["TENANT_ID"],
        } | changes

    def post(self, *items: object, route: str = "notifications") -> requests.Response:
        return requests.post(f"{self.url}/{route}", json={"value": list(items)}, timeout=30)

    def notify(self, *call_ids: str) -> None:
        """Announce call records; the app must take them."""
        assert self.post(*[self.item(call_id) for call_id in call_ids]).status_code == 202

    def session(self, meeting: NewMeeting | None = None, **fields: Any) -> SessionMade:
        """A session of a meeting of its own that has ended, and that Graph does not announce."""
        made = self.control.add_meeting(meeting)
        known: dict[str, Any] = {"meeting_id": made.meeting_id, "announce": False}
        return self.control.add_session(NewSession(**known | fields))

    def outcomes(self, call_id: str) -> list[dict[str, Any]]:
        """Every outcome of the call's signal, with its metadata under `metadata`: one, or none yet."""
        found = []
        for name in self.container.list_blob_names(name_starts_with="outcomes/"):
            if name.endswith(f"/cr-{call_id}.json"):
                try:
                    blob = self.container.download_blob(name)
                except ResourceNotFoundError:
                    continue  # it moved
                found.append(
                    json.loads(blob.readall()) | {"metadata": blob.properties.metadata, "name": name}
                )
        return found

    def outcome(self, call_id: str, result: str, **fields: object) -> dict[str, Any]:
        """Wait until the call's outcome is `result` and has these fields."""

        def look() -> dict[str, Any]:
            found = self.outcomes(call_id)
            wanted = {"outcome": result} | fields
            return found[0] if len(found) == 1 and wanted.items() <= found[0].items() else {}

        try:
            return eventually(look, f"{result} {fields}")
        except AssertionError as late:
            late.add_note(f"cr-{call_id} is {self.outcomes(call_id)}")
            raise

    def reports(self, report_id: str) -> list[str]:
        """The names of the blobs that hold a report."""
        names = self.container.list_blob_names(name_starts_with="reports/")
        return [name for name in names if name.endswith(f"/{report_id}.json")]

    def body(self, report_id: str) -> bytes:
        """The one blob of a report."""
        (name,) = self.reports(report_id)
        return self.container.download_blob(name).readall()

    def calls(self, part: str = "") -> list[str]:
        """The calls that Graph answered: `GET /v1.0/… 200`."""
        return [
            f"{each.method} {each.path} {each.status}" for each in self.control.calls() if part in each.path
        ]

    def subscribe(self) -> None:
        """Have the app see to its subscriptions, and wait until it has one."""
        self.run("maintain_subscriptions")
        eventually(self.control.subscriptions, "a subscription")

    def run(self, function: str) -> None:
        """Run a function now, as the portal does."""
        url = f"{self.stack.functions.url}/admin/functions/{function}"
        assert requests.post(url, json={"input": ""}, timeout=10).status_code == 202
