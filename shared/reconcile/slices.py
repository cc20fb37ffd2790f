"""One time slice of a scan: the scan as it moves on, and the time that is left."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

from ..services import Services
from ..storage.scans import Scan

SLICE_SECONDS = 120.0


@dataclass
class Slice:
    """The scan, which its parts move on, and the moment (monotonic) after which no new step begins."""

    scan: Scan
    services: Services
    deadline: float = field(default_factory=lambda: time.monotonic() + SLICE_SECONDS)

    def has_time(self) -> bool:
        """Whether a new step may begin."""
        return time.monotonic() < self.deadline

    def update(self, **changes: Any) -> None:
        """Move the scan on."""
        self.scan = replace(self.scan, **changes)
