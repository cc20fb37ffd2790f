"""Faults on demand: the next requests that match get a wrong answer, or none.

A fault acts before anything else, tokens included, as a gateway in front of the service would.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

HANG_SECONDS = 300.0


@dataclass(frozen=True)
class Fault:
    """What to do to requests whose path with query holds the expression `path`, `times` times (-1: always).

    Without `action`, `status` is answered with `headers` and `body` (text, or a value to write as JSON; None: Graph's
    usual error body). reset: the connection is reset; cut: the real reply breaks off half way; garble: the real reply
    is no longer JSON; delay: `seconds`, then the reply (or `status`); hang: no reply until the client leaves.
    """

    path: str
    method: str | None = None
    times: int = 1
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    action: Literal["reset", "cut", "garble", "delay", "hang"] | None = None
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if (self.action is None and self.status is None) or self.times == 0 or self.times < -1:
            raise ValueError("a fault needs an action or a status, and times of 1 or more (-1: always)")
        try:
            re.compile(self.path)
        except re.error as error:
            raise ValueError(f"path is no regular expression: {error}") from None


class Faults:
    """The faults to come, first match first."""

    def __init__(self) -> None:
        self._entries: list[tuple[Fault, int]] = []

    def add(self, fault: Fault) -> None:
        """Puts `fault` behind the others."""
        self._entries.append((fault, fault.times))

    def clear(self) -> None:
        """Forgets all faults."""
        self._entries.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The fault for this request, used up by one."""
        for index, (fault, left) in enumerate(self._entries):
            if fault.method in (None, method) and re.search(fault.path, path):
                if left == 1:
                    del self._entries[index]
                elif left > 1:
                    self._entries[index] = (fault, left - 1)
                return fault
        return None
