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
