"""The wheel of the command line: built, installed into empty environments, and used on the local stack."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from shared import __version__
from tests.support.front import Front, eventually

pytestmark = pytest.mark.heavy("downloads and installs the command line's packages three times")

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 300
WITHOUT_CHECKOUT = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built twice."""
    first, second = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("again")
    for folder in (first, second):
        build = [sys.executable, str(ROOT / "scripts/wheel"), str(folder)]
        subprocess.run(build, check=True, capture_output=True, timeout=SECONDS)
    (built,), (again,) = first.glob("*.whl"), second.glob("*.whl")
    assert built.read_bytes() == again.read_bytes()
    return built


@pytest.fixture(scope="module")
def by_pip(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, in a virtual environment that has nothing else."""
    folder = tmp_path_factory.mktemp("empty")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=SECONDS)
    install(folder / "bin/python", "-m", "pip", "install", "--quiet", "--no-compile", wheel)
    return folder / "bin/attendance"


@pytest.fixture(scope="module", params=["uv", "pipx"])
def by_tool(wheel: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """The command, as a tool that makes an environment for each program installs it."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "uv":
        places = {"UV_TOOL_DIR": folder / "tools", "UV_TOOL_BIN_DIR": folder / "bin"}
        python = ("--python", sys.executable, "--no-python-downloads")
        install(Path(sys.executable).with_name("uv"), "tool", "install", *python, wheel, **places)
    else:
        places = {"PIPX_HOME": folder / "tools", "PIPX_BIN_DIR": folder / "bin", "PIPX_MAN_DIR": folder}
        pipx = (sys.executable, "-m", "pipx", "install", "--python", sys.executable)
        install(*pipx, wheel, **places)
    return folder / "bin/attendance"


def install(*command: str | Path, **environment: Path) -> None:
    env = {**WITHOUT_CHECKOUT, **{name: str(value) for name, value in environment.items()}}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr


def run(command: Path, folder: Path, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
    """What a call of the installed command prints, without this checkout's packages."""
    environment: Mapping[str, str] = {**WITHOUT_CHECKOUT, "NO_COLOR": "1"}
    done = subprocess.run(
        [command, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode in codes, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def folder(front: Front, tmp_path: Path) -> Path:
    """A folder in which the local stack runs, as `make up` makes it."""
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local/state").symlink_to(front.stack.folder)
    return tmp_path


def test_it_has_the_products_code_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}
    own = {
        f"teams_attendance_reports/{file.relative_to(ROOT / 'shared').as_posix()}": file.read_bytes()
        for file in (ROOT / "shared").rglob("*.py")
    }
    assert held == own
    assert wheel.name == f"teams_attendance_reports-{__version__}-py3-none-any.whl"


def test_the_checksums_are_those_of_the_files(wheel: Path) -> None:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert (wheel.parent / "SHA256SUMS").read_text() == f"{digest}  {wheel.name}\n"


def test_it_operates_the_local_stack(by_pip: Path, folder: Path, front: Front) -> None:
    assert run(by_pip, folder, "--version").strip() == __version__
    front.subscribe()
    made = front.session(participants=7)
    front.notify(made.call_id)
    outcome = front.outcome(made.call_id, "stored")
    judged = (0, 3)  # other tests may have left something to find in a shared stack
    findings = json.loads(run(by_pip, folder, "--local", "doctor", "--json", codes=judged))
    assert "ok" in {each["state"] for each in findings}, findings
    listed = json.loads(run(by_pip, folder, "--local", "reports", "list", "--json"))
    assert made.report_id in {each["id"] for each in listed}
    run(by_pip, folder, "--local", "reports", "show", made.report_id, "--output", "meeting.svg")
    assert (folder / "meeting.svg").read_text().startswith("<?xml")
    day = outcome["name"].split("date=")[1][:10]
    run(
        by_pip,
        folder,
        "--local",
        "export",
        "--from",
        day,
        "--to",
        day,
        "--format",
        "xlsx",
        "--include-incomplete",
        "--output",
        "t.xlsx",
    )
    assert (folder / "t.xlsx").stat().st_size > 1_000
    sql = "SELECT count(*) AS reports FROM meetings"
    assert json.loads(run(by_pip, folder, "--local", "sql", sql, "--json"))[0]["reports"] > 0
    renewed = front.state("heartbeat/maintenance.json")
    run(by_pip, folder, "--local", "subscriptions", "renew")
    eventually(lambda: front.state("heartbeat/maintenance.json") != renewed, "another run of maintenance")


def test_other_installers_install_it_too(by_tool: Path, folder: Path, front: Front) -> None:
    assert run(by_tool, folder, "--version").strip() == __version__
    assert isinstance(json.loads(run(by_tool, folder, "--local", "subscriptions", "list", "--json")), list)


def test_without_a_stack_it_says_how_to_start_one(by_pip: Path, tmp_path: Path) -> None:
    assert run(by_pip, tmp_path, "--local", "status", codes=(1,)) == ""
