"""Signs of life for the health page: when something last happened, at most once a minute and instance.

They are written where the work is done anyway, so that a storm of notifications costs no more than one does. A
heartbeat that cannot be written stops nobody's work.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azure.core.exceptions import AzureError

from .. import logs, times
from ..limits import Debounce
from .state import StateStore

NOTIFICATION = "heartbeat/notification.json"
REPORT = "heartbeat/report.json"
REFUSED = "heartbeat/refused.json"
MAINTENANCE = "heartbeat/maintenance.json"
EVERY = 60.0  # seconds


class Heartbeat:
    """The heartbeats of one app."""

    def __init__(self, state: StateStore) -> None:
        self._state = state
        self._once = Debounce(EVERY)

    def record_now(self, name: str) -> None:
        """Write that `name` happened now, unless this instance did so within the last minute."""
        if self._once.allows(name):
            self.record(name, {})

    def record(self, name: str, fields: Mapping[str, Any]) -> None:
        """Write that `name` happened now, with what came of it."""
        try:
            self._state.put(name, {"at": times.text(times.now()), **fields})
        except AzureError as failure:
            logs.warning("heartbeat.failed", name=name, error=type(failure).__name__)

    def count_refused(self, count: int) -> None:
        """Add notifications with a wrong clientState to the count."""
        try:
            entry = self._state.read(REFUSED)
            known = entry.content if entry else {}
            first, before = known.get("first"), known.get("count", 0)
            now = times.text(times.now())
            self._state.write(REFUSED, {"at": now, "first": first or now, "count": before + count}, entry)
        except AzureError as failure:
            logs.warning("heartbeat.failed", name=REFUSED, error=type(failure).__name__)
