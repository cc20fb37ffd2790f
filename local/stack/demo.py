"""`make demo`: a dozen meetings end, and their reports arrive in Blob storage.

Runs the whole local stack in a temporary folder: the app subscribes itself, the simulated Graph announces the
meetings, and what lies in storage at the end is compared with what Graph has.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import requests
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import ContainerClient
from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from local.simulator.control.client import Control, SessionMade
from local.simulator.faults.responses import Fault
from local.simulator.tenant.orders import NewMeeting, NewSession
from local.stack import compose, history
from local.stack.compose import Stack
from local.stack.program import Log, StartError
from shared.cli.draw.terminal import Drawing
from shared.cli.draw.timeline import parse_timeline
from shared.settings import DELIVERIES, EVENT_GRID, EVENT_HUBS, WEBHOOK

SECONDS_TO_SETTLE = 90.0
SECONDS_TO_SUBSCRIBE = 30.0
SECONDS_TO_SEAL = 90.0
SECONDS_BETWEEN_LOOKS = 0.5
SETTINGS = {"RETRY_FIRST_DELAY": "2"}
VALIDATION = {
    WEBHOOK: "Graph validates the two webhooks",
    EVENT_HUBS: "Graph sends a validation message to the event hub",
    EVENT_GRID: "Graph creates its partner topic",
}
FOREIGN_TENANT = "0f0e0d0c-0b0a-4908-8706-050403020100"
CROWD = 1_200
WIDTH = 75  # columns
LONGEST_TEXT = 48  # of a manifest, which names files by hashes
NEXT = """
Next: keep it running, with a month of meetings to look at:

  make up

and in another terminal:

  make cli
  .venv/bin/attendance --local status
  .venv/bin/attendance --local reports list"""


@dataclass(frozen=True)
class Case:
    """A call that has ended: its speciality, its ids, and the expected outcome."""

    what: str
    made: SessionMade
    expected: str = "stored"

    @property
    def signal_id(self) -> str:
        """The signal's id, which names its outcome."""
        return f"cr-{self.made.call_id}"


def main(arguments: Sequence[str]) -> int:
    """Run the demo; return 0 if every outcome is as expected."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--delivery", choices=DELIVERIES, default=WEBHOOK, help="how Graph delivers")
    delivery = parser.parse_args(arguments).delivery
    console = Console(highlight=False)
    console.width = min(console.width, WIDTH)
    with tempfile.TemporaryDirectory(prefix="attendance-demo-") as folder, _log(Path(folder)) as (log, file):
        try:
            return _run(console, log, delivery)
        except (StartError, TimeoutError, requests.RequestException) as failure:
            console.print(f"[red]The demo failed:[/] {failure}\n\nLast lines of the log:")
            console.print("\n".join(file.read_text().splitlines()[-40:]), markup=False)
            return 1


def _run(console: Console, log: Log, delivery: str) -> int:
    began = time.monotonic()
    console.print("Starting storage, identity, a simulated Graph and the Functions host …")
    with compose.up(settings=SETTINGS | {"DELIVERY": delivery}, log=log) as running:
        control = Control(running.graph)
        container = running.blob_service().get_container_client(running.container)
        console.print(f"The app creates its subscription; {VALIDATION[delivery]} …")
        _subscribe(running, control)
        console.print("A dozen meetings end; Graph does not announce one of them …\n")
        cases = _end_meetings(control)
        history.run_now(running.functions.url, "sweep")
        _watch(console, container, cases)
        console.print("The sweep runs again, and seals past days …\n")
        manifest = _sealed(running, container)
        found = _outcomes(container)
        _show(console, container, cases, found)
        console.print(f"\n[bold]One day, sealed[/]\n{manifest}")
        console.print_json(json.dumps(_shortened(json.loads(container.download_blob(manifest).readall()))))
        console.print("\n[bold]One meeting[/], as `attendance reports show` draws it")
        console.print(_timeline(container, found[cases[0].signal_id]["reports"][0]["path"]))
        problems = _problems(control, container, cases, found)
    for problem in problems:
        console.print(f"[red]{problem}[/]")
    if not problems:
        console.print(
            f"\n[green]Every report equals Graph's, property for property.[/]\n"
            f"That took {time.monotonic() - began:.0f} s; everything has been stopped."
        )
        console.print(NEXT, markup=False)
    return 1 if problems else 0


def _shortened(value: Any) -> Any:
    """Cut the long texts of JSON, such as hashes and paths."""
    if isinstance(value, dict):
        return {name: _shortened(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_shortened(each) for each in value]
    return f"{value[:LONGEST_TEXT]}…" if isinstance(value, str) and len(value) > LONGEST_TEXT else value


@contextmanager
def _log(folder: Path) -> Iterator[tuple[Log, Path]]:
    file = folder / "stack.log"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        yield Log(descriptor), file
    finally:
        os.close(descriptor)


def _subscribe(running: Stack, control: Control) -> None:
    history.run_now(running.functions.url, "maintain_subscriptions")
    deadline = time.monotonic() + SECONDS_TO_SUBSCRIBE
    while not control.subscriptions():
        if time.monotonic() > deadline:
            raise TimeoutError("the app did not subscribe")
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _sealed(running: Stack, container: ContainerClient) -> str:
    """The manifest of a complete day, that of last week's session."""
    day = (datetime.now(UTC) - timedelta(weeks=1)).date()
    name = f"manifests/date={day}/manifest.json"
    deadline = time.monotonic() + SECONDS_TO_SEAL
    history.run_now(running.functions.url, "sweep")
    while not _is_complete(container, name):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{day} was not sealed")
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return name


