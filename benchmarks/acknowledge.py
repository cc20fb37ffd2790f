"""How fast notifications are acknowledged: one item, a batch, a burst.

Beside it: an app of one function that parses the body and enqueues it, on the same functions host, asked in turn.
"""

import argparse
import http.client
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks import slow_queue
from benchmarks.fuzzing.targets import item
from local import stack
from local.program import Log
from local.stack import Stack

NEVER = "0 0 0 29 2 *"
# On the platform, too, the instances that answer are not those that archive: each queue's function has its own.
ALONE = {"AzureWebJobs.archive_reports.Disabled": "true"}
SETTINGS = {"MAINTAIN_SCHEDULE": NEVER, "SWEEP_SCHEDULE": NEVER, "RETRY_FIRST_DELAY": "3600"} | ALONE
BARE = """
import json
from typing import List
import azure.functions as func

app = func.FunctionApp()


@app.route(route="notifications", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@app.queue_output(arg_name="signals", queue_name="bare", connection="AzureWebJobsStorage")
async def receive(req: func.HttpRequest, signals: func.Out[List[str]]) -> func.HttpResponse:
    signals.set([json.dumps(json.loads(req.get_body()))])
    return func.HttpResponse(status_code=202)
"""
SIZES = (1, 10, 100, 1_000)
SENDERS = 16
SLOW_WRITE = 0.01  # seconds that a write to the queue takes


@dataclass(frozen=True)
class Acknowledged:
    """Times in milliseconds. `batches` by the number of items, with a queue that takes 10 ms a write."""

    one: float
    bare: float
    ratio: float
    batches: dict[int, float]
    burst: int
    median: float
    p99: float
    longest: float
    refused: int
    archiving: float


def run(pairs: int, burst: int) -> Acknowledged:
    """Measure all."""
    log = Log(os.open(os.devnull, os.O_WRONLY))
    with tempfile.TemporaryDirectory() as folder, stack.up(settings=SETTINGS, log=log) as running:
        app = Path(folder)
        (app / "function_app.py").write_text(BARE)
        (app / "host.json").write_text('{"version": "2.0"}')
        running.queue_service().create_queue("bare")
        with stack.up(app=app, settings=SETTINGS, log=log) as other:
            other.queue_service().create_queue("bare")
            ours, theirs = _in_turn(running, other, pairs)
        times, refused = _burst(running, burst)
        running.queue_service().get_queue_client("meeting-signals").clear_messages()
        running.restart_functions(dict.fromkeys(ALONE, "false"))
        together, refused_together = _burst(running, burst)
        with slow_queue.before(running, SLOW_WRITE) as addresses:
            running.restart_functions(addresses)
            batches = {size: statistics.median(_posts(running, size, 5)) for size in SIZES}
    return Acknowledged(
        statistics.median(ours),
        statistics.median(theirs),
        statistics.median(a / b for a, b in zip(ours, theirs, strict=True)),
        batches,
        burst,
        statistics.median(times),
        times[int(len(times) * 0.99)],
        times[-1],
        refused + refused_together,
        together[int(len(together) * 0.99)],
    )


def _in_turn(ours: Stack, bare: Stack, pairs: int) -> tuple[list[float], list[float]]:
    with _connection(ours) as one, _connection(bare) as other:
        for number in range(20):  # both are warm then
            _post(one, _body(ours, [number]))
            _post(other, _body(bare, [number]))
        found = [
            (_post(one, _body(ours, [number])), _post(other, _body(bare, [number])))
            for number in range(pairs)
        ]
    return [first for (first, _), _ in found], [second for _, (second, _) in found]


def _burst(running: Stack, count: int) -> tuple[list[float], int]:
    """So many notifications of one item each, as fast as `SENDERS` connections take them; sorted times."""

    def send(first: int) -> list[tuple[float, int]]:
        with _connection(running) as connection:
            numbers = range(first, count, SENDERS)
            return [_post(connection, _body(running, [number])) for number in numbers]

    with ThreadPoolExecutor(SENDERS) as senders:
        found = [each for part in senders.map(send, range(SENDERS)) for each in part]
    return sorted(took for took, _ in found), sum(status != 202 for _, status in found)


def _posts(running: Stack, size: int, times: int) -> list[float]:
    with _connection(running) as connection:
        _post(connection, _body(running, [0]))
        return [
            _post(connection, _body(running, range(size * (number + 1), size * (number + 2))))[0]
            for number in range(times)
        ]


@contextmanager
def _connection(running: Stack) -> Iterator[http.client.HTTPConnection]:
    address = urlsplit(running.functions.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    try:
        yield connection
    finally:
        connection.close()


def _body(running: Stack, numbers: Sequence[int]) -> bytes:
    known = {"clientState": running.settings["CLIENT_STATE"], "tenantId": running.settings["TENANT_ID"]}
    calls = [f"e523d2ed-2966-4b6b-925b-{number:012}" for number in numbers]
    items: list[dict[str, Any]] = [
        item(**known, resource=f"communications/callRecords/{call}", resourceData={"id": call})
        for call in calls
    ]
    return json.dumps({"value": items}).encode()


def _post(connection: http.client.HTTPConnection, body: bytes) -> tuple[float, int]:
    """Milliseconds until the reply, and its status."""
    began = time.perf_counter()
    connection.request("POST", "/api/notifications", body, {"Content-Type": "application/json"})
    with connection.getresponse() as reply:
        reply.read()
        return (time.perf_counter() - began) * 1000, reply.status


def lines(found: Acknowledged) -> list[tuple[str, str, str]]:
    """What, measured, goal."""
    rows = [
        ("acknowledging one item, over a bare handler", f"{found.ratio:.2f} x", "≤ 1.5 x"),
        ("  one item, and the bare handler", f"{found.one:.1f} ms, {found.bare:.1f} ms", ""),
        (f"  p99 of a burst of {found.burst:,}", f"{found.p99:.0f} ms", "< 250 ms"),
        ("  median and longest of the burst", f"{found.median:.0f} ms, {found.longest:.0f} ms", ""),
        ("  p99 where the same instance archives meanwhile", f"{found.archiving:.0f} ms", ""),
        ("  refused in both bursts", f"{found.refused}", "0"),
    ]
    return rows + [
        (
            f"  a batch of {size:,}, 10 ms a queue write",
            f"{took:.0f} ms",
            "≤ 1,000 ms" if size == 1_000 else "",
        )
        for size, took in found.batches.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.acknowledge", description=__doc__)
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--burst", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = run(options.pairs, options.burst)
    if options.json:
        print(json.dumps(asdict(found), indent=2))
        return
    for what, measured, goal in lines(found):
        print(f"{what:<48} {measured:>20}  {goal}")


if __name__ == "__main__":
    main()
