"""Self-check: test the app's own rights and connections, and publish the findings.

An operator's rights say nothing about those of the app's identity. So `attendance doctor` sends a task through the
queue, which also shows that the queue is handled, and reads the findings from `doctor/<id>.json`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import jwt
from azure.core.exceptions import AzureError

from .. import __version__, logs, times
from ..errors import AttendanceError, GraphError, NotFound, Refused
from ..graph.client import Graph, segment
from ..graph.credentials import graph_token
from ..ledger import access
from ..messages.tasks import Examine
from ..services import Services
from ..settings import CALL_EVENTS, CALL_RECORDS, EVENT_GRID, EVENT_HUBS, VIRTUAL_EVENTS, Settings
from ..storage import heartbeat
from ..storage.state import StateStore
from ..subscriptions import maintain, status
from ..subscriptions.handshake import check_handshake
from ..subscriptions.status import SubscriptionView
from . import findings
from .findings import Finding, Severity

FOLDER = "doctor/"
PROBE_JOIN_URL = "https://teams.microsoft.com/l/meetup-join/doctor"
_ALWAYS = frozenset({"OnlineMeetings.Read.All", "OnlineMeetingArtifact.Read.All"})
_NEEDED = {CALL_RECORDS: "CallRecords.Read.All", VIRTUAL_EVENTS: "VirtualEvent.Read.All"}


def findings_name(identifier: str) -> str:
    """Return the name of the state blob that holds the findings."""
    return f"{FOLDER}{identifier}.json"


def publish_findings(job: Examine, services: Services) -> None:
    """Check everything and publish the findings. Raises azure.core errors."""
    results = list(check_app(services, job.organizers))
    content = {
        "at": times.text(times.now()),
        "version": __version__,
        "findings": [findings.finding_json(each) for each in results],
    }
    services.state.put(findings_name(job.id), content)
    logs.info(
        "doctor.answered", findings=len(results), unwell=sum(each.severity != Severity.OK for each in results)
    )


def check_app(services: Services, organizers: tuple[str, ...] = ()) -> Iterator[Finding]:
    """Yield the findings of one check after another; failures do not raise."""
    settings, graph = services.settings, services.graph
    yield findings.app_writes(_failure_text(services.archive.probe_write))
    yield from _permissions(settings)
    yield from _subscriptions(services)
    if CALL_EVENTS in settings.signals:
        yield findings.encryption_key(_failure_text(services.keys.current))
    for organizer in sorted({*settings.organizers, *organizers}):
        yield _policy(graph, settings.graph_app_id, organizer)


def _failure_text(step: Callable[[], Any]) -> str:
    """Return why a step fails, or "" if it succeeds."""
    try:
        step()
    except AttendanceError as failure:
        return str(failure)
    except (AzureError, ValueError, OSError) as failure:
        return findings.failure_text(failure)
    return ""


def _permissions(settings: Settings) -> Iterator[Finding]:
    """Check the permissions in the app's token for Graph; only `roles` is read."""
    needed = _ALWAYS | {name for signal, name in _NEEDED.items() if signal in settings.signals}
    try:
        claims = jwt.decode(graph_token(settings)(False, None), options={"verify_signature": False})
    except GraphError as failure:
        yield findings.no_token(failure)
        return
    except jwt.InvalidTokenError:
        yield from findings.permissions(needed, None)
        return
    granted = claims.get("roles")
    yield from findings.permissions(needed, granted if isinstance(granted, list) else ())


def _subscriptions(services: Services) -> Iterator[Finding]:
    """Check subscriptions, and the way by which Graph delivers: a webhook from the app and from Graph."""
    settings, run = services.settings, status.read_last_run(services.state)
    views: tuple[SubscriptionView, ...] = ()
    unreadable: Finding | None = None
    try:
        views = maintain.read_statuses(services)
    except GraphError as failure:
        unreadable = findings.unreadable_list(failure, settings.graph_root)
    if settings.delivery == EVENT_HUBS:
        validation = services.state.read(heartbeat.VALIDATION)
        last = times.plausible(validation.content.get("at")) if validation else None
        yield findings.hub(run, last, times.now())
    elif settings.delivery == EVENT_GRID:
        yield findings.topic(_last_notification(services.state), views)
    elif problem := check_handshake(settings.notification_base_url):
        yield findings.closed_to("the app", problem, accepted=findings.is_accepted_by_graph(views, run))
    else:
        yield findings.endpoint_open("the app")
    if still_open := findings.former_delivery(run, settings.deliveries, times.now()):
        yield still_open
    if run and run.validation:
        yield findings.closed_to_graph(run.validation, settings.delivery)
    if unreadable:
        yield unreadable
    for view in views:
        yield findings.subscription(view, run)


def _last_notification(state: StateStore) -> datetime | None:
    entry = state.read(heartbeat.NOTIFICATION)
    return times.plausible(entry.content.get("at")) if entry else None


def _policy(graph: Graph, app_id: str, organizer: str) -> Finding:
    """Request a meeting that does not exist.

    Graph checks the access policy before it looks for the meeting.
    """
    condition = segment(f"JoinWebUrl eq '{PROBE_JOIN_URL}'")
    refusal: GraphError | None = None
    try:
        graph.get(f"users/{segment(organizer)}/onlineMeetings?$filter={condition}", "look for a meeting")
    except (NotFound, Refused):
        pass  # the policy allows it
    except GraphError as failure:
        refusal = failure
    return findings.organizer_access(organizer, refusal, access.remedy(organizer, app_id))
