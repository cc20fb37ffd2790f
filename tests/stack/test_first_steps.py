"""A newcomer's first steps: the demo, a stack with a past, and the pictures of the documents."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from rich.cells import cell_len

from local.simulator.control.client import running
from local.stack import history, pictures
from local.stack.program import ROOT
from tests.support.bounds import killed_after

COLUMNS = 75
SECONDS_TO_BEGIN = 240.0
PICTURE = 150_000  # bytes at most


@pytest.mark.heavy("has a stack of its own, and the tests through the front show the same")
def test_the_demo_fits_a_narrow_terminal_and_ends_with_the_next_step() -> None:
    command = [sys.executable, "-m", "local", "demo"]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert [line for line in lines if cell_len(line) > COLUMNS] == []
    assert "Every report equals Graph's" in done.stdout
    assert lines[-1].strip().startswith(".venv/bin/attendance --local")


@pytest.mark.heavy("has a stack of its own, which archives 150 meetings")
def test_make_up_begins_with_a_month_and_then_says_what_to_try(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "local", "up", "--subscribe", "--history", "--state", str(tmp_path)]
    with (
        subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, encoding="utf-8") as process,
        killed_after(process, SECONDS_TO_BEGIN),
    ):
        assert process.stderr
        seen, health = [], {}
        for line in process.stderr:
            seen.append(line)
            if "/api/health" in line and "health page" in line:
                health = requests.get(line.split()[-1], timeout=60).json()
                break
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert any("past meetings is archived, and one has just ended." in line for line in seen), seen[-5:]
    assert health["lastNotification"]


def test_a_past_month_has_meetings_on_most_days() -> None:
    with running() as control:
        count = history.add_month(control)
        reports = control.true_reports()
    assert len(reports) == count > 100
    assert len({each["meetingEndDateTime"][:10] for each in reports.values()}) > 20


def test_pictures_are_small() -> None:
    assert_are_pictures(ROOT / "docs/pictures")


@pytest.mark.heavy("has a stack of its own, and needs a browser")
@pytest.mark.skipif(not any(map(shutil.which, pictures.BROWSERS)), reason="no browser is installed here")
def test_pictures_are_made_from_a_stack(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "local.stack.pictures", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert_are_pictures(tmp_path)


def assert_are_pictures(folder: Path) -> None:
    found = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert found.keys() == {"health.png", "timeline.png"}
    assert [name for name, content in found.items() if not content.startswith(b"\x89PNG")] == []
    assert [name for name, content in found.items() if len(content) > PICTURE] == []
