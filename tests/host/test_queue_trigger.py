"""The host's queue trigger, on a real queue, as measured on the platform."""

import base64
import signal
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.host.queue_trigger import decode, pause_after
from tests.support.host_process import Account, StartHost, is_empty, texts, until
from tests.support.host_process import account as account
from tests.support.host_process import start_host as start_host

ARCHIVE = """
@app.queue_trigger(arg_name="message", queue_name="%QUEUE%", connection="AzureWebJobsStorage")
def archive(message: func.QueueMessage) -> None:
    note(body=message.get_body().decode(), count=message.dequeue_count, id=message.id,
         inserted=message.insertion_time, expires=message.expiration_time, visible=message.time_next_visible)
"""
FAIL_TWICE = (
    ARCHIVE
    + """
    if message.dequeue_count < 3:
        raise RuntimeError("not yet")
"""
)
ALWAYS_FAIL = (
    ARCHIVE
    + """
    raise RuntimeError("never")
"""
)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_a_message_that_succeeded_is_deleted(account: Account, start_host: StartHost) -> None:
    queue = account.queue()
    sent = queue.send_message(encoded('{"é": 1}'))
    host = start_host(ARCHIVE, settings={"QUEUE": queue.queue_name})
    until(lambda: is_empty(queue), "deleted")
    [seen] = host.seen
    assert (seen["body"], seen["count"], seen["id"]) == ('{"é": 1}', 1, sent.id)
    inserted, expires, visible = (
        datetime.fromisoformat(seen[key]) for key in ("inserted", "expires", "visible")
    )
    assert inserted <= datetime.now(UTC) < expires
    assert inserted < visible < expires


def test_a_message_that_failed_comes_again_with_a_higher_count(
    account: Account, start_host: StartHost
) -> None:
    queue = account.queue()
    queue.send_message(encoded("x"))
    host = start_host(FAIL_TWICE, settings={"QUEUE": queue.queue_name})
    until(lambda: is_empty(queue), "deleted")
    assert [seen["count"] for seen in host.seen] == [1, 2, 3]
    assert "RuntimeError('not yet')" in host.log
    assert "ERROR [archive]" in host.log


def test_a_setting_of_the_environment_wins_over_host_json(account: Account, start_host: StartHost) -> None:
    """host.json would hide the failed message for an hour."""
    queue = account.queue()
    queue.send_message(encoded("x"))
    host = start_host(
        FAIL_TWICE,
        queues={"visibilityTimeout": "01:00:00"},
        settings={
            "QUEUE": queue.queue_name,
            "AzureFunctionsJobHost__extensions__queues__visibilityTimeout": "00:00:01",
        },
    )
    until(lambda: is_empty(queue), "deleted")
    assert len(host.seen) == 3


def test_the_last_failure_moves_the_stored_text_to_the_poison_queue(
    account: Account, start_host: StartHost
) -> None:
    queue = account.queue()
    queue.send_message(encoded("x"))
    host = start_host(ALWAYS_FAIL, queues={"maxDequeueCount": 2}, settings={"QUEUE": queue.queue_name})
    until(lambda: texts(account.poison(queue)) == [encoded("x")], "poisoned")
    until(lambda: is_empty(queue), "deleted")
    assert [seen["count"] for seen in host.seen] == [1, 2]


def test_a_message_dequeued_too_often_is_poisoned_without_running(
    account: Account, start_host: StartHost
) -> None:
    queue = account.queue()
    queue.send_message(encoded("x"))
    [message] = queue.receive_messages(visibility_timeout=30)
    queue.update_message(message, visibility_timeout=0)
    host = start_host(ARCHIVE, queues={"maxDequeueCount": 1}, settings={"QUEUE": queue.queue_name})
    until(lambda: texts(account.poison(queue)) == [encoded("x")], "poisoned")
    until(lambda: is_empty(queue), "deleted")
    assert host.seen == []


