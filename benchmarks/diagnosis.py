"""How soon people read what is wrong.

Faults are tried on the local stack, and a meeting of each outcome is explained. Each command runs as a process of
its own, as at a prompt; a time is from its start, or from the event, to the line with the right sentence.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from local.simulator.faults.responses import Fault
from local.simulator.tenant.orders import NewMeeting, NewSession
from local.stack.program import Log
from shared.ledger.record import Result
from tests.support.command_line import command, environment, told
from tests.support.front import Front, eventually, hurried
from tests.support.measured import Page, machine

NOBODY = "c0ffee00-0000-4000-8000-000000000003"
SIGNED_OUT = "ERROR: Please run 'az login' to setup account."
MOST = 150.0  # seconds for one line of the table
FAULTS = (
    "Fault",
    "Command",
    "First right sentence",
    "After, s",
    "Start alone, s",
    "Whole command, s",
    "Exit code",
)
OUTCOMES = ("Outcome", "Step", "Now", "Next", "Run", "s")

HEAD = """
Each fault was made on the local stack, and the command run as a process of its own. *After* is the time until the first
line with the right sentence, *whole command* until its end. *Start alone* is that of the same program for `--version`,
just before; the machine did other things too, so compare with that. Exit code 3 is a problem, 4 is not signed in. `az`
is a stand-in that says what the Azure CLI says.
"""


@dataclass(frozen=True)
class Heard:
    """A command, and when it said the right sentence.

    The line, seconds until it and until the end, and the exit code. `start` are the seconds that the program took
    before, for nothing but its version.
    """

    arguments: tuple[str, ...]
    line: str
    start: float
    first: float
    whole: float
    code: int

    def row(self, fault: str, since: float = 0.0) -> tuple[str, ...]:
        """Return the row of the table.

        `since` are seconds that had passed before the command began.
        """
        name = f"`attendance {' '.join(self.arguments)}`"
        return (
            fault,
            name,
            self.line,
            f"{since + self.first:.1f}",
            f"{self.start:.1f}",
            f"{self.whole:.1f}",
            str(self.code),
        )


def hear(front: Front, arguments: Sequence[str], sentence: str, **more: str) -> Heard:
    """Run a command, and note when the line with this sentence comes."""
    began = time.monotonic()
    subprocess.run(command("--version"), env=environment(front), stdout=subprocess.DEVNULL, check=True)
    start = time.monotonic() - began
    began, line, first = time.monotonic(), "", 0.0
    with subprocess.Popen(
        command(*arguments),
        env=environment(front, PYTHONUNBUFFERED="1", **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        for each in process.stdout:
            if sentence in each and not line:
                line, first = " ".join(each.split()), time.monotonic() - began
        code = process.wait(MOST)
    whole = time.monotonic() - began
    return Heard(tuple(arguments), line or f"**not said: {sentence}**", start, first, whole, code)


def hear_until(front: Front, arguments: Sequence[str], sentence: str) -> tuple[Heard, float]:
    """Run a command again and again until it says this.

    Return also the seconds before the last one began.
    """
    began = time.monotonic()
    while True:
        since = time.monotonic() - began
        heard = hear(front, arguments, sentence)
        if heard.first or since > MOST:
            return heard, since
        time.sleep(0.5)


def _shown(text: str, most: int = 150) -> str:
    """A sentence in a cell of a table, cut at a word."""
    text = text.replace("|", "\\|")
    return text if len(text) <= most else f"{text[:most].rsplit(' ', 1)[0]} …"


# The faults


def try_faults(front: Front) -> Iterator[tuple[str, ...]]:
    """Try each fault, and yield its rows."""
    for tried in (
        _sign_in,
        _wrong_setting,
        _wrong_setting_of_the_app,
        _storage,
        _graph,
        _host,
        _denied,
        _forged,
    ):
        print(f"{tried.__name__.strip('_').replace('_', ' ')} ...", file=sys.stderr)
        for fault, *cells in tried(front):
            yield fault, cells[0], _shown(cells[1]), *cells[2:]


def _sign_in(front: Front) -> Iterator[tuple[str, ...]]:
    nobody = {"IDENTITY_ENDPOINT": ""}
    with tempfile.TemporaryDirectory() as empty, tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "az"
        program.write_text(f'#!/bin/sh\necho "{SIGNED_OUT}" >&2\nexit 1\n')
        program.chmod(0o755)
        for name in ("status", "doctor"):
            yield hear(front, [name], "Sign in: az login", PATH=folder, **nobody).row("not signed in")
            yield hear(front, [name], "az is not installed", PATH=empty, **nobody).row("no `az`")


def _wrong_setting(front: Front) -> Iterator[tuple[str, ...]]:
    for name in ("status", "doctor"):
        heard = hear(front, [name], "App setting SIGNALS is 'bogus'; allowed:", SIGNALS="bogus")
        yield heard.row("a wrong setting")


def _wrong_setting_of_the_app(front: Front) -> Iterator[tuple[str, ...]]:
    front.stack.restart_functions({"SIGNALS": "bogus"})
    began = time.monotonic()
    try:
        answer = requests.get(f"{front.url}/health", timeout=60)
    finally:
        taken = time.monotonic() - began
        front.stack.restart_functions()
    line = answer.json()["problems"][0]
    seconds = f"{taken:.1f}"
    yield (
        "a wrong setting in the app",
        "the health page",
        line,
        seconds,
        "",
        seconds,
        f"HTTP {answer.status_code}",
    )


def _storage(front: Front) -> Iterator[tuple[str, ...]]:
    os.kill(front.stack.azurite.pid, signal.SIGSTOP)
    try:
        for name in ("status", "doctor"):
            yield hear(front, [name], "Storage does not answer").row("storage hangs")
    finally:
        os.kill(front.stack.azurite.pid, signal.SIGCONT)
    closed = dict.fromkeys(
        (
            "AttendanceStorage__blobServiceUri",
            "AzureWebJobsStorage__blobServiceUri",
            "AzureWebJobsStorage__queueServiceUri",
        ),
        "https://127.0.0.1:9/x",
    )
    for name in ("status", "doctor"):
        yield hear(front, [name], "Storage does not answer", **closed).row("storage is stopped")


def _graph(front: Front) -> Iterator[tuple[str, ...]]:
    for fault, action in (("Graph hangs", "hang"), ("Graph resets connections", "reset")):
        front.control.add_fault(Fault(".", action=action, times=-1))  # type: ignore[arg-type]
        try:
            heard = hear(front, ["doctor"], "The list of subscriptions cannot be read")
        finally:
            front.control.clear_faults()
        yield heard.row(fault)


def _host(front: Front) -> Iterator[tuple[str, ...]]:
    front.stack.functions.stop()
    try:
        yield hear(front, ["doctor"], "The app seems not to run").row("the functions host is dead")
    finally:
        front.stack.restart_functions()


def _denied(front: Front) -> Iterator[tuple[str, ...]]:
    made = front.session(NewMeeting(denied=True))
    front.notify(made.call_id)
    heard, since = hear_until(front, ["status"], "It is asked once more at")
    yield heard.row("an organizer is denied, since the announcement", since)
    yield hear(front, ["explain", made.call_id], "Graph refuses access (403) so far.").row(
        "the same, explained"
    )


def _forged(front: Front) -> Iterator[tuple[str, ...]]:
    item = front.item(NOBODY, clientState="x" * 40)
    assert front.post(item | {"subscriptionId": NOBODY}).status_code == 202
    heard, since = hear_until(front, ["status"], "with a wrong clientState since")
    yield heard.row("a client state is forged, since the POST", since)


# The outcomes


def explain_outcomes(front: Front) -> Iterator[tuple[str, ...]]:
    """Make a meeting of each outcome, explain it, and yield its row."""
    made = _settled(front)
    assert set(made) == set(Result), set(Result) - set(made)
    for result, call_id in sorted(made.items()):
        yield _explained(front, result, call_id)
    for name, text in (("unknown: a link", _link()), ("unknown: a subject", "Nobody's meeting")):
        began = time.monotonic()
        answer = told(front, "explain", text, code=1)
        seconds = time.monotonic() - began
        possible = answer["unknown"]
        first = _shown(possible[0]["says"])
        run = f"`{possible[0]['run']}`" if possible[0]["run"] else ""
        yield name, "-", f"{len(possible)} possibilities; the first: {first}", "", run, f"{seconds:.1f}"


def _explained(front: Front, result: str, call_id: str) -> tuple[str, ...]:
    began = time.monotonic()
    (each,) = told(front, "explain", call_id)["meetings"]
    seconds = time.monotonic() - began
    assert each["outcome"] == result, each
    run = "; ".join(f"`{_shown(line, 70)}`" for line in each["run"])
    return result, each["step"], _shown(each["state"]), _shown(each["next"]), run, f"{seconds:.1f}"


def _link() -> str:
    return "https://teams.microsoft.com/meet/2999999999999?p=nobody"


def _settled(front: Front) -> dict[str, str]:
    """A call of each outcome, in three settings of the app."""
    made: dict[str, str] = {}

    def settle(result: Result, call_id: str) -> None:
        front.notify(call_id)
        front.outcome(call_id, result)
        made[result] = call_id

    settle(Result.STORED, front.session().call_id)
    settle(Result.NOT_SUPPORTED, front.session(NewMeeting("personal")).call_id)
    settle(Result.EXTERNAL_ORGANIZER, front.session(NewMeeting(tenant=NOBODY)).call_id)
    settle(Result.NOT_A_MEETING, _call(front, NewSession(type="peerToPeer", announce=False)))
    with _restarted(front, {"RETRY_WINDOW": "3"}):
        settle(Result.NO_REPORT, front.session(no_report=True).call_id)
        settle(Result.ACCESS_DENIED, front.session(NewMeeting(denied=True)).call_id)
        meeting = front.control.add_meeting()
        call_id = _call(front, NewSession(meeting.meeting_id, announce=False))
        front.control.delete_user(meeting.organizer_id)
        settle(Result.NOT_FOUND, call_id)
        call_id = front.session().call_id
        front.control.add_fault(Fault(call_id, status=500, times=-1))
        settle(Result.FAILED, call_id)
        front.control.clear_faults()
    with _restarted(front, {"ORGANIZERS": NOBODY}):
        settle(Result.OUT_OF_SCOPE, front.session().call_id)
    settle(Result.PENDING, front.session(report_delay=3_600).call_id)
    return made


def _call(front: Front, order: NewSession) -> str:
    return front.control.add_session(order).call_id


@contextmanager
def _restarted(front: Front, settings: Mapping[str, str]) -> Iterator[None]:
    front.stack.restart_functions(settings)
    try:
        yield
    finally:
        front.stack.restart_functions()


def follow(front: Front) -> tuple[list[str], float]:
    """Follow a meeting live, from unknown to its report.

    Return the lines, and the seconds from its report to the last one.
    """
    meeting = front.control.add_meeting()
    made = front.control.add_session(NewSession(meeting.meeting_id, report_delay=3_600, announce=False))
    with subprocess.Popen(
        command("explain", meeting.join_web_url, "--wait", "--timeout", "120"),
        env=environment(front, PYTHONUNBUFFERED="1"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        time.sleep(2)
        front.notify(made.call_id)
        assert process.stderr
        lines = [process.stderr.readline()]
        front.control.change_session(made.call_id, reportDelay=0)
        stored: Callable[[], object] = lambda: front.outcomes(made.call_id)[0]["outcome"] == "stored"  # noqa: E731
        eventually(stored, "the report")
        began = time.monotonic()
        lines += process.stderr.readlines()
        assert process.wait(MOST) == 0, lines
    return [each.rstrip() for each in lines], time.monotonic() - began


def page(front: Front) -> Page:
    """Try everything."""
    front.subscribe()
    made = Page("Diagnosis", f"`make diagnosis`. {machine()}")
    made.text(HEAD.strip())
    made.text("## Faults")
    made.table(FAULTS, list(try_faults(front)))
    made.text("## Meetings explained")
    made.text(
        "`attendance explain` of a call of each outcome, with `--json`, and of meetings that nobody knows:"
    )
    print("outcomes ...", file=sys.stderr)
    made.table(OUTCOMES, list(explain_outcomes(front)))
    lines, seconds = follow(front)
    made.text("## A meeting followed")
    made.text(
        f"`attendance explain LINK --wait` of a meeting that was not known yet. It ended {seconds:.1f} s after the "
        "outcome was `stored`:"
    )
    made.text("```\n" + "\n".join(lines) + "\n```")
    return made


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.diagnosis", description=__doc__)
    parser.add_argument("--page", type=Path, metavar="FOLDER", help="write the page here")
    parser.add_argument("--log", type=Path, metavar="FILE", help="keep the stack's log")
    options = parser.parse_args()
    log = os.open(options.log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with tempfile.TemporaryDirectory() as folder, hurried(Path(folder), Log(log), {}) as stack:
        print(page(Front(stack)).written(options.page, "diagnosis"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
