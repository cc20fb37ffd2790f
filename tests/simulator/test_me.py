"""The simulated Graph for a signed-in user: own meetings at `/me`, nothing else."""

import json
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from local.simulator.control.client import MeetingMade
from local.simulator.tenant.orders import NewEvent, NewSession
from tests.support.simulator_process import Graph, token
from tests.support.simulator_process import graph as graph
from tests.support.simulator_process import simulator as simulator

ALL = "OnlineMeetings.Read OnlineMeetingArtifact.Read.All VirtualEvent.Read"


def signed_in(graph: Graph, user: str, scopes: str = ALL) -> Graph:
    return replace(graph, token=token(scp=scopes, oid=user, idtyp="user"))


def lookup(meeting: MeetingMade) -> dict[str, Any]:
    return {"params": {"$filter": f"JoinWebUrl eq '{meeting.join_web_url}'"}}


def reports_of(meeting: MeetingMade) -> str:
    return f"/me/onlineMeetings/{quote(meeting.meeting_id, safe='')}/attendanceReports"


def test_a_user_finds_own_meetings_and_their_reports(graph: Graph) -> None:
    meeting = graph.control.add_meeting()
    session = graph.control.add_session(NewSession(meeting_id=meeting.meeting_id, participants=7))
    graph.control.change_settings(recordPageSize=3)
    me = signed_in(graph, meeting.organizer_id)
    (found,) = me.json("/me/onlineMeetings", **lookup(meeting))["value"]
    assert found["id"] == meeting.meeting_id
    assert me.json(f"/me/onlineMeetings/{quote(found['id'], safe='')}")["joinWebUrl"] == meeting.join_web_url
    assert [each["id"] for each in me.json(reports_of(meeting))["value"]] == [session.report_id]
    report = me.json(f"{reports_of(meeting)}/{session.report_id}?$expand=attendanceRecords")
    assert f"users('{meeting.organizer_id}')" in report["@odata.context"]
    assert "/me/onlineMeetings/" in report["attendanceRecords@odata.nextLink"]
    seen = report["attendanceRecords"]
    seen += [each for page in me.pages(report["attendanceRecords@odata.nextLink"]) for each in page]
    assert seen == json.loads(graph.control.true_report(session.report_id))["attendanceRecords"]


def test_a_user_needs_no_access_policy(graph: Graph) -> None:
    meeting = graph.control.add_meeting()
    graph.control.deny(meeting.organizer_id)
    assert signed_in(graph, meeting.organizer_id).get("/me/onlineMeetings", **lookup(meeting)).ok


def test_the_meetings_of_others_are_forbidden(graph: Graph) -> None:
    meeting, mine = graph.control.add_meeting(), graph.control.add_meeting()
    me = signed_in(graph, mine.organizer_id)
    for path, options in (("/me/onlineMeetings", lookup(meeting)), (reports_of(meeting), {})):
        status, code, message = me.refusal(path, **options)
        assert (status, code, message[:4]) == (403, "Forbidden", "3003")
    assert me.refusal(f"/users/{meeting.organizer_id}/onlineMeetings", **lookup(meeting))[0] == 403
    assert me.get(f"/users/{mine.organizer_id}/onlineMeetings", **lookup(mine)).ok


def test_an_application_has_no_me(graph: Graph) -> None:
    meeting = graph.control.add_meeting()
    for path in ("/me/onlineMeetings", reports_of(meeting)):
        status, code, message = graph.refusal(path, **lookup(meeting))
        assert (status, code) == (400, "BadRequest")
        assert "delegated" in message


@pytest.mark.parametrize(
    "path",
    [
        "/communications/callRecords",
        "/communications/callRecords/0b000000-0000-4000-8000-000000000001",
        "/subscriptions",
        "/subscriptions/0b000000-0000-4000-8000-000000000001",
        "/solutions/virtualEvents/webinars",
        "/solutions/virtualEvents/townhalls",
    ],
)
def test_what_is_for_applications_is_forbidden_to_a_user(graph: Graph, path: str) -> None:
    meeting = graph.control.add_meeting()
    assert signed_in(graph, meeting.organizer_id).refusal(path)[:2] == (403, "Forbidden")


def test_a_user_makes_no_subscription(graph: Graph) -> None:
    me = signed_in(graph, graph.control.add_meeting().organizer_id)
    assert (
        me.send("POST", "/subscriptions", json={"resource": "communications/callRecords"}).status_code == 403
    )


def test_a_token_opens_what_its_scopes_say(graph: Graph) -> None:
    meeting = graph.control.add_meeting()
    graph.control.add_session(NewSession(meeting_id=meeting.meeting_id))
    meetings = signed_in(graph, meeting.organizer_id, "OnlineMeetings.Read")
    artifacts = signed_in(graph, meeting.organizer_id, "OnlineMeetingArtifact.Read.All")
    assert meetings.get("/me/onlineMeetings", **lookup(meeting)).ok
    assert artifacts.get(reports_of(meeting)).ok
    assert meetings.refusal(reports_of(meeting))[0] == 403
    assert artifacts.refusal("/me/onlineMeetings", **lookup(meeting))[0] == 403


def test_organizers_and_co_organizers_read_their_events(graph: Graph) -> None:
    colleague, stranger = "0c000000-0000-4000-8000-000000000001", "0c000000-0000-4000-8000-000000000002"
    event = graph.control.add_event(NewEvent(co_organizers=(colleague,), denied=True))
    session = graph.control.add_session(NewSession(meeting_id=event.sessions[0].meeting_id))
    report = f"/{event.path}/sessions/{event.sessions[0].session_id}/attendanceReports/{session.report_id}"
    for user in (event.organizer_id, colleague):
        me = signed_in(graph, user)
        assert me.get(f"/{event.path}").ok
        assert me.json(report)["id"] == session.report_id
    assert signed_in(graph, stranger).refusal(report)[0] == 403
    assert signed_in(graph, colleague, "VirtualEvent.Read").refusal(report)[0] == 403
