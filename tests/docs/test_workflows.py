"""The workflows: pinned actions, no long-lived secrets, least permissions."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from deployment import deploying, target

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
SCRIPTS = [ROOT / "scripts/azure-login", ROOT / "infra/grant-permissions.sh"]
DEPLOY = (ROOT / ".github/workflows/deploy.yml").read_text()
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
    for script in re.findall(r"run: (?:trusted/)?((?:scripts|\.ci)/[\w-]+)", text):
        assert (ROOT / script).stat().st_mode & 0o100, script


def jobs(text: str) -> dict[str, str]:
    """The text of each job, by name."""
    parts = re.split(r"^  ([\w-]+):\n", text.split("\njobs:\n")[1], flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_nothing_is_deployed_that_was_not_tested() -> None:
    build, deploy = jobs(DEPLOY)["build"], jobs(DEPLOY)["deploy"]
    assert build.index("make package") < build.index(".ci/run") < build.index("sha256sum")
    assert "needs: build" in deploy
    assert (
        deploy.index("make package") < deploy.index("sha256sum --check") < deploy.index("run: scripts/deploy")
    )


@pytest.mark.parametrize("name", ["what-if", "deploy"])
def test_a_job_with_a_token_waits_for_a_person(name: str) -> None:
    job = jobs(DEPLOY)[name]
    environment = re.search(r"^    environment: (\w+)$", job, re.MULTILINE)
    assert environment
    assert f"ENVIRONMENT: {environment[1]}\n" in job
    steps = job.split("    steps:\n")[1]
    assert "required_reviewers" in steps.split("      - uses:")[0].split("azure-login")[0]
    assert steps.index("required_reviewers") < steps.index("azure-login")


def test_only_those_jobs_can_have_a_token() -> None:
    assert [name for name, job in jobs(DEPLOY).items() if "id-token" in job] == ["what-if", "deploy"]


def test_a_pull_request_runs_no_script_of_its_own_with_a_token() -> None:
    job = jobs(DEPLOY)["what-if"]
    assert set(re.findall(r"[\w.]*/?(?:scripts|\.ci)/[\w-]+", job)) == {"trusted/scripts/azure-login"}
    trusted = job.split("path: trusted")[0].rpartition("ref: ")[2]
    assert trusted.startswith("${{ github.event.pull_request.base.sha }}")
    assert "make " not in job
    assert "--validation-level ProviderNoRbac" in job


def test_an_environments_variables_are_read_where_they_exist() -> None:
    """Those of an environment are empty above its job."""
    assert "vars." not in DEPLOY.split("\njobs:\n")[0]


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
    assert set(target.PRINTED.values()) <= outputs


def test_the_guide_is_ten_steps_and_grants_before_the_package() -> None:
    steps = DEPLOYERS.split("## Ten steps")[1].split("\n## ")[0]
    numbers = [int(each) for each in re.findall(r"^\*\*(\d+)\. ", steps, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) <= 10
    order = [
        "--only infrastructure",
        "grant-permissions.sh",
        "grant-access-policy.ps1",
        "--only package",
        "--only check",
    ]
    assert [steps.index(each) for each in order] == sorted(steps.index(each) for each in order)
    assert (
        steps.index("`azd provision`, then")
        < steps.index("grant-permissions.sh")
        < steps.index("`azd deploy`")
    )


@pytest.mark.parametrize("program", ["deploy", "rotate"])
def test_the_guide_gives_options_that_exist(program: str) -> None:
    command = [sys.executable, str(ROOT / "scripts" / program), "--help"]
    known = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    documents = "\n".join(file.read_text() for file in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
    commands = re.findall(
        rf"^scripts/{program} ([^#`)\n]+)|`scripts/{program} ([^`]+)`", documents, re.MULTILINE
    )
    assert commands
    for option in re.findall(r"--[a-z-]+", " ".join(map("".join, commands))):
        assert option in known, option
    for step in re.findall(r"--only (\w+)", " ".join(map("".join, commands))):
        assert step in (*deploying.STEPS, "names")


def test_every_claim_that_only_azure_can_prove_has_its_sign() -> None:
    table = DEPLOYERS.split("## What only your subscription can prove")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 15
    assert all(len(row) == 3 and all(cell.strip() for cell in row) for row in rows)
