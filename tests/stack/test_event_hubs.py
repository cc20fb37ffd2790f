"""Delivery through an event hub: whatever the webhook does, with the same truth."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from local.event_hub.partitions import Partition, partitions
from local.simulator.faults.responses import Fault
from local.simulator.tenant.orders import NewCallEvent, NewEvent, NewSession
from local.stack.compose import HUBS, Stack
from local.stack.program import Log
from shared.graph.delivery import HUB
from shared.messages import rich_notifications
from shared.messages.rich_notifications import EncryptedBatch, RichItem
from shared.messages.signals import Door
from tests.stack.test_call_events import Scene, pem
from tests.storm import faulty_storage
from tests.storm.faulty_storage import Chances
from tests.support.front import Accounts, Front, eventually, hurried


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("own")


@pytest.fixture(scope="module")
def stack(folder: Path, log: Log, accounts: Accounts) -> Iterator[Stack]:
    (folder / "keys.pem").write_bytes(pem())
    settings = {
        "DELIVERY": "event-hubs",
        "SIGNALS": "call-records,virtual-events,call-events",
        "ENCRYPTION_KEY_ID": str(folder / "keys.pem"),
        "LOCAL_RETRY_SCALE": "20",
    }
    with hurried(folder, log, settings, next(accounts)) as stack:
        Front(stack).subscribe()
        yield stack


@pytest.fixture
def scene(stack: Stack) -> Scene:
    scene = Scene(stack)
    scene.control.clear_faults()
    return scene


@pytest.fixture
def hub(folder: Path, stack: Stack) -> list[Partition]:
    return partitions(folder / HUBS, stack.settings["GraphEventHub__fullyQualifiedNamespace"], HUB)


def body(front: Front, *call_ids: str) -> str:
    """An event as Graph sends it, of the app's own subscription."""
    own = next(each for each in front.control.subscriptions() if each["resource"].endswith("callRecords"))
    return json.dumps({"value": [front.item(each, subscriptionId=own["id"]) for each in call_ids]})


def is_stored_once(front: Front, call_id: str, report_id: str) -> bool:
    front.outcome(call_id, "stored")
    report = json.loads(front.body(report_id))
    true = json.loads(front.control.true_report(report_id))
    return report["id"] == true["id"] and len(front.outcomes(call_id)) == 1


def test_a_call_that_graph_announces_is_archived_and_nothing_is_public(scene: Scene) -> None:
    made = scene.session(announce=True, participants=12)
    assert is_stored_once(scene, made.call_id, made.report_id)
    outcome = scene.outcomes(made.call_id)[0]
    record = scene.state(f"signals/cr-{made.call_id}.json")
    assert (outcome["attempt"], record["door"]) == (1, "event-hubs")
    for route in ("notifications", "lifecycle"):
        assert requests.post(f"{scene.url}/{route}?validationToken=t", timeout=10).status_code == 404
    own = [each for each in scene.control.subscriptions() if each["resource"].endswith("callRecords")]
    assert [each["notificationUrl"] == each["lifecycleNotificationUrl"] for each in own] == [True]


def test_graphs_validation_message_is_put_down_and_makes_no_signal(scene: Scene) -> None:
    eventually(lambda: scene.state("heartbeat/validation.json"), "the validation message")
    assert not [name for name in scene.apart.list_blob_names(name_starts_with="signals/") if "NA" in name]


def test_doctor_says_when_it_came_and_asks_for_no_handshake(scene: Scene) -> None:
    identifier = "0" * 32
    scene.ask("examine", id=identifier, organizers=[])
    content = eventually(lambda: scene.state(f"doctor/{identifier}.json"), "the findings")
    endpoint = [each for each in content["findings"] if each["check"] == "endpoint"]
    assert [each["state"] for each in endpoint] == ["ok"]
    assert endpoint[0]["says"].startswith("Graph's validation message came through the event hub at ")
    assert {each["state"] for each in content["findings"]} == {"ok"}
    report = requests.get(f"{scene.url}/health", timeout=30).json()
    assert [each for each in report["problems"] if "hub" in each or "subscription" in each.lower()] == []


def test_doubles_in_any_order_are_stored_once(scene: Scene, hub: list[Partition]) -> None:
    made = [scene.session(announce=3) for _ in range(3)]
    for partition in hub:
        for each in reversed(made):
            partition.append(body(scene, each.call_id, each.call_id))
    for each in made:
        assert is_stored_once(scene, each.call_id, each.report_id)


def test_throttling_and_a_report_that_is_not_ready_are_waited_for(scene: Scene) -> None:
    throttled = Fault("communications/callRecords/", status=429, headers={"Retry-After": "1"}, times=2)
    scene.control.add_fault(throttled)
    made = scene.session(announce=True, report_delay=3)
    assert is_stored_once(scene, made.call_id, made.report_id)


def test_killed_again_and_again_it_loses_nothing(scene: Scene, hub: list[Partition]) -> None:
    made = [scene.session() for _ in range(12)]
    for number in range(0, 12, 4):
        for each in made[number : number + 4]:
            hub[number % 2].append(body(scene, each.call_id))
        scene.stack.kill_functions()
        scene.stack.await_functions()
    for each in made:
        assert is_stored_once(scene, each.call_id, each.report_id)


def test_an_event_that_cannot_be_read_does_not_stop_those_behind_it(
    scene: Scene, hub: list[Partition]
) -> None:
    made = scene.session()
    for text in ("", "{", "[]", '{"value":[' * 100_000, '{"value":[1,null,{"resource":{}}]}'):
        hub[0].append(text)
    hub[0].append(body(scene, made.call_id))
    assert is_stored_once(scene, made.call_id, made.report_id)


