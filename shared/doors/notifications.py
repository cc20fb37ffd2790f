"""Parse change and lifecycle notifications.

They are in an untrusted request body, or in events that Graph sent. An item counts only if its `clientState` and
its tenant are ours. The comparison takes constant time and includes the previous clientState during a rotation. An
item's `resource` is matched against known shapes; only its ids are kept, and it is never used as an address.
Standard library only, no I/O. Sources: https://learn.microsoft.com/graph/change-notifications-delivery-webhooks and
https://learn.microsoft.com/graph/change-notifications-lifecycle-events
https://learn.microsoft.com/graph/change-notifications-delivery-event-hubs
"""

from __future__ import annotations

import hmac
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from ..errors import NotANotification
from ..messages import resource_paths
from ..messages.envelope import OPAQUE_ID
from ..messages.rich_notifications import EncryptedBatch, RichItem, parse_encrypted_content
from ..messages.signals import Door, News, call_record_news, report_news
from ..messages.tasks import (
    MAX_RENEWED,
    Job,
    MaintainSubscriptions,
    RecordValidation,
    RenewSubscription,
    SubscribeEvent,
    Task,
)
from ..settings import CALL_EVENTS, GUID, VIRTUAL_EVENTS, Settings

MAX_EVENTS = 50  # virtual events of one POST that get a subscription; the sweep finds the others

# communications/callRecords/{id} or communications/callRecords('{id}'), with or without slashes around; or only the
# collection, if resourceData has the id.
_CALL_RECORD = re.compile(
    r"/?communications/callRecords(?:/([^/?#()']+)|\('([^/?#()']+)'\)|)/?\Z", re.IGNORECASE
)
_VALIDATION = "Validation: Testing client application reachability"  # of a hub, in place of a handshake
_EVENTS = re.compile(r"/?solutions/virtualEvents/events(?:/.*)?\Z", re.IGNORECASE)
_REPORTS_OF_EVENT = re.compile(
    r"/?solutions/virtualEvents/(?:webinars|townhalls)/[^/]+/getAttendanceReports/?\Z", re.IGNORECASE
)


@dataclass(frozen=True)
class ParsedNotifications:
    """Signals, rich items and tasks to enqueue.

    Also the number of dropped items by reason. `refused_ids` are the subscriptions, in GUID form, that items with a
    wrong client state name.
    """

    signals: tuple[News, ...]
    encrypted: EncryptedBatch
    tasks: tuple[Task, ...]
    dropped: Counter[str]
    refused_ids: tuple[str, ...] = ()


def parse_notifications(
    body: bytes, settings: Settings, seen: datetime, traceparent: str | None = None
) -> ParsedNotifications:
    """Parse the body of a notification POST.

    Signals and tasks come without repeats, in order. Reasons for dropping: `notAnObject`, `clientState`,
    `tenant`, `noSubscription`, `unknownResource`, `unknownLifecycleEvent`, `tooMany`.
    """
    content = _parse_body(body)
    sorter = _Sorter(settings, seen, traceparent)
    for item in content["value"]:
        sorter.add(item)
    return sorter.received(_parse_tokens(content))


def parse_events(
    bodies: Iterable[bytes], settings: Settings, seen: datetime, door: Door, traceparent: str | None = None
) -> ParsedNotifications:
    """Parse the bodies of events that came through `door`, all at once.

    A body that cannot be parsed is dropped and counted, as `notNotifications`; the others are not its concern.
    """
    sorter = _Sorter(settings, seen, traceparent, door)
    for body in bodies:
        sorter.add_event(body)
    return sorter.received(())


class _Sorter:
    """Sort the items of a POST or of a batch of events by their purpose."""

    def __init__(
        self, settings: Settings, seen: datetime, traceparent: str | None, door: Door = Door.WEBHOOK
    ) -> None:
        self._settings = settings
        self._seen = seen
        self._traceparent = traceparent
        self._door = door
        self._validated = False
        self._signals: dict[str, News] = {}
        self._rich: list[RichItem] = []
        self._events: dict[SubscribeEvent, None] = {}
        self._renew: dict[str, None] = {}
        self._maintain = False
        self._dropped: Counter[str] = Counter()
        self._refused_ids: dict[str, None] = {}

    def add_event(self, body: bytes) -> None:
        """Take all items of an event, or count why it is dropped.

        Whatever it holds, this does not raise.
        """
        try:
            for item in _ITEMS_OF_EVENT[self._door](body):
                self.add(item)
        except NotANotification:
            self._dropped["notNotifications"] += 1
        except Exception:  # noqa: BLE001 - one event must not stop all that follow it in its partition
            self._dropped["unreadable"] += 1

    def add(self, item: object) -> None:
        """Take an item, or count why it is dropped."""
        if not isinstance(item, dict):
            self._dropped["notAnObject"] += 1
        elif self._door is not Door.WEBHOOK and str(item.get("changeType")).startswith(_VALIDATION):
            self._validated = True
        elif not _is_authentic(item.get("clientState"), self._settings):
            self._dropped["clientState"] += 1
            if (refused := _parse_subscription_id(item)) and GUID.match(refused):
                self._refused_ids[refused] = None
        elif not _is_of_tenant(item.get("tenantId"), self._settings):
            self._dropped["tenant"] += 1
        elif _parse_subscription_id(item) is None:
            self._dropped["noSubscription"] += 1
        elif item.get("lifecycleEvent") is not None:
            self._add_lifecycle_event(item["lifecycleEvent"], _parse_subscription_id(item))
        else:
            self._add_change(_parse_change(item, self._settings, self._seen, self._traceparent, self._door))

    def _add_lifecycle_event(self, event: object, subscription_id: str | None) -> None:
        if event == "reauthorizationRequired" and subscription_id:
            self._renew[subscription_id] = None
        elif event in ("subscriptionRemoved", "missed"):
            self._maintain = True
        else:
            self._dropped["unknownLifecycleEvent"] += 1

    def _add_change(self, change: News | RichItem | SubscribeEvent | None) -> None:
        match change:
            case News() as news:
                self._signals.setdefault(news.signal_id, news)
            case RichItem() as rich:
                self._rich.append(rich)
            case SubscribeEvent() as job if job in self._events or len(self._events) < MAX_EVENTS:
                self._events[job] = None
            case SubscribeEvent():
                self._dropped["tooMany"] += 1
            case _:
                self._dropped["unknownResource"] += 1

    def received(self, tokens: tuple[str, ...]) -> ParsedNotifications:
        """Everything that was taken.

        The lifecycle events become one task, however many they are. A subscription that is not renewed for it is named
        by Graph again, or renewed when it is due.
        """
        renew = tuple(islice(self._renew, MAX_RENEWED))
        jobs: list[Job] = [*self._events]
        if self._maintain or len(renew) > 1:
            jobs.insert(0, MaintainSubscriptions(renew))
        elif renew:
            jobs.insert(0, RenewSubscription(renew[0]))
        if self._validated:
            jobs.append(RecordValidation())
        return ParsedNotifications(
            tuple(self._signals.values()),
            EncryptedBatch(
                tuple(self._rich), tokens if self._rich else (), self._seen, self._traceparent, self._door
            ),
            tuple(Task(job, self._traceparent) for job in jobs),
            self._dropped,
            tuple(self._refused_ids),
        )


