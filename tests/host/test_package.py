"""The deployed package: its contents, reproducible build, and a run."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from deployment import probing
from deployment.waiting import Clock
from local.stack import ports
from local.stack.compose import Stack
from local.stack.functions import FunctionsHost
from local.stack.program import Log
from tests.host.test_indexing import FUNCTIONS, index
from tests.host.test_indexing import runtime as runtime

pytestmark = pytest.mark.heavy("builds what is deployed, twice, and downloads its packages for that")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip, built as a deployment builds it, in a copy of the checkout."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("function_app.py", "host.json", "requirements.txt", ".python-version", "scripts/package"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "shared", folder / "shared")
    (folder / "shared/__pycache__").mkdir(exist_ok=True)
    (folder / "shared/__pycache__/left.cpython-313.pyc").write_bytes(b"")
    for arguments in ([], [str(folder / "two.zip")]):
        build = [sys.executable, str(folder / "scripts/package"), *arguments]
        subprocess.run(build, check=True, capture_output=True, timeout=300)
    return folder / ".local/package/app.zip"


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
    again = artefact.parents[2] / "two.zip"
    assert hashlib.sha256(artefact.read_bytes()).digest() == hashlib.sha256(again.read_bytes()).digest()


def test_it_holds_the_app_and_its_packages_and_nothing_else(artefact: Path) -> None:
    names = zipfile.ZipFile(artefact).namelist()
    assert {name.split("/")[0] for name in names} == {
        "function_app.py", "host.json", "requirements.txt", "shared", ".python_packages",
    }  # fmt: skip
    assert not [name for name in names if name.endswith(".pyc") or "/bin/" in name or "/tests/" in name]
    modules = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "shared").rglob("*.py")
        if ROOT / "shared/cli" not in file.parents
    }
    assert {name for name in names if name.startswith("shared/")} == modules
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    held = {
        name.split("/")[3].partition("-")[0].lower().replace("_", "-")
        for name in names
        if ".dist-info/" in name
    }
    assert held <= locked
    assert "azure-keyvault-keys" in held


def test_its_bill_of_materials_names_what_it_holds(artefact: Path) -> None:
    bill = json.loads(artefact.with_suffix(".cdx.json").read_text())
    assert (
        bill["metadata"]["component"]["hashes"][0]["content"]
        == hashlib.sha256(artefact.read_bytes()).hexdigest()
    )
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    named = {each["name"]: each["version"] for each in bill["components"]}
    assert named.items() <= locked.items()
    held = {name for name in zipfile.ZipFile(artefact).namelist() if name.endswith(".dist-info/METADATA")}
    assert len(named) == len(held)


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
        assert probing.handshake(f"{host.url}/api", Clock()), "as scripts/deploy tries it"
    finally:
        host.stop()


def test_the_developer_cli_takes_from_the_staged_folder_what_the_zip_holds(artefact: Path) -> None:
    """Every file, decided as azd decides it, with the same content."""
    stage = artefact.with_suffix("")
    taken = {file.relative_to(stage).as_posix(): file.read_bytes() for file in taken_by_azd(stage)}
    with zipfile.ZipFile(artefact) as archive:
        assert taken == {name: archive.read(name) for name in archive.namelist()}


def test_the_developer_cli_is_given_the_staged_folder_and_builds_nothing_in_azure(artefact: Path) -> None:
    text = (ROOT / "azure.yaml").read_text()
    dist = re.search(r"^    dist: (\S+)", text, re.MULTILINE)
    assert dist
    assert artefact.parents[2] / dist[1] == artefact.with_suffix("")
    assert re.search(r"^    project: \.$", text, re.MULTILINE)
    assert re.search(r"^    remoteBuild: false", text, re.MULTILINE)
    hooks = re.findall(r"^          shell: (\w+)\n          run: (\S+) scripts/package$", text, re.MULTILINE)
    assert hooks == [("sh", "python3"), ("pwsh", "python")]
    assert not (ROOT / ".funcignore").exists(), (
        "azd would read it only in the staged folder, other tools here"
    )
    assert json.loads((ROOT / "host.json").read_text())["version"] == "2.0"


def test_a_pip_that_fails_is_named(artefact: Path, tmp_path: Path) -> None:
    checkout = artefact.parents[2]
    for name in (".python-version", "scripts/package"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(checkout / name, tmp_path / name)
    build = [sys.executable, str(tmp_path / "scripts/package")]
    done = subprocess.run(build, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "could not install requirements.txt" in done.stderr
    assert "Traceback" not in done.stderr


def taken_by_azd(folder: Path) -> Iterator[Path]:
    """The files that azd zips, by its own exclusions.

    Source: createDeployableZip in cli/azd/pkg/project/project_utils.go, Azure/azure-dev ae35809.
    """
    assert not (folder / ".funcignore").exists(), "with an ignore file, azd decides by its patterns instead"
    for entry in sorted(folder.iterdir()):
        if entry.is_dir():
            is_environment = (entry / "pyvenv.cfg").exists()
            if entry.name != ".azure" and entry.name.lower() != "__pycache__" and not is_environment:
                yield from taken_by_azd(entry)
        elif entry.name != "local.settings.json":
            yield entry
