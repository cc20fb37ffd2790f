"""Create, renew, replace and adopt the app's Graph subscriptions.

    move:     try the new way (the caller) ─▶ replace
    replace:  queue a sweep (the caller) ─▶ delete ─▶ create ─┬─▶ done
                                                              └─▶ failed: create the former one again

Graph allows one subscription per app, change type and resource, so the old one must be deleted before the new one
exists, also where the two deliver in different ways. The sweep finds what Graph would have announced in the gap.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from .. import logs, times
from ..crypto.decryption import Keys
from ..errors import AttendanceError, Conflict, Refused, SubscriptionError, ValidationFailed
from ..graph.client import Graph
from ..graph.delivery import door_of, notification_url
from ..graph.subscriptions import (
    NewSubscription,
    Subscription,
    create_subscription,
    delete_subscription,
    renew_subscription,
)
from ..settings import Settings, fingerprint
from ..storage.subscription_registry import SubscriptionRegistry
from .desired import ALL_CALL_RECORDS, DesiredSubscription
from .plan import client_state_of, has_same_target, is_accepted, is_ours

CREATE_TRIES = 3
MINUTE = timedelta(minutes=1)
TRIAL = timedelta(hours=1)


class SubscriptionChanges:
    """Changes to subscriptions.

    `validation` is the failure of Graph's last handshake with our address: "" after success, None if there was none.
    `created` is when the last subscription was created, None if there was none.
    """

    def __init__(self, graph: Graph, settings: Settings, keys: Keys, registry: SubscriptionRegistry) -> None:
        self._graph = graph
        self._registry = registry
        self._settings = settings
        self._keys = keys
        self.validation: str | None = None
        self.created: datetime | None = None

    def create(self, desired: DesiredSubscription) -> None:
        """Create a subscription, or adopt an existing one.

        Raises a GraphError or SubscriptionError.
        """
        self._create(self._new(desired))

    def renew(self, subscription: Subscription, lifetime: timedelta) -> None:
        """Extend a subscription by `lifetime`. Raises a GraphError."""
        certificate = self._keys.current() if subscription.certificate_id else None
        renew_subscription(self._graph, subscription, lifetime, certificate)

    def replace(self, former: Subscription, desired: DesiredSubscription) -> None:
        """Delete a subscription and create its successor; if that fails, restore it.

        Raises a GraphError if nothing was changed, and SubscriptionError if there is no successor.
        """
        new = self._new(desired)  # before the deletion, because it may need the key vault
        delete_subscription(self._graph, former.id, former.resource)
        try:
            self._create(new)
        except AttendanceError as failure:
            restored = self._restore(former, new)
            raise SubscriptionError(
                f"The subscription to {desired.resource} was deleted, but its successor could not be created "
                f"({failure}). {restored}"
            ) from failure

    def try_delivery(self) -> None:
        """Create and delete a subscription to see whether Graph can deliver.

        It delivers by DELIVERY, and nothing needs it. It is to updates of call records, because Graph allows one
        for each change type: the one that delivers stays. Raises a GraphError.
        """
        new = self._new(DesiredSubscription(ALL_CALL_RECORDS, "updated", TRIAL))
        try:
            created = create_subscription(self._graph, new)
        except Conflict:
            return  # of a trial before, which is deleted as unwanted
        except ValidationFailed as failure:
            self.validation = str(failure)
            raise
        if created:
            delete_subscription(self._graph, created, new.resource)

    def _restore(self, former: Subscription, new: NewSubscription) -> str:
        """Create a deleted subscription again; return a sentence about the result."""
        client_state = client_state_of(former, self._settings)
        if client_state is None:
            return "The previous one had a clientState that the app does not accept, so it was not restored."
        again = replace(
            new,
            notification_url=former.notification_url,
            lifecycle_url=former.lifecycle_url or new.lifecycle_url,
            client_state=client_state,
        )
        try:
            self._create(again)
        except AttendanceError as failure:
            return f"The previous one could not be restored ({failure}); the next run tries again."
        return "The previous one was restored; the next run tries again."

    def _new(self, desired: DesiredSubscription) -> NewSubscription:
        return NewSubscription(
            desired.resource,
            desired.change_type,
            notification_url(self._settings),
            notification_url(self._settings, "lifecycle"),
            self._settings.client_state,
            desired.lifetime,
            self._keys.current() if desired.rich else None,
        )

    def _create(self, new: NewSubscription) -> None:
        timed_out = False
        for _ in range(CREATE_TRIES):
            ahead = self._clock_ahead()
            try:
                created = create_subscription(self._graph, new)
            except Conflict as conflict:
                if self._adopt(new, conflict):
                    return
            except ValidationFailed as failure:
                self.validation = str(failure)
                if timed_out or "timed out" not in failure.hint:
                    raise
                timed_out = True  # which has woken a cold app: once more
            except Refused:
                if abs(self._clock_ahead() - ahead) < MINUTE:
                    raise  # else this answer told the clock by which the expiry is to be counted
            else:
                self.validation, self.created = "", times.now()
                if created:
                    door = door_of(new.notification_url)
                    self._registry.add(created, new.resource, fingerprint(new.client_state), door)
                return
        raise SubscriptionError(
            f"Graph says that a subscription to {new.resource} exists, but lists none of ours."
        )

    def _clock_ahead(self) -> timedelta:
        """How far Graph's clock is ahead of ours, as far as is known."""
        return self._graph.now() - times.now()

    def _adopt(self, new: NewSubscription, conflict: Conflict) -> bool:
        """After a 409, renew our accepted subscription and delete other ones of ours.

        Return whether one was adopted. Raises SubscriptionError for one at another address, which is left alone.
        """
        same = [each for each in self._registry.listed() if has_same_target(each, new)]
        ours = [each for each in same if is_ours(each, self._settings)]
        if same and not ours:
            raise SubscriptionError(
                f"This identity already has a subscription to {new.resource} at another address ({conflict})."
            )
        accepted = next((each for each in ours if is_accepted(each, self._settings)), None)
        for each in ours:
            if each is not accepted:
                delete_subscription(self._graph, each.id, each.resource)
        if accepted:
            logs.info(
                "subscription.adopted",
                subscription=accepted.id,
                resource=new.resource,
                requestId=self._graph.request_id,
            )
            self.renew(accepted, new.lifetime)
        return accepted is not None
