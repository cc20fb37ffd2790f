"""Parts of the storm: faulty storage, faulty Graph, and its page."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests

from local.simulator.control.client import Control
from local.stack import compose
from local.stack.compose import Stack
from local.stack.identity import Identity
from local.stack.program import Log
from shared.graph.credentials import managed_identity
from tests.storm import faulty_graph, faulty_storage, storm
from tests.storm.faulty_storage import Chances
from tests.storm.findings import Findings
from tests.storm.recovery_result import Result


class Always(Chances):
    """One fault, for every request."""

    def __init__(self, fault: str) -> None:
        super().__init__(1.0, 1)
        self._fault = fault

    def draw(self, method: str, path: str, conditions: set[str]) -> str:
        return self._fault if not self._fault.startswith("If-") or self._fault in conditions else ""


@pytest.fixture
def headers(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    identity: Identity = stack.identity
    monkeypatch.setenv("IDENTITY_ENDPOINT", identity.endpoint)
    monkeypatch.setenv("IDENTITY_HEADER", identity.header)
    token = managed_identity(identity.client_id).get_token("https://storage.azure.com/.default").token
    return {"Authorization": f"Bearer {token}", "x-ms-version": "2025-01-05", "x-ms-blob-type": "BlockBlob"}


def write(address: str, headers: dict[str, str], stack: Stack, **more: str) -> int:
    """Put a blob; 0 for a connection that broke."""
    try:
        answer = requests.put(
            f"{address}/{stack.container}/storm/x",
            b"body",
            headers=headers | {name.replace("_", "-"): value for name, value in more.items()},
            verify=str(stack.azurite.ca),
            timeout=30,
        )
    except requests.ConnectionError:
        return 0
    return answer.status_code


@pytest.mark.parametrize(
    ("fault", "status", "is_done"),
    [
        ("", 201, True),
        ("503 before", 503, False),
        ("503 after", 503, True),
        ("500 before", 500, False),
        ("reset before", 0, False),
        ("reset after", 0, True),
        ("If-None-Match", 409, False),
    ],
)
def test_a_fault_comes_before_or_after_what_was_asked_for(
    stack: Stack, headers: dict[str, str], fault: str, status: int, is_done: bool
) -> None:
    blob = stack.blob_service().get_blob_client(stack.container, "storm/x")
    if blob.exists():
        blob.delete_blob()
    with faulty_storage.before(stack, Always(fault)) as addresses:
        address = addresses["AttendanceStorage__blobServiceUri"]
        assert write(address, headers, stack, If_None_Match="*") == status
    assert blob.exists() is is_done
    if is_done:
        assert blob.download_blob().readall() == b"body"


def test_faults_of_graph_strike_a_share_of_the_calls_until_the_weather_clears(stack: Stack) -> None:
    control = Control(stack.graph)
    control.clear_faults()  # that another test has left in the shared stack
    with faulty_graph.weather(control, often=1_000) as weather:
        answers = []
        for _ in range(40):
            try:
                answers.append(requests.get(f"{stack.graph}/v1.0/users", timeout=10).status_code)
            except requests.RequestException:
                answers.append(0)
            if len(set(answers)) > 5:
                break
        weather.clear()
    assert {429, 500, 502} <= set(answers)
    assert sum(weather.counts.values()) >= 5
    assert control.faults() == []


@pytest.mark.heavy("a storm takes minutes, however small")
def test_a_small_storm_loses_nothing_doubles_nothing_and_leaves_nothing_wrong(
    tmp_path: Path, log: Log
) -> None:
    window = timedelta(seconds=25)
    with compose.up(tmp_path, settings=storm.settings(window), log=log, usual_roots=False) as running:
        made = storm.run(running, 30, kills=2, seed=5, often=3, window=window)
    assert made.problems == []
    assert made.result.kills + sum(made.strikes.values()) >= 2
    assert made.result.found.stored >= 20
    assert sum(made.graph_faults.values()) > 20
    assert sum(made.storage_faults.values()) > 5
    assert made.rows > 0 or datetime.now(UTC).hour < 4, "no day can be sealed in the first hours of the next"


def test_the_page_says_what_was_lost(tmp_path: Path) -> None:
    found = Findings(9, ["r"], [], [], {"scheduled": {"stored": 9, "none": 1}}, [])
    result = Result(
        60.0, 10, 1, 3, 2, 4, found, {"GET /x": 50}, {"GET /communications/callRecords?a": 1}, 3, [], 0
    )
    made = storm.Storm(
        result, {"500": 7}, {"blob: 503 after": 2}, 1, {"before the send": 1}, {"redrive": "3"}, 5, ["x"]
    )
    text = storm.page(made, 1, "## Proof").written(tmp_path, "storm")
    assert made.problems[-1] == "x."
    assert "| before the send | 1 |" in text
    assert text.endswith("## Proof\n")
    assert "| reports lost | 1 | 0 |" in text
    assert "| Graph: 500 | 7 |" in text
    assert (tmp_path / "storm-faults.svg").read_text().startswith("<?xml")
