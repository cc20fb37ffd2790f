"""The simulated webinars and town halls: lists, sessions and reports."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
import requests

from local.simulator.control.client import APP_ID, EventMade, SessionMade
from local.simulator.tenant.orders import NewEvent, NewSession
from tests.support.simulator_process import Graph, token, until
from tests.support.simulator_process import graph as graph
from tests.support.simulator_process import simulator as simulator

ROOT = "/solutions/virtualEvents"
WEBINARS, TOWNHALLS = f"{ROOT}/webinars", f"{ROOT}/townhalls"
HOUR = timedelta(hours=1)


def held(graph: Graph, event: EventMade, number: int = 0, **fields: Any) -> SessionMade:
    return graph.control.add_session(NewSession(meeting_id=event.sessions[number].meeting_id, **fields))


def reports(event: EventMade, number: int = 0) -> str:
    return f"/{event.path}/sessions/{event.sessions[number].session_id}/attendanceReports"


def as_meeting(event: EventMade, number: int = 0) -> str:
    meeting = quote(event.sessions[number].meeting_id, safe="")
    return f"/users/{event.organizer_id}/onlineMeetings/{meeting}/attendanceReports"


def records(graph: Graph, path: str) -> list[Any]:
    return [record for page in graph.pages(f"{path}/attendanceRecords") for record in page]


def test_the_lists_hold_each_kind_in_pages_with_its_type(graph: Graph) -> None:
    webinars = {graph.control.add_event().event_id for _ in range(3)}
    townhalls = {graph.control.add_event(NewEvent(kind="townhall")).event_id for _ in range(3)}
    graph.control.change_settings(eventPageSize=2)
    for path, kind, made in ((WEBINARS, "Webinar", webinars), (TOWNHALLS, "Townhall", townhalls)):
        pages = graph.pages(path)
        assert max(map(len, pages)) == 2
        listed = [event for page in pages for event in page]
        assert made <= {event["id"] for event in listed}
        assert {event["@odata.type"] for event in listed} == {f"#microsoft.graph.virtualEvent{kind}"}


def test_an_event_has_the_properties_that_are_documented(graph: Graph) -> None:
    made = graph.control.add_event(
        NewEvent(name="Tech ä", co_organizers=("0b000000-0000-4000-8000-000000000001",))
    )
    event = graph.json(f"/{made.path}")
    identifier, _, tenant = made.event_id.partition("@")
    assert (len(identifier), len(tenant)) == (36, 36)
    assert (event["id"], event["displayName"], event["status"]) == (made.event_id, "Tech ä", "published")
    assert event["createdBy"]["user"]["id"] == made.organizer_id
    assert event["coOrganizers"][0]["id"] == "0b000000-0000-4000-8000-000000000001"
    assert event["startDateTime"].keys() == {"dateTime", "timeZone"}


def test_times_are_in_the_zone_of_the_event_by_its_windows_name(graph: Graph) -> None:
    start = datetime(2026, 7, 1, 12, tzinfo=UTC)
    order = NewEvent(start=start, length=3600, time_zone="Pacific Standard Time")
    event = graph.json(f"/{graph.control.add_event(order).path}")
    assert event["startDateTime"] == {"dateTime": "2026-07-01T05:00:00", "timeZone": "Pacific Standard Time"}
    assert event["endDateTime"]["dateTime"] == "2026-07-01T06:00:00"
    with pytest.raises(requests.HTTPError, match="timeZone"):
        graph.control.add_event(NewEvent(time_zone="Europe/Berlin"))


def test_the_total_is_given_only_where_it_is_asked_for(graph: Graph) -> None:
    graph.control.add_event()
    graph.control.change_settings(eventPageSize=1)
    counted = graph.json(f"{WEBINARS}?$count=true")
    assert counted["@odata.count"] >= len(counted["value"]) == 1
    assert "@odata.count" not in graph.json(WEBINARS)


@pytest.mark.parametrize(
    "option", ["$select=id", "$filter=status eq 'published'", "$top=5", "$expand=sessions"]
)
def test_options_that_are_not_documented_are_refused(graph: Graph, option: str) -> None:
    event = graph.control.add_event()
    for path in (WEBINARS, f"/{event.path}", f"/{event.path}/sessions"):
        assert graph.refusal(f"{path}?{option}")[0] == 400


def test_sessions_are_listed_as_summaries_and_read_whole(graph: Graph) -> None:
    event = graph.control.add_event(NewEvent(sessions=3))
    graph.control.change_settings(eventPageSize=2)
    pages = graph.pages(f"/{event.path}/sessions")
    assert [[each["id"] for each in page] for page in pages] == [
        [each.session_id for each in event.sessions[:2]],
        [event.sessions[2].session_id],
    ]
    summary = pages[0][0]
    assert summary["joinWebUrl"] == event.sessions[0].join_web_url
    assert summary["chatInfo"] is None
    whole = graph.json(f"/{event.path}/sessions/{summary['id']}")
    assert whole["chatInfo"]["threadId"].startswith("19:meeting_")
    assert whole["startDateTime"] == summary["startDateTime"]


def test_the_times_of_a_session_may_be_texts(graph: Graph) -> None:
    event = graph.control.add_event(NewEvent(start=datetime(2026, 7, 1, 12, tzinfo=UTC)))
    graph.control.change_settings(sessionTimeForm="text")
    session = graph.json(f"/{event.path}/sessions")["value"][0]
    assert (session["startDateTime"], session["endDateTime"]) == (
        "2026-07-01T12:00:00Z",
        "2026-07-01T13:00:00Z",
    )


@pytest.mark.parametrize("kind", ["webinar", "townhall"])
def test_a_session_that_is_held_again_has_another_report(graph: Graph, kind: str) -> None:
    event = graph.control.add_event(NewEvent(kind=kind, sessions=2))  # type: ignore[arg-type]
    now = datetime.now(UTC)
    first = held(graph, event, end=now - HOUR, participants=4)
    again = held(graph, event, end=now, participants=7)
    other = held(graph, event, 1)
    assert {each["id"] for each in graph.json(reports(event))["value"]} == {first.report_id, again.report_id}
    assert [each["id"] for each in graph.json(reports(event, 1))["value"]] == [other.report_id]
    assert graph.refusal(f"{reports(event, 1)}/{first.report_id}")[0] == 404


def test_a_report_is_read_with_and_without_its_records(graph: Graph) -> None:
    event = graph.control.add_event()
    session = held(graph, event, participants=7)
    path = f"{reports(event)}/{session.report_id}"
    truth = json.loads(graph.control.true_report(session.report_id))
    plain = graph.json(path)
    assert "attendanceRecords" not in plain
    assert "sessions('" in plain["@odata.context"]
    assert graph.json(f"{path}?$select=id").keys() == {"@odata.context", "id"}
    assert graph.json(f"{path}?$expand=attendanceRecords")["attendanceRecords"] == truth["attendanceRecords"]
    assert records(graph, path) == truth["attendanceRecords"]


def test_20_000_people_come_in_pages(graph: Graph) -> None:
    event = graph.control.add_event()
    session = held(graph, event, participants=20_000)
    graph.control.change_settings(recordPageSize=5000)
    path = f"{reports(event)}/{session.report_id}"
    report = graph.json(f"{path}?$expand=attendanceRecords")
    seen = report["attendanceRecords"]
    seen += [each for page in graph.pages(report["attendanceRecords@odata.nextLink"]) for each in page]
    assert report["totalParticipantCount"] == len(seen) == len({each["id"] for each in seen}) == 20_000


def test_people_register_for_events_and_not_for_meetings(graph: Graph) -> None:
    event = graph.control.add_event()
    session = held(graph, event, participants=40)
    seen = records(graph, f"{reports(event)}/{session.report_id}")
    assert {each["role"] for each in seen if each["registrationId"] is None} <= {"Organizer", "Presenter"}
    assert any(each["externalRegistrationInformation"] for each in seen)


def test_a_report_comes_late_or_never(graph: Graph) -> None:
    event = graph.control.add_event()
    late = held(graph, event, report_delay=0.7)
    assert graph.json(reports(event))["value"] == []
    assert graph.refusal(f"{reports(event)}/{late.report_id}")[:2] == (404, "NotFound")
    assert until(lambda: graph.get(f"{reports(event)}/{late.report_id}").ok)
    held(graph, event, no_report=True)
    assert len(graph.json(reports(event))["value"]) == 1


def test_what_does_not_exist_is_not_found(graph: Graph) -> None:
    event = graph.control.add_event()
    nobody = "00000000-0000-4000-8000-000000000000"
    session = f"/{event.path}/sessions/{nobody}"
    wrong_kind = f"{TOWNHALLS}/{event.event_id}"
    for path in (f"{WEBINARS}/{nobody}", wrong_kind, session, f"{session}/attendanceReports"):
        assert graph.refusal(path)[:2] == (404, "NotFound")


def test_without_an_access_policy_of_the_organizer_an_event_is_forbidden_and_not_listed(graph: Graph) -> None:
    event = graph.control.add_event(NewEvent(denied=True))
    held(graph, event)
    for path in (f"/{event.path}", f"/{event.path}/sessions", reports(event)):
        status, code, message = graph.refusal(path)
        assert (status, code) == (403, "Forbidden")
        assert APP_ID in message
    listed = {each["id"] for page in graph.pages(WEBINARS) for each in page}
    assert event.event_id not in listed
    graph.control.deny(event.organizer_id, denied=False)
    assert graph.get(reports(event)).ok


def test_a_session_is_a_call_and_may_be_read_as_an_online_meeting_in_another_order(graph: Graph) -> None:
    event = graph.control.add_event()
    session = held(graph, event, participants=5)
    record = graph.json(f"/communications/callRecords/{session.call_id}")
    assert record["joinWebUrl"] == event.sessions[0].join_web_url
    found = graph.json(
        f"/users/{event.organizer_id}/onlineMeetings",
        params={"$filter": f"JoinWebUrl eq '{record['joinWebUrl']}'"},
    )["value"]
    assert [each["id"] for each in found] == [event.sessions[0].meeting_id]
    expand = f"{session.report_id}?$expand=attendanceRecords"
    here, there = graph.json(f"{reports(event)}/{expand}"), graph.json(f"{as_meeting(event)}/{expand}")
    assert here["@odata.context"] != there["@odata.context"]
    assert here["attendanceRecords"] == there["attendanceRecords"][::-1]
    assert list(here)[1:] != list(there)[1:]
    for report in (here, there):
        for name in [name for name in report if "@odata." in name]:
            del report[name]
        report["attendanceRecords"].sort(key=lambda each: each["id"])
    assert here == there


@pytest.mark.parametrize(("view", "same"), [("same", True), ("different", False)])
def test_the_online_meeting_may_know_nothing_of_registrations(graph: Graph, view: str, same: bool) -> None:
    event = graph.control.add_event(NewEvent(meeting_view=view))  # type: ignore[arg-type]
    session = held(graph, event, participants=20)
    here, there = (records(graph, f"{each(event)}/{session.report_id}") for each in (reports, as_meeting))
    assert (here == there) == same
    assert [each["id"] for each in here] == [each["id"] for each in there]


def test_the_online_meeting_may_not_be_found(graph: Graph) -> None:
    event = graph.control.add_event(NewEvent(meeting_view="hidden"))
    held(graph, event)
    options = {"params": {"$filter": f"JoinWebUrl eq '{event.sessions[0].join_web_url}'"}}
    assert graph.refusal(f"/users/{event.organizer_id}/onlineMeetings", **options)[:2] == (404, "NotFound")
    assert graph.refusal(as_meeting(event))[0] == 404
    assert graph.get(reports(event)).ok


@pytest.mark.parametrize(("how", "status"), [("badRequest", 400), ("notFound", 404)])
def test_another_cloud_knows_no_events(graph: Graph, how: str, status: int) -> None:
    event = graph.control.add_event()
    graph.control.change_settings(virtualEvents=how)
    for path in (WEBINARS, TOWNHALLS, f"/{event.path}", reports(event)):
        assert graph.refusal(path)[0] == status


def test_the_751st_call_within_30_seconds_is_throttled(graph: Graph) -> None:
    app = replace(graph, token=token(appid="00000000-1111-4222-8333-444444444444"))
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {app.token}"
        urls = [f"{graph.control.url}/v1.0{path}" for path in (WEBINARS, TOWNHALLS)]
        statuses = [session.get(urls[number % 2], timeout=10).status_code for number in range(751)]
    assert statuses == [200] * 750 + [429]
    assert 1 <= int(app.get(WEBINARS).headers["Retry-After"]) <= 30
    assert graph.get(WEBINARS).ok


def test_an_event_can_be_changed(graph: Graph) -> None:
    event = graph.control.add_event(NewEvent(plain_id=True, kind="townhall"))
    assert "@" not in event.event_id
    graph.control.change_event(event.event_id, status="canceled", name="Off")
    changed = graph.json(f"/{event.path}")
    assert (changed["status"], changed["displayName"]) == ("canceled", "Off")
