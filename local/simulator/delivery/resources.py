"""Resources that can be subscribed to, and the rules of each.

A topic is a resource in the form in which resources are compared: with or without its leading slash, in any case, but
for the join link, whose case matters and which must be percent-encoded exactly once as a whole.
Sources: change notifications overview; change notifications for virtual events, for meeting call events.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from urllib.parse import quote, unquote

from local.simulator.odata import GraphError
from local.simulator.tenant import links

type Kind = Literal["callRecord", "virtualEvent", "attendanceReport", "callEvent"]

CALL_RECORDS = "communications/callrecords"
EVENTS = "solutions/virtualevents/events"
_REPORTS = re.compile(
    r"solutions/virtualevents/(webinar|townhall)s/([^/]+)/getattendancereports", re.IGNORECASE
)
_CALL_EVENTS = re.compile(
    r"communications/onlinemeetings\(joinweburl='([^']*)'\)/meetingcallevents", re.IGNORECASE
)


@dataclass(frozen=True)
class Rules:
    """The rules for subscriptions to a resource; `per_organization`: its own quota."""

    change_types: frozenset[str]
    longest: timedelta
    per_organization: int | None = None
    beta_only: bool = False
    rich: bool = False
    lifecycle_beyond: timedelta | None = None


RULES: dict[Kind, Rules] = {
    "callRecord": Rules(
        frozenset({"created", "updated"}), longest=timedelta(minutes=4230), per_organization=100
    ),
    "virtualEvent": Rules(frozenset({"created"}), longest=timedelta(days=1)),
    "attendanceReport": Rules(frozenset({"created"}), longest=timedelta(days=1)),
    "callEvent": Rules(
        frozenset({"updated"}),
        longest=timedelta(minutes=4230),
        beta_only=True,
        rich=True,
        lifecycle_beyond=timedelta(hours=1),
    ),
}


@dataclass(frozen=True)
class Topic:
    """A resource: kind, key for comparison, and event or join URL."""

    kind: Kind
    key: str
    about: str = ""

    @property
    def rules(self) -> Rules:
        """The rules of its kind."""
        return RULES[self.kind]


def topic_of(resource: str) -> Topic:
    """The topic that a resource names. Raises GraphError 400."""
    plain = resource.strip("/")
    lowered = plain.lower()
    if lowered == CALL_RECORDS:
        return Topic("callRecord", CALL_RECORDS)
    if lowered == EVENTS:
        return Topic("virtualEvent", EVENTS)
    if match := _REPORTS.fullmatch(plain):
        event_id = unquote(match[2]).lower()
        return Topic("attendanceReport", reports_key(match[1].lower(), event_id), event_id)
    if match := _CALL_EVENTS.fullmatch(plain):
        join_url = unquote(match[1])
        if quote(join_url, safe="").lower() != match[1].lower() or not links.looks_like_a_join_url(join_url):
            message = "joinWebUrl must be the join URL of the meeting, percent-encoded once as a whole."
            raise GraphError(400, "BadRequest", message)
        return Topic("callEvent", call_events_key(join_url), join_url)
    raise GraphError(400, "InvalidRequest", f"Resource '{resource}' is not supported.")


def reports_key(event_kind: str, event_id: str) -> str:
    """The key of the reports of an event."""
    return f"solutions/virtualevents/{event_kind}s/{event_id}/getattendancereports"


def call_events_key(join_url: str) -> str:
    """The key of the call events of a meeting."""
    return f"communications/onlinemeetings({join_url})/meetingcallevents"


def resource_of(join_url: str) -> str:
    """The resource of a meeting's call events, as a subscription names it."""
    return f"communications/onlineMeetings(joinWebUrl='{quote(join_url, safe='')}')/meetingCallEvents"
