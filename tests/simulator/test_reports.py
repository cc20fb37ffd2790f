"""The simulated attendance reports answer as documented."""

import json
import re
import time
from datetime import UTC, datetime, timedelta

import pytest

from local.simulator.control.client import MeetingMade, SessionMade
from local.simulator.faults.responses import Fault
from local.simulator.tenant.orders import NewMeeting, NewSession
from tests.support.simulator_process import Graph, reports_of, until
from tests.support.simulator_process import graph as graph
from tests.support.simulator_process import simulator as simulator


def held(graph: Graph, **fields: object) -> tuple[MeetingMade, SessionMade]:
    meeting = graph.control.add_meeting()
    order = NewSession(meeting_id=meeting.meeting_id, **fields)  # type: ignore[arg-type]
    return meeting, graph.control.add_session(order)


def records_through_links(
    graph: Graph, meeting: MeetingMade, session: SessionMade, link: str
) -> list[object]:
    report = graph.json(f"{reports_of(meeting)}/{session.report_id}?$expand=attendanceRecords")
    records: list[object] = report["attendanceRecords"]
    assert "attendanceRecords@odata.context" in report
    return records + [record for page in graph.pages(report[link]) for record in page]


def test_the_list_holds_the_50_newest_reports_unordered_and_without_records(graph: Graph) -> None:
    meeting = graph.control.add_meeting(NewMeeting(kind="recurring"))
    now = datetime.now(UTC)
    made = [
        graph.control.add_session(NewSession(meeting_id=meeting.meeting_id, end=now - timedelta(days=n)))
        for n in range(53)
    ]
    listed = graph.json(reports_of(meeting))["value"]
    assert {report["id"] for report in listed} == {session.report_id for session in made[:50]}
    ends = [report["meetingEndDateTime"] for report in listed]
    assert ends != sorted(ends)
    assert ends != sorted(ends, reverse=True)
    assert not any("attendanceRecords" in report for report in listed)
    assert graph.json(reports_of(meeting))["value"] == listed


def test_the_list_is_paged_when_a_page_size_is_set(graph: Graph) -> None:
    meeting = graph.control.add_meeting(NewMeeting(kind="recurring"))
    for _ in range(5):
        graph.control.add_session(NewSession(meeting_id=meeting.meeting_id))
    whole = graph.json(reports_of(meeting))["value"]
    graph.control.change_settings(reportPageSize=2)
    pages = graph.pages(reports_of(meeting))
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [report for page in pages for report in page] == whole


def test_a_report_can_be_shown_in_part(graph: Graph) -> None:
    meeting, session = held(graph, participants=7)
    graph.control.change_settings(recordPageSize=6)
    graph.control.add_fault(Fault(path="attendanceReports/", action="part"))
    address = f"{reports_of(meeting)}/{session.report_id}?$expand=attendanceRecords"
    partial, whole = graph.json(address), graph.json(address)
    assert partial["attendanceRecords"] == whole["attendanceRecords"][:3]
    assert partial["totalParticipantCount"] == 7
    assert "attendanceRecords@odata.nextLink" in whole
    assert "attendanceRecords@odata.nextLink" not in partial


def test_a_next_link_can_be_lost(graph: Graph) -> None:
    meeting, session = held(graph, participants=7)
    graph.control.change_settings(recordPageSize=3, loseNextLinks=True)
    report = graph.json(f"{reports_of(meeting)}/{session.report_id}?$expand=attendanceRecords")
    assert (len(report["attendanceRecords"]), report["totalParticipantCount"]) == (3, 7)
    assert not [name for name in report if name.endswith("nextLink")]


@pytest.mark.parametrize(
    ("form", "link"), [("property", "attendanceRecords@odata.nextLink"), ("top", "@odata.nextLink")]
)
def test_expanded_records_go_on_at_the_next_link(graph: Graph, form: str, link: str) -> None:
    meeting, session = held(graph, participants=7)
    graph.control.change_settings(recordPageSize=3, nextLinkForm=form)
    records = records_through_links(graph, meeting, session, link)
    assert records == json.loads(graph.control.true_report(session.report_id))["attendanceRecords"]
    assert len(records) == 7


