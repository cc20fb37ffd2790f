"""Cost of a leaked client state.

Counts the Graph calls of invented calls, and the delay of a real meeting beside them, in virtual time. At one
moment a POST announces calls that do not exist, for a subscription of the app. Ten seconds later Graph announces a
real meeting. One instance handles both, and Graph answers it ten requests a second. The same is measured without
the limits for unknown ids: each is then asked for as often as a meeting whose report is late, and all of them at
once.
"""

import argparse
import json
import sys
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import timedelta
from unittest import mock

from shared.archiving import backoff
from shared.limits import Budget, NewsLimits, Pacer
from shared.messages import signals
from shared.messages.signals import call_record_news
from shared.storage.clients import SIGNALS_QUEUE
from tests.support.doubles import Message
from tests.support.simulated_app import NOW, App, call, running

SUBSCRIPTION = "10000000-0000-4000-8000-000000000000"
LATER = timedelta(seconds=10)
REQUEST = timedelta(seconds=0.1)
MANY = 1_000_000
UNLIMITED = NewsLimits(Pacer(MANY, MANY), Budget(MANY, 1.0), Budget(MANY, 1.0))


@dataclass(frozen=True)
class Cost:
    """What happened within a day; `delay` is that of the real meeting, in seconds."""

    graph_calls: int
    outcomes: int
    delay: float


def run(ids: int, *, limited: bool) -> Cost:
    """Measure a day."""
    unlimited = mock.patch.object(backoff, "unknown_delay", backoff.delay)
    with running() as app, nullcontext() if limited else unlimited:
        if not limited:
            app.services.news.__dict__.update(UNLIMITED.__dict__)
        stored = list[timedelta]()
        app.before("write reports/", lambda: stored.append(app.now - NOW - LATER))
        app.graph.refusal = lambda path, operation: _take_time(app)
        entry = {"resource": "communications/callRecords"}
        app.services.state.put(f"subscriptions/{SUBSCRIPTION}.json", entry)
        for text in signals.pack_messages(_news(f"{number:08}-0000-4000-8000-0") for number in range(ids)):
            app.receive(SIGNALS_QUEUE, text)
        app.calls.append(call("real", NOW - timedelta(minutes=10)))
        real = Message(signals.serialize_message(_news("real")), NOW + LATER)
        app.queues[SIGNALS_QUEUE].messages.append(real)
        app.run(days=1)
        asked = sum(operation == "get call record" for _, operation in app.graph.seen)
        (delay,) = stored
        return Cost(asked - 1, len(app.container.below("outcomes/")) - 1, delay.total_seconds())


def _news(call_id: str) -> signals.News:
    return call_record_news(call_id, NOW, subscription_id=SUBSCRIPTION)


def _take_time(app: App) -> None:
    app.steps.now += REQUEST


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leaked_state", description=__doc__)
    parser.add_argument("--ids", type=int, default=1_500, help="invented calls of the POST (default: 1,500)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = {
        "without limits": run(options.ids, limited=False),
        "with limits": run(options.ids, limited=True),
    }
    if options.json:
        print(json.dumps({name: asdict(each) for name, each in found.items()}, indent=2))
        return 0
    head = f"{options.ids:,} invented calls"
    print(f"{head:<24}{'Graph calls in a day':>22}{'outcomes':>10}{'real meeting':>14}")
    for name, each in found.items():
        print(f"{name:<24}{each.graph_calls:>22,}{each.outcomes:>10,}{each.delay:>12.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
