"""What the app may and can do, looked at by the app itself when an operator asks, and put down for him.

An operator's own rights say nothing about those of the app's identity. So `attendance doctor` sends a task through the
queue, which also shows that the queue is worked on, and reads the findings from `doctor/<id>.json`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import jwt
from azure.core.exceptions import AzureError

from .. import __version__, logs, times
from ..errors import AccessDenied, AttendanceError, GraphError, NotFound, Refused
from ..graph.client import Graph, segment
from ..graph.credentials import graph_token
from ..ledger import access
from ..messages.tasks import Examine
from ..services import Services
from ..settings import CALL_EVENTS, CALL_RECORDS, VIRTUAL_EVENTS
from ..storage import blobs
from ..subscriptions import maintain
from ..subscriptions.status import Standing, Watched
from ..times import shown

FOLDER = "doctor/"
NOBODYS_MEETING = "https://teams.microsoft.com/l/meetup-join/doctor"
_OTHERS_ETAG = (
    '"0x0"'  # no blob has it: a write with it changes nothing, and is refused where it may not be made
)
_ALWAYS = frozenset({"OnlineMeetings.Read.All", "OnlineMeetingArtifact.Read.All"})
_NEEDED = {CALL_RECORDS: "CallRecords.Read.All", VIRTUAL_EVENTS: "VirtualEvent.Read.All"}


class State(StrEnum):
    """How a finding is. `unknown`: it could not be looked at."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what, how it is, a sentence, and the cure where it is not well."""

    check: str
    state: State
    says: str
    cure: str = ""


def path(identifier: str) -> str:
    """The name of the blob of state that holds the findings."""
    return f"{FOLDER}{identifier}.json"


def answer(job: Examine, services: Services) -> None:
    """Look at everything, and put down the findings. Raises azure.core errors where they cannot be put down."""
    findings = list(findings_of(services, job.organizers))
    content = {
        "at": times.text(times.now()),
        "version": __version__,
        "findings": [asdict(each) for each in findings],
    }
    services.state.put(path(job.id), content)
    logs.info(
        "doctor.answered", findings=len(findings), unwell=sum(each.state != State.OK for each in findings)
    )


def findings_of(services: Services, organizers: tuple[str, ...] = ()) -> Iterator[Finding]:
    """Each thing that was looked at; nothing that is wrong raises."""
    yield _found("storage", "The app writes to its container.", lambda: _write(services), _ASSIGN_BLOBS)
    yield from _permissions(services)
    yield _found("endpoint", "Both webhooks answer the handshake.", lambda: _handshake(services), _REACH)
    yield from _subscriptions(services)
    if CALL_EVENTS in services.settings.signals:
        yield _found("encryption key", "There is a key for call events.", services.keys.current, _KEY)
    for organizer in sorted({*services.settings.organizers, *organizers}):
        yield _policy(services.graph, services.settings.graph_app_id, organizer)


_ASSIGN_BLOBS = "Make the app's identity Storage Blob Data Contributor on the container, or deploy again."
_REACH = "See whether NOTIFICATION_BASE_URL is the app's public address, and whether an access restriction stops it."
_KEY = "See whether ENCRYPTION_KEY_ID names a key, and make the app's identity Key Vault Crypto User on it."
_GRANT = (
    "Grant it with infra/graph.bicep or infra/grant-permissions.sh. A token keeps the permissions that it was made "
    "with, for up to a day: restart the app when the grant is new."
)


def _found(check: str, well: str, look: Callable[[], Any], cure: str) -> Finding:
    try:
        look()
    except AttendanceError as failure:
        return Finding(check, State.PROBLEM, str(failure), cure)
    except (AzureError, ValueError, OSError) as failure:
        return Finding(check, State.PROBLEM, f"It failed ({_code(failure)}).", cure)
    return Finding(check, State.OK, well)


def _code(failure: Exception) -> str:
    code = getattr(failure, "error_code", None)
    return str(getattr(code, "value", code) or type(failure).__name__)


def _write(services: Services) -> None:
    blobs.put(services.reports, f"{FOLDER}probe", b"", etag=_OTHERS_ETAG)


def _handshake(services: Services) -> None:
    maintain.shake_hands(services.settings)


def _permissions(services: Services) -> Iterator[Finding]:
    """The permissions that the app's own token for Graph names; only its `roles` are looked at."""
    check, settings = "graph permissions", services.settings
    needed = _ALWAYS | {name for signal, name in _NEEDED.items() if signal in settings.signals}
    try:
        claims = jwt.decode(graph_token(settings)(False), options={"verify_signature": False})
    except GraphError as failure:
        cure = "Assign the managed identity to the app, and let AZURE_CLIENT_ID name it."
        yield Finding(check, State.PROBLEM, f"{failure}.", cure)
        return
    except jwt.InvalidTokenError:
        yield Finding(check, State.UNKNOWN, "The app's token for Graph cannot be read.")
        return
    granted = claims.get("roles")
    missing = needed - set(granted if isinstance(granted, list) else ())
    for name in sorted(missing):
        yield Finding(check, State.PROBLEM, f"{name} is missing from the app's token.", _GRANT)
    if not missing:
        yield Finding(check, State.OK, f"The app's token has {', '.join(sorted(needed))}.")


def _subscriptions(services: Services) -> Iterator[Finding]:
    try:
        found = maintain.standings(services)
    except GraphError as failure:
        cure = "CallRecords.Read.All lets it list them; else look again in some minutes."
        yield Finding("subscriptions", State.PROBLEM, f"Graph's list cannot be read ({failure}).", cure)
        return
    for each in found:
        yield _subscription(each)


def _subscription(each: Watched) -> Finding:
    until = f" until {shown(each.expires)}" if each.expires else ""
    says = f"{each.resource}: {each.standing}{until}."
    match each.standing:
        case Standing.ACTIVE:
            return Finding("subscriptions", State.OK, says)
        case Standing.UNWANTED | Standing.ELSEWHERE if each.id:
            cure = f"If nothing else uses it: attendance subscriptions delete {each.id}"
            return Finding("subscriptions", State.WARNING, says, cure)
    cure = "attendance subscriptions renew; if it stays, its output says what Graph objects to."
    return Finding("subscriptions", State.PROBLEM, says, cure)


def _policy(graph: Graph, app_id: str, organizer: str) -> Finding:
    """Asks for a meeting that nobody has: Graph looks at the policy before it looks for the meeting."""
    condition = segment(f"JoinWebUrl eq '{NOBODYS_MEETING}'")
    check = f"access to {organizer}"
    try:
        graph.get(f"users/{segment(organizer)}/onlineMeetings?$filter={condition}", "look for a meeting")
    except AccessDenied as failure:
        return Finding(check, State.PROBLEM, f"{failure}.", access.cure(organizer, app_id))
    except (NotFound, Refused):
        pass  # it was let in
    except GraphError as failure:
        return Finding(check, State.UNKNOWN, f"{failure}.", "Look again in some minutes.")
    return Finding(check, State.OK, "Graph lets the app read this organizer's meetings.")