def test_what_has_another_client_state_or_tenant_is_dropped(scene: Scene, hub: list[Partition]) -> None:
    forged, foreign, made = (scene.session() for _ in range(3))
    for call_id, change in (
        (forged.call_id, {"clientState": "x" * 40}),
        (foreign.call_id, {"tenantId": "t"}),
    ):
        hub[0].append(json.dumps({"value": [scene.item(call_id, **change)]}))
    hub[0].append(body(scene, made.call_id))
    assert is_stored_once(scene, made.call_id, made.report_id)
    assert scene.outcomes(forged.call_id) == scene.outcomes(foreign.call_id) == []


def test_a_call_event_needs_no_validation_token_because_it_came_through_the_hub(scene: Scene) -> None:
    meeting = scene.watch()
    made = scene.held(meeting, call_events=["callStarted", "callEnded"])
    eventually(lambda: scene.is_settled(meeting.join_web_url), "the call event's outcome")
    assert len(scene.reports(made.report_id)) == 1
    (name,) = (each for each in scene.events() if scene.content(each)["joinWebUrl"] == meeting.join_web_url)
    assert scene.state(f"signals/{name.rpartition('/')[2]}")["door"] == "event-hubs"


def test_without_a_token_nothing_passes_that_names_another_door(scene: Scene) -> None:
    """Only the trigger says by which door news came."""
    refused, taken = scene.watch_all(None, None)
    for meeting, door in ((refused, Door.WEBHOOK), (taken, Door.EVENT_HUBS)):
        scene.held(meeting, call_events=())
        (genuine,) = scene.control.written(NewCallEvent(meeting.join_web_url, "callEnded"))
        (item,) = genuine["value"]
        rich = RichItem(meeting.join_web_url, item["encryptedContent"], item["subscriptionId"])
        batch = EncryptedBatch((rich,), (), datetime.now(UTC), door=door)
        scene.put("meeting-signals", rich_notifications.pack_batch(batch)[0][0])
    eventually(lambda: scene.is_settled(taken.join_web_url), "the outcome of what came through the hub")
    assert refused.join_web_url not in {scene.content(name)["joinWebUrl"] for name in scene.events()}


def test_a_virtual_events_report_is_archived(scene: Scene) -> None:
    event = scene.control.add_event(NewEvent(kind="webinar"))
    wanted = f"{event.path}/getAttendanceReports"
    eventually(
        lambda: [each for each in scene.control.subscriptions() if each["resource"].strip("/") == wanted],
        "a subscription to the event's reports",
    )
    made = scene.control.add_session(
        NewSession(event.sessions[0].meeting_id, announce=False, announce_report=True)
    )
    scene.outcome(made.report_id, "stored", prefix="ve-")
    assert len(scene.reports(made.report_id)) == 1


def test_what_graph_did_not_announce_is_found_by_the_sweep(scene: Scene) -> None:
    made = scene.session()
    scene.sweep()
    assert is_stored_once(scene, made.call_id, made.report_id)


class RefusesMessages(Chances):
    """A queue that refuses news and tasks, and nothing else."""

    def __init__(self) -> None:
        super().__init__(1.0, 1)
        self.refused = 0

    def draw(self, method: str, path: str, conditions: set[str]) -> str:
        if self.share and method == "POST" and "/messages" in path:
            self.refused += 1
            return "503 before"
        return ""


def test_a_batch_that_the_queue_refuses_is_not_lost(scene: Scene, hub: list[Partition]) -> None:
    chances = RefusesMessages()
    with faulty_storage.before(scene.stack, chances) as addresses:
        scene.stack.restart_functions(addresses)
        made = scene.session()  # now, because a sweep under way would have found it before
        hub[1].append(body(scene, made.call_id))
        eventually(lambda: chances.refused > 6, "the batch to be refused again and again")
        assert scene.outcomes(made.call_id) == []
        chances.share = 0.0
        assert is_stored_once(scene, made.call_id, made.report_id)
    scene.stack.restart_functions()


def test_a_wrong_setting_holds_events_up_until_it_is_right(scene: Scene, hub: list[Partition]) -> None:
    made = scene.session()
    scene.stack.restart_functions({"CLIENT_STATE_PREVIOUS": "short"})
    hub[0].append(body(scene, made.call_id))
    reply = requests.get(f"{scene.url}/health", timeout=30)
    assert (reply.status_code, "CLIENT_STATE_PREVIOUS" in reply.text) == (503, True)
    scene.stack.restart_functions()
    assert is_stored_once(scene, made.call_id, made.report_id)


def test_a_subscription_at_the_hub_without_an_entry_is_made_anew(scene: Scene) -> None:
    def own() -> dict[str, object]:
        found = [each for each in scene.control.subscriptions() if each["resource"].endswith("callRecords")]
        return found[0] if len(found) == 1 else {}

    before = own()
    scene.apart.delete_blob(f"subscriptions/{before['id']}.json")
    scene.stack.restart_functions()  # which forgets what it has read
    scene.run("maintain_subscriptions")
    after = eventually(lambda: now if (now := own()) and now["id"] != before["id"] else {}, "another one")
    entry = eventually(lambda: scene.state(f"subscriptions/{after['id']}.json"), "its entry")
    assert (entry["delivery"], len(entry["fingerprint"])) == ("event-hubs", 8)
    made = scene.session(announce=True)
    assert is_stored_once(scene, made.call_id, made.report_id)
