"""The list of goals says what the measured pages say."""

from pathlib import Path

import pytest

from benchmarks import goals
from benchmarks.goals import Goal

PAGE = """# Benchmarks

| What | Measured | Goal |
| --- | --- | --- |
| CPU, over the script | 1.91 x | ≤ 1.5 x |
|   milliseconds | 10.1, 5.3 ms |  |
| reports lost | 0 | 0 |
|   in the sweep | 2 | ≤ 3 |

| What | One day | Another | Goal |
| --- | --- | --- | --- |
| cost | 0.14 | 0.30 | ≤ 0.25 |

| Other | Table |
| --- | --- |
| of what | ≤ 3 |
"""


def test_the_goals_of_a_page_are_the_rows_that_state_one(tmp_path: Path) -> None:
    (tmp_path / "benchmarks.md").write_text(PAGE)
    (tmp_path / "goals.md").write_text(PAGE)
    assert goals.read_goals(tmp_path) == [
        Goal("CPU, over the script", "benchmarks.md", "1.91 x", "≤ 1.5 x"),
        Goal("cost", "benchmarks.md", "0.14, 0.30", "≤ 0.25"),
        Goal("reports lost", "benchmarks.md", "0", "0"),
        Goal("reports lost: in the sweep", "benchmarks.md", "2", "≤ 3"),
    ]


@pytest.mark.parametrize(
    ("measured", "limit", "is_met"),
    [
        ("75.0 MB", "≤ 75 MB", True),
        ("75.1 MB", "≤ 75 MB", False),
        ("250 ms", "< 250 ms", False),
        ("0.89 x", "≥ 0.9 x", False),
        ("1,000,000", "≥ 1,000,000", True),
        ("1", "0", False),
        ("900 ms, 501 ms", "≤ 1,000 ms, ≤ 500 ms", False),
        ("900 ms, 500 ms", "≤ 1,000 ms, ≤ 500 ms", True),
    ],
)
def test_every_figure_is_held_against_its_limit(measured: str, limit: str, is_met: bool) -> None:
    assert Goal("it", "page.md", measured, limit).is_met is is_met


@pytest.mark.parametrize(("measured", "limit"), [("", "0"), ("1", "flat"), ("1", "≤ 1, ≤ 2")])
def test_what_cannot_be_held_against_each_other_is_told(measured: str, limit: str) -> None:
    with pytest.raises(ValueError, match="cannot be held against"):
        _ = Goal("it", "page.md", measured, limit).is_met


def test_the_list_is_that_of_the_pages() -> None:
    wanted = goals.page(goals.read_goals(goals.FOLDER)).written(None, goals.NAME)
    assert (goals.FOLDER / "goals.md").read_text() == wanted, "run: .venv/bin/python -m benchmarks.goals"
