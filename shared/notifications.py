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

from shared.errors import NotANotification
from shared.messages import OPAQUE_ID
from shared.settings import Settings
from shared.signals import Signal
from shared.tasks import Maintain, Renew, Task

# communications/callRecords/{id} and communications/callRecords('{id}'), with or without slashes around; the
# collection alone where only resourceData names the id
_CALL_RECORD = re.compile(
    r"/?communications/callRecords(?:/([^/?#()']+)|\('([^/?#()']+)'\)|)/?\Z", re.IGNORECASE
)


@dataclass(frozen=True)
class Received:
    """What a body held: signals and tasks to enqueue, and how many items were dropped, by reason."""

    signals: tuple[Signal, ...]
    tasks: tuple[Task, ...]
    dropped: Counter[str]


def read(body: bytes, settings: Settings, seen: datetime, traceparent: str | None = None) -> Received:
    """Sort the items of a notification POST. Raises NotANotification for what is no collection of items.

    Signals and tasks come without repeats, in order. Reasons for dropping: `notAnObject`, `clientState`,
    `tenant`, `unknownResource`, `unknownLifecycleEvent`.
    """
    signals: dict[Signal, None] = {}
    tasks: dict[Task, None] = {}
    dropped: Counter[str] = Counter()
    for item in _items(body):
        if not isinstance(item, dict):
            dropped["notAnObject"] += 1
        elif not _authentic(item.get("clientState"), settings):
            dropped["clientState"] += 1
        elif not _of_tenant(item.get("tenantId"), settings):
            dropped["tenant"] += 1
        elif item.get("lifecycleEvent") is not None:
            if task := _task(item, traceparent):
                tasks[task] = None
            else:
                dropped["unknownLifecycleEvent"] += 1
        elif call_id := _call_id(item):
            signals[Signal(call_id, seen, traceparent=traceparent)] = None
        else:
            dropped["unknownResource"] += 1
    return Received(tuple(signals), tuple(tasks), dropped)


def _items(body: bytes) -> list[object]:
    try:
        content = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise NotANotification("The body is not JSON in UTF-8.") from None
    if not isinstance(content, dict) or not isinstance(content.get("value"), list):
        raise NotANotification("The body is not an object with a list named value.")
    return content["value"]  # type: ignore[no-any-return]


def _authentic(client_state: object, settings: Settings) -> bool:
    if not isinstance(client_state, str):
        return False
    given = client_state.encode("utf-8", "surrogatepass")
    # Every accepted state is compared, so that the time taken does not tell which one was near.
    matches = [hmac.compare_digest(given, accepted.encode()) for accepted in settings.client_states]
    return any(matches)


def _of_tenant(tenant_id: object, settings: Settings) -> bool:
    return tenant_id is None or (isinstance(tenant_id, str) and tenant_id.lower() == settings.tenant_id)


def _task(item: dict[str, object], traceparent: str | None) -> Task | None:
    event, subscription_id = item["lifecycleEvent"], item.get("subscriptionId")
    if event == "reauthorizationRequired":
        if isinstance(subscription_id, str) and OPAQUE_ID.match(subscription_id):
            return Task(Renew(subscription_id), traceparent)
        return None
    if event in ("subscriptionRemoved", "missed"):
        return Task(Maintain(), traceparent)
    return None


def _call_id(item: dict[str, object]) -> str | None:
    resource = item.get("resource")
    match = _CALL_RECORD.match(resource) if isinstance(resource, str) else None
    if match is None:
        return None
    data = item.get("resourceData")
    call_id = match[1] or match[2] or (data.get("id") if isinstance(data, dict) else None)
    return call_id if isinstance(call_id, str) and OPAQUE_ID.match(call_id) else None