def test_the_records_of_a_report_have_an_address_of_their_own(graph: Graph) -> None:
    meeting, session = held(graph, participants=7)
    graph.control.change_settings(recordPageSize=3)
    pages = graph.pages(f"{reports_of(meeting)}/{session.report_id}/attendanceRecords")
    assert [len(page) for page in pages] == [3, 3, 1]


def test_engagements_are_those_of_the_resource_type_and_lie_in_a_stay(graph: Graph) -> None:
    meeting, session = held(graph, participants=20)
    report = graph.json(f"{reports_of(meeting)}/{session.report_id}?$expand=attendanceRecords")
    kinds = {
        "reaction": {"like", "love", "applause", "laugh", "surprised"},
        "hand": {"raiseHand"},
        "camera": {"cameraOn", "cameraOff"},
        "microphone": {"mute", "unmute"},
    }
    found = [(record, each) for record in report["attendanceRecords"] for each in record["engagements"]]
    assert len(found) > 5
    for record, each in found:
        assert each["engagementSubType"] in kinds[each["engagementType"]]
        assert any(
            stay["joinDateTime"] <= each["dateTime"] <= stay["leaveDateTime"]
            for stay in record["attendanceIntervals"]
        )
    assert not {"averageEngagement", "attentionScore"} & {*report, *report["attendanceRecords"][0]}


def test_reports_can_lack_what_us_government_leaves_out(graph: Graph) -> None:
    meeting, session = held(graph, participants=20)
    path = f"{reports_of(meeting)}/{session.report_id}?$expand=attendanceRecords"
    everywhere = graph.json(path)
    graph.control.change_settings(reportProperties="usGovernment")
    there = graph.json(path)
    assert everywhere.keys() - there.keys() == {"externalEventInformation"}
    (of_record,) = {
        frozenset(one.keys() - other.keys())
        for one, other in zip(everywhere["attendanceRecords"], there["attendanceRecords"], strict=True)
    }
    assert of_record == {"registrationId", "engagements"}
    truth = json.loads(graph.control.true_report(session.report_id))
    assert truth["attendanceRecords"] == there["attendanceRecords"]


def test_totals_are_the_sum_of_the_intervals_and_identities_are_as_seen_in_the_field(graph: Graph) -> None:
    _, session = held(graph, participants=150)
    report = json.loads(graph.control.true_report(session.report_id))
    records = report["attendanceRecords"]
    assert report["totalParticipantCount"] == len(records) == 150
    for record in records:
        seconds = [interval["durationInSeconds"] for interval in record["attendanceIntervals"]]
        assert 1 <= len(seconds) <= 3
        assert record["totalAttendanceInSeconds"] == sum(seconds)
    assert {record["role"] for record in records} == {"Organizer", "Presenter", "Attendee", "None"}
    assert {record["emailAddress"] for record in records} >= {"", None}
    identities = [record["identity"] for record in records]
    flat = [each for each in identities if "id" in each]
    nested = [(key, value) for each in identities if "id" not in each for key, value in each.items() if value]
    assert len(nested) == len(identities) - len(flat) > 0
    types = {each["@odata.type"].rpartition(".")[2] for each in flat}
    assert types >= {"communicationsPhoneIdentity", "communicationsGuestIdentity"}
    assert {key for key, _ in nested} >= {"user", "phone"}
    everyone = [*flat, *(value for _, value in nested)]
    assert any(each["id"] is None and each["displayName"] for each in everyone), "anonymous"
    assert any(each["id"] is None and each["displayName"] is None for each in everyone), "every field null"
    assert any(each.get("tenantId") == "9188040d-6c67-4c5b-b112-36a304b66dad" for each in everyone)


def test_select_keeps_what_it_names_and_refuses_what_does_not_exist(graph: Graph) -> None:
    meeting, session = held(graph)
    path = f"{reports_of(meeting)}/{session.report_id}"
    assert graph.json(path + "?$select=id").keys() == {"@odata.context", "id"}
    assert graph.refusal(path + "?$select=nothing")[0] == 400


