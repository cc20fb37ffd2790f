"""Heartbeats: when an event last happened, for the health page.

Each instance writes a heartbeat at most once a minute, so a storm of notifications costs no more than one. A failed
write is logged and never interrupts the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from azure.core.exceptions import AzureError

from .. import logs, times
from ..limits import Debounce
from .state import StateStore

NOTIFICATION = "heartbeat/notification.json"
REPORT = "heartbeat/report.json"
REFUSED = "heartbeat/refused.json"
VALIDATION = "heartbeat/validation.json"
MAINTENANCE = "heartbeat/maintenance.json"
PROPERTIES = "heartbeat/properties.json"
EVERY = 60.0  # seconds
DAY = 86_400.0  # seconds
MOST_PROPERTIES = 50


class Heartbeat:
    """The heartbeats of one app."""

    def __init__(self, state: StateStore) -> None:
        self._state = state
        self._debounce = Debounce(EVERY)
        self._properties = Debounce(DAY)

    def record_now(self, name: str) -> None:
        """Record that `name` happened now, at most once a minute."""
        if self._debounce.allows(name):
            self.record(name, {})

    def record(self, name: str, fields: Mapping[str, Any]) -> None:
        """Record that `name` happened now, with these fields."""
        try:
            self._state.put(name, {"at": times.text(times.now()), **fields})
        except AzureError as failure:
            logs.warning("heartbeat.failed", name=name, error=type(failure).__name__)

    def count_refused(self, count: int, subscription_id: str | None) -> None:
        """Count notifications with a wrong clientState.

        Also the subscription of ours that sent one.
        """
        now = times.text(times.now())
        ours = {"ours": {"at": now, "subscription": subscription_id}} if subscription_id else {}
        try:
            entry = self._state.read(REFUSED)
            before = entry.content if entry else {}
            counted = {
                "at": now,
                "first": before.get("first") or now,
                "count": before.get("count", 0) + count,
            }
            self._state.write(REFUSED, {**before, **counted, **ours}, entry)
        except AzureError as failure:
            logs.warning("heartbeat.failed", name=REFUSED, error=type(failure).__name__)

    def note_unknown(self, properties: Iterable[str]) -> None:
        """Record properties of Graph that this version does not know. Each is logged once."""
        new = [each for each in sorted(properties) if self._properties.allows(each)]
        if not new:
            return
        try:
            entry = self._state.read(PROPERTIES)
            before = recorded_properties(entry.content if entry else {})
            added = [each for each in new if each not in before][: MOST_PROPERTIES - len(before)]
            content = {"at": times.text(times.now()), "properties": [*before, *added]}
            if added and self._state.write(PROPERTIES, content, entry):
                logs.warning("properties.unknown", properties=added)
        except AzureError as failure:
            logs.warning("heartbeat.failed", name=PROPERTIES, error=type(failure).__name__)


def recorded_properties(content: Mapping[str, Any]) -> list[str]:
    """Return the names of properties that were recorded."""
    names = content.get("properties")
    return [each for each in names if isinstance(each, str)] if isinstance(names, list) else []
