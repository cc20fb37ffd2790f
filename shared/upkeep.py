"""Upkeep: tasks that keep the system going, one queue message each."""

from __future__ import annotations

import math
from dataclasses import replace

from shared import logs, subscriptions
from shared.errors import GraphError, SubscriptionError, Throttled
from shared.schedule import MAX_RETRY_AFTER
from shared.services import Services
from shared.signals import RENEW, Task, task, task_message

FIRST_DELAY = 60  # seconds, doubled with each attempt
MAX_DELAY = 30 * 60
MAX_ATTEMPTS = 14  # 4½ hours: Graph holds notifications for 4


def handle(text: str, services: Services) -> None:
    """Do one task of the `upkeep` queue; one that fails at Graph comes again later.

    Raises NotOurMessage, and GraphError or SubscriptionError when the last attempt failed.
    """
    todo = task(text)
    try:
        _do(todo, services)
    except (GraphError, SubscriptionError) as failure:
        if todo.attempt + 1 >= MAX_ATTEMPTS:
            raise
        delay = _delay(todo.attempt, failure)
        services.tasks.send(task_message(replace(todo, attempt=todo.attempt + 1)), delay)
        logs.warning(
            "task.postponed",
            task=todo.kind,
            subscription=todo.subscription_id,
            delay=delay,
            error=str(failure),
        )


def _do(todo: Task, services: Services) -> None:
    if todo.kind == RENEW and todo.subscription_id:
        subscriptions.renew(services.graph, services.settings, todo.subscription_id)
    else:
        subscriptions.maintain(services.graph, services.settings)


def _delay(attempt: int, failure: Exception) -> int:
    """Seconds: ours, or what Graph asks for if that is longer."""
    asked = math.ceil(failure.retry_after) if isinstance(failure, Throttled) else 0
    ours: int = min(FIRST_DELAY * 2**attempt, MAX_DELAY)
    return max(ours, min(asked, MAX_RETRY_AFTER))
