"""Subscriptions: the resource and its rules. What changes one, and when one is gone.

Limits, messages and the meaning of each status follow the subscription resource type and the overview of change
notifications. Call records are the one resource known so far; another is another entry of RESOURCES.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from local.graph import moments, odata
from local.graph.odata import Entity, GraphError

SHORTEST = timedelta(minutes=45)
CLIENT_STATE_LENGTH = 128
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True)
class ResourceRules:
    """What a subscription to a resource may be."""

    change_types: frozenset[str]
    longest: timedelta
    quota: int


RESOURCES = {
    "communications/callrecords": ResourceRules(
        change_types=frozenset({"created", "updated"}), longest=timedelta(minutes=4230), quota=100
    ),
}


@dataclass(frozen=True)
class Subscription:
    """A subscription. `paused`: it waits to be reauthorized; `warned`: when that was last asked for."""

    id: str
    application_id: str
    creator_id: str
    resource: str
    change_type: str
    notification_url: str
    lifecycle_notification_url: str | None
    client_state: str | None
    expiration: datetime
    encryption_certificate_id: str | None = None
    encryption_certificate: str | None = None
    latest_supported_tls_version: str = "v1_2"
    paused: bool = False
    warned: datetime | None = None

    @property
    def topic(self) -> str:
        """The resource in the form in which resources are compared."""
        return topic_of(self.resource)

    @property
    def change_types(self) -> frozenset[str]:
        """The kinds of change it is told about."""
        return frozenset(self.change_type.split(","))

    def entity(self) -> Entity:
        """The subscription as Graph returns it: without its clientState."""
        return odata.entity(
            id=self.id,
            resource=self.resource,
            applicationId=self.application_id,
            changeType=self.change_type,
            clientState=None,
            notificationUrl=self.notification_url,
            notificationQueryOptions=None,
            lifecycleNotificationUrl=self.lifecycle_notification_url,
            expirationDateTime=moments.written(self.expiration),
            creatorId=self.creator_id,
            includeResourceData=None,
            latestSupportedTlsVersion=self.latest_supported_tls_version,
            encryptionCertificate=None,
            encryptionCertificateId=self.encryption_certificate_id,
            notificationUrlAppId=None,
        )


@dataclass
class Subscriptions:
    """All subscriptions of the tenant that have not expired. Few (quotas), so that scanning them is cheap."""

    _by_id: dict[str, Subscription] = field(default_factory=dict)

    def living(self) -> Iterator[Subscription]:
        """Every subscription; expired ones vanish here."""
        at = moments.now()
        self._by_id = {key: each for key, each in self._by_id.items() if each.expiration > at}
        return iter(tuple(self._by_id.values()))

    def find(self, subscription_id: str) -> Subscription | None:
        """The living subscription with this id."""
        found = self._by_id.get(subscription_id.lower())
        return found if found is not None and found.expiration > moments.now() else None

    def put(self, subscription: Subscription) -> None:
        """Keeps `subscription`."""
        self._by_id[subscription.id] = subscription

    def remove(self, subscription_id: str) -> None:
        """Forgets a subscription, without a word to anybody."""
        self._by_id.pop(subscription_id.lower(), None)

    def check_room(self, application_id: str, resource: str, change_type: str) -> None:
        """Raises GraphError 409 for a combination that exists, 403 when the resource's quota is used up."""
        topic, kinds = topic_of(resource), frozenset(change_type.split(","))
        same_resource = [each for each in self.living() if each.topic == topic]
        for each in same_resource:
            if each.application_id == application_id and each.change_types == kinds:
                message = f"Subscription Id {each.id} already exists for the requested combination"
                raise GraphError(409, "Conflict", message)
        quota = RESOURCES[topic].quota
        if len(same_resource) >= quota:
            message = f"The limit of {quota} subscriptions per organization for {resource} has been reached."
            raise GraphError(403, "Forbidden", message)


def topic_of(resource: str) -> str:
    """A resource in the form in which resources are compared: with or without its leading slash, any case."""
    return resource.strip("/").lower()


