"""Upkeep: tasks that keep the system going, one queue message each."""

from __future__ import annotations

from shared import subscriptions
from shared.services import Services
from shared.signals import RENEW, task


def handle(text: str, services: Services) -> None:
    """Do one task of the `upkeep` queue. Raises NotOurMessage, GraphError or SubscriptionError."""
    todo = task(text)
    if todo.kind == RENEW and todo.subscription_id:
        subscriptions.renew(services.graph, services.settings, todo.subscription_id)
    else:
        subscriptions.maintain(services.graph, services.settings)
