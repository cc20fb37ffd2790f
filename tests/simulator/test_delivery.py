"""The simulated delivery: deadlines, retries, duplicates, batches, slow and drop."""

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

from local.simulator.control.client import TENANT
from local.simulator.delivery.endpoints import WINDOW
from local.simulator.delivery.endpoints import Endpoint as EndpointState
from local.simulator.delivery.notifications import DeliveryAttempt
from local.simulator.tenant.orders import NewSession
from tests.simulator.test_subscriptions import created
from tests.support.simulator_process import Answer, Endpoint, Graph, Received, listening, until, well_behaved
from tests.support.simulator_process import endpoint as endpoint
from tests.support.simulator_process import graph as graph
from tests.support.simulator_process import simulator as simulator

HURRY = 1000.0


def items(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [item for each in endpoint.notifications() for item in json.loads(each.body)["value"]]


def attempts(graph: Graph, call_id: str) -> list[DeliveryAttempt]:
    return [each for each in graph.control.deliveries() if call_id in each.call_ids]


def test_a_call_record_is_announced_as_documented(graph: Graph, endpoint: Endpoint) -> None:
    subscription = created(graph, endpoint)
    call = graph.control.add_session().call_id
    sent = until(endpoint.notifications)[0]
    assert (sent.query, sent.content_type) == ({"k": "1"}, "application/json; charset=utf-8")
    assert json.loads(sent.body) == {
        "value": [
            {
                "subscriptionId": subscription["id"],
                "subscriptionExpirationDateTime": subscription["expirationDateTime"],
                "tenantId": TENANT,
                "clientState": "secret",
                "changeType": "created",
                "resource": f"communications/callRecords/{call}",
                "resourceData": {
                    "@odata.type": "#microsoft.graph.callrecord",
                    "@odata.id": f"communications/callRecords/{call}",
                    "id": call,
                },
            }
        ]
    }
    assert [each.outcome for each in until(lambda: attempts(graph, call))] == ["delivered"]


def test_created_and_updated_both_fire_for_a_new_record(graph: Graph, endpoint: Endpoint) -> None:
    created(graph, endpoint, changeType="created,updated")
    graph.control.add_session()
    until(lambda: len(items(endpoint)) == 2)
    assert {item["changeType"] for item in items(endpoint)} == {"created", "updated"}


def test_a_refused_notification_is_tried_again(graph: Graph, endpoint: Endpoint) -> None:
    graph.control.change_settings(timeScale=HURRY)
    created(graph, endpoint)
    endpoint.answer = lambda _: Answer(503 if len(endpoint.notifications()) < 3 else 202)
    call = graph.control.add_session().call_id
    made = until(lambda: found if len(found := attempts(graph, call)) == 3 else None)
    assert [(each.attempt, each.status) for each in made] == [(1, 503), (2, 503), (3, 202)]
    waits = [(later.at - earlier.at).total_seconds() for earlier, later in pairwise(made)]
    assert waits[1] > waits[0]


def test_a_late_acceptance_is_tried_again_with_a_longer_deadline(graph: Graph, endpoint: Endpoint) -> None:
    graph.control.change_settings(timeScale=HURRY, deadlineScale=10)
    created(graph, endpoint)
    endpoint.answer = lambda _: Answer(after=0.6)  # over 3 s and within 10 s, a tenth as long
    call = graph.control.add_session().call_id
    made = until(lambda: found if len(found := attempts(graph, call)) == 2 else None)
    assert [(each.status, each.outcome) for each in made] == [(None, "retry"), (202, "delivered")]
    assert len(endpoint.notifications()) == 2


def test_a_notification_is_lost_after_four_hours(graph: Graph, endpoint: Endpoint) -> None:
    graph.control.change_settings(timeScale=4 * 3600 / 0.3)
    created(graph, endpoint)
    endpoint.answer = lambda _: Answer(500)
    call = graph.control.add_session().call_id
    made = until(lambda: found if (found := attempts(graph, call)) and found[-1].outcome == "lost" else None)
    assert len(made) > 3


def test_a_record_is_announced_as_often_as_asked_or_never(graph: Graph, endpoint: Endpoint) -> None:
    created(graph, endpoint)
    never = graph.control.add_session(NewSession(announce=False)).call_id
    late = graph.control.add_session(NewSession(announce_delay=0.5)).call_id
    thrice = graph.control.add_session(NewSession(announce=3)).call_id
    until(lambda: len(items(endpoint)) == 4)
    assert [item["resourceData"]["id"] for item in items(endpoint)] == [thrice] * 3 + [late]
    assert attempts(graph, never) == []


def test_a_notification_may_come_before_its_record(graph: Graph, endpoint: Endpoint) -> None:
    graph.control.change_settings(throttling=False)
    created(graph, endpoint)
    call = graph.control.add_session(NewSession(record_delay=1.0, announce_delay=0)).call_id
    until(endpoint.notifications)
    assert graph.refusal(f"/communications/callRecords/{call}")[0] == 404
    assert until(lambda: graph.get(f"/communications/callRecords/{call}").ok)


def test_items_of_several_subscriptions_travel_together(graph: Graph, endpoint: Endpoint) -> None:
    graph.control.change_settings(batchSeconds=0.5)
    subscriptions = {created(graph, endpoint, changeType=kind)["id"] for kind in ("created", "updated")}
    calls = {graph.control.add_session().call_id for _ in range(5)}
    until(lambda: len(items(endpoint)) == 10)
    assert len(endpoint.notifications()) <= 2
    assert {item["subscriptionId"] for item in items(endpoint)} == subscriptions
    assert {item["resourceData"]["id"] for item in items(endpoint)} == calls


def test_a_hanging_endpoint_holds_nobody_else_up(graph: Graph, endpoint: Endpoint) -> None:
    def stuck(received: Received) -> Answer:
        return replace(well_behaved(received), after=1.5 if received.body else 0)

    with listening(stuck) as hanging:
        created(graph, hanging, changeType="updated")
        created(graph, endpoint)
        calls = {graph.control.add_session().call_id for _ in range(10)}
        until(lambda: {item["resourceData"]["id"] for item in items(endpoint)} == calls, seconds=1.2)


def test_an_endpoint_with_enough_late_responses_is_slow_for_ten_minutes() -> None:
    state = EndpointState(evaluate_after=10)
    for number in range(18):
        state.note(number, 0.1)
    state.note(18, 3.0)
    state.note(19, 3.0)
    assert state.state(19) == "normal"  # exactly 10 % is not more than 10 %
    state.note(20, 3.0)
    assert state.state(20) == "slow"
    state.note(21, 0.1)
    assert state.state(20 + WINDOW - 1) == "slow"
    assert state.state(20 + WINDOW) == "normal"


def test_an_endpoint_that_stays_late_stays_slow() -> None:
    state = EndpointState(evaluate_after=1)
    state.note(0, 3.0)
    assert state.state(0) == "slow"
    state.note(WINDOW - 1, 3.0)
    assert state.state(WINDOW) == "slow"


def test_an_endpoint_with_many_timeouts_is_dropped_and_needs_a_minimum_of_responses() -> None:
    state = EndpointState(evaluate_after=10)
    for number in range(9):
        state.note(number, 10.0)
    assert state.state(9) == "normal"
    state.note(9, 10.0)
    assert state.state(9) == "drop"


def test_a_dropped_endpoint_loses_what_happens_meanwhile(graph: Graph) -> None:
    # Its own endpoint: the state belongs to host and port, and lasts.
    graph.control.change_settings(evaluateAfter=1, deadlineScale=100, timeScale=200)
    with listening() as endpoint:
        created(graph, endpoint)
        endpoint.answer = lambda _: Answer(after=0.2)
        first = graph.control.add_session().call_id
        until(lambda: len(attempts(graph, first)) >= 3)
        endpoint.answer = well_behaved
        second = graph.control.add_session().call_id
        assert until(lambda: attempts(graph, second))[0].outcome == "dropped"
