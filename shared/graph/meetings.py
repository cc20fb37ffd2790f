"""Read call records, and find the online meeting of a call.

A call record has the end of a call and its join URL. The organizer's online meeting with that join URL owns the
attendance reports. Sources: https://learn.microsoft.com/graph/api/resources/callrecords-callrecord and
https://learn.microsoft.com/graph/api/onlinemeeting-get
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from .. import times
from ..errors import GraphError, NotFound, Refused, Unavailable
from ..messages.signals import MeetingDetails
from .client import Graph, is_segment, page_items, segment
from .invitees import InviteeList, parse_participants
from .join_urls import parse_guid, parse_join_url
from .meeting_details import parse_details

MAX_CACHED = 2_000  # meetings, about 3 MB
MAX_CACHED_INVITEES = 40_000  # of all cached meetings, about 15 MB
MAX_AGE = timedelta(days=1)  # of a cached meeting, whose subject and schedule can change
BETWEEN_PEOPLE = "peertopeer"  # the type of a call record, in lower case


@dataclass(frozen=True)
class CallRecord:
    """The fields of a call record that the product uses; every meeting has an end.

    `is_meeting`: it has a join URL. `is_between_people`: it has the type of a call between two people, with or without
    a join URL. A record that is neither decides nothing: it may be of an ad-hoc group call, or a later version may be
    of a meeting.
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
    """Read a call record. Raises a GraphError.

    GET communications/callRecords/{id}, permission CallRecords.Read.All.
    """
    operation = "get call record"
    answer = graph.get(f"communications/callRecords/{segment(call_id)}", operation)
    answered = answer.get("id")
    if not isinstance(answered, str) or answered.lower() != call_id.lower():
        problem = "the answer is another call record" if answered else "the answer is no call record"
        raise Unavailable(operation, problem, status=200)
    return parse_call_record(answer, operation)


def parse_call_record(record: dict[str, Any], operation: str) -> CallRecord:
    """Read a call record from JSON. Raises Unavailable if a meeting lacks its end.

    An implausible time counts as missing.
    """
    start, end = times.plausible(record.get("startDateTime")), times.plausible(record.get("endDateTime"))
    kind, join_url = record.get("type"), record.get("joinWebUrl")
    join_url = join_url if isinstance(join_url, str) and join_url else None
    is_between_people = isinstance(kind, str) and kind.lower() == BETWEEN_PEOPLE
    is_meeting = join_url is not None and not is_between_people
    if is_meeting and end is None:
        raise Unavailable(operation, "the call record has no end", status=200)
    from_url = parse_join_url(join_url or "")
    organizer_id, tenant_id = _parse_organizer(record)
    return CallRecord(
        is_meeting=is_meeting,
        is_between_people=is_between_people,
        start=None if start and end and start > end else start,
        end=end,
        join_url=join_url,
        organizer_id=organizer_id or from_url.organizer_id,
        organizer_tenant=tenant_id or from_url.tenant_id,
        version=_parse_version(record.get("version")),
    )


@dataclass(frozen=True)
class OnlineMeeting:
    """An online meeting: its id and details, and on request who was invited."""

    id: str
    details: MeetingDetails
    invitees: InviteeList | None = None


def find_online_meeting(
    graph: Graph, organizer_id: str, join_url: str, *, with_invitees: bool = False
) -> OnlineMeeting:
    """Return the organizer's meeting with this join URL.

    A short link which is not found by its URL is looked up once more by its digits. Permission:
    OnlineMeetings.Read.All. Raises NotFound if there is no such meeting (yet), Refused if Graph rejects the URL and
    does not know the digits, so that a retry will not help, and other GraphErrors.
    """
    quoted = join_url.replace("'", "''")
    find = partial(_find_meeting, graph, organizer_id, with_invitees=with_invitees)
    try:
        return find(f"JoinWebUrl eq '{quoted}'", "find meeting by join URL")
    except (Refused, NotFound) as failure:
        digits, by_url = parse_join_url(join_url).join_meeting_id, failure
    if digits is None:
        raise _as_error(NotFound, by_url)
    try:
        return find(f"joinMeetingIdSettings/joinMeetingId eq '{digits}'", "find meeting by meeting id")
    except (Refused, NotFound) as failure:
        raise _as_error(type(by_url), failure) from None


