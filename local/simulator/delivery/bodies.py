"""The body of one POST, with encrypted content and validation tokens.

Faults that were asked for act on a body that carries encrypted items, and on no other.
"""

from __future__ import annotations

import json
from typing import cast, get_args

from cryptography import x509

from local.simulator.delivery import call_events, encryption
from local.simulator.delivery.encryption import parse_certificate
from local.simulator.delivery.notifications import Notification
from local.simulator.delivery.resources import resource_of
from local.simulator.delivery.subscriptions import Subscription
from local.simulator.delivery.validation_tokens import Publisher, Version
from local.simulator.faults.forgeries import ContentFault, Forgeries, Forgery, TokenFault
from local.simulator.settings import SimulatorSettings

type Parcel = list[tuple[Notification, Subscription]]
type Item = dict[str, object]

_ELSEWHERE = resource_of("https://teams.microsoft.com/meet/0")


class Bodies:
    """A writer of bodies for one simulator."""

    def __init__(
        self, tenant_id: str, settings: SimulatorSettings, publisher: Publisher, forgeries: Forgeries
    ) -> None:
        self._tenant_id = tenant_id
        self._settings = settings
        self._publisher = publisher
        self._forgeries = forgeries

    def body(self, parcel: Parcel) -> dict[str, object]:
        """The body with these items, and the next forgery."""
        return self.written(parcel, self._forgeries.take() if _rich(parcel) else None)

    def written(self, parcel: Parcel, forgery: Forgery | None) -> dict[str, object]:
        """The body with these items, and this forgery or none."""
        odd = self._settings.odd_forms
        items = [each.item(subscription, self._tenant_id, odd=odd) for each, subscription in parcel]
        rich = _rich(parcel)
        if not rich:
            return {"value": items}
        fault = forgery.kind if forgery else None
        content = cast(ContentFault, fault) if fault in get_args(ContentFault.__value__) else None
        proof = cast(TokenFault, fault) if fault and content is None else None
        alone = len(rich) == 1
        for number in rich:
            items[number] |= self._encrypted(*parcel[number], content, alone=alone)
        if content == "swapped" and not alone:
            contents = [items[number]["encryptedContent"] for number in rich]
            for number, other in zip(rich, contents[1:] + contents[:1], strict=True):
                items[number]["encryptedContent"] = other
        applications = list(dict.fromkeys(parcel[number][1].application_id for number in rich))
        return {
            "value": items,
            "validationTokens": self._publisher.tokens(applications, self._versions(), proof),
        }

    def _versions(self) -> list[Version]:
        chosen = self._settings.validation_tokens
        return ["1.0", "2.0"] if chosen == "both" else [chosen]

    def _encrypted(
        self,
        notification: Notification,
        subscription: Subscription,
        fault: ContentFault | None,
        *,
        alone: bool,
    ) -> Item:
        if fault == "noContent":
            return {}
        resource = _ELSEWHERE if fault == "swapped" and alone else subscription.resource.strip("/")
        plain = self._plain(notification, resource, fault)
        certificate: x509.Certificate = parse_certificate(subscription.encryption_certificate)
        name = subscription.encryption_certificate_id or ""
        return {"encryptedContent": encryption.encrypt(plain, certificate, name, fault)}

    def _plain(self, notification: Notification, resource: str, fault: ContentFault | None) -> bytes:
        payload = call_events.payload(resource, notification.subject, notification.detail, self._settings)
        text = json.dumps([payload] if fault == "notAnObject" else payload, ensure_ascii=False)
        if fault == "notJson":
            text = text[:-1]
        return text.encode() + (b"\xff" if fault == "notUtf8" else b"")


def _rich(parcel: Parcel) -> list[int]:
    """Which of the items carry encrypted content."""
    return [
        number
        for number, (notification, subscription) in enumerate(parcel)
        if subscription.include_resource_data and not notification.is_lifecycle
    ]
