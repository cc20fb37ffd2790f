"""List, read, create, renew and delete the app's Graph subscriptions.

Graph never shows a `clientState`. It allows one subscription per app, change type and resource: a second create is a
Conflict, whatever its address. Sources: https://learn.microsoft.com/graph/api/resources/subscription and
https://learn.microsoft.com/graph/change-notifications-overview
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .. import logs, times
from ..crypto.decryption import Certificate
from ..errors import NotFound
from .client import BETA, Graph, entries, segment


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
    registered: str | None = None

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the client state that it sends.

        It is in the URL of a webhook. That of another way of delivery is `registered`; None there means that the app
        has no record of having created it.
        """
        in_url = parse_qs(urlsplit(self.notification_url).query).get("k", [""])[0]
        return in_url or self.registered or ""


@dataclass(frozen=True)
class NewSubscription:
    """A subscription to create; with a certificate encrypted, on the beta endpoint."""

    resource: str
    change_type: str
    notification_url: str
    lifecycle_url: str
    client_state: str = field(repr=False)
    lifetime: timedelta
    certificate: Certificate | None = None


def list_subscriptions(graph: Graph) -> list[Subscription]:
    """All subscriptions of this app, page by page. Raises a GraphError."""
    return list(entries(graph, "subscriptions", "list subscriptions", parse_subscription))


def parse_subscription(item: object) -> Subscription | None:
    """Read a subscription from Graph's JSON; None if a required property is missing."""
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
    """Read one subscription. Raises a GraphError: NotFound also if it is malformed."""
    operation = "get subscription"
    subscription = parse_subscription(graph.get(_path(subscription_id), operation))
    if subscription is None:
        raise NotFound(operation, "the subscription is malformed")
    return subscription


def create_subscription(graph: Graph, new: NewSubscription) -> str | None:
    """Create a subscription.

    Raises a GraphError: Conflict if one for this resource and change type exists.
    """
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
    created_id = created.get("id")
    return created_id if isinstance(created_id, str) else None


def renew_subscription(
    graph: Graph, subscription: Subscription, lifetime: timedelta, certificate: Certificate | None = None
) -> None:
    """Move the expiry to `lifetime` from now, which also reauthorizes.

    With `certificate`, Graph encrypts for that one from now on. Raises a GraphError.
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
    """Delete a subscription, if it still exists. Raises a GraphError."""
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
