"""The load script for deployments, run against the local stack."""

import json
import subprocess
import sys

import pytest

from benchmarks import load_azure
from shared.errors import AttendanceError
from tests.support.command_line import ROOT, environment
from tests.support.front import SECONDS, Front, own_stack

stack = own_stack(CONFIRM_AFTER="0")


def measured(front: Front, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call the script as a deployment's operator does, with the settings in the environment."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.load_azure", *arguments],
        env=environment(front, CLIENT_STATE=front.stack.settings["CLIENT_STATE"]),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


def test_an_app_is_measured_with_what_it_has_archived(front: Front) -> None:
    nothing = measured(front)
    assert nothing.returncode == 1
    assert "No report of a call was stored" in nothing.stderr
    made = [front.session() for _ in range(3)]
    front.notify(*[each.call_id for each in made])
    before = [front.outcome(each.call_id, "stored") for each in made]
    done = measured(front, "--pairs", "2", "--burst", "20", "--archive", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["refused"] == 0
    assert found["archived"]["outcomes"] == 3
    after = [front.outcome(each.call_id, "stored") for each in made]
    assert all(new["attempt"] > old["attempt"] for old, new in zip(before, after, strict=True))


@pytest.mark.parametrize("name", ["CLIENT_STATE", "NOTIFICATION_BASE_URL"])
def test_a_setting_that_is_missing_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLIENT_STATE", raising=False)
    told = {"NOTIFICATION_BASE_URL": "https://app/api", "CLIENT_STATE": "@Microsoft.KeyVault(SecretUri=x)"}
    with pytest.raises(AttendanceError, match=name):
        load_azure.target(
            {**told, "CLIENT_STATE": "known"} | {name: told[name] if name == "CLIENT_STATE" else ""}
        )
