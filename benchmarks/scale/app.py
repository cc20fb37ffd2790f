"""The unchanged product on the modelled platform.

Only what it stands on is replaced: the clock, the threads, the HTTP session to Graph, the containers and the queues.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any, ClassVar, cast
from unittest import mock

from azure.storage.blob import ContainerClient
from greenlet import getcurrent

import shared.settings
from benchmarks.scale.assumptions import Assumptions
from benchmarks.scale.azure import Handler, Message, Queue, QueueFunction, Webhook
from benchmarks.scale.clock import Clock
from benchmarks.scale.graph import ROOT, TENANT, Held, Tenant, Trouble, call_id
from shared import limits, logs, times, upkeep
from shared.archiving import dead_letters, redrive, worker
from shared.graph import client as graph
from shared.messages.signals import call_record_news, serialize_message
from shared.reconcile import call_records, slices, sweep
from shared.services import Services, assemble
from shared.settings import Settings
from shared.storage import blobs, clients
from shared.tables import day_tables
from tests.support.blobs import Blobs

UPKEEP_INSTANCES = 40
# In app.bicep: groups that call Graph and that scale apart, and the instances beside them.
GROUPS, ALWAYS_READY, TIMERS = 3, 1, 1


@dataclass(frozen=True)
class Deployment:
    """Parameters of main.bicep.

    `graph_rate`: requests a second of all instances of all groups.
    """

    instances: int = 40
    graph_rate: float = 75.0
    environ: tuple[tuple[str, str], ...] = ()

    @property
    def settings(self) -> Settings:
        """The app settings that follow, as main.bicep computes them."""
        callers = GROUPS * self.instances + ALWAYS_READY + TIMERS
        rate = int(max(1, self.graph_rate * 100 / callers)) / 100
        return shared.settings.load(
            {
                "AttendanceStorage__blobServiceUri": "https://reports.blob.core.windows.net",
                "AzureWebJobsStorage__accountName": "jobs",
                "NOTIFICATION_BASE_URL": "https://app.azurewebsites.net/api",
                "MAINTAIN_SCHEDULE": "0 */15 * * * *",
                "SWEEP_SCHEDULE": "0 10 * * * *",
                "TENANT_ID": TENANT,
                "CLIENT_STATE": "a-client-state-of-a-simulated-app-0123",
                "GRAPH_RATE": f"{rate:.2f}",
            }
            | dict(self.environ)
        )


class App:
    """A deployed app, and its tenant."""

    def __init__(
        self,
        clock: Clock,
        held: Held,
        trouble: Trouble,
        deployment: Deployment,
        assumed: Assumptions,
        seed: int,
    ) -> None:
        self.clock, self.assumed = clock, assumed
        self.settings = deployment.settings
        self.tenant = Tenant(clock, held, trouble, assumed, seed)
        self._draw = Random(seed)
        costs = {"read": assumed.storage_time, "write": assumed.storage_time, "list": assumed.list_time}
        self.requests = dict.fromkeys(costs, 0)

        def wait(kind: str) -> None:
            self.requests[kind] += 1
            clock.sleep(costs[kind])

        self.container = Blobs(clock.datetime, wait)
        self.state = Blobs(clock.datetime, wait)
        self.queues = {name: Queue(clock, assumed) for name in clients.QUEUES}
        signals, upkeeps = self.queues[clients.SIGNALS_QUEUE], self.queues[clients.UPKEEP_QUEUE]
        self.archive = self._function(
            signals, worker.handle_signals, deployment.instances, assumed.cpu_of_report
        )
        self.upkeep = self._function(upkeeps, upkeep.handle_task, UPKEEP_INSTANCES, 0.0)
        self.bury = self._function(
            self.queues[f"{clients.SIGNALS_QUEUE}-poison"],
            dead_letters.record_dead_message,
            deployment.instances,
            0.0,
        )
        self.webhook = Webhook(clock, assumed, signals.send, deployment.instances)
        self._timer = _Process(self).services()

    def post(self, number: int) -> None:
        """Announce a call record."""
        signal = call_record_news(call_id(number), self.clock.datetime())
        self.clock.spawn(lambda: self.webhook.receive(serialize_message(signal)))

    def run_sweep(self) -> None:
        """Run the sweep's timer."""
        self.clock.spawn(lambda: sweep.run_sweep(self._timer))

    def _function(self, queue: Queue, handle: Callable[..., None], most: int, cpu: float) -> QueueFunction:
        def make() -> Callable[[], Handler]:
            process = _Process(self)
            return lambda: partial(process.run, handle, process.services())

        buried = self.queues[f"{clients.SIGNALS_QUEUE}-poison"]
        return QueueFunction(
            self.clock, queue, buried, make, most, self.assumed, self._draw.randrange(2**32), cpu
        )

    def client(self, rate: limits.RateLimiter) -> graph.Graph:
        """A client of Graph within this budget."""
        client = graph.Graph(ROOT, lambda *_: "token", rate, sleep=self.clock.sleep, draw=self._draw.uniform)
        client._session = cast(Any, self.tenant)
        return client

    def queue(self, name: str) -> clients.Queue:
        """The queue `name`, as the product knows one."""
        return cast(clients.Queue, self.queues[name])

    def outcomes(self) -> Iterator[dict[str, Any]]:
        """All outcomes as they are now."""
        for folder in self.container.folders("outcomes/"):
            for blob in self.container.folder(folder).values():
                yield json.loads(blob.body)


