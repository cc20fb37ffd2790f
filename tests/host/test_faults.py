"""The local host with a faulty app, settings or host.json; its admin routes."""

import json
from pathlib import Path

import pytest

from local.host.hostjson import load, seconds
from tests.support.host_process import Account, HostProcess, StartHost, until
from tests.support.host_process import account as account
from tests.support.host_process import start_host as start_host

APP = """
@app.route(route="ping", auth_level=func.AuthLevel.ANONYMOUS)
def ping(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("pong")

@app.route(route="elsewhere", auth_level=func.AuthLevel.ANONYMOUS)
@app.queue_output(arg_name="out", queue_name="any", connection="%OTHER%")
def elsewhere(req: func.HttpRequest, out: func.Out[List[str]]) -> func.HttpResponse:
    return func.HttpResponse("sent")

@app.timer_trigger(arg_name="timer", schedule="%NO_SUCH_SCHEDULE%")
def tick(timer: func.TimerRequest) -> None:
    note(ran="tick")

@app.queue_trigger(arg_name="message", queue_name="any", connection="NoSuchStorage")
def lost(message: func.QueueMessage) -> None:
    note(ran="lost")

@app.queue_trigger(arg_name="message", queue_name="%QUEUE%", connection="AzureWebJobsStorage")
def found(message: func.QueueMessage) -> None:
    note(ran="found", body=message.get_body().decode(), count=message.dequeue_count, due=message.expiration_time)
"""


@pytest.fixture
def host(account: Account, start_host: StartHost) -> HostProcess:
    return start_host(APP, settings={"QUEUE": account.queue().queue_name, "OTHER": "NoSuchStorage"})


def test_a_setting_that_does_not_resolve_fails_only_its_function(host: HostProcess) -> None:
    status = host.status
    assert status["state"] == "Running"
    assert sorted(error.split(":")[0] for error in status["errors"]) == ["elsewhere", "lost", "tick"]
    assert any("'%NO_SUCH_SCHEDULE%' does not resolve" in error for error in status["errors"])
    assert any("'NoSuchStorage__queueServiceUri' is missing" in error for error in status["errors"])
    assert host.call("GET", "/api/ping").body == b"pong"
    assert host.call("GET", "/api/elsewhere").status == 503
    assert (host.run("tick"), host.run("lost")) == (503, 503)


def test_admin_routes(host: HostProcess) -> None:
    assert host.call("GET", "/").status == 200
    listed = {item["name"]: item["trigger"] for item in json.loads(host.call("GET", "/admin/functions").body)}
    assert listed == {
        "ping": "httpTrigger",
        "elsewhere": "httpTrigger",
        "tick": "timerTrigger",
        "lost": "queueTrigger",
        "found": "queueTrigger",
    }
    assert host.run("nobody") == 404
    assert host.run("ping") == 400
    assert host.call("POST", "/admin/functions/found", b"not json").status == 400
    assert host.run("found", "by hand") == 202
    [seen] = until(lambda: host.seen, "run")
    assert (seen["body"], seen["count"]) == ("by hand", 1)


@pytest.mark.parametrize(
    ("app", "words"),
    [
        ("import no_such_package", "no_such_package"),
        ("this is no Python", "SyntaxError"),
        (APP.replace("out: func.Out[List[str]]", "out: func.Out[list[str]]"), "non-type annotation"),
        ("raise RuntimeError('at import')", "at import"),
        ("app = None", "Could not find"),
    ],
)
def test_an_app_that_does_not_index(start_host: StartHost, app: str, words: str) -> None:
    host = start_host(app)
    assert host.status["state"] == "Error"
    assert words in host.status["errors"][0]
    assert words in host.log
    assert host.call("POST", "/api/ping").status == 503
    assert host.run("tick") == 503
    assert host.call("GET", "/").status == 200
    assert host.terminate() == 0


def test_a_host_json_that_is_wrong(start_host: StartHost) -> None:
    host = start_host(APP, queues={"batchSize": 33})
    assert host.status["state"] == "Error"
    assert "extensions.queues.batchSize = '33': not from 1 to 32" in host.status["errors"][0]


def test_the_host_ends_with_its_parent(account: Account, start_host: StartHost) -> None:
    host = start_host(APP, "--exit-with-parent", settings={"QUEUE": account.queue().queue_name, "OTHER": "X"})
    assert host.process.stdin
    host.process.stdin.close()
    host.process.wait(20)


def test_the_log_level_is_host_jsons(start_host: StartHost) -> None:
    host = start_host(APP, host_json={"logging": {"logLevel": {"default": "Error"}}})
    assert host.call("GET", "/api/ping").status == 200
    assert "INFO" not in host.log


def test_what_host_json_leaves_out_has_the_platforms_default(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text("{}")
    host_json = load(tmp_path / "host.json", {})
    assert (host_json.route_prefix, host_json.function_timeout) == ("api", 1800)
    queues = host_json.queues
    assert (queues.batch_size, queues.new_batch_threshold, queues.max_polling_interval) == (16, 8, 60)
    assert (queues.visibility_timeout, queues.max_dequeue_count, queues.base64) == (0, 5, True)


def test_the_environment_wins_whatever_its_case(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text(
        '{"Extensions": {"queues": {"BATCHSIZE": 4, "messageEncoding": "none"}}}'
    )
    name = "AzureFunctionsJobHost__extensions__QUEUES__batchsize"
    assert load(tmp_path / "host.json", {}).queues.batch_size == 4
    assert load(tmp_path / "host.json", {name: "7"}).queues.batch_size == 7
    assert not load(tmp_path / "host.json", {}).queues.base64


@pytest.mark.parametrize(("text", "expected"), [("00:00:30", 30), ("1.02:00:00", 93600), ("00:00:00.5", 0.5)])
def test_time_spans(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["30", "", "1:2", "-00:00:01"])
def test_what_is_no_time_span(text: str) -> None:
    with pytest.raises(ValueError, match="time span"):
        seconds(text)
