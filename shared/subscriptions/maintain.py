"""The upkeep of the app's Graph subscriptions: made, renewed, adopted and deleted, with what came of it put down.

What there is and what is wanted is compared in `subscriptions`; how each wanted one stands is told in `standing`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from .. import logs, times
from ..errors import AccessDenied, AttendanceError, Conflict, GraphError, NotFound, SubscriptionError
from ..graph import events
from ..graph.client import BETA, Graph, segment
from ..messages.signals import EventKind
from ..services import Services
from ..settings import CALL_EVENTS, VIRTUAL_EVENTS, Settings
from ..storage import heartbeat
from . import desired, status
from .desired import Wanted
from .handshake import handshake
from .plan import (
    Subscription,
    answers,
    is_accepted,
    is_due,
    is_ours,
    is_usable,
    listed,
    notification_url,
    parse,
    plan,
)
from .status import Watched

CREATE_TRIES = 3


def maintain(services: Services) -> None:
    """One run: list, compare, then delete, renew and create; what came of it is put down for people.

    Every step is tried even when another fails. Raises SubscriptionError in the end when a wanted subscription
    could not be had, and GraphError when Graph's list could not be read.
    """
    problems: list[str] = []
    found: tuple[Watched, ...] | None = None
    try:
        found = _run(services, problems)
    except GraphError as failure:
        problems.append(str(failure))
        raise
    finally:
        told = None if found is None else [status.fields(each) for each in found]
        services.heartbeat.tell(heartbeat.MAINTENANCE, {"problems": problems, "subscriptions": told})
    if problems:
        raise SubscriptionError(" ".join(problems))


def _run(services: Services, problems: list[str]) -> tuple[Watched, ...]:
    """The steps of one run, with their problems; how the subscriptions stand after it."""
    settings, there = services.settings, listed(services.graph)
    wants = _wants(there, services)
    todo = plan(there, wants, settings, services.graph.now())
    for subscription, want in todo.renew:
        _tried(problems, partial(_renew, services, subscription, want))
    # What is to be made anew is deleted only when the new one can be made.
    reachable = not todo.create or _tried(problems, partial(shake_hands, settings))
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
    if todo.renew or todo.delete or todo.create:
        there = listed(services.graph)
    return status.overview(there, wants, settings, services.graph.now())


def standings(services: Services) -> tuple[Watched, ...]:
    """How all subscriptions of the app's identity stand now. Raises GraphError."""
    there = listed(services.graph)
    return status.overview(there, _wants(there, services), services.settings, services.graph.now())


def _wants(there: Sequence[Subscription], services: Services) -> list[Wanted]:
    """All that is wanted now. Of an event, what there is is wanted on while the event goes on."""
    settings = services.settings
    wants = [*desired.always(settings)]
    if CALL_EVENTS in settings.signals:
        wants += desired.of_meetings(settings, services.watch.listed())
    of_events = [each for each in there if is_ours(each, settings) and desired.event_of(each.resource)]
    if VIRTUAL_EVENTS in settings.signals:
        found = {want: None for each in of_events if (want := _of_event_that_goes_on(each, services))}
        wants += found
    return wants


def _of_event_that_goes_on(there: Subscription, services: Services) -> Wanted | None:
    """What is wanted of an event that has a subscription. Asks Graph only where that is due or cannot be used."""
    event = desired.event_of(there.resource)
    if event is None:
        return None
    want, now = desired.of_event(*event), services.graph.now()
    if is_usable(there, services.settings, now) and not is_due(there, want, now):
        return want
    try:
        goes_on = events.event(services.graph, *event).goes_on(now, desired.REPORTS_LATE)
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
    if not in_scope or not event.goes_on(services.graph.now(), desired.REPORTS_LATE):
        logs.info("event.passed", meeting=event_id, requestId=services.graph.request_id)
        return
    _create(services, desired.of_event(kind, event_id))


def renew(services: Services, subscription_id: str) -> None:
    """Renew one subscription, which also reauthorizes it; when it is gone, go through all."""
    graph = services.graph
    try:
        there = parse(graph.get(f"subscriptions/{segment(subscription_id)}", "get subscription"))
        if there is None:
            raise NotFound("get subscription", "it has no resource")
        _extend(services, there, desired.longest(there.resource))
    except NotFound:
        maintain(services)


def delete(services: Services, subscription_id: str) -> None:
    """Delete one subscription of the app's identity. Raises GraphError."""
    _remove(services.graph, subscription_id, None)


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


def shake_hands(settings: Settings) -> None:
    """Validate both webhooks as Graph will. Raises SubscriptionError."""
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
        shake_hands(services.settings)
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
    _remove(graph, subscription.id, subscription.resource)


def _remove(graph: Graph, subscription_id: str, resource: str | None) -> None:
    try:
        graph.delete(f"subscriptions/{segment(subscription_id)}", "delete subscription")
    except NotFound:
        return
    logs.info(
        "subscription.deleted", subscription=subscription_id, resource=resource, requestId=graph.request_id
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
