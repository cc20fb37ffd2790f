"""A process of `benchmarks.archiving`: the product archives calls; then their HTTP calls are made again, no more.

Reads a job on stdin, and writes what it took as JSON.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from shared import pipeline, services, signals, times
from shared.signals import FoundBy, Meeting

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
    meeting, found_by = None, FoundBy.NOTIFICATION
    if call in told:
        now = times.now()
        meeting = Meeting(now, now, told[call]["url"], told[call]["organizer"])
        found_by = FoundBy.SWEEP
    signal = signals.of_call_record(call, times.now(), meeting=meeting, found_by=found_by)
    pipeline.handle(signals.message(signal), services.current())


def replay(session: requests.Session, exchanges: Sequence[Exchange]) -> None:
    """Make the calls, and read the answers."""
    for method, url, headers, body in exchanges:
        answer = session.request(method, url, headers=headers, data=body, timeout=60, allow_redirects=False)
        if method == "GET" and answer.headers.get("Content-Type", "").startswith("application/json"):
            json.loads(answer.content)


def took(work: Callable[[Any], None], things: Sequence[Any], threads: int) -> dict[str, float]:
    """CPU and wall-clock seconds."""
    cpu, wall = time.process_time(), time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, things))
    return {"cpu": time.process_time() - cpu, "seconds": time.monotonic() - wall}


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
        calls = sum(url.startswith(os.environ["GRAPH_ROOT"]) for url in made)
        print(json.dumps({"calls": calls / len(job["measure"])}))
        return
    found = {"product": took(lambda call: archive(call, told), job["measure"], job["threads"])}
    local = threading.local()

    def again(exchanges: Sequence[Exchange]) -> None:
        if not hasattr(local, "session"):
            local.session = requests.Session()
        replay(local.session, exchanges)

    if recorder.done:
        again(recorder.done[0])
        found["script"] = took(again, recorder.done, job["threads"])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
