"""Plan the steps from existing to desired subscriptions: pure functions.

Graph's list is the only truth about which exist. A subscription is ours if its notification URL leads to this app, or
if the registry has an entry of it; others are left alone. Graph never shows a `clientState`, so a webhook's URL has its
fingerprint (`?k=`), and the entry has that of the others: a subscription with another one would deliver notifications
that we refuse, and is replaced, as is one that delivers in another way than DELIVERY. Clocks decide no deletion: a
subscription that looks expired is renewed like any other that is due.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ..graph.delivery import is_same_address, leads_here, notification_url
from ..graph.subscriptions import NewSubscription, Subscription
from ..settings import Settings, fingerprint
from .desired import DesiredSubscription


@dataclass(frozen=True)
class Plan:
    """The steps of one run, in order; `keep` needs none, `delete` is no longer needed."""

    renew: tuple[tuple[Subscription, DesiredSubscription], ...] = ()
    replace: tuple[tuple[Subscription, DesiredSubscription], ...] = ()
    create: tuple[DesiredSubscription, ...] = ()
    keep: tuple[Subscription, ...] = ()
    delete: tuple[Subscription, ...] = ()


def plan_steps(
    existing: Sequence[Subscription],
    desired: Iterable[DesiredSubscription],
    settings: Settings,
    now: datetime,
) -> Plan:
    """Return the steps after which each desired subscription exists exactly once."""
    renew, replace, create = [], [], []
    keep: list[Subscription] = []
    delete = [each for each in existing if is_ours(each, settings)]
    for each in desired:
        candidates = [one for one in delete if has_same_target(one, each)]
        if not candidates:
            create.append(each)
            continue
        best = max(
            candidates,
            key=lambda one: (is_accepted(one, settings), is_current(one, settings), one.expires),
        )
        delete.remove(best)
        due = is_due(best, each, now)
        if not is_accepted(best, settings) or (due and not is_current(best, settings)):
            replace.append((best, each))  # a rotated clientState is replaced at renewal
        elif due:
            renew.append((best, each))
        else:
            keep.append(best)
    return Plan(tuple(renew), tuple(replace), tuple(create), tuple(keep), tuple(delete))


def is_ours(subscription: Subscription, settings: Settings) -> bool:
    """Whether it delivers to this app, or did when the app created it."""
    return leads_here(subscription.notification_url, settings) or subscription.registered is not None


def is_accepted(subscription: Subscription, settings: Settings) -> bool:
    """Whether it delivers as DELIVERY says, with a known clientState.

    Lifecycle notifications must be delivered too. A lifecycleNotificationUrl cannot be added later, so a
    subscription without one is replaced.
    """
    return (
        is_same_address(subscription.notification_url, notification_url(settings))
        and is_same_address(subscription.lifecycle_url, notification_url(settings, "lifecycle"))
        and client_state_of(subscription, settings) is not None
    )


def is_current(subscription: Subscription, settings: Settings) -> bool:
    """Whether it sends the current clientState."""
    return client_state_of(subscription, settings) == settings.client_state


def is_due(subscription: Subscription, desired: DesiredSubscription, now: datetime) -> bool:
    """Whether it is due for renewal: past half of its lifetime."""
    return subscription.expires - now < desired.lifetime / 2


def has_same_target(subscription: Subscription, desired: DesiredSubscription | NewSubscription) -> bool:
    """Whether resource and change type are the same; Graph allows an app one of those."""
    resource = subscription.resource.strip("/").lower()
    return resource == desired.resource.lower() and subscription.change_type.lower() == desired.change_type


def client_state_of(subscription: Subscription, settings: Settings) -> str | None:
    """Return the client state that it sends.

    None if its fingerprint is of none that we accept.
    """
    states = settings.client_states
    return next((state for state in states if fingerprint(state) == subscription.fingerprint), None)
