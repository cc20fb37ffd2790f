"""The app's subscriptions as Graph last listed them.

They are `subscriptions/<id>.json` in the state container. Whoever learns the client state can post notifications
that authenticate, about calls that do not exist. The worker therefore takes only news of a subscription that Graph
has listed. An entry outlives its subscription, because its last news may still be on a queue.

The URL of a webhook shows that a subscription is ours, and the fingerprint of its client state. Event Hubs and Event
Grid have no room for that, so there an entry decides, which is written when the app creates the subscription.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from azure.core.exceptions import AzureError

from .. import logs, times
from ..errors import GraphError, NotOurMessage, Unavailable
from ..graph.client import Graph
from ..graph.delivery import door_of, leads_here
from ..graph.subscriptions import Subscription, list_subscriptions
from ..limits import Debounce
from ..messages import codec
from ..messages.signals import Door
from ..settings import Settings
from .state import StateStore

FOLDER = "subscriptions/"
MAX_ENTRIES = 10_000
KEPT = timedelta(days=8)  # a message waits on a queue for 7 days at most
CACHED = timedelta(minutes=10)
_JOIN_URL = re.compile(r"\(joinWebUrl=.*\)", re.IGNORECASE | re.DOTALL)
LISTED_EVERY = 60.0  # seconds, for an id that nobody knows


@dataclass(frozen=True)
class RegisteredSubscription:
    """A subscription that delivers or delivered to this app.

    `gone`: since when Graph does not list it.
    """

    resource: str
    fingerprint: str = ""
    delivery: Door = Door.WEBHOOK
    gone: datetime | None = None


class SubscriptionRegistry:
    """The registry of one app. Safe between threads.

    Looking up raises azure.core errors. Registering logs them: the worker asks Graph for its list where it needs to.
    """

    def __init__(self, state: StateStore, graph: Graph, settings: Settings) -> None:
        self._state = state
        self._graph = graph
        self._settings = settings
        self._lists = Debounce(LISTED_EVERY)
        self._cached_until: dict[str, datetime] = {}
        self._entries: dict[str, RegisteredSubscription] = {}
        self._lock = threading.Lock()

    def is_known(self, subscription_id: str) -> bool:
        """Whether a subscription is or was ours.

        For one that is not registered, Graph's list is asked.
        """
        now = times.now()
        with self._lock:
            until = self._cached_until.get(subscription_id)
        if until and now < until:
            return True
        is_known = self.is_registered(subscription_id) or self._is_listed(subscription_id)
        if is_known:
            with self._lock:
                self._cached_until[subscription_id] = now + CACHED
        return is_known

    def is_registered(self, subscription_id: str) -> bool:
        """Whether a subscription is or was ours, as far as the last list tells."""
        return self._state.read(_path(subscription_id)) is not None

    def listed(self) -> list[Subscription]:
        """Graph's list, with what is registered about subscriptions that are not webhooks.

        Raises a GraphError.
        """
        subscriptions = list_subscriptions(self._graph)
        try:
            return [self._with_fingerprint(each) for each in subscriptions]
        except AzureError as failure:
            reason = f"the entries of subscriptions cannot be read ({type(failure).__name__})"
            raise Unavailable("list subscriptions", reason) from failure

    def add(self, subscription_id: str, resource: str, fingerprint: str, delivery: Door) -> None:
        """Register a subscription that was created."""
        with _logged_errors():
            self._add(subscription_id, RegisteredSubscription(resource, fingerprint, delivery))

    def save(self, subscriptions: Iterable[Subscription]) -> None:
        """Register the subscriptions in Graph's list that deliver to this app.

        Forget those that are long gone.
        """
        with _logged_errors():
            self._save(subscriptions)

    def _add(self, subscription_id: str, entry: RegisteredSubscription) -> None:
        entry = replace(entry, resource=_without_join_url(entry.resource))
        self._state.put(_path(subscription_id), codec.encode(entry))

    def _save(self, subscriptions: Iterable[Subscription]) -> None:
        webhooks: dict[str, Subscription] = {}
        others: set[str] = set()
        for each in subscriptions:
            if door_of(each.notification_url) is not Door.WEBHOOK:
                others.add(_path(each.id))
            elif leads_here(each.notification_url, self._settings):
                webhooks[_path(each.id)] = each
        known = set(self._state.list_names(FOLDER, MAX_ENTRIES))
        for name in webhooks.keys() - known:
            each = webhooks[name]
            self._add(each.id, RegisteredSubscription(each.resource, each.fingerprint))
        for name in known - webhooks.keys() - others:
            self._forget(name)

    def _with_fingerprint(self, subscription: Subscription) -> Subscription:
        """The subscription with the fingerprint of its entry, unless its own URL has one."""
        if door_of(subscription.notification_url) is Door.WEBHOOK:
            return subscription
        entry = self._entries.get(subscription.id) or self._read(subscription.id)
        resource = _without_join_url(subscription.resource)
        if entry is None or entry.resource.strip("/").lower() != resource.strip("/").lower():
            return subscription
        self._entries[subscription.id] = entry
        return replace(subscription, registered=entry.fingerprint)

    def _read(self, subscription_id: str) -> RegisteredSubscription | None:
        entry = self._state.read(_path(subscription_id))
        try:
            return codec.decode(RegisteredSubscription, entry.content) if entry else None
        except NotOurMessage:
            return None

    def _forget(self, name: str) -> None:
        entry = self._state.read(name)
        if entry is None:
            return
        try:
            registered = codec.decode(RegisteredSubscription, entry.content)
        except NotOurMessage:
            self._state.remove(name, entry)
            return
        now = times.now()
        if registered.gone is None:
            self._state.write(name, {**entry.content, "gone": times.text(now)}, entry)
        elif now - registered.gone > KEPT:
            self._state.remove(name, entry)

    def _is_listed(self, subscription_id: str) -> bool:
        if not self._lists.allows("list"):
            return False
        try:
            subscriptions = list_subscriptions(self._graph)
        except GraphError as failure:
            logs.warning("registry.failed", error=str(failure), requestId=failure.request_id or None)
            return False
        self._save(subscriptions)
        return any(
            each.id == subscription_id and leads_here(each.notification_url, self._settings)
            for each in subscriptions
        )


@contextmanager
def _logged_errors() -> Iterator[None]:
    try:
        yield
    except AzureError as failure:
        logs.warning("registry.failed", error=type(failure).__name__)


def _without_join_url(resource: str) -> str:
    """Return the resource without a meeting's join URL.

    It names the organizer, and an entry outlives the watch.
    """
    return _JOIN_URL.sub("", resource)


def _path(subscription_id: str) -> str:
    return f"{FOLDER}{subscription_id}.json"
