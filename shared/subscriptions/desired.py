"""List the subscriptions that the app needs, from its settings and meetings.

Sources: https://learn.microsoft.com/graph/change-notifications-overview (the longest lifetimes),
.../changenotifications-for-virtualevent and .../changenotifications-for-onlinemeeting
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import quote, unquote

from ..messages.signals import EVENT_ID, EventKind
from ..settings import CALL_EVENTS, CALL_RECORDS, VIRTUAL_EVENTS, Settings
from ..storage.watchlist import WatchedMeeting

ALL_CALL_RECORDS = "communications/callRecords"
LIFETIME = timedelta(minutes=4_220)  # Graph's limit is 4,230; the rest allows for clock skew
EVENT_LIFETIME = timedelta(minutes=1_430)  # Graph's limit is a day
REPORTS_LATE = timedelta(days=3)  # after an event's end, while its reports may still come

_OF_EVENT = re.compile(
    r"/?solutions/virtualEvents/(webinar|townhall)s/([^/]+)/getAttendanceReports/?\Z", re.IGNORECASE
)


@dataclass(frozen=True)
class DesiredSubscription:
    """A subscription the app needs; a `rich` one is encrypted, on the beta endpoint."""

    resource: str
    change_type: str
    lifetime: timedelta = LIFETIME
    rich: bool = False


def fixed_subscriptions(settings: Settings) -> tuple[DesiredSubscription, ...]:
    """Return the subscriptions for SIGNALS that do not depend on meetings."""
    desired = []
    if CALL_RECORDS in settings.signals:
        desired.append(DesiredSubscription(ALL_CALL_RECORDS, "created"))
    if VIRTUAL_EVENTS in settings.signals:
        desired.append(DesiredSubscription("solutions/virtualEvents/events", "created", EVENT_LIFETIME))
    return tuple(desired)


def meeting_subscriptions(
    settings: Settings, watched: Iterable[WatchedMeeting]
) -> tuple[DesiredSubscription, ...]:
    """Return a subscription for each watched meeting.

    The join URL, encoded as Graph shows it, is encoded once more as a whole.
    """
    if CALL_EVENTS not in settings.signals:
        return ()
    resource = "communications/onlineMeetings(joinWebUrl='{}')/meetingCallEvents"
    return tuple(
        DesiredSubscription(resource.format(quote(each.join_url, safe="")), "updated", rich=True)
        for each in watched
    )


def event_subscription(kind: EventKind, event_id: str) -> DesiredSubscription:
    """Return the subscription to a virtual event's reports."""
    return DesiredSubscription(
        f"solutions/virtualEvents/{kind}s/{event_id}/getAttendanceReports", "created", EVENT_LIFETIME
    )


def parse_event_resource(resource: str) -> tuple[EventKind, str] | None:
    """Return the event whose reports `resource` announces, or None."""
    match = _OF_EVENT.match(resource)
    event_id = unquote(match[2]) if match else ""
    return (EventKind(match[1].lower()), event_id) if match and EVENT_ID.match(event_id) else None


def max_lifetime(resource: str) -> timedelta:
    """Return the longest lifetime of a subscription to `resource`."""
    return EVENT_LIFETIME if "virtualevents" in resource.lower() else LIFETIME