def test_a_report_comes_later_than_its_session_ends(graph: Graph) -> None:
    meeting, session = held(graph, report_delay=1.0)
    path = f"{reports_of(meeting)}/{session.report_id}"
    assert graph.json(reports_of(meeting))["value"] == []
    assert graph.refusal(path)[0] == 404
    assert until(lambda: graph.get(path).ok)


def test_no_report_at_all_and_a_report_that_is_always_refused(graph: Graph) -> None:
    meeting, session = held(graph, no_report=True)
    assert graph.json(reports_of(meeting))["value"] == []
    assert session.report_id not in graph.control.true_reports()
    meeting, session = held(graph, report_refused=403)
    assert [report["id"] for report in graph.json(reports_of(meeting))["value"]] == [session.report_id]
    assert graph.refusal(f"{reports_of(meeting)}/{session.report_id}?$expand=attendanceRecords")[0] == 403


def test_a_report_of_a_running_meeting_looks_finished_and_its_end_moves(graph: Graph) -> None:
    now = datetime.now(UTC)
    fields = {"start": now - timedelta(minutes=10), "end": now + timedelta(minutes=20), "participants": 40}
    meeting, session = held(graph, early_report=True, **fields)
    path = f"{reports_of(meeting)}/{session.report_id}?$expand=attendanceRecords"
    early = graph.json(path)
    truth = json.loads(graph.control.true_report(session.report_id))
    assert 0 < len(early["attendanceRecords"]) <= len(truth["attendanceRecords"]) == 40
    assert early.keys() - truth.keys() == {"@odata.context", "attendanceRecords@odata.context"}
    assert early["attendanceRecords"] != truth["attendanceRecords"]
    time.sleep(0.01)  # the end is the present
    assert early["meetingEndDateTime"] < graph.json(path)["meetingEndDateTime"] < truth["meetingEndDateTime"]


def test_a_report_grows_later(graph: Graph) -> None:
    meeting, session = held(graph, participants=10, grow_after=3600)
    path = f"{reports_of(meeting)}/{session.report_id}?$expand=attendanceRecords"
    assert len(graph.json(path)["attendanceRecords"]) == 6
    graph.control.change_session(session.call_id, growAfter=0)
    assert len(graph.json(path)["attendanceRecords"]) == 10


def test_the_list_of_a_channel_meeting_holds_the_reports_of_the_whole_channel(graph: Graph) -> None:
    meetings = [graph.control.add_meeting(NewMeeting(kind="channel", channel="Board")) for _ in range(2)]
    meetings.append(graph.control.add_meeting(NewMeeting(kind="channel", channel="Other")))
    reports = [
        graph.control.add_session(NewSession(meeting_id=each.meeting_id)).report_id for each in meetings
    ]
    for meeting in meetings[:2]:
        assert "tacv2" in meeting.join_web_url
        assert {each["id"] for each in graph.json(reports_of(meeting))["value"]} == set(reports[:2])
    assert [each["id"] for each in graph.json(reports_of(meetings[2]))["value"]] == reports[2:]
    assert graph.refusal(f"{reports_of(meetings[2])}/{reports[0]}")[0] == 404


def test_a_channel_of_an_old_team_has_another_thread_and_lists_all_the_same(graph: Graph) -> None:
    order = NewMeeting(kind="channel", channel="Board", old=True)
    meetings = [graph.control.add_meeting(order) for _ in range(2)]
    reports = [
        graph.control.add_session(NewSession(meeting_id=each.meeting_id)).report_id for each in meetings
    ]
    for meeting in meetings:
        assert re.search(r"/19%3a[0-9a-f]{32}%40thread\.skype/\d+\?", meeting.join_web_url)
        assert {each["id"] for each in graph.json(reports_of(meeting))["value"]} == set(reports)
    alone = graph.control.add_meeting(NewMeeting(old=True))
    assert re.search(r"/19%3ameeting_[^/]+%40thread\.skype/0\?", alone.join_web_url)
    assert graph.json(reports_of(alone))["value"] == []


def test_reports_are_kept_for_a_year(graph: Graph) -> None:
    meeting, session = held(graph, end=datetime.now(UTC) - timedelta(days=366))
    assert graph.json(reports_of(meeting))["value"] == []
    assert graph.refusal(f"{reports_of(meeting)}/{session.report_id}")[0] == 404
