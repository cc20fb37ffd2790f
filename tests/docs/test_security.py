"""The promises of the threat model and of the guarantees name tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECURITY = (ROOT / "docs/security.md").read_text()
GUARANTEES = (ROOT / "docs/guarantees.md").read_text()
TEST = r"`tests/[\w/]+\.py::test_\w+`"
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", SECURITY + GUARANTEES)))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_a_promise_names_exists(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text())
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(
    ("document", "columns", "least"),
    [
        pytest.param(SECURITY, ("Promise", "Test"), 30, id="security"),
        pytest.param(GUARANTEES, ("Promise", "Mechanism", "Test"), 20, id="guarantees"),
    ],
)
def test_every_promise_has_a_test(document: str, columns: tuple[str, ...], least: int) -> None:
    head = re.escape(f"| {' | '.join(columns)} |")
    tables = re.findall(rf"^{head}\n\|[-|]+\|\n((?:\|.*\n)+)", document, re.MULTILINE)
    rows = [row for table in tables for row in table.splitlines()]
    assert len(rows) >= least
    assert [row for row in rows if not re.search(rf"\| ({TEST}(, )?)+ \|$", row)] == []
    assert [row for row in rows if len(re.findall(r"[^|]+", row)) != len(columns)] == []


def test_what_is_not_promised_is_said() -> None:
    assert {"Not promised", "Who can lose what"} <= set(re.findall(r"^## (.*)$", GUARANTEES, re.MULTILINE))


def test_the_actors_come_first_and_what_is_not_promised_is_said() -> None:
    headings = re.findall(r"^## (.*)$", SECURITY, re.MULTILINE)
    assert headings[0] == "Who could attack"
    assert "Not promised, and why" in headings


def test_how_to_report_a_fault_is_at_the_root() -> None:
    policy = (ROOT / "SECURITY.md").read_text()
    assert {"## Report a fault", "## Supported versions"} <= set(policy.splitlines())
