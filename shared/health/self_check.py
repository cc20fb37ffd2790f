"""Self-check: test the app's own rights and connections, and publish the findings.

An operator's rights say nothing about those of the app's identity. So `attendance doctor` sends a task through the
queue, which also shows that the queue is handled, and reads the findings from `doctor/<id>.json`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any

import jwt
from azure.core.exceptions import AzureError

from .. import __version__, logs, times
from ..errors import AttendanceError, GraphError, NotFound, Refused, Unavailable
from ..graph.client import Graph, segment
from ..graph.credentials import graph_token
from ..ledger import access
from ..messages.tasks import Examine
from ..services import Services
from ..settings import CALL_EVENTS, CALL_RECORDS, EVENT_GRID, EVENT_HUBS, VIRTUAL_EVENTS, WEBHOOK, Settings
from ..storage import heartbeat
from ..storage.state import StateStore
from ..subscriptions import maintain, status
from ..subscriptions.handshake import check_handshake
from ..subscriptions.status import Maintenance, SubscriptionView
from . import findings
from .findings import Finding, Severity
from .parallel_reads import GRAPH_SECONDS, STORAGE_SECONDS, ParallelReads, ReadFailure

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
    """Yield the findings of checks that run side by side, for eight seconds at most.

    Failures do not raise. A Graph that does not answer is one finding.
    """
    settings, graph = services.settings, services.graph
    with ParallelReads() as reads:
        writes = reads.start(lambda: _failure_text(services.archive.probe_write))
        handshake = reads.start(lambda: _handshake(settings))
        last_event = reads.start(lambda: _last_event(services.state, settings))
        last_run = reads.start(lambda: status.read_last_run(services.state))
        listed = reads.start(lambda: _read_statuses(services))
        permissions = reads.start(lambda: list(_permissions(settings)))
        key = reads.start(lambda: _failure_text(services.keys.current))
        policies = {
            organizer: reads.start(partial(_policy, graph, organizer))
            for organizer in sorted({*settings.organizers, *organizers})
        }
        yield findings.app_writes(_reason(reads.result(writes)))
        yield findings.client_state(is_plain=settings.has_plain_states)
        granted, views = reads.result(permissions), reads.graph_result(listed)
        yield from (
            findings.permissions_unknown(granted.reason) if isinstance(granted, ReadFailure) else granted
        )
        run = reads.result(last_run)
        last, known_run = reads.result(last_event), None if isinstance(run, ReadFailure) else run
        yield _delivery(
            settings,
            () if isinstance(views, GraphError) else views,
            known_run,
            _reason(reads.result(handshake)),
            None if isinstance(last, ReadFailure) else last,
        )
        yield from _subscriptions(settings, views, known_run)
        if CALL_EVENTS in settings.signals:
            yield findings.encryption_key(_reason(reads.result(key)))
        if isinstance(views, Unavailable):
            return
        for organizer, policy in policies.items():
            result = reads.result(policy)
            refusal = (
                Unavailable("look for a meeting", result.reason)
                if isinstance(result, ReadFailure)
                else result
            )
            yield findings.organizer_access(
                organizer, refusal, access.remedy(organizer, settings.graph_app_id)
            )


def _reason(result: str | ReadFailure) -> str:
    return result.reason if isinstance(result, ReadFailure) else result


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


def _handshake(settings: Settings) -> str:
    """Why the webhooks do not answer the app, or "" if they do, or if there are none."""
    if settings.delivery != WEBHOOK:
        return ""
    return check_handshake(settings.notification_base_url, STORAGE_SECONDS)


def _last_event(state: StateStore, settings: Settings) -> datetime | None:
    """Return when an event last came.

    Graph's last validation message through the hub, or the last notification.
    """
    name = heartbeat.VALIDATION if settings.delivery == EVENT_HUBS else heartbeat.NOTIFICATION
    entry = state.read(name)
    return times.plausible(entry.content.get("at")) if entry else None


def _read_statuses(services: Services) -> tuple[SubscriptionView, ...]:
    with services.graph.within(GRAPH_SECONDS):
        return maintain.read_statuses(services)


def _delivery(
    settings: Settings,
    views: tuple[SubscriptionView, ...],
    run: Maintenance | None,
    handshake: str,
    last: datetime | None,
) -> Finding:
    """Judge the way by which Graph delivers.

    A webhook as the app reaches it; a hub or a topic by what came.
    """
    if settings.delivery == EVENT_HUBS:
        return findings.hub(run, last, times.now())
    if settings.delivery == EVENT_GRID:
        return findings.topic(last, views)
    if handshake:
        return findings.closed_to("the app", handshake, accepted=findings.is_accepted_by_graph(views, run))
    return findings.endpoint_open("the app")


def _subscriptions(
    settings: Settings, listed: tuple[SubscriptionView, ...] | GraphError, run: Maintenance | None
) -> Iterator[Finding]:
    """Judge whether Graph can deliver, and the subscriptions."""
    views = () if isinstance(listed, GraphError) else listed
    if still_open := findings.former_delivery(run, settings.deliveries, times.now()):
        yield still_open
    if run and run.validation:
        yield findings.closed_to_graph(run.validation, settings.delivery)
    if isinstance(listed, GraphError):
        yield findings.unreadable_list(listed, settings.graph_root)
    for view in views:
        yield findings.subscription(view, run)


def _policy(graph: Graph, organizer: str) -> GraphError | None:
    """Request a meeting that does not exist, and return the refusal.

    Graph checks the access policy before it looks for the meeting.
    """
    condition = segment(f"JoinWebUrl eq '{PROBE_JOIN_URL}'")
    try:
        with graph.within(GRAPH_SECONDS):
            graph.get(f"users/{segment(organizer)}/onlineMeetings?$filter={condition}", "look for a meeting")
    except (NotFound, Refused):
        return None  # the policy allows it
    except GraphError as failure:
        return failure
    return None
