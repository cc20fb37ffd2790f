"""The log of a stack, kept line by line in full."""

import json
import re
import threading
from dataclasses import dataclass
from typing import Any

from local.stack.program import Log

_LINE = re.compile(r"\S+ (?P<level>[A-Z]+) \[(?P<function>\w+)\] (?P<text>.*)", re.DOTALL)


@dataclass(frozen=True)
class Line:
    """A log line of the product: level, function and content."""

    level: str
    function: str
    fields: dict[str, Any]

    @property
    def event(self) -> str:
        return str(self.fields["event"])


class Heard(Log):
    """A log that keeps only the Functions host's lines."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._lines: list[str] = []

    def write(self, name: str, line: str) -> None:
        if name == "functions":
            with self._guard:
                self._lines.append(line)

    def texts(self, start: int = 0) -> list[str]:
        """All lines from the `start`th on, tracebacks too."""
        with self._guard:
            return self._lines[start:]

    def lines(self, start: int = 0) -> list[Line]:
        """The product's lines among them.

        One that looks like one and is no JSON raises ValueError.
        """
        found = []
        for text in self.texts(start):
            match = _LINE.fullmatch(text)
            if match and match["text"].startswith('{"event"'):
                found.append(Line(match["level"], match["function"], json.loads(match["text"])))
        return found
