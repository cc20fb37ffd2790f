"""Upkeep: background tasks of the app, one queue message each.

A task that fails at Graph is retried for longer than Graph holds notifications. A message that cannot be parsed is
recorded as a dead letter.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from . import logs, times
from .archiving import backoff, dead_letters, redrive
from .days.index import RevisionReason
from .days.manifests import Manifest
from .errors import ErasureKeyError, GraphError, NotAsIndexed, NotOurMessage, SubscriptionError, retry_after
from .graph.subscriptions import delete_subscription
from .health import self_check
from .messages import tasks
from .messages.tasks import (
    Backfill,
    CleanTables,
    DeleteSubscription,
    Examine,
    Job,
    MaintainSubscriptions,
    NotificationsRefused,
    RecordValidation,
    Redrive,
    RefreshDay,
    RenewSubscription,
    SubscribeEvent,
    Sweep,
    Task,
    WriteDaily,
)
from .reconcile import sweep
from .services import Services
from .storage import heartbeat
from .storage.clients import UPKEEP_QUEUE
from .subscriptions import maintain
from .tables.day_tables import GRACE

CLEAN_MARGIN = timedelta(minutes=5)
RENEW_SECONDS = 30.0  # of renewals that are named, before another task goes on
MAX_ATTEMPTS = 14  # in 4½ hours: Graph holds notifications for 4


def handle_task(text: str, services: Services) -> None:
    """Run one task of the `upkeep` queue.

    One that cannot run without the key of erasures is sent again. Raises GraphError or SubscriptionError if the last
    attempt fails.
    """
    try:
        _handle(text, services)
    except ErasureKeyError as failure:
        dead_letters.return_later(text, services.tasks, failure)


def _handle(text: str, services: Services) -> None:
    try:
        task = tasks.parse_task(text)
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
            services.tasks.send(tasks.serialize_task(replace(task, attempt=task.attempt + 1)), delay)
            logs.warning(
                "task.postponed",
                attempt=task.attempt + 1,
                delay=delay,
                error=str(failure),
                requestId=getattr(failure, "request_id", None) or None,
            )


def _maintain(job: MaintainSubscriptions, services: Services) -> None:
    """Renew these subscriptions, then maintain all.

    When the renewals take long, the rest is left to another task.
    """
    deadline = time.monotonic() + RENEW_SECONDS
    for number, subscription_id in enumerate(job.subscription_ids, 1):
        maintain.renew_one(services, subscription_id)
        if time.monotonic() >= deadline:
            rest = MaintainSubscriptions(job.subscription_ids[number:])
            services.tasks.send(tasks.serialize_task(Task(rest)))
            return
    maintain.maintain_all(services)


def _subscribe_event(job: SubscribeEvent, services: Services) -> None:
    changes = maintain.changes(services)
    maintain.subscribe_event(services.graph, services.settings, changes, job.source, job.event_id)


def _refresh_day(job: RefreshDay, services: Services) -> None:
    """Write a day's manifest, then queue each part of its tables that must be written.

    After an erasure, delete the files that may name the person.
    """
    manifest = services.sealing.refresh(job.day)
    if manifest is None:
        return
    if RevisionReason.ERASURE in manifest.reasons:
        services.tables.clean(job.day, at_once=True)
    if job.day == times.now().date():
        services.tables.retire()
    if manifest.tables.index == manifest.index:
        if manifest.complete and manifest.tables.version:
            _follow_tables(manifest, services)
        else:
            services.tables.commit(manifest)
        return
    parts = services.tables.plan_parts(manifest)
    for part in parts:
        services.tasks.send(tasks.serialize_task(Task(part)))
    if not parts and (named := services.tables.name(manifest)):
        _follow_tables(named, services)


def _write_part(job: WriteDaily, services: Services) -> None:
    """Write a part of a day's tables.

    If a report has changed since the index was made, have a new index made.
    """
    try:
        if named := services.tables.write_part(job):
            _follow_tables(named, services)
    except NotAsIndexed as change:
        logs.info("tables.outdated", date=job.day, part=job.number, path=change.path)
        services.tasks.send(tasks.serialize_task(Task(RefreshDay(job.day))))


def _follow_tables(manifest: Manifest, services: Services) -> None:
    """Have the Delta logs name the files of a day's manifest.

    Have those deleted that it no longer names, when nobody reads them any more.
    """
    services.tables.commit(manifest)
    _clean_later(CleanTables(manifest.day, manifest.tables.version), services)


def _clean_tables(job: CleanTables, services: Services) -> None:
    if not services.tables.clean(job.day, job.tables_version):
        _clean_later(job, services)


def _clean_later(job: CleanTables, services: Services) -> None:
    delay = GRACE + CLEAN_MARGIN
    services.tasks.send(tasks.serialize_task(Task(job)), round(delay.total_seconds()))


HANDLERS: dict[type[Job], Callable[[Any, Services], None]] = {
    RenewSubscription: lambda job, services: maintain.renew_one(services, job.subscription_id),
    MaintainSubscriptions: _maintain,
    SubscribeEvent: _subscribe_event,
    DeleteSubscription: lambda job, services: delete_subscription(services.graph, job.subscription_id),
    Examine: self_check.publish_findings,
    NotificationsRefused: lambda job, services: maintain.count_refusals(services, job),
    RecordValidation: lambda _, services: services.heartbeat.record(heartbeat.VALIDATION, {}),
    Sweep: sweep.run_slice,
    Backfill: sweep.begin_backfill,
    Redrive: redrive.redrive_outcomes,
    RefreshDay: _refresh_day,
    WriteDaily: _write_part,
    CleanTables: _clean_tables,
}
