"""From a notification over HTTP to a report in Blob storage."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from local.simulator.faults.responses import Fault
from local.simulator.tenant.orders import NewMeeting, NewSession
from tests.support.front import Front, eventually, today

HOUR = timedelta(hours=1)


def plain(report: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in report.items() if "@odata." not in name}


def test_a_notification_becomes_a_stored_report_and_an_outcome(front: Front) -> None:
    meeting = front.control.add_meeting(NewMeeting())
    made = front.control.add_session(NewSession(meeting.meeting_id, participants=7, announce=False))
    front.notify(made.call_id)
    outcome = front.outcome(made.call_id, "stored")
    (path,) = front.reports(made.report_id)
    blob = front.container.get_blob_client(path).get_blob_properties()
    end = json.loads(front.control.true_report(made.report_id))["meetingEndDateTime"]
    assert path == f"reports/date={end[:10]}/{made.report_id}.json"
    assert blob.content_settings.content_type == "application/json"
    assert {
        "source": "onlineMeeting",
        "meetingid": meeting.meeting_id,
        "organizerid": meeting.organizer_id,
    }.items() <= blob.metadata.items()
    assert outcome["name"] == f"outcomes/date={end[:10]}/cr-{made.call_id}.json"
    assert outcome["metadata"]["outcome"] == "stored"
    assert outcome["reports"][0]["id"] == made.report_id
    assert outcome["reports"][0]["path"] == path
    assert outcome["joinWebUrl"] == meeting.join_web_url
    assert outcome["organizerId"] == meeting.organizer_id


def test_the_body_is_what_graph_sent_as_one_compact_line(front: Front) -> None:
    made = front.session(participants=9)
    front.notify(made.call_id)
    front.outcome(made.call_id, "stored")
    body, truth = front.body(made.report_id), front.control.true_report(made.report_id)
    assert b"\n" not in body
    assert plain(json.loads(body)) == plain(json.loads(truth))
    assert list(plain(json.loads(body))) == list(plain(json.loads(truth)))
    engagements = [each for record in json.loads(body)["attendanceRecords"] for each in record["engagements"]]
    assert engagements
    assert all(each["engagementSubType"] for each in engagements), "what newer versions of Graph send is kept"
    assert b"@odata.nextLink" not in body


def test_the_sha256_can_be_computed_from_the_blob_alone(front: Front) -> None:
    made = front.session(participants=25)
    front.notify(made.call_id)
    front.outcome(made.call_id, "stored")

    def stripped(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: stripped(item) for key, item in value.items() if "@odata." not in key}
        return [stripped(item) for item in value] if isinstance(value, list) else value

    report = stripped(json.loads(front.body(made.report_id)))
    report["attendanceRecords"].sort(key=lambda record: record["id"])
    text = json.dumps(report, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    (path,) = front.reports(made.report_id)
    metadata = front.container.get_blob_client(path).get_blob_properties().metadata
    assert metadata["sha256"] == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("form", ["property", "top"])
def test_every_page_of_the_records_is_followed_in_both_forms_of_next_link(front: Front, form: str) -> None:
    made = front.session(participants=23)
    front.control.change_settings(recordPageSize=5, nextLinkForm=form)
    try:
        front.notify(made.call_id)
        front.outcome(made.call_id, "stored")
    finally:
        front.control.change_settings(recordPageSize=100, nextLinkForm="property")
    report = json.loads(front.body(made.report_id))
    truth = json.loads(front.control.true_report(made.report_id))
    assert report["attendanceRecords"] == truth["attendanceRecords"]
    assert len(report["attendanceRecords"]) == 23
    assert "@odata.nextLink" not in front.body(made.report_id).decode()


def test_a_report_costs_four_calls_to_graph(front: Front) -> None:
    meeting = front.control.add_meeting(NewMeeting(organizer=str(uuid4())))
    made = front.control.add_session(NewSession(meeting.meeting_id, announce=False))
    front.notify(made.call_id)
    front.outcome(made.call_id, "stored")
    calls = front.calls(made.call_id) + front.calls(meeting.organizer_id)
    assert len(calls) == 4, calls


def test_a_report_that_is_not_ready_is_looked_for_again(front: Front) -> None:
    made = front.session(report_delay=3600)
    front.notify(made.call_id)
    pending = front.outcome(made.call_id, "pending")
    assert pending["metadata"]["nextattempt"] == pending["nextAttempt"]
    assert not front.reports(made.report_id)
    front.control.change_session(made.call_id, reportDelay=0)
    stored = front.outcome(made.call_id, "stored")
    assert stored["attempt"] > 1
    assert len(front.reports(made.report_id)) == 1


def test_a_call_record_that_comes_late_is_waited_for(front: Front) -> None:
    made = front.session(record_delay=3600)
    front.notify(made.call_id)
    assert "404" in front.outcome(made.call_id, "pending")["lastError"]
    front.control.change_session(made.call_id, recordDelay=0)
    assert front.outcome(made.call_id, "stored")["attempt"] > 1


def test_an_outcome_moves_to_the_day_on_which_the_meeting_ended(front: Front) -> None:
    day = today()
    end = datetime.now(UTC) - timedelta(days=2)
    made = front.session(start=end - HOUR, end=end, record_delay=3 * 86_400)
    front.notify(made.call_id)
    first = front.outcome(made.call_id, "pending")["name"]
    assert first.startswith(f"outcomes/date={day}/")
    front.control.change_session(made.call_id, recordDelay=0)
    stored = front.outcome(made.call_id, "stored")
    assert stored["name"].startswith(f"outcomes/date={end.date().isoformat()}/")


def test_only_the_session_of_a_series_is_fetched_and_recent_missing_ones_with_it(front: Front) -> None:
    series = front.control.add_meeting(NewMeeting("recurring")).meeting_id
    now = datetime.now(UTC)

    def session(ago: timedelta) -> Any:
        end = now - ago
        return front.control.add_session(NewSession(series, start=end - HOUR, end=end, announce=False))

    last_week, this_morning, just_now = session(timedelta(days=7)), session(5 * HOUR), session(timedelta())
    front.notify(just_now.call_id)
    front.outcome(just_now.call_id, "stored")
    assert len(front.reports(just_now.report_id)) == 1
    eventually(
        lambda: front.reports(this_morning.report_id), "the one of this morning, which nobody announced"
    )
    assert not front.reports(last_week.report_id)


def test_a_meeting_restarted_after_five_minutes_is_not_settled_with_the_report_before(front: Front) -> None:
    meeting = front.control.add_meeting().meeting_id
    end = datetime.now(UTC) - timedelta(minutes=40)
    first = front.control.add_session(
        NewSession(meeting, start=end - timedelta(minutes=30), end=end, announce=False)
    )
    second = front.control.add_session(
        NewSession(meeting, start=end + timedelta(minutes=5), report_delay=3600, announce=False)
    )
    front.notify(first.call_id)
    front.outcome(first.call_id, "stored")
    front.notify(second.call_id)
    assert not front.outcome(second.call_id, "pending")["reports"]
    front.control.change_session(second.call_id, reportDelay=0)
    front.outcome(second.call_id, "stored")
    assert len(front.reports(first.report_id)) == len(front.reports(second.report_id)) == 1


def test_a_channel_meeting_takes_its_own_report_from_the_list_of_the_whole_channel(front: Front) -> None:
    channel = "Channel of this test"
    old = datetime.now(UTC) - timedelta(days=3)
    elsewhere = front.session(NewMeeting("channel", channel=channel), start=old - HOUR, end=old)
    made = front.session(NewMeeting("channel", channel=channel))
    front.notify(made.call_id)
    front.outcome(made.call_id, "stored")
    assert len(front.reports(made.report_id)) == 1
    assert not front.reports(elsewhere.report_id)


def test_a_channel_report_that_is_listed_but_refused_for_good_is_not_supported(front: Front) -> None:
    made = front.session(NewMeeting("channel", channel="A channel that refuses"), report_refused=400)
    front.notify(made.call_id)
    assert "400" in front.outcome(made.call_id, "notSupported")["lastError"]


def test_a_peer_to_peer_call_is_settled_with_one_call_to_graph(front: Front) -> None:
    made = front.control.add_session(NewSession(type="peerToPeer", announce=False))
    front.notify(made.call_id)
    front.outcome(made.call_id, "notAMeeting")
    assert len(front.calls(made.call_id)) == 1


def test_a_foreign_organizer_is_settled_with_one_call_to_graph(front: Front) -> None:
    meeting = front.control.add_meeting(NewMeeting(tenant="0f0e0d0c-0b0a-4908-8706-050403020100"))
    made = front.control.add_session(NewSession(meeting.meeting_id, announce=False))
    front.notify(made.call_id)
    front.outcome(made.call_id, "externalOrganizer")
    assert not front.calls(meeting.organizer_id)


def test_a_short_join_link_is_found_by_its_digits(front: Front) -> None:
    made = front.session(NewMeeting("short"))
    front.notify(made.call_id)
    front.outcome(made.call_id, "stored")
    assert front.calls("joinMeetingId")


def test_a_short_join_link_that_nothing_finds_is_not_found(front: Front) -> None:
    meeting = front.control.add_meeting(NewMeeting("short"))
    made = front.control.add_session(NewSession(meeting.meeting_id, announce=False))
    front.control.add_fault(
        Fault(f"joinMeetingId.*{meeting.join_meeting_id}", status=200, body={"value": []}, times=-1)
    )
    try:
        front.notify(made.call_id)
        front.outcome(made.call_id, "notFound")
    finally:
        front.control.clear_faults()


def test_a_short_wait_that_graph_asks_for_happens_at_once(front: Front) -> None:
    made = front.session()
    front.control.add_fault(Fault(made.call_id, status=429, headers={"Retry-After": "1"}))
    front.notify(made.call_id)
    assert front.outcome(made.call_id, "stored")["attempt"] == 1


def test_a_long_wait_that_graph_asks_for_becomes_a_delayed_signal(front: Front) -> None:
    made = front.session()
    front.control.add_fault(Fault(made.call_id, status=429, headers={"Retry-After": "3600"}))
    front.notify(made.call_id)
    outcome = front.outcome(made.call_id, "pending")
    wait = datetime.fromisoformat(outcome["nextAttempt"]) - datetime.now(UTC)
    assert timedelta(minutes=50) < wait <= HOUR
    assert len(front.calls(made.call_id)) == 1


@pytest.mark.parametrize("action", ["cut", "garble", "reset"])
def test_a_broken_answer_of_graph_is_asked_for_again(front: Front, action: Any) -> None:
    made = front.session(participants=30)
    front.control.add_fault(Fault(made.call_id, action=action))
    front.control.add_fault(Fault(f"attendanceReports/{made.report_id}", action=action))
    front.notify(made.call_id)
    front.outcome(made.call_id, "stored")
    truth = json.loads(front.control.true_report(made.report_id))
    assert plain(json.loads(front.body(made.report_id))) == plain(truth)


def test_a_graph_that_fails_for_a_while_is_tried_again_later(front: Front) -> None:
    made = front.session()
    front.control.add_fault(Fault(made.call_id, status=503, headers={"Retry-After": "0"}, times=6))
    front.notify(made.call_id)
    assert "503" in front.outcome(made.call_id, "pending")["lastError"]
    front.outcome(made.call_id, "stored")


def test_a_token_that_expires_between_two_pages_is_renewed(front: Front) -> None:
    made = front.session(participants=250)
    front.control.add_fault(Fault(f"{made.report_id}.*skiptoken", status=401))
    front.notify(made.call_id)
    front.outcome(made.call_id, "stored")
    assert len(json.loads(front.body(made.report_id))["attendanceRecords"]) == 250


def test_an_organizer_without_access_policy_is_tried_once_more_after_35_minutes(front: Front) -> None:
    made = front.session(NewMeeting(denied=True))
    front.notify(made.call_id)
    outcome = front.outcome(made.call_id, "pending")
    wait = datetime.fromisoformat(outcome["nextAttempt"]) - datetime.now(UTC)
    assert timedelta(minutes=33) < wait <= timedelta(minutes=35)
    assert "403" in outcome["lastError"]


def test_the_same_signal_many_times_is_one_report_and_one_outcome(front: Front) -> None:
    made = front.session(participants=5)
    for _ in range(3):
        front.notify(made.call_id, made.call_id)
    front.outcome(made.call_id, "stored")
    assert len(front.reports(made.report_id)) == 1
    assert len(front.outcomes(made.call_id)) == 1


def test_a_report_of_a_running_meeting_is_not_taken_for_the_session(front: Front) -> None:
    meeting = front.control.add_meeting().meeting_id
    now = datetime.now(UTC)
    made = front.control.add_session(NewSession(meeting, start=now - 2 * HOUR, end=now, announce=False))
    early = {
        "id": made.report_id,
        "meetingStartDateTime": (now - 2 * HOUR).isoformat(),
        "meetingEndDateTime": (now - HOUR).isoformat(),
    }
    front.control.add_fault(Fault(f"{meeting[:20]}.*attendanceReports$", status=200, body={"value": [early]}))
    front.notify(made.call_id)
    assert not front.outcome(made.call_id, "pending")["reports"]
    front.outcome(made.call_id, "stored")


def test_a_next_link_that_points_elsewhere_gets_no_request_and_no_token(front: Front) -> None:
    made = front.session()
    other = front.stack.functions.url + "/api/notifications"
    body = {
        "id": made.report_id,
        "meetingStartDateTime": "2026-01-01T00:00:00Z",
        "meetingEndDateTime": datetime.now(UTC).isoformat(),
        "attendanceRecords": [],
        "attendanceRecords@odata.nextLink": other,
    }
    front.control.add_fault(Fault(f"attendanceReports/{made.report_id}", status=200, body=body))
    front.notify(made.call_id)
    assert "the next link is not Microsoft Graph" in front.outcome(made.call_id, "pending")["lastError"]


def test_a_meeting_that_ended_just_before_midnight_is_filed_under_that_day(front: Front) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    end = today - timedelta(seconds=1)
    made = front.session(start=end - HOUR, end=end)
    front.notify(made.call_id)
    front.outcome(made.call_id, "stored")
    day = end.date().isoformat()
    assert front.reports(made.report_id) == [f"reports/date={day}/{made.report_id}.json"]
