"""A random history: the app on doubles, on several instances, under a plan."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from types import SimpleNamespace
from typing import cast

import pytest
from azure.core.exceptions import AzureError
from azure.storage.blob import ContainerClient

import shared.settings
from shared import limits, times, upkeep
from shared.archiving import dead_letters, redrive
from shared.archiving import worker as pipeline
from shared.days.sealing import ready_at
from shared.errors import AttendanceError
from shared.ledger.merge import OVERDUE
from shared.ledger.record import Record, Result, load_outcome
from shared.ledger.store import FOLDER
from shared.messages import codec
from shared.messages.signals import call_record_news, pack_messages, serialize_message
from shared.reconcile import call_records, slices, sweep
from shared.services import Services, assemble
from shared.storage import blobs, clients
from shared.tables import day_tables
from tests.support.app_settings import ENVIRON
from tests.support.blobs import Blob
from tests.support.doubles import Container, Fault, Graph, Message, Queue, Steps
from tests.support.stories import (
    BEGIN,
    REPLAYED_AFTER,
    Story,
    Turn,
    What,
    end_of,
    graph_calls,
    operators_message,
)
from tests.support.workers import Crash, InLine, Worker, WorkerLock

SETTINGS = shared.settings.load(ENVIRON)
SIGNALS, BURIED = clients.SIGNALS_QUEUE, f"{clients.SIGNALS_QUEUE}-poison"
UPKEEP, SPOILT = clients.UPKEEP_QUEUE, clients.UPKEEP_POISON
FUNCTIONS: dict[str, Callable[..., None]] = {
    SIGNALS: pipeline.handle_signals,
    BURIED: dead_letters.record_dead_message,
    UPKEEP: upkeep.handle_task,
}
REPEATS = timedelta(hours=4)  # for which Graph delivers a notification again
LATE = REPEATS + timedelta(hours=3)  # the last repeat, of a call record that Graph announced late
OPERATION = timedelta(milliseconds=200)
LEASE = timedelta(minutes=10)  # of a message; also functionTimeout, after which the process ends
RELEASE = timedelta(seconds=30)  # visibilityTimeout
MAX_DEQUEUES = 10
INSTANCES = 3
MOST_WORKERS = 4
SWEEPS_AFTER = (1, 2, 3, 4, 30, 55, 80, 105)  # hours after the story; others only where they find something
FOREVER = datetime.max.replace(tzinfo=UTC)
ALL_OPEN = BEGIN + timedelta(days=6)  # and probed since
LAST = BEGIN + timedelta(days=100)  # past the last look at any outcome
WAITS = (1, 60, 300, 2_000, 4 * 3600, 9 * 3600, 30 * 3600)  # seconds


class History:
    """A world in which a story happens."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.steps = Steps(BEGIN - timedelta(hours=3), self._pause)
        self.calls = graph_calls(story)
        self.container = Container(self.steps, self.check_change)
        self.state = Container(self.steps)
        self.queues = {name: Queue(self.steps) for name in (SIGNALS, BURIED, UPKEEP, SPOILT)}
        self.instances = [self._services() for _ in range(INSTANCES)]
        self.workers: list[Worker] = []  # the first one goes on
        self.started = 0
        self.announced: set[str] = set()
        self.expired: set[str] = set()
        self.completed: list[tuple[str, str]] = []
        self.posts = sorted(self._posts())
        self.violations: list[AssertionError] = []
        self.told: list[str] = []  # for whoever reads of a violation

    def _services(self) -> Services:
        container, apart = cast(ContainerClient, self.container), cast(ContainerClient, self.state)
        records_open = BEGIN + timedelta(minutes=self.story.records_open) if self.story.records_open else None
        graph = Graph(self.steps, self.calls, records_open or self.steps.now)
        services = assemble(
            SETTINGS, graph, container, apart, lambda name: cast(clients.Queue, self.queues[name])
        )
        services.erasures._lock = cast(threading.Lock, self.lock())
        return services

    def lock(self) -> WorkerLock:
        """A lock that is held during operations."""
        return WorkerLock(lambda: self.going)

    # What happens

    def _pause(self) -> Fault | None:
        worker = self.going
        return worker.stand() if worker else None

    going: Worker | None = None

    def play(self) -> None:
        """The story, and then what follows when nothing goes wrong any more."""
        self.container.blobs, self.state.blobs = (dict(blobs) for blobs in blobs_before())
        self._pass(BEGIN)
        for turn in self.story.turns:
            for _ in range(turn.after):
                self._step()
            self._take(turn)
        while self.workers:
            self._step()
        for queue in self.queues.values():
            for each in queue.messages:
                each.dies_at = None
        self._run_down()

    def play_before(self) -> tuple[dict[str, Blob], dict[str, Blob]]:
        """The blobs of an app that has swept once and found nothing."""
        sweep.run_sweep(self.instances[0])
        self._settle_down()
        return self.container.blobs, self.state.blobs

    def _take(self, turn: Turn) -> None:
        act: dict[What, Callable[[int], None]] = {
            What.SWITCH: self._switch,
            What.DELIVER: self._deliver_any,
            What.REPEAT: self._repeat,
            What.FAIL: self._fail,
            What.CRASH: self._crash,
            What.DOOM: self._doom,
            What.SWEEP: self._sweep,
            What.ASK: self._ask,
            What.WAIT: self._wait,
            What.AGAIN: self._again,
            What.REPLAY: self._replay,
            What.EXPIRE: self._expire,
        }
        act[turn.what](turn.which)

    def _switch(self, which: int) -> None:
        if len(self.workers) > 1:
            self.workers.insert(0, self.workers.pop(1 + which % (len(self.workers) - 1)))

    def _deliver_any(self, which: int) -> None:
        visible = [(name, each) for name in FUNCTIONS for each in self.queues[name].visible()]
        if visible:
            self._deliver(*visible[which % len(visible)])

    def _repeat(self, which: int) -> None:
        if held := self._held(*FUNCTIONS):
            self._deliver(*held[which % len(held)])

    def _fail(self, which: int) -> None:
        if self.workers:
            first = self.workers[0]
            first.fault = list(Fault)[which % len(Fault)]
            self.tell(f"{first.fault} of {first.instance}")
            self._go(first)

    def _crash(self, which: int) -> None:
        if self.workers:
            self._kill(self.workers[which % len(self.workers)].instance)

    def _doom(self, which: int) -> None:
        if held := self._held(SIGNALS):
            _, doomed = held[which % len(held)]
            doomed.dies_at = 1 + which
            self.tell(f"doomed: {doomed.text}")

    def _sweep(self, _: int) -> None:
        self.tell("sweep")
        self._start(sweep.run_sweep)

    def _ask(self, which: int) -> None:
        self.queues[UPKEEP].messages.append(Message(operators_message(which), self.steps.now))

    def _again(self, which: int) -> None:
        """A queue delivers at least once, however late."""
        if self.completed:
            name, text = self.completed[which % len(self.completed)]
            self.queues[name].messages.append(Message(text, self.steps.now, received=which % 2))
            self.tell(f"again: {text}")

    def _replay(self, which: int) -> None:
        moment = self.steps.now + timedelta(days=REPLAYED_AFTER[which % len(REPLAYED_AFTER)])
        call = self.calls[which // len(REPLAYED_AFTER) % len(self.calls)]
        if call.id in self.announced:
            self.posts = sorted([*self.posts, (moment, (call.id,))])

    def _expire(self, which: int) -> None:
        """Somebody deletes a record that has settled.

        Not one of a denied organizer: the sweep would have nothing left to probe, and an operator must redrive it.
        """
        records = [
            each
            for each in self.records().values()
            if each.settled and each.result is not Result.ACCESS_DENIED
        ]
        if records and not self.workers:
            gone = records[which % len(records)].signal_id
            del self.state.blobs[f"{FOLDER}{gone}.json"]
            self.expired.add(gone)
            self.tell(f"expired: {gone}")

    def _held(self, *names: str) -> list[tuple[str, Message]]:
        return [(name, each) for name in names for each in self.queues[name].messages if each.held]

    def _step(self) -> None:
        """One operation of the first worker, or a delivery if none works."""
        if not self.workers:
            self.check_quiet()
            visible = [(each.due, name, each) for name in FUNCTIONS for each in self.queues[name].visible()]
            if not visible:
                return
            _, name, first = min(visible, key=lambda each: each[:2])
            self._deliver(name, first)
        if self.workers:
            self._go(self.workers[0])

    def _go(self, worker: Worker) -> None:
        self.going = worker = worker.first()
        worker.go()
        self.going = None
        self._pass(self.steps.now + OPERATION)
        if not worker.running:
            self.workers.remove(worker)
            if isinstance(worker.ended, Exception) and not isinstance(
                worker.ended, AzureError | AttendanceError
            ):
                raise worker.ended

    def _start(self, run: Callable[[Services], None]) -> Worker | None:
        if len(self.workers) >= MOST_WORKERS:
            return None
        instance = self.started % INSTANCES
        services = self.instances[instance]
        self.started += 1
        worker = Worker(instance, self.steps.now, lambda: run(services))
        self.workers.insert(0, worker)
        self._go(worker)
        return worker

    def _deliver(self, name: str, message: Message) -> None:
        """Act as the Functions host: poison, run, complete or release a message."""
        if message.received >= MAX_DEQUEUES and name != BURIED:
            self._poison(name, message)
            return
        if len(self.workers) >= MOST_WORKERS:
            return
        message.received += 1
        message.held += 1
        received, dies_at = message.received, message.dies_at

        def run(services: Services) -> None:
            due = self.steps.now + LEASE
            try:
                call(name, message, services)
                self._complete(name, message, received)
            except Exception:
                due = self._failed(name, message, received)
                raise
            finally:
                message.held -= 1
                if message.received == received:
                    message.due = due

        self.tell(f"{self.started % INSTANCES} gets {name} #{received}: {message.text}")
        worker = self._start(run)
        if worker and dies_at is not None:
            for _ in range(dies_at * received % 13):
                if worker.running:
                    self._go(worker)
            if worker.running:
                self._kill(worker.instance)

    def _complete(self, name: str, message: Message, received: int) -> None:
        """Delete a message, unless it came again meanwhile and its receipt is another's."""
        if message.received == received:
            self.queues[name].delete(message)
            self.completed.append((name, message.text))

    def _failed(self, name: str, message: Message, received: int) -> datetime:
        """When a message comes back that could not be handled; the last time it is poison."""
        if message.received == received >= MAX_DEQUEUES and name != BURIED:
            self._poison(name, message)
        return self.steps.now + (RELEASE if name != BURIED else LEASE)

    def _poison(self, name: str, message: Message) -> None:
        self.queues[name + "-poison"].messages.append(Message(message.text, self.steps.now))
        if message in self.queues[name].messages:
            self.queues[name].messages.remove(message)

    def _kill(self, instance: int) -> None:
        """End a process: all that it does, and all that it knew."""
        self.tell(f"{instance} dies")
        self.instances[instance] = self._services()
        for worker in [each for each in self.workers if each.instance == instance]:
            worker.dies = True
            self._go(worker)
            assert isinstance(worker.ended, Crash), worker.ended

    def _wait(self, which: int) -> None:
        """Time passes: with work under way, not more than a function may take."""
        seconds = WAITS[which % len(WAITS)]
        if self.workers:
            seconds = min(seconds, 300)
        self._pass(self.steps.now + timedelta(seconds=seconds))
        self.tell(f"time passes: {seconds} s")
        for worker in list(self.workers):
            if worker.running and self.steps.now - worker.began > LEASE:
                self._kill(worker.instance)

    def _pass(self, until: datetime) -> None:
        """Time passes until then; the webhook answers what Graph posts meanwhile."""
        while self.posts and self.posts[0][0] <= until:
            moment, ids = self.posts.pop(0)
            signals = [call_record_news(call_id, moment) for call_id in ids]
            texts = (
                pack_messages(signals) if self.story.packed else [serialize_message(each) for each in signals]
            )
            self.queues[SIGNALS].messages.extend(Message(text, moment) for text in texts)
            self.announced.update(ids)
            self.tell(f"announced: {ids} at {moment}")
        self.steps.now = max(self.steps.now, until)

    def _posts(self) -> Iterator[tuple[datetime, tuple[str, ...]]]:
        posts: dict[datetime, tuple[str, ...]] = {}
        for call, drawn in zip(self.calls, self.story.calls, strict=True):
            record = end_of(call) + timedelta(minutes=drawn.readable)
            moments = [max(record, BEGIN) + timedelta(minutes=minutes) for minutes in drawn.posts]
            for moment in moments:
                if moment - end_of(call) < LATE and moment - min(moments) <= REPEATS:
                    posts[moment] = (*posts.get(moment, ()), call.id)
        return iter(posts.items())

    # How it ends

    def _settle_down(self) -> None:
        """Handle every message that can be seen, one after another."""
        while visible := [(name, each) for name in FUNCTIONS for each in self.queues[name].visible()]:
            name, first = visible[0]
            if first.received >= MAX_DEQUEUES and name != BURIED:
                self._poison(name, first)
                continue
            first.received += 1
            call(name, first, self.instances[0])
            self.queues[name].delete(first)

    def _run_down(self) -> None:
        """Days pass; the sweep runs in each hour in which it can find something to do."""
        swept = self.steps.now - timedelta(hours=1)
        usual = [self.steps.now + timedelta(hours=hours) for hours in SWEEPS_AFTER]
        while True:
            self._settle_down()
            self.check_quiet()
            soon = [each.due for queue in self.queues.values() for each in queue.messages]
            soon += [moment for moment, _ in self.posts]
            due = [max(moment, swept + timedelta(hours=1)) for moment in (*usual[:1], *self._for_the_sweep())]
            if not (soon or due):
                return
            self._pass(min([*due, *soon]))
            assert self.steps.now < LAST, "it never ends"
            if self.steps.now >= min(due, default=FOREVER):
                swept = self.steps.now
                usual = [moment for moment in usual if moment > swept]
                sweep.run_sweep(self.instances[0])

    def _for_the_sweep(self) -> Iterator[datetime]:
        """When it would find something to do."""
        now = self.steps.now
        for outcome in self.outcomes():
            if outcome.next:
                under_way = outcome.result in (Result.PENDING, Result.STORED)
                yield outcome.next.at + (OVERDUE if under_way else timedelta())
            if (ready := ready_at(outcome.day, SETTINGS)) > now:
                yield ready
        for call in self.calls:
            if call.listed:
                changes = (call.listed, *(call.earlier[:1] if call.earlier else ()))
                yield from (change for change in changes if change > now)
        if self.state.below("sweep/changed/"):
            yield now
        if self.state.below("access/") and now < ALL_OPEN:
            yield now + timedelta(hours=25)

    # What must hold

    def outcomes(self) -> list[Record]:
        return [load_outcome(blob.body, blob.metadata) for blob in self.container.below("outcomes/")]

    def records(self) -> dict[str, Record]:
        """The ledger."""
        found = [codec.loads(Record, blob.body) for blob in self.state.below(FOLDER)]
        return {record.signal_id: record for record in found}

    def is_quiet(self) -> bool:
        """Nobody works, and all messages of signals wait for a later attempt."""
        messages = [each for name in (SIGNALS, BURIED) for each in self.queues[name].messages]
        return not self.workers and all(each.received == 0 and each.due > self.steps.now for each in messages)

    def check_change(self, name: str, before: Blob | None, after: Blob | None) -> None:
        """Called with every write to the reports' container."""

    def check_quiet(self) -> None:
        """Called when nobody works."""

    def tell(self, line: str) -> None:
        """Put down what happens, for whoever reads of a violation."""
        self.told.append(f"{self.steps.now:%d %H:%M:%S} {line}")


def call(name: str, message: Message, services: Services) -> None:
    """Run the function of a queue, as the host does."""
    again = {"redelivered": message.received > 1} if name == SIGNALS else {}
    FUNCTIONS[name](message.text, services, **again)


@cache
def blobs_before() -> tuple[dict[str, Blob], dict[str, Blob]]:
    """What lies in storage when a history begins."""
    history = History(Story((), (0, 0), 0, packed=False, turns=()))
    with simulated(history):
        return history.play_before()


@contextmanager
def simulated(history: History) -> Iterator[None]:
    """The product reads the history's clock, and its thread pools run in line."""
    clock = SimpleNamespace(monotonic=lambda: history.steps.now.timestamp())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(times, "now", lambda: history.steps.now)
        for module in (limits, redrive, slices):
            patch.setattr(module, "time", clock)
        patch.setattr(day_tables, "_WRITING", history.lock())
        patch.setattr(call_records, "_LISTING", SimpleNamespace(wait=lambda: None))
        for pooled in (day_tables, blobs):
            patch.setattr(pooled, "ThreadPoolExecutor", InLine)
        logging.disable()
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
