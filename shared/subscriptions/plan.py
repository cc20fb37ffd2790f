"""Graph subscriptions: what there is, what is wanted, and the steps from one to the other. Nothing here changes any.

Graph's list is the only truth; nothing is remembered between runs. A subscription is ours when its notification
URL is at NOTIFICATION_BASE_URL; all others are left alone. Graph never shows a `clientState`, so the URL carries its
fingerprint (`?k=`): a subscription with another one would deliver notifications that we refuse, and is made anew.
Source: https://learn.microsoft.com/graph/api/resources/subscription
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

from .. import times
from ..graph.client import Graph
from ..settings import Settings, fingerprint
from .desired import Wanted


@dataclass(frozen=True)
class Subscription:
    """A subscription as Graph lists it."""

    id: str
    resource: str
    change_type: str
    notification_url: str
    lifecycle_url: str
    expires: datetime
    certificate_id: str = ""


@dataclass(frozen=True)
class Plan:
    """The steps of one run: `keep` needs none, `create` comes after `delete`."""

    create: tuple[Wanted, ...]
    renew: tuple[tuple[Subscription, Wanted], ...]
    keep: tuple[Subscription, ...]
    delete: tuple[Subscription, ...]


def notification_url(settings: Settings, route: str = "notifications") -> str:
    """Where Graph is to deliver, with the fingerprint of the current client state."""
    return f"{settings.notification_base_url}/{route}?k={fingerprint(settings.client_state)}"


def plan(
    existing: Sequence[Subscription], wants: Iterable[Wanted], settings: Settings, now: datetime
) -> Plan:
    """What to do so that each wanted subscription exists once and delivers what we accept."""
    create: list[Wanted] = []
    renew: list[tuple[Subscription, Wanted]] = []
    keep: list[Subscription] = []
    delete = [each for each in existing if is_ours(each, settings)]
    for want in wants:
        usable = [each for each in delete if answers(each, want) and is_usable(each, settings, now)]
        if not usable:
            create.append(want)
            continue
        best = max(
            usable,
            key=lambda each: (fingerprint_of(each) == fingerprint(settings.client_state), each.expires),
        )
        due = is_due(best, want, now)
        if due and fingerprint_of(best) != fingerprint(settings.client_state):
            create.append(want)  # the rotation ends here: the new one carries the current client state
            continue
        delete.remove(best)
        if due:
            renew.append((best, want))
        else:
            keep.append(best)
    return Plan(tuple(create), tuple(renew), tuple(keep), tuple(delete))


def listed(graph: Graph) -> list[Subscription]:
    """All of this app's subscriptions, page by page. Raises a GraphError."""
    pages = graph.pages("subscriptions", "list subscriptions")
    return [found for page in pages for item in page if (found := parse(item))]


def parse(item: object) -> Subscription | None:
    """A listed subscription, or None for one without the properties that every subscription has."""
    if not isinstance(item, dict):
        return None
    id_, resource, change_type, url = (
        item.get(name) for name in ("id", "resource", "changeType", "notificationUrl")
    )
    try:
        expires = times.parse(item.get("expirationDateTime"))
    except ValueError:
        return None
    if not id_ or not resource or not change_type or not url or expires is None:
        return None
    lifecycle = item.get("lifecycleNotificationUrl") or ""
    certificate = item.get("encryptionCertificateId")
    return Subscription(
        str(id_), str(resource), str(change_type), str(url), str(lifecycle), expires, str(certificate or "")
    )


def is_ours(subscription: Subscription, settings: Settings) -> bool:
    """Whether it delivers to this app's address."""
    return _address(subscription.notification_url) == _address(notification_url(settings))


def is_accepted(subscription: Subscription, settings: Settings) -> bool:
    """Whether it sends a client state that we accept, and its lifecycle notifications to us.

    A lifecycleNotificationUrl cannot be added later, so one without it is made anew.
    """
    lifecycle = _address(subscription.lifecycle_url) == _address(notification_url(settings, "lifecycle"))
    return lifecycle and fingerprint_of(subscription) in [
        fingerprint(state) for state in settings.client_states
    ]


def is_usable(subscription: Subscription, settings: Settings, now: datetime) -> bool:
    """Whether it delivers what we accept, and is not over."""
    return is_accepted(subscription, settings) and subscription.expires > now


def is_due(subscription: Subscription, want: Wanted, now: datetime) -> bool:
    """Whether it is to be renewed: at half of its life."""
    return subscription.expires - now < want.lifetime / 2


def answers(subscription: Subscription, want: Wanted) -> bool:
    """Whether it is to the wanted resource and change."""
    resource = subscription.resource.strip("/").lower()
    return resource == want.resource.lower() and subscription.change_type.lower() == want.change_type


def _address(url: str) -> tuple[str, str | None, int | None, str] | None:
    """What tells two addresses apart, without the query."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return None
    return parts.scheme, parts.hostname, port, parts.path.rstrip("/")


def fingerprint_of(subscription: Subscription) -> str | None:
    """The fingerprint of the client state that it sends, as its URL carries it."""
    return parse_qs(urlsplit(subscription.notification_url).query).get("k", [None])[0]
