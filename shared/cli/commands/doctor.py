"""`doctor`: check everything that must work, here and in the app, with remedies."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Annotated

import typer
from azure.core.exceptions import AzureError
from rich.text import Text

from ... import settings
from ...errors import SettingError, WrongUsage
from ...health import diagnosis, findings, self_check
from ...health.diagnosis import HealthReport
from ...health.findings import Finding, Severity
from ...health.parallel_reads import ParallelReads, ReadFailure, describe_failure
from ...health.readings import Readings
from ...messages import tasks
from ...messages.tasks import MAX_ORGANIZERS, Examine, Task
from ...settings import GUID, WEBHOOK
from ...storage.clients import UPKEEP_QUEUE, Queue
from ...storage.state import StateBlob
from ...subscriptions.handshake import check_handshake
from .. import output
from ..output import UNWELL, report_errors
from ..session import OutputFormat, Session, current
from .status import collect_report

SECONDS = 17  # for all checks together
HANDSHAKE_SECONDS = 12.0
_COLOURS = {
    Severity.OK: "green",
    Severity.WARNING: "yellow",
    Severity.PROBLEM: "bold red",
    Severity.UNKNOWN: "yellow",
}
_REFERENCE = "@Microsoft.KeyVault("
_PLACEHOLDER = secrets.token_urlsafe(32)  # for a secret that this machine cannot read and does not need


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    organizer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="Object id of an organizer whose access is checked; may be given several times.",
        ),
    ] = None,
    wait: Annotated[
        int, typer.Option(metavar="SECONDS", help="Seconds after which the app counts as silent.", min=1)
    ] = SECONDS,
) -> None:
    """Check settings, sign-in, roles, endpoint, queue and the app's Graph permissions.

    A task through the queue asks the app itself, whose rights differ from yours. One cause is one finding: what follows
    from it is not listed. Ends with 3 when there is a problem.
    """
    organizers = tuple(each.lower() for each in organizer or ())
    with report_errors():
        if len(organizers) > MAX_ORGANIZERS or not all(GUID.match(each) for each in organizers):
            raise WrongUsage(f"--organizer takes object ids (GUIDs), at most {MAX_ORGANIZERS}.")
        results: list[Finding] = []
        for each in check_all(current(), organizers, time.monotonic() + wait):
            results.append(each)
            if current().format is OutputFormat.TABLE:
                _print_finding(each)
        if current().format is not OutputFormat.TABLE:
            output.print_rows([findings.finding_json(each) for each in results])
    if any(each.severity is Severity.PROBLEM for each in results):
        raise typer.Exit(UNWELL)


def check_all(session: Session, organizers: tuple[str, ...], deadline: float) -> Iterator[Finding]:
    """Yield the findings until `deadline` (monotonic); the app's own come last."""
    yield _check_settings(session)
    try:
        is_webhook = session.settings.delivery == WEBHOOK  # else only the app knows about the hub or topic
        base = session.settings.notification_base_url if is_webhook else ""
    except SettingError:
        yield findings.not_checked()
        return
    _ = session.health_sources  # signs in
    with ParallelReads() as reads:
        handshake = reads.start(lambda: check_handshake(base, HANDSHAKE_SECONDS) if base else "")
        health = collect_report(session)
        if health.readings is None:
            return
        storage = list(_check_storage(session, health.readings))
        yield from storage
        if any(each.severity is Severity.PROBLEM for each in storage):
            yield findings.not_checked()
            return
        yield from _check_health(health, health.readings)
        began = time.monotonic()
        answer = _ask_app(session, organizers, deadline)
        tried = reads.result(handshake, HANDSHAKE_SECONDS)
        closed = tried.reason if isinstance(tried, ReadFailure) else tried
        seconds = time.monotonic() - began
        if answer is None and closed:
            answered = [findings.app_down(closed, seconds)]
        else:
            endpoint = _judge_endpoint(health, closed) if base else findings.endpoint_unknown()
            answered = [*([endpoint] if is_webhook else []), *_parse_answer(answer, seconds)]
        told = {*health.problems, *health.diagnosis.warnings}
        yield from (each for each in answered if each.text not in told)
        yield from _check_access(health.readings, {each.check for each in answered})


