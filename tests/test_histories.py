"""Random histories against the real rules: workers that overtake each other, die and are repeated at any operation.

The product runs unchanged; storage, queues and Graph are doubles that stop before each operation, and a drawn plan
says who goes on, who dies, what fails and when time passes. Its thread pools run in line, so that a plan always has
the same history. When all is quiet every signal has one outcome and at most one message that will continue it; at no
write is anything worse than before; at the end nothing that Graph offers is missing.
"""

from __future__ import annotations

import itertools
import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

import pytest
from azure.core.exceptions import AzureError
from azure.storage.blob import ContainerClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import shared.settings
from shared import missing, pace, pipeline, poison, redrive, sessions, storage, sweep, times, upkeep
from shared.errors import AttendanceError
from shared.fence import is_stale
from shared.manifests import Manifests
from shared.outcome import Outcome, Result, parse
from shared.outcomes import Superseded
from shared.sealing import ready_at
from shared.services import Services, assemble
from shared.signals import FoundBy, Signal, message, pack, unpack
from tests.app_settings import ENVIRON, TENANT
from tests.doubles import Blob, Call, Container, Fault, Graph, Message, Queue, Steps

BEGIN = datetime(2026, 11, 24, 21, 0, tzinfo=UTC)  # three hours before a day ends
SETTINGS = shared.settings.load(ENVIRON)
SIGNALS, BURIED = storage.SIGNALS_QUEUE, f"{storage.SIGNALS_QUEUE}-poison"
UPKEEP, SPOILT = storage.UPKEEP_QUEUE, storage.UPKEEP_POISON
FUNCTIONS = {SIGNALS: pipeline.handle, BURIED: poison.bury, UPKEEP: upkeep.handle}
OPERATION = timedelta(milliseconds=200)
LEASE = timedelta(minutes=10)  # of a message; also functionTimeout, after which the process ends
RELEASE = timedelta(seconds=30)  # visibilityTimeout
MAX_DEQUEUES = 10
INSTANCES = 3
MOST_WORKERS = 4
SWEEPS_AFTER = (1, 2, 3, 4, 30, 55, 80, 105)  # hours after the story; others only where they find something
FOREVER = datetime.max.replace(tzinfo=UTC)
ALL_OPEN = BEGIN + timedelta(days=6)  # and probed since
LAST = BEGIN + timedelta(days=60)  # past the last look at any outcome
WAITS = (1, 60, 300, 2_000, 4 * 3600, 9 * 3600, 30 * 3600)  # seconds
# Assumed: nobody has what is pending taken up again. Else two messages wait for a while, of which one will be dropped.
OUTCOMES_ASKED = ("failed", "accessDenied", "noReport", "notFound", "stored", "stored")
RANKS = {Result.PENDING: 0, Result.FAILED: 1, Result.NOT_FOUND: 2, Result.ACCESS_DENIED: 2, Result.STORED: 4}


class What(Enum):
    """What a turn of the plan does."""

    SWITCH = 0  # another worker goes on
    DELIVER = 1  # one more worker takes a message, any that is visible
    REPEAT = 2  # one more worker gets a message that another one has
    FAIL = 3  # an operation fails
    CRASH = 4  # an instance dies, between two operations
    DOOM = 5  # whoever handles a message dies, until it is buried
    SWEEP = 6  # the timer
    ASK = 7  # an operator asks for a redrive or a backfill
    WAIT = 8  # time passes


@dataclass(frozen=True)
class Turn:
    """One event of a history, after so many operations; `which` chooses among what is possible then."""

    after: int
    what: What
    which: int


@dataclass(frozen=True)
class Drawn:
    """A call of the history: minutes are after its end, or for `posts` after its record can be read."""

    meeting: int
    ended: int  # minutes after the history begins; of the meeting's first call
    pause: int  # minutes after the meeting's call before
    lasted: int
    kind: str  # meeting, people, external, phantom
    readable: int
    listed: int | None
    posts: tuple[int, ...]
    ready: int | None
    grows: str | None
    terse: bool


