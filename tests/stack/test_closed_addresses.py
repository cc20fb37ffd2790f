"""Subscribing and rotating with a public address that is closed to some.

An allow list or a private DNS may shut the app out of an address that Graph reaches, and the other way round.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.simulator.faults.responses import Fault
from local.stack.compose import Stack
from shared.subscriptions.handshake import check_handshake
from tests.support.command_line import run as run_command
from tests.support.command_line import told
from tests.support.front import Front, eventually, own_stack
from tests.support.gate import APP, GRAPH, Gate, gate

stack = own_stack()
NEXT = "the-next-client-state-of-this-app"


@pytest.fixture(scope="module")
def door(stack: Stack) -> Iterator[Gate]:
    """The app's public address, to which its setting leads."""
    with gate(stack.functions.url) as door:
        stack.restart_functions({"NOTIFICATION_BASE_URL": f"{door.url}/api"})
        yield door


@pytest.fixture
def front(stack: Stack, door: Gate) -> Iterator[Front]:
    front = Front(stack)
    clear(front)
    yield front
    door.closed_to.clear()
    front.control.clear_faults()


def clear(front: Front) -> None:
    for each in front.control.subscriptions():
        front.control.remove_subscription(each["id"])


def maintained(front: Front) -> dict[str, Any]:
    """What a run of maintenance published."""
    before = front.state("heartbeat/maintenance.json").get("at")
    front.run("maintain_subscriptions")

    def newer() -> dict[str, Any]:
        state = front.state("heartbeat/maintenance.json")
        return state if state.get("at") != before else {}

    return eventually(newer, "the end of a run of maintenance")


def doctor(front: Front, door: Gate, code: int) -> dict[str, list[str]]:
    """The findings of `doctor`, by severity."""
    findings = told(front, "doctor", code=code, NOTIFICATION_BASE_URL=f"{door.url}/api")
    found: dict[str, list[str]] = {}
    for each in findings:
        found.setdefault(each["state"], []).append(f"{each['check']}: {each['says']} {each['cure']}")
    return found


def test_an_app_that_is_shut_out_of_its_own_address_subscribes_and_is_healthy(
    front: Front, door: Gate
) -> None:
    door.closed_to = {APP}
    state = maintained(front)
    (made,) = front.control.subscriptions()
    assert made["notificationUrl"].startswith(f"{door.url}/api/notifications?k=")
    assert state["problems"] == []
    assert "answered 403, as an access restriction does" in state["ownHandshake"]
    assert state["subscriptions"][0]["state"] == "active"
    call = front.session(announce=True)
    front.outcome(call.call_id, "stored")
    found = doctor(front, door, code=0)
    assert "problem" not in found
    warnings = " ".join(found["warning"])
    for caller in ("endpoint: The webhooks are closed to this machine", "The webhooks are closed to the app"):
        assert caller in warnings
    assert "Graph has accepted their address" in warnings


def test_an_address_that_is_closed_to_graph_is_a_problem_with_its_cure(front: Front, door: Gate) -> None:
    door.closed_to = {GRAPH}
    state = maintained(front)
    assert front.control.subscriptions() == []
    assert state["ownHandshake"] is None
    assert "validation failed: Forbidden" in state["validation"]
    problems = " ".join(doctor(front, door, code=3)["problem"])
    assert "app: endpoint: The webhooks are closed to Graph" in problems
    assert "change notification addresses" in problems
    page = run_command(front, "status")
    assert page.returncode == 3
    assert "The webhooks are closed to Graph" in page.stdout
    door.closed_to.clear()
    assert maintained(front)["validation"] is None
    assert doctor(front, door, code=0)["ok"]


def test_a_name_that_this_network_does_not_know_is_said_to_be_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    problem = check_handshake("https://no-such-name.invalid/api")
    assert problem == "https://no-such-name.invalid/api/notifications has no address in this network's DNS"


def test_a_rotation_loses_nothing_that_is_told_before_in_and_after_the_gap(
    front: Front, door: Gate, stack: Stack
) -> None:
    old = stack.settings["CLIENT_STATE"]
    maintained(front)
    (former,) = front.control.subscriptions()
    before = front.session(announce=True)
    front.outcome(before.call_id, "stored")
    stack.restart_functions(
        {
            "NOTIFICATION_BASE_URL": f"{door.url}/api",
            "CLIENT_STATE": NEXT,
            "CLIENT_STATE_PREVIOUS": old,
        }
    )
    try:
        soon = (datetime.now(UTC) + timedelta(hours=3)).isoformat()
        front.control.change_subscription(former["id"], expiration=soon)
        upkeep = stack.queue_service().get_queue_client("upkeep")

        def is_quiet() -> bool:
            """Whether what follows from the report before is over."""
            upkeep.clear_messages()
            time.sleep(0.5)
            return upkeep.get_queue_properties().approximate_message_count == 0

        eventually(is_quiet, "an empty queue")
        front.control.add_fault(Fault("/subscriptions$", method="POST", action="delay", seconds=3))
        front.run("maintain_subscriptions")
        eventually(lambda: not front.control.subscriptions(), "the gap")
        assert upkeep.get_queue_properties().approximate_message_count == 1  # the sweep was queued first
        within = front.session(announce=True)  # and nobody is told
        eventually(front.control.subscriptions, "the new one")
        (made,) = front.control.subscriptions()
        assert (made["clientState"], made["id"] == former["id"]) == (NEXT, False)
        after = front.session(announce=True)
        front.outcome(after.call_id, "stored")
        time.sleep(1)
        assert not front.outcomes(within.call_id)
        now = datetime.now(UTC)  # the message would be seen in ten minutes; the same task, now
        window = {"start": (now - timedelta(hours=6)).isoformat(), "end": now.isoformat()}
        front.ask("backfill", missingOnly=True, **window)
        front.outcome(within.call_id, "stored")
        eventually(lambda: front.state("sweep/gap.json").get("finished"), "the sweep's end")
        for each in (before, within, after):
            assert len(front.outcomes(each.call_id)) == len(front.reports(each.report_id)) == 1
    finally:
        stack.restart_functions({"NOTIFICATION_BASE_URL": f"{door.url}/api"})
