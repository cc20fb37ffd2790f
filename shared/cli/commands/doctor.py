"""`doctor`: looks at everything that must hold, here and in the app, and says how to mend what does not."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

import typer
from azure.core.exceptions import AzureError, HttpResponseError
from azure.storage.blob import ContainerClient
from rich.text import Text

from ... import settings
from ...errors import AttendanceError, SettingError
from ...health import self_check
from ...health.self_check import Finding, State
from ...messages import tasks
from ...messages.tasks import MOST_EXAMINED, Examine, Task
from ...settings import GUID
from ...subscriptions.handshake import handshake
from .. import output
from ..output import UNWELL, told
from ..session import Session, current
from .status import report

_COLOURS = {State.OK: "green", State.WARNING: "yellow", State.PROBLEM: "bold red", State.UNKNOWN: "yellow"}
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
    """Look at settings, sign-in, roles, the endpoint, the queue, and through the app at its Graph permissions.

    A task through the queue asks the app itself: what it may do is not what you may do. Ends with 3 when something is
    not well.
    """
    organizers = tuple(each.lower() for each in organizer or ())
    with told():
        if len(organizers) > MOST_EXAMINED or not all(GUID.match(each) for each in organizers):
            raise AttendanceError(f"--organizer takes object ids (GUIDs), at most {MOST_EXAMINED}.")
        found: list[Finding] = []
        for each in findings(current(), organizers, wait):
            found.append(each)
            if not current().as_json:
                _print(each)
        if current().as_json:
            output.show([asdict(each) for each in found])
    if any(each.state is State.PROBLEM for each in found):
        raise typer.Exit(UNWELL)


def findings(session: Session, organizers: tuple[str, ...], seconds: float) -> Iterator[Finding]:
    """Everything, one after another; the app's own findings last."""
    yield _settings(session)
    try:
        _ = session.settings
    except SettingError:
        yield Finding("app", State.UNKNOWN, "Nothing else can be looked at before that setting is right.")
        return
    roles = list(_roles(session))
    yield from roles
    yield from _endpoint(session)
    if any(each.state is State.PROBLEM for each in roles):
        yield Finding("app", State.UNKNOWN, "Without those roles the app cannot be asked.")
        return
    found = report(session)
    for problem in found.problems:
        yield Finding("status", State.PROBLEM, problem)
    for warning in found.diagnosis.warnings:
        yield Finding("status", State.WARNING, warning)
    for each in found.vitals.denied.organizers if found.vitals else ():
        yield Finding(f"access to {each.id or 'call records'}", State.WARNING, "Graph refused it.", each.cure)
    yield from _of_app(session, organizers, seconds)


def _settings(session: Session) -> Finding:
    environ = dict(session.environ)
    for name in ("CLIENT_STATE", "CLIENT_STATE_PREVIOUS"):
        if environ.get(name, "").startswith(_REFERENCE) or (name == "CLIENT_STATE" and name not in environ):
            environ[name] = _STAND_IN
    try:
        settings.load(environ)
    except SettingError as failure:
        return Finding("settings", State.PROBLEM, str(failure), "README.md has the table of settings.")
    return Finding("settings", State.OK, "All are there and of the right form.")


def _roles(session: Session) -> Iterator[Finding]:
    """Whether the one who asks may read the containers and the queue."""

    def first(container: ContainerClient) -> None:
        next(iter(container.list_blob_names(results_per_page=1)), None)

    for container in (session.container, session.state_container):
        yield _allowed(
            f"container {container.container_name}", partial(first, container), "Storage Blob Data Reader"
        )
    for queue in ("upkeep", "meeting-signals"):
        client = session.queues.get_queue_client(queue)
        yield _allowed(f"queue {queue}", client.get_queue_properties, "Storage Queue Data Reader")


def _allowed(what: str, look: Any, role: str) -> Finding:
    try:
        look()
    except HttpResponseError as failure:
        cure = (
            f"Give your account the role {role} there, and see whether the account's network rules let you in."
            if failure.status_code in (401, 403)
            else "Deploy again, or see whether the settings name the right account."
        )
        return Finding(what, State.PROBLEM, f"It does not let you in ({output.code(failure)}).", cure)
    except AzureError as failure:
        cure = "Sign in with `az login`, and see whether the settings name the right account."
        return Finding(what, State.PROBLEM, f"It cannot be reached ({output.code(failure)}).", cure)
    return Finding(what, State.OK, "You may read it.")


def _endpoint(session: Session) -> Iterator[Finding]:
    base = session.settings.notification_base_url
    if not base:
        yield Finding(
            "endpoint", State.UNKNOWN, "NOTIFICATION_BASE_URL is not set here; the app tries it itself."
        )
        return
    for route in ("notifications", "lifecycle"):
        try:
            handshake(f"{base}/{route}")
        except AttendanceError as failure:
            cure = "Graph needs to reach it from the internet: see whether the app runs and what restricts access."
            yield Finding("endpoint", State.PROBLEM, str(failure), cure)
        else:
            yield Finding("endpoint", State.OK, f"{base}/{route} answers the handshake from here.")


def _of_app(session: Session, organizers: tuple[str, ...], seconds: float) -> Iterator[Finding]:
    """A task through the queue, and what the app found."""
    identifier = secrets.token_hex(16)
    text = tasks.message(Task(Examine(identifier, organizers)))
    sent = _allowed("queue upkeep", lambda: session.upkeep.send(text), "Storage Queue Data Message Sender")
    if sent.state is not State.OK:
        yield sent
        return
    name = self_check.path(identifier)
    entry = output.awaited(lambda: session.state.read(name), "The app looks at what it may …", seconds)
    if entry is None:
        cure = "See in the log whether do_upkeep runs, and whether the app has started at all."
        yield Finding("queue", State.PROBLEM, f"The app has not answered within {seconds:.0f} s.", cure)
        return
    version = output.clean(entry.content.get("version"))
    yield Finding("queue", State.OK, f"The app, version {version}, took a task and answered.")
    for each in entry.content.get("findings", []):
        yield Finding(
            f"app: {each.get('check')}", State(each.get("state")), each.get("says", ""), each.get("cure", "")
        )
    try:
        session.state.remove(name)
    except AzureError:
        return  # who may only read leaves it there; it holds no secret


def _print(finding: Finding) -> None:
    console = output.stdout()
    line = Text(f"{finding.state:8}", _COLOURS[finding.state])
    console.print(line.append(f"{output.clean(finding.check)}: {output.clean(finding.says)}", "default"))
    if finding.cure and finding.state is not State.OK:
        console.print(Text(f"        {output.clean(finding.cure)}", "dim"))
