"""Graph subscriptions: what there is, what is wanted, and the steps from one to the other.

Graph's list is the only truth; nothing is remembered between runs. A subscription is ours when its notification
URL is at NOTIFICATION_BASE_URL; all others are left alone. Graph never shows a `clientState`, so the URL carries its
fingerprint (`?k=`): a subscription with another one would deliver notifications that we refuse, and is made anew.
Source: https://learn.microsoft.com/graph/api/resources/subscription
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import parse_qs, urlsplit

from shared import heartbeat, logs, times
from shared.errors import AttendanceError, Conflict, GraphError, NotFound, Refused, SubscriptionError
from shared.graph import Graph, segment
from shared.handshake import handshake
from shared.services import Services
from shared.settings import CALL_RECORDS, Settings, fingerprint

LIFETIME = timedelta(minutes=4_220)  # Graph takes 4,230 at most; its clock is not ours
CREATE_TRIES = 3


@dataclass(frozen=True)
class Wanted:
    """A subscription that the settings ask for."""

    resource: str
    change_type: str
    lifetime: timedelta = LIFETIME


@dataclass(frozen=True)
class Subscription:
    """A subscription as Graph lists it."""

    id: str
    resource: str
    change_type: str
    notification_url: str
    lifecycle_url: str
    expires: datetime


@dataclass(frozen=True)
class Plan:
    """The steps of one run: `keep` needs none, `create` comes after `delete`."""

    create: tuple[Wanted, ...]
    renew: tuple[tuple[Subscription, Wanted], ...]
    keep: tuple[Subscription, ...]
    delete: tuple[Subscription, ...]


def wanted(settings: Settings) -> tuple[Wanted, ...]:
    """What SIGNALS asks for."""
    return (Wanted("communications/callRecords", "created"),) if CALL_RECORDS in settings.signals else ()


def notification_url(settings: Settings, route: str = "notifications") -> str:
    """Where Graph is to deliver, with the fingerprint of the current client state."""
    return f"{settings.notification_base_url}/{route}?k={fingerprint(settings.client_state)}"


def plan(existing: Sequence[Subscription], settings: Settings, now: datetime) -> Plan:
    """What to do so that each wanted subscription exists once and delivers what we accept."""
    create: list[Wanted] = []
    renew: list[tuple[Subscription, Wanted]] = []
    keep: list[Subscription] = []
    delete = [each for each in existing if is_ours(each, settings)]
    for want in wanted(settings):
        usable = [
            each
            for each in delete
            if answers(each, want) and is_accepted(each, settings) and each.expires > now
        ]
        if not usable:
            create.append(want)
            continue
        best = max(
            usable, key=lambda each: (_fingerprint(each) == fingerprint(settings.client_state), each.expires)
        )
        due = best.expires - now < want.lifetime / 2
        if due and _fingerprint(best) != fingerprint(settings.client_state):
            create.append(want)  # the rotation ends here: the new one carries the current client state
            continue
        delete.remove(best)
        if due:
            renew.append((best, want))
        else:
            keep.append(best)
    return Plan(tuple(create), tuple(renew), tuple(keep), tuple(delete))


def run(services: Services) -> None:
    """What the timer does; what came of it is put down for the health page. Raises as `maintain` does."""
    problems: list[str] = []
    try:
        maintain(services.graph, services.settings)
    except (GraphError, SubscriptionError) as failure:
        problems.append(str(failure))
        raise
    finally:
        services.heartbeat.tell(heartbeat.MAINTENANCE, {"problems": problems})


def maintain(graph: Graph, settings: Settings) -> None:
    """One run: list, compare, then delete, renew and create.

    Every step is tried even when another fails. Raises SubscriptionError in the end when a wanted subscription
    could not be had, and GraphError when Graph's list could not be read.
    """
    todo = plan(listed(graph), settings, graph.now())
    problems: list[str] = []
    for subscription, want in todo.renew:
        _tried(problems, partial(_renew, graph, settings, subscription, want))
    # What is to be made anew is deleted only when the new one can be made.
    reachable = not todo.create or _tried(problems, partial(_shake_hands, settings))
    for subscription in todo.delete if reachable else ():
        _tried(problems, partial(_delete, graph, subscription))
    for want in todo.create if reachable else ():
        _tried(problems, partial(_create, graph, settings, want))
    for subscription in todo.keep:
        logs.info(
            "subscription.kept",
            subscription=subscription.id,
            expires=subscription.expires,
            requestId=graph.request_id,
        )
    if problems:
        raise SubscriptionError(" ".join(problems))


def renew(graph: Graph, settings: Settings, subscription_id: str) -> None:
    """Renew one subscription, which also reauthorizes it; when it is gone, go through all."""
    try:
        _extend(graph, subscription_id, LIFETIME)
    except Refused:  # the refusal told Graph's clock, should ours be ahead of it
        _extend(graph, subscription_id, LIFETIME)
    except NotFound:
        maintain(graph, settings)


def listed(graph: Graph) -> list[Subscription]:
    """All of this app's subscriptions, page by page. Raises a GraphError."""
    pages = graph.pages("subscriptions", "list subscriptions")
    return [found for page in pages for item in page if (found := _parse(item))]


