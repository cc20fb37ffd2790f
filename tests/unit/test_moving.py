"""Moving from one way of delivery to another: tried before, swept after, and named where it fails."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.graph.delivery import notification_url
from shared.health import findings
from shared.health.findings import Severity
from shared.ledger.record import Result
from shared.settings import Settings
from shared.subscriptions.status import SubscriptionStatus
from tests.support.simulated_app import SETTINGS, call
from tests.unit.test_subscription_replacing import Subscribed, closed, unavailable
from tests.unit.test_subscription_replacing import app as app

TOPIC = (
    "EventGrid:?azuresubscriptionid=00000000-0000-4000-8000-000000000000&resourcegroup=rg"
    "&partnertopic=attendance&location=westeurope"
)
WAYS = {
    "webhook": SETTINGS,
    "event-hubs": replace(
        SETTINGS, deliveries=("event-hubs", "webhook"), hub_namespace="ns.servicebus.windows.net"
    ),
    "event-grid": replace(SETTINGS, deliveries=("event-grid",), partner_topic=TOPIC),
}
MOVES = [(one, other) for one in WAYS for other in WAYS if one != other]


def moved(app: Subscribed, before: str, after: str) -> Settings:
    """An app that has received in one way, and whose settings now name another."""
    app.services = app.another_instance(WAYS[before])
    assert app.maintain() == ""
    app.services = app.another_instance(WAYS[after])
    app.queues["upkeep"].messages.clear()
    app.graph.done.clear()
    return WAYS[after]


@pytest.mark.parametrize(("before", "after"), MOVES)
def test_a_move_is_tried_then_swept_then_made(app: Subscribed, before: str, after: str) -> None:
    moved(app, before, after)
    former = app.only()
    app.before("send upkeep", lambda: app.graph.done.append("sweep"))
    assert app.maintain() == ""
    trial = [] if after == "event-grid" else ["POST", "DELETE"]
    assert app.graph.done == [*trial, "sweep", "DELETE", "POST"]
    made = app.only()
    assert made["id"] != former["id"]
    assert made["notificationUrl"] == notification_url(WAYS[after])
    assert [each.status for each in app.last_run().subscriptions or ()] == [SubscriptionStatus.ACTIVE]
    app.graph.done.clear()
    assert app.maintain() == ""
    assert app.graph.done == []


@pytest.mark.parametrize(("before", "after"), [each for each in MOVES if each[1] != "event-grid"])
def test_where_graph_cannot_deliver_nothing_is_deleted(app: Subscribed, before: str, after: str) -> None:
    moved(app, before, after)
    former = app.only()
    app.graph.faults["POST"] = [closed]
    error = app.maintain()
    assert error.startswith(
        f"Notifications still come in the former way, because Graph cannot deliver by {after} ("
    )
    assert (app.only(), app.graph.done, app.sweeps()) == (former, ["POST"], [])
    run = app.last_run()
    (view,) = run.subscriptions or ()
    finding = findings.subscription(view, run)
    assert (view.status, finding.severity) == (SubscriptionStatus.FORMER_DELIVERY, Severity.PROBLEM)
    assert (
        finding.message == "The subscription to communications/callRecords still delivers in the former way."
    )
    assert after == "webhook" or f"Graph cannot deliver by {after}" in finding.remedy


@pytest.mark.parametrize(("before", "after"), MOVES)
def test_where_the_create_fails_the_former_way_is_made_again(
    app: Subscribed, before: str, after: str
) -> None:
    moved(app, before, after)
    former = app.only()
    trial = after != "event-grid"

    def fail_the_create() -> None:
        app.graph.faults["POST"] = [unavailable]

    if trial:
        app.before("send upkeep", fail_the_create)  # which is after the trial
    else:
        fail_the_create()
    assert "The previous one was restored" in app.maintain()
    again = app.only()
    for name in ("notificationUrl", "lifecycleNotificationUrl", "clientState", "resource", "changeType"):
        assert again[name] == former[name]
    assert app.services.subscriptions.is_registered(again["id"])
    assert len(app.sweeps()) == 1
    app.queues["upkeep"].messages.clear()
    assert app.maintain() == ""  # the next run makes the move
    assert app.only()["notificationUrl"] == notification_url(WAYS[after])


@pytest.mark.parametrize(("before", "after"), MOVES)
def test_news_before_in_and_after_the_gap_arrives_once(app: Subscribed, before: str, after: str) -> None:
    moved(app, before, after)
    minutes = timedelta(minutes=1)
    app.calls += [call(name, app.now - 3 * minutes) for name in ("before", "gap", "after")]
    app.announce("before")
    assert app.maintain() == ""
    app.announce("after")
    app.announce("before")  # Graph repeats itself, by either way
    app.run(hours=0.5, every=timedelta(days=1))
    assert app.results() == dict.fromkeys(("before", "gap", "after"), Result.STORED)
    assert len(app.container.below("reports/")) == 3


def test_a_trial_that_a_crash_left_is_deleted(app: Subscribed) -> None:
    settings = moved(app, "webhook", "event-hubs")
    url = notification_url(settings)
    app.graph.existing["trial"] = {
        "id": "trial",
        "resource": "communications/callRecords",
        "changeType": "updated",
        "notificationUrl": url,
        "lifecycleNotificationUrl": url,
        "expirationDateTime": "2099-01-01T00:00:00Z",
    }
    assert app.maintain() == ""
    assert app.only()["notificationUrl"] == url
    assert app.only()["changeType"] == "created"


@pytest.mark.parametrize("way", ["event-hubs", "event-grid"])
def test_one_without_an_entry_is_made_anew_and_not_adopted(app: Subscribed, way: str) -> None:
    app.services = app.another_instance(WAYS[way])
    assert app.maintain() == ""
    former = app.only()
    app.state.delete_blob(f"subscriptions/{former['id']}.json")
    app.services = app.another_instance(WAYS[way])
    assert app.maintain() == ""
    assert app.only()["id"] != former["id"]
    assert app.services.subscriptions.is_registered(app.only()["id"])


@pytest.mark.parametrize("has_entry", [True, False])
def test_a_409_is_adopted_only_with_an_entry(app: Subscribed, has_entry: bool) -> None:
    """The list that is read first does not have it yet."""
    app.services = app.another_instance(WAYS["event-hubs"])
    assert app.maintain() == ""
    former = app.only()
    if not has_entry:
        app.state.delete_blob(f"subscriptions/{former['id']}.json")
        app.services = app.another_instance(WAYS["event-hubs"])
    listed = app.graph.get
    nothing: dict[str, Any] = {"value": []}
    shown = iter([nothing])
    app.graph.get = lambda path, operation: next(shown, None) or listed(path, operation)  # type: ignore[method-assign]
    assert app.maintain() == ""
    assert (app.only()["id"] == former["id"]) is has_entry


def test_a_rotated_client_state_replaces_one_at_the_hub_when_it_is_due(app: Subscribed) -> None:
    hub = WAYS["event-hubs"]
    app.services = app.another_instance(hub)
    assert app.maintain() == ""
    former = app.only()
    rotated = replace(hub, client_state="the-next-state", client_state_previous=hub.client_state)
    app.services = app.another_instance(rotated)
    assert app.maintain() == ""
    assert app.only() == former
    former["expirationDateTime"] = "2026-11-25T20:00:00Z"
    assert app.maintain() == ""
    assert app.only()["clientState"] == "the-next-state"


def test_another_apps_hub_is_left_alone(app: Subscribed) -> None:
    app.services = app.another_instance(WAYS["event-hubs"])
    other = "EventHub:https://other.servicebus.windows.net/eventhubname/graph-notifications?tenantId=t"
    app.graph.existing["other"] = {
        "id": "other",
        "resource": "communications/callRecords",
        "changeType": "created",
        "notificationUrl": other,
        "lifecycleNotificationUrl": other,
        "expirationDateTime": "2099-01-01T00:00:00Z",
    }
    assert "already has a subscription to communications/callRecords at another address" in app.maintain()
    assert app.only()["notificationUrl"] == other
