"""The steps from the subscriptions that exist to those that the app needs. Nothing here asks Graph or changes any.

Graph's list is the only truth; nothing is remembered between runs. A subscription is ours when its notification
URL is at NOTIFICATION_BASE_URL; all others are left alone. Graph never shows a `clientState`, so the URL carries its
fingerprint (`?k=`): a subscription with another one would deliver notifications that we refuse, and is replaced.
No clock decides a deletion: a subscription that looks expired is renewed like any other that is due.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

from ..graph.subscriptions import NewSubscription, Subscription
from ..settings import Settings, fingerprint
from .desired import DesiredSubscription


@dataclass(frozen=True)
class Plan:
    """The steps of one run, in their order; `keep` needs none, and `delete` is what nobody asks for."""

    renew: tuple[tuple[Subscription, DesiredSubscription], ...] = ()
    replace: tuple[tuple[Subscription, DesiredSubscription], ...] = ()
    create: tuple[DesiredSubscription, ...] = ()
    keep: tuple[Subscription, ...] = ()
    delete: tuple[Subscription, ...] = ()


def notification_url(settings: Settings, route: str = "notifications") -> str:
    """Where Graph is to deliver, with the fingerprint of the current client state."""
    return f"{settings.notification_base_url}/{route}?k={fingerprint(settings.client_state)}"


def plan_steps(
    existing: Sequence[Subscription],
    desired: Iterable[DesiredSubscription],
    settings: Settings,
    now: datetime,
) -> Plan:
    """The steps after which each desired subscription exists once and delivers what we accept."""
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
            replace.append((best, each))  # the second: a rotation ends when its renewal is due
        elif due:
            renew.append((best, each))
        else:
            keep.append(best)
    return Plan(tuple(renew), tuple(replace), tuple(create), tuple(keep), tuple(delete))


def is_ours(subscription: Subscription, settings: Settings) -> bool:
    """Whether it delivers to this app's address."""
    return _address(subscription.notification_url) == _address(notification_url(settings))


def is_accepted(subscription: Subscription, settings: Settings) -> bool:
    """Whether it sends a client state that we accept, and its lifecycle notifications to us.

    A lifecycleNotificationUrl cannot be added later, so one without it is replaced.
    """
    lifecycle = _address(subscription.lifecycle_url) == _address(notification_url(settings, "lifecycle"))
    return lifecycle and client_state_of(subscription, settings) is not None


def is_current(subscription: Subscription, settings: Settings) -> bool:
    """Whether it sends the current client state."""
    return client_state_of(subscription, settings) == settings.client_state


def is_due(subscription: Subscription, desired: DesiredSubscription, now: datetime) -> bool:
    """Whether it is to be renewed: at half of its life."""
    return subscription.expires - now < desired.lifetime / 2


def has_same_target(subscription: Subscription, wanted: DesiredSubscription | NewSubscription) -> bool:
    """Whether it is to the same resource and change type: Graph allows an app one of those."""
    resource = subscription.resource.strip("/").lower()
    return resource == wanted.resource.lower() and subscription.change_type.lower() == wanted.change_type


def client_state_of(subscription: Subscription, settings: Settings) -> str | None:
    """The client state that it sends, or None where the fingerprint in its URL is of none that we accept."""
    query = parse_qs(urlsplit(subscription.notification_url).query)
    key = query.get("k", [None])[0]
    return next((state for state in settings.client_states if fingerprint(state) == key), None)


def _address(url: str) -> tuple[str, str | None, int | None, str] | None:
    """The parts of a URL that make two addresses differ; its query is none of them."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return None
    return parts.scheme, parts.hostname, port, parts.path.rstrip("/")
