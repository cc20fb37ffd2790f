"""Time slice of a scan: its current state and the time left."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

from ..services import Services
from ..storage.scans import Scan

SLICE_SECONDS = 120.0


@dataclass
class Slice:
    """The scan, updated by its parts, and the time after which no step may begin.

    The deadline is a value of the monotonic clock.
    """

    scan: Scan
    services: Services
    deadline: float = field(default_factory=lambda: time.monotonic() + SLICE_SECONDS)

    def has_time(self) -> bool:
        """Whether another step may begin."""
        return time.monotonic() < self.deadline

    def update(self, **changes: Any) -> None:
        """Change fields of the scan."""
        self.scan = replace(self.scan, **changes)
