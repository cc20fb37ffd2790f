"""The stack from outside: its announcement, its end, and dying parts."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import requests

import local.stack.state
from local.stack import compose
from local.stack.compose import Stack
from local.stack.program import ROOT, Log, StartError
from tests.support.bounds import killed_after

# Nothing here calls Graph, so these stacks do without the simulator.
SECONDS_TO_START = 60.0
NO_GRAPH = "http://127.0.0.1:9"


@contextmanager
def up(state: Path) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """`python -m local up`, and what it printed.

    Its stderr is a pipe that nobody reads.
    """
    command = [sys.executable, "-m", "local", "up", "--graph-root", NO_GRAPH, "--state", str(state)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        try:
            with killed_after(process, SECONDS_TO_START):
                announcement = json.loads(process.stdout.readline())
            yield process, announcement
        finally:
            process.kill()


def shakes_hands(functions: str) -> bool:
    response = requests.post(f"{functions}/api/notifications?validationToken=hello%20you", timeout=10)
    return (response.status_code, response.text) == (HTTPStatus.OK, "hello you")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory, log: Log) -> Iterator[Stack]:
    with compose.up(
        tmp_path_factory.mktemp("bare"), graph_root=NO_GRAPH, log=log, usual_roots=False
    ) as stack:
        yield stack


def test_one_line_says_where_everything_is_and_sigterm_ends_all(tmp_path: Path) -> None:
    with up(tmp_path) as (process, said):
        parts = {
            *("functions", "blob", "queue", "state", "graph"),
            *("login", "identity", "ca", "container", "pids"),
        }
        assert set(said) == parts
        assert set(said["identity"]) == {"endpoint", "header"}
        assert set(said["pids"]) == {"functions", "azurite"}
        assert (said["graph"], said["login"], said["container"]) == (NO_GRAPH, None, "attendance")
        assert shakes_hands(said["functions"])
        assert json.loads((tmp_path / "stack.json").read_text()) == said
        process.terminate()
        rest, _ = process.communicate(timeout=30)
        assert (process.returncode, rest) == (0, b"")
    with local.stack.state.hold(tmp_path):
        assert not (tmp_path / "stack.json").exists()


def test_a_killed_stack_leaves_no_program_and_the_next_one_goes_on(tmp_path: Path, log: Log) -> None:
    with up(tmp_path) as (process, first):
        process.kill()
        process.wait()
    # Every program of the stack holds the lock as long as it lives.
    with local.stack.state.hold(tmp_path):
        pass
    with compose.up(tmp_path, graph_root=NO_GRAPH, log=log, usual_roots=False) as second:
        said = second.announcement()
        same = ("functions", "blob", "queue", "state", "graph", "container", "ca")
        assert {name: said[name] for name in same} == {name: first[name] for name in same}
        assert said["identity"]["endpoint"] == first["identity"]["endpoint"]
        with second.blob_service() as blobs:
            blobs.get_blob_client("attendance", "reports/kept.json").upload_blob(b"{}")
        secret = second.settings["CLIENT_STATE"]
    with (
        compose.up(tmp_path, graph_root=NO_GRAPH, log=log, usual_roots=False) as third,
        third.blob_service() as blobs,
    ):
        assert blobs.get_blob_client("attendance", "reports/kept.json").download_blob().readall() == b"{}"
        assert third.settings["CLIENT_STATE"] == secret


def test_when_azurite_dies_the_stack_ends_with_an_error(tmp_path: Path) -> None:
    with up(tmp_path) as (process, said):
        os.kill(said["pids"]["azurite"], signal.SIGKILL)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 1
        assert b"Azurite has ended" in errors


def test_a_killed_functions_host_is_back_at_the_same_address(bare: Stack) -> None:
    before = bare.pids
    bare.kill_functions()
    bare.await_functions()
    assert shakes_hands(bare.functions.url)
    assert bare.pids["functions"] != before["functions"]
    assert bare.pids["azurite"] == before["azurite"]


def test_a_restart_takes_settings_over_those_of_the_start(bare: Stack) -> None:
    address = bare.functions.url
    bare.restart_functions({"GRAPH_RATE": "3"})
    assert bare.settings["GRAPH_RATE"] == "3"
    assert shakes_hands(address)
    bare.restart_functions()
    assert bare.settings["GRAPH_RATE"] == "200"


def test_the_containers_and_queues_are_there(bare: Stack) -> None:
    with bare.blob_service() as data, bare.state_service() as host, bare.queue_service() as queues:
        assert {each.name for each in data.list_containers()} == {"attendance"}
        assert "attendance-state" in {each.name for each in host.list_containers()}
        assert {"meeting-signals", "meeting-signals-poison", "upkeep", "upkeep-poison"} <= {
            queue.name for queue in queues.list_queues()
        }


def test_an_outer_login_endpoint_is_the_apps(tmp_path: Path, log: Log) -> None:
    outer = "https://127.0.0.1:9"
    with compose.up(tmp_path, graph_root=NO_GRAPH, login_root=outer, log=log, usual_roots=False) as stack:
        assert stack.announcement()["login"] == stack.settings["LOGIN_ROOT"] == outer


def test_a_second_stack_on_the_same_state_is_refused(
    bare: Stack, monkeypatch: pytest.MonkeyPatch, log: Log
) -> None:
    monkeypatch.setattr(local.stack.state, "SECONDS_TO_LET_GO", 0.2)
    with (
        pytest.raises(local.stack.state.StateInUseError),
        compose.up(bare.folder, graph_root=NO_GRAPH, log=log, usual_roots=False),
    ):
        pass


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(bare: Stack, tmp_path: Path, log: Log) -> None:
    with (
        pytest.raises(StartError, match="is taken"),
        compose.up(
            tmp_path, graph_root=NO_GRAPH, functions_port=bare.functions.port, log=log, usual_roots=False
        ),
    ):
        pass


def test_an_app_that_cannot_be_loaded_is_reported_in_its_own_words(tmp_path: Path, log: Log) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / "function_app.py").write_text("raise ImportError('no module named left_pad')")
    (app / "host.json").write_text('{"version": "2.0"}')
    with (
        pytest.raises(StartError, match="left_pad"),
        compose.up(tmp_path / "state", app=app, graph_root=NO_GRAPH, log=log, usual_roots=False),
    ):
        pass


def test_the_whole_system_has_its_subscription_at_the_simulator(stack: Stack) -> None:
    """The product's own identity and logic against the simulated Graph."""
    answer = requests.post(
        f"{stack.functions.url}/admin/functions/maintain_subscriptions", json={"input": ""}, timeout=10
    )
    assert answer.status_code == HTTPStatus.ACCEPTED
    token = stack.identity.token("https://graph.microsoft.com")["access_token"]
    for _ in range(200):
        listed = requests.get(
            f"{stack.graph}/v1.0/subscriptions", headers={"Authorization": f"Bearer {token}"}, timeout=10
        ).json()["value"]
        if listed:
            break
        time.sleep(0.05)
    assert {subscription["resource"] for subscription in listed} == {"communications/callRecords"}
    assert listed[0]["notificationUrl"].startswith(f"{stack.functions.url}/api/notifications")