def test_an_undecodable_message_is_poisoned_at_once_and_its_neighbours_run(
    account: Account, start_host: StartHost
) -> None:
    queue = account.queue()
    queue.send_message("not base64!")
    queue.send_message(encoded("good"))
    host = start_host(ARCHIVE, settings={"QUEUE": queue.queue_name})
    until(lambda: is_empty(queue), "both settled")
    assert texts(account.poison(queue)) == ["not base64!"]
    assert [seen["body"] for seen in host.seen] == ["good"]


def test_without_encoding_the_text_arrives_as_stored(account: Account, start_host: StartHost) -> None:
    queue = account.queue()
    queue.send_message("plain <text> &")
    host = start_host(ARCHIVE, queues={"messageEncoding": "none"}, settings={"QUEUE": queue.queue_name})
    until(lambda: is_empty(queue), "deleted")
    assert host.seen[0]["body"] == "plain <text> &"


def test_a_killed_host_leaves_its_message_to_the_next_one(account: Account, start_host: StartHost) -> None:
    app = (
        ARCHIVE
        + """
    if message.dequeue_count == 1:
        time.sleep(600)
    """
    )
    queue = account.queue()
    queue.send_message(encoded("x"))
    first = start_host(app, settings={"QUEUE": queue.queue_name})
    until(lambda: first.seen, "begun")
    first.kill()
    second = start_host(settings={"QUEUE": queue.queue_name})
    until(lambda: is_empty(queue), "delivered again after the lease")
    assert [seen["count"] for seen in second.seen] == [1, 2]


def test_a_message_stays_leased_as_long_as_its_function_runs(account: Account, start_host: StartHost) -> None:
    app = (
        ARCHIVE
        + """
    time.sleep(5)  # two and a half leases
    """
    )
    queue = account.queue()
    queue.send_message(encoded("x"))
    host = start_host(app, settings={"QUEUE": queue.queue_name})
    until(lambda: is_empty(queue), "deleted with the receipt of the last renewal")
    assert [seen["count"] for seen in host.seen] == [1]


def test_one_at_a_time_when_the_batch_is_one_and_the_threshold_is_none(
    account: Account, start_host: StartHost
) -> None:
    app = (
        ARCHIVE
        + """
    time.sleep(0.05)
    note(body="end")
    """
    )
    queue = account.queue()
    for number in range(4):
        queue.send_message(encoded(str(number)))
    host = start_host(
        app, queues={"batchSize": 1, "newBatchThreshold": 0}, settings={"QUEUE": queue.queue_name}
    )
    until(lambda: is_empty(queue), "all deleted")
    assert [seen["body"] for seen in host.seen] == ["0", "end", "1", "end", "2", "end", "3", "end"]


def test_the_messages_of_a_batch_run_together(account: Account, start_host: StartHost) -> None:
    app = """
    together = threading.Barrier(3, timeout=20)

    @app.queue_trigger(arg_name="message", queue_name="%QUEUE%", connection="AzureWebJobsStorage")
    def archive(message: func.QueueMessage) -> None:
        together.wait()
        note(count=message.dequeue_count)
    """
    queue = account.queue()
    for number in range(3):
        queue.send_message(encoded(str(number)))
    host = start_host(app, settings={"QUEUE": queue.queue_name})
    until(lambda: is_empty(queue), "all deleted")
    assert [seen["count"] for seen in host.seen] == [1, 1, 1]


def test_a_function_on_a_poison_queue_keeps_trying_after_each_lease(
    account: Account, start_host: StartHost
) -> None:
    queue = account.queue()
    poison = account.poison(queue)
    poison.create_queue()
    poison.send_message(encoded("x"))
    host = start_host(FAIL_TWICE, queues={"maxDequeueCount": 1}, settings={"QUEUE": poison.queue_name})
    until(lambda: is_empty(poison), "deleted at the third delivery")
    assert [seen["count"] for seen in host.seen] == [1, 2, 3]
    assert texts(account.poison(poison)) == []


