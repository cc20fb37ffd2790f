"""Executions that pause before each operation, so that a plan can order them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import datetime

from tests.support.doubles import Fault


class Crash(BaseException):
    """The process ends here."""


class Worker:
    """An execution of a function, in a thread that pauses before each operation."""

    def __init__(self, instance: int, began: datetime, run: Callable[[], None]) -> None:
        self.instance, self.began = instance, began
        self.fault: Fault | None = None
        self.dies = False
        self.ended: BaseException | None = None
        self.running = True
        self.operations = 0
        self.needs: WorkerLock | None = None  # which another one may hold
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
        self.pause()
        self.operations += 1
        fault, self.fault = self.fault, None
        return fault

    def pause(self) -> None:
        """Called by its thread to let others go on."""
        self._stands.release()
        self._go.acquire()
        if self.dies:
            raise Crash

    def first(self) -> Worker:
        """Who must go on before it can: the holder of a lock that it needs, or itself."""
        holder = self.needs and not self.dies and self.needs.holders.get(self.instance)
        return holder.first() if holder else self

    def _body(self) -> None:
        self._go.acquire()
        try:
            self._run()
        except BaseException as failure:  # noqa: BLE001 - the scheduler looks at it, in its own thread
            self.ended = failure
        self.running = False
        self._stands.release()


class WorkerLock:
    """Stands for a lock that each instance has: a worker that needs it pauses until its holder has gone on.

    A real one would stop the plan for ever, because its holder may stand before an operation.
    """

    def __init__(self, going: Callable[[], Worker | None]) -> None:
        self.holders: dict[int, Worker] = {}  # by instance
        self._going = going

    def __enter__(self) -> None:
        if worker := self._going():
            worker.needs = self
            while worker.instance in self.holders:
                worker.pause()
            worker.needs = None
            self.holders[worker.instance] = worker

    def __exit__(self, *_: object) -> None:
        if worker := self._going():
            del self.holders[worker.instance]


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
