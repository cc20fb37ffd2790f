"""A move from the webhook to an event hub and back, with calls that end before, in between and after."""

import json
from typing import Any

import requests

from local.stack.compose import Stack
from tests.support.front import Front, eventually, own_stack

stack = own_stack()


def own(front: Front) -> dict[str, Any]:
    found = [each for each in front.control.subscriptions() if each["changeType"] == "created"]
    return found[0] if len(found) == 1 else {}


def move(stack: Stack, front: Front, delivery: str) -> None:
    """Give the app the new setting, and have it move."""
    stack.restart_functions({"DELIVERY": delivery})
    before = own(front)
    front.run("maintain_subscriptions")
    assert before
    eventually(lambda: own(front).get("id", before["id"]) != before["id"], f"a subscription by {delivery}")


def test_there_and_back_again(stack: Stack, front: Front) -> None:
    front.subscribe()
    first = front.session(announce=True)
    front.outcome(first.call_id, "stored")
    gap = [front.session()]
    move(stack, front, "event-hubs,webhook")
    assert own(front)["notificationUrl"].startswith("EventHub:https://")
    second = front.session(announce=True)
    front.outcome(second.call_id, "stored")
    late = front.session()  # announced by the former way, a day later at most
    assert front.post(front.item(late.call_id)).status_code == 202
    front.outcome(late.call_id, "stored")
    gap.append(front.session())
    move(stack, front, "webhook,event-hubs")
    assert own(front)["notificationUrl"].startswith("http://")
    third = front.session(announce=True)
    front.outcome(third.call_id, "stored")
    front.sweep()
    for each in (first, *gap, second, late, third):
        front.outcome(each.call_id, "stored")
        assert len(front.outcomes(each.call_id)) == len(front.reports(each.report_id)) == 1
        assert json.loads(front.body(each.report_id))["id"] == each.report_id


def test_where_graph_may_not_send_to_the_hub_the_webhook_stays_and_health_names_it(
    stack: Stack, front: Front
) -> None:
    stack.restart_functions({"DELIVERY": "webhook"})
    front.run("maintain_subscriptions")
    eventually(lambda: own(front).get("notificationUrl", "").startswith("http"), "a webhook")
    front.control.change_settings(sendsToHub=False)
    stack.restart_functions({"DELIVERY": "event-hubs,webhook"})
    before = own(front)
    front.run("maintain_subscriptions")

    def problems() -> list[str]:
        found: list[str] = requests.get(f"{front.url}/health", timeout=30).json()["problems"]
        return [each for each in found if "Graph cannot deliver by event-hubs" in each]

    (problem,) = eventually(problems, "a problem that names it")
    assert "still delivers in the former way" in problem
    assert "changeTrackingPrincipalId" in problem
    assert own(front) == before
    front.control.change_settings(sendsToHub=True)
