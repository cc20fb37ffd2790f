"""The product, unchanged, on the modelled platform: its webhook's packing, pipeline, retries, budgets and sweep.

Only what it stands on is replaced: the clock, the threads, the HTTP session to Graph, the containers and the queues.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

from azure.storage.blob import ContainerClient
from greenlet import getcurrent

import shared.settings
from benchmarks.scale.assumptions import Assumptions
from benchmarks.scale.azure import Function, Queue, QueueFunction, Webhook
from benchmarks.scale.blobs import Blobs
from benchmarks.scale.clock import Clock, Lock
from benchmarks.scale.graph import ROOT, TENANT, Held, Tenant, Trouble, call_id
from shared import daily, graph, logs, missing, pace, pipeline, poison, redrive, storage, sweep, times, upkeep
from shared.services import Services, assemble
from shared.settings import Settings
from shared.signals import message, of_call_record

UPKEEP_INSTANCES = 40


@dataclass(frozen=True)
class Deployment:
    """What main.bicep was given. `graph_rate`: requests a second of all instances together; `environ`: settings."""

    instances: int = 40
    graph_rate: float = 75.0
    environ: tuple[tuple[str, str], ...] = ()

    @property
    def settings(self) -> Settings:
        """The app settings that follow, as main.bicep computes them."""
        rate = int(max(1, self.graph_rate * 100 / self.instances)) / 100
        return shared.settings.load(
            {
                "AttendanceStorage__blobServiceUri": "https://reports.blob.core.windows.net",
                "AzureWebJobsStorage__accountName": "jobs",
                "NOTIFICATION_BASE_URL": "https://app.azurewebsites.net/api",
                "MAINTAIN_SCHEDULE": "0 */15 * * * *",
                "SWEEP_SCHEDULE": "0 10 * * * *",
                "TENANT_ID": TENANT,
                "CLIENT_STATE": "a-client-state",
                "GRAPH_RATE": f"{rate:.2f}",
            }
            | dict(self.environ)
        )


class App:
    """A deployed app, and the tenant whose meetings it archives."""

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
        names = (*storage.QUEUES, f"{storage.SIGNALS_QUEUE}-poison")
        self.queues = {name: Queue(clock, assumed) for name in names}
        signals, upkeeps = self.queues[storage.SIGNALS_QUEUE], self.queues[storage.UPKEEP_QUEUE]
        self.archive = self._function(signals, pipeline.handle, deployment.instances, assumed.cpu_of_report)
        self.upkeep = self._function(upkeeps, upkeep.handle, UPKEEP_INSTANCES, 0.0)
        self.bury = self._function(
            self.queues[f"{storage.SIGNALS_QUEUE}-poison"], poison.bury, deployment.instances, 0.0
        )
        self.webhook = Webhook(clock, assumed, signals.send, deployment.instances)
        self._timer = self._instance()()

    def post(self, number: int) -> None:
        """Graph announces a call record."""
        signal = of_call_record(call_id(number), self.clock.datetime())
        self.clock.spawn(lambda: self.webhook.receive(message(signal)))

    def run_sweep(self) -> None:
        """The timer fires."""
        self.clock.spawn(lambda: sweep.run(self._timer))

    def _function(
        self,
        queue: Queue,
        handle: Callable[[str, Services], None],
        most: int,
        cpu: float,
    ) -> QueueFunction:
        def make() -> Callable[[], Function]:
            slot = self._instance()
            return lambda: partial(_run, handle, slot())

        buried = self.queues[f"{storage.SIGNALS_QUEUE}-poison"]
        return QueueFunction(
            self.clock, queue, buried, make, most, self.assumed, self._draw.randrange(2**32), cpu
        )

    def _instance(self) -> Callable[[], Services]:
        """A process: what its executions share. Each has a client of its own, for they are one thread here."""
        rate = graph.Rate(self.settings.graph_rate, lambda: self.clock.now)
        process = _Process(pace.Pace(*sweep.LISTING_RATE), self.clock.lock())
        first: Services | None = None

        def slot() -> Services:
            nonlocal first
            client = graph.Graph(
                ROOT, lambda _: "token", rate, sleep=self.clock.sleep, draw=self._draw.uniform
            )
            client._session = cast(Any, self.tenant)
            if first is None:
                container, apart = cast(ContainerClient, self.container), cast(ContainerClient, self.state)
                queue = lambda name: cast(storage.Queue, self.queues[name])  # noqa: E731 - short
                first = assemble(self.settings, client, container, apart, queue)
            services = replace(first, graph=client)
            _PROCESSES[id(services)] = process
            return services

        return slot


@dataclass(frozen=True)
class _Process:
    """What the product has once a process."""

    listing: pace.Pace
    packing: Lock


_PROCESSES: dict[int, _Process] = {}  # that services belong to
_RUNNING: dict[int, Services] = {}  # by execution


def _process() -> _Process:
    """Of whoever asks."""
    return _PROCESSES[id(_RUNNING[id(getcurrent())])]


def _run(handle: Callable[[str, Services], None], services: Services, text: str) -> None:
    execution = id(getcurrent())
    _RUNNING[execution] = services
    try:
        handle(text, services)
    finally:
        del _RUNNING[execution]


class _Packing:
    """The lock of whichever process is asked."""

    def __enter__(self) -> None:
        _process().packing.__enter__()

    def __exit__(self, *exception: object) -> None:
        _process().packing.__exit__(*exception)


def _say_nothing(*_: object) -> None:
    """Stands for a line of the log: a mock would remember millions of them."""


@contextmanager
def virtual(clock: Clock) -> Iterator[None]:
    """The product goes by this clock, its threads are executions of it, and it logs nothing."""

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
        for module in (graph, pace, redrive, sweep):
            stack.enter_context(mock.patch.object(module, "time", ticking))
        for pooled in (daily, missing, redrive):
            stack.enter_context(mock.patch.object(pooled, "ThreadPoolExecutor", Threads))
        listing = SimpleNamespace(wait=lambda: _process().listing.wait())
        stack.enter_context(mock.patch.object(sweep, "_LISTING", listing))
        stack.enter_context(mock.patch.object(daily, "_ONE", _Packing()))
        stack.enter_context(mock.patch.object(logs, "_log", _say_nothing))
        logging.disable()
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
            _PROCESSES.clear()


def _mapped[A, B](clock: Clock, function: Callable[[A], B], items: list[A], threads: int) -> list[B]:
    """The results in order, so many at once."""
    results: list[Any] = [None] * len(items)
    left = iter(range(len(items)))

    def work() -> None:
        for number in left:
            results[number] = function(items[number])

    clock.together([work] * min(threads, len(items)))
    return results
