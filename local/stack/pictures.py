"""`make pictures`: pictures for the documents.

They are made from a local stack with a month of meetings.

usage: python -m local.stack.pictures [FOLDER]        default: docs/pictures

Needs Chromium or Chrome, and the packages of `make check`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import requests

from local.simulator.control.client import Control
from local.stack import app_settings, compose, history
from local.stack.compose import Stack
from local.stack.program import ROOT, Log

FOLDER = ROOT / "docs" / "pictures"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH, HEIGHT = 1000, 780  # of the health page's picture
PEOPLE = 8
LAST_LETTER = "\u06ff"  # of those from Latin to Arabic


def main() -> int:
    """Make all pictures; return 0, or 1 without a browser."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.stderr.write("make pictures: no Chromium or Chrome is installed on this machine.\n")
        return 1
    folder = Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryFile() as log,
        tempfile.TemporaryDirectory(prefix="attendance-pictures-") as state,
        compose.up(Path(state), log=Log(log.fileno()), usual_roots=False) as stack,
    ):
        control = Control(stack.graph)
        history.add_month(control)
        history.archive_month(stack.functions.url)
        history.announce_meeting(control, stack.functions.url, PEOPLE)
        _draw_timeline(stack, _choose(control), folder / "timeline.png")
        _photograph(browser, f"{stack.functions.url}/api/health", folder / "health.png")
    for file in sorted(folder.iterdir()):
        sys.stdout.write(f"{file}: {file.stat().st_size / 1000:.0f} kB\n")
    return 0


def _choose(control: Control) -> str:
    """Choose a report of some people.

    The fonts of every machine can show their names.
    """

    def hidden(report: dict[str, Any]) -> int:
        names = [(each["identity"] or {}).get("displayName") or "?" for each in report["attendanceRecords"]]
        return sum(any(letter == "?" or letter > LAST_LETTER for letter in name) for name in names)

    of_some = [each for each in control.true_reports().values() if len(each["attendanceRecords"]) >= PEOPLE]
    return str(min(of_some, key=hidden)["id"])


def _draw_timeline(stack: Stack, report: str, file: Path) -> None:
    """Draw the meeting with the command line, as an operator does."""
    settings = {each["name"]: each["value"] for each in app_settings.for_people(stack.settings)}
    command = [sys.executable, "-m", "shared.cli", "reports", "show", report, "--output", str(file)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **settings}, check=True, timeout=120)  # noqa: S603


def _photograph(browser: str, url: str, file: Path) -> None:
    """Take a picture of the health page, in light colours."""
    from playwright.sync_api import sync_playwright  # here, because only `make check` installs it

    requests.get(url, timeout=60).raise_for_status()  # a picture of a fault would be no advertisement
    with sync_playwright() as playwright:
        window = playwright.chromium.launch(executable_path=browser)
        page = window.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(url)
        page.screenshot(path=file)
        window.close()


if __name__ == "__main__":
    sys.exit(main())
