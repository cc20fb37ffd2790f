"""Subscriptions: creation, changes and expiry.

Limits, messages and the meaning of each status follow the subscription resource type and the overview of change
notifications; what a resource allows is in `resources`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from local.simulator import moments, odata
from local.simulator.delivery import encryption
from local.simulator.delivery.carriers import HUB, TOPIC
from local.simulator.delivery.resources import Rules, Topic, topic_of
from local.simulator.odata import Entity, GraphError

SHORTEST = timedelta(minutes=45)
CLIENT_STATE_LENGTH = 128
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True)
class Subscription:
    """A subscription; `paused` until reauthorized, `warned`: when that was requested."""

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
    include_resource_data: bool = False
    latest_supported_tls_version: str = "v1_2"
    paused: bool = False
    warned: datetime | None = None

    @property
    def topic(self) -> Topic:
        """The resource in the form in which resources are compared."""
        return topic_of(self.resource)

    @property
    def change_types(self) -> frozenset[str]:
        """Its change types."""
        return frozenset(self.change_type.split(","))

    def entity(self) -> Entity:
        """The subscription as Graph returns it, without clientState and certificate."""
        return odata.entity(
            id=self.id,
            resource=self.resource,
            applicationId=self.application_id,
            changeType=self.change_type,
            clientState=None,
            notificationUrl=self.notification_url,
            notificationQueryOptions=None,
            lifecycleNotificationUrl=self.lifecycle_notification_url,
            expirationDateTime=moments.format_time(self.expiration),
            creatorId=self.creator_id,
            includeResourceData=self.include_resource_data or None,
            latestSupportedTlsVersion=self.latest_supported_tls_version,
            encryptionCertificate=None,
            encryptionCertificateId=self.encryption_certificate_id,
            notificationUrlAppId=None,
        )


@dataclass
class Subscriptions:
    """The tenant's subscriptions, indexed by topic; expired ones are removed."""

    _by_id: dict[str, Subscription] = field(default_factory=dict)
    _ids: defaultdict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))

    def living(self) -> Iterator[Subscription]:
        """Every living subscription; expired ones are removed here."""
        at = moments.now()
        for expired in [key for key, each in self._by_id.items() if each.expiration <= at]:
            self.remove(expired)
        return iter(tuple(self._by_id.values()))

    def to(self, key: str) -> list[Subscription]:
        """The living subscriptions to a topic, the oldest first."""
        at = moments.now()
        return [each for name in self._ids.get(key, ()) if (each := self._by_id[name]).expiration > at]

    def find(self, subscription_id: str) -> Subscription | None:
        """The living subscription with this id."""
        found = self._by_id.get(subscription_id.lower())
        return found if found is not None and found.expiration > moments.now() else None

    def put(self, subscription: Subscription) -> None:
        """Add or replace a subscription."""
        before = self._by_id.get(subscription.id)
        if before is not None and before.topic != subscription.topic:
            self.remove(before.id)
        self._by_id[subscription.id] = subscription
        self._ids[subscription.topic.key][subscription.id] = None

    def remove(self, subscription_id: str) -> None:
        """Remove a subscription silently."""
        gone = self._by_id.pop(subscription_id.lower(), None)
        if gone is not None:
            del self._ids[gone.topic.key][gone.id]

    def check_room(self, wanted: Subscription, call_event_quota: int) -> None:
        """Refuse duplicates (GraphError 409) and exceeded quotas (403)."""
        topic = wanted.topic
        for each in self.to(topic.key):
            if each.application_id == wanted.application_id and each.change_types == wanted.change_types:
                message = f"Subscription Id {each.id} already exists for the requested combination"
                raise GraphError(409, "Conflict", message)
        quota = call_event_quota if topic.kind == "callEvent" else topic.rules.per_organization
        if quota is not None and sum(each.topic.kind == topic.kind for each in self.living()) >= quota:
            message = (
                f"The limit of {quota} subscriptions per organization for {wanted.resource} has been reached."
            )
            raise GraphError(403, "Forbidden", message)


