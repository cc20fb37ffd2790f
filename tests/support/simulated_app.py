"""The app on doubles, with an hourly timer and virtual time.

The product runs unchanged, one function after another, so that what takes weeks takes a moment. A test may act before
an operation of storage or have Graph refuse a request; `Crash` ends the process, whose message comes back later.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import IO, Any, NoReturn, cast

import pytest
from azure.core.exceptions import ServiceRequestError
from azure.storage.blob import ContainerClient

import shared.settings
from shared import limits, times, upkeep
from shared.archiving import dead_letters, redrive, worker
from shared.days.manifests import Manifest, Manifests
from shared.errors import GraphError
from shared.ledger.record import Record, Result, load_outcome
from shared.messages.signals import call_record_news, serialize_message
from shared.reconcile import call_records, slices, sweep
from shared.services import Services, assemble
from shared.settings import Settings
from shared.storage import clients
from shared.storage.scans import Scan
from shared.subscriptions import maintain
from tests.support.app_settings import ENVIRON, TENANT
from tests.support.doubles import Call, Container, Graph, Message, Queue, Steps

NOW = datetime(2026, 11, 24, 21, 0, tzinfo=UTC)  # when every test begins
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ALWAYS = datetime.min.replace(tzinfo=UTC)
ORGANIZER = "aaaaaaaa-0000-4000-8000-000000000000"
SETTINGS = shared.settings.load(ENVIRON)
FUNCTIONS: dict[str, Callable[..., None]] = {
    clients.SIGNALS_QUEUE: worker.handle_signals,
    f"{clients.SIGNALS_QUEUE}-poison": dead_letters.record_dead_message,
    clients.UPKEEP_QUEUE: upkeep.handle_task,
}
MAX_DEQUEUES = 10
LEASE = timedelta(minutes=10)  # after which the message of a process that died comes back
RELEASE = timedelta(seconds=30)  # after which the message of a function that failed comes back


class Crash(BaseException):
    """The process ends here."""


def crash() -> NoReturn:
    """For `App.before`: the process dies."""
    raise Crash


def fail() -> NoReturn:
    """For `App.before`: storage cannot be reached."""
    raise ServiceRequestError("not made")


@dataclass
class WatchedContainer(Container):
    """A container that tells of what is about to be written or deleted."""

    tell: Callable[[str], None] = lambda operation: None

    def upload_blob(self, name: str, data: bytes | IO[bytes], **arguments: Any) -> str:
        self.tell(f"write {name}")
        return super().upload_blob(name, data, **arguments)

    def delete_blob(self, name: str, **arguments: Any) -> None:
        self.tell(f"delete {name}")
        super().delete_blob(name, **arguments)


@dataclass
class WatchedQueue(Queue):
    """A queue that tells of what is about to be sent."""

    name: str = ""
    tell: Callable[[str], None] = lambda operation: None

    def send(self, text: str, delay: int = 0) -> None:
        self.tell(f"send {self.name}")
        super().send(text, delay)


@dataclass
class WatchedGraph(Graph):
    """Microsoft Graph that refuses requests for which `refusal`, given path and operation, has an error.

    `answer` may replace an answer.
    """

    steps: Steps
    calls: list[Call]
    refusal: Callable[[str, str], GraphError | None] = lambda path, operation: None
    answer: Callable[[str, dict[str, Any]], dict[str, Any]] = lambda path, content: content
    seen: list[tuple[datetime, str]] = field(default_factory=list)  # when which operation was asked for

    def __post_init__(self) -> None:
        super().__init__(self.steps, self.calls, ALWAYS)

    def get(self, path: str, operation: str) -> dict[str, Any]:
        self.seen.append((self.steps.now, operation))
        self.check_time(operation)
        if error := self.refusal(path, operation):
            raise error
        return self.answer(path, super().get(path, operation))


class App:
    """An installed app, and the calls that Graph knows."""

    def __init__(self) -> None:
        self.steps = Steps(NOW)
        self.calls: list[Call] = []
        self.container = WatchedContainer(self.steps, tell=self._about_to, is_versioned=True)
        self.state = WatchedContainer(self.steps, tell=self._about_to)
        names = (*FUNCTIONS, clients.UPKEEP_POISON)
        self.queues = {name: WatchedQueue(self.steps, name=name, tell=self._about_to) for name in names}
        self.graph = WatchedGraph(self.steps, self.calls)
        self.services = self.another_instance()
        self._acts: dict[str, Callable[[], None]] = {}

    @property
    def now(self) -> datetime:
        return self.steps.now

    def another_instance(self, settings: Settings = SETTINGS) -> Services:
        """Services that know nothing yet but what is in storage."""
        container, apart = cast(ContainerClient, self.container), cast(ContainerClient, self.state)
        return assemble(
            settings, self.graph, container, apart, lambda name: cast(clients.Queue, self.queues[name])
        )

    # What happens

    def before(self, operation: str, act: Callable[[], None]) -> None:
        """Call `act` once, before the next operation like `write <blob>`.

        Others are `delete <blob>` and `send <queue>`.
        """
        self._acts[operation] = act

    def before_nothing(self) -> None:
        """Forget what was to happen before an operation."""
        self._acts.clear()

    def announce(self, call_id: str) -> None:
        """Graph announces a call record."""
        self.receive(clients.SIGNALS_QUEUE, serialize_message(call_record_news(call_id, self.now)))

    def ask(self, kind: str, first: str, last: str, *outcomes: Result) -> None:
        """An operator asks for a backfill, or for a redrive of these outcomes."""
        content = {"version": 1, "kind": kind, "from": first, "to": last}
        self.receive(clients.UPKEEP_QUEUE, json.dumps(content | ({"outcomes": outcomes} if outcomes else {})))

    def receive(self, queue: str, text: str) -> None:
        """A message is there."""
        self.queues[queue].messages.append(Message(text, self.now))

    def run(self, *, days: float = 0, hours: float = 0, every: timedelta = HOUR) -> None:
        """Let time pass: handle due messages, and run the timer from `every` on."""
        end, timer = self.now + timedelta(days=days, hours=hours), self.now + every
        while True:
            self.deliver()
            due = min([timer, *(each.due for name in FUNCTIONS for each in self.queues[name].messages)])
            if due > end:
                self.steps.now = end
                return
            self.steps.now = due
            if due == timer:
                self._execute(lambda: sweep.run_sweep(self.services))
                timer += every

    def deliver(self) -> None:
        """Handle every message that can be seen, as the Functions host does.

        For `before`: another instance does so, while one is under way.
        """
        while visible := [(name, each) for name in FUNCTIONS for each in self.queues[name].visible()]:
            name, first = visible[0]
            queue = self.queues[name]
            first.received += 1
            first.due = self.now + LEASE  # for another instance that begins before this one ends
            again = {"redelivered": first.received > 1} if name == clients.SIGNALS_QUEUE else {}
            delay = self._execute(partial(FUNCTIONS[name], first.text, self.services, **again))
            first.due = self.now + (delay or timedelta())
            if delay is None:
                queue.messages.remove(first)
            elif first.received >= MAX_DEQUEUES:
                queue.messages.remove(first)
                self.receive(f"{name}-poison", first.text)

    def _execute(self, function: Callable[[], None]) -> timedelta | None:
        """One execution; None for success, else when its message comes back."""
        try:
            function()
        except Crash:
            self.services = self.another_instance(self.services.settings)
            return LEASE
        except Exception:  # noqa: BLE001 - as the host
            return RELEASE
        return None

    def _about_to(self, operation: str) -> None:
        for begin in [each for each in self._acts if operation.startswith(each)]:
            self._acts.pop(begin)()

    # What came of it

    def outcomes(self) -> list[Record]:
        return [load_outcome(blob.body, blob.metadata) for blob in self.container.below("outcomes/")]

    def results(self) -> dict[str, Result]:
        """The outcome of each call."""
        return {each.signal_id.removeprefix("cr-"): each.result for each in self.outcomes()}

    def stored(self) -> set[str]:
        """The calls whose report is stored."""
        return {json.loads(blob.body)["id"] for blob in self.container.below("reports/")}

    def manifest(self, day: date) -> Manifest:
        found = Manifests(cast(ContainerClient, self.container)).read(day)
        assert found, f"no manifest of {day}"
        return found

    def scan(self, prefix: str) -> Scan:
        """The one scan whose name begins so."""
        (name,) = self.services.state.list_names(f"sweep/{prefix}", 2)
        stored = self.services.scans.read(name.removeprefix("sweep/").removesuffix(".json"))
        assert stored, f"{name} cannot be read"
        return stored.scan


def call(
    call_id: str,
    ended: datetime,
    *,
    organizer: str = ORGANIZER,
    opens: datetime = ALWAYS,
    readable: datetime | None = None,
    ready: datetime | None = None,
) -> Call:
    """A meeting of 30 minutes.

    Its record and report come 2 minutes after it `ended`, or at `readable` and `ready`.
    """
    begin, usual = ended - timedelta(minutes=30), ended + timedelta(minutes=2)
    length = {"start": times.text(begin), "end": times.text(ended)}
    record = {
        "id": call_id,
        "type": "groupCall",
        "joinWebUrl": f"https://teams.microsoft.com/l/meetup-join/{call_id}/0",
        "startDateTime": length["start"],
        "endDateTime": length["end"],
        "organizer_v2": {"identity": {"user": {"id": organizer, "tenantId": TENANT}}},
    }
    report = {
        "id": call_id,
        "meetingStartDateTime": length["start"],
        "meetingEndDateTime": length["end"],
        "totalParticipantCount": 1,
        "attendanceRecords": [{"id": "somebody"}],
    }
    known = readable or usual
    return Call(call_id, record, known, known, organizer, opens, ((ready or usual, report),))


@contextmanager
def running() -> Iterator[App]:
    """An app by whose clock the product goes."""
    app = App()
    clock = SimpleNamespace(monotonic=lambda: app.now.timestamp())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(times, "now", lambda: app.now)
        for module in (limits, redrive, slices, maintain, upkeep):
            patch.setattr(module, "time", clock)
        patch.setattr(call_records, "_LISTING", SimpleNamespace(wait=lambda: None))
        logging.disable()
        try:
            yield app
        finally:
            logging.disable(logging.NOTSET)
