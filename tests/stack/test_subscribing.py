"""The app's subscriptions: the timer function against the simulated Graph."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from local.simulator.faults.responses import Fault
from local.stack.compose import Stack
from shared.settings import fingerprint
from tests.support.front import Front, eventually

NEXT_STATE = "the-next-client-state-0123456789abcdef"


@pytest.fixture
def front(stack: Stack) -> Iterator[Front]:
    front = Front(stack)
    for each in front.control.subscriptions():
        front.control.remove_subscription(each["id"])
    front.control.clear_calls()
    yield front
    front.control.clear_faults()
    for each in front.control.subscriptions():
        front.control.remove_subscription(each["id"])


def the_one(front: Front) -> dict[str, Any]:
    (only,) = front.control.subscriptions()
    return only


def states(front: Front) -> list[str]:
    """The client states of all subscriptions; there may be none for a moment."""
    return [each["clientState"] for each in front.control.subscriptions()]


def run(front: Front) -> None:
    """Run the function, and wait until it has listed and done what follows."""
    lists = len(front.calls("/subscriptions"))
    front.run("maintain_subscriptions")
    eventually(lambda: len(front.calls("/subscriptions")) > lists, "a look at the subscriptions")


def looked_again(front: Front) -> bool:
    """Whether the run that created a subscription has listed again at its end."""
    calls = front.calls("/subscriptions")
    return any(call.startswith("POST") for call in calls) and calls[-1].startswith("GET")


def soon() -> str:
    return (datetime.now(UTC) + timedelta(hours=3)).isoformat()


def problems(front: Front) -> str:
    """What the last run of the timer could not do."""
    return " ".join(front.state("heartbeat/maintenance.json").get("problems", []))


LATER = datetime.now(UTC) + timedelta(days=1)


def test_a_cold_app_subscribes_itself_with_all_that_it_needs(front: Front, stack: Stack) -> None:
    stack.restart_functions()
    front.subscribe()
    made, state = the_one(front), stack.settings["CLIENT_STATE"]
    assert made["resource"].strip("/") == "communications/callRecords"
    assert made["changeType"] == "created"
    assert made["notificationUrl"] == f"{front.url}/notifications?k={fingerprint(state)}"
    assert made["lifecycleNotificationUrl"] == f"{front.url}/lifecycle?k={fingerprint(state)}"
    assert made["clientState"] == state
    life = datetime.fromisoformat(made["expiration"]) - datetime.now(UTC)
    assert timedelta(minutes=4_000) < life <= timedelta(minutes=4_230)


def test_what_the_subscription_delivers_is_archived(front: Front) -> None:
    front.subscribe()
    made = front.session(announce=True, participants=4)
    front.outcome(made.call_id, "stored")


def test_a_subscription_in_the_first_half_of_its_life_is_left_as_it_is(front: Front) -> None:
    front.subscribe()
    before = the_one(front)
    run(front)
    run(front)
    assert the_one(front) == before
    assert len([call for call in front.calls("/subscriptions") if not call.startswith("GET")]) == 1


def test_a_subscription_past_half_of_its_life_is_renewed(front: Front) -> None:
    front.subscribe()
    before = the_one(front)
    front.control.change_subscription(before["id"], expiration=soon())
    run(front)
    eventually(lambda: datetime.fromisoformat(the_one(front)["expiration"]) > LATER, "a later expiry")
    assert the_one(front)["id"] == before["id"]


def test_a_subscription_that_is_gone_is_made_again(front: Front) -> None:
    front.subscribe()
    before = the_one(front)["id"]
    front.control.remove_subscription(before)
    front.subscribe()
    assert the_one(front)["id"] != before


def test_a_subscription_that_vanishes_while_it_is_renewed_is_made_again(front: Front) -> None:
    front.subscribe()
    before = the_one(front)["id"]
    front.control.change_subscription(before, expiration=soon())
    front.control.add_fault(Fault(before, method="PATCH", status=404))
    front.run("maintain_subscriptions")
    eventually(lambda: [call for call in front.calls(before) if "PATCH" in call], "the renewal")
    eventually(
        lambda: [call for call in front.calls("/subscriptions") if call.startswith("POST")][1:], "a new one"
    )


def test_a_subscription_at_another_address_is_left_alone_also_when_it_is_in_the_way(front: Front) -> None:
    front.subscribe()
    before = the_one(front)["id"]
    elsewhere = "https://other.example/api/notifications?k=00000000"
    front.control.change_subscription(before, notificationUrl=elsewhere)
    front.run("maintain_subscriptions")
    eventually(lambda: [call for call in front.calls("/subscriptions") if "409" in call], "the conflict")
    run(front)
    assert the_one(front)["notificationUrl"] == elsewhere


def test_after_the_apps_address_has_changed_the_old_subscription_is_replaced_when_it_expires(
    front: Front,
) -> None:
    front.subscribe()
    before = the_one(front)["id"]
    elsewhere = "https://old.example/api/notifications?k=00000000"
    front.control.change_subscription(before, notificationUrl=elsewhere)
    front.run("maintain_subscriptions")
    eventually(lambda: "another address" in problems(front), "the problem to be told")
    front.control.change_subscription(before, expiration=datetime.now(UTC).isoformat())
    front.subscribe()
    assert the_one(front)["notificationUrl"].startswith(front.url)
    eventually(lambda: not problems(front), "the problem to be gone")


def test_a_permission_that_is_taken_away_and_given_back_is_told_and_mended(front: Front) -> None:
    front.control.add_fault(Fault("/subscriptions", status=403, times=-1))
    front.run("maintain_subscriptions")
    eventually(lambda: "403" in problems(front), "the problem to be told")
    front.control.clear_faults()
    front.subscribe()
    eventually(lambda: not problems(front), "the problem to be gone")


def test_a_run_during_which_graph_refuses_everything_leaves_the_rest_to_the_next_one(front: Front) -> None:
    front.subscribe()
    before = the_one(front)["id"]
    front.control.change_subscription(before, expiration=soon())
    front.control.add_fault(Fault("/subscriptions", status=503, headers={"Retry-After": "3600"}, times=-1))
    front.run("maintain_subscriptions")
    eventually(lambda: problems(front), "the problem to be told")
    front.control.clear_faults()
    run(front)
    eventually(lambda: datetime.fromisoformat(the_one(front)["expiration"]) > LATER, "a later expiry")


@pytest.mark.parametrize("offset", [-1800, 1800])
def test_a_clock_that_is_half_an_hour_off_keeps_nobody_from_subscribing_and_renewing(
    front: Front, offset: float
) -> None:
    front.control.change_settings(clockOffset=offset)
    try:
        front.subscribe()
        before = the_one(front)["id"]
        front.control.change_subscription(before, expiration=soon())
        front.control.send_lifecycle(before)
        eventually(lambda: datetime.fromisoformat(the_one(front)["expiration"]) > LATER, "a later expiry")
        assert the_one(front)["id"] == before
    finally:
        front.control.change_settings(clockOffset=0)


@pytest.mark.parametrize("days", [-3, 3])
def test_a_date_header_of_days_off_neither_deletes_nor_changes_a_subscription(
    front: Front, days: int
) -> None:
    front.subscribe()
    before = the_one(front)
    date = format_datetime(datetime.now(UTC) + timedelta(days=days), usegmt=True)
    front.control.add_fault(Fault(".", action="headers", headers={"Date": date}, times=-1))
    run(front)
    eventually(lambda: not problems(front), "a run without problems")
    assert the_one(front) == before
    front.control.change_subscription(before["id"], expiration=soon())
    run(front)
    eventually(lambda: datetime.fromisoformat(the_one(front)["expiration"]) > LATER, "a later expiry")
    assert the_one(front)["id"] == before["id"]


@pytest.mark.parametrize("body", ['{"message":"upstream connect error"}', "{}", "<html>"])
def test_an_error_of_a_gateway_ends_no_run_and_the_next_one_mends_it(front: Front, body: str) -> None:
    front.control.add_fault(Fault("/subscriptions$", method="POST", status=400, body=body))
    front.run("maintain_subscriptions")
    eventually(lambda: "status 400" in problems(front), "the problem to be told")
    front.subscribe()
    eventually(lambda: not problems(front), "the problem to be gone")


def test_with_both_client_states_known_notifications_of_either_are_taken(front: Front, stack: Stack) -> None:
    front.subscribe()
    old = stack.settings["CLIENT_STATE"]
    stack.restart_functions({"CLIENT_STATE": NEXT_STATE, "CLIENT_STATE_PREVIOUS": old})
    try:
        run(front)
        assert the_one(front)["clientState"] == old
        made = [front.session() for _ in range(2)]
        items = [
            front.item(each.call_id, clientState=state)
            for each, state in zip(made, (old, NEXT_STATE), strict=True)
        ]
        assert front.post(*items).status_code == 202
        for each in made:
            front.outcome(each.call_id, "stored")
        front.control.change_subscription(the_one(front)["id"], expiration=soon())
        run(front)
        eventually(lambda: states(front) == [NEXT_STATE], "the new client state")
    finally:
        stack.restart_functions()


def test_a_conflict_with_a_subscription_of_ours_adopts_it(front: Front) -> None:
    front.subscribe()
    before = the_one(front)["id"]
    eventually(lambda: looked_again(front), "the last look of that run, which the fault is not for")
    front.control.add_fault(Fault("/subscriptions$", method="GET", status=200, body={"value": []}))
    front.run("maintain_subscriptions")
    eventually(lambda: [call for call in front.calls(before) if "PATCH" in call], "the adoption")
    assert the_one(front)["id"] == before


def test_a_subscription_with_another_fingerprint_is_made_anew(front: Front, stack: Stack) -> None:
    front.subscribe()
    before = the_one(front)["id"]
    stack.restart_functions({"CLIENT_STATE": NEXT_STATE})
    try:
        run(front)
        eventually(
            lambda: [each for each in front.control.subscriptions() if each["id"] != before], "a new one"
        )
        assert the_one(front)["clientState"] == NEXT_STATE
    finally:
        stack.restart_functions()


def test_reauthorization_that_graph_asks_for_renews_the_subscription(front: Front) -> None:
    front.subscribe()
    before = the_one(front)
    front.control.change_subscription(before["id"], expiration=soon())
    front.control.send_lifecycle(before["id"])
    eventually(lambda: datetime.fromisoformat(the_one(front)["expiration"]) > LATER, "a later expiry")


def test_reauthorization_of_a_subscription_that_is_gone_makes_a_new_one(front: Front) -> None:
    gone = "c0ffee00-0000-4000-8000-000000000002"
    front.apart.upload_blob(f"subscriptions/{gone}.json", b'{"resource": "communications/callRecords"}')
    item = {
        "subscriptionId": gone,
        "tenantId": front.stack.settings["TENANT_ID"],
        "clientState": front.stack.settings["CLIENT_STATE"],
        "lifecycleEvent": "reauthorizationRequired",
    }
    assert front.post(item, route="lifecycle").status_code == 202
    eventually(front.control.subscriptions, "a new subscription")


def test_a_reauthorization_that_graph_refuses_for_a_while_comes_again_later(front: Front) -> None:
    front.subscribe()
    before = the_one(front)["id"]
    front.control.add_fault(Fault(before, method="PATCH", status=503, headers={"Retry-After": "3600"}))
    upkeep = front.stack.queue_service().get_queue_client("upkeep")
    upkeep.clear_messages()  # of sweeps that wait for the end of a gap
    front.control.send_lifecycle(before)

    def postponed() -> bool:
        """One message is left, and nobody sees it yet."""
        waiting = upkeep.get_queue_properties().approximate_message_count
        return waiting == 1 and not upkeep.peek_messages()

    eventually(lambda: [call for call in front.calls(before) if "503" in call] and postponed(), "a later try")
    upkeep.clear_messages()