class MeetingCache:
    """Least-recently-used cache of online meetings. Thread-safe.

    The sessions of a series share a join URL and so cost one look-up a day. If the look-up of a cached meeting fails,
    it is used for another day: its id is as good as before.
    """

    def __init__(self, size: int = MAX_CACHED, *, with_invitees: bool = False) -> None:
        self._meetings: OrderedDict[tuple[str, str], tuple[OnlineMeeting, datetime]] = OrderedDict()
        self._size, self._with_invitees = size, with_invitees
        self._invitees = 0  # of all meetings
        self._lock = threading.Lock()

    def find(self, graph: Graph, organizer_id: str, join_url: str) -> OnlineMeeting:
        """Return the cached meeting, or that of `find_online_meeting`."""
        key, now = (organizer_id, join_url), times.now()
        with self._lock:
            cached, read_at = self._meetings.get(key, (None, now))
            if cached:
                self._meetings.move_to_end(key)
                if now - read_at < MAX_AGE:
                    return cached
                self._meetings[key] = cached, now
        try:
            meeting = find_online_meeting(graph, organizer_id, join_url, with_invitees=self._with_invitees)
        except GraphError:
            if cached is None:
                raise
            return cached
        with self._lock:
            self._drop(key)
            self._meetings[key] = meeting, now
            self._invitees += _count_invitees(meeting)
            while len(self._meetings) > self._size or self._invitees > MAX_CACHED_INVITEES:
                self._drop(next(iter(self._meetings)))
        return meeting

    def forget(self, organizer_id: str, join_url: str) -> None:
        """Drop a meeting that Graph does not know or refuses."""
        with self._lock:
            self._drop((organizer_id, join_url))

    def _drop(self, key: tuple[str, str]) -> None:
        dropped, _ = self._meetings.pop(key, (None, None))
        self._invitees -= _count_invitees(dropped)


def _as_error[E: GraphError](kind: type[E], failure: GraphError) -> E:
    """Return the same failure as an error of another kind."""
    # For an unknown meeting Graph adds a number, which is the hint; for an unknown user it does not.
    is_user_unknown = failure.status == 404 and not failure.hint
    return kind(
        failure.operation,
        "Graph finds no such organizer; the account may be deleted"
        if is_user_unknown
        else "Graph finds no such meeting",
        status=failure.status,
        code=failure.code,
        hint=failure.hint,
        request_id=failure.request_id,
    )


def _count_invitees(meeting: OnlineMeeting | None) -> int:
    return len(meeting.invitees.invitees) if meeting and meeting.invitees else 0


def _find_meeting(
    graph: Graph, organizer_id: str, condition: str, operation: str, *, with_invitees: bool
) -> OnlineMeeting:
    path = f"users/{segment(organizer_id)}/onlineMeetings?$filter={segment(condition)}"
    found = page_items(graph.get(path, operation), operation)
    if not found:
        raise NotFound(operation, "the organizer has no such meeting")
    for each in found:
        meeting_id = each.get("id") if isinstance(each, dict) else None
        if is_segment(meeting_id):
            invitees = parse_participants(each) if with_invitees else None
            return OnlineMeeting(meeting_id, parse_details(each), invitees)
    raise Unavailable(operation, "the meeting has no id", status=200)


def _parse_organizer(record: dict[str, Any]) -> tuple[str | None, str | None]:
    """Return the organizer's object id and tenant.

    `organizer` is empty in the global cloud since 2026-06-30 and still filled in other clouds.
    """
    organizer_v2, organizer = record.get("organizer_v2"), record.get("organizer")
    for identity in (organizer_v2.get("identity") if isinstance(organizer_v2, dict) else None, organizer):
        user = identity.get("user") if isinstance(identity, dict) else None
        if isinstance(user, dict) and (organizer_id := parse_guid(user.get("id"))):
            return organizer_id, parse_guid(user.get("tenantId"))
    return None, None


def _parse_version(value: object) -> int:
    """Return the version of a call record, which grows with each revision, or 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 31 else 0
