"""Maintain the app's Graph subscriptions: compare, change and publish the result.

`plan` decides the steps, `changes` makes them, and `status` describes each subscription afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from azure.core.exceptions import AzureError

from .. import __version__, logs, times
from ..errors import (
    AccessDenied,
    AttendanceError,
    GraphError,
    NotFound,
    Refused,
    SubscriptionError,
    Unavailable,
)
from ..graph import events
from ..graph.client import Graph
from ..graph.delivery import door_of
from ..graph.subscriptions import (
    Subscription,
    delete_subscription,
    get_subscription,
)
from ..messages import tasks
from ..messages.signals import EventKind
from ..messages.tasks import Backfill, NotificationsRefused, Task
from ..services import Services
from ..settings import CALL_EVENTS, CALL_RECORDS, EVENT_GRID, VIRTUAL_EVENTS, WEBHOOK, Settings
from ..storage import heartbeat
from ..storage.clients import Queue
from ..storage.state import StateStore
from ..storage.subscription_registry import SubscriptionRegistry
from ..storage.watchlist import Watchlist
from . import desired, status
from .changes import SubscriptionChanges
from .desired import DesiredSubscription
from .handshake import check_handshake
from .plan import Plan, is_accepted, is_due, is_ours, plan_steps
from .status import Maintenance, SubscriptionView

# A step is not interrupted, because it may have deleted what it creates next. Where Graph is silent it takes up to some
# five minutes, and still ends before the functionTimeout in host.json, which ends the whole process.
RUN_SECONDS = 180.0  # after which no step is begun
READ_SECONDS = 45.0  # after which no request is begun that reads, before the steps or after them
GAP_REACH = timedelta(hours=6)  # before a gap, to cover longer calls; the daily scan finds still longer ones
GAP_DELAY = 600  # seconds from the start of a gap to its sweep: longer than three creations

_NOW, _AT_LEISURE = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def changes(services: Services) -> SubscriptionChanges:
    """Return the subscription changes of these services."""
    return SubscriptionChanges(services.graph, services.settings, services.keys, services.subscriptions)


def maintain_all(services: Services) -> None:
    """Run maintenance once and publish its result in the state container.

    Every step is tried even if another one fails, for RUN_SECONDS; the rest is left to the next run. Raises
    SubscriptionError in the end if a step failed or was left, and GraphError if Graph's list could not be read.
    """
    run = _Run(
        services.graph,
        services.settings,
        changes(services),
        services.watch,
        services.subscriptions,
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
    """Renew one subscription, which also reauthorizes it.

    When it is gone, maintain all. One that is not ours is passed over: whoever knows the client state can name any.
    """
    if not services.subscriptions.is_known(subscription_id):
        logs.warning("subscription.unknown", subscription=subscription_id)
        return
    try:
        subscription = get_subscription(services.graph, subscription_id)
        changes(services).renew(subscription, desired.max_lifetime(subscription.resource))
    except NotFound:
        maintain_all(services)


def count_refusals(services: Services, job: NotificationsRefused) -> None:
    """Count notifications with a wrong client state.

    And find out whether a subscription of ours sent one.
    """
    ours = next(filter(services.subscriptions.is_registered, job.subscription_ids), None)
    services.heartbeat.count_refused(job.count, ours)
    if ours:
        logs.error("subscription.refused", subscription=ours)


def subscribe_event(
    graph: Graph, settings: Settings, changes: SubscriptionChanges, kind: EventKind, event_id: str
) -> None:
    """Subscribe to the reports of one event if it is open and its organizer in scope.

    Raises a GraphError or SubscriptionError.
    """
    try:
        event = events.get_event(graph, kind, event_id)
    except AccessDenied as failure:  # the sweep finds the event once access is granted
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


def read_statuses(services: Services) -> tuple[SubscriptionView, ...]:
    """Return the current state of all the app's subscriptions. Raises a GraphError."""
    graph, settings, existing = services.graph, services.settings, services.subscriptions.listed()
    return status.all_statuses(
        existing, _desired_subscriptions(existing, graph, settings, services.watch), settings, graph.now()
    )


