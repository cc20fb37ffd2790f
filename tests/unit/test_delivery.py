"""The ways of delivery: settings, functions, addresses, and the doors for events."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.doors.events import forward_events
from shared.errors import SettingError
from shared.graph.delivery import door_of, is_same_address, leads_here, notification_url
from shared.health import findings
from shared.health.findings import Severity
from shared.messages import rich_notifications, signals, tasks
from shared.messages.rich_notifications import EncryptedBatch
from shared.messages.signals import Door, News
from shared.messages.tasks import RecordValidation
from shared.settings import load
from shared.subscriptions.status import Maintenance
from tests.support.app_settings import ENVIRON, STATE, TENANT

ROOT = Path(__file__).parents[2]
NAMESPACE = "evhns-attendance.servicebus.windows.net"
TOPIC = (
    "EventGrid:?azuresubscriptionid=11111111-1111-4111-8111-111111111111&resourcegroup=rg-attendance"
    "&partnertopic=graph-attendance&location=westeurope"
)
HUB = ENVIRON | {"DELIVERY": "event-hubs", "GraphEventHub__fullyQualifiedNamespace": NAMESPACE}
GRID = ENVIRON | {"DELIVERY": "event-grid", "PARTNER_TOPIC": TOPIC}
CALL = "4d5e6f70-1111-4222-8333-444455556666"
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
WEBHOOKS = ["receive_notifications", "receive_lifecycle"]
ALWAYS = ["archive_reports", "bury_poison", "do_upkeep", "maintain_subscriptions", "sweep", "health"]
INDEX = """
import json, function_app
found = {}
for each in function_app.app.get_functions():
    retry = each.get_settings_dict("retry_policy") or {}
    retry.pop("setting_name", None)
    found[each.get_function_name()] = json.loads(each.get_function_json()) | {"retry": retry}
