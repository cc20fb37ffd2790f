"""Watches all writes of reports and outcomes: none may say less than the one before."""

import json
import re
import threading
from pathlib import PurePosixPath
from typing import Any

from tests.storm.steps import Request

MOST_TOLD = 20
_WATCHED = re.compile(r"/(reports|outcomes)/date=[^/]+/[^/?]+\.json")
_STORED = "stored"


class Worsening:
    """What has been written so far; `found` are the writes that made something worse."""

    def __init__(self) -> None:
        self._records: dict[str, int] = {}
        self._stored: set[str] = set()
        self._lock = threading.Lock()
        self.found: list[str] = []

    def watches(self, request: Request) -> bool:
        """Whether this is a write of a report or an outcome."""
        return request.method == "PUT" and "comp=" not in request.path and bool(_WATCHED.search(request.name))

    def wrote(self, request: Request) -> None:
        """Note a write that storage has taken."""
        name = PurePosixPath(request.name.partition("?")[0]).stem
        with self._lock:
            if "/outcomes/" in request.name:
                outcome = request.headers.get("x-ms-meta-outcome", "")
                if name in self._stored and outcome != _STORED:
                    self._tell(f"{name} was {_STORED}, and is {outcome}")
                if outcome == _STORED:
                    self._stored.add(name)
                return
            records = _count(request.body)
            if records < self._records.get(name, 0):
                self._tell(f"report {name} had {self._records[name]} records, and has {records}")
            self._records[name] = max(records, self._records.get(name, 0))

    def _tell(self, problem: str) -> None:
        if len(self.found) < MOST_TOLD:
            self.found.append(problem)


def _count(body: bytes) -> int:
    """The different attendance records of a report; -1 for what is none."""
    try:
        content: Any = json.loads(body)
        return len({json.dumps(each, sort_keys=True) for each in content["attendanceRecords"]})
    except (ValueError, KeyError, TypeError):
        return -1
