"""The simulated subscriptions: handshake, limits, 409, paging and renewal."""

import html
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
import requests

from tests.support.simulator_process import (
    Answer,
    Endpoint,
    Graph,
    Received,
    listening,
    token,
    until,
    well_behaved,
)
from tests.support.simulator_process import endpoint as endpoint
from tests.support.simulator_process import graph as graph
from tests.support.simulator_process import simulator as simulator

MANY = 300.0  # divides the 10 seconds


def later(minutes: float) -> str:
    return (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()


def order(endpoint: Endpoint, **fields: object) -> dict[str, object]:
    return {
        "changeType": "created",
        "notificationUrl": endpoint.url,
        "resource": "/communications/callRecords",
        "expirationDateTime": later(4229),
        "clientState": "secret",
    } | fields


def create(graph: Graph, endpoint: Endpoint, **fields: object) -> requests.Response:
    return graph.send("POST", "/subscriptions", json=order(endpoint, **fields))


def created(graph: Graph, endpoint: Endpoint, **fields: object) -> dict[str, Any]:
    response = create(graph, endpoint, **fields)
    assert response.status_code == 201, response.text
    subscription: dict[str, Any] = response.json()
    return subscription


def test_a_subscription_is_created_after_both_urls_were_validated(graph: Graph, endpoint: Endpoint) -> None:
    subscription = created(
        graph, endpoint, lifecycleNotificationUrl=endpoint.url.replace("notifications", "lifecycle")
    )
    assert [each.path for each in endpoint.received] == ["/api/notifications", "/api/lifecycle"]
    for each in endpoint.received:
        assert (each.content_type, each.body, each.query["k"]) == ("text/plain; charset=utf-8", b"", "1")
        assert set(" +%:&") <= set(each.query["validationToken"])
    assert subscription["clientState"] is None
    assert subscription["id"]
    assert graph.control.subscriptions()[0]["clientState"] == "secret"


def quoted(received: Received) -> Answer:
    return Answer(200, body=quote(received.query["validationToken"], safe="").encode())


def escaped(received: Received) -> Answer:
    return Answer(200, body=html.escape(received.query["validationToken"]).encode())


def in_json(received: Received) -> Answer:
    return replace(well_behaved(received), content_type="application/json")


def accepted(received: Received) -> Answer:
    return replace(well_behaved(received), status=202)


def with_a_line_end(received: Received) -> Answer:
    answer = well_behaved(received)
    return replace(answer, body=answer.body + b"\n")


def forbidden(_: Received) -> Answer:
    return Answer(403)


@pytest.mark.parametrize("answer", [quoted, escaped, in_json, accepted, with_a_line_end, forbidden])
def test_any_other_answer_to_the_handshake_fails(graph: Graph, answer: Callable[[Received], Answer]) -> None:
    with listening(answer) as endpoint:
        response = create(graph, endpoint)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "ValidationError")
    assert error["message"].startswith("Subscription validation request failed.")
    assert ("'Forbidden'" in error["message"]) == (answer is forbidden)
    assert graph.control.subscriptions() == []


def test_a_late_answer_to_the_handshake_fails(graph: Graph) -> None:
    graph.control.change_settings(deadlineScale=MANY)
    with listening(lambda received: replace(well_behaved(received), after=0.3)) as endpoint:
        response = create(graph, endpoint)
    error = response.json()["error"]
    assert (error["code"], error["message"]) == (
        "InvalidRequest",
        "Subscription validation request timed out.",
    )


def test_an_endpoint_that_is_not_there_fails(graph: Graph) -> None:
    with listening() as endpoint:
        pass
    assert create(graph, endpoint).json()["error"]["code"] == "ValidationError"


def test_the_same_combination_is_a_conflict_also_at_another_url(graph: Graph, endpoint: Endpoint) -> None:
    first = created(graph, endpoint)["id"]
    fields = {"resource": "communications/callRecords", "notificationUrl": endpoint.url + "&other=1"}
    response = create(graph, endpoint, **fields)
    message = f"Subscription Id {first} already exists for the requested combination"
    assert (response.status_code, response.json()["error"]["message"]) == (409, message)
    assert created(graph, endpoint, changeType="updated,created")["id"] != first
    other_app = replace(graph, token=token(appid="00000000-1111-4222-8333-444444444444"))
    other = created(other_app, endpoint)["id"]
    assert other not in {each["id"] for each in graph.json("/subscriptions")["value"]}
    assert graph.get(f"/subscriptions/{other}").status_code == 404


@pytest.mark.parametrize(
    "fields",
    [
        {"changeType": None},
        {"changeType": "deleted"},
        {"resource": "users"},
        {"notificationUrl": "http://example.com/api"},
        {"notificationUrl": "https://example.com/ä"},
        {"lifecycleNotificationUrl": "not a url"},
        {"clientState": "x" * 129},
        {"clientState": 1},
        {"includeResourceData": True},
        {"expirationDateTime": "tomorrow"},
    ],
)
def test_a_subscription_that_cannot_be_is_a_bad_request(
    graph: Graph, endpoint: Endpoint, fields: dict[str, object]
) -> None:
    assert create(graph, endpoint, **fields).status_code == 400
    assert endpoint.received == []


