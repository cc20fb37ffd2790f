"""One program of the stack, started, logged, and stopped within a bounded time.

Its stdin is its lifeline: nothing is ever written there, and it ends with this process because the kernel
then closes the other end. What it says goes on to the log line by line, under its name; the last lines are
kept, so that a failure to start carries the program's own words.
"""

import os
import re
import select
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic

ROOT = Path(__file__).resolve().parents[2]
LINES_KEPT = 500
LINES_SHOWN = 30


class StartError(RuntimeError):
    """A part of the stack did not start; the message has its name and last lines."""


class Log:
    """The log of all parts: one file descriptor, one prefixed line at a time.

    A reader that stalls or leaves costs lines, never the stack: a full pipe would otherwise stop every
    program that logs.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._patience = 1.0

    def write(self, name: str, line: str) -> None:
        """Write `name: line`, or drop it if nobody has read for a second."""
        data = f"{name}: {line}\n".encode()[: select.PIPE_BUF]
        with self._lock:
            _, writable, _ = select.select([], [self._descriptor], [], self._patience)
            self._patience = 1.0 if writable else 0.0
            if writable:
                with suppress(BrokenPipeError):
                    os.write(self._descriptor, data)


class Program:
    """A running program, its pid and its last lines."""

    def __init__(
        self, name: str, command: Sequence[str], log: Log, *, env: Mapping[str, str], lock: int | None = None
    ) -> None:
        """Start it. `lock` is a file descriptor that it holds open as long as it lives."""
        self.name = name
        self._log = log
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._heard = threading.Condition()
        self._silent = False
        # Its own session, so that Ctrl-C reaches the stack alone, which then stops its parts in order.
        self._process = subprocess.Popen(  # noqa: S603 - the command is the stack's own
            command,
            cwd=ROOT,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=() if lock is None else (lock,),
        )
        self._listener = threading.Thread(target=self._listen, name=f"{name}-output", daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it is running."""
        return self._process.poll() is None

    def await_line(self, pattern: str, seconds: float) -> re.Match[str]:
        """The first line that matches.

        Raises StartError if the program ends before, or after so many seconds.
        """
        deadline = monotonic() + seconds
        with self._heard:
            while True:
                for line in self._lines:
                    if found := re.search(pattern, line):
                        return found
                if self._silent or not self._heard.wait(deadline - monotonic()):
                    raise self.failure(f"was not ready within {seconds:g} s")

    def failure(self, what: str) -> StartError:
        """The error of a failed start, with exit code and last lines."""
        # Its output may end a moment before it does, or a moment after.
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(1.0 if self._silent else 0.0)
            self._listener.join(1.0)
            what = f"ended with exit code {code} before it answered"
        said = "\n".join(f"  {line}" for line in list(self._lines)[-LINES_SHOWN:])
        return StartError(f"{self.name} {what}. It said:\n{said or '  nothing'}")

    def wait(self) -> int:
        """Wait for the end and return the exit code, negative for a signal."""
        return self._process.wait()

    def kill(self) -> None:
        """Kill it, as a crash would."""
        self._process.kill()
        self._process.wait()

    def stop(self, seconds: float) -> None:
        """Ask it to end, and kill it after so many seconds."""
        self._process.terminate()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._log.write(self.name, f"did not end within {seconds:g} s, killed")
            self.kill()
        self._listener.join(1.0)
        if self._process.stdin:
            self._process.stdin.close()

    def _listen(self) -> None:
        stream = self._process.stdout
        if stream is None:  # pragma: no cover - it is always a pipe, which the type does not tell
            return
        with stream:
            for raw in stream:
                line = raw.decode(errors="replace").rstrip()
                self._log.write(self.name, line)
                with self._heard:
                    self._lines.append(line)
                    self._heard.notify_all()
        with self._heard:
            self._silent = True
            self._heard.notify_all()
