"""Invitees and registrations as the simulator gives them, read by the product's own client, and who of them came."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from local.simulator.faults.responses import Fault
from local.simulator.tenant.invitees import GROUP
from local.simulator.tenant.orders import EventKind, NewEvent, NewMeeting, NewSession
from shared.errors import AccessDenied
from shared.graph import events, invitees, meetings, reports
from shared.graph.client import Graph
from shared.graph.invitees import InviteeList, ListState
from shared.graph.reports import EventReports, MeetingReports
from shared.limits import RateLimiter
from shared.messages.signals import EventKind as Kind
from shared.messages.signals import EventSession
from shared.tables import rows
from tests.support import simulator_process
from tests.support.simulator_process import graph as graph
from tests.support.simulator_process import simulator as simulator
from tests.support.simulator_process import token


@pytest.fixture
def client(graph: simulator_process.Graph, monkeypatch: pytest.MonkeyPatch) -> Graph:
    monkeypatch.setenv("NO_PROXY", "*")
    return Graph(graph.control.url, lambda *_: token(), RateLimiter(1_000))


def rows_of(client: Graph, where: MeetingReports | EventReports, found: InviteeList) -> list[dict[str, Any]]:
    (header,) = reports.list_reports(client, where)
    report = reports.fetch_report(client, where, header.id)
    return list(rows.invitee_rows(report, {"id": header.id}, found))


def test_of_those_invited_half_came_and_groups_and_guests_are_undecided(
    graph: simulator_process.Graph, client: Graph
) -> None:
    made = graph.control.add_meeting(NewMeeting(invited=24))
    graph.control.add_session(NewSession(made.meeting_id, participants=30))
    found = meetings.find_online_meeting(
        client, made.organizer_id, made.join_web_url, with_invitees=True
    ).invitees
    assert found
    assert found.state is ListState.COMPLETE
    written = rows_of(client, MeetingReports(made.organizer_id, made.meeting_id), found)
    known = Counter(row["attended"] for row in written if row["personId"])
    assert known[True] >= 5
    assert known[False] >= 5
    assert known[None] == 0
    assert {row["attended"] for row in written if not row["personId"]} == {None}
    assert [row["emailAddress"] for row in written].count(GROUP) == 1
    assert [row["role"] for row in written].count("organizer") == 1
    people = [row["personId"] for row in written if row["personId"]]
    assert len(people) == len(set(people))


def test_a_meeting_without_participants_has_no_list(graph: simulator_process.Graph, client: Graph) -> None:
    made = graph.control.add_meeting(NewMeeting(invited=None))
    found = meetings.find_online_meeting(client, made.organizer_id, made.join_web_url, with_invitees=True)
    assert found.invitees == InviteeList(ListState.NOT_SUPPORTED)


@pytest.mark.parametrize("kind", ["webinar", "townhall"])
def test_registrations_of_all_pages_are_read_and_those_who_came_are_known(
    graph: simulator_process.Graph, client: Graph, kind: EventKind
) -> None:
    graph.control.change_settings(eventPageSize=4)
    start = datetime(2026, 11, 23, 9, tzinfo=UTC)
    made = graph.control.add_event(
        NewEvent(kind=kind, registered=12, start=start, time_zone="W. Europe Standard Time")
    )
    graph.control.add_session(NewSession(made.sessions[0].meeting_id, participants=30))
    session = EventSession(Kind(kind), made.event_id, made.sessions[0].session_id)
    found = invitees.list_registrations(client, session)
    path = f"/{made.path}/registrations"
    entries = [each for page in graph.pages(path) for each in page]
    assert len(entries) > len({each["id"] for each in entries}) == len(found.invitees)
    written = rows_of(client, EventReports(session), found)
    assert [row["attended"] for row in written].count(False) == 12
    assert [row["attended"] for row in written].count(True) == len(written) - 12 > 5
    assert {row["registrationStatus"] for row in written} >= {"registered", "canceled", "waitlisted"}
    details = events.get_session(client, session).details
    assert details.scheduled_start == start


def test_without_the_permission_registrations_are_refused(
    graph: simulator_process.Graph, client: Graph
) -> None:
    made = graph.control.add_event(NewEvent(registered=3))
    session = EventSession(Kind.WEBINAR, made.event_id, made.sessions[0].session_id)
    graph.control.add_fault(Fault("/registrations", status=403))
    with pytest.raises(AccessDenied):
        invitees.list_registrations(client, session)


def test_registrations_without_an_end_are_cut(
    graph: simulator_process.Graph, client: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invitees, "MAX_INVITEES", 10)
    made = graph.control.add_event(NewEvent(registered=40))
    session = EventSession(Kind.WEBINAR, made.event_id, made.sessions[0].session_id)
    before = len(graph.control.calls())
    found = invitees.list_registrations(client, session)
    assert (found.state, len(found.invitees)) == (ListState.TRUNCATED, 10)
    assert len(graph.control.calls()) - before == 1
