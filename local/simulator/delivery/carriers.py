"""Deliver notifications through an event hub or an Event Grid partner topic.

A hub takes the body of a POST as one event, without validation tokens; its role, not a handshake, says whether Graph
may send. A topic takes each notification as a CloudEvent and puts it on a storage queue, once it is active and has an
event subscription. Sources: Receive change notifications through Azure Event Hubs; Receive Microsoft Graph API change
events through Azure Event Grid; CloudEvents 1.0.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import re
import ssl
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from xml.sax.saxutils import escape

from local.event_hub.partitions import Partition, partitions
from local.simulator import moments
from local.simulator.odata import GraphError
from local.simulator.settings import SimulatorSettings

VALIDATION = "Validation: Testing client application reachability for subscription Request-Id: "
HUB = re.compile(r"EventHub:https://([a-z0-9.-]+)/eventhubname/([^/?]+)\?tenantId=[^&\s]+\Z", re.IGNORECASE)
TOPIC = re.compile(r"EventGrid:\?\S+\Z", re.IGNORECASE)
_TOPIC_PARTS = {"azuresubscriptionid", "resourcegroup", "partnertopic", "location"}
_API = "2025-01-05"


@dataclass(frozen=True)
class GridQueue:
    """The queue behind the topic, and how to get a token for it."""

    url: str
    identity_endpoint: str
    identity_header: str
    client_id: str
    ca: str


class Carriers:
    """The hubs of this machine, and the queue behind a partner topic.

    `connect` names it.
    """

    def __init__(self, hubs: Path | None, settings: SimulatorSettings, source: str) -> None:
        self._hubs = hubs
        self._settings = settings
        self._source = source
        self._queue: GridQueue | None = None
        self._next: dict[str, int] = {}

    def connect(self, queue: GridQueue) -> None:
        """Lead the topic's events to a queue."""
        self._queue = queue

    def takes(self, url: str) -> bool:
        """Whether a URL names a hub or a topic rather than a webhook."""
        return url.lower().startswith(("eventhub:", "eventgrid:"))

    def validate(self, url: str, resource_kind: str) -> None:
        """Check that a subscription can deliver there; a hub gets a validation message.

        Raises GraphError.
        """
        if HUB.match(url):
            if not self._settings.sends_to_hub or self._hubs is None:
                raise GraphError(
                    400,
                    "ValidationError",
                    "Subscription validation request failed. Unable to send a message to the event hub: Unauthorized.",
                )
            about: dict[str, object] = dict.fromkeys(
                ("subscriptionId", "subscriptionExpirationDateTime", "clientState", "resource"), "NA"
            )
            about |= {
                "changeType": f"{VALIDATION}{uuid.uuid4()}",
                "resourceData": {"@odata.type": "NA", "@odata.id": "NA", "id": "NA"},
            }
            self._partition(url).append(json.dumps({"value": [about]}))
            return
        if set(parse_qs(urlsplit(url).query)) != _TOPIC_PARTS:
            raise GraphError(400, "InvalidRequest", "The notification URL of a partner topic is malformed.")
        if resource_kind != "callRecord":
            raise GraphError(400, "InvalidRequest", "Event Grid is not supported for this resource.")
        if not self._settings.is_partner:
            raise GraphError(
                400,
                "ValidationError",
                "Partner MicrosoftGraphAPI is not authorized to create the partner topic.",
            )

    async def carry(self, url: str, body: Mapping[str, Any]) -> int:
        """Deliver a body; return a status as of a POST.

        Raises OSError or ValueError if it is not taken.
        """
        if HUB.match(url):
            if not self._settings.sends_to_hub:
                return HTTPStatus.UNAUTHORIZED
            self._partition(url).append(json.dumps({"value": body["value"]}))
            return HTTPStatus.CREATED
        if self._queue and self._settings.topic_is_connected:
            for item in body["value"]:
                await asyncio.to_thread(_enqueue, self._queue, json.dumps(self._cloud_event(item)))
        return HTTPStatus.OK  # the topic takes an event also where nobody listens

    def _partition(self, url: str) -> Partition:
        match = HUB.match(url)
        if match is None or self._hubs is None:
            raise ValueError("there is no such hub")
        all_of_them = partitions(self._hubs, match[1], match[2])
        number = self._next.get(url, 0)
        self._next[url] = number + 1
        return all_of_them[number % len(all_of_them)]

    def _cloud_event(self, item: Mapping[str, Any]) -> dict[str, object]:
        lifecycle = item.get("lifecycleEvent")
        kind = (
            f"Microsoft.Graph.Subscription{lifecycle[0].upper()}{lifecycle[1:]}"
            if lifecycle
            else f"Microsoft.Graph.CallRecord{item['changeType'].title()}"
        )
        return {
            "specversion": "1.0",
            "id": str(uuid.uuid4()),
            "type": kind,
            "source": self._source,
            "subject": item.get("resource") or f"/subscriptions/{item['subscriptionId']}",
            "time": moments.format_time(moments.now()),
            "datacontenttype": "application/json",
            "data": item,
        }


def _enqueue(queue: GridQueue, text: str) -> None:
    """Put a message on the queue as Event Grid does.

    In base64; here without an expiry.
    """
    identity = urlsplit(queue.identity_endpoint)
    source = http.client.HTTPConnection(identity.netloc, timeout=10)
    try:
        resource = quote("https://storage.azure.com", safe="")
        source.request(
            "GET",
            f"{identity.path}?api-version=2019-08-01&resource={resource}&client_id={queue.client_id}",
            headers={"X-IDENTITY-HEADER": queue.identity_header},
        )
        token = json.loads(source.getresponse().read())["access_token"]
    finally:
        source.close()
    address = urlsplit(queue.url)
    target = http.client.HTTPSConnection(
        address.netloc, timeout=10, context=ssl.create_default_context(cafile=queue.ca)
    )
    content = escape(base64.b64encode(text.encode()).decode())
    try:
        target.request(
            "POST",
            f"{address.path}/messages?messagettl=-1",
            f"<QueueMessage><MessageText>{content}</MessageText></QueueMessage>",
            {"Authorization": f"Bearer {token}", "x-ms-version": _API},
        )
        status = target.getresponse().status
    finally:
        target.close()
    if status != HTTPStatus.CREATED:
        raise OSError(f"the queue answered {status}")
