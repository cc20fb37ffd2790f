"""Graph subscriptions: what there is, what is wanted, and the steps from one to the other.

Graph's list is the only truth; nothing is remembered between runs. A subscription is ours when its notification
URL is at NOTIFICATION_BASE_URL; all others are left alone. Graph never shows a `clientState`, so the URL carries its
fingerprint (`?k=`): a subscription with another one would deliver notifications that we refuse, and is made anew.
Source: https://learn.microsoft.com/graph/api/resources/subscription
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

from shared import events, heartbeat, logs, times, wanted
from shared.errors import (
    AccessDenied,
    AttendanceError,
    Conflict,
    GraphError,
    NotFound,
    SubscriptionError,
)
from shared.graph import BETA, Graph, segment
from shared.handshake import handshake
from shared.services import Services
from shared.settings import CALL_EVENTS, VIRTUAL_EVENTS, Settings, fingerprint
from shared.signals import EventKind
from shared.wanted import Wanted

CREATE_TRIES = 3


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
            usable, key=lambda each: (_fingerprint(each) == fingerprint(settings.client_state), each.expires)
        )
        due = is_due(best, want, now)
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
        maintain(services)
    except (GraphError, SubscriptionError) as failure:
        problems.append(str(failure))
        raise
    finally:
        services.heartbeat.tell(heartbeat.MAINTENANCE, {"problems": problems})


def maintain(services: Services) -> None:
    """One run: list, compare, then delete, renew and create.

    Every step is tried even when another fails. Raises SubscriptionError in the end when a wanted subscription
    could not be had, and GraphError when Graph's list could not be read.
    """
    settings, there = services.settings, listed(services.graph)
    todo = plan(there, _wants(there, services), settings, services.graph.now())
    problems: list[str] = []
    for subscription, want in todo.renew:
        _tried(problems, partial(_renew, services, subscription, want))
    # What is to be made anew is deleted only when the new one can be made.
    reachable = not todo.create or _tried(problems, partial(_shake_hands, settings))
    for subscription in todo.delete if reachable else ():
        _tried(problems, partial(_delete, services.graph, subscription))
    for want in todo.create if reachable else ():
        _tried(problems, partial(_create, services, want))
    for subscription in todo.keep:
        logs.info(
            "subscription.kept",
            subscription=subscription.id,
            expires=subscription.expires,
            requestId=services.graph.request_id,
        )
    if problems:
        raise SubscriptionError(" ".join(problems))


def _wants(there: Sequence[Subscription], services: Services) -> list[Wanted]:
    """All that is wanted now. Of an event, what there is is wanted on while the event goes on."""
    settings = services.settings
    wants = [*wanted.always(settings)]
    if CALL_EVENTS in settings.signals:
        wants += wanted.of_meetings(settings, services.watch.listed())
    of_events = [each for each in there if is_ours(each, settings) and wanted.event_of(each.resource)]
    if VIRTUAL_EVENTS in settings.signals:
        found = {want: None for each in of_events if (want := _of_event_that_goes_on(each, services))}
        wants += found
    return wants


def _of_event_that_goes_on(there: Subscription, services: Services) -> Wanted | None:
    """What is wanted of an event that has a subscription. Asks Graph only where that is due or cannot be used."""
    event = wanted.event_of(there.resource)
    if event is None:
        return None
    want, now = wanted.of_event(*event), services.graph.now()
    if is_usable(there, services.settings, now) and not is_due(there, want, now):
        return want
    try:
        goes_on = events.event(services.graph, *event).goes_on(now, wanted.REPORTS_LATE)
    except NotFound:
        return None
    except GraphError:
        return want  # the next run will know more
    return want if goes_on else None


def subscribe(services: Services, kind: EventKind, event_id: str) -> None:
    """Have Graph announce the reports of one event, if it goes on and its organizer is one of ours.

    Raises a GraphError or SubscriptionError.
    """
    try:
        event = events.event(services.graph, kind, event_id)
    except AccessDenied as failure:  # once access is given, the sweep finds the event
        logs.warning(
            "event.denied", meeting=event_id, error=str(failure), requestId=failure.request_id or None
        )
        return
    organizers = services.settings.organizers
    in_scope = not organizers or (event.organizer_id or "").lower() in organizers
    if not in_scope or not event.goes_on(services.graph.now(), wanted.REPORTS_LATE):
        logs.info("event.passed", meeting=event_id, requestId=services.graph.request_id)
        return
    _create(services, wanted.of_event(kind, event_id))


def renew(services: Services, subscription_id: str) -> None:
    """Renew one subscription, which also reauthorizes it; when it is gone, go through all."""
    graph = services.graph
    try:
        there = _parse(graph.get(f"subscriptions/{segment(subscription_id)}", "get subscription"))
        if there is None:
            raise NotFound("get subscription", "it has no resource")
        _extend(services, there, wanted.longest(there.resource))
    except NotFound:
        maintain(services)


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


def _create(services: Services, want: Wanted) -> None:
    graph, path = services.graph, "subscriptions"
    for _ in range(CREATE_TRIES):
        try:
            created = graph.post(
                BETA + path if want.rich else path, "create subscription", _body(services, want)
            )
        except Conflict as conflict:
            if _adopt(services, want, conflict):
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


def _adopt(services: Services, want: Wanted, conflict: Conflict) -> bool:
    """After a 409: keep the one that is there if it delivers what we accept, clear the way if it is ours.

    Whether it was adopted. Raises SubscriptionError when it is not at our URL, for such a one is left alone.
    """
    graph, settings = services.graph, services.settings
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
        _extend(services, accepted[0], want.lifetime)
    return bool(accepted)


def _renew(services: Services, subscription: Subscription, want: Wanted) -> None:
    try:
        _extend(services, subscription, want.lifetime)
    except NotFound:
        _shake_hands(services.settings)
        _create(services, want)
    except GraphError as failure:
        # Whatever Graph dislikes about renewing it, it lives until its expiry and the next run tries again.
        raise SubscriptionError(f"Subscription {subscription.id} was not renewed ({failure}).") from None


def _extend(services: Services, subscription: Subscription, lifetime: timedelta) -> None:
    """Move the expiry as far as it goes; what is encrypted is so with the current certificate from then on."""
    graph = services.graph
    expires = graph.now() + lifetime
    body = {"expirationDateTime": times.text(expires)}
    path = f"subscriptions/{segment(subscription.id)}"
    if subscription.certificate_id:
        body |= _certificate(services)
        path = BETA + path
    graph.patch(path, "renew subscription", body)
    logs.info(
        "subscription.renewed",
        subscription=subscription.id,
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


def _body(services: Services, want: Wanted) -> dict[str, Any]:
    settings = services.settings
    body: dict[str, Any] = {
        "changeType": want.change_type,
        "resource": want.resource,
        "notificationUrl": notification_url(settings),
        "lifecycleNotificationUrl": notification_url(settings, "lifecycle"),
        "expirationDateTime": times.text(services.graph.now() + want.lifetime),
        "clientState": settings.client_state,
    }
    return body | {"includeResourceData": True, **_certificate(services)} if want.rich else body


def _certificate(services: Services) -> dict[str, str]:
    certificate = services.keys.current()
    return {
        "encryptionCertificate": base64.b64encode(certificate.der).decode(),
        "encryptionCertificateId": certificate.id,
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
    return lifecycle and _fingerprint(subscription) in [
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


def _fingerprint(subscription: Subscription) -> str | None:
    return parse_qs(urlsplit(subscription.notification_url).query).get("k", [None])[0]