def _tried(problems: list[str], step: Callable[[], None]) -> bool:
    try:
        step()
    except AttendanceError as failure:
        logs.error(
            "subscription.failed",
            error=str(failure),
            requestId=getattr(failure, "request_id", None) or None,
        )
        problems.append(str(failure))
        return False
    return True


def _shake_hands(settings: Settings) -> None:
    for route in ("notifications", "lifecycle"):
        handshake(notification_url(settings, route))


def _create(graph: Graph, settings: Settings, want: Wanted) -> None:
    for _ in range(CREATE_TRIES):
        try:
            created = graph.post("subscriptions", "create subscription", _body(graph, settings, want))
        except Conflict as conflict:
            if _adopt(graph, settings, want, conflict):
                return
            continue
        logs.info(
            "subscription.created",
            subscription=created.get("id"),
            resource=want.resource,
            requestId=graph.request_id,
        )
        return
    raise SubscriptionError(
        f"Graph says that a subscription to {want.resource} exists, but lists none of ours."
    )


def _adopt(graph: Graph, settings: Settings, want: Wanted, conflict: Conflict) -> bool:
    """After a 409: keep the one that is there if it delivers what we accept, clear the way if it is ours.

    Whether it was adopted. Raises SubscriptionError when it is not at our URL, for such a one is left alone.
    """
    same = [each for each in listed(graph) if answers(each, want)]
    ours = [each for each in same if is_ours(each, settings)]
    if same and not ours:
        raise SubscriptionError(
            f"This identity already has a subscription to {want.resource} at another address ({conflict}). "
            "Delete it there, or give this deployment an identity of its own."
        )
    accepted = [each for each in ours if is_accepted(each, settings)]
    for each in ours:
        if each not in accepted:
            _delete(graph, each)
    if accepted:
        logs.info(
            "subscription.adopted",
            subscription=accepted[0].id,
            resource=want.resource,
            requestId=graph.request_id,
        )
        _extend(graph, accepted[0].id, want.lifetime)
    return bool(accepted)


def _renew(graph: Graph, settings: Settings, subscription: Subscription, want: Wanted) -> None:
    try:
        _extend(graph, subscription.id, want.lifetime)
    except NotFound:
        _shake_hands(settings)
        _create(graph, settings, want)
    except GraphError as failure:
        # Whatever Graph dislikes about renewing it, it lives until its expiry and the next run tries again.
        raise SubscriptionError(f"Subscription {subscription.id} was not renewed ({failure}).") from None


def _extend(graph: Graph, subscription_id: str, lifetime: timedelta) -> None:
    expires = graph.now() + lifetime
    body = {"expirationDateTime": times.text(expires)}
    graph.patch(f"subscriptions/{segment(subscription_id)}", "renew subscription", body)
    logs.info(
        "subscription.renewed",
        subscription=subscription_id,
        expires=expires,
        requestId=graph.request_id,
    )


def _delete(graph: Graph, subscription: Subscription) -> None:
    try:
        graph.delete(f"subscriptions/{segment(subscription.id)}", "delete subscription")
    except NotFound:
        return
    logs.info(
        "subscription.deleted",
        subscription=subscription.id,
        resource=subscription.resource,
        requestId=graph.request_id,
    )


def _body(graph: Graph, settings: Settings, want: Wanted) -> dict[str, str]:
    return {
        "changeType": want.change_type,
        "resource": want.resource,
        "notificationUrl": notification_url(settings),
        "lifecycleNotificationUrl": notification_url(settings, "lifecycle"),
        "expirationDateTime": times.text(graph.now() + want.lifetime),
        "clientState": settings.client_state,
    }


def _parse(item: object) -> Subscription | None:
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
    return Subscription(str(id_), str(resource), str(change_type), str(url), str(lifecycle), expires)


def is_ours(subscription: Subscription, settings: Settings) -> bool:
    """Whether it delivers to this app's address."""
    return _address(subscription.notification_url) == _address(notification_url(settings))


def is_accepted(subscription: Subscription, settings: Settings) -> bool:
    """Whether it sends a client state that we accept, and its lifecycle notifications to us.

    A lifecycleNotificationUrl cannot be added later, so one without it is made anew.
    """
    lifecycle = _address(subscription.lifecycle_url) == _address(notification_url(settings, "lifecycle"))
    return lifecycle and _fingerprint(subscription) in [
        fingerprint(state) for state in settings.client_states
    ]


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


def _fingerprint(subscription: Subscription) -> str | None:
    return parse_qs(urlsplit(subscription.notification_url).query).get("k", [None])[0]
