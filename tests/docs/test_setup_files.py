"""Set-up files: lock files, Makefile, and the choice of Python."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from local.stack.program import ROOT
from shared import __version__

LOCKS = ["requirements.txt", "requirements-local.txt", "requirements-dev.txt", "requirements-check.txt"]
ALONE = ["requirements-build.txt", "requirements-docs.txt"]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DEPENDENCIES: list[str] = PYPROJECT["project"]["dependencies"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("name", [*LOCKS, *ALONE])
def test_every_locked_package_has_hashes_and_none_names_an_index(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert not re.search(r"^--?(index-url|extra-index-url|find-links|i|f)\b", text, re.MULTILINE)
    packages = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert packages
    assert [package.split()[0] for package in packages if "--hash=sha256:" not in package] == []


def test_what_is_deployed_is_in_every_lock() -> None:
    deployed, *others = (
        set(re.findall(r"^([a-z0-9.-]+==\S+)", (ROOT / name).read_text(), re.MULTILINE)) for name in LOCKS
    )
    assert deployed
    for other in others:
        assert deployed <= other


def test_the_documents_are_built_with_versions_that_the_tests_have_too() -> None:
    """Both locks are installed in one environment."""
    docs, check = (
        dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements-docs.txt", "requirements-check.txt")
    )
    assert {name: docs[name] for name in docs.keys() & check} == {
        name: check[name] for name in docs.keys() & check
    }


def test_the_wheel_has_every_package_of_the_product() -> None:
    folders = {file.parent.relative_to(ROOT / "shared") for file in (ROOT / "shared").rglob("*.py")}
    named = [".".join(("teams_attendance_reports", *folder.parts)) for folder in folders]
    assert PYPROJECT["tool"]["setuptools"]["packages"] == sorted(named)


def test_the_wheel_needs_what_the_app_and_the_command_line_need() -> None:
    needed = {
        re.sub(r"[-_.]+", "-", name).lower(): version
        for file in ("requirements.in", "requirements-cli.in")
        for name, version in re.findall(r"^([\w.-]+)==(\S+)", (ROOT / file).read_text(), re.MULTILINE)
        if name not in ("azure-functions", "arro3-core", "arro3-io", "tzdata")  # what only the functions use
    }
    ranges = {canonicalize_name(each.name): each.specifier for each in map(Requirement, DEPENDENCIES)}
    assert ranges.keys() == needed.keys()
    assert [name for name in needed if not ranges[NormalizedName(name)].contains(needed[name])] == []


def test_the_version_is_said_in_one_place_and_is_semantic() -> None:
    assert PYPROJECT["project"]["dynamic"] == ["version"]
    assert "version" not in PYPROJECT["project"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    released = re.findall(r"^## \[(\d\S+)\]", CHANGELOG, re.MULTILINE)
    unreleased = re.search(r"^To be released as (\S+)\.$", CHANGELOG, re.MULTILINE)
    assert __version__ in [*released[:1], unreleased and unreleased[1]]


@pytest.mark.parametrize("folder", ["local/azurite", "tests/axe"])
def test_the_npm_lock_has_hashes_and_names_no_registry(folder: str) -> None:
    text = (ROOT / folder / "package-lock.json").read_text()
    packages = {name: package for name, package in json.loads(text)["packages"].items() if name}
    assert packages
    assert '"resolved"' not in text
    assert [name for name, package in packages.items() if not package.get("integrity")] == []


def test_make_alone_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"make (\w+)", listed)) == set(phony[1].split())


def test_without_any_python_one_line_says_what_to_install(tmp_path: Path) -> None:
    nothing = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    found = subprocess.run(
        [ROOT / "scripts" / "find-python"], env=nothing, capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout) == (1, "")
    assert len(found.stderr.splitlines()) == 1
    assert "3.13" in found.stderr


def test_a_python_that_refuses_is_passed_over(tmp_path: Path) -> None:
    """As pyenv's shims do, for a version that is installed but not activated."""
    python = subprocess.run(
        [ROOT / "scripts" / "find-python"], capture_output=True, text=True, check=True
    ).stdout.strip()
    installed = tmp_path / "versions" / "3.13.9" / "bin"
    installed.mkdir(parents=True)
    (installed / "python").symlink_to(python)
    shim = tmp_path / "python3.13"
    shim.write_text("#!/bin/sh\necho 'not activated' >&2\nexit 127\n")
    shim.chmod(0o755)
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path), "PYENV_ROOT": str(tmp_path)}
    found = subprocess.run(
        [ROOT / "scripts" / "find-python"], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == str(installed / "python")
    assert found.stderr == ""


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.name)
def test_actions_are_pinned_by_commit_and_jobs_are_bounded(workflow: Path) -> None:
    text = workflow.read_text()
    actions = re.findall(r"uses: (.*)", text)
    assert [action for action in actions if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", action)] == []
    assert re.search(r"^permissions: \{\}$", text, re.MULTILINE)
    assert text.count("timeout-minutes:") == text.count("runs-on:")


def test_the_dev_container_has_the_python_that_is_deployed() -> None:
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    dockerfile = (ROOT / ".devcontainer" / container["build"]["dockerfile"]).read_text()
    version = (ROOT / ".python-version").read_text().strip()
    assert re.findall(r"^FROM python:([\d.]+)-", dockerfile, re.MULTILINE) == [version]
    user = container["remoteUser"]
    assert f"useradd --create-home --shell /bin/bash {user}" in dockerfile
