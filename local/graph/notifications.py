"""What is delivered: one item on its way, and the record of one attempt to deliver some.

The JSON follows the changeNotification resource type; a lifecycle item has no change and no resource.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from local.graph import moments
from local.graph.subscriptions import Subscription

type Outcome = Literal["delivered", "retry", "gone", "lost", "dropped"]


@dataclass(frozen=True)
class Notification:
    """One item on its way: a change of a call record, or a lifecycle event (then `call_id` is empty).

    `due` and `first` are seconds since the epoch; `attempt` is the number of the next try.
    """

    id: int
    subscription_id: str
    change_type: str
    call_id: str
    due: float
    first: float
    attempt: int = 1

    @property
    def is_lifecycle(self) -> bool:
        """Whether it goes to the lifecycle URL."""
        return not self.call_id

    def item(self, subscription: Subscription, tenant_id: str) -> dict[str, object]:
        """The notification as it is sent now."""
        about: dict[str, object] = {
            "subscriptionId": subscription.id,
            "subscriptionExpirationDateTime": moments.written(subscription.expiration),
            "tenantId": tenant_id,
            "clientState": subscription.client_state,
        }
        if self.is_lifecycle:
            return about | {"lifecycleEvent": self.change_type}
        resource = f"communications/callRecords/{self.call_id}"
        data = {"@odata.type": "#microsoft.graph.callrecord", "@odata.id": resource, "id": self.call_id}
        return about | {"changeType": self.change_type, "resource": resource, "resourceData": data}


@dataclass(frozen=True)
class Attempt:
    """One POST, or (`gone`, `lost`, `dropped`) the end of an item without one.

    `status` is None where no reply came; `error` then says why.
    """

    at: datetime
    url: str
    call_ids: tuple[str, ...]
    subscription_ids: tuple[str, ...]
    change_types: tuple[str, ...]
    attempt: int
    status: int | None
    seconds: float
    error: str | None
    outcome: Outcome
