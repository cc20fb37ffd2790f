"""A month of past meetings in the simulated tenant.

The app archives them by its sweep, and one that Graph announces. With it charts, lists and days have something to
show at once.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from local.simulator.control.client import Control
from local.simulator.tenant.orders import NewMeeting, NewSession

DAYS = 29  # Graph lists 30 days back
MEETINGS = (7, 9, 8, 9, 5, 1, 0)  # that end on a Monday, Tuesday, …
PARTICIPANTS = (4, 9, 3, 14, 6, 2, 23, 5, 8)
SERIES = 3  # of a day's meetings are sessions of the same ones
TOO_YOUNG = 3  # of the last days: before three in the morning none of them is sealed
SECONDS_TO_ARCHIVE = 180.0
SECONDS_OF_A_SWEEP = 30.0
SECONDS_TO_ANNOUNCE = 30.0
SECONDS_BETWEEN_LOOKS = 2.0


def add_month(control: Control, now: datetime | None = None) -> int:
    """Add the meetings, of which Graph announces none; return their number."""
    midnight = (now or datetime.now(UTC)).replace(hour=0, minute=0, second=0, microsecond=0)
    series = [control.add_meeting(NewMeeting("recurring")).meeting_id for _ in range(SERIES)]
    count = 0
    for back in range(1, DAYS + 1):
        day = midnight - timedelta(days=back)
        for nth in range(MEETINGS[day.weekday()]):
            end = day + timedelta(hours=8, minutes=30 + 55 * nth)
            order = NewSession(start=end - timedelta(minutes=45), end=end, announce=False)
            meeting = series[nth] if nth < SERIES else control.add_meeting().meeting_id
            people = PARTICIPANTS[(nth + back) % len(PARTICIPANTS)]
            control.add_session(replace(order, meeting_id=meeting, participants=people))
            count += 1
    return count


def archive_month(functions: str) -> None:
    """Subscribe, find the past meetings and seal their days.

    Raises TimeoutError. Two sweeps do: one finds the meetings, the next seals their days. More would meet Graph's
    limit of list requests.
    """
    run_now(functions, "maintain_subscriptions")
    deadline = time.monotonic() + SECONDS_TO_ARCHIVE
    while time.monotonic() < deadline:
        run_now(functions, "sweep")
        if _settle(functions):
            return
    raise TimeoutError("the month of past meetings was not archived")


def announce_meeting(control: Control, functions: str, participants: int) -> None:
    """End a meeting now, and wait until the app has its notification.

    Raises TimeoutError.
    """
    control.add_session(NewSession(control.add_meeting().meeting_id, participants=participants))
    deadline = time.monotonic() + SECONDS_TO_ANNOUNCE
    while not _health(functions)["lastNotification"]:
        if time.monotonic() > deadline:
            raise TimeoutError("the last meeting was not announced")
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _settle(functions: str) -> bool:
    """Wait for the sweep and its queued work.

    Return whether all days that are old enough are complete.
    """
    deadline = time.monotonic() + SECONDS_OF_A_SWEEP
    while time.monotonic() < deadline:
        time.sleep(SECONDS_BETWEEN_LOOKS)
        health = _health(functions)
        if all(day["complete"] for day in health["days"][:-TOO_YOUNG]):
            return True
        scan = health["sweep"]["full"]
        if scan and scan["finished"] and not any(health["queues"].values()):
            return False
    return False


def _health(functions: str) -> dict[str, Any]:
    found: dict[str, Any] = requests.get(f"{functions}/api/health", timeout=60).json()
    return found


def run_now(functions: str, name: str) -> None:
    """Run a timer's function now, as the portal does."""
    requests.post(f"{functions}/admin/functions/{name}", json={"input": ""}, timeout=10).raise_for_status()
