"""Maintenance of the app's Graph subscriptions: compare, renew, replace, create, delete, and publish the result.

`plan` decides the steps, `changes` makes them, and `status` describes each subscription afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

from azure.core.exceptions import AzureError

from .. import logs, times
from ..errors import AccessDenied, AttendanceError, GraphError, NotFound, Refused, SubscriptionError
from ..graph import events
from ..graph.client import Graph
from ..graph.subscriptions import (
    Subscription,
    delete_subscription,
    get_subscription,
    list_subscriptions,
)
from ..messages import tasks
from ..messages.signals import EventKind
from ..messages.tasks import Backfill, Task
from ..services import Services
from ..settings import CALL_EVENTS, VIRTUAL_EVENTS, Settings
from ..storage import heartbeat
from ..storage.clients import Queue
from ..storage.state import StateStore
from ..storage.watchlist import Watchlist
from . import desired, status
from .changes import SubscriptionChanges
from .desired import DesiredSubscription
from .handshake import check_handshake
from .plan import is_accepted, is_due, is_ours, plan_steps
from .status import Maintenance, SubscriptionView

GAP_REACH = timedelta(hours=6)  # before a gap, for calls that began earlier; the daily scan finds longer ones
GAP_DELAY = 600  # seconds from a gap's begin until its sweep: longer than three creations take


def changes(services: Services) -> SubscriptionChanges:
    """The changes to Graph's list that these services can make."""
    return SubscriptionChanges(services.graph, services.settings, services.keys)


def maintain_all(services: Services) -> None:
    """Do one run and publish what came of it in the state container.

    Every step is tried even when another fails. Raises SubscriptionError in the end when a desired subscription
    is not as it should be, and GraphError when Graph's list could not be read.
    """
    run = _Run(
        services.graph,
        services.settings,
        changes(services),
        services.watch,
        services.tasks,
        _last_run(services.state),
    )
    views: tuple[SubscriptionView, ...] | None = None
    try:
        views = run.all_steps()
    except GraphError as failure:
        run.problems.append(str(failure))
        raise
    finally:
        services.heartbeat.record(heartbeat.MAINTENANCE, run.result(views))
    if run.problems:
        raise SubscriptionError(" ".join(run.problems))


def renew_one(services: Services, subscription_id: str) -> None:
    """Renew one subscription, which also reauthorizes it; when it is gone, maintain all."""
    try:
        subscription = get_subscription(services.graph, subscription_id)
        changes(services).renew(subscription, desired.max_lifetime(subscription.resource))
    except NotFound:
        maintain_all(services)


def subscribe_event(
    graph: Graph, settings: Settings, changes: SubscriptionChanges, kind: EventKind, event_id: str
) -> None:
    """Have Graph announce the reports of one event, if it goes on and its organizer is one of ours.

    Raises a GraphError or SubscriptionError.
    """
    try:
        event = events.get_event(graph, kind, event_id)
    except AccessDenied as failure:  # once access is given, the sweep finds the event
        logs.warning(
            "event.denied", meeting=event_id, error=str(failure), requestId=failure.request_id or None
        )
        return
    organizers = settings.organizers
    in_scope = not organizers or (event.organizer_id or "").lower() in organizers
    if not in_scope or not event.is_open(graph.now(), desired.REPORTS_LATE):
        logs.info("event.passed", meeting=event_id, requestId=graph.request_id)
        return
    changes.create(desired.event_subscription(kind, event_id))


def read_statuses(graph: Graph, settings: Settings, watch: Watchlist) -> tuple[SubscriptionView, ...]:
    """All subscriptions of the app's identity as they are now. Raises GraphError."""
    existing = list_subscriptions(graph)
    return status.all_statuses(existing, _desired(existing, graph, settings, watch), settings, graph.now())


