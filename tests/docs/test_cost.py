"""docs/cost.md: its sums, its goal, and the resources that it counts."""

import json
import re

from tests.support.bicep import INFRA, ROOT

COST = (ROOT / "docs/cost.md").read_text()
ROW = re.compile(r"^\| (.+) \| ([\d,.]+)(?: GB-s)? \| ([\d.]+) \| ([\d.]+) \|$", re.MULTILINE)
MONTH, MEETINGS, CHOICES = (
    "Every month, whatever happens",
    "For 1,000 meetings",
    "What other choices add",
)
TABLES = "Of these, tables at a million meetings a day"


def rows(section: str) -> dict[str, tuple[float, float]]:
    """Of each row of a section by its name: how much, and the sum."""
    part = COST.split(f"## {section}\n")[1].split("\n## ")[0]
    found = {}
    for name, *cells in ROW.findall(part):
        amount, price, product = (float(cell.replace(",", "")) for cell in cells)
        assert abs(amount * price - product) < 1e-4, name
        found[name] = amount, product
    assert found
    return found


def total(section: str) -> float:
    return sum(product for _, product in rows(section).values())


def resources(kind: str) -> list[dict[str, object]]:
    """The resources of one kind in the default deployment."""
    found = json.loads((INFRA / "main.snapshot.json").read_text())["predictedResources"]
    return [each for each in found if each["type"] == kind]


def test_a_thousand_meetings_cost_what_is_said_and_no_more_than_the_goal() -> None:
    found = total(MEETINGS)
    assert f"**Sum: ${found:.2f} for 1,000 meetings.**" in COST
    assert found <= 0.25


def test_tables_of_a_million_meetings_cost_what_is_said() -> None:
    assert f"**Sum: ${total(TABLES):.2f} a day**" in COST
    assert 0.005 < total(TABLES) / (1_000 * total(MEETINGS)) < 0.015


def test_a_month_costs_what_is_said() -> None:
    assert f"**Sum: ${total(MONTH):.2f} a month.**" in COST


def test_the_default_comes_first_with_its_whole_sum() -> None:
    month, meetings = total(MONTH), 10 * total(MEETINGS)
    said = f"pays some ${month + meetings:.0f}**: ${month:.0f} whatever happens, and ${meetings:.0f} for the meetings"
    assert said in " ".join(COST.split("\n## ")[0].split())


def test_other_documents_say_the_same_sum() -> None:
    said = f"${total(MONTH) + 10 * total(MEETINGS):.0f}"
    files = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    found = {
        file.name: re.findall(r"(\$\d+) a month for 10,000 meetings", file.read_text()) for file in files
    }
    assert {name: sums for name, sums in found.items() if sums} == {"README.md": [said], "faq.md": [said]}


def test_without_an_instance_that_waits_it_is_so_much_less() -> None:
    (waiting,) = (product for name, (_, product) in rows(MONTH).items() if "waits for notifications" in name)
    assert f"it is ${waiting:.2f} less" in COST


def test_larger_instances_cost_what_is_said() -> None:
    added = rows(CHOICES)[
        "`instanceMemoryMB` 2048, for 1,000 meetings | execution time, three times more, GB-s"
    ][1]
    assert abs(added - 3 * rows(MEETINGS)["execution time, instances of 512 MB"][1]) < 1e-9
    assert f"With 2,048 MB a thousand meetings cost ${total(MEETINGS) + added:.2f}" in COST


def test_what_is_deployed_is_what_is_counted() -> None:
    (alerts,) = (amount for name, (amount, _) in rows(MONTH).items() if name.startswith("alert rules"))
    assert alerts == len(resources("Microsoft.Insights/scheduledQueryRules"))
    everything = (INFRA / "parameters/everything.snapshot.json").read_text()
    made = [each["type"] for each in json.loads(everything)["predictedResources"]]
    choices = {name.split(" | ")[1]: amount for name, (amount, _) in rows(CHOICES).items()}
    endpoints = choices["private endpoints"] + choices["private endpoint of the hub"]
    zones = choices["private DNS zones"] + choices["private DNS zone of the hub"]
    assert endpoints == made.count("Microsoft.Network/privateEndpoints")
    assert zones == made.count("Microsoft.Network/privateDnsZones")
