"""Run reads in parallel with a deadline; a failed read becomes `ReadFailure`.

A read that hangs delays nobody: its own time limits end it and its thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from ..errors import GraphError, Unavailable

THREADS = 8
STORAGE_SECONDS = 8.0  # from the start, for all reads together
GRAPH_SECONDS = 5.0

type Reading[T] = Callable[[float], T]  # waits at most so many seconds, then raises TimeoutError


@dataclass(frozen=True)
class ReadFailure:
    """A failed read, as an error code or a few words."""

    reason: str


class ParallelReads:
    """A group of reads; as a context, it ends without waiting for reads that hang."""

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._pool = ThreadPoolExecutor(THREADS, "health")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def start[T](self, read: Callable[[], T]) -> Reading[T]:
        """Start a read as soon as a thread is free."""
        return self._pool.submit(read).result

    def result[T](self, reading: Reading[T]) -> T | ReadFailure:
        """Return the result of a storage read."""
        try:
            return reading(self._left(STORAGE_SECONDS))
        except TimeoutError:
            return ReadFailure("no answer in time")
        except Exception as failure:  # noqa: BLE001 - whatever the SDK raises, health must show it
            code = getattr(failure, "error_code", None)
            return ReadFailure(str(getattr(code, "value", code) or type(failure).__name__))

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
