"""The host's queue output binding: durable before the reply, in order."""

import base64

import pytest

from tests.support.host_process import Account, StartHost, is_empty, texts, until
from tests.support.host_process import account as account
from tests.support.host_process import start_host as start_host

SEND = """
@app.route(route="send", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@app.queue_output(arg_name="out", queue_name="%OUT%", connection="AzureWebJobsStorage")
def send(req: func.HttpRequest, out: func.Out[List[str]]) -> func.HttpResponse:
    out.set(req.get_json())
    if "fail" in req.params:
        raise RuntimeError("after set")
    return func.HttpResponse(status_code=202)
"""
FORWARD = """
@app.queue_trigger(arg_name="message", queue_name="%IN%", connection="AzureWebJobsStorage")
@app.queue_output(arg_name="out", queue_name="%OUT%", connection="AzureWebJobsStorage")
def forward(message: func.QueueMessage, out: func.Out[str]) -> None:
    out.set(message.get_body().decode() * 40_000)
"""


def decoded(stored: list[str]) -> list[str]:
    return [base64.b64decode(text).decode() for text in stored]


def test_the_reply_means_that_every_item_is_queued_in_order(account: Account, start_host: StartHost) -> None:
    queue = account.queue()
    host = start_host(SEND, settings={"OUT": queue.queue_name})
    reply = host.call("POST", "/api/send", b'["{\\"n\\": 1}", "2", "[\\u00e9]", "4"]')
    assert (reply.status, reply.body) == (202, b"")
    assert decoded(texts(queue)) == ['{"n": 1}', "2", "[é]", "4"]


def test_without_encoding_the_items_are_stored_as_they_are(account: Account, start_host: StartHost) -> None:
    queue = account.queue()
    host = start_host(SEND, queues={"messageEncoding": "none"}, settings={"OUT": queue.queue_name})
    assert host.call("POST", "/api/send", b'["<a> & b"]').status == 202
    assert texts(queue) == ["<a> & b"]


def test_a_missing_queue_is_made_only_when_there_is_something_to_send(
    account: Account, start_host: StartHost
) -> None:
    queue = account.queue()
    queue.delete_queue()
    host = start_host(SEND, settings={"OUT": f"{queue.queue_name}-new"})
    new = account.queue(f"{queue.queue_name}-new")
    assert host.call("POST", "/api/send", b"[]").status == 202
    assert texts(new) == []
    assert host.call("POST", "/api/send", b'["x"]').status == 202
    assert decoded(texts(new)) == ["x"]


def test_an_item_that_cannot_be_sent_fails_the_request(account: Account, start_host: StartHost) -> None:
    """What was sent before it stays, what comes after it is not sent."""
    queue = account.queue()
    host = start_host(SEND, settings={"OUT": queue.queue_name})
    reply = host.call("POST", "/api/send", b'["first", "' + b"x" * 60_000 + b'", "last"]')
    assert (reply.status, reply.body) == (500, b"")
    assert decoded(texts(queue)) == ["first"]
    assert "output 'out' could not be written" in host.log


def test_a_queue_service_that_is_gone_fails_the_request(account: Account, start_host: StartHost) -> None:
    gone = {"OUT": "any", "AzureWebJobsStorage__queueServiceUri": "https://127.0.0.1:9/devstoreaccount1"}
    host = start_host(SEND, settings=gone)
    assert host.call("POST", "/api/send", b'["x"]').status == 500


def test_a_function_that_raises_sends_nothing(account: Account, start_host: StartHost) -> None:
    queue = account.queue()
    host = start_host(SEND, settings={"OUT": queue.queue_name})
    assert host.call("POST", "/api/send?fail=1", b'["x"]').status == 500
    assert is_empty(queue)


@pytest.mark.parametrize(("body", "forwarded"), [("x", 1), ("xx", 0)])
def test_an_output_that_fails_fails_the_message_that_caused_it(
    account: Account, start_host: StartHost, body: str, forwarded: int
) -> None:
    """40 kB fit into a message, 80 kB do not."""
    source, target = account.queue(), account.queue()
    source.send_message(base64.b64encode(body.encode()).decode())
    start_host(
        FORWARD,
        queues={"maxDequeueCount": 1},
        settings={"IN": source.queue_name, "OUT": target.queue_name},
    )
    until(lambda: is_empty(source), "settled")
    assert len(texts(target)) == forwarded
    assert len(texts(account.poison(source))) == 1 - forwarded
