"""Delivery through Event Grid: CloudEvents of call records on a queue become the same signals."""

import base64
import json

import pytest
import requests

from local.simulator.faults.responses import Fault
from tests.support.front import Front, eventually, own_stack

stack = own_stack(DELIVERY="event-grid")


@pytest.fixture
def subscribed(front: Front) -> Front:
    if not front.control.subscriptions():
        front.subscribe()
    return front


def cloud_event(front: Front, call_id: str, **changes: object) -> str:
    """An event as the partner topic has it, of the app's own subscription."""
    (own,) = front.control.subscriptions()
    item = front.item(call_id, subscriptionId=own["id"], **changes)
    return json.dumps({"specversion": "1.0", "type": "Microsoft.Graph.CallRecordCreated", "data": item})


def put(front: Front, text: str) -> None:
    front.put("graph-events", text)


def test_a_call_that_graph_announces_is_archived_and_nothing_is_public(subscribed: Front) -> None:
    front = subscribed
    made = front.session(announce=True, participants=12)
    front.outcome(made.call_id, "stored")
    assert len(front.reports(made.report_id)) == 1
    assert front.state(f"signals/cr-{made.call_id}.json")["door"] == "event-grid"
    (own,) = front.control.subscriptions()
    assert own["notificationUrl"] == own["lifecycleNotificationUrl"] == front.stack.settings["PARTNER_TOPIC"]
    assert front.state(f"subscriptions/{own['id']}.json")["delivery"] == "event-grid"
    reply = requests.post(f"{front.url}/notifications?validationToken=t", timeout=10)
    assert reply.status_code == 404


def test_doctor_says_when_the_last_notification_came(subscribed: Front) -> None:
    front = subscribed
    made = front.session(announce=True)
    front.outcome(made.call_id, "stored")
    identifier = "0" * 32
    front.ask("examine", id=identifier, organizers=[])
    content = eventually(lambda: front.state(f"doctor/{identifier}.json"), "the findings")
    (endpoint,) = (each for each in content["findings"] if each["check"] == "endpoint")
    assert (endpoint["state"], endpoint["says"][:30]) == ("ok", "The last notification came at ")


def test_doubles_are_stored_once(subscribed: Front) -> None:
    front = subscribed
    made = front.session(announce=3)
    put(front, cloud_event(front, made.call_id))
    front.outcome(made.call_id, "stored")
    assert len(front.outcomes(made.call_id)) == len(front.reports(made.report_id)) == 1


def test_throttling_and_a_report_that_is_not_ready_are_waited_for(subscribed: Front) -> None:
    front = subscribed
    front.control.add_fault(
        Fault("communications/callRecords/", status=429, headers={"Retry-After": "1"}, times=2)
    )
    made = front.session(announce=True, report_delay=3)
    front.outcome(made.call_id, "stored")


def test_killed_again_and_again_it_loses_nothing(subscribed: Front) -> None:
    front = subscribed
    made = [front.session(announce=True) for _ in range(6)]
    for _ in range(2):
        front.stack.kill_functions()
        front.stack.await_functions()
    for each in made:
        front.outcome(each.call_id, "stored")
        assert len(front.outcomes(each.call_id)) == len(front.reports(each.report_id)) == 1


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '"x"', "{}", '{"data":1}', '{"data":null}', base64.b64encode(b"\xff").decode()]
)
def test_a_message_that_is_no_event_is_dropped(subscribed: Front, text: str) -> None:
    front = subscribed
    put(front, text)
    eventually(lambda: front.length("graph-events") == 0, "the message to be handled")


def test_what_has_another_client_state_is_dropped(subscribed: Front) -> None:
    front = subscribed
    forged, made = front.session(), front.session()
    put(front, cloud_event(front, forged.call_id, clientState="x" * 40))
    put(front, cloud_event(front, made.call_id))
    front.outcome(made.call_id, "stored")
    assert front.outcomes(forged.call_id) == []


def test_a_lifecycle_event_renews_the_subscription(subscribed: Front) -> None:
    front = subscribed
    (own,) = front.control.subscriptions()
    front.control.send_lifecycle(own["id"])
    eventually(lambda: not front.control.subscriptions()[0]["paused"], "the renewal")


def test_what_the_topic_loses_is_found_by_the_sweep(subscribed: Front) -> None:
    front = subscribed
    front.control.change_settings(topicIsConnected=False)
    made = front.session(announce=True)
    front.sweep()
    front.outcome(made.call_id, "stored")
    front.control.change_settings(topicIsConnected=True)
