"""The storm in small: every fault, a few kills, and nothing lost, doubled or wrong."""

from datetime import timedelta
from pathlib import Path

import local.stack
from benchmarks import storm
from local.program import Log

MEETINGS = 40
WINDOW = timedelta(seconds=25)


def test_in_a_storm_nothing_is_lost_doubled_or_wrong(tmp_path: Path, log: Log) -> None:
    settings = storm.SETTINGS | {"RETRY_WINDOW": str(int(WINDOW.total_seconds()))}
    with local.stack.up(tmp_path / "state", settings=settings, log=log) as stack:
        result = storm.run(stack, MEETINGS, kills=2, seed=3, often=3, window=WINDOW)
    assert result.problems == []
    assert result.result.kills == 2
    assert sum(result.graph_faults.values()) > 10
    assert sum(result.storage_faults.values()) > 5
    text = storm.page(result, 3).written(tmp_path / "page", "storm")
    assert (tmp_path / "page" / "storm.md").read_text() == text
    assert (tmp_path / "page" / "storm-faults.svg").read_text().startswith("<?xml")
