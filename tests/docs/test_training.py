"""docs/training.md says what `attendance training` does."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from shared.cli.training import policy, roster
from shared.cli.training.lengths import percent
from shared.cli.training.policy import Policy
from shared.cli.training.results import Caveat
from shared.cli.training.sessions import TrainingSession
from shared.cli.training.terminal import print_account
from tests.support.training import account
from tests.unit.test_training import NINE, at, only, person, session

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text()


def test_the_shown_result_is_that_of_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    print_account(account(1))
    shown = re.search(r"<!-- training -->\n```\n(.*?)```", TEXT, re.DOTALL)
    assert shown
    assert shown[1].splitlines() == [line.rstrip() for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(("of", "share"), [("meeting", 80.0), ("09:00-10:00", 66.6)])
def test_the_example_is_computed_as_it_says(of: str, share: float) -> None:
    held: list[TrainingSession] = [
        session(person((5, 20)), held=(0, 20)),
        session(person((30, 55)), held=(30, 60)),
    ]
    found = only(held, Policy(measure=policy.parse_measure(of)))
    assert found.share is not None
    assert (at(0), percent(found.share)) == (NINE, share)
    assert (found.late, found.left_early) == (timedelta(minutes=5), timedelta(minutes=5))


def test_names_of_columns_are_recognized() -> None:
    table = TEXT.partition("| Column | Names")[2].partition("\n\n")[0]
    object_id = "10000000-0000-4000-8000-000000000000"
    for kind, value in (("object id", object_id), ("address", "ana@contoso.example")):
        line = next(line for line in table.splitlines() if line.startswith(f"| {kind} |"))
        headers = re.findall(r"`([^`]+)`", line)
        assert len(headers) > 4
        for header in headers:
            (found,) = roster.parse_roster(f"{header};Team\n{value};Blue\n".encode(), "x").people
            assert value in (found.object_id, *found.addresses)


def test_caveats_are_those_of_the_code() -> None:
    assert ", ".join(f"`{each}`" for each in Caveat) in TEXT