@dataclass(frozen=True)
class _Step:
    """A change to one subscription; `urgent` is until when it should be made."""

    resource: str
    urgent: datetime
    make: Callable[[], None]


class _Run:
    """One run of maintenance; `problems` are the steps that failed."""

    def __init__(
        self,
        graph: Graph,
        settings: Settings,
        changes: SubscriptionChanges,
        watch: Watchlist,
        registry: SubscriptionRegistry,
        upkeep: Queue,
        before: Maintenance | None,
    ) -> None:
        self.problems: list[str] = []
        self._graph = graph
        self._settings = settings
        self._changes = changes
        self._watch = watch
        self._registry = registry
        self._upkeep = upkeep
        self._validation = before.validation if before else ""
        self._own_handshake = before.own_handshake if before else ""
        self._created = before.created if before else None
        self._ran_before = before is not None
        self._left_before = before.left if before else ()
        self._left: tuple[str, ...] = ()
        self._deadline = time.monotonic() + RUN_SECONDS
        self._awake = False
        self._tried: str | None = None
        self._sweep_queued = False

    def all_steps(self) -> tuple[SubscriptionView, ...]:
        """Make all steps; return the state of all subscriptions. Raises a GraphError."""
        graph, settings = self._graph, self._settings
        with graph.within(READ_SECONDS):
            existing = self._list()
            targets = _desired_subscriptions(existing, graph, settings, self._watch)
        todo = plan_steps(existing, targets, settings, graph.now())
        for subscription in todo.keep:
            logs.info(
                "subscription.kept",
                subscription=subscription.id,
                expires=subscription.expires,
                requestId=graph.request_id,
            )
        if self._own_handshake:
            self._wake()  # check whether it still fails
        steps = self._steps(todo)
        self._make(steps)
        if steps:
            with graph.within(READ_SECONDS):
                existing = self._list()
        return status.all_statuses(existing, targets, settings, graph.now())

    def _steps(self, todo: Plan) -> list[_Step]:
        """Return the steps, the most urgent first.

        Those left by the last run come before the others, so that none waits forever behind one that takes long.
        """
        steps = [_Step(each.resource, _NOW, partial(self._create, each)) for each in todo.create]
        for make, pairs in ((self._renew, todo.renew), (self._replace, todo.replace)):
            steps += [_Step(each.resource, one.expires, partial(make, one, each)) for one, each in pairs]
        steps += [
            _Step(
                each.resource, _AT_LEISURE, partial(delete_subscription, self._graph, each.id, each.resource)
            )
            for each in todo.delete
        ]
        return sorted(
            steps,
            key=lambda each: (
                each.resource != desired.ALL_CALL_RECORDS,
                each.resource not in self._left_before,
                each.urgent,
            ),
        )

    def _make(self, steps: Sequence[_Step]) -> None:
        """Make the steps for which there is time."""
        for number, step in enumerate(steps):
            if time.monotonic() >= self._deadline:
                self._left = tuple(each.resource for each in steps[number:])
                self._note(
                    f"The time of this run was over before {len(self._left)} of its {len(steps)} changes to "
                    "subscriptions; the next run goes on with them."
                )
                return
            self._try(step.make)

    def _list(self) -> list[Subscription]:
        """Graph's list, which is also registered. Raises GraphError."""
        subscriptions = self._registry.listed()
        self._registry.save(subscriptions)
        return subscriptions

    def result(self, views: Sequence[SubscriptionView] | None) -> dict[str, object]:
        """Return the published result; `views` is None if Graph's list could not be read."""
        if self._changes.validation is not None:
            self._validation = self._changes.validation
        return {
            "version": __version__,
            "problems": self.problems,
            "ownHandshake": self._own_handshake or None,
            "validation": self._validation or None,
            "delivery": self._settings.delivery,
            "created": times.optional_text(self._changes.created or self._created),
            "left": self._left,
            "subscriptions": None if views is None else [status.view_fields(each) for each in views],
        }

    def _renew(self, subscription: Subscription, target: DesiredSubscription) -> None:
        try:
            self._changes.renew(subscription, target.lifetime)
        except NotFound:
            self._create(target)
        except GraphError as failure:
            if isinstance(failure, Refused) and subscription.expires <= self._graph.now():
                # Perhaps only a clock takes it for dead, so it is not deleted: Graph answers 409 where it lives.
                self._create(target)
                return
            # It stays valid until its expiry, and the next run retries.
            raise SubscriptionError(f"Subscription {subscription.id} was not renewed ({failure}).") from None

    def _replace(self, former: Subscription, target: DesiredSubscription) -> None:
        self._wake()
        if door_of(former.notification_url) != self._settings.delivery:
            self._try_delivery()
        self._queue_sweep()
        self._changes.replace(former, target)

    def _try_delivery(self) -> None:
        """Before a move, once per run: see whether Graph can deliver in the new way.

        Raises SubscriptionError. Graph allows this for call records only; a partner topic takes a name of its own for
        each subscription.
        """
        settings = self._settings
        if self._tried is None and settings.delivery != EVENT_GRID and CALL_RECORDS in settings.signals:
            try:
                self._changes.try_delivery()
            except GraphError as failure:
                self._tried = str(failure)
        if self._tried:
            raise SubscriptionError(
                f"Notifications still come in the former way, because Graph cannot deliver by {settings.delivery} "
                f"({self._tried})."
            )
        self._tried = ""

    def _create(self, target: DesiredSubscription) -> None:
        self._wake()
        if self._ran_before:  # otherwise nothing can have been missed
            self._try(self._queue_sweep)
        self._changes.create(target)

    def _wake(self) -> None:
        """Call our own webhook, once per run. The result is reported but decides nothing.

        A hub or topic cannot be tried from here: whether Graph may send there is shown by its answer to a creation.
        """
        if self._awake:
            return
        self._awake = True
        if self._settings.delivery != WEBHOOK:
            self._own_handshake = ""
            return
        self._own_handshake = check_handshake(self._settings.notification_base_url)
        if self._own_handshake:
            logs.warning("handshake.failed", error=self._own_handshake)

    def _queue_sweep(self) -> None:
        """Queue a sweep, once per run, that covers the gap and the hours before it.

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
            self._note(str(failure), getattr(failure, "request_id", None))

    def _note(self, problem: str, request_id: str | None = None) -> None:
        logs.error("subscription.failed", error=problem, requestId=request_id or None)
        self.problems.append(problem)


def _last_run(state: StateStore) -> Maintenance | None:
    try:
        return status.read_last_run(state)
    except AzureError:
        return None  # not needed for maintenance


def _desired_subscriptions(
    existing: Sequence[Subscription], graph: Graph, settings: Settings, watch: Watchlist
) -> list[DesiredSubscription]:
    """Return all subscriptions needed now; an event's as long as the event is open.

    Raises Unavailable if the watched meetings cannot be read.
    """
    targets = [*desired.fixed_subscriptions(settings)]
    if CALL_EVENTS in settings.signals:
        try:
            targets += desired.meeting_subscriptions(settings, watch.list_meetings())
        except AzureError as failure:
            reason = f"the watched meetings cannot be read ({type(failure).__name__})"
            raise Unavailable("list subscriptions", reason) from failure
    if VIRTUAL_EVENTS in settings.signals:
        ours = (each for each in existing if is_ours(each, settings))
        going_on = (_open_event_subscription(each, graph, settings) for each in ours)
        targets += {each: None for each in going_on if each}
    return targets


def _open_event_subscription(
    subscription: Subscription, graph: Graph, settings: Settings
) -> DesiredSubscription | None:
    """Return an open event's desired subscription, or None.

    Asks Graph only if the subscription is due for renewal or not accepted.
    """
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
        return target  # assume it is open; the next run asks again
    return target if goes_on else None