print(json.dumps(found, default=str))
"""


def functions(delivery: str | None) -> dict[str, Any]:
    """What is indexed with this DELIVERY, and with no other setting at all."""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    environ |= {} if delivery is None else {"DELIVERY": delivery}
    run = subprocess.run(
        [sys.executable, "-c", INDEX], cwd=ROOT, env=environ, capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(run.stdout)
    return found


@pytest.mark.parametrize(
    ("delivery", "doors"),
    [
        (None, WEBHOOKS),
        ("webhook", WEBHOOKS),
        ("event-hubs", ["receive_events"]),
        ("event-grid", ["receive_grid_events"]),
        ("event-hubs,webhook", [*WEBHOOKS, "receive_events"]),
        ("webhook,event-grid", [*WEBHOOKS, "receive_grid_events"]),
        ("", WEBHOOKS),
        ("pigeons", WEBHOOKS),
        ("event-hubs,pigeons", [*WEBHOOKS, "receive_events"]),
    ],
)
def test_only_the_functions_of_the_chosen_way_exist(delivery: str | None, doors: list[str]) -> None:
    assert list(functions(delivery)) == [*doors, *ALWAYS]


def test_a_batch_is_tried_for_five_hours() -> None:
    indexed = functions("event-hubs")["receive_events"]
    assert indexed["retry"] == {
        "strategy": "exponential_backoff",
        "max_retry_count": "60",
        "minimum_interval": "00:00:05",
        "maximum_interval": "00:05:00",
    }
    trigger = next(each for each in indexed["bindings"] if each["type"] == "eventHubTrigger")
    assert (str(trigger["cardinality"]).lower().rpartition(".")[2], trigger["connection"]) == (
        "many",
        "GraphEventHub",
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"DELIVERY": "pigeons"}, "DELIVERY is 'pigeons'; allowed: webhook, event-hubs, event-grid, or two"),
        ({"DELIVERY": "webhook,webhook"}, "DELIVERY is 'webhook,webhook'; allowed: "),
        (
            {"DELIVERY": "webhook,event-hubs,event-grid"},
            "DELIVERY is 'webhook,event-hubs,event-grid'; allowed",
        ),
        ({"DELIVERY": "event-hubs"}, "GraphEventHub__fullyQualifiedNamespace is missing"),
        ({"DELIVERY": "webhook,event-hubs"}, "GraphEventHub__fullyQualifiedNamespace is missing"),
        (
            HUB | {"GraphEventHub__fullyQualifiedNamespace": "ns"},
            "is 'ns'; allowed: the host name of an Event Hubs",
        ),
        (
            HUB | {"GraphEventHub__fullyQualifiedNamespace": "ns-name.servicebus.usgovcloudapi.net"},
            "is 'ns-name.servicebus.usgovcloudapi.net'; allowed: a namespace of servicebus.windows.net",
        ),
        ({"DELIVERY": "event-grid"}, "PARTNER_TOPIC is missing"),
        (
            GRID | {"PARTNER_TOPIC": "EventGrid:?partnertopic=a"},
            "PARTNER_TOPIC is wrong; allowed: EventGrid:",
        ),
        (GRID | {"PARTNER_TOPIC": "my-topic"}, "PARTNER_TOPIC is 'my-topic'; allowed: EventGrid:"),
        (
            GRID | {"SIGNALS": "call-records,virtual-events"},
            "SIGNALS names virtual-events, and DELIVERY is event-grid: Event Grid has call records only",
        ),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, str], problem: str) -> None:
    with pytest.raises(SettingError, match=problem.replace("(", r"\(")):
        load(ENVIRON | changes)


def test_in_us_government_the_namespace_is_of_that_cloud() -> None:
    settings = load(
        HUB
        | {
            "GRAPH_CLOUD": "usgov",
            "GraphEventHub__fullyQualifiedNamespace": "ns-name.servicebus.usgovcloudapi.net",
            "AttendanceStorage__blobServiceUri": "https://reports.blob.core.usgovcloudapi.net",
            "AzureWebJobsStorage__blobServiceUri": "https://jobs.blob.core.usgovcloudapi.net",
            "AzureWebJobsStorage__queueServiceUri": "https://jobs.queue.core.usgovcloudapi.net",
        }
    )
    assert notification_url(settings).startswith("EventHub:https://ns-name.servicebus.usgovcloudapi.net/")


def test_addresses_have_graphs_form() -> None:
    assert notification_url(load(HUB)) == (
        f"EventHub:https://{NAMESPACE}/eventhubname/graph-notifications?tenantId={TENANT}"
    )
    assert notification_url(load(GRID)) == notification_url(load(GRID), "lifecycle") == TOPIC


@pytest.mark.parametrize(
    ("url", "door", "is_ours"),
    [
        (f"EventHub:https://{NAMESPACE}/eventhubname/graph-notifications?tenantId=t", Door.EVENT_HUBS, True),
        (
            f"eventhub:https://{NAMESPACE.upper()}:443/EventHubName/Graph-Notifications",
            Door.EVENT_HUBS,
            True,
        ),
        (f"EventHub:https://{NAMESPACE}/eventhubname/another?tenantId=t", Door.EVENT_HUBS, False),
        (
            "EventHub:https://other.servicebus.windows.net/eventhubname/graph-notifications",
            Door.EVENT_HUBS,
            False,
        ),
        (TOPIC.replace("rg-attendance", "RG-Attendance"), Door.EVENT_GRID, True),
        (TOPIC.replace("graph-attendance", "other"), Door.EVENT_GRID, False),
        ("https://app.azurewebsites.net/api/notifications?k=1", Door.WEBHOOK, True),
        ("https://app.azurewebsites.net/API/notifications", Door.WEBHOOK, False),
        ("EventHub:https://[", Door.EVENT_HUBS, False),
        ("", Door.WEBHOOK, False),
    ],
)
def test_whose_address_it_is(url: str, door: Door, is_ours: bool) -> None:
    settings = load(HUB | {"PARTNER_TOPIC": TOPIC})
    assert (door_of(url), leads_here(url, settings)) == (door, is_ours)


def test_nothing_is_the_address_of_a_hub_that_is_not_set() -> None:
    settings = load(ENVIRON)
    assert not leads_here("EventHub:https:///eventhubname/graph-notifications", settings)
    assert not leads_here("EventGrid:?a=b", settings)
    assert not is_same_address("", "")


# Events


def item(**changes: object) -> dict[str, object]:
    return {
        "subscriptionId": "s",
        "clientState": STATE,
        "changeType": "created",
        "resource": f"communications/callRecords/{CALL}",
        "tenantId": TENANT,
    } | changes


def event(*items: object) -> bytes:
    return json.dumps({"value": items}).encode()


def news(texts: Any) -> list[News]:
    found = [each for text in texts for each in signals.unpack_messages(json.loads(text))]
    return [each for each in found if isinstance(each, News)]


@pytest.mark.parametrize(
    ("environ", "body", "door"),
    [
        (HUB, event(item(door="webhook")), Door.EVENT_HUBS),
        (GRID, json.dumps({"data": item(door="webhook"), "door": "webhook"}).encode(), Door.EVENT_GRID),
    ],
)
def test_the_door_is_the_triggers_and_not_the_bodys(environ: dict[str, str], body: bytes, door: Door) -> None:
    (one,) = news(forward_events([body], environ, None, door).signals)
    assert (one.signal_id, one.door, one.subscription_id) == (f"cr-{CALL}", door, "s")


def test_a_batch_becomes_one_pack_without_doubles() -> None:
    other = item(resource=f"communications/callRecords/{CALL[:-1]}7")
    reply = forward_events([event(item()), event(other, item()), event(item())], HUB, None, Door.EVENT_HUBS)
    (pack,) = reply.signals
    assert [each.signal_id for each in news([pack])] == [f"cr-{CALL}", f"cr-{CALL[:-1]}7"]


def test_a_validation_message_is_a_task_and_no_more() -> None:
    validation = dict.fromkeys(("subscriptionId", "clientState", "resource"), "NA")
    validation["changeType"] = "Validation: Testing client application reachability for subscription"
    reply = forward_events([event(validation)], HUB, None, Door.EVENT_HUBS)
    assert reply.signals == []
    assert [tasks.parse_task(text).job for text in reply.tasks] == [RecordValidation()]


def test_rich_items_have_the_door_and_no_tokens() -> None:
    url = "https://teams.microsoft.com/l/meetup-join/1/0"
    resource = (
        "communications/onlineMeetings(joinWebUrl='https%3A%2F%2Fteams.microsoft.com%2Fl%2Fmeetup-join%2F1%2F0')"
        "/meetingCallEvents"
    )
    content = dict.fromkeys(rich_notifications.FIELDS, "AAAA")
    body = json.loads(event(item(resource=resource, changeType="updated", encryptedContent=content)))
    environ = HUB | {
        "SIGNALS": "call-events",
        "AZURE_CLIENT_ID": "c",
        "ENCRYPTION_KEY_ID": "https://kv-a.vault.azure.net/keys/notifications",
    }
    sent = json.dumps(body | {"validationTokens": ["theirs"]}).encode()
    (text,) = forward_events([sent], environ, None, Door.EVENT_HUBS).signals
    batch = rich_notifications.parse_message(text)
    assert isinstance(batch, EncryptedBatch)
    assert (batch.door, batch.tokens, batch.items[0].join_url) == (Door.EVENT_HUBS, (), url)


@pytest.mark.parametrize("door", [Door.EVENT_HUBS, Door.EVENT_GRID])
@given(
    st.binary()
    | st.recursive(st.none() | st.integers() | st.text(), lambda each: st.lists(each)).map(
        lambda each: json.dumps({"value": each, "data": each}).encode()
    )
)
def test_no_event_raises(door: Door, body: bytes) -> None:
    """And it does not cost the event behind it."""
    environ = HUB if door is Door.EVENT_HUBS else GRID
    good = event(item()) if door is Door.EVENT_HUBS else json.dumps({"data": item()}).encode()
    reply = forward_events([body, good], environ, None, door)
    assert [each.signal_id for each in news(reply.signals)] == [f"cr-{CALL}"]


def test_a_fault_of_the_parser_costs_its_event_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever nobody thought of must not stop a partition."""
    from shared.doors import notifications

    real = notifications._parse_change

    def fail(content: dict[str, object], *rest: Any) -> Any:
        if content.get("odd"):
            raise ZeroDivisionError
        return real(content, *rest)

    monkeypatch.setattr(notifications, "_parse_change", fail)
    reply = forward_events([event(item(odd=1)), event(item())], HUB, None, Door.EVENT_HUBS)
    assert len(news(reply.signals)) == 1


