"""The state of a notification endpoint (normal, slow, drop) over 10 minutes.

slow: more than 10 % took over 3 s, notifications go out 10 minutes late. drop: more than 15 % took over 10 s,
notifications are lost. Either lasts 10 minutes and is then judged by the responses since.
Source: Receive change notifications through webhooks, throttling of endpoints.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

type EndpointState = Literal["normal", "slow", "drop"]

WINDOW = 600.0
SLOW_SECONDS, SLOW_SHARE = 3.0, 0.10
DROP_SECONDS, DROP_SHARE = 10.0, 0.15


@dataclass
class Endpoint:
    """One host and port; times are seconds of one clock, `scale` divides the window."""

    scale: float = 1.0
    evaluate_after: int = 100
    _state: EndpointState = "normal"
    _until: float = 0.0
    _responses: deque[tuple[float, float]] = field(default_factory=deque)

    def note(self, at: float, seconds: float) -> None:
        """Count a response that took `seconds`, in real time."""
        self._responses.append((at, seconds))

    def state(self, at: float) -> EndpointState:
        """The state at `at`."""
        window = WINDOW / self.scale
        while self._responses and self._responses[0][0] < at - window:
            self._responses.popleft()
        if self._state != "normal" and at < self._until:
            return self._state
        probing = self._state != "normal"
        verdict = self._verdict(1 if probing else self.evaluate_after)
        if verdict != "normal":
            self._until = at + window
            self._responses.clear()
        self._state = verdict
        return verdict

    def _verdict(self, least: int) -> EndpointState:
        count = len(self._responses)
        if count < max(1, least):
            return "normal"
        if sum(seconds >= DROP_SECONDS for _, seconds in self._responses) / count > DROP_SHARE:
            return "drop"
        if sum(seconds >= SLOW_SECONDS for _, seconds in self._responses) / count > SLOW_SHARE:
            return "slow"
        return "normal"