class _Run:
    """One run of maintenance; `problems` are the steps that failed."""

    def __init__(
        self,
        graph: Graph,
        settings: Settings,
        changes: SubscriptionChanges,
        watch: Watchlist,
        upkeep: Queue,
        before: Maintenance | None,
    ) -> None:
        self.problems: list[str] = []
        self._graph = graph
        self._settings = settings
        self._changes = changes
        self._watch = watch
        self._upkeep = upkeep
        self._validation = before.validation if before else ""
        self._own_handshake = before.own_handshake if before else ""
        self._ran_before = before is not None
        self._awake = False
        self._sweep_queued = False

    def all_steps(self) -> tuple[SubscriptionView, ...]:
        """Go from what exists to what is desired; all subscriptions as they are afterwards. Raises GraphError."""
        graph, settings = self._graph, self._settings
        existing = list_subscriptions(graph)
        targets = _desired(existing, graph, settings, self._watch)
        todo = plan_steps(existing, targets, settings, graph.now())
        if self._own_handshake:
            self._wake()  # to see whether it still fails
        for subscription, each in todo.renew:
            self._try(partial(self._renew, subscription, each))
        for subscription, each in todo.replace:
            self._try(partial(self._replace, subscription, each))
        for each in todo.create:
            self._try(partial(self._create, each))
        for subscription in todo.delete:
            self._try(partial(delete_subscription, graph, subscription.id, subscription.resource))
        for subscription in todo.keep:
            logs.info(
                "subscription.kept",
                subscription=subscription.id,
                expires=subscription.expires,
                requestId=graph.request_id,
            )
        if todo.renew or todo.replace or todo.create or todo.delete:
            existing = list_subscriptions(graph)
        return status.all_statuses(existing, targets, settings, graph.now())

    def result(self, views: Sequence[SubscriptionView] | None) -> dict[str, object]:
        """The run as it is published; `views` is None where Graph's list could not be read."""
        if self._changes.validation is not None:
            self._validation = self._changes.validation
        return {
            "problems": self.problems,
            "ownHandshake": self._own_handshake or None,
            "validation": self._validation or None,
            "subscriptions": None if views is None else [status.view_fields(each) for each in views],
        }

    def _renew(self, subscription: Subscription, target: DesiredSubscription) -> None:
        try:
            self._changes.renew(subscription, target.lifetime)
        except NotFound:
            self._create(target)
        except GraphError as failure:
            if isinstance(failure, Refused) and subscription.expires <= self._graph.now():
                self._replace(subscription, target)  # neither Graph nor the clock takes it for alive
                return
            # Whatever Graph dislikes about renewing it, it lives until its expiry and the next run tries again.
            raise SubscriptionError(f"Subscription {subscription.id} was not renewed ({failure}).") from None

    def _replace(self, former: Subscription, target: DesiredSubscription) -> None:
        self._wake()
        self._queue_sweep()
        self._changes.replace(former, target)

    def _create(self, target: DesiredSubscription) -> None:
        self._wake()
        if self._ran_before:  # else nothing can have been missed
            self._try(self._queue_sweep)
        self._changes.create(target)

    def _wake(self) -> None:
        """Do the app's own handshake, once a run. Whether the address is good is for Graph to say."""
        if self._awake:
            return
        self._awake = True
        self._own_handshake = check_handshake(self._settings.notification_base_url)
        if self._own_handshake:
            logs.warning("handshake.failed", error=self._own_handshake)

    def _queue_sweep(self) -> None:
        """Have the sweep look, once the gap is over, for what nobody announced before and in it; once a run.

        Raises SubscriptionError.
        """
        if self._sweep_queued:
            return
        now = times.now()
        window = Backfill(now - GAP_REACH, now + timedelta(seconds=GAP_DELAY), missing_only=True)
        try:
            self._upkeep.send(tasks.serialize_task(Task(window)), GAP_DELAY)
        except AzureError as failure:
            raise SubscriptionError(
                f"The sweep that covers the gap could not be queued ({type(failure).__name__})."
            ) from None
        self._sweep_queued = True

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except AttendanceError as failure:
            logs.error(
                "subscription.failed",
                error=str(failure),
                requestId=getattr(failure, "request_id", None) or None,
            )
            self.problems.append(str(failure))


def _last_run(state: StateStore) -> Maintenance | None:
    try:
        return status.read_last_run(state)
    except AzureError:
        return None  # maintenance goes on without it


def _desired(
    existing: Sequence[Subscription], graph: Graph, settings: Settings, watch: Watchlist
) -> list[DesiredSubscription]:
    """All subscriptions that are needed now. Those of events are desired on while their event goes on."""
    targets = [*desired.fixed_subscriptions(settings)]
    if CALL_EVENTS in settings.signals:
        targets += desired.meeting_subscriptions(settings, watch.list_meetings())
    if VIRTUAL_EVENTS in settings.signals:
        ours = (each for each in existing if is_ours(each, settings))
        going_on = (_of_event_that_goes_on(each, graph, settings) for each in ours)
        targets += {each: None for each in going_on if each}
    return targets


def _of_event_that_goes_on(
    subscription: Subscription, graph: Graph, settings: Settings
) -> DesiredSubscription | None:
    """The desired subscription of an event that has one. Asks Graph only where that is due or not accepted."""
    event = desired.parse_event_resource(subscription.resource)
    if event is None:
        return None
    target, now = desired.event_subscription(*event), graph.now()
    if is_accepted(subscription, settings) and not is_due(subscription, target, now):
        return target
    try:
        goes_on = events.get_event(graph, *event).is_open(now, desired.REPORTS_LATE)
    except NotFound:
        return None
    except GraphError:
        return target  # the next run will know more
    return target if goes_on else None