def _parse_change(
    item: dict[str, object], settings: Settings, seen: datetime, traceparent: str | None, door: Door
) -> News | RichItem | SubscribeEvent | None:
    """Return the content of a change notification, or None if SIGNALS excludes it."""
    resource = item.get("resource")
    if not isinstance(resource, str):
        return None
    subscription_id = _parse_subscription_id(item)
    fields = {"traceparent": traceparent, "subscription_id": subscription_id, "door": door}
    if call_id := _parse_call_id(item, resource):
        return call_record_news(call_id, seen, **fields)
    if VIRTUAL_EVENTS in settings.signals and _REPORTS_OF_EVENT.match(resource):
        report = resource_paths.parse_event_report_path(_resource_data(item, "@odata.id"))
        return report_news(report.report_id, report.session, seen, **fields) if report else None
    if VIRTUAL_EVENTS in settings.signals and _EVENTS.match(resource):
        event = resource_paths.parse_event_path(
            _resource_data(item, "@odata.id")
        ) or resource_paths.parse_event_path(_resource_data(item, "id"))
        return SubscribeEvent(*event) if event else None
    if CALL_EVENTS in settings.signals and (url := resource_paths.extract_join_url(resource)):
        sealed = parse_encrypted_content(item.get("encryptedContent"))
        return RichItem(url, sealed, subscription_id) if sealed else None
    return None


def _parse_subscription_id(item: dict[str, object]) -> str | None:
    """Return the item's subscription id, or None if it is malformed."""
    value = item.get("subscriptionId")
    return value if isinstance(value, str) and OPAQUE_ID.match(value) else None


def _resource_data(item: dict[str, object], name: str) -> str:
    data = item.get("resourceData")
    value = data.get(name) if isinstance(data, dict) else None
    return value if isinstance(value, str) else ""


def _parse_tokens(content: dict[str, Any]) -> tuple[str, ...]:
    """Return the body's validation tokens; none if malformed, and nothing verifies."""
    tokens = content.get("validationTokens")
    if not isinstance(tokens, list) or not all(isinstance(each, str) for each in tokens):
        return ()
    return tuple(tokens)


def _parse_json(body: bytes) -> object:
    try:
        return json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise NotANotification("The body is not JSON in UTF-8.") from None


def _parse_body(body: bytes) -> dict[str, Any]:
    content = _parse_json(body)
    if not isinstance(content, dict) or not isinstance(content.get("value"), list):
        raise NotANotification("The body is not an object with a list named value.")
    return content


def _is_authentic(client_state: object, settings: Settings) -> bool:
    if not isinstance(client_state, str):
        return False
    received = client_state.encode("utf-8", "surrogatepass")
    # Compare with every accepted state: the time taken must not reveal a near match.
    matches = [hmac.compare_digest(received, accepted.encode()) for accepted in settings.client_states]
    return any(matches)


def _is_of_tenant(tenant_id: object, settings: Settings) -> bool:
    return tenant_id is None or (isinstance(tenant_id, str) and tenant_id.lower() == settings.tenant_id)


def _parse_call_id(item: dict[str, object], resource: str) -> str | None:
    match = _CALL_RECORD.match(resource)
    if match is None:
        return None
    call_id = match[1] or match[2] or _resource_data(item, "id")
    return call_id if GUID.match(call_id) else None


def _items_of_body(body: bytes) -> list[object]:
    """The items of an event of a hub, whose body is that of a POST."""
    items: list[object] = _parse_body(body)["value"]
    return items


def _item_of_cloud_event(body: bytes) -> list[object]:
    """The notification in a CloudEvent, which is its `data`."""
    content = _parse_json(body)
    if not isinstance(content, dict) or "data" not in content:
        raise NotANotification("The body is not an event with data.")
    return [content["data"]]


_ITEMS_OF_EVENT: dict[Door, Callable[[bytes], list[object]]] = {
    Door.EVENT_HUBS: _items_of_body,
    Door.EVENT_GRID: _item_of_cloud_event,
}
