"""Faults on demand: wrong or missing answers to the next matching requests.

A fault acts before anything else, tokens included, as a gateway in front of the service would.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

HANG_SECONDS = 300.0
type Action = Literal[
    "reset", "cut", "garble", "delay", "hang", "headers", "drip", "cycle", "endless", "otherLink", "part"
]


@dataclass(frozen=True)
class Fault:
    """A fault of requests whose path with query matches `path`, `times` times.

    Without `action`, `status` is answered with `headers` and `body` (text, or a value to write as JSON; None: Graph's
    usual error body). reset: the connection is reset; cut: the real reply breaks off half way; garble: the real reply
    is no longer JSON; delay: `seconds`, then the reply (or `status`); hang: no reply until the client leaves; headers:
    the real reply with `headers` on top, as a Date of another day; drip: the reply (or `status`) a byte at a time,
    `seconds` apart. Of lists: cycle: the last page links to the first; endless: each page links to the first again, by
    an address that is new; otherLink: the next link has another property's name; part: the last half of the entries is
    left out, without a next link. With `every` it is done to each so
    many-th of these requests only.

    Whatever is answered has `pad` bytes of white space behind it, and is packed by each `encoding` (gzip, deflate) of a
    list with commas.
    """

    path: str
    method: str | None = None
    times: int = 1
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    action: Action | None = None
    seconds: float = 0.0
    every: int = 1
    encoding: str = ""
    pad: int = 0

    def __post_init__(self) -> None:
        if (
            (self.action is None and self.status is None)
            or self.times == 0
            or self.times < -1
            or self.every < 1
        ):
            raise ValueError(
                "a fault needs an action or a status, times of 1 or more (-1: always), every of 1 or more"
            )
        try:
            re.compile(self.path)
        except re.error as error:
            raise ValueError(f"path is no regular expression: {error}") from None


@dataclass
class _Entry:
    fault: Fault
    left: int
    met: int = 0
    struck: int = 0


class Faults:
    """The pending faults; the first match counts."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []

    def add(self, fault: Fault) -> None:
        """Append `fault`."""
        self._entries.append(_Entry(fault, fault.times))

    def clear(self) -> None:
        """Remove all."""
        self._entries.clear()

    def struck(self) -> list[tuple[Fault, int]]:
        """The unused faults, and how often each has struck."""
        return [(entry.fault, entry.struck) for entry in self._entries]

    def take(self, method: str, path: str) -> Fault | None:
        """The fault for this request, counted as used."""
        for index, entry in enumerate(self._entries):
            if entry.fault.method not in (None, method) or not re.search(entry.fault.path, path):
                continue
            entry.met += 1
            if entry.met % entry.fault.every:
                continue
            entry.struck += 1
            if entry.left == 1:
                del self._entries[index]
            elif entry.left > 1:
                entry.left -= 1
            return entry.fault
        return None
