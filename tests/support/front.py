"""The system from outside: notifications in over HTTP, blobs out."""

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import ContainerClient

from local.simulator.control.client import Control, SessionMade
from local.simulator.tenant.orders import NewMeeting, NewSession
from local.stack import compose
from local.stack.azurite import Azurite
from local.stack.compose import Stack
from local.stack.program import Log
from tests.support import posts
from tests.support.parquet import read_table

type Accounts = Iterator[Azurite]  # the same one, each time with accounts that nobody has used

SECONDS = 120.0  # a bound for what takes a second or two, also where a busy machine takes its time
NEVER = "0 0 0 29 2 *"
NIGHT = timedelta(seconds=20)  # in which a test that needs one day could begin on one and end on the next
HURRY = {
    "MAINTAIN_SCHEDULE": NEVER,  # on request alone: a test's result must not depend on the minute
    "SWEEP_SCHEDULE": NEVER,
    "RETRY_FIRST_DELAY": "1",
    "LOCAL_LEASE_SECONDS": "12",  # renewed after half of it, also where a busy machine is 6 s late
    "AzureFunctionsJobHost__extensions__queues__visibilityTimeout": "00:00:01",
}


@contextmanager
def hurried(
    folder: Path, log: Log, settings: Mapping[str, str], azurite: Azurite | None = None
) -> Iterator[Stack]:
    """The whole system with short retries, and a Graph without throttling.

    A running Azurite has accounts for it alone.
    """
    with compose.up(
        folder, settings={**HURRY, **settings}, log=log, usual_roots=False, account=azurite
    ) as stack:
        Control(stack.graph).change_settings(throttling=False)
        yield stack


def own_stack(**settings: str) -> Any:
    """A fixture `stack` for one module alone."""

    @pytest.fixture(scope="module")
    def stack(tmp_path_factory: pytest.TempPathFactory, log: Log, accounts: Accounts) -> Iterator[Stack]:
        with hurried(tmp_path_factory.mktemp("own"), log, settings, next(accounts)) as stack:
            yield stack

    return stack


def eventually[T](look: Callable[[], T | None], what: str, seconds: float = SECONDS) -> T:
    """The first true thing that `look` sees.

    It looks less often the longer it waits, because looking costs.
    """
    began = time.monotonic()
    while not (seen := look()):
        waited = time.monotonic() - began
        if waited > seconds:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(min(max(0.05, waited / 10), 1.0))
    return seen


def today() -> date:
    """The day in UTC; shortly before its end, the next one is waited for."""
    now = datetime.now(UTC)
    tomorrow = (now + NIGHT).replace(hour=0, minute=0, second=0, microsecond=0)
    time.sleep(max(0.0, (tomorrow - now).total_seconds()))
    return datetime.now(UTC).date()


def noon(days: int) -> datetime:
    """The noon of so many days ago: of a meeting that ended about then, nothing is on another day."""
    return datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=days)


