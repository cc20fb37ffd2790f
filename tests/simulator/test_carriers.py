"""Delivery to a hub and to a partner topic: what Graph checks before, and what it sends."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from local.event_hub.partitions import Partition, partitions
from local.simulator.delivery import carriers
from local.simulator.delivery.carriers import Carriers, GridQueue
from local.simulator.odata import GraphError
from local.simulator.settings import SimulatorSettings

HUB = "EventHub:https://ns.servicebus.windows.net/eventhubname/graph-notifications?tenantId=t"
TOPIC = "EventGrid:?azuresubscriptionid=s&resourcegroup=rg&partnertopic=t&location=westeurope"
BODY: dict[str, Any] = {
    "value": [{"subscriptionId": "s", "changeType": "created", "resource": "communications/callRecords/a"}],
    "validationTokens": ["token"],
}
QUEUE = GridQueue("https://queue", "http://identity", "header", "client", "ca")


@pytest.fixture
def settings() -> SimulatorSettings:
    return SimulatorSettings()


@pytest.fixture
def ways(tmp_path: Path, settings: SimulatorSettings) -> Carriers:
    return Carriers(tmp_path, settings, "/tenants/t/applications/a")


@pytest.fixture
def hub(tmp_path: Path) -> list[Partition]:
    return partitions(tmp_path, "ns.servicebus.windows.net", "graph-notifications")


def sent(hub: list[Partition]) -> list[list[dict[str, Any]]]:
    return [[json.loads(each.body) for each in partition.read(0, 100)] for partition in hub]


def test_a_new_subscription_is_validated_by_a_message(ways: Carriers, hub: list[Partition]) -> None:
    ways.validate(HUB, "callRecord")
    ((message,), ()) = sent(hub)
    (item,) = message["value"]
    assert item["changeType"].startswith("Validation: Testing client application reachability")
    assert {item[name] for name in ("subscriptionId", "clientState", "resource")} == {"NA"}


def test_events_go_to_both_partitions_and_without_validation_tokens(
    ways: Carriers, hub: list[Partition]
) -> None:
    statuses = [asyncio.run(ways.carry(HUB, BODY)) for _ in range(2)]
    assert statuses == [201, 201]
    assert sent(hub) == [[{"value": BODY["value"]}]] * 2


def test_without_the_role_nothing_is_created_or_sent(
    ways: Carriers, settings: SimulatorSettings, hub: list[Partition]
) -> None:
    settings.sends_to_hub = False
    with pytest.raises(GraphError, match="Unable to send a message to the event hub"):
        ways.validate(HUB, "callRecord")
    assert asyncio.run(ways.carry(HUB, BODY)) == 401
    assert sent(hub) == [[], []]


@pytest.mark.parametrize(
    ("url", "kind", "is_partner", "problem"),
    [
        (TOPIC, "callEvent", True, "Event Grid is not supported for this resource"),
        ("EventGrid:?partnertopic=t", "callRecord", True, "is malformed"),
        (TOPIC, "callRecord", False, "is not authorized to create the partner topic"),
    ],
)
def test_a_topic_is_refused(
    ways: Carriers, settings: SimulatorSettings, url: str, kind: str, is_partner: bool, problem: str
) -> None:
    settings.is_partner = is_partner
    with pytest.raises(GraphError, match=problem):
        ways.validate(url, kind)


def test_a_topic_that_is_not_connected_loses_its_events(
    ways: Carriers, settings: SimulatorSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: list[dict[str, Any]] = []
    monkeypatch.setattr(carriers, "_enqueue", lambda queue, text: queued.append(json.loads(text)))
    ways.validate(TOPIC, "callRecord")
    assert asyncio.run(ways.carry(TOPIC, BODY)) == 200
    ways.connect(QUEUE)
    assert asyncio.run(ways.carry(TOPIC, BODY)) == 200
    assert queued == []
    settings.topic_is_connected = True
    assert asyncio.run(ways.carry(TOPIC, BODY)) == 200
    (event,) = queued
    assert (event["specversion"], event["type"]) == ("1.0", "Microsoft.Graph.CallRecordCreated")
    assert (event["source"], event["subject"]) == (
        "/tenants/t/applications/a",
        "communications/callRecords/a",
    )
    assert event["data"] == BODY["value"][0]


def test_a_lifecycle_event_has_a_type_of_its_own(
    ways: Carriers, settings: SimulatorSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: list[dict[str, Any]] = []
    monkeypatch.setattr(carriers, "_enqueue", lambda queue, text: queued.append(json.loads(text)))
    ways.connect(QUEUE)
    settings.topic_is_connected = True
    item = {"subscriptionId": "s", "lifecycleEvent": "reauthorizationRequired"}
    asyncio.run(ways.carry(TOPIC, {"value": [item]}))
    assert queued[0]["type"] == "Microsoft.Graph.SubscriptionReauthorizationRequired"