def parse_subscription(
    body: dict[str, Any],
    subscription_id: str,
    application_id: str,
    creator_id: str,
    at: datetime,
    version: str,
) -> Subscription:
    """The subscription that a POST to `version` requests. Raises GraphError 400."""
    for name in ("changeType", "notificationUrl", "resource", "expirationDateTime"):
        if not isinstance(body.get(name), str) or not body[name]:
            raise _invalid(f"{name} is a required property for subscription creation.")
    rules = topic_of(body["resource"]).rules
    if rules.beta_only and version != "beta":
        raise _invalid(f"Resource '{body['resource']}' is not supported.")
    kinds = [kind.strip().lower() for kind in body["changeType"].split(",")]
    if not set(kinds) <= rules.change_types:
        raise _invalid(f"changeType '{body['changeType']}' is not supported for this resource.")
    client_state = _text(body, "clientState")
    if client_state is not None and len(client_state) > CLIENT_STATE_LENGTH:
        raise _invalid(f"clientState must not be longer than {CLIENT_STATE_LENGTH} characters.")
    wanted = Subscription(
        id=subscription_id,
        application_id=application_id,
        creator_id=creator_id,
        resource=body["resource"],
        change_type=",".join(kinds),
        notification_url=body["notificationUrl"],
        lifecycle_notification_url=_text(body, "lifecycleNotificationUrl"),
        client_state=client_state,
        expiration=_expiration(body["expirationDateTime"], rules, at),
        encryption_certificate_id=_text(body, "encryptionCertificateId"),
        encryption_certificate=_text(body, "encryptionCertificate"),
        include_resource_data=body.get("includeResourceData") is True,
        latest_supported_tls_version=_text(body, "latestSupportedTlsVersion") or "v1_2",
    )
    _check_urls(wanted, rules, at)
    if wanted.include_resource_data:
        if not rules.rich:
            raise _invalid("includeResourceData is not supported for this resource.")
        encryption.parse_certificate(wanted.encryption_certificate)
        encryption.parse_certificate_id(wanted.encryption_certificate_id)
    return wanted


def _check_urls(wanted: Subscription, rules: Rules, at: datetime) -> None:
    """Refuse unusable URLs and a missing lifecycle URL. Raises GraphError 400."""
    for url in (wanted.notification_url, wanted.lifecycle_notification_url):
        if url is not None and not _may_be_called(url):
            raise _invalid("The notification URL must be an absolute https URL.")
    longest = rules.lifecycle_beyond
    if wanted.lifecycle_notification_url is None and longest and wanted.expiration > at + longest:
        raise _invalid(
            "lifecycleNotificationUrl is a required property for subscription creation on this resource when the "
            "expirationDateTime value is set to greater than 1 hour"
        )


def renew_subscription(subscription: Subscription, body: dict[str, Any], at: datetime) -> Subscription:
    """The subscription after a PATCH, renewed and reauthorized. Raises GraphError 400."""
    changeable = {"expirationDateTime", "encryptionCertificate", "encryptionCertificateId"}
    fixed = sorted(set(body) - changeable)
    if fixed or not body:
        raise _invalid(f"The property '{fixed[0]}' cannot be updated." if fixed else "Nothing to update.")
    changed = subscription
    if "expirationDateTime" in body:
        expiration = _expiration(body["expirationDateTime"], subscription.topic.rules, at)
        changed = replace(reauthorize_subscription(changed), expiration=expiration)
    if "encryptionCertificate" in body:
        encryption.parse_certificate(body["encryptionCertificate"])
        changed = replace(changed, encryption_certificate=_text(body, "encryptionCertificate"))
    if "encryptionCertificateId" in body:
        encryption.parse_certificate_id(body["encryptionCertificateId"])
        changed = replace(changed, encryption_certificate_id=_text(body, "encryptionCertificateId"))
    return changed


def reauthorize_subscription(subscription: Subscription) -> Subscription:
    """The subscription after it was reauthorized."""
    return replace(subscription, paused=False, warned=None)


def _expiration(text: object, rules: Rules, at: datetime) -> datetime:
    try:
        wanted = moments.parse_time(text) if isinstance(text, str) else None
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
    if not url.isascii() or " " in url:
        return False
    if HUB.match(url) or TOPIC.match(url):
        return True
    if parts.hostname is None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)


def _text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise _invalid(f"{name} must be a string.")
    return value


def _invalid(message: str) -> GraphError:
    return GraphError(400, "InvalidRequest", message)