def checked(
    body: dict[str, Any], subscription_id: str, application_id: str, creator_id: str, at: datetime
) -> Subscription:
    """The subscription that the body of a POST at `at` asks for. Raises GraphError 400."""
    for name in ("changeType", "notificationUrl", "resource", "expirationDateTime"):
        if not isinstance(body.get(name), str) or not body[name]:
            raise _invalid(f"{name} is a required property for subscription creation.")
    rules = RESOURCES.get(topic_of(body["resource"]))
    if rules is None:
        raise _invalid(f"Resource '{body['resource']}' is not supported.")
    kinds = [kind.strip().lower() for kind in body["changeType"].split(",")]
    if not set(kinds) <= rules.change_types:
        raise _invalid(f"changeType '{body['changeType']}' is not supported for this resource.")
    if body.get("includeResourceData"):
        raise _invalid("includeResourceData is not supported for this resource.")
    client_state = _text(body, "clientState")
    if client_state is not None and len(client_state) > CLIENT_STATE_LENGTH:
        raise _invalid(f"clientState must not be longer than {CLIENT_STATE_LENGTH} characters.")
    lifecycle_url = _text(body, "lifecycleNotificationUrl")
    for url in (body["notificationUrl"], lifecycle_url):
        if url is not None and not _may_be_called(url):
            raise _invalid("The notification URL must be an absolute https URL.")
    return Subscription(
        id=subscription_id,
        application_id=application_id,
        creator_id=creator_id,
        resource=body["resource"],
        change_type=",".join(kinds),
        notification_url=body["notificationUrl"],
        lifecycle_notification_url=lifecycle_url,
        client_state=client_state,
        expiration=_expiration(body["expirationDateTime"], rules, at),
        encryption_certificate_id=_text(body, "encryptionCertificateId"),
        encryption_certificate=_text(body, "encryptionCertificate"),
        latest_supported_tls_version=_text(body, "latestSupportedTlsVersion") or "v1_2",
    )


def renewed(subscription: Subscription, body: dict[str, Any], at: datetime) -> Subscription:
    """The subscription after a PATCH with `body` at `at`: renewed and so reauthorized. Raises GraphError 400."""
    changeable = {"expirationDateTime", "encryptionCertificate", "encryptionCertificateId"}
    fixed = sorted(set(body) - changeable)
    if fixed or not body:
        raise _invalid(f"The property '{fixed[0]}' cannot be updated." if fixed else "Nothing to update.")
    changed = subscription
    if "expirationDateTime" in body:
        expiration = _expiration(body["expirationDateTime"], RESOURCES[subscription.topic], at)
        changed = replace(reauthorized(changed), expiration=expiration)
    if "encryptionCertificate" in body:
        changed = replace(changed, encryption_certificate=_text(body, "encryptionCertificate"))
    if "encryptionCertificateId" in body:
        changed = replace(changed, encryption_certificate_id=_text(body, "encryptionCertificateId"))
    return changed


def reauthorized(subscription: Subscription) -> Subscription:
    """The subscription after it was reauthorized."""
    return replace(subscription, paused=False, warned=None)


def _expiration(text: object, rules: ResourceRules, at: datetime) -> datetime:
    try:
        wanted = moments.parse(text) if isinstance(text, str) else None
    except ValueError:
        wanted = None
    if wanted is None:
        raise _invalid("expirationDateTime is not a valid date and time with an offset.")
    if wanted <= at:
        raise _invalid("Subscription expiration must be in the future.")
    if wanted > at + rules.longest:
        minutes = int(rules.longest.total_seconds() // 60)
        raise _invalid(f"Subscription expiration can only be {minutes} minutes in the future.")
    return max(wanted, at + SHORTEST)


def _may_be_called(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    if parts.hostname is None or not url.isascii() or " " in url:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)


def _text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise _invalid(f"{name} must be a string.")
    return value


def _invalid(message: str) -> GraphError:
    return GraphError(400, "InvalidRequest", message)
