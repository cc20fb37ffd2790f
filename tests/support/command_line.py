"""The command line as users run it, on a running stack."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from local.stack import app_settings
from shared.cli import main
from tests.support.front import Front

ROOT = Path(__file__).resolve().parents[2]


def environment(front: Front, **more: str) -> dict[str, str]:
    """This machine's environment and the app's settings."""
    told = {each["name"]: each["value"] for each in app_settings.for_people(front.stack.settings)}
    return {**os.environ, **told, "NO_COLOR": "1", "PYTHONPATH": str(ROOT), **more}


def command(*arguments: str) -> list[str]:
    """The words that start the program, which takes half a second: for signals, a terminal or another environment."""
    return [sys.executable, "-m", "shared.cli", *arguments]


def start(front: Front, *arguments: str, python: Sequence[str] = (), **more: str) -> subprocess.Popen[str]:
    """Start the program; `python` are options of the interpreter, `more` variables of its environment."""
    interpreter, *words = command(*arguments)
    return subprocess.Popen(
        [interpreter, *python, *words],
        env=environment(front, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(front: Front, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Call it in this process; `more` are variables of its environment."""
    done = CliRunner().invoke(
        main.app, main.move_options_first(arguments), env=environment(front, **more), prog_name="attendance"
    )
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def told(front: Front, *arguments: str, code: int = 0, **more: str) -> Any:
    """What a call answers as JSON."""
    done = run(front, *arguments, "--json", **more)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)