class _Process:
    """The shared objects of an instance; each execution has its own client."""

    running: ClassVar[dict[int, _Process]] = {}  # by execution

    def __init__(self, app: App) -> None:
        self._app = app
        self._rate = limits.RateLimiter(app.settings.graph_rate, lambda: app.clock.now)
        self.listing = limits.SlidingWindow(*call_records.LISTING_RATE)
        self.packing = app.clock.lock()
        container, apart = cast(ContainerClient, app.container), cast(ContainerClient, app.state)
        self._services = assemble(app.settings, app.client(self._rate), container, apart, app.queue)
        # Held while storage is asked, as the packing lock: a real one would stop all executions.
        self._services.erasures._lock = cast(threading.Lock, app.clock.lock())

    def services(self) -> Services:
        """Those of one execution at a time."""
        return replace(self._services, graph=self._app.client(self._rate))

    def run(self, handle: Callable[..., None], services: Services, message: Message) -> None:
        """An execution."""
        execution = id(getcurrent())
        self.running[execution] = self
        try:
            again = {"redelivered": message.received > 1} if handle is worker.handle_signals else {}
            handle(message.text, services, **again)
        finally:
            del self.running[execution]

    @classmethod
    def current(cls) -> _Process:
        """The one whose execution asks."""
        return cls.running[id(getcurrent())]


class _Packing:
    """The lock of whichever process is asked."""

    def __enter__(self) -> None:
        _Process.current().packing.__enter__()

    def __exit__(self, *exception: object) -> None:
        _Process.current().packing.__exit__(*exception)


def _say_nothing(*_: object) -> None:
    """A silent log: a mock would remember millions of lines."""


@contextmanager
def virtual(clock: Clock) -> Iterator[None]:
    """Run the product on this clock, with executions as its threads, without a log."""

    class Threads:
        """Stands for ThreadPoolExecutor."""

        def __init__(self, threads: int) -> None:
            self._threads = threads

        def __enter__(self) -> Threads:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
            return _mapped(clock, function, list(items), self._threads)

    ticking = SimpleNamespace(monotonic=lambda: clock.now, sleep=clock.sleep)
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(times, "now", clock.datetime))
        for module in (graph, limits, redrive, slices):
            stack.enter_context(mock.patch.object(module, "time", ticking))
        for pooled in (day_tables, blobs):
            stack.enter_context(mock.patch.object(pooled, "ThreadPoolExecutor", Threads))
        listing = SimpleNamespace(wait=lambda: _Process.current().listing.wait())
        stack.enter_context(mock.patch.object(call_records, "_LISTING", listing))
        stack.enter_context(mock.patch.object(day_tables, "_WRITING", _Packing()))
        stack.enter_context(mock.patch.object(logs, "_log", _say_nothing))
        logging.disable()
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def _mapped[A, B](clock: Clock, function: Callable[[A], B], items: list[A], threads: int) -> list[B]:
    """The results in order, so many at once."""
    results: list[Any] = [None] * len(items)
    left = iter(range(len(items)))

    def work() -> None:
        for number in left:
            results[number] = function(items[number])

    clock.together([work] * min(threads, len(items)))
    return results
