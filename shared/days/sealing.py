"""When a day is final, and whose manifest is to be written anew.

A day is final when its window and the lateness of call records have passed and a look at Graph's list that began after
that knew every call that ended in it. Whoever changes a day after that notes it first, so that a crash cannot hide the
change, and the next sweep run publishes a new revision.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from azure.core.exceptions import AzureError

from .. import logs, times
from ..limits import Debounce
from ..settings import Settings
from ..storage.state import StateStore
from .manifests import COMPLETE, COMPLETE_WITH_TABLE, Manifests

LATENESS = timedelta(hours=3)  # of call records, at most
REACH = timedelta(days=30)  # of Graph's list of call records
REMEMBERED = timedelta(days=400)  # Graph lists reports for a year
CHANGED = "sweep/changed/"
FINAL = "sweep/final.json"
MARK_INTERVAL = 60.0  # seconds
SETTLED_AFTER = timedelta(minutes=10)  # a change is written within this of being noted
MOST = 400


def ready_at(day: date, settings: Settings) -> datetime:
    """From when on every call that ended on `day` should have an outcome that is settled."""
    window = timedelta(seconds=settings.retry_window)
    return times.midnight(day) + timedelta(days=1) + window + LATENESS


class Sealing:
    """The days of one archive."""

    def __init__(self, state: StateStore, manifests: Manifests, settings: Settings) -> None:
        self._state = state
        self._manifests = manifests
        self._settings = settings
        self._noted = Debounce(MARK_INTERVAL)

    def mark_changed(self, day: date) -> None:
        """Say, before it is done, that something on `day` changes. Costs nothing while the day is young."""
        if times.now() < ready_at(day, self._settings) or not self._noted.allows(day):
            return
        try:
            self._state.put(f"{CHANGED}{day.isoformat()}.json", {"at": times.text(times.now())})
        except AzureError:
            self._noted.forget(day)
            raise

    def list_unsealed_days(self) -> list[date]:
        """The days that Graph's list reaches and whose manifest is not complete, oldest first."""
        return self._list_days_without(COMPLETE)

    def _list_days_without(self, mark: str) -> list[date]:
        today = times.now().date()
        first = today - REACH
        marked = self._manifests.complete_days(first, today, mark)
        days = [first + timedelta(days=number) for number in range((today - first).days + 1)]
        return [day for day in days if day not in marked]

    def days_to_refresh(self) -> list[date]:
        """The days to be gone through: those that are not sealed or have no table, and those that changed after."""
        names = self._state.list_names(CHANGED, MOST)
        changed = [_parse_day(name.removeprefix(CHANGED).removesuffix(".json")) for name in names]
        return sorted({*self._list_days_without(COMPLETE_WITH_TABLE), *(day for day in changed if day)})

    def mark_reconciled(self, days: set[date]) -> None:
        """A look has seen every call that ended on these days, and every one has an outcome in its partition."""
        oldest = times.now().date() - REMEMBERED
        known = sorted(day.isoformat() for day in self.reconciled_days() | days if day >= oldest)
        self._state.put(FINAL, {"days": known})

    def reconciled_days(self) -> set[date]:
        """The days of the last year of which `mark_reconciled` was told."""
        entry = self._state.read(FINAL)
        days = (_parse_day(name) for name in entry.content.get("days", [])) if entry else ()
        return set(filter(None, days))

    def refresh(self, day: date) -> bool:
        """Write the day's manifest; it is complete when the day is final and nothing is pending.

        Return whether the day is complete and its table is still to be written.
        """
        if day > times.now().date():
            return False
        marker = f"{CHANGED}{day.isoformat()}.json"
        noted = self._state.read(marker)
        manifest = self._manifests.refresh(day, final=day in self.reconciled_days())
        if noted and noted.content.get("at", "") < times.text(times.now() - SETTLED_AFTER):
            self._state.remove(marker, noted)
        logs.info("day.refreshed", date=day, complete=manifest.complete, revision=manifest.revision)
        return manifest.complete and not manifest.is_complete_with_table


def _parse_day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except (ValueError, TypeError):
        return None