def test_wrong_settings_raise_so_that_the_batch_comes_again() -> None:
    with pytest.raises(SettingError, match="CLIENT_STATE"):
        forward_events([event(item())], HUB | {"CLIENT_STATE": ""}, None, Door.EVENT_HUBS)


# Findings


@pytest.mark.parametrize(
    ("ways", "hours", "is_said"),
    [
        (("event-hubs", "webhook"), 25, True),
        (("event-hubs", "webhook"), 23, False),
        (("event-hubs",), 25, False),
        (("webhook", "event-hubs"), 25, False),  # the move has not been made
    ],
)
def test_a_former_way_that_stays_open_is_named_after_a_day(
    ways: tuple[str, ...], hours: int, is_said: bool
) -> None:
    found = findings.former_delivery(CREATED, ways, NOW + timedelta(hours=hours))
    assert (found is not None) is is_said
    assert found is None or found.text == (
        "DELIVERY still names webhook, a day after Graph began to deliver by event-hubs. Deploy without formerDelivery."
    )


CREATED = Maintenance(NOW, delivery="event-hubs", created=NOW)


@pytest.mark.parametrize(
    ("run", "validated", "later", "severity"),
    [
        (None, None, 0, Severity.UNKNOWN),
        (CREATED, None, 10, Severity.UNKNOWN),
        (CREATED, None, 16, Severity.PROBLEM),
        (CREATED, NOW + timedelta(minutes=1), 60, Severity.OK),
        (CREATED, NOW - timedelta(minutes=1), 60, Severity.OK),  # the run is put down after it came
        (CREATED, NOW - timedelta(days=1), 60, Severity.PROBLEM),
        (replace(CREATED, delivery="webhook"), None, 60, Severity.UNKNOWN),
    ],
)
def test_a_hub_that_brings_no_validation_message_is_a_problem_after_a_while(
    run: Maintenance | None, validated: datetime | None, later: int, severity: Severity
) -> None:
    found = findings.hub(run, validated, NOW + timedelta(minutes=later))
    assert found.severity is severity
    assert severity is not Severity.PROBLEM or "Azure Event Hubs Data Receiver" in found.remedy
