"""infra/connect-event-grid.sh against a double of the Azure CLI."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bicep import INFRA

SCOPE = "/subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg-attendance"
TOPIC = f"https://management.azure.com{SCOPE}/providers/Microsoft.EventGrid/partnerTopics/graph-attendance"
STORAGE = f"{SCOPE}/providers/Microsoft.Storage/storageAccounts/sthost"
PRINCIPAL = "22222222-2222-4222-8222-222222222222"
AZ = f"""#!{sys.executable}
import json, pathlib, sys

there = pathlib.Path(__file__).parent
given = sys.argv[1:]
with (there / "calls").open("a") as calls:
    calls.write(json.dumps(given) + "\\n")
world = json.loads((there / "world.json").read_text())
text = " ".join(given)
if text.startswith("cloud show"):
    print(world["root"])
elif text.startswith("group show"):
    print(world["scope"])
elif "--method get" in text:
    if not world["topic"]:
        sys.exit(3)
    if "identity.principalId" in text:
        print(world["principal"])
"""


class Azure:
    """A folder for PATH with an `az` that records calls."""

    def __init__(self, folder: Path, **world: object) -> None:
        self._folder = folder
        (folder / "az").write_text(AZ)
        (folder / "az").chmod(0o755)
        known = {
            "root": "https://management.azure.com/",
            "scope": SCOPE,
            "topic": True,
            "principal": PRINCIPAL,
        }
        (folder / "world.json").write_text(json.dumps(known | world))

    def connect(self, *names: str) -> subprocess.CompletedProcess[str]:
        path = f"{self._folder}{os.pathsep}{os.environ['PATH']}"
        command = ["sh", str(INFRA / "connect-event-grid.sh"), *names]
        environment = {**os.environ, "PATH": path, "CONNECT_PAUSE": "0"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    @property
    def changes(self) -> list[list[str]]:
        calls = [json.loads(line) for line in (self._folder / "calls").read_text().splitlines()]
        return [each for each in calls if {"patch", "put", "post", "create"} & set(each)]


def test_the_topic_is_activated_after_its_events_have_a_way(tmp_path: Path) -> None:
    azure = Azure(tmp_path)
    done = azure.connect("rg-attendance", "graph-attendance", "sthost")
    assert (done.returncode, done.stderr) == (0, "")
    identity, role, subscription, activation = azure.changes
    assert [each for each in identity if each.startswith("https:")] == [f"{TOPIC}?api-version=2022-06-15"]
    assert role[role.index("--assignee-object-id") + 1] == PRINCIPAL
    assert role[role.index("--scope") + 1] == f"{STORAGE}/queueServices/default/queues/graph-events"
    body = json.loads(subscription[subscription.index("--body") + 1])["properties"]
    destination = body["deliveryWithResourceIdentity"]["destination"]
    assert destination["properties"] == {
        "resourceId": STORAGE,
        "queueName": "graph-events",
        "queueMessageTimeToLiveInSeconds": -1,
    }
    assert body["eventDeliverySchema"] == "CloudEventSchemaV1_0"
    assert activation[activation.index("--url") + 1] == f"{TOPIC}/activate?api-version=2022-06-15"
    assert done.stdout.splitlines()[-1] == "topic: active"


@pytest.mark.parametrize(
    ("names", "world", "problem"),
    [
        (("rg-attendance",), {}, "usage: infra/connect-event-grid.sh"),
        (("rg-attendance", "graph-attendance", "sthost"), {"scope": ""}, "no resource group 'rg-attendance'"),
        (("rg-attendance", "graph-attendance", "sthost"), {"topic": False}, "no partner topic 'graph-atten"),
        (("rg-attendance", "graph-attendance", "sthost"), {"principal": ""}, "the topic has got no identity"),
    ],
)
def test_a_fault_is_named(
    tmp_path: Path, names: tuple[str, ...], world: dict[str, object], problem: str
) -> None:
    done = Azure(tmp_path, **world).connect(*names)
    assert done.returncode == 1
    assert problem in done.stderr


def test_in_another_cloud_its_own_address_is_used(tmp_path: Path) -> None:
    azure = Azure(tmp_path, root="https://management.usgovcloudapi.net")
    assert azure.connect("rg-attendance", "graph-attendance", "sthost").returncode == 0
    addresses = [part for call in azure.changes for part in call if part.startswith("https:")]
    assert all(each.startswith("https://management.usgovcloudapi.net/subscriptions/") for each in addresses)
