"""Azurite in the stack: HTTPS, OAuth, loopback, and its end."""

import os
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import requests

import local.stack.azurite
from local.stack import certificates, storage
from local.stack.azurite import Azurite
from local.stack.identity import Identity
from local.stack.program import ROOT, Log, StartError
from local.stack.state import hold

ORPHAN = """
import os, sys, time
from pathlib import Path
from local.stack import azurite, identity, state, storage
with state.hold(Path(sys.argv[1])) as held, identity.serve() as who:
    with azurite.start(held.folder, lock=held.lock) as account:
        storage.create(account, who, "kept")
        os.kill(os.getpid(), 9)
"""


def test_the_deployments_containers_and_queues_can_be_made_twice(
    azurite: Azurite, identity: Identity
) -> None:
    for _ in range(2):
        storage.create(azurite, identity, "twice")
    with (
        storage.blob_service(azurite, identity) as data,
        storage.state_service(azurite, identity) as host,
        storage.queue_service(azurite, identity) as queues,
    ):
        assert "twice" in {each.name for each in data.list_containers()}
        assert "twice-state" not in {each.name for each in data.list_containers()}
        assert "twice-state" in {each.name for each in host.list_containers()}
        assert {queue.name for queue in queues.list_queues()} >= set(storage.QUEUES)


def test_a_token_for_another_audience_is_refused(azurite: Azurite, identity: Identity) -> None:
    for resource, status in (("https://graph.microsoft.com", 403), (storage.RESOURCE, 200)):
        headers = {
            "Authorization": f"Bearer {identity.token(resource)['access_token']}",
            "x-ms-version": storage.API_VERSION,
        }
        url = f"{azurite.blob_url}/?comp=list"
        response = requests.get(url, headers=headers, verify=str(azurite.ca), timeout=10)
        assert response.status_code == status, response.text


@pytest.mark.parametrize(("usual_roots", "most"), [(True, 1_000), (False, 1)])
def test_the_bundle_keeps_the_roots_that_were_trusted_before_where_they_are_wanted(
    tmp_path: Path, usual_roots: bool, most: int
) -> None:
    bundle = certificates.ensure_certificates(tmp_path, usual_roots=usual_roots).roots
    trusted = ssl.create_default_context(cafile=bundle).get_ca_certs()
    assert most / 20 < len(trusted) <= most


def test_a_port_that_is_taken_is_replaced(tmp_path: Path, log: Log) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with local.stack.azurite.start(tmp_path, blob_port=taken, log=log) as azurite:
            assert f":{taken}/" not in azurite.blob_url
            assert azurite.running
    assert not azurite.running


def test_a_failed_start_says_what_azurite_said(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = tmp_path / "node_modules/azurite/dist/src/azurite.js"
    entry.parent.mkdir(parents=True)
    entry.write_text("console.error('the disk is full'); process.exit(3)")
    monkeypatch.setenv("ATTENDANCE_AZURITE", str(tmp_path))
    with (
        pytest.raises(StartError, match=r"(?s)exit code 3.*the disk is full"),
        local.stack.azurite.start(tmp_path / "state", log=log),
    ):
        pass


def test_a_missing_installation_names_the_command_that_makes_it(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTENDANCE_AZURITE", str(tmp_path))
    with (
        pytest.raises(StartError, match="make setup"),
        local.stack.azurite.start(tmp_path / "state", log=log),
    ):
        pass


def test_an_orphan_saves_and_ends(tmp_path: Path, log: Log, identity: Identity) -> None:
    """Once the folder's lock is free, its data must be on disk."""
    killed = subprocess.run(
        [sys.executable, "-c", ORPHAN, tmp_path], cwd=ROOT, env=os.environ, timeout=60, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    with (
        hold(tmp_path) as held,
        local.stack.azurite.start(held.folder, log=log) as azurite,
        storage.blob_service(azurite, identity) as blobs,
    ):
        assert "kept" in {container.name for container in blobs.list_containers()}