@dataclass(frozen=True)
class Story:
    """All that is drawn. `opens`: minutes until the access policy of each meeting's organizer."""

    calls: tuple[Drawn, ...]
    opens: tuple[int | None, int | None]
    records_open: int
    packed: bool
    turns: tuple[Turn, ...]


def many[T](of: st.SearchStrategy[T], parts: int) -> st.SearchStrategy[tuple[T, ...]]:
    """Some five of these in each part: long enough to be interesting, and each can be left out when shrinking."""
    return st.tuples(*[st.lists(of, max_size=10)] * parts).map(lambda lists: tuple(itertools.chain(*lists)))


MINUTES = st.sampled_from
CALLS = st.builds(
    Drawn,
    meeting=st.integers(0, 1),
    ended=MINUTES((-10, -100, 40, 185)),  # the last one ends after midnight
    pause=MINUTES((200, 5, 40)),
    lasted=MINUTES((30, 5, 200)),
    kind=MINUTES(("meeting", "meeting", "meeting", "meeting", "people", "external", "phantom")),
    readable=MINUTES((5, 2, 140)),
    listed=MINUTES((0, 20)),
    posts=st.lists(MINUTES((0, -2, 1, 45, 200)), max_size=3).map(tuple),
    ready=MINUTES((0, 10, 7, 10, 90, 1_500, 9_000, None)),
    grows=MINUTES((None, "records", "records", "end", "end")),
    terse=st.booleans(),
)
TURNS = st.builds(Turn, st.integers(0, 12), st.sampled_from(What), st.integers(0, 11))
STORIES = st.builds(
    Story,
    calls=st.lists(CALLS, min_size=1, max_size=3).map(tuple),
    opens=st.tuples(*[MINUTES((0, 0, 0, 50, 1_700, 6_000, None))] * 2),
    records_open=MINUTES((0, 0, 0, 0, 0, 300)),
    packed=st.booleans(),
    turns=many(TURNS, 7),
)


class Crash(BaseException):
    """The process ends here."""


class Worker:
    """One execution of a function, in a thread that stands still before each operation."""

    def __init__(self, instance: int, began: datetime, run: Callable[[], None]) -> None:
        self.instance, self.began = instance, began
        self.fault: Fault | None = None
        self.dies = False
        self.ended: BaseException | None = None
        self.running = True
        self.operations = 0
        self._run = run
        self._go, self._stands = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._body, daemon=True)
        self._thread.start()

    def go(self) -> None:
        """Let it go on to its next operation, or to its end."""
        self._go.release()
        self._stands.acquire()

    def stand(self) -> Fault | None:
        """Called by its thread before an operation."""
        self._stands.release()
        self._go.acquire()
        if self.dies:
            raise Crash
        self.operations += 1
        fault, self.fault = self.fault, None
        return fault

    def _body(self) -> None:
        self._go.acquire()
        try:
            self._run()
        except BaseException as failure:  # noqa: BLE001 - the scheduler looks at it, in its own thread
            self.ended = failure
        self.running = False
        self._stands.release()


class InLine:
    """Stands for ThreadPoolExecutor where the order must be the plan's."""

    def __init__(self, threads: int) -> None:
        assert threads > 0

    def __enter__(self) -> InLine:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def map[A, B](self, function: Callable[[A], B], items: Iterable[A]) -> list[B]:
        return [function(item) for item in list(items)]


