"""The recovery run in small."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from azure.storage.blob import ContainerClient

from local.simulator.calls import Call as GraphCall
from local.stack import compose, storage
from local.stack.azurite import Azurite
from local.stack.identity import Identity
from local.stack.program import Log
from tests.storm import findings, recovery
from tests.storm.ended_meetings import Call
from tests.storm.recovery_result import operations

MEETINGS = 30
NOW = datetime.now(UTC)


@pytest.mark.heavy("a recovery takes a minute, however small")
def test_every_report_is_stored_once_although_a_fifth_is_never_announced(tmp_path: Path, log: Log) -> None:
    with compose.up(tmp_path, settings=recovery.SETTINGS, log=log, usual_roots=False) as stack:
        result = recovery.Recovery(stack, kills=1, seed=1).run(MEETINGS)
    assert result.problems == []
    assert result.kills == 1
    assert result.missing_before_sweep > 0, "the run shows what the sweep is for"
    assert result.found.stored == sum(counts.get("stored", 0) for counts in result.found.outcomes.values())


@pytest.fixture
def container(azurite: Azurite, identity: Identity) -> ContainerClient:
    service = storage.blob_service(azurite, identity)
    return service.create_container(f"test-{uuid4()}")


def put(container: ContainerClient, name: str, content: object, outcome: str = "") -> None:
    metadata = {"outcome": outcome} if outcome else {}
    container.upload_blob(name, json.dumps(content), metadata=metadata)


def call(number: int, expected: str = "stored") -> Call:
    return Call("scheduled", expected, f"call{number}", f"report{number}", announced=True)


def test_the_run_sees_what_is_missing_doubled_and_wrong(container: ContainerClient) -> None:
    truth = {f"report{number}": {"id": f"report{number}", "attendanceRecords": [1, 2]} for number in range(4)}
    put(container, "reports/date=2026-11-01/report0.json", {"@odata.context": "…"} | truth["report0"])
    put(container, "reports/date=2026-11-01/report1.json", truth["report1"])
    put(container, "reports/date=2026-11-02/report1.json", truth["report1"])
    put(container, "reports/date=2026-11-02/report2.json", {"id": "report2", "attendanceRecords": [2, 1]})
    put(container, "reports/date=2026-11-02/stranger.json", {})
    for number, outcome in enumerate(("stored", "stored", "noReport")):
        put(container, f"outcomes/date=2026-11-02/cr-call{number}.json", {}, outcome)
    put(container, "outcomes/date=2026-11-01/cr-call0.json", {}, "stored")
    found = findings.compare(container, [call(number) for number in range(4)], truth)
    assert found.stored == 3
    assert found.missing == ["scheduled: report report3"]
    assert [each.split(":")[0] for each in found.doubled] == ["report1", "cr-call0"]
    assert [each.split()[0] for each in found.wrong] == [
        "reports/date=2026-11-02/report2.json",
        "reports/date=2026-11-02/stranger.json",
    ]
    assert found.unexpected == [
        "scheduled: cr-call2 is noReport, not stored",
        "scheduled: cr-call3 is none, not stored",
    ]


def test_an_outcome_left_behind_is_not_made_due(container: ContainerClient) -> None:
    day = "2099-11-02"
    for name, record in (("cr-due", {"next": {"at": f"{day}T00:00:00Z"}}), ("cr-left", {"result": "stored"})):
        put(container, f"signals/{name}.json", record)
        put(container, f"outcomes/date=2026-11-02/{name}.json", {}, "stored")
        blob = container.get_blob_client(f"outcomes/date=2026-11-02/{name}.json")
        blob.set_blob_metadata({"outcome": "stored", findings.NEXT: f"{day}T00:00:00Z"})
    filed = [each for found in findings.outcomes(container).values() for each in found]
    assert findings.make_due(container, container, filed) == 1
    assert not findings.outcomes(container)["cr-left"][0].is_open
    assert findings.outcomes(container)["cr-due"][0].is_open


def test_the_run_sees_a_manifest_that_tells_something_else(container: ContainerClient) -> None:
    day = (NOW - timedelta(days=2)).date().isoformat()
    put(container, f"outcomes/date={day}/cr-call0.json", {}, "stored")
    put(container, f"reports/date={day}/report0.json", {})
    right = {"complete": True, "outcomes": {"stored": 1}, "reports": 1}
    put(container, f"manifests/date={day}/manifest.json", right | {"complete": False})
    put(container, f"manifests/date={day}/reports.jsonl", {"path": f"reports/date={day}/report1.json"})
    assert findings.manifest_problems(container, timedelta()) == (
        1,
        [
            f"manifests/date={day}: complete: False, not True",
            f"manifests/date={day}: reports that it does not name: 1, not 0",
        ],
    )


def test_calls_are_counted_by_operation() -> None:
    paths = [
        "/v1.0/communications/callRecords?$filter=startDateTime%20ge%20x&$skiptoken=y",
        "/v1.0/communications/callRecords/0d9e",
        "/v1.0/users/a1/onlineMeetings/b%2F2/attendanceReports/c3?$expand=attendanceRecords",
    ]
    assert operations(GraphCall("GET", path, 200, NOW) for path in [*paths, paths[1]]) == {
        "GET /communications/callRecords/{id}": 2,
        "GET /communications/callRecords?$filter&$skiptoken": 1,
        "GET /users/{id}/onlineMeetings/{id}/attendanceReports/{id}?$expand": 1,
    }
