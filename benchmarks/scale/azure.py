"""Queues and instances on Flex Consumption, where each function scales separately."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from benchmarks.scale.assumptions import Assumptions
from benchmarks.scale.clock import Clock
from local.host import hostjson

HOST = hostjson.load(Path(__file__).parents[2] / "host.json", {}).queues
SHORTEST_POLL = 0.1  # seconds
SHORTEST_BILLED, BILLED_STEP = 1.0, 0.1  # seconds

type Function = Callable[[str], None]  # on a text
type Handler = Callable[[Message], None]


@dataclass(order=True)
class Message:
    """A message, visible from `due` on."""

    due: float
    number: int
    text: str = field(compare=False)
    received: int = field(compare=False, default=0)


class Queue:
    """A queue for product and instances; `came` is called when a message arrives."""

    def __init__(self, clock: Clock, assumed: Assumptions) -> None:
        self._clock = clock
        self._assumed = assumed
        self._messages: list[Message] = []
        self._numbers = itertools.count()
        self._busy_until = 0.0
        self.came: Callable[[], None] = lambda: None
        self.waiting = 0  # messages that can be taken now
        self.under_way = 0
        self.operations = 0
        self.most = 0

    def send(self, text: str, delay: float = 0) -> None:
        """Enqueue a message that is hidden for `delay` seconds.

        For executions: it takes its time.
        """
        self._take_turn()
        self.put(text, delay)

    def put(self, text: str, delay: float = 0) -> None:
        """Enqueue a message without taking time."""
        self.back(Message(self._clock.now + delay, next(self._numbers), text))

    def back(self, message: Message) -> None:
        """A message is there from its `due` on."""
        heapq.heappush(self._messages, message)
        self._clock.at(message.due, self._appears)
        self.most = max(self.most, self.length)

    def _appears(self) -> None:
        self.waiting += 1
        self.came()

    def take(self, most: int) -> list[Message]:
        """Receive what can be seen now; it takes its time."""
        self._take_turn()
        found: list[Message] = []
        while len(found) < most and self._messages and self._messages[0].due <= self._clock.now:
            message = heapq.heappop(self._messages)
            message.received += 1
            found.append(message)
        self.waiting -= len(found)
        self.under_way += len(found)
        return found

    def drain(self, most: int) -> Iterator[str]:
        """The texts of at most `most` messages, each deleted when the next is requested."""
        for message in self.take(most):
            yield message.text
            self.delete()

    def delete(self) -> None:
        """A message is done."""
        self._take_turn()
        self.under_way -= 1

    @property
    def length(self) -> int:
        """The number of all messages, also hidden ones, as the platform counts."""
        return len(self._messages) + self.under_way

    @property
    def visible(self) -> bool:
        """Whether there is one to be taken."""
        return bool(self._messages) and self._messages[0].due <= self._clock.now

    def _take_turn(self) -> None:
        """One operation; a queue does so many a second."""
        self.operations += 1
        self._busy_until = max(self._busy_until, self._clock.now) + 1 / self._assumed.queue_limit
        self._clock.sleep(self._busy_until - self._clock.now + self._assumed.storage_time)


@dataclass
class Bill:
    """Billed seconds and executions of instances."""

    seconds: float = 0.0
    executions: int = 0


class Instance:
    """One instance of one function. `idle_since`: None while it works."""

    def __init__(self, clock: Clock, assumed: Assumptions, bill: Bill) -> None:
        self._clock, self._assumed, self._bill = clock, assumed, bill
        self._cpu_until = 0.0
        self._began = 0.0
        self.running = 0
        self.idle_since: float | None = clock.now

    def begin(self) -> None:
        """An execution begins."""
        if self.running == 0:
            self._began, self.idle_since = self._clock.now, None
        self.running += 1
        self._bill.executions += 1

    def end(self) -> None:
        """One ends; what is billed is the time with any."""
        self.running -= 1
        if self.running == 0:
            now = self._clock.now
            self.idle_since = now
            steps = math.ceil((now - self._began) / BILLED_STEP)
            self._bill.seconds += max(SHORTEST_BILLED, steps * BILLED_STEP)

    def compute(self, seconds: float) -> None:
        """Use the instance's cores for so long, measured on one core; others wait."""
        now = self._clock.now
        self._cpu_until = max(self._cpu_until, now) + seconds / self._assumed.cores
        self._clock.sleep(self._cpu_until - now)


