"""What nobody announced is found, at a cost that follows the pages of Graph's list, and days are sealed."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError

import local.stack
from local.graph.faults import Fault
from local.graph.orders import NewMeeting, NewPast, NewSession
from local.program import Log
from local.stack import Stack
from tests.front import Front, eventually

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, log: Log) -> Iterator[Stack]:
    """A system of its own, whose past nobody else changes."""
    settings = {"RETRY_FIRST_DELAY": "1", "LOCAL_LEASE_SECONDS": "4"}
    with local.stack.up(tmp_path_factory.mktemp("sweeping"), settings=settings, log=log) as stack:
        yield stack


@pytest.fixture
def front(stack: Stack) -> Front:
    front = Front(stack)
    front.control.clear_faults()
    return front


def state(front: Front, name: str) -> dict[str, Any]:
    container = front.stack.blob_service().get_container_client(f"{front.stack.container}-state")
    try:
        content: dict[str, Any] = json.loads(container.download_blob(name).readall())
    except ResourceNotFoundError:
        return {}
    return content


def manifest(front: Front, day: date) -> dict[str, Any]:
    try:
        blob = front.container.download_blob(f"manifests/date={day}/manifest.json")
    except ResourceNotFoundError:
        return {}
    content: dict[str, Any] = json.loads(blob.readall())
    return content


def swept(front: Front, look: str) -> dict[str, Any]:
    """Run the timer's function and wait until a look that began after that is finished."""
    before = state(front, f"sweep/{look}.json").get("started", "")
    front.run("sweep")

    def done() -> dict[str, Any]:
        found = state(front, f"sweep/{look}.json")
        return found if found and found["started"] > before and found["finished"] else {}

    return eventually(done, f"the {look} look to finish")


def test_the_past_is_found_stored_and_sealed(front: Front) -> None:
    made = front.control.add_past(NewPast(days=3, meetings_per_day=20))
    look = swept(front, "full")
    assert (look["records"], look["error"]) == (60, None)
    assert look["missing"] + state(front, "sweep/recent.json")["missing"] >= 60
    for each in made:
        front.outcome(each.call_id, "stored")
        assert len(front.reports(each.report_id)) == 1
    front.control.clear_calls()
    swept(front, "recent")
    day = (datetime.now(UTC) - 2 * DAY).date()
    sealed = eventually(lambda: (found := manifest(front, day)).get("complete") and found, "sealing")
    names = list(front.container.list_blob_names(name_starts_with=f"reports/date={day}/"))
    assert sealed["reports"] == len(names)
    assert sealed["outcomes"] == {"stored": sealed["reports"]}
    assert sealed["revision"] == 1
    assert {call.split("?")[0] for call in front.calls()} == {"GET /v1.0/communications/callRecords"}
