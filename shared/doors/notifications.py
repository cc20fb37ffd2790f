"""Parse change and lifecycle notifications from an untrusted request body.

An item counts only if its `clientState` and its tenant are ours. The comparison takes constant time and includes the
previous clientState during a rotation. An item's `resource` is matched against known shapes; only its ids are kept, and
it is never used as an address. Standard library only, no I/O. Sources:
https://learn.microsoft.com/graph/change-notifications-delivery-webhooks and
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

# communications/callRecords/{id} or communications/callRecords('{id}'), with or without slashes around; or only the
# collection, if resourceData has the id.
_CALL_RECORD = re.compile(
    r"/?communications/callRecords(?:/([^/?#()']+)|\('([^/?#()']+)'\)|)/?\Z", re.IGNORECASE
)
_EVENTS = re.compile(r"/?solutions/virtualEvents/events(?:/.*)?\Z", re.IGNORECASE)
_REPORTS_OF_EVENT = re.compile(
    r"/?solutions/virtualEvents/(?:webinars|townhalls)/[^/]+/getAttendanceReports/?\Z", re.IGNORECASE
)


@dataclass(frozen=True)
class ParsedNotifications:
    """The contents of a body: news, rich items, tasks, and dropped items by reason."""

    signals: tuple[News, ...]
    encrypted: EncryptedBatch
    tasks: tuple[Task, ...]
    dropped: Counter[str]


def parse_notifications(
    body: bytes, settings: Settings, seen: datetime, traceparent: str | None = None
) -> ParsedNotifications:
    """Parse the body of a notification POST.

    News and tasks are in order and without duplicates. Reasons for dropping an item: `notAnObject`, `clientState`,
    `tenant`, `unknownResource`, `unknownLifecycleEvent`. Raises NotANotification if the body is no collection of items.
    """
    content = _parse_body(body)
    signals: dict[str, News] = {}
    items: list[RichItem] = []
    tasks: dict[Task, None] = {}
    dropped: Counter[str] = Counter()
    for item in content["value"]:
        if not isinstance(item, dict):
            dropped["notAnObject"] += 1
        elif not _is_authentic(item.get("clientState"), settings):
            dropped["clientState"] += 1
        elif not _is_of_tenant(item.get("tenantId"), settings):
            dropped["tenant"] += 1
        elif item.get("lifecycleEvent") is not None:
            if upkeep := _parse_lifecycle_event(item):
                tasks[Task(upkeep, traceparent)] = None
            else:
                dropped["unknownLifecycleEvent"] += 1
        else:
            match _parse_change(item, settings, seen, traceparent):
                case News() as news:
                    signals.setdefault(news.signal_id, news)
                case RichItem() as rich:
                    items.append(rich)
                case SubscribeEvent() as job:
                    tasks[Task(job, traceparent)] = None
                case _:
                    dropped["unknownResource"] += 1
    tokens = _parse_tokens(content) if items else ()
    encrypted = EncryptedBatch(tuple(items), tokens, seen, traceparent)
    return ParsedNotifications(tuple(signals.values()), encrypted, tuple(tasks), dropped)


def _parse_change(
    item: dict[str, object], settings: Settings, seen: datetime, traceparent: str | None
) -> News | RichItem | SubscribeEvent | None:
    """Return the content of a change notification, or None if SIGNALS excludes it."""
    resource = item.get("resource")
    if not isinstance(resource, str):
        return None
    fields = {"traceparent": traceparent, "subscription_id": _parse_subscription_id(item)}
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
        content = parse_encrypted_content(item.get("encryptedContent"))
        return (
            RichItem(url, content, fields["subscription_id"])
            if content
            else call_event_news(url, seen, seen, **fields)
        )
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


def _parse_body(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise NotANotification("The body is not JSON in UTF-8.") from None
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


def _parse_lifecycle_event(item: dict[str, object]) -> RenewSubscription | MaintainSubscriptions | None:
    event, subscription_id = item["lifecycleEvent"], _parse_subscription_id(item)
    if event == "reauthorizationRequired":
        return RenewSubscription(subscription_id) if subscription_id else None
    return MaintainSubscriptions() if event in ("subscriptionRemoved", "missed") else None


def _parse_call_id(item: dict[str, object], resource: str) -> str | None:
    match = _CALL_RECORD.match(resource)
    if match is None:
        return None
    call_id = match[1] or match[2] or _resource_data(item, "id")
    return call_id if OPAQUE_ID.match(call_id) else None
