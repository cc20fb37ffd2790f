"""The workflows: pinned actions, no long-lived secret, the least permissions, and nothing that does not exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
SCRIPTS = [ROOT / "scripts/deploy", ROOT / "scripts/azure-login", ROOT / "infra/grant-permissions.sh"]
DEPLOYERS = (ROOT / "docs/deployers.md").read_text()
MAIN = (ROOT / "infra/main.bicep").read_text()


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_actions_are_pinned_and_may_do_little(file: Path) -> None:
    text = file.read_text()
    uses = re.findall(r"uses: (\S+)", text)
    assert uses
    assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", each) for each in uses)
    assert re.search(r"^permissions: \{\}$", text, re.MULTILINE)
    assert "secrets." not in text
    assert text.count("timeout-minutes:") == text.count("runs-on:")


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_what_a_workflow_runs_exists(file: Path) -> None:
    text = file.read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"run: make (\w+)", text)) <= targets
    for script in re.findall(r"run: ((?:scripts|\.ci)/[\w-]+)", text):
        assert (ROOT / script).stat().st_mode & 0o100, script


def test_nothing_is_deployed_that_was_not_tested() -> None:
    deploy = (ROOT / ".github/workflows/deploy.yml").read_text()
    assert "needs: build" in deploy
    build = deploy.split("  build:")[1].split("\n  what-if:")[0]
    assert build.index("make package") < build.index(".ci/run")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_stops_at_the_first_error(script: Path) -> None:
    assert script.stat().st_mode & 0o100
    assert "\nset -eu\n" in script.read_text()


def test_the_deployers_guide_names_what_there_is() -> None:
    for name in re.findall(r"`((?:infra|scripts|\.github)/[\w./-]+)", DEPLOYERS):
        assert (ROOT / name).exists(), name
    parameters = set(re.findall(r"^param (\w+)", MAIN, re.MULTILINE))
    listed = DEPLOYERS.split("## Parameters")[1].split("## Upgrade")[0]
    assert set(re.findall(r"^- `(\w+)`", listed, re.MULTILINE)) <= parameters
    outputs = set(re.findall(r"^output (\w+)", MAIN, re.MULTILINE))
    assert set(re.findall(r"properties\.outputs\.(\w+)\.value", DEPLOYERS)) <= outputs
    assert set(re.findall(r"([A-Z_]+)\.value", (ROOT / "scripts/deploy").read_text())) <= outputs
    assert re.findall(r"^10\. ", DEPLOYERS, re.MULTILINE)


def test_a_missing_package_is_named() -> None:
    text = (ROOT / "scripts/deploy").read_text()
    assert "run make package first" in text
