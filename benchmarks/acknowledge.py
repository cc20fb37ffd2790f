"""Reply times of the webhook: one item, a batch, a burst.

Beside it: an app of one function that parses the body and enqueues it, on the same functions host, asked in turn.
"""

import argparse
import http.client
import json
import os
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks import slow_queue
from local.stack import compose
from local.stack.compose import Stack
from local.stack.program import Log
from tests.support import posts
from tests.support.measured import new_figure
from tests.support.posts import Connection

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
SLOW_WRITE = 0.01  # seconds that a write to the queue takes


@dataclass(frozen=True)
class Acknowledged:
    """Reply times in milliseconds.

    `batches` by the number of items, with a queue that takes 10 ms a write.

    Of each burst every hundredth of the replies, the faster first; `archiving` is of the one beside which the same
    instance archives.
    """

    one: float
    bare: float
    ratio: float
    batches: dict[int, float]
    burst: int
    replies: list[float]
    longest: float
    refused: int
    archiving: list[float]


def run(pairs: int, burst: int) -> Acknowledged:
    """Measure all."""
    log = Log(os.open(os.devnull, os.O_WRONLY))
    with tempfile.TemporaryDirectory() as folder, compose.up(settings=SETTINGS, log=log) as running:
        app = Path(folder)
        (app / "function_app.py").write_text(BARE)
        (app / "host.json").write_text('{"version": "2.0"}')
        running.queue_service().create_queue("bare")
        with compose.up(app=app, settings=SETTINGS, log=log) as other:
            other.queue_service().create_queue("bare")
            ours, theirs = _in_turn(running, other, pairs)
        alone, refused = _burst(running, burst)
        running.queue_service().get_queue_client("meeting-signals").clear_messages()
        posts.register(running)
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
        statistics.quantiles(alone, n=100, method="inclusive"),
        max(alone),
        refused + refused_together,
        statistics.quantiles(together, n=100, method="inclusive"),
    )


def _in_turn(ours: Stack, bare: Stack, pairs: int) -> tuple[list[float], list[float]]:
    with closing(_connect(ours)) as one, closing(_connect(bare)) as other:
        for number in range(20):  # both are warm then
            _post(one, _body(ours, [number]))
            _post(other, _body(bare, [number]))
        found = [
            (_post(one, _body(ours, [number])), _post(other, _body(bare, [number])))
            for number in range(pairs)
        ]
    return [first for (first, _), _ in found], [second for _, (second, _) in found]


def _burst(running: Stack, count: int) -> tuple[list[float], int]:
    """So many notifications of one item each, at once."""
    bodies = [_body(running, [number]) for number in range(count)]
    return posts.burst(partial(_connect, running), _post, bodies)


def _posts(running: Stack, size: int, times: int) -> list[float]:
    with closing(_connect(running)) as connection:
        _post(connection, _body(running, [0]))
        return [
            _post(connection, _body(running, range(size * (number + 1), size * (number + 2))))[0]
            for number in range(times)
        ]


def _connect(running: Stack) -> Connection:
    address = urlsplit(running.functions.url)
    return http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)


def _body(running: Stack, numbers: Sequence[int]) -> str:
    calls = [f"e523d2ed-2966-4b6b-925b-{number:012}" for number in numbers]
    return json.dumps({"value": [posts.notification(call, running.settings) for call in calls]})


def _post(connection: Connection, body: str) -> tuple[float, int]:
    """Milliseconds until the reply, and its status."""
    return posts.timed(connection, "POST", "/api/notifications", body, posts.JSON)


def figure(found: Acknowledged) -> Any:
    """How long a reply takes: in a burst, and by the size of a batch."""
    made = new_figure(height=4)
    burst, batch = made.subplots(1, 2)
    hundredths = range(1, 100)
    burst.plot(found.replies, hundredths, label="a burst", color="#0072B2")
    burst.plot(found.archiving, hundredths, label="the instance archives meanwhile", color="#D55E00")
    burst.axvline(250, color="#999999", ls=":", label="goal for 99 of 100")
    burst.set(xlabel="milliseconds until the reply", ylabel=f"% of {found.burst:,} replies", xlim=(0, None))
    burst.legend()
    batch.plot(list(found.batches), list(found.batches.values()), marker="o", color="#0072B2")
    batch.set(
        xlabel="items in one request, 10 ms a queue write",
        ylabel="milliseconds",
        ylim=(0, None),
        xscale="log",
    )
    batch.set_xticks(list(found.batches), [f"{size:,}" for size in found.batches])
    return made


def lines(found: Acknowledged) -> list[tuple[str, str, str]]:
    """What, measured, goal."""
    rows = [
        ("acknowledging one item, over a bare handler", f"{found.ratio:.2f} x", "≤ 1.5 x"),
        ("  one item, and the bare handler", f"{found.one:.1f} ms, {found.bare:.1f} ms", ""),
        (f"  p99 of a burst of {found.burst:,}", f"{found.replies[98]:.0f} ms", "< 250 ms"),
        ("  median and longest of the burst", f"{found.replies[49]:.0f} ms, {found.longest:.0f} ms", ""),
        ("  p99 where the same instance archives meanwhile", f"{found.archiving[98]:.0f} ms", ""),
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
