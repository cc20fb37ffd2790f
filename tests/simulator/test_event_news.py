"""The simulated notifications about webinars and town halls."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from local.simulator.control.client import TENANT, EventMade
from local.simulator.tenant.orders import NewEvent, NewSession
from tests.support.simulator_process import Endpoint, Graph, token, until
from tests.support.simulator_process import endpoint as endpoint
from tests.support.simulator_process import graph as graph
from tests.support.simulator_process import simulator as simulator

CREATED = "solutions/virtualEvents/events"
DAY = 24 * 60


def subscribe(graph: Graph, endpoint: Endpoint, resource: str, minutes: float = DAY - 1) -> requests.Response:
    order = {
        "changeType": "created",
        "notificationUrl": endpoint.url,
        "resource": resource,
        "expirationDateTime": (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat(),
        "clientState": "secret",
    }
    return graph.send("POST", "/subscriptions", json=order)


def reports_of(event: EventMade) -> str:
    return f"{event.path}/getAttendanceReports"


def items(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [item for each in endpoint.notifications() for item in json.loads(each.body)["value"]]


def test_a_new_event_is_announced_by_its_path(graph: Graph, endpoint: Endpoint) -> None:
    graph.control.change_settings(oddForms=False)
    subscription = subscribe(graph, endpoint, CREATED).json()
    event = graph.control.add_event()
    assert until(lambda: items(endpoint)) == [
        {
            "subscriptionId": subscription["id"],
            "subscriptionExpirationDateTime": subscription["expirationDateTime"],
            "tenantId": TENANT,
            "clientState": "secret",
            "changeType": "created",
            "resource": "solutions/virtualEvents/events/",
            "resourceData": {
                "@odata.type": "#microsoft.graph.virtualEvent",
                "@odata.id": f"{event.path}/",
                "id": f"{event.path}/",
            },
        }
    ]


@pytest.mark.parametrize("kind", ["webinar", "townhall"])
def test_a_report_that_is_ready_is_announced_by_its_address(
    graph: Graph, endpoint: Endpoint, kind: str
) -> None:
    graph.control.change_settings(oddForms=False)
    event = graph.control.add_event(NewEvent(kind=kind))  # type: ignore[arg-type]
    other = graph.control.add_event()
    assert subscribe(graph, endpoint, reports_of(event)).status_code == 201
    graph.control.add_session(NewSession(meeting_id=other.sessions[0].meeting_id))
    made = graph.control.add_session(NewSession(meeting_id=event.sessions[0].meeting_id))
    (item,) = until(lambda: items(endpoint))
    report = f"{event.path}/sessions/{event.sessions[0].session_id}/attendanceReports/{made.report_id}"
    assert item["resource"] == reports_of(event)
    assert item["resourceData"] == {
        "@odata.type": "#microsoft.graph.meetingAttendanceReport",
        "@odata.id": report,
        "id": made.report_id,
    }
    assert graph.json(f"/{item['resourceData']['@odata.id']}")["id"] == made.report_id


def test_every_second_item_is_spelt_differently(graph: Graph, endpoint: Endpoint) -> None:
    subscribe(graph, endpoint, CREATED)
    made = {graph.control.add_event().path + "/" for _ in range(4)}
    until(lambda: len(items(endpoint)) == 4)
    assert {item["resourceData"]["@odata.id"] for item in items(endpoint)} == made
    assert {item["resource"] for item in items(endpoint)} == {f"{CREATED}/", f"/{CREATED}/"}
    types = {item["resourceData"]["@odata.type"] for item in items(endpoint)}
    assert types == {"#microsoft.graph.virtualEvent", "#Microsoft.Graph.virtualevent"}
    assert {item["subscriptionExpirationDateTime"][-6:] == "+00:00" for item in items(endpoint)} == {
        True,
        False,
    }


def test_each_session_and_each_time_that_it_is_held_is_announced(graph: Graph, endpoint: Endpoint) -> None:
    event = graph.control.add_event(NewEvent(sessions=2))
    subscribe(graph, endpoint, reports_of(event))
    first, second = (each.meeting_id for each in event.sessions)
    made = {
        graph.control.add_session(NewSession(meeting_id=each)).report_id for each in (first, first, second)
    }
    until(lambda: len(items(endpoint)) == 3)
    assert {item["resourceData"]["id"] for item in items(endpoint)} == made


def test_a_chosen_one_is_never_announced_or_more_than_once_or_late(graph: Graph, endpoint: Endpoint) -> None:
    subscribe(graph, endpoint, CREATED)
    graph.control.add_event(NewEvent(announce=False))
    late = graph.control.add_event(NewEvent(announce_delay=0.5))
    event = graph.control.add_event(NewEvent(announce=2))
    subscribe(graph, endpoint, reports_of(event))
    meeting = event.sessions[0].meeting_id
    graph.control.add_session(NewSession(meeting_id=meeting, announce_report=False))
    graph.control.add_session(NewSession(meeting_id=meeting, no_report=True))
    twice = graph.control.add_session(NewSession(meeting_id=meeting, announce_report=2))
    until(lambda: len(items(endpoint)) == 5)
    told = [item["resourceData"]["id"] for item in items(endpoint)]
    assert sorted(told) == sorted([event.path + "/"] * 2 + [late.path + "/"] + [twice.report_id] * 2)
    assert told[-1] == late.path + "/"


def test_a_report_may_be_announced_before_it_can_be_read(graph: Graph, endpoint: Endpoint) -> None:
    event = graph.control.add_event()
    subscribe(graph, endpoint, reports_of(event))
    order = NewSession(meeting_id=event.sessions[0].meeting_id, report_delay=1.0, report_announce_delay=-1.0)
    graph.control.add_session(order)
    address = until(lambda: items(endpoint))[0]["resourceData"]["@odata.id"]
    assert graph.refusal(f"/{address}")[0] == 404
    assert until(lambda: graph.get(f"/{address}").ok)


def test_one_subscription_for_each_application_and_event(graph: Graph, endpoint: Endpoint) -> None:
    event = graph.control.add_event()
    for resource in (CREATED, reports_of(event)):
        first = subscribe(graph, endpoint, resource).json()["id"]
        again = subscribe(graph, endpoint, f"/{resource.upper()}")
        assert (again.status_code, first in again.text) == (409, True)
        other_app = replace(graph, token=token(appid="00000000-1111-4222-8333-444444444444"))
        assert subscribe(other_app, endpoint, resource).status_code == 201


def test_a_subscription_to_events_lives_a_day_at_most(graph: Graph, endpoint: Endpoint) -> None:
    event = graph.control.add_event()
    for resource in (CREATED, reports_of(event)):
        assert subscribe(graph, endpoint, resource, minutes=DAY + 1).status_code == 400
        made = subscribe(graph, endpoint, resource)
        assert made.status_code == 201
        later = {"expirationDateTime": (datetime.now(UTC) + timedelta(minutes=DAY + 1)).isoformat()}
        assert graph.send("PATCH", f"/subscriptions/{made.json()['id']}", json=later).status_code == 400


@pytest.mark.parametrize("kind", ["created,updated", "updated", "deleted"])
def test_events_and_reports_are_only_created(graph: Graph, endpoint: Endpoint, kind: str) -> None:
    body = {
        "changeType": kind,
        "notificationUrl": endpoint.url,
        "resource": CREATED,
        "expirationDateTime": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
    }
    assert graph.send("POST", "/subscriptions", json=body).status_code == 400


def test_reports_need_an_event_that_exists_and_an_access_policy(graph: Graph, endpoint: Endpoint) -> None:
    event = graph.control.add_event(NewEvent(denied=True))
    assert subscribe(graph, endpoint, reports_of(event)).status_code == 403
    wrong_kind = reports_of(event).replace("webinars", "townhalls")
    unknown = reports_of(event).replace(event.event_id[:8], "00000000")
    for resource in (wrong_kind, unknown):
        assert subscribe(graph, endpoint, resource).status_code == 404
    assert endpoint.received == []


def test_another_cloud_takes_no_subscription_to_events(graph: Graph, endpoint: Endpoint) -> None:
    event = graph.control.add_event()
    graph.control.change_settings(virtualEvents="badRequest")
    for resource in (CREATED, reports_of(event)):
        assert subscribe(graph, endpoint, resource).status_code == 400


def test_news_of_one_kind_reach_no_subscription_to_another(graph: Graph, endpoint: Endpoint) -> None:
    subscribe(graph, endpoint, CREATED)
    event = graph.control.add_event(NewEvent(announce=False))
    graph.control.add_session(NewSession(meeting_id=event.sessions[0].meeting_id))
    last = graph.control.add_event()
    assert [item["resourceData"]["id"] for item in until(lambda: items(endpoint))] == [last.path + "/"]