def _check_settings(session: Session) -> Finding:
    environ = dict(session.environ)
    for name in ("CLIENT_STATE", "CLIENT_STATE_PREVIOUS"):
        if environ.get(name, "").startswith(_REFERENCE) or (name == "CLIENT_STATE" and name not in environ):
            environ[name] = _PLACEHOLDER
    try:
        _ = session.settings
        settings.load(environ)
    except SettingError as failure:
        return findings.settings(str(failure))
    return findings.settings()


def _check_storage(session: Session, readings: Readings) -> Iterator[Finding]:
    """Yield a finding for each container or queue that cannot be read.

    If there is none, one that says so.
    """
    unread = diagnosis.storage_findings(readings, session.settings, as_operator=True)
    yield from unread
    if not unread:
        yield from (findings.may_read(f"container {name}") for name in readings.containers)
        yield from (findings.may_read(f"queue {name}") for name in readings.queues)


def _check_health(health: HealthReport, readings: Readings) -> Iterator[Finding]:
    """Yield the findings of the health page.

    Without those about organizers' access: see `_check_access`.
    """
    for problem in health.problems:
        yield Finding("status", Severity.PROBLEM, problem)
    for warning in health.diagnosis.warnings:
        if warning not in diagnosis.denied_warnings(readings):
            yield Finding("status", Severity.WARNING, warning)


def _check_access(readings: Readings, checked: set[str]) -> Iterator[Finding]:
    """Yield the organizers without access that the app has not checked just now."""
    for each in readings.denied.organizers:
        denied = findings.organizer_denied(each.id, each.since, each.remedy, each.retry_at)
        if f"app: {denied.check}" not in checked:
            yield denied


def _judge_endpoint(health: HealthReport, closed: str) -> Finding:
    if not closed:
        return findings.endpoint_open("this machine")
    views, run = (
        health.diagnosis.subscriptions or (),
        health.readings.maintenance if health.readings else None,
    )
    return findings.closed_to("this machine", closed, accepted=findings.is_accepted_by_graph(views, run))


def _ask_app(session: Session, organizers: tuple[str, ...], deadline: float) -> StateBlob | Finding | None:
    """Send a task through the queue and return the app's answer.

    None if there is none until `deadline`.
    """
    identifier, sources = secrets.token_hex(16), session.health_sources
    queue, name = Queue(sources.queues, UPKEEP_QUEUE), self_check.findings_name(identifier)
    try:
        queue.send(tasks.serialize_task(Task(Examine(identifier, organizers))))
    except AzureError as failure:
        return findings.may_not_send(describe_failure(failure))
    left = max(0.0, deadline - time.monotonic())
    answer = output.wait_for(lambda: sources.state.read(name), "The app runs its checks …", left)
    if answer:
        try:
            sources.state.remove(name)
        except AzureError:
            return answer  # the operator may lack the right to delete it; it holds no secret
    return answer


def _parse_answer(answer: StateBlob | Finding | None, seconds: float) -> Iterator[Finding]:
    """Yield the app's findings, or why there are none."""
    if answer is None:
        yield findings.app_silent(seconds)
        return
    if isinstance(answer, Finding):
        yield answer
        return
    yield findings.app_answered(output.single_line(answer.content.get("version")))
    for each in answer.content.get("findings", []):
        severity = Severity(each.get("state"))
        yield Finding(f"app: {each.get('check')}", severity, each.get("says", ""), each.get("cure", ""))


def _print_finding(finding: Finding) -> None:
    console = output.stdout()
    line = Text(f"{finding.severity:8}", _COLOURS[finding.severity])
    console.print(
        line.append(f"{output.single_line(finding.check)}: {output.single_line(finding.message)}", "default")
    )
    if finding.remedy and finding.severity is not Severity.OK:
        console.print(Text(f"        {output.single_line(finding.remedy)}", "dim"))
