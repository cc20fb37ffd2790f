"""The host's event hub trigger: batches, retries, and a checkpoint after them."""

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from local.event_hub.partitions import COUNT, LARGEST_EVENT, Partition, partitions
from local.host.runtime import Retries
from tests.support.host_process import Account, HostProcess, StartHost, until
from tests.support.host_process import account as account
from tests.support.host_process import start_host as start_host

READ = """
@app.event_hub_message_trigger(arg_name="events", event_hub_name="%HUB%", connection="Hub", consumer_group="readers",
                               cardinality=func.Cardinality.MANY, data_type=func.DataType.STRING)
@app.retry(strategy="exponential_backoff", max_retry_count="3", minimum_interval="00:00:05",
           maximum_interval="00:00:20")
def read(events: List[func.EventHubEvent], context: func.Context) -> None:
    note(bodies=[each.get_body().decode() for each in events], attempt=context.retry_context.retry_count,
         sequence=[each.sequence_number for each in events], partition=events[0].metadata["PartitionContext"])
"""
FAIL = READ + "    raise RuntimeError('no')\n"

type Hub = list[Partition]
type Run = Callable[..., HostProcess]


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    return partitions(tmp_path / "hubs", "ns.servicebus.windows.net", f"hub-{uuid.uuid4()}")


@pytest.fixture
def run(tmp_path: Path, hub: Hub, start_host: StartHost) -> Run:
    def start(app: str, **settings: str) -> HostProcess:
        known: dict[str, str | None] = {
            "HUB": hub[0].hub,
            "Hub__fullyQualifiedNamespace": "ns.servicebus.windows.net",
            "LOCAL_EVENT_HUBS": str(tmp_path / "hubs"),
            "LOCAL_RETRY_SCALE": "100",
        }
        return start_host(app, settings=known | settings)

    return start


def bodies(host: HostProcess) -> list[str]:
    return [body for seen in host.seen for body in seen["bodies"]]


def checkpoint(account: Account, partition: Partition) -> dict[str, str]:
    container = account.container("azure-webjobs-eventhub")
    name = f"ns.servicebus.windows.net/{partition.hub}/readers/checkpoint/{partition.id}"
    blob = container.get_blob_client(name)
    return dict(blob.get_blob_properties().metadata) if blob.exists() else {}


def test_events_of_a_partition_come_in_order_and_in_batches(account: Account, hub: Hub, run: Run) -> None:
    assert len(hub) == COUNT == 2
    for number in range(250):
        hub[0].append(f"{number}")
    hub[1].append("é")
    host = run(READ)
    until(lambda: len(bodies(host)) == 251, "all events")
    batches = [seen["bodies"] for seen in host.seen if seen["bodies"] != ["é"]]
    assert [len(each) for each in batches] == [100, 100, 50]
    assert [body for each in batches for body in each] == [f"{number}" for number in range(250)]
    assert [number for seen in host.seen if seen["bodies"] != ["é"] for number in seen["sequence"]] == [
        *range(250)
    ]
    until(lambda: checkpoint(account, hub[0]).get("sequencenumber") == "250", "a checkpoint")


def test_a_restart_goes_on_at_the_checkpoint(account: Account, hub: Hub, run: Run) -> None:
    hub[0].append("before")
    host = run(READ)
    until(lambda: checkpoint(account, hub[0]), "a checkpoint")
    host.kill()
    hub[0].append("after")
    again = run(READ)
    until(lambda: "after" in bodies(again), "the next event")
    assert bodies(again) == ["before", "after"]  # both hosts note in one file
    assert again.seen[-1]["sequence"] == [1]


def test_a_batch_that_fails_is_run_again_and_then_passed_over(account: Account, hub: Hub, run: Run) -> None:
    hub[0].append("poison")
    host = run(FAIL)
    until(lambda: checkpoint(account, hub[0]), "a checkpoint")
    assert [(seen["bodies"], seen["attempt"]) for seen in host.seen] == [
        (["poison"], each) for each in range(4)
    ]
    assert "1 events of partition 0 are passed over" in host.log


def test_an_offset_that_is_no_number_holds_its_partition_up_only_for_the_retries(
    account: Account, hub: Hub, run: Run
) -> None:
    """Microsoft's runtime fails before the function is called, as with geo-replicated hubs."""
    hub[0].append("odd", offset="4:56:789")
    host = run(READ)
    until(lambda: checkpoint(account, hub[0]), "a checkpoint")
    hub[0].append("next")
    until(lambda: "next" in bodies(host), "the event behind it")
    assert bodies(host) == ["next"]


def test_a_kill_between_two_retries_loses_nothing(account: Account, hub: Hub, run: Run) -> None:
    hub[0].append("a")
    host = run(FAIL, LOCAL_RETRY_SCALE="0.01")
    until(lambda: bodies(host), "the first run")
    host.kill()
    assert checkpoint(account, hub[0]) == {}
    again = run(READ)
    until(lambda: checkpoint(account, hub[0]), "a checkpoint")
    assert bodies(again) == ["a", "a"]


def test_a_stop_between_two_retries_writes_no_checkpoint(account: Account, hub: Hub, run: Run) -> None:
    hub[0].append("a")
    host = run(FAIL, LOCAL_RETRY_SCALE="0.01")
    until(lambda: bodies(host), "the first run")
    assert host.terminate() == 0
    assert checkpoint(account, hub[0]) == {}


def test_one_partition_that_fails_does_not_stop_the_other(account: Account, hub: Hub, run: Run) -> None:
    hub[0].append("poison")
    hub[1].append("good")
    host = run(READ + "    if 'poison' in events[0].get_body().decode(): raise RuntimeError('no')\n")
    until(lambda: checkpoint(account, hub[1]), "a checkpoint")
    assert "good" in bodies(host)


def test_two_hosts_share_no_partition(account: Account, hub: Hub, run: Run) -> None:
    host, _ = run(READ), run(READ)
    for number in range(20):
        hub[number % 2].append(f"{number}")
    until(lambda: len(bodies(host)) >= 20, "all events")
    assert sorted(bodies(host), key=int) == [f"{number}" for number in range(20)]


def test_half_a_line_of_a_writer_that_died_is_passed_over(tmp_path: Path) -> None:
    (partition, _) = partitions(tmp_path, "ns", "hub")
    file = tmp_path / "ns/hub/0.jsonl"
    file.parent.mkdir(parents=True)
    file.write_bytes(b'{"body": "a')
    assert partition.read(0, 10) == []
    partition.append("b")
    assert [each.body for each in partition.read(0, 10)] == ["b"]


def test_an_event_is_at_most_a_megabyte(tmp_path: Path) -> None:
    (partition, _) = partitions(tmp_path, "ns", "hub")
    with pytest.raises(ValueError, match="larger than 1048576"):
        partition.append("x" * (LARGEST_EVENT + 1))


def test_the_pauses_of_the_apps_own_policy_are_five_hours() -> None:
    policy = Retries(60, 5.0, 300.0)
    assert [policy.delay(attempt) for attempt in range(8)] == [5, 10, 20, 40, 80, 160, 300, 300]
    assert 4.5 < sum(policy.delay(attempt) for attempt in range(60)) / 3600 < 5