def test_a_queue_that_appears_later_is_picked_up(account: Account, start_host: StartHost) -> None:
    queue = account.queue()
    queue.delete_queue()
    name = f"{queue.queue_name}-late"
    host = start_host(ARCHIVE, settings={"QUEUE": name})
    until(lambda: "does not exist" in host.log, "told")
    late = account.queue(name)
    late.create_queue()
    late.send_message(encoded("x"))
    until(lambda: host.seen, "delivered")
    assert host.log.count("does not exist") == 1


def test_an_async_function_runs_too(account: Account, start_host: StartHost) -> None:
    queue = account.queue()
    queue.send_message(encoded("x"))
    app = ARCHIVE.replace("def archive", "async def archive")
    host = start_host(app, settings={"QUEUE": queue.queue_name})
    until(lambda: is_empty(queue), "deleted")
    assert len(host.seen) == 1


def test_bytes_that_are_no_text_fail_as_an_execution(account: Account, start_host: StartHost) -> None:
    queue = account.queue()
    text = base64.b64encode(b"\xff\xfe").decode()
    queue.send_message(text)
    host = start_host(ARCHIVE, queues={"maxDequeueCount": 2}, settings={"QUEUE": queue.queue_name})
    until(lambda: texts(account.poison(queue)) == [text], "poisoned")
    assert host.seen == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_the_running_function_finish(
    account: Account, start_host: StartHost, number: signal.Signals
) -> None:
    app = (
        ARCHIVE
        + """
    while not (HERE / "go").exists():
        time.sleep(0.02)
    time.sleep(0.5)
    """
    )
    queue = account.queue()
    queue.send_message(encoded("x"))
    host = start_host(app, settings={"QUEUE": queue.queue_name})
    until(lambda: host.seen, "begun")
    host.process.send_signal(number)
    until(lambda: not host.listens, "HTTP closed")
    (host.folder / "go").touch()
    assert host.process.wait(20) == 0
    assert is_empty(queue)


def test_a_function_over_its_timeout_ends_the_process(account: Account, start_host: StartHost) -> None:
    app = (
        ARCHIVE
        + """
    time.sleep(600)
    """
    )
    queue = account.queue()
    queue.send_message(encoded("x"))
    host = start_host(
        app,
        host_json={"functionTimeout": "00:00:01"},
        settings={"QUEUE": queue.queue_name, "LOCAL_LEASE_SECONDS": "9"},
    )
    assert host.process.wait(20) == 1
    assert "functionTimeout" in host.log


def test_storage_that_refuses_never_ends_the_host(account: Account, start_host: StartHost) -> None:
    settings = {
        "QUEUE": "any",
        "AzureWebJobsStorage__queueServiceUri": "https://127.0.0.1:9/devstoreaccount1",
    }
    host = start_host(ARCHIVE, settings=settings)
    until(lambda: "cannot be read" in host.log, "told")
    assert host.status["state"] == "Running"
    assert host.terminate() == 0


def test_polling_slows_down_to_the_longest_interval() -> None:
    assert [round(pause_after(empty, 2.0, 1.0), 3) for empty in range(1, 9)] == [
        0.1, 0.2, 0.3, 0.5, 0.9, 1.7, 2.0, 2.0,
    ]  # fmt: skip


@given(st.integers(1, 10_000), st.floats(0.1, 60), st.floats(0.8, 1.2))
def test_a_pause_is_never_outside_its_bounds(empty: int, longest: float, jitter: float) -> None:
    assert 0.1 <= pause_after(empty, longest, jitter) <= longest


@pytest.mark.parametrize("text", ["ZmFp bA==", "ZmFpbB==", "ZmFp\n\tbA=="])
def test_blanks_and_spare_bits_are_base64(text: str) -> None:
    assert decode(text, is_base64=True) == b"fail"


@pytest.mark.parametrize("text", ["b2s", "ZmFpbA===", "ab-_", "é", "{}"])
def test_what_dotnet_does_not_take_is_not_base64(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - binascii has its own words for each
        decode(text, is_base64=True)
