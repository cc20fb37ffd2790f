"""`doctor`: examines everything that must hold, here and in the app, and names the remedy for what does not."""

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
from ...settings import GUID
from ...subscriptions.handshake import check_handshake
from .. import output
from ..output import UNWELL, told
from ..session import Session, current
from .status import report

_COLOURS = {
    Severity.OK: "green",
    Severity.WARNING: "yellow",
    Severity.PROBLEM: "bold red",
    Severity.UNKNOWN: "yellow",
}
_REFERENCE = "@Microsoft.KeyVault("
_STAND_IN = secrets.token_urlsafe(32)  # for a secret that this machine cannot and need not see


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    organizer: Annotated[
        list[str] | None,
        typer.Option(help="Object id of an organizer whose access is tried; may be given several times."),
    ] = None,
    wait: Annotated[int, typer.Option(help="Seconds to wait for the app's answer.", min=1)] = 120,
) -> None:
    """Examine settings, sign-in, roles, the endpoint, the queue, and through the app its Graph permissions.

    A task through the queue asks the app itself: what it may do is not what you may do. Ends with 3 when something is
    not well.
    """
    organizers = tuple(each.lower() for each in organizer or ())
    with told():
        if len(organizers) > MAX_ORGANIZERS or not all(GUID.match(each) for each in organizers):
            raise AttendanceError(f"--organizer takes object ids (GUIDs), at most {MAX_ORGANIZERS}.")
        found: list[Finding] = []
        for each in examine(current(), organizers, wait):
            found.append(each)
            if not current().as_json:
                _print(each)
        if current().as_json:
            output.show([findings.fields(each) for each in found])
    if any(each.severity is Severity.PROBLEM for each in found):
        raise typer.Exit(UNWELL)


def examine(session: Session, organizers: tuple[str, ...], seconds: float) -> Iterator[Finding]:
    """Everything, one after another; the app's own findings last."""
    yield _settings(session)
    try:
        _ = session.settings
    except SettingError:
        yield findings.setting_first()
        return
    roles = list(_roles(session))
    yield from roles
    if any(each.severity is Severity.PROBLEM for each in roles):
        yield from _endpoint(session, accepted=False)
        yield findings.app_not_asked()
        return
    found = report(session)
    readings, views = found.readings, found.diagnosis.subscriptions or ()
    run = readings.maintenance if readings else None
    yield from _endpoint(session, accepted=findings.is_accepted_by_graph(views, run))
    for problem in found.problems:
        yield Finding("status", Severity.PROBLEM, problem)
    for warning in found.diagnosis.warnings:
        yield Finding("status", Severity.WARNING, warning)
    for each in readings.denied.organizers if readings else ():
        yield findings.denied(each.id, each.cure)
    yield from _of_app(session, organizers, seconds)


def _settings(session: Session) -> Finding:
    environ = dict(session.environ)
    for name in ("CLIENT_STATE", "CLIENT_STATE_PREVIOUS"):
        if environ.get(name, "").startswith(_REFERENCE) or (name == "CLIENT_STATE" and name not in environ):
            environ[name] = _STAND_IN
    try:
        settings.load(environ)
    except SettingError as failure:
        return findings.settings(str(failure))
    return findings.settings()


def _roles(session: Session) -> Iterator[Finding]:
    """Whether the one who asks may read the containers and the queue."""

    def first(container: ContainerClient) -> None:
        next(iter(container.list_blob_names(results_per_page=1)), None)

    for container in (session.container, session.state_container):
        check = f"container {container.container_name}"
        yield _allowed(check, partial(first, container), "Storage Blob Data Reader")
    for queue in ("upkeep", "meeting-signals"):
        client = session.queues.get_queue_client(queue)
        yield _allowed(f"queue {queue}", client.get_queue_properties, "Storage Queue Data Reader")


def _allowed(check: str, look: Callable[[], object], role: str) -> Finding:
    try:
        look()
    except HttpResponseError as failure:
        refused = failure.status_code in (401, 403)
        return findings.not_allowed(check, output.code(failure), role, refused=refused)
    except AzureError as failure:
        return findings.not_reached(check, output.code(failure))
    return findings.may_read(check)


def _endpoint(session: Session, *, accepted: bool) -> Iterator[Finding]:
    base = session.settings.notification_base_url
    if not base:
        yield findings.endpoint_unknown()
    elif problem := check_handshake(base):
        yield findings.closed_to("this machine", problem, accepted=accepted)
    else:
        yield findings.endpoint_open("this machine")


def _of_app(session: Session, organizers: tuple[str, ...], seconds: float) -> Iterator[Finding]:
    """A task through the queue, and what the app found."""
    identifier = secrets.token_hex(16)
    text = tasks.serialize_task(Task(Examine(identifier, organizers)))
    sent = _allowed("queue upkeep", lambda: session.upkeep.send(text), "Storage Queue Data Message Sender")
    if sent.severity is not Severity.OK:
        yield sent
        return
    name = self_check.path(identifier)
    entry = output.awaited(lambda: session.state.read(name), "The app examines itself …", seconds)
    if entry is None:
        yield findings.app_silent(seconds)
        return
    yield findings.app_answered(output.clean(entry.content.get("version")))
    for each in entry.content.get("findings", []):
        severity = Severity(each.get("state"))
        yield Finding(f"app: {each.get('check')}", severity, each.get("says", ""), each.get("cure", ""))
    try:
        session.state.remove(name)
    except AzureError:
        return  # who may only read leaves it there; it holds no secret


def _print(finding: Finding) -> None:
    console = output.stdout()
    line = Text(f"{finding.severity:8}", _COLOURS[finding.severity])
    console.print(line.append(f"{output.clean(finding.check)}: {output.clean(finding.message)}", "default"))
    if finding.remedy and finding.severity is not Severity.OK:
        console.print(Text(f"        {output.clean(finding.remedy)}", "dim"))