class History:
    """A world in which a story happens."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.steps = Steps(BEGIN - timedelta(hours=3), self._pause)
        self.calls = graph_calls(story)
        self.container = Container(self.steps, self._check_change)
        self.state = Container(self.steps)
        self.queues = {name: Queue(self.steps) for name in (SIGNALS, BURIED, UPKEEP, SPOILT)}
        self.instances = [self._services() for _ in range(INSTANCES)]
        self.workers: list[Worker] = []  # the first one goes on
        self.started = 0
        self.announced: set[str] = set()
        self.posts = sorted(self._posts())
        self.told: list[str] = []  # for whoever reads of a violation

    def _services(self) -> Services:
        container, apart = cast(ContainerClient, self.container), cast(ContainerClient, self.state)
        records_open = BEGIN + timedelta(minutes=self.story.records_open) if self.story.records_open else None
        graph = Graph(self.steps, self.calls, records_open or self.steps.now)
        return assemble(
            SETTINGS, graph, container, apart, lambda name: cast(storage.Queue, self.queues[name])
        )

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
        sweep.run(self.instances[0])
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
            self._tell(f"{first.fault} of {first.instance}")
            self._go(first)

    def _crash(self, which: int) -> None:
        if self.workers:
            self._kill(self.workers[which % len(self.workers)].instance)

    def _doom(self, which: int) -> None:
        if held := self._held(SIGNALS):
            _, doomed = held[which % len(held)]
            doomed.dies_at = 1 + which
            self._tell(f"doomed: {doomed.text}")

    def _sweep(self, _: int) -> None:
        self._tell("sweep")
        self._start(sweep.run)

    def _ask(self, which: int) -> None:
        self.queues[UPKEEP].messages.append(Message(operators_message(which), self.steps.now))

    def _held(self, *names: str) -> list[tuple[str, Message]]:
        return [(name, each) for name in names for each in self.queues[name].messages if each.held]

    def _step(self) -> None:
        """One operation of the first worker; where none is at work, a message is delivered."""
        if not self.workers:
            self._check_quiet()
            visible = [(each.due, name, each) for name in FUNCTIONS for each in self.queues[name].visible()]
            if not visible:
                return
            _, name, first = min(visible, key=lambda each: each[:2])
            self._deliver(name, first)
        if self.workers:
            self._go(self.workers[0])

    def _go(self, worker: Worker) -> None:
        self.going = worker
        worker.go()
        self.going = None
        self._pass(self.steps.now + OPERATION)
        if not worker.running:
            self.workers.remove(worker)
            if isinstance(worker.ended, Exception) and not isinstance(
                worker.ended, AzureError | AttendanceError | Superseded
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
        """The Functions host: poison what came too often, run the function, complete or release."""
        queue = self.queues[name]
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
                FUNCTIONS[name](message.text, services)
                queue.delete(message)
            except Exception:
                due = self.steps.now + (RELEASE if name != BURIED else LEASE)
                if message.received >= MAX_DEQUEUES and name != BURIED:
                    self._poison(name, message)
                raise
            finally:
                message.held -= 1
                message.due = due

        self._tell(f"{self.started % INSTANCES} gets {name} #{received}: {message.text}")
        worker = self._start(run)
        if worker and dies_at is not None:
            for _ in range(dies_at * received % 13):
                if worker.running:
                    self._go(worker)
            if worker.running:
                self._kill(worker.instance)

    def _poison(self, name: str, message: Message) -> None:
        self.queues[name + "-poison"].messages.append(Message(message.text, self.steps.now))
        if message in self.queues[name].messages:
            self.queues[name].messages.remove(message)

    def _kill(self, instance: int) -> None:
        """End a process: all that it does, and all that it knew."""
        self._tell(f"{instance} dies")
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
        self._tell(f"time passes: {seconds} s")
        for worker in list(self.workers):
            if worker.running and self.steps.now - worker.began > LEASE:
                self._kill(worker.instance)

    def _pass(self, until: datetime) -> None:
        """Time passes until then; the webhook answers what Graph posts meanwhile."""
        while self.posts and self.posts[0][0] <= until:
            moment, ids = self.posts.pop(0)
            signals = [Signal(call_id, moment) for call_id in ids]
            texts = pack(signals) if self.story.packed else [message(each) for each in signals]
            self.queues[SIGNALS].messages.extend(Message(text, moment) for text in texts)
            self.announced.update(ids)
            self._tell(f"announced: {ids} at {moment}")
        self.steps.now = max(self.steps.now, until)

    def _posts(self) -> Iterator[tuple[datetime, tuple[str, ...]]]:
        posts: dict[datetime, tuple[str, ...]] = {}
        for call, drawn in zip(self.calls, self.story.calls, strict=True):
            record = end_of(call) + timedelta(minutes=drawn.readable)
            moments = [max(record, BEGIN) + timedelta(minutes=minutes) for minutes in drawn.posts]
            for moment in moments:
                # Assumed: all on one day, and at most 4 h after the end. Else the outcome may lie where nobody looks
                # before the record is read, and gets a second one where that fails.
                if moment.date() == min(moments).date() and moment - end_of(call) < timedelta(hours=4):
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
            FUNCTIONS[name](first.text, self.instances[0])
            self.queues[name].delete(first)

    def _run_down(self) -> None:
        """Days pass; the sweep runs in each hour in which it can find something to do."""
        swept = self.steps.now - timedelta(hours=1)
        usual = [self.steps.now + timedelta(hours=hours) for hours in SWEEPS_AFTER]
        while True:
            self._settle_down()
            self._check_quiet()
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
                sweep.run(self.instances[0])

    def _for_the_sweep(self) -> Iterator[datetime]:
        """When it would find something to do."""
        now = self.steps.now
        for outcome in self.outcomes():
            if outcome.next_attempt:
                under_way = outcome.result in (Result.PENDING, Result.STORED)
                yield outcome.next_attempt + (redrive.OVERDUE if under_way else timedelta())
            if (ready := ready_at(outcome.day, SETTINGS)) > now:
                yield ready
        for call in self.calls:
            if call.listed and call.listed > now:
                yield call.listed
        if self.state.below("sweep/changed/"):
            yield now
        if self.state.below("access/") and now < ALL_OPEN:
            yield now + timedelta(hours=25)

    # What must hold

    def outcomes(self) -> list[Outcome]:
        return [parse(blob.body) for blob in self.container.below("outcomes/")]

    def _is_quiet(self) -> bool:
        """Nobody works, and all messages of signals wait for a later attempt."""
        messages = [each for name in (SIGNALS, BURIED) for each in self.queues[name].messages]
        return not self.workers and all(each.received == 0 and each.due > self.steps.now for each in messages)

    def _check_change(self, name: str, before: Blob | None, after: Blob | None) -> None:
        """No write to an outcome leaves its signal with less than before."""
        if not name.startswith("manifests/"):
            self._tell(f"{self.going.instance if self.going else '-'} writes {shown(name, after)}")
        if not name.startswith("outcomes/"):
            return
        signal = name.rsplit("/", 1)[1]
        now = [blob for blob in self.container.below("outcomes/") if blob.name.endswith(f"/{signal}")]
        others = [blob for blob in now if blob.name != name]
        best = max((rank(blob) for blob in [*others, *([before] if before else [])]), default=-1)
        assert max((rank(blob) for blob in now), default=-1) >= best, f"{signal} is worse than before"
        if before and after:
            assert rank(after) >= rank(before), f"{name} is worse than before"

    def _check_quiet(self) -> None:
        """When all is quiet, a signal has one outcome, and one message at most that will continue it."""
        if not self._is_quiet():
            return
        found = self.outcomes()
        counts = Counter(outcome.signal_id for outcome in found)
        assert not counts or max(counts.values()) == 1, f"two outcomes: {counts}"
        known = {outcome.signal_id: outcome for outcome in found}
        live = Counter(
            signal.id
            for text in {each.text for each in self.queues[SIGNALS].messages}  # enqueued twice, it is one
            for signal in unpack(text)
            # Assumed: a backfill does not fail at what is stored. Else its next try stands beside the second reading.
            if signal.found_by is not FoundBy.BACKFILL and not is_stale(signal, known.get(signal.id))
        )
        assert not live or max(live.values()) == 1, f"two live messages: {live}"

    def check_end(self) -> None:
        """Nothing that Graph offers is missing, and every outcome tells the truth."""
        known = {outcome.signal_id: outcome for outcome in self.outcomes()}
        stored: dict[str, list[Blob]] = {}
        for blob in self.container.below("reports/"):
            stored.setdefault(json.loads(blob.body)["id"], []).append(blob)
        for call, drawn in zip(self.calls, self.story.calls, strict=True):
            outcome = known.get(f"cr-{call.id}")
            wanted = self._wanted(call, drawn)
            result = outcome.result if outcome else None
            assert result in wanted, f"{call.id} is {result}, not {wanted}: {outcome}"
            if Result.STORED in wanted and len(wanted) == 1:
                if self._is_assumed_lost(call, drawn):
                    continue
                truth = call.report(self.steps.now)
                blobs = stored.get(f"report of {call.id}", [])
                assert [json.loads(blob.body) for blob in blobs] == [truth], f"{call.id}: {blobs}"
                assert outcome
                assert blobs[0].name in [report.path for report in outcome.reports], f"{outcome}"
            for report in outcome.reports if outcome else ():
                assert report.path in self.container.blobs, f"{outcome} names what is not there"
        self._check_manifests()

    def _wanted(self, call: Call, drawn: Drawn) -> set[Result | None]:
        if drawn.kind == "phantom":
            return {Result.NOT_FOUND} if call.id in self.announced else {None}
        if drawn.kind == "people":
            return {Result.NOT_A_MEETING}
        if drawn.kind == "external":
            return {Result.EXTERNAL_ORGANIZER}
        if call.opens is None:
            return {Result.ACCESS_DENIED}
        return {Result.STORED} if call.readings else {Result.NO_REPORT, Result.STORED}

    def _is_assumed_lost(self, call: Call, drawn: Drawn) -> bool:
        """Assumed: a session near another one of its meeting is settled with its own report, not its neighbour's.

        It is not when its own comes after the window, or when it is as long as its neighbour and read first.
        """
        others = [
            each
            for each in self.calls
            if each is not call and each.record["joinWebUrl"] == call.record["joinWebUrl"]
        ]
        as_long = any(
            max(abs(begin_of(one) - begin_of(call)), abs(end_of(one) - end_of(call))) <= sessions.TOLERANCE
            for one in others
        )
        return bool(others) and (as_long or (drawn.ready or 0) > 1_400)

    def _check_manifests(self) -> None:
        """Every day is sealed, and its manifest counts what is there."""
        container = cast(ContainerClient, self.container)
        days = {outcome.day for outcome in self.outcomes()}
        for day in days:
            manifest = Manifests(container).read(day)
            assert manifest, day
            assert manifest.complete, manifest
            assert manifest.outcomes == Counter(each.result for each in self.outcomes() if each.day == day), (
                day
            )
            assert manifest.reports == len(self.container.below(f"reports/date={day.isoformat()}/")), day

    def _tell(self, line: str) -> None:
        self.told.append(f"{self.steps.now:%d %H:%M:%S} {line}")


def shown(name: str, blob: Blob | None) -> str:
    """A blob in one line, for whoever reads of a violation."""
    if blob is None:
        return f"{name}: gone"
    if name.startswith("reports/"):
        return f"{name}: {blob.metadata['participants']} people until {blob.metadata['end']}"
    outcome = parse(blob.body)
    known = [each.id for each in outcome.reports]
    fence = f"attempt {outcome.attempt}, ticket {outcome.ticket}, next {outcome.next_attempt}"
    return f"{name}: {outcome.result} {known} {fence}"


def rank(blob: Blob) -> int:
    """How much an outcome knows, as docs/consumers.md orders them."""
    return RANKS.get(parse(blob.body).result, 3)


def begin_of(call: Call) -> datetime:
    return datetime.fromisoformat(call.record["startDateTime"])


def end_of(call: Call) -> datetime:
    return datetime.fromisoformat(call.record["endDateTime"])


def graph_calls(story: Story) -> list[Call]:
    """The calls as Graph knows them; those of one meeting follow each other."""
    calls: list[Call] = []
    begins: dict[int, datetime] = {}
    for number, drawn in enumerate(story.calls):
        begin = begins.get(drawn.meeting, BEGIN + timedelta(minutes=drawn.ended - drawn.lasted))
        end = begin + timedelta(minutes=drawn.lasted)
        begins[drawn.meeting] = end + timedelta(minutes=drawn.pause)
        calls.append(graph_call(number, drawn, story, begin, end))
    return calls


def graph_call(number: int, drawn: Drawn, story: Story, begin: datetime, end: datetime) -> Call:
    organizer = f"{drawn.meeting:08d}-0000-4000-8000-000000000000"
    tenant = "11111111-1111-4111-8111-111111111111" if drawn.kind == "external" else TENANT
    url = None if drawn.kind == "people" else f"https://teams.microsoft.com/l/meetup-join/{drawn.meeting}/0"
    record: dict[str, Any] = {
        "id": f"call-{number}",
        "type": "peerToPeer" if drawn.kind == "people" else "groupCall",
        "joinWebUrl": url,
        "startDateTime": times.text(begin),
        "endDateTime": times.text(end),
        "organizer_v2": {"identity": {"user": {"id": organizer, "tenantId": tenant}}},
        "unlisted": ("joinWebUrl", "organizer_v2") if drawn.terse else (),
    }
    readable = end + timedelta(minutes=drawn.readable)
    opens = story.opens[drawn.meeting]
    return Call(
        record["id"],
        record,
        None if drawn.kind == "phantom" else readable,
        None
        if drawn.kind == "phantom" or drawn.listed is None
        else readable + timedelta(minutes=drawn.listed),
        organizer,
        None
        if opens is None
        else BEGIN + timedelta(minutes=opens)
        if opens
        else datetime.min.replace(tzinfo=UTC),
        tuple(readings(record["id"], drawn, begin, end)) if drawn.kind == "meeting" else (),
    )


def readings(
    call_id: str, drawn: Drawn, begin: datetime, end: datetime
) -> Iterator[tuple[datetime, dict[str, Any]]]:
    """What Graph shows of the call's report, and from when on; it grows within the hour in which it is fresh."""
    if drawn.ready is None:
        return
    since = end + timedelta(minutes=drawn.ready)
    records = [{"id": f"person {number}"} for number in range(3)]

    def report(ended: datetime, known: int) -> dict[str, Any]:
        return {
            "id": f"report of {call_id}",
            "meetingStartDateTime": times.text(begin),
            "meetingEndDateTime": times.text(ended),
            "totalParticipantCount": known,
            "attendanceRecords": records[:known],
        }

    if drawn.grows and drawn.ready <= 10:
        early = min(timedelta(minutes=10), (end - begin) / 2)
        yield since, report(end - early if drawn.grows == "end" else end, 2)
        since += timedelta(minutes=25)
    yield since, report(end, 3)


def operators_message(which: int) -> str:
    """What an operator can put on the queue `upkeep`."""
    window = {"from": "2026-11-23", "to": "2026-11-26"}
    if which % 4 == 3:
        return json.dumps({"version": 1, "kind": "backfill", **window})
    chosen = [OUTCOMES_ASKED[which % len(OUTCOMES_ASKED)], OUTCOMES_ASKED[which // 2 % len(OUTCOMES_ASKED)]]
    return json.dumps({"version": 1, "kind": "redrive", "outcomes": chosen, **window})


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
        for module in (pace, redrive, sweep):
            patch.setattr(module, "time", clock)
        patch.setattr(sweep, "_LISTING", SimpleNamespace(wait=lambda: None))
        for pooled in (missing, redrive):
            patch.setattr(pooled, "ThreadPoolExecutor", InLine)
        logging.disable()
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(STORIES)
def test_whatever_happens_every_signal_has_one_outcome_and_no_report_is_lost(story: Story) -> None:
    history = History(story)
    with simulated(history):
        try:
            history.play()
            history.check_end()
        except BaseException as violation:
            violation.add_note("\n".join(history.told[-400:]))
            raise
