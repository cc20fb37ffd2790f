"""The threat model names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECURITY = (ROOT / "docs/security.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", SECURITY)))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_the_threat_model_names_exists(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_promise_has_a_test() -> None:
    tables = re.findall(r"^\| Promise \| Test \|\n\|---\|---\|\n((?:\|.*\n)+)", SECURITY, re.MULTILINE)
    rows = [row for table in tables for row in table.splitlines()]
    assert len(rows) >= 30
    untested = [row for row in rows if not re.search(r"\| (`tests/[\w/]+\.py::test_\w+`(, )?)+ \|$", row)]
    assert [row for row in untested if not row.endswith("|") or "| open: " not in row] == []


def test_the_actors_come_first_and_what_is_not_promised_is_said() -> None:
    headings = re.findall(r"^## (.*)$", SECURITY, re.MULTILINE)
    assert headings[0] == "Who could attack"
    assert "Not promised, and why" in headings


def test_how_to_report_a_fault_is_at_the_root() -> None:
    policy = (ROOT / "SECURITY.md").read_text()
    assert {"## Report a fault", "## Supported versions"} <= set(policy.splitlines())
