"""The sums in docs/cost.md are those of its rows, and the goal is met."""

import re
from pathlib import Path

COST = (Path(__file__).resolve().parents[2] / "docs/cost.md").read_text()
ROW = re.compile(r"^\| [^|]+ \| ([\d,.]+)(?: GB-s)? \| ([\d.]+) \| ([\d.]+) \|$", re.MULTILINE)


def total(section: str) -> float:
    part = COST.split(f"## {section}")[1].split("\n## ")[0]
    rows = [[float(cell.replace(",", "")) for cell in row] for row in ROW.findall(part)]
    assert rows
    for amount, price, product in rows:
        assert abs(amount * price - product) < 1e-4
    return sum(product for *_, product in rows)


def test_a_thousand_meetings_cost_what_is_said_and_no_more_than_the_goal() -> None:
    found = total("For 1,000 meetings")
    assert f"**Sum: ${found:.2f} for 1,000 meetings**" in COST
    assert found <= 0.25


def test_a_month_costs_what_is_said() -> None:
    assert f"**Sum: ${total('Every month, whatever happens'):.2f} a month.**" in COST


def test_with_larger_instances_it_is_the_execution_time_four_times() -> None:
    larger = total("For 1,000 meetings") + 3 * 0.117
    assert f"it is four times that time: ${larger:.2f}" in COST
