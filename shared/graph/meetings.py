"""From a call record to the online meeting behind it.

A call record says when a call ended and which join URL it had; the organizer's online meeting with that join URL
owns the attendance reports. Sources: https://learn.microsoft.com/graph/api/resources/callrecords-callrecord and
https://learn.microsoft.com/graph/api/onlinemeeting-get
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .. import times
from ..errors import GraphError, NotFound, Refused, Unavailable
from ..settings import GUID
from .client import Graph, segment
from .join_urls import parse_join_url

MAX_CACHED = 2_000  # meetings, some 2 MB
BETWEEN_PEOPLE = "peertopeer"  # the type of a call record, in lower case


@dataclass(frozen=True)
class CallRecord:
    """What the product reads of a call record; the end of every meeting is known.

    `is_meeting`: it has a join URL. `is_between_people`: its type says so, and no join URL changes that. One that is
    neither says nothing for good: it may be an ad-hoc group call, or a version that lacks what a later one has.
    """

    is_meeting: bool
    is_between_people: bool
    start: datetime | None
    end: datetime | None
    join_url: str | None
    organizer_id: str | None
    organizer_tenant: str | None
    version: int = 0


def get_call_record(graph: Graph, call_id: str) -> CallRecord:
    """GET communications/callRecords/{id}, permission CallRecords.Read.All. Raises a GraphError."""
    operation = "get call record"
    answer = graph.get(f"communications/callRecords/{segment(call_id)}", operation)
    answered = answer.get("id")
    if not isinstance(answered, str) or answered.lower() != call_id.lower():
        problem = "the answer is another call record" if answered else "the answer is no call record"
        raise Unavailable(operation, problem, status=200)
    return parse_call_record(answer, operation)


def parse_call_record(record: dict[str, Any], operation: str) -> CallRecord:
    """The call record in `record`. Raises Unavailable for a meeting without an end.

    A time that cannot be true is not told, like one that is null.
    """
    start, end = times.plausible(record.get("startDateTime")), times.plausible(record.get("endDateTime"))
    kind, join_url = record.get("type"), record.get("joinWebUrl")
    join_url = join_url if isinstance(join_url, str) and join_url else None
    is_between_people = isinstance(kind, str) and kind.lower() == BETWEEN_PEOPLE
    is_meeting = join_url is not None and not is_between_people
    if is_meeting and end is None:
        raise Unavailable(operation, "the call record has no end", status=200)
    from_url = parse_join_url(join_url or "")
    organizer_id, tenant_id = _organizer(record)
    return CallRecord(
        is_meeting=is_meeting,
        is_between_people=is_between_people,
        start=None if start and end and start > end else start,
        end=end,
        join_url=join_url,
        organizer_id=organizer_id or from_url.organizer_id,
        organizer_tenant=tenant_id or from_url.tenant_id,
        version=_version(record.get("version")),
    )


def find_online_meeting_id(graph: Graph, organizer_id: str, join_url: str) -> str:
    """The id of the organizer's meeting with this join URL, permission OnlineMeetings.Read.All.

    A short link that is not found by its URL is looked up once more by its digits. Raises Refused where Graph
    refuses the URL and does not know the digits, for asking again will not help; NotFound when there is no such
    meeting (yet), and other GraphErrors.
    """
    quoted = join_url.replace("'", "''")
    try:
        return _find(graph, organizer_id, f"JoinWebUrl eq '{quoted}'", "find meeting by join URL")
    except (Refused, NotFound) as failure:
        digits, by_url = parse_join_url(join_url).join_meeting_id, failure
    if digits is None:
        raise _again(NotFound, by_url)
    operation = "find meeting by meeting id"
    try:
        return _find(graph, organizer_id, f"joinMeetingIdSettings/joinMeetingId eq '{digits}'", operation)
    except (Refused, NotFound) as failure:
        raise _again(type(by_url), failure) from None


class MeetingIdCache:
    """The ids that this instance found last, so that the sessions of a series cost one look-up. Shared by threads."""

    def __init__(self, most: int = MAX_CACHED) -> None:
        self._known: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._most = most
        self._lock = threading.Lock()

    def find(self, graph: Graph, organizer_id: str, join_url: str) -> str:
        """As `online_meeting_id`, which is asked where the id is not known."""
        key = organizer_id, join_url
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        found = find_online_meeting_id(graph, organizer_id, join_url)
        with self._lock:
            self._known[key] = found
            if len(self._known) > self._most:
                self._known.popitem(last=False)
        return found

    def forget(self, organizer_id: str, join_url: str) -> None:
        """Look it up again next time: Graph does not know it by that id, or refuses it."""
        with self._lock:
            self._known.pop((organizer_id, join_url), None)


def _again[E: GraphError](kind: type[E], failure: GraphError) -> E:
    """The same failure, as another kind."""
    # Of an unknown meeting Graph says so by a number, which is the hint; of an unknown user it does not.
    is_user_unknown = failure.status == 404 and not failure.hint
    return kind(
        failure.operation,
        "Graph knows no such organizer, who may be deleted"
        if is_user_unknown
        else "Graph knows no meeting by it",
        status=failure.status,
        code=failure.code,
        hint=failure.hint,
        request_id=failure.request_id,
    )


def _find(graph: Graph, organizer_id: str, condition: str, operation: str) -> str:
    path = f"users/{segment(organizer_id)}/onlineMeetings?$filter={segment(condition)}"
    value = graph.get(path, operation).get("value")
    if not isinstance(value, list):
        raise Unavailable(operation, "the answer holds no list named value")
    if not value:
        raise NotFound(operation, "the organizer has no such meeting")
    meeting_id = value[0].get("id") if isinstance(value[0], dict) else None
    if not isinstance(meeting_id, str) or not meeting_id:
        raise Unavailable(operation, "the meeting has no id")
    return meeting_id


def _organizer(record: dict[str, Any]) -> tuple[str | None, str | None]:
    """Object id and tenant of the organizer.

    `organizer` returns nothing in Global since 2026-06-30 and is still filled in other clouds.
    """
    organizer_v2, organizer = record.get("organizer_v2"), record.get("organizer")
    for identity in (organizer_v2.get("identity") if isinstance(organizer_v2, dict) else None, organizer):
        user = identity.get("user") if isinstance(identity, dict) else None
        if isinstance(user, dict) and (organizer_id := _guid(user.get("id"))):
            return organizer_id, _guid(user.get("tenantId"))
    return None, None


def _version(value: object) -> int:
    """The version of a call record, which grows with each revision; 0 where it is not told."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 31 else 0


def _guid(value: object) -> str | None:
    return value if isinstance(value, str) and GUID.match(value) else None