class QueueFunction:
    """A function on a queue; `make` gives the function of a new instance."""

    def __init__(
        self,
        clock: Clock,
        queue: Queue,
        poison: Queue,
        make: Callable[[], Callable[[], Handler]],
        most: int,
        assumed: Assumptions,
        seed: int,
        cpu: float,
    ) -> None:
        self._clock, self._queue, self._poison, self._make = clock, queue, poison, make
        self._most, self._assumed, self._cpu = most, assumed, cpu
        self._draw = Random(seed)
        self._instances: list[_Worker] = []
        self._starting = 0
        self._scales = False
        self.bill = Bill()
        self.most_instances = 0
        queue.came = self._came

    @property
    def instances(self) -> int:
        """How many there are now."""
        return len(self._instances)

    def _came(self) -> None:
        if not self._scales:
            self._scales = True
            self._clock.at(self._clock.now + self._assumed.scaled_every * self._draw.random(), self._scale)
        free = [(self._draw.random() * each.polls_every, each) for each in self._instances if each.is_free]
        if free:
            after, first = min(free, key=lambda each: each[0])
            first.notice(after)

    def _scale(self) -> None:
        """Decide how many instances there should be, repeatedly."""
        now, length = self._clock.now, self._queue.length if self._queue.visible else 0
        self._instances = [each for each in self._instances if not self._may_leave(each, now)]
        wanted = min(math.ceil(length / HOST.batch_size), self._most)
        more = min(wanted - len(self._instances) - self._starting, self._assumed.added_at_once)
        for _ in range(more):
            self._starting += 1
            self._clock.spawn(self._start, self._assumed.starts_in)
        self._scales = bool(self._instances or self._starting or self._queue.visible)
        if self._scales:
            self._clock.at(now + self._assumed.scaled_every, self._scale)

    def _may_leave(self, worker: _Worker, now: float) -> bool:
        since = worker.instance.idle_since
        return since is not None and now - since > self._assumed.leaves_after

    def _start(self) -> None:
        self._starting -= 1
        instance = Instance(self._clock, self._assumed, self.bill)
        worker = _Worker(self._clock, self._queue, self._poison, instance, self._make(), self._cpu)
        self._instances.append(worker)
        self.most_instances = max(self.most_instances, len(self._instances))
        worker.notice(0.0)


class _Worker:
    """The host of one instance, which takes batches as host.json says."""

    def __init__(
        self,
        clock: Clock,
        queue: Queue,
        poison: Queue,
        instance: Instance,
        slot: Callable[[], Handler],
        cpu: float,
    ) -> None:
        self._clock, self._queue, self._poison = clock, queue, poison
        self.instance, self._cpu = instance, cpu
        self._make_slot = slot
        self._slots: list[Handler] = []
        self._polls = False
        self._found = clock.now

    @property
    def polls_every(self) -> float:
        """Seconds between two polls of the queue, more the longer it was empty."""
        return min(max(SHORTEST_POLL, self._clock.now - self._found), HOST.max_polling_interval)

    @property
    def is_free(self) -> bool:
        """Whether it takes messages, and is not looking for some already."""
        return not self._polls and self.instance.running <= HOST.new_batch_threshold

    def notice(self, after: float) -> None:
        """It will look into its queue after so many seconds, unless it is looking anyway."""
        if not self._polls:
            self._polls = True
            self._clock.spawn(self._poll, after)

    def _poll(self) -> None:
        while self.instance.running <= HOST.new_batch_threshold and self._queue.visible:
            messages = self._queue.take(HOST.batch_size)
            self._found = self._clock.now
            for message in messages:
                self.instance.begin()
                self._clock.spawn(lambda message=message: self._handle(message))  # type: ignore[misc]
        self._polls = False

    def _handle(self, message: Message) -> None:
        function = self._slots.pop() if self._slots else self._make_slot()
        if self._cpu:
            self.instance.compute(self._cpu)
        try:
            function(message)
        except Exception:  # noqa: BLE001 - as the host
            self._queue.under_way -= 1
            if message.received >= HOST.max_dequeue_count:
                self._poison.put(message.text)
            else:
                message.due = self._clock.now + HOST.visibility_timeout
                self._queue.back(message)
        else:
            self._queue.delete()
        self._slots.append(function)
        self.instance.end()
        if self._queue.visible:
            self.notice(0.0)


class Webhook:
    """The instances that answer notifications: one always, more while requests wait."""

    def __init__(self, clock: Clock, assumed: Assumptions, answer: Function, most: int) -> None:
        self._clock, self._assumed, self._answer, self._most = clock, assumed, answer, most
        self.bill = Bill()
        self._instances = [Instance(clock, assumed, self.bill)]
        self._starting = 0
        self.times: list[float] = []
        self.most_instances = 1

    def receive(self, body: str) -> None:
        """One POST."""
        began = self._clock.now
        instance = min(self._instances, key=lambda each: each.running)
        if instance.running >= self._assumed.http_concurrency and (
            len(self._instances) + self._starting < self._most
        ):
            self._starting += 1
            self._clock.spawn(self._start, self._assumed.starts_in)
        instance.begin()
        instance.compute(self._assumed.cpu_of_answer)
        self._answer(body)
        instance.end()
        self.times.append(self._clock.now - began)

    def _start(self) -> None:
        self._starting -= 1
        self._instances.append(Instance(self._clock, self._assumed, self.bill))
        self.most_instances = max(self.most_instances, len(self._instances))
