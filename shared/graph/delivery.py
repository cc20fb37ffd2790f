"""Addresses at which Graph delivers to this app, as notification URLs.

    webhook     https://HOST/api/notifications?k=FINGERPRINT
    event-hubs  EventHub:https://NAMESPACE/eventhubname/HUB?tenantId=TENANT
    event-grid  EventGrid:?azuresubscriptionid=…&resourcegroup=…&partnertopic=…&location=…

Only a webhook's URL has room for the fingerprint of the client state; that of the others is in the registry of
subscriptions. Sources: https://learn.microsoft.com/graph/change-notifications-delivery-event-hubs and
https://learn.microsoft.com/azure/event-grid/subscribe-to-graph-api-events
"""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from ..messages.signals import Door
from ..settings import EVENT_GRID, EVENT_HUBS, Settings, fingerprint

HUB = "graph-notifications"
_HUB, _TOPIC = "EventHub:", "EventGrid:"
_TOPIC_PARTS = ("azuresubscriptionid", "resourcegroup", "partnertopic")


def notification_url(settings: Settings, route: str = "notifications") -> str:
    """The URL for a subscription now.

    Webhooks have another one for lifecycle notifications.
    """
    if settings.delivery == EVENT_HUBS:
        return f"{_hub_url(settings)}?tenantId={settings.tenant_id}"
    if settings.delivery == EVENT_GRID:
        return settings.partner_topic
    return f"{_webhook_url(settings, route)}?k={fingerprint(settings.client_state)}"


def door_of(url: str) -> Door:
    """The way of delivery that a notification URL asks for."""
    lowered = url.lower()
    if lowered.startswith(_HUB.lower()):
        return Door.EVENT_HUBS
    return Door.EVENT_GRID if lowered.startswith(_TOPIC.lower()) else Door.WEBHOOK


def leads_here(url: str, settings: Settings) -> bool:
    """Whether a notification URL leads to this app, by whatever way."""
    own = {
        Door.WEBHOOK: _webhook_url(settings, "notifications"),
        Door.EVENT_HUBS: _hub_url(settings),
        Door.EVENT_GRID: settings.partner_topic,
    }
    return is_same_address(url, own[door_of(url)])


def is_same_address(one: str, other: str) -> bool:
    """Whether two notification URLs lead to the same place.

    They need not be equal.
    """
    return _address(one) is not None and _address(one) == _address(other)


def _webhook_url(settings: Settings, route: str) -> str:
    return f"{settings.notification_base_url}/{route}"


def _hub_url(settings: Settings) -> str:
    return f"{_HUB}https://{settings.hub_namespace}/eventhubname/{HUB}"


def _address(url: str) -> tuple[object, ...] | None:
    door = door_of(url)
    try:
        parts = urlsplit(url[len(_HUB) :] if door is Door.EVENT_HUBS else url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return None
    if door is Door.EVENT_GRID:
        values = {name.lower(): value for name, value in parse_qs(parts.query).items()}
        named = [values.get(name, [""])[0].lower() for name in _TOPIC_PARTS]
        return (door, *named) if all(named) else None
    if not parts.hostname:
        return None
    path = parts.path.rstrip("/")
    return door, parts.scheme, parts.hostname, port, path.lower() if door is Door.EVENT_HUBS else path
