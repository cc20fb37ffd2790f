"""Run reads in parallel with a deadline; a failed read becomes `ReadFailure`.

A read that hangs delays nobody: its own time limits end it and its thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from azure.core.exceptions import ServiceRequestError, ServiceResponseError

from ..errors import GraphError, SignInNeeded, Unavailable

THREADS = 8
STORAGE_SECONDS = 8.0  # from the start, for all reads together
GRAPH_SECONDS = 5.0
NO_ANSWER, NO_CONNECTION = "no answer in time", "no connection"

type Reading[T] = Callable[[float], T]  # waits at most so many seconds, then raises TimeoutError


@dataclass(frozen=True)
class ReadFailure:
    """A failed read, as an error code or a few words."""

    reason: str


class ParallelReads:
    """A group of reads; as a context, it ends without waiting for reads that hang.

    Their threads are daemons, because the command line must not wait for them when it exits either.
    """

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._slots = threading.Semaphore(THREADS)
        self._is_over = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True

    def start[T](self, read: Callable[[], T]) -> Reading[T]:
        """Start a read as soon as one of the others has ended, if there are many."""
        future: Future[T] = Future()

        def run() -> None:
            with self._slots:
                if self._is_over:
                    return
                try:
                    future.set_result(read())
                except BaseException as failure:  # noqa: BLE001 - the reader raises it
                    future.set_exception(failure)

        threading.Thread(target=run, name="health", daemon=True).start()
        return future.result

    def result[T](self, reading: Reading[T], seconds: float = STORAGE_SECONDS) -> T | ReadFailure:
        """Return the result of a storage read.

        Waits at most so many seconds from the start of all reads. Raises SignInNeeded, which concerns every read.
        """
        try:
            return reading(self._left(seconds))
        except SignInNeeded:
            raise
        except Exception as failure:  # noqa: BLE001 - whatever the SDK raises, health must show it
            return ReadFailure(describe_failure(failure))

    def graph_result[T](self, reading: Reading[T]) -> T | GraphError:
        """Return the result of a Graph request."""
        try:
            return reading(self._left(GRAPH_SECONDS))
        except TimeoutError:
            return Unavailable("list subscriptions", "Graph did not answer in time")
        except GraphError as failure:
            return failure

    def _left(self, seconds: float) -> float:
        return max(0.0, self._began + seconds - time.monotonic())


def describe_failure(failure: Exception) -> str:
    """Describe an error without a message for people.

    In words, or by its code or type.
    """
    if isinstance(failure, TimeoutError | ServiceResponseError):
        return NO_ANSWER
    if isinstance(failure, ServiceRequestError):
        return NO_CONNECTION
    code = getattr(failure, "error_code", None)
    return str(getattr(code, "value", code) or type(failure).__name__)