def _is_complete(container: ContainerClient, manifest: str) -> bool:
    try:
        content = json.loads(container.download_blob(manifest).readall())
    except ResourceNotFoundError:
        return False
    return bool(content["complete"] and content["reports"])


def _end_meetings(control: Control) -> list[Case]:
    now = datetime.now(UTC)

    def ended(what: str, meeting: NewMeeting, session: NewSession, expected: str = "stored") -> Case:
        meeting_id = control.add_meeting(meeting).meeting_id
        return Case(what, control.add_session(_of(session, meeting_id)), expected)

    series = control.add_meeting(NewMeeting("recurring")).meeting_id
    for weeks in (2, 1):  # nobody announced the sessions of the weeks before; the sweep finds them
        end = now - timedelta(weeks=weeks)
        control.add_session(NewSession(series, start=end - timedelta(hours=1), end=end, announce=False))
    answered_wrongly = ended("first answer: 200 with an error", NewMeeting(), NewSession(participants=3))
    error = {"error": {"code": "UnknownError", "message": ""}}
    control.add_fault(Fault(f"callRecords/{answered_wrongly.made.call_id}", status=200, body=error))
    restarted = control.add_meeting().meeting_id
    first_end = now - timedelta(minutes=40)
    return [
        ended("a scheduled meeting", NewMeeting(), NewSession(participants=5)),
        Case("a recurring one, third week", control.add_session(NewSession(series, participants=8))),
        ended(f"{CROWD:,} people, on many pages", NewMeeting(), NewSession(participants=CROWD)),
        ended("its report comes late", NewMeeting(), NewSession(participants=4, report_delay=6)),
        Case(
            "restarted: before the break",
            control.add_session(
                NewSession(restarted, start=first_end - timedelta(minutes=30), end=first_end, participants=6)
            ),
        ),
        Case(
            "restarted: five minutes later",
            control.add_session(
                NewSession(restarted, start=first_end + timedelta(minutes=5), end=now, report_delay=4)
            ),
        ),
        ended("a channel meeting", NewMeeting("channel"), NewSession(participants=7)),
        ended("a short join link", NewMeeting("short"), NewSession(participants=2)),
        ended("announced three times", NewMeeting(), NewSession(announce=3)),
        ended(
            "its call record is revised",
            NewMeeting(),
            NewSession(participants=3, first_version_lacks=("joinWebUrl", "type"), revised_after=6),
        ),
        answered_wrongly,
        ended("never announced", NewMeeting(), NewSession(announce=False)),
        Case(
            "a peer-to-peer call", control.add_session(NewSession(type="peerToPeer", participants=2)), "notAMeeting"
        ),
        ended("organized by another tenant", NewMeeting(tenant=FOREIGN_TENANT), NewSession(), "externalOrganizer"),
        ended("no access policy: retried later", NewMeeting(denied=True), NewSession(), "pending"),
    ]  # fmt: skip


