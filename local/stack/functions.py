"""Keeps the Functions host running on one port.

A host that dies is restarted, as in Azure.

The first start must succeed, so that a broken app is reported with its own words; after that the host is
started again at once, and less and less often while it keeps dying.
"""

import http.client
import json
import sys
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from time import monotonic, sleep

from local.stack.ports import LOOPBACK
from local.stack.program import Log, Program, StartError

SECONDS_TO_START = 60.0
SECONDS_TO_STOP = 15.0
STABLE_AFTER = 10.0
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 4.0


class FunctionsHost:
    """The host of one app, at one address."""

    def __init__(self, app: Path, port: int, log: Log, *, lock: int | None = None) -> None:
        """Prepare a host; `start` starts it.

        `started`, if set, is called with each new pid.

        `started` may be set: it is called whenever there is a new pid.
        """
        self.port = port
        self.environment: Mapping[str, str] = {}
        self.started: Callable[[], None] = lambda: None
        self._command = [sys.executable, "-m", "local.host", "--app", str(app), "--port", str(port)]
        self._log = log
        self._lock_held = lock
        self._program: Program | None = None
        self._keeper: threading.Thread | None = None
        self._changing = threading.Lock()
        self._stopping = threading.Event()

    @property
    def url(self) -> str:
        """Its address, the same after each restart."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        """The current process id."""
        return self._current.pid

    def start(self, environment: Mapping[str, str]) -> None:
        """Start it with these settings, and wait until its functions answer.

        Raises StartError.
        """
        self.environment = environment
        self._stopping.clear()
        self._spawn()
        try:
            self.await_answer()
        except BaseException:
            self._current.stop(0)
            raise
        self._keeper = threading.Thread(target=self._keep, name="functions-keeper", daemon=True)
        self._keeper.start()

    def stop(self) -> None:
        """Stop it gracefully, within bounds, and do not restart it."""
        with self._changing:
            self._stopping.set()
            self._current.stop(SECONDS_TO_STOP)
        if self._keeper:
            self._keeper.join()

    def kill(self) -> None:
        """Kill it, as a crash would; it is restarted."""
        self._current.kill()

    def await_answer(self, seconds: float = SECONDS_TO_START) -> None:
        """Wait until the host is Running and a function answers.

        Raises StartError after so many seconds.
        """
        deadline = monotonic() + seconds
        while (state := self._state()) != "Running" or not self._a_function_answers():
            if state == "Error":
                raise self._current.failure("cannot load the app")
            if self._keeper is None and not self._current.running:
                raise self._current.failure("ended")
            if monotonic() > deadline:
                raise self._current.failure(f"did not answer within {seconds:g} s")
            sleep(0.05)

    @property
    def _current(self) -> Program:
        if self._program is None:
            raise StartError("the Functions host has not been started")
        return self._program

    def _spawn(self) -> None:
        command = [*self._command, "--exit-with-parent"]
        self._program = Program("functions", command, self._log, env=self.environment, lock=self._lock_held)
        self.started()

    def _keep(self) -> None:
        quick_deaths = 0
        while True:
            program, began = self._current, monotonic()
            code = program.wait()
            if self._stopping.is_set():
                return
            quick_deaths = 0 if monotonic() - began > STABLE_AFTER else quick_deaths + 1
            pause = min(FIRST_PAUSE * 2 ** (quick_deaths - 2), LONGEST_PAUSE) if quick_deaths > 1 else 0.0
            self._log.write(
                "stack", f"the functions host ended with exit code {code}; next start in {pause:g} s"
            )
            program.stop(0)
            if self._stopping.wait(pause):
                return
            with self._changing:
                if self._stopping.is_set():
                    return
                self._spawn()

    def _state(self) -> str | None:
        try:
            status, body = self._request("GET", "/admin/host/status")
            return str(json.loads(body)["state"]) if status == HTTPStatus.OK else None
        except (OSError, http.client.HTTPException):
            return None

    def _a_function_answers(self) -> bool:
        # The handshake has no effect, and only a function can answer it. Without webhooks the host's word must do.
        if "webhook" not in self.environment.get("DELIVERY", "webhook"):
            return True
        try:
            status, _ = self._request("POST", "/api/notifications?validationToken=ready")
        except (OSError, http.client.HTTPException):
            return False
        return status != HTTPStatus.NOT_FOUND

    def _request(self, method: str, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=10)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()