@pytest.mark.parametrize("minutes", [4240, -1])
def test_a_subscription_that_ends_too_late_or_has_ended_is_a_bad_request(
    graph: Graph, endpoint: Endpoint, minutes: float
) -> None:
    assert create(graph, endpoint, expirationDateTime=later(minutes)).status_code == 400
    assert endpoint.received == []


def test_the_quota_of_the_organization_is_forbidden(graph: Graph, endpoint: Endpoint) -> None:
    for number in range(100):
        app = replace(graph, token=token(appid=f"00000000-0000-4000-8000-{number:012d}"))
        created(app, endpoint)
    response = create(graph, endpoint)
    assert response.status_code == 403
    assert "100 subscriptions" in response.json()["error"]["message"]


def test_a_short_life_is_raised_to_45_minutes(graph: Graph, endpoint: Endpoint) -> None:
    expiration = datetime.fromisoformat(
        created(graph, endpoint, expirationDateTime=later(1))["expirationDateTime"]
    )
    assert timedelta(minutes=44) < expiration - datetime.now(UTC) <= timedelta(minutes=45)


def test_the_list_has_pages_and_no_options_and_no_client_state(graph: Graph, endpoint: Endpoint) -> None:
    made = [
        created(graph, endpoint, changeType=kind)["id"] for kind in ("created", "updated", "created,updated")
    ]
    graph.control.change_settings(subscriptionPageSize=2)
    pages = graph.pages("/subscriptions")
    assert [[each["id"] for each in page] for page in pages] == [made[:2], made[2:]]
    assert "clientState" not in pages[0][0]
    assert graph.get("/subscriptions?$top=1").status_code == 400


def test_renewal_changes_the_expiry_only_and_within_limits(graph: Graph, endpoint: Endpoint) -> None:
    path = f"/subscriptions/{created(graph, endpoint, expirationDateTime=later(60))['id']}"
    renewed = graph.send("PATCH", path, json={"expirationDateTime": later(4000)})
    left = datetime.fromisoformat(renewed.json()["expirationDateTime"]) - datetime.now(UTC)
    assert timedelta(minutes=3999) < left <= timedelta(minutes=4000)
    for wrong in (
        {"expirationDateTime": later(4232)},
        {"clientState": "new"},
        {"notificationUrl": endpoint.url},
        {},
    ):
        assert graph.send("PATCH", path, json=wrong).status_code == 400
    assert len(endpoint.received) == 1


def test_a_deleted_or_vanished_or_expired_subscription_is_gone(graph: Graph, endpoint: Endpoint) -> None:
    deleted, vanished, expired = (
        created(graph, endpoint, changeType=kind)["id"] for kind in ("created", "updated", "created,updated")
    )
    assert graph.send("DELETE", f"/subscriptions/{deleted}").status_code == 204
    graph.control.remove_subscription(vanished)
    graph.control.change_subscription(expired, expiration=datetime.now(UTC).isoformat())
    for each in (deleted, vanished, expired):
        for method, suffix in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/reauthorize")):
            response = graph.send(
                method, f"/subscriptions/{each}{suffix}", json={"expirationDateTime": later(60)}
            )
            assert (response.status_code, response.json()["error"]["code"]) == (404, "ResourceNotFound")
    assert graph.json("/subscriptions")["value"] == []


def test_a_lifecycle_event_pauses_delivery_until_it_is_answered(graph: Graph, endpoint: Endpoint) -> None:
    subscription = created(
        graph, endpoint, lifecycleNotificationUrl=endpoint.url.replace("notifications", "lifecycle")
    )
    path = f"/subscriptions/{subscription['id']}"
    renewal = {"expirationDateTime": later(4000)}
    for method, address, body in (("POST", path + "/reauthorize", None), ("PATCH", path, renewal)):
        endpoint.received.clear()
        graph.control.send_lifecycle(subscription["id"])
        event = until(endpoint.notifications)[0]
        assert event.path == "/api/lifecycle"
        assert b'"lifecycleEvent":"reauthorizationRequired"' in event.body
        assert b"changeType" not in event.body
        call = graph.control.add_session().call_id
        time.sleep(0.2)
        assert len(endpoint.received) == 1
        assert graph.send(method, address, json=body).ok
        assert call.encode() in until(lambda: endpoint.received[1:])[0].body


def test_a_subscription_near_its_expiry_asks_to_be_reauthorized(graph: Graph, endpoint: Endpoint) -> None:
    subscription = created(graph, endpoint, lifecycleNotificationUrl=endpoint.url)
    graph.control.change_subscription(subscription["id"], expiration=later(20))
    assert b"reauthorizationRequired" in until(endpoint.notifications)[0].body
