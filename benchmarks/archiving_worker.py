"""A process of `benchmarks.archiving`: archives calls, and replays HTTP calls.

The two take turns, so that a machine that is slower for a while is so for both. Reads a job on stdin, and writes what
it took as JSON.
"""

import itertools
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.storage.blob import ContainerClient
from requests.adapters import HTTPAdapter

from shared import services, settings, times
from shared.archiving import worker
from shared.graph.credentials import managed_identity
from shared.messages import signals
from shared.messages.signals import Meeting
from shared.storage import clients

META = "x-ms-meta-"

type Exchange = tuple[str, str, dict[str, str], bytes]


class Recorder:
    """Notes the HTTP requests of this process, by the thing that was done."""

    def __init__(self) -> None:
        self.done: list[list[Exchange]] = []
        self._local = threading.local()
        self._send = HTTPAdapter.send

    def about(self, work: Callable[[], None]) -> None:
        """Do something, and note its requests."""
        found: list[Exchange] = []
        self._local.found = found
        work()
        self.done.append(found)

    def __enter__(self) -> "Recorder":
        recorder, send = self, self._send

        def noted(adapter: HTTPAdapter, request: Any, **options: Any) -> Any:
            body = request.body.read() if hasattr(request.body, "read") else request.body
            if body is not request.body:
                request.body.seek(0)
            found = getattr(recorder._local, "found", None)
            if found is not None:
                text = body.encode() if isinstance(body, str) else bytes(body or b"")
                found.append((request.method, request.url, dict(request.headers), text))
            return send(adapter, request, **options)

        HTTPAdapter.send = noted  # type: ignore[method-assign,assignment]
        return self

    def __exit__(self, *_: object) -> None:
        HTTPAdapter.send = self._send  # type: ignore[method-assign]


def archive(call: str, told: dict[str, dict[str, str]]) -> None:
    """What the function does with one message."""
    now, meeting = times.now(), Meeting()
    if call in told:  # with the facts that a sweep has from the list
        meeting = Meeting(now, now, told[call]["url"], told[call]["organizer"])
    worker.handle_signals(
        signals.serialize_message(signals.call_record_news(call, now, meeting=meeting)), services.current()
    )


def replay(session: requests.Session, exchanges: Sequence[Exchange]) -> None:
    """Make the calls, and read the answers."""
    for method, url, headers, body in exchanges:
        answer = session.request(method, url, headers=headers, data=body, timeout=60, allow_redirects=False)
        if method == "GET" and answer.headers.get("Content-Type", "").startswith("application/json"):
            json.loads(answer.content)


def same_with_sdk(
    containers: Sequence[ContainerClient], session: requests.Session, exchanges: Sequence[Exchange]
) -> None:
    """Make the calls, those to storage through its SDK."""
    for method, url, headers, body in exchanges:
        container = next((each for each in containers if url.startswith(f"{each.url}/")), None)
        if container is None:
            replay(session, [(method, url, headers, body)])
            continue
        name = unquote(urlsplit(url).path.removeprefix(f"{urlsplit(container.url).path}/"))
        with suppress(ResourceExistsError, ResourceNotFoundError, ResourceModifiedError):
            if method == "GET":
                container.download_blob(name).readall()
                continue
            if method == "HEAD":
                container.get_blob_client(name).get_blob_properties()
                continue
            told = {each[len(META) :]: text for each, text in headers.items() if each.startswith(META)}
            container.upload_blob(
                name, body, length=len(body), overwrite=True, metadata=told, **_condition(headers)
            )


def containers() -> tuple[ContainerClient, ContainerClient]:
    """The containers of the reports and of the state."""
    known = settings.load(os.environ)
    data = clients.blob_service(known.blob_url, managed_identity(known.blob_client_id))
    host = clients.blob_service(known.state_url, managed_identity(known.host_client_id))
    return data.get_container_client(known.container), host.get_container_client(known.state_container)


def _condition(headers: dict[str, str]) -> dict[str, Any]:
    if "If-None-Match" in headers:
        return {"match_condition": MatchConditions.IfMissing}
    if "If-Match" in headers:
        return {"match_condition": MatchConditions.IfNotModified, "etag": headers["If-Match"]}
    return {}


class Took:
    """Cost of one kind of work: median CPU seconds, and wall-clock seconds of all."""

    def __init__(self, work: Callable[[Any], None]) -> None:
        self._work = work
        self._cpu: list[float] = []
        self._seconds = 0.0

    def do(self, things: Sequence[Any], pool: ThreadPoolExecutor) -> None:
        """Do the work for each thing: a turn."""
        cpu, wall = time.process_time(), time.monotonic()
        list(pool.map(self._work, things))
        self._cpu.append((time.process_time() - cpu) / len(things))
        self._seconds += time.monotonic() - wall

    @property
    def told(self) -> dict[str, float]:
        """The result as JSON."""
        return {"cpu": statistics.median(self._cpu), "seconds": self._seconds}


def main() -> None:
    job = json.loads(sys.stdin.read())
    told = job.get("swept", {})
    with Recorder() as recorder, ThreadPoolExecutor(job["threads"]) as pool:
        list(pool.map(lambda call: recorder.about(lambda: archive(call, told)), job["record"]))
    if job.get("count"):
        with Recorder() as counted:
            for call in job["measure"]:
                counted.about(partial(archive, call, told))
        made = [url for exchanges in counted.done for _, url, _, _ in exchanges]
        calls, reports = sum(url.startswith(os.environ["GRAPH_ROOT"]) for url in made), len(job["measure"])
        print(json.dumps({"calls": calls / reports, "storage": (len(made) - calls) / reports}))
        return
    local = threading.local()

    def session() -> requests.Session:
        if not hasattr(local, "session"):
            local.session = requests.Session()
        found: requests.Session = local.session
        return found

    both = containers()
    product = Took(lambda call: archive(call, told))
    script = Took(lambda exchanges: replay(session(), exchanges))
    by_sdk = Took(lambda exchanges: same_with_sdk(both, session(), exchanges))
    turns = (
        itertools.batched(each, job["portion"], strict=False) for each in (job["measure"], recorder.done)
    )
    with ThreadPoolExecutor(job["threads"]) as pool:
        for calls, exchanges in zip(*turns, strict=False):
            product.do(calls, pool)
            script.do(exchanges, pool)
            by_sdk.do(exchanges, pool)
    print(json.dumps({"product": product.told, "script": script.told, "bySdk": by_sdk.told}))


if __name__ == "__main__":
    main()
