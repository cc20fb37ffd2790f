"""Upkeep: tasks that keep the system going, one queue message each.

What fails at Graph comes again later, for longer than Graph holds notifications; what cannot be read is buried.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from . import logs
from .archiving import backoff, dead_letters, redrive
from .errors import GraphError, NotOurMessage, SubscriptionError, retry_after
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


def handle(text: str, services: Services) -> None:
    """Do one task of the `upkeep` queue. Raises GraphError or SubscriptionError when the last attempt failed."""
    try:
        task = tasks.parse(text)
    except NotOurMessage as failure:
        dead_letters.bury_unread(text, UPKEEP_QUEUE, str(failure), services)
        return
    with logs.about(task=tasks.kind(task.job), traceparent=task.traceparent):
        try:
            _do(task.job, services)
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


def _do(job: Job, services: Services) -> None:
    match job:
        case Renew() | Maintain() | Subscribe() | Delete():
            maintain.do(job, services)
        case Examine():
            self_check.answer(job, services)
        case Refused(count):
            services.heartbeat.refused(count)
        case Sweep():
            sweep.do_slice(job, services)
        case Backfill():
            sweep.backfill(job, services)
        case Redrive():
            redrive.redrive(job, services)
        case Refresh(day):
            _refresh(day, services)
        case Part():
            services.daily.write(job)


def _refresh(day: date, services: Services) -> None:
    """Write a day's manifest, then its table, a message for each part."""
    if services.sealing.refresh(day):
        for part in services.daily.plan(day):
            services.tasks.send(tasks.message(Task(part)))
