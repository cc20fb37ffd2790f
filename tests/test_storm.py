"""The storm in small: every fault, a few kills, and nothing lost, doubled or wrong."""

from pathlib import Path

import local.stack
from benchmarks import storm
from local.program import Log

MEETINGS = 40


def test_in_a_storm_nothing_is_lost_doubled_or_wrong(tmp_path: Path, log: Log) -> None:
    with local.stack.up(tmp_path / "state", settings=storm.SETTINGS, log=log) as stack:
        result = storm.run(stack, MEETINGS, kills=2, seed=3, often=3)
    assert result.problems == []
    assert result.result.kills == 2
    assert sum(result.graph_faults.values()) > 10
    assert sum(result.storage_faults.values()) > 5
    text = storm.page(result, 3).written(tmp_path / "page", "storm")
    assert (tmp_path / "page" / "storm.md").read_text() == text
    assert (tmp_path / "page" / "storm-faults.svg").read_text().startswith("<?xml")
