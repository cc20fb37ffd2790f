"""Upkeep: tasks that keep the system going, one queue message each.

What fails at Graph comes again later, for longer than Graph holds notifications; what cannot be read is buried.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from . import logs
from .archiving import backoff, dead_letters, redrive
from .errors import GraphError, NotOurMessage, SubscriptionError, retry_after
from .graph.subscriptions import delete_subscription
from .health import self_check
from .messages import tasks
from .messages.tasks import (
    Backfill,
    Delete,
    Examine,
    Job,
    Maintain,
    Part,
    Redrive,
    Refresh,
    Refused,
    Renew,
    Subscribe,
    Sweep,
    Task,
)
from .reconcile import sweep
from .services import Services
from .storage.clients import UPKEEP_QUEUE
from .subscriptions import maintain

MAX_ATTEMPTS = 14  # 4½ hours: Graph holds notifications for 4


def handle_task(text: str, services: Services) -> None:
    """Do one task of the `upkeep` queue. Raises GraphError or SubscriptionError when the last attempt failed."""
    try:
        task = tasks.parse(text)
    except NotOurMessage as failure:
        dead_letters.record_unreadable(text, UPKEEP_QUEUE, str(failure), services.journal)
        return
    with logs.about(task=task.job.kind, traceparent=task.traceparent):
        try:
            HANDLERS[type(task.job)](task.job, services)
        except (GraphError, SubscriptionError) as failure:
            if task.attempt + 1 >= MAX_ATTEMPTS:
                raise
            delay = backoff.upkeep_delay(task.attempt, retry_after(failure))
            services.tasks.send(tasks.message(replace(task, attempt=task.attempt + 1)), delay)
            logs.warning(
                "task.postponed",
                attempt=task.attempt + 1,
                delay=delay,
                error=str(failure),
                requestId=getattr(failure, "request_id", None) or None,
            )


def _subscribe_event(job: Subscribe, services: Services) -> None:
    changes = maintain.changes(services)
    maintain.subscribe(services.graph, services.settings, changes, job.source, job.event_id)


def _refresh_day(job: Refresh, services: Services) -> None:
    """Write a day's manifest, then its table, a message for each part."""
    if services.sealing.refresh(job.day):
        for part in services.daily.plan(job.day):
            services.tasks.send(tasks.message(Task(part)))


HANDLERS: dict[type[Job], Callable[[Any, Services], None]] = {
    Renew: lambda job, services: maintain.renew(services, job.subscription_id),
    Maintain: lambda _, services: maintain.maintain(services),
    Subscribe: _subscribe_event,
    Delete: lambda job, services: delete_subscription(services.graph, job.subscription_id),
    Examine: self_check.publish_findings,
    Refused: lambda job, services: services.heartbeat.count_refused(job.count),
    Sweep: sweep.run_slice,
    Backfill: sweep.begin_backfill,
    Redrive: redrive.redrive_outcomes,
    Refresh: _refresh_day,
    Part: lambda job, services: services.daily.write(job),
}
