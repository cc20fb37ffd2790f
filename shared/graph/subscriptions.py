"""The app's subscriptions at Graph: list, read, create, renew and delete them.

Graph never shows a `clientState`. It allows one subscription per app, change type and resource: a second create is a
Conflict, whatever its address. Sources: https://learn.microsoft.com/graph/api/resources/subscription and
https://learn.microsoft.com/graph/change-notifications-overview
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from .. import logs, times
from ..crypto.decryption import Certificate
from ..errors import NotFound
from .client import BETA, Graph, segment


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
class NewSubscription:
    """A subscription to create; one with a certificate is encrypted, and Graph has it in its beta version only."""

    resource: str
    change_type: str
    notification_url: str
    lifecycle_url: str
    client_state: str = field(repr=False)
    lifetime: timedelta
    certificate: Certificate | None = None


def list_subscriptions(graph: Graph) -> list[Subscription]:
    """All subscriptions of this app, page by page. Raises a GraphError."""
    pages = graph.list_pages("subscriptions", "list subscriptions")
    return [parsed for page in pages for item in page if (parsed := parse_subscription(item))]


def parse_subscription(item: object) -> Subscription | None:
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


def get_subscription(graph: Graph, subscription_id: str) -> Subscription:
    """One subscription. Raises a GraphError, NotFound also for one that cannot be read."""
    operation = "get subscription"
    subscription = parse_subscription(graph.get(_path(subscription_id), operation))
    if subscription is None:
        raise NotFound(operation, "it has no resource")
    return subscription


def create_subscription(graph: Graph, new: NewSubscription) -> None:
    """Create a subscription. Raises a GraphError: Conflict where one to this resource and change exists."""
    body: dict[str, Any] = {
        "changeType": new.change_type,
        "resource": new.resource,
        "notificationUrl": new.notification_url,
        "lifecycleNotificationUrl": new.lifecycle_url,
        "expirationDateTime": times.text(graph.now() + new.lifetime),
        "clientState": new.client_state,
    }
    path = "subscriptions"
    if new.certificate:
        body |= {"includeResourceData": True, **_certificate_fields(new.certificate)}
        path = BETA + path
    created = graph.post(path, "create subscription", body)
    logs.info(
        "subscription.created",
        subscription=created.get("id"),
        resource=new.resource,
        requestId=graph.request_id,
    )


def renew_subscription(
    graph: Graph, subscription: Subscription, lifetime: timedelta, certificate: Certificate | None = None
) -> None:
    """Move the expiry to `lifetime` from now, which also reauthorizes; encrypt with `certificate` from then on.

    Raises a GraphError.
    """
    expires = graph.now() + lifetime
    body: dict[str, Any] = {"expirationDateTime": times.text(expires)}
    path = _path(subscription.id)
    if certificate:
        body |= _certificate_fields(certificate)
        path = BETA + path
    graph.patch(path, "renew subscription", body)
    logs.info(
        "subscription.renewed",
        subscription=subscription.id,
        expires=expires,
        requestId=graph.request_id,
    )


def delete_subscription(graph: Graph, subscription_id: str, resource: str | None = None) -> None:
    """Delete a subscription; one that is gone is no error. Raises a GraphError."""
    try:
        graph.delete(_path(subscription_id), "delete subscription")
    except NotFound:
        return
    logs.info(
        "subscription.deleted", subscription=subscription_id, resource=resource, requestId=graph.request_id
    )


def _path(subscription_id: str) -> str:
    return f"subscriptions/{segment(subscription_id)}"


def _certificate_fields(certificate: Certificate) -> dict[str, str]:
    return {
        "encryptionCertificate": base64.b64encode(certificate.der).decode(),
        "encryptionCertificateId": certificate.id,
    }
