"""A notification to deliver, and the record of one delivery attempt.

The JSON follows the changeNotification resource type; a lifecycle item has no change and no resource. The forms in
which resource, type and time are spelt vary where the documentation's examples vary.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from local.simulator import moments
from local.simulator.delivery import resources
from local.simulator.delivery.call_events import TYPE as CALL_EVENT
from local.simulator.delivery.subscriptions import Subscription

type Outcome = Literal["delivered", "retry", "gone", "lost", "dropped"]
type Kind = Literal["lifecycle"] | resources.Kind

_TYPES = {
    "callRecord": "#microsoft.graph.callrecord",
    "virtualEvent": "#microsoft.graph.virtualEvent",
    "attendanceReport": "#microsoft.graph.meetingAttendanceReport",
    "callEvent": CALL_EVENT,
}
_ODD_TYPES = {
    "virtualEvent": "#Microsoft.Graph.virtualevent",
    "attendanceReport": "#Microsoft.Graph.MeetingAttendanceReport",
    "callEvent": "#Microsoft.Graph.callEvent",
}


@dataclass(frozen=True)
class Notification:
    """A change, or a lifecycle event (then `change_type` names that event).

    `subject`: the id of the call record, the path of the event or of the report, the id of the call event, whose
    `detail` is what it says. `due` and `first` are seconds since the epoch; `attempt` is the number of the next try.
    """

    id: int
    subscription_id: str
    change_type: str
    kind: Kind
    subject: str
    due: float
    first: float
    attempt: int = 1
    detail: str = ""

    @property
    def is_lifecycle(self) -> bool:
        """Whether it goes to the lifecycle URL."""
        return self.kind == "lifecycle"

    def item(self, subscription: Subscription, tenant_id: str, *, odd: bool) -> dict[str, object]:
        """The notification as sent now, without encrypted content."""
        odd = odd and self.kind in _ODD_TYPES and self.id % 2 == 0
        about: dict[str, object] = {
            "subscriptionId": subscription.id,
            "subscriptionExpirationDateTime": moments.format_time(subscription.expiration),
            "tenantId": tenant_id,
            "clientState": subscription.client_state,
        }
        if self.is_lifecycle:
            return about | {"lifecycleEvent": self.change_type}
        if odd:
            about["subscriptionExpirationDateTime"] = (
                f"{subscription.expiration:%Y-%m-%dT%H:%M:%S}.0000000+00:00"
            )
        resource, where, identifier = self._addresses(subscription)
        kind = _ODD_TYPES[self.kind] if odd else _TYPES[self.kind]
        data = {"@odata.type": kind, "@odata.id": where, "id": identifier}
        if self.kind == "callEvent":
            about["organizationId"] = tenant_id
        resource = f"/{resource}" if odd else resource
        return about | {"changeType": self.change_type, "resource": resource, "resourceData": data}

    def _addresses(self, subscription: Subscription) -> tuple[str, str, str]:
        """Resource, address and id, each in the form that the examples of its kind have."""
        if self.kind == "callRecord":
            address = f"communications/callRecords/{self.subject}"
            return address, address, self.subject
        if self.kind == "virtualEvent":
            return "solutions/virtualEvents/events/", f"{self.subject}/", f"{self.subject}/"
        resource = subscription.resource.strip("/")
        if self.kind == "attendanceReport":
            return resource, self.subject, self.subject.rpartition("/")[2]
        return resource, resource, self.subject


@dataclass(frozen=True, order=True)
class Announcement:
    """News for all subscriptions to a topic: at `at` (epoch seconds), `times` times."""

    at: float
    topic: str
    kind: Kind
    subject: str
    times: int = 1
    detail: str = ""


@dataclass(frozen=True)
class DeliveryAttempt:
    """One POST, or the end of an item without one (`gone`, `lost`, `dropped`).

    `status` is None where no reply came; `error` then says why. `call_ids` are those of call records, `subjects` what
    each item is about.
    """

    at: datetime
    url: str
    call_ids: tuple[str, ...]
    subjects: tuple[str, ...]
    subscription_ids: tuple[str, ...]
    change_types: tuple[str, ...]
    attempt: int
    status: int | None
    seconds: float
    error: str | None
    outcome: Outcome
