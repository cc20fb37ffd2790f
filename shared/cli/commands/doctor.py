"""`doctor`: check everything that must work, here and in the app, with remedies."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated

import typer
from azure.core.exceptions import AzureError, HttpResponseError
from azure.storage.blob import ContainerClient
from rich.text import Text

from ... import settings
from ...errors import AttendanceError, SettingError
from ...health import findings, self_check
from ...health.findings import Finding, Severity
from ...messages import tasks
from ...messages.tasks import MAX_ORGANIZERS, Examine, Task
from ...settings import GUID, WEBHOOK
from ...subscriptions.handshake import check_handshake
from .. import output
from ..output import UNWELL, report_errors
from ..session import Session, current
from .status import collect_report

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
        typer.Option(help="Object id of an organizer whose access is checked; may be given several times."),
    ] = None,
    wait: Annotated[int, typer.Option(help="Seconds to wait for the app's answer.", min=1)] = 120,
) -> None:
    """Check settings, sign-in, roles, endpoint, queue and the app's Graph permissions.

    A task through the queue asks the app itself, whose rights differ from yours. Ends with 3 when there is a problem.
    """
    organizers = tuple(each.lower() for each in organizer or ())
    with report_errors():
        if len(organizers) > MAX_ORGANIZERS or not all(GUID.match(each) for each in organizers):
            raise AttendanceError(f"--organizer takes object ids (GUIDs), at most {MAX_ORGANIZERS}.")
        results: list[Finding] = []
        for each in check_all(current(), organizers, wait):
            results.append(each)
            if not current().as_json:
                _print_finding(each)
        if current().as_json:
            output.print_json([findings.finding_json(each) for each in results])
    if any(each.severity is Severity.PROBLEM for each in results):
        raise typer.Exit(UNWELL)


def check_all(session: Session, organizers: tuple[str, ...], seconds: float) -> Iterator[Finding]:
    """Yield the findings of one check after another; the app's own come last."""
    yield _check_settings(session)
    try:
        _ = session.settings
    except SettingError:
        yield findings.setting_first()
        return
    roles = list(_check_roles(session))
    yield from roles
    if any(each.severity is Severity.PROBLEM for each in roles):
        yield from _check_endpoint(session, accepted=False)
        yield findings.app_not_asked()
        return
    health = collect_report(session)
    readings, views = health.readings, health.diagnosis.subscriptions or ()
    run = readings.maintenance if readings else None
    yield from _check_endpoint(session, accepted=findings.is_accepted_by_graph(views, run))
    for problem in health.problems:
        yield Finding("status", Severity.PROBLEM, problem)
    for warning in health.diagnosis.warnings:
        yield Finding("status", Severity.WARNING, warning)
    for each in readings.denied.organizers if readings else ():
        yield findings.organizer_denied(each.id, each.remedy)
    yield from _check_app(session, organizers, seconds)


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


def _check_roles(session: Session) -> Iterator[Finding]:
    """Check whether the operator may read the containers and the queues."""

    def first(container: ContainerClient) -> None:
        next(iter(container.list_blob_names(results_per_page=1)), None)

    for container in (session.container, session.state_container):
        check = f"container {container.container_name}"
        yield _check_access(check, partial(first, container), "Storage Blob Data Reader")
    for queue in ("upkeep", "meeting-signals"):
        client = session.queues.get_queue_client(queue)
        yield _check_access(f"queue {queue}", client.get_queue_properties, "Storage Queue Data Reader")


def _check_access(check: str, read: Callable[[], object], role: str) -> Finding:
    try:
        read()
    except HttpResponseError as failure:
        refused = failure.status_code in (401, 403)
        return findings.not_allowed(check, output.error_code(failure), role, refused=refused)
    except AzureError as failure:
        return findings.not_reached(check, output.error_code(failure))
    return findings.may_read(check)


def _check_endpoint(session: Session, *, accepted: bool) -> Iterator[Finding]:
    base = session.settings.notification_base_url
    if session.settings.delivery != WEBHOOK:
        return  # nothing is public: the app itself says what it knows of the hub or topic
    if not base:
        yield findings.endpoint_unknown()
    elif problem := check_handshake(base):
        yield findings.closed_to("this machine", problem, accepted=accepted)
    else:
        yield findings.endpoint_open("this machine")


def _check_app(session: Session, organizers: tuple[str, ...], seconds: float) -> Iterator[Finding]:
    """Send a task through the queue, and yield the app's findings."""
    identifier = secrets.token_hex(16)
    text = tasks.serialize_task(Task(Examine(identifier, organizers)))
    access = _check_access(
        "queue upkeep", lambda: session.upkeep.send(text), "Storage Queue Data Message Sender"
    )
    if access.severity is not Severity.OK:
        yield access
        return
    name = self_check.findings_name(identifier)
    entry = output.wait_for(lambda: session.state.read(name), "The app runs its checks …", seconds)
    if entry is None:
        yield findings.app_silent(seconds)
        return
    yield findings.app_answered(output.single_line(entry.content.get("version")))
    for each in entry.content.get("findings", []):
        severity = Severity(each.get("state"))
        yield Finding(f"app: {each.get('check')}", severity, each.get("says", ""), each.get("cure", ""))
    try:
        session.state.remove(name)
    except AzureError:
        return  # the operator may lack the right to delete it; it holds no secret


def _print_finding(finding: Finding) -> None:
    console = output.stdout()
    line = Text(f"{finding.severity:8}", _COLOURS[finding.severity])
    console.print(
        line.append(f"{output.single_line(finding.check)}: {output.single_line(finding.message)}", "default")
    )
    if finding.remedy and finding.severity is not Severity.OK:
        console.print(Text(f"        {output.single_line(finding.remedy)}", "dim"))