def _of(session: NewSession, meeting_id: str) -> NewSession:
    return NewSession(**{**vars(session), "meeting_id": meeting_id})


def _outcomes(container: ContainerClient) -> dict[str, dict[str, Any]]:
    """Every outcome, by signal id."""
    names = container.list_blob_names(name_starts_with="outcomes/")
    found = [json.loads(container.download_blob(name).readall()) for name in names]
    return {outcome["signalId"]: outcome for outcome in found}


def _watch(console: Console, container: ContainerClient, cases: list[Case]) -> None:
    """Show the outcomes until each is as expected."""
    deadline = time.monotonic() + SECONDS_TO_SETTLE
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            found = _outcomes(container)
            live.update(_table(cases, found), refresh=True)
            if all(_result(case, found) == case.expected for case in cases):
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"not every outcome is as expected after {SECONDS_TO_SETTLE:.0f} s")
            time.sleep(SECONDS_BETWEEN_LOOKS)


def _result(case: Case, found: dict[str, dict[str, Any]]) -> str:
    return str(found.get(case.signal_id, {}).get("outcome", "…"))


def _table(cases: list[Case], found: dict[str, dict[str, Any]]) -> Table:
    table = Table(
        title="Outcomes",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    for column in ("Meeting", "Outcome", "Attempts", "Reports"):
        table.add_column(column, no_wrap=True)
    colours = {"stored": "green", "pending": "yellow", "…": "dim"}
    for case in cases:
        outcome, result = found.get(case.signal_id, {}), _result(case, found)
        table.add_row(
            case.what,
            f"[{colours.get(result, 'cyan')}]{result}[/]",
            str(outcome.get("attempt", "")),
            str(len(outcome.get("reports", [])) or ""),
        )
    return table


def _show(
    console: Console, container: ContainerClient, cases: list[Case], found: dict[str, dict[str, Any]]
) -> None:
    console.print("[bold]The container attendance[/], one blob of each kind")
    names = list(container.list_blob_names())
    for _, examples in groupby(names, lambda name: name.partition("/")[0]):
        first, *others = examples
        console.print(f"{1 + len(others):4}  {first}")
    example = found[cases[0].signal_id]["reports"][0]["path"]
    report = _plain(json.loads(container.download_blob(example).readall()))
    first, *others = report["attendanceRecords"]
    console.print(f"\n[bold]One report[/] (its blob is one line; annotations are left out here)\n{example}")
    console.print_json(json.dumps({**report, "attendanceRecords": [first]}))
    console.print(f"… and {len(others)} more attendance records.\n", style="dim")
    console.print(_table(cases, found))


def _problems(
    control: Control, container: ContainerClient, cases: list[Case], found: dict[str, dict[str, Any]]
) -> list[str]:
    """The differences between the blobs and Graph's reports."""
    wanted = {case.made.report_id: case.what for case in cases if case.expected == "stored"}
    paths = list(container.list_blob_names(name_starts_with="reports/"))
    stored = Counter(Path(path).stem for path in paths)
    problems = [
        f"The report of {what} is missing." for report_id, what in wanted.items() if not stored[report_id]
    ]
    problems += [
        f"Report {report_id} is stored {times} times." for report_id, times in stored.items() if times > 1
    ]
    for path in paths:
        truth = json.loads(control.true_report(Path(path).stem))
        report = json.loads(container.download_blob(path).readall())
        if _plain(report) != _plain(truth):
            problems.append(f"{path} differs from Graph's report.")
    return problems


def _timeline(container: ContainerClient, report: str) -> Drawing:
    """A meeting as the command line draws it in a terminal."""
    return Drawing(parse_timeline(json.loads(container.download_blob(report).readall())), None)


def _plain(report: dict[str, Any]) -> dict[str, Any]:
    """A report without annotations, which depend on the request."""
    return {name: value for name, value in report.items() if "@odata." not in name}
