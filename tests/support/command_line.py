"""The command line as users run it, on a running stack."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from local.stack import app_settings
from tests.support.front import Front

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120  # a bound for what takes a few


def environment(front: Front, **more: str) -> dict[str, str]:
    """This machine's environment and the app's settings."""
    told = {each["name"]: each["value"] for each in app_settings.for_people(front.stack.settings)}
    return {**os.environ, **told, "NO_COLOR": "1", "PYTHONPATH": str(ROOT), **more}


def command(*arguments: str) -> list[str]:
    """The words of a call."""
    return [sys.executable, "-m", "shared.cli", *arguments]


def run(front: Front, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Call it; `more` are variables of its environment."""
    return subprocess.run(
        command(*arguments),
        env=environment(front, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


def told(front: Front, *arguments: str, code: int = 0, **more: str) -> Any:
    """What a call answers as JSON."""
    done = run(front, *arguments, "--json", **more)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)
