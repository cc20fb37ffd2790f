"""Change notifications and lifecycle notifications: from an untrusted body to signals and tasks.

Pure and standard library only; decides nothing from what it did not authenticate. An item counts when its
`clientState` is ours (compared in constant time, the previous one too while rotating) and its tenant is ours. The
`resource` of an item is matched against known shapes and only its ids are kept: it is never used as an address.
Shapes: https://learn.microsoft.com/graph/change-notifications-delivery-webhooks and
https://learn.microsoft.com/graph/change-notifications-lifecycle-events
"""

from __future__ import annotations

import hmac
import json
import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..errors import NotANotification
from ..messages import resource_paths
from ..messages.envelope import OPAQUE_ID
from ..messages.rich_notifications import EncryptedBatch, RichItem, parse_encrypted_content
from ..messages.signals import News, call_event_news, call_record_news, report_news
from ..messages.tasks import MaintainSubscriptions, RenewSubscription, SubscribeEvent, Task
from ..settings import CALL_EVENTS, VIRTUAL_EVENTS, Settings

# communications/callRecords/{id} and communications/callRecords('{id}'), with or without slashes around; the
# collection alone where only resourceData names the id
_CALL_RECORD = re.compile(
    r"/?communications/callRecords(?:/([^/?#()']+)|\('([^/?#()']+)'\)|)/?\Z", re.IGNORECASE
)
_EVENTS = re.compile(r"/?solutions/virtualEvents/events(?:/.*)?\Z", re.IGNORECASE)
_REPORTS_OF_EVENT = re.compile(
    r"/?solutions/virtualEvents/(?:webinars|townhalls)/[^/]+/getAttendanceReports/?\Z", re.IGNORECASE
)


@dataclass(frozen=True)
class ParsedNotifications:
    """What a body held: signals, rich items and tasks to enqueue, and how many items were dropped, by reason."""

    signals: tuple[News, ...]
    encrypted: EncryptedBatch
    tasks: tuple[Task, ...]
    dropped: Counter[str]


def parse_notifications(
    body: bytes, settings: Settings, seen: datetime, traceparent: str | None = None
) -> ParsedNotifications:
    """Sort the items of a notification POST. Raises NotANotification for what is no collection of items.

    Signals and tasks come without repeats, in order. Reasons for dropping: `notAnObject`, `clientState`,
    `tenant`, `unknownResource`, `unknownLifecycleEvent`.
    """
    content = _content(body)
    signals: dict[str, News] = {}
    items: list[RichItem] = []
    tasks: dict[Task, None] = {}
    dropped: Counter[str] = Counter()
    for item in content["value"]:
        if not isinstance(item, dict):
            dropped["notAnObject"] += 1
        elif not _authentic(item.get("clientState"), settings):
            dropped["clientState"] += 1
        elif not _of_tenant(item.get("tenantId"), settings):
            dropped["tenant"] += 1
        elif item.get("lifecycleEvent") is not None:
            if upkeep := _lifecycle(item):
                tasks[Task(upkeep, traceparent)] = None
            else:
                dropped["unknownLifecycleEvent"] += 1
        else:
            match _news(item, settings, seen, traceparent):
                case News() as news:
                    signals.setdefault(news.signal_id, news)
                case RichItem() as rich:
                    items.append(rich)
                case SubscribeEvent() as job:
                    tasks[Task(job, traceparent)] = None
                case _:
                    dropped["unknownResource"] += 1
    tokens = _tokens(content) if items else ()
    encrypted = EncryptedBatch(tuple(items), tokens, seen, traceparent)
    return ParsedNotifications(tuple(signals.values()), encrypted, tuple(tasks), dropped)


def _news(
    item: dict[str, object], settings: Settings, seen: datetime, traceparent: str | None
) -> News | RichItem | SubscribeEvent | None:
    """What a change tells, if its resource is one that the settings ask for."""
    resource = item.get("resource")
    if not isinstance(resource, str):
        return None
    known = {"traceparent": traceparent, "subscription_id": _subscription_id(item)}
    if call_id := _call_id(item, resource):
        return call_record_news(call_id, seen, **known)
    if VIRTUAL_EVENTS in settings.signals and _REPORTS_OF_EVENT.match(resource):
        found = resource_paths.parse_event_report(_data(item, "@odata.id"))
        return report_news(found.report_id, found.session, seen, **known) if found else None
    if VIRTUAL_EVENTS in settings.signals and _EVENTS.match(resource):
        event = resource_paths.parse_event(_data(item, "@odata.id")) or resource_paths.parse_event(
            _data(item, "id")
        )
        return SubscribeEvent(*event) if event else None
    if CALL_EVENTS in settings.signals and (url := resource_paths.extract_join_url(resource)):
        sealed = parse_encrypted_content(item.get("encryptedContent"))
        return (
            RichItem(url, sealed, known["subscription_id"])
            if sealed
            else call_event_news(url, seen, seen, **known)
        )
    return None


def _subscription_id(item: dict[str, object]) -> str | None:
    """The subscription that an item names, if it is an id."""
    value = item.get("subscriptionId")
    return value if isinstance(value, str) and OPAQUE_ID.match(value) else None


def _data(item: dict[str, object], name: str) -> str:
    data = item.get("resourceData")
    value = data.get(name) if isinstance(data, dict) else None
    return value if isinstance(value, str) else ""


def _tokens(content: dict[str, Any]) -> tuple[str, ...]:
    """The body's validation tokens; none where they have another shape, and then nothing is verified by them."""
    tokens = content.get("validationTokens")
    if not isinstance(tokens, list) or not all(isinstance(each, str) for each in tokens):
        return ()
    return tuple(tokens)


def _content(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise NotANotification("The body is not JSON in UTF-8.") from None
    if not isinstance(content, dict) or not isinstance(content.get("value"), list):
        raise NotANotification("The body is not an object with a list named value.")
    return content


def _authentic(client_state: object, settings: Settings) -> bool:
    if not isinstance(client_state, str):
        return False
    given = client_state.encode("utf-8", "surrogatepass")
    # Every accepted state is compared, so that the time taken does not tell which one was near.
    matches = [hmac.compare_digest(given, accepted.encode()) for accepted in settings.client_states]
    return any(matches)


def _of_tenant(tenant_id: object, settings: Settings) -> bool:
    return tenant_id is None or (isinstance(tenant_id, str) and tenant_id.lower() == settings.tenant_id)


def _lifecycle(item: dict[str, object]) -> RenewSubscription | MaintainSubscriptions | None:
    event, subscription_id = item["lifecycleEvent"], _subscription_id(item)
    if event == "reauthorizationRequired":
        return RenewSubscription(subscription_id) if subscription_id else None
    return MaintainSubscriptions() if event in ("subscriptionRemoved", "missed") else None


def _call_id(item: dict[str, object], resource: str) -> str | None:
    match = _CALL_RECORD.match(resource)
    if match is None:
        return None
    call_id = match[1] or match[2] or _data(item, "id")
    return call_id if OPAQUE_ID.match(call_id) else None
