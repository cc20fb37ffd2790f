"""The artefact that is deployed: it holds the app and its packages, is the same whenever it is built, and runs."""

import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import requests

from local.stack import ports
from local.stack.compose import Stack
from local.stack.functions import FunctionsHost
from local.stack.program import Log
from tests.host.test_indexing import FUNCTIONS, index
from tests.host.test_indexing import runtime as runtime

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip, built as a deployment builds it, in a copy of the checkout."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("function_app.py", "host.json", "requirements.txt", ".python-version"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    for each in ("shared", "scripts"):
        (folder / each).mkdir()
        for file in (ROOT / each).iterdir():
            if file.is_file():
                (folder / each / file.name).write_bytes(file.read_bytes())
    for name in ("one.zip", "two.zip"):
        build = [sys.executable, str(folder / "scripts/package"), str(folder / name)]
        subprocess.run(build, check=True, capture_output=True, timeout=300)
    return folder / "one.zip"


@pytest.fixture(scope="module")
def unpacked(artefact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(artefact) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python without any package."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=120)
    return folder / "bin/python"


def test_built_twice_it_is_the_same(artefact: Path) -> None:
    digests = {
        hashlib.sha256(artefact.with_name(name).read_bytes()).digest() for name in ("one.zip", "two.zip")
    }
    assert len(digests) == 1


def test_it_holds_the_app_and_its_packages_and_nothing_else(artefact: Path) -> None:
    names = zipfile.ZipFile(artefact).namelist()
    assert {name.split("/")[0] for name in names} == {
        "function_app.py", "host.json", "requirements.txt", "shared", ".python_packages",
    }  # fmt: skip
    assert not [name for name in names if name.endswith(".pyc") or "/bin/" in name]
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    held = {
        name.split("/")[3].partition("-")[0].lower().replace("_", "-")
        for name in names
        if ".dist-info/" in name
    }
    assert held <= locked
    assert "azure-keyvault-keys" in held


def test_it_indexes_with_its_own_packages_alone(unpacked: Path, bare: Path, runtime: Path) -> None:
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        pytest.skip("the packages are for Linux on x86-64")
    packages = unpacked / ".python_packages/lib/site-packages"
    assert set(index(bare, unpacked, path=f"{packages}:{runtime}")) == FUNCTIONS
    code = "import shared.archiving.worker, shared.upkeep, shared.health.endpoint, shared.crypto.key_vault"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{unpacked}:{packages}"}
    subprocess.run([bare, "-c", code], cwd=unpacked, env=environment, check=True, timeout=60)


def test_it_answers_graphs_handshake(unpacked: Path, stack: Stack, log: Log) -> None:
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        pytest.skip("the packages are for Linux on x86-64")
    host = FunctionsHost(unpacked, ports.pick(0), log)
    host.start(stack.settings)
    try:
        reply = requests.post(f"{host.url}/api/notifications?validationToken=a%20b", timeout=30)
        assert (reply.status_code, reply.text) == (200, "a b")
        assert requests.get(f"{host.url}/api/health", timeout=60).status_code in (200, 503)
    finally:
        host.stop()


def test_what_other_tools_would_deploy_is_the_same(artefact: Path) -> None:
    """`.funcignore` leaves out all but what the zip holds."""
    kept = set(re.findall(r"^!/(.+?)/?$", (ROOT / ".funcignore").read_text(), re.MULTILINE))
    assert kept == {name.split("/")[0] for name in zipfile.ZipFile(artefact).namelist()}


def test_the_developer_cli_builds_nothing_in_azure() -> None:
    text = (ROOT / "azure.yaml").read_text()
    assert re.search(r"^    remoteBuild: false", text, re.MULTILINE)
    assert re.search(r"^        run: make package$", text, re.MULTILINE)
    assert json.loads((ROOT / "host.json").read_text())["version"] == "2.0"