class Front:
    """Ways to tell the app something and to see what became of it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.control = Control(stack.graph)
        self.container = stack.blob_service().get_container_client(stack.container)
        self.apart = stack.state_service().get_container_client(f"{stack.container}-state")
        posts.register(stack)

    @property
    def url(self) -> str:
        return f"{self.stack.functions.url}/api"

    def item(self, call_id: str, **changes: object) -> dict[str, object]:
        """A change notification of a call record, as Graph writes it."""
        return {
            "subscriptionId": posts.SUBSCRIPTION,
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
        """An ended session of a new meeting, not announced."""
        made = self.control.add_meeting(meeting)
        known: dict[str, Any] = {"meeting_id": made.meeting_id, "announce": False}
        return self.control.add_session(NewSession(**known | fields))

    def outcomes(self, subject: str, prefix: str = "cr-") -> list[dict[str, Any]]:
        """The outcomes of a signal, with their metadata: one, or none yet."""
        found = []
        for name in self.container.list_blob_names(name_starts_with="outcomes/"):
            if name.endswith(f"/{prefix}{subject}.json"):
                try:
                    blob = self.container.download_blob(name)
                except ResourceNotFoundError:
                    continue  # it moved
                found.append(
                    json.loads(blob.readall()) | {"metadata": blob.properties.metadata, "name": name}
                )
        return found

    def outcome(self, subject: str, result: str, *, prefix: str = "cr-", **fields: object) -> dict[str, Any]:
        """Wait until the signal's outcome is `result` with these fields."""

        def look() -> dict[str, Any]:
            found = self.outcomes(subject, prefix)
            wanted = {"outcome": result} | fields
            return found[0] if len(found) == 1 and wanted.items() <= found[0].items() else {}

        try:
            return eventually(look, f"{result} {fields}")
        except AssertionError as late:
            late.add_note(f"{prefix}{subject} is {self.outcomes(subject, prefix)}")
            raise

    def reports(self, report_id: str) -> list[str]:
        """The names of the blobs that hold a report."""
        names = self.container.list_blob_names(name_starts_with="reports/")
        return [name for name in names if name.endswith(f"/{report_id}.json")]

    def body(self, report_id: str) -> bytes:
        """The one blob of a report."""
        (name,) = self.reports(report_id)
        return self.container.download_blob(name).readall()

    def state(self, name: str) -> dict[str, Any]:
        """What the app remembers under `name`; nothing where there is no such blob."""
        return _content(self.apart, name)

    def content(self, name: str) -> dict[str, Any]:
        """What consumers read under `name`; nothing where there is no such blob."""
        return _content(self.container, name)

    def manifest(self, day: date) -> dict[str, Any]:
        """The manifest of a day, if it has one."""
        return self.content(f"manifests/date={day}/manifest.json")

    def put(self, queue: str, text: str, *, plain: bool = False) -> None:
        """Put a message on a queue, as someone else would."""
        content = text if plain else base64.b64encode(text.encode()).decode()
        self.stack.queue_service().get_queue_client(queue).send_message(content)

    def ask(self, kind: str, **fields: object) -> None:
        """Queue a task, as an operator does; `start` and `end` are `from` and `to`."""
        window = {"from": fields.pop("start", None), "to": fields.pop("end", None)}
        self.put("upkeep", json.dumps({"version": 1, "kind": kind, **fields, **window}, default=str))

    def redrive(self, *outcomes: str) -> None:
        """Ask for a redrive of these outcomes of today, also where midnight has passed meanwhile."""
        day = datetime.now(UTC).date()
        self.ask("redrive", outcomes=outcomes, start=day - timedelta(days=1), end=day)

    def length(self, queue: str) -> int:
        """How many messages a queue holds, also those that nobody sees yet."""
        properties = self.stack.queue_service().get_queue_client(queue).get_queue_properties()
        return properties.approximate_message_count or 0

    def calls(self, part: str = "") -> list[str]:
        """The calls that Graph answered: `GET /v1.0/… 200`."""
        return [
            f"{each.method} {each.path} {each.status}" for each in self.control.calls() if part in each.path
        ]

    def table(self, day: date) -> list[str]:
        """Sweep and seal, and wait for the day's tables; the files of its attendees."""
        self.run("sweep")
        eventually(lambda: self.state("sweep/full.json").get("finished"), "the full look to finish")
        eventually(lambda: not self._is_pending(day), "the day's calls to settle")
        self.run("sweep")
        eventually(lambda: self.has_tables(day), "tables")
        return [each["path"] for each in self.manifest(day)["tables"]["files"]["attendees"]]

    def has_tables(self, day: date) -> bool:
        """Whether the tables are those of the day's revision."""
        manifest = self.manifest(day)
        return bool(
            manifest and manifest["complete"] and manifest["tables"]["revision"] == manifest["revision"]
        )

    def has_current_tables(self, day: date) -> bool:
        """Whether the tables, also of an open day, hold all of its reports."""
        manifest = self.manifest(day)
        stored = len(list(self.container.list_blob_names(name_starts_with=f"reports/date={day}/")))
        return bool(manifest["reports"] == stored and manifest["tables"]["index"] == manifest["index"])

    def rows(self, day: date, table: str = "attendees") -> list[dict[str, Any]]:
        """The rows of a day's table."""
        paths = [each["path"] for each in self.manifest(day)["tables"]["files"][table]]
        return read_table(lambda path: self.container.download_blob(path).readall(), paths)

    def _is_pending(self, day: date) -> bool:
        filed = self.container.list_blobs(f"outcomes/date={day}/", include=["metadata"])
        return any((blob.metadata or {}).get("outcome") == "pending" for blob in filed)

    def subscribe(self) -> None:
        """Have the app see to its subscriptions, and wait until it has one and has said so."""
        self.run("maintain_subscriptions")
        eventually(self.control.subscriptions, "a subscription")
        eventually(lambda: self.state("heartbeat/maintenance.json"), "the record of the run")

    def sweep(self, name: str = "recent") -> dict[str, Any]:
        """Run the timer's function, and wait for a scan of this name that began after that."""

        def scan() -> dict[str, Any]:
            return self.state(f"sweep/{name}.json")

        def done() -> dict[str, Any]:
            found = scan()
            return found if found and found["started"] > before and found.get("finished") else {}

        eventually(lambda: not scan() or scan().get("finished"), f"the {name} scan before to finish")
        before = scan().get("started", "")
        self.run("sweep")
        return eventually(done, f"the {name} scan to finish")

    def run(self, function: str) -> None:
        """Run a function now, as the portal does."""
        url = f"{self.stack.functions.url}/admin/functions/{function}"
        assert requests.post(url, json={"input": ""}, timeout=10).status_code == 202


def _content(container: ContainerClient, name: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(container.download_blob(name).readall())
    except ResourceNotFoundError:
        return {}
    return content
