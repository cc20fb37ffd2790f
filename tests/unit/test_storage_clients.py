"""The storage clients: a connection for each of the runtime's threads."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from uuid import uuid4

import pytest

from local.stack.azurite import Azurite
from local.stack.identity import Identity
from local.stack.storage import Tokens
from shared.settings import THREADS
from shared.storage.clients import blob_service, queue_service


def test_all_threads_keep_their_connections(
    azurite: Azurite, identity: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    """The pool says so, as a warning, when it drops one."""
    tokens, ca = Tokens(identity), str(azurite.ca)
    blobs = blob_service(azurite.blob_url, tokens, connection_verify=ca)
    container = blobs.get_container_client(f"test-{uuid4()}")
    queues = queue_service(azurite.queue_url, tokens, connection_verify=ca)
    together = Barrier(THREADS)

    def ask(_: int) -> None:
        together.wait(30)
        assert not container.exists()
        assert list(queues.list_queues("no-such-queue")) == []

    with caplog.at_level(logging.WARNING, "urllib3"), ThreadPoolExecutor(THREADS) as threads:
        for _ in range(3):
            list(threads.map(ask, range(THREADS)))
    assert caplog.messages == []


@pytest.mark.usefixtures("netrc")
def test_no_password_of_this_machine_replaces_the_token(azurite: Azurite, identity: Identity) -> None:
    tokens, ca = Tokens(identity), str(azurite.ca)
    blobs = blob_service(azurite.blob_url, tokens, connection_verify=ca)
    assert not blobs.get_container_client(f"test-{uuid4()}").exists()
    queues = queue_service(azurite.queue_url, tokens, connection_verify=ca)
    assert list(queues.list_queues("no-such-queue")) == []


def test_the_deployment_has_as_many_threads() -> None:
    bicep = (Path(__file__).parents[2] / "infra/modules/app.bicep").read_text()
    assert f"PYTHON_THREADPOOL_THREAD_COUNT: '{THREADS}'" in bicep
