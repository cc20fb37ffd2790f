"""Fuzzing in small: some thousands of hostile bodies."""

import json
import logging
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from local.stack.compose import Stack
from shared import limits
from tests.fuzz import fuzz, guided, oracle, over_http, targets
from tests.fuzz.branches import Branches


@pytest.fixture
def silence() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("silence")
def test_nothing_hostile_is_unhandled_or_let_in(tmp_path: Path) -> None:
    core = fuzz.at_core(700, 650, seed=7)
    assert core.problems == []
    assert core.taken > 0.85 * core.branches
    text = fuzz.page(core, None, None, 7).written(tmp_path, "fuzz")
    assert (tmp_path / "fuzz.md").read_text() == text


def test_nothing_hostile_over_http_is_answered_otherwise_than_the_contract_says(stack: Stack) -> None:
    result = over_http.send(stack, 250, seed=7, alone=False)
    assert result.problems == []
    assert result.strays == []
    assert {200, 202, 400} <= result.statuses.keys()


def test_branches_that_were_taken_are_told_from_those_that_were_not() -> None:
    with Branches({limits: ("Debounce",)}) as branches:
        once = limits.Debounce(10.0, clock=lambda: 0.0)
        assert once.allows("a")
        taken = branches.reached
        assert not once.allows("a")
        assert branches.reached > taken
    assert branches.total >= branches.reached


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"[]", 400), (b'{"value": 1}', 400), (b'{"value": []}', 202), (b" " * 101, 413)],
)
def test_the_oracle_knows_the_contract(body: bytes, status: int) -> None:
    assert oracle.verdict(body, "s", "t", 100).status == status


@pytest.mark.usefixtures("silence")
def test_the_oracle_knows_that_an_id_in_guid_form_is_one_in_any_case() -> None:
    """Otherwise an upper-case id would count as one lost call and one wrong one."""
    target = next(each for each in targets.all_targets(fuzz.EVENTS) if each.name == "webhook")
    for call in (targets.CALL.upper(), targets.CALL.title(), "AbC"):
        body = json.dumps({"value": [targets.item(resource=f"communications/callRecords/{call}")]})
        for seed in range(20):
            target.feed(body.encode(), Random(seed))


@pytest.mark.heavy("atheris is there on one platform only, and instruments all that it loads")
def test_atheris_finds_nothing_that_is_not_handled(tmp_path: Path) -> None:
    if not guided.is_there():
        pytest.skip("atheris is not installed: it runs on Linux and x86-64")
    found = guided.run(3_000, seed=5)
    assert found.problems == []
    assert found.bodies == 3_000
    assert found.edges > 300
    core = fuzz.at_core(20, 20, seed=5)
    assert "| edges covered |" in fuzz.page(core, found, None, 5).written(tmp_path, "fuzz")


def test_a_body_that_is_not_handled_ends_atheris_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 77, "", "== Uncaught Python exception: ValueError")

    monkeypatch.setattr(subprocess, "run", ended)
    assert guided.run(10, seed=1).problems == [
        "atheris ended with 77: == Uncaught Python exception: ValueError"
    ]
