"""Decide when a day is final, and which manifests need a refresh.

A day is final when its retry window and the delay of call records have passed, and a later scan of Graph's list found
an outcome for every call that ended on it. A later change of that day is marked before it is made, so a crash cannot
hide it; the next sweep publishes a new revision.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from azure.core.exceptions import AzureError

from .. import logs, times
from ..limits import Debounce
from ..messages import codec
from ..settings import Settings
from ..storage.state import StateStore
from .manifests import COMPLETE, COMPLETE_WITH_TABLES, Manifest, Manifests

MAX_RECORD_DELAY = timedelta(hours=3)  # of call records
REACH = timedelta(days=30)  # of Graph's list of call records
REMEMBERED = timedelta(days=400)  # Graph lists reports for a year
CHANGED = "sweep/changed/"
FINAL = "sweep/final.json"
MARK_INTERVAL = 60.0  # seconds
SHOWN_FOR = 86_400.0  # seconds
CHANGE_GRACE = timedelta(minutes=10)  # a change is written at most this long after it was marked
MAX_CHANGED_DAYS = 400


def ready_at(day: date, settings: Settings) -> datetime:
    """Return when every call that ended on `day` should have a settled outcome."""
    window = timedelta(seconds=settings.retry_window)
    return times.midnight(day) + timedelta(days=1) + window + MAX_RECORD_DELAY


class Sealing:
    """The days of one archive."""

    def __init__(self, state: StateStore, manifests: Manifests, settings: Settings) -> None:
        self._state = state
        self._manifests = manifests
        self._settings = settings
        self._debounce = Debounce(MARK_INTERVAL)
        self._shown = Debounce(SHOWN_FOR)

    def mark_changed(self, day: date) -> None:
        """Mark a day before something on it changes; no cost while the day is young."""
        if times.now() < ready_at(day, self._settings) or not self._debounce.allows(day):
            return
        try:
            self._state.put(f"{CHANGED}{day.isoformat()}.json", {"at": times.text(times.now())})
        except AzureError:
            self._debounce.forget(day)
            raise

    def shows_no_report(self, day: date) -> bool:
        """Whether a day's manifest shows no report yet; each instance asks once a day.

        The hourly sweep refreshes it, and nobody should have to wait for that to see the first report of a day.
        """
        if not self._shown.allows(day):
            return False
        manifest = self._manifests.read(day)
        return manifest is None or not manifest.reports

    def list_unsealed_days(self) -> list[date]:
        """List the incomplete days that Graph still lists, oldest first."""
        return self._list_days_without(COMPLETE)

    def _list_days_without(self, mark: str) -> list[date]:
        today = times.now().date()
        first = today - REACH
        marked = self._manifests.complete_days(first, today, mark)
        days = [first + timedelta(days=number) for number in range((today - first).days + 1)]
        return [day for day in days if day not in marked]

    def days_to_refresh(self) -> list[date]:
        """Return the days to refresh: incomplete, without tables, or changed since."""
        names = self._state.list_names(CHANGED, MAX_CHANGED_DAYS)
        changed = [_parse_day(name.removeprefix(CHANGED).removesuffix(".json")) for name in names]
        return sorted({*self._list_days_without(COMPLETE_WITH_TABLES), *(day for day in changed if day)})

    def mark_reconciled(self, days: set[date]) -> None:
        """Record that every call of these days has an outcome in its day's partition."""
        oldest = times.now().date() - REMEMBERED
        reconciled = sorted(day.isoformat() for day in self.reconciled_days() | days if day >= oldest)
        self._state.put(FINAL, {"days": reconciled})

    def reconciled_days(self) -> set[date]:
        """Return the reconciled days of the last year."""
        entry = self._state.read(FINAL)
        days = (_parse_day(name) for name in entry.content.get("days", [])) if entry else ()
        return set(filter(None, days))

    def refresh(self, day: date) -> Manifest | None:
        """Refresh a day's manifest and return it; None for a day that has not begun.

        The manifest is complete if the day is final and no outcome is pending.
        """
        if day > times.now().date():
            return None
        marker = f"{CHANGED}{day.isoformat()}.json"
        change = self._state.read(marker)
        manifest = self._manifests.refresh(day, final=day in self.reconciled_days())
        if change and change.content.get("at", "") < times.text(times.now() - CHANGE_GRACE):
            self._state.remove(marker, change)
        logs.info(
            "day.refreshed",
            date=day,
            complete=manifest.complete,
            revision=manifest.revision,
            delays=codec.encode(manifest.delays) if manifest.delays else None,
        )
        return manifest


def _parse_day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except (ValueError, TypeError):
        return None
