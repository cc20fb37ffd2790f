"""A report as what a picture of it needs: people with their stays, and how many were there when.

Nothing is trusted to have the documented shape; what cannot be drawn is left out. Names come from outside the
organisation too: they are made harmless here, once for every kind of picture.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ...tables import rows

LONGEST_NAME = 48
NOBODY = "(unknown)"
ROLES = ("Organizer", "Presenter", "Attendee")


@dataclass(frozen=True)
class Stay:
    """From joining to leaving."""

    join: datetime
    leave: datetime


@dataclass(frozen=True)
class Someone:
    """A person of the report; `minutes` are of the attendance that Graph counted."""

    name: str
    role: str
    stays: tuple[Stay, ...]
    minutes: int | None

    @property
    def first(self) -> datetime | None:
        """When the person first joined."""
        return min((stay.join for stay in self.stays), default=None)

    @property
    def last(self) -> datetime | None:
        """When the person last left."""
        return max((stay.leave for stay in self.stays), default=None)


@dataclass(frozen=True)
class Timeline:
    """A report: people by their first joining, and the curve, (time, number present from then on)."""

    report_id: str
    start: datetime | None
    end: datetime | None
    participants: int
    people: tuple[Someone, ...]
    curve: tuple[tuple[datetime, int], ...]

    @property
    def peak(self) -> int:
        """The most who were there at once."""
        return max((count for _, count in self.curve), default=0)

    @property
    def span(self) -> tuple[datetime, datetime] | None:
        """From when to when there is something to draw; None where there is no time at all."""
        known = [time for time in (self.start, self.end) if time]
        known += [time for time, _ in self.curve]
        if not known:
            return None
        first, last = min(known), max(known)
        return first, last if last > first else first + timedelta(minutes=1)


def read(report: Mapping[str, Any]) -> Timeline:
    """The timeline of a meetingAttendanceReport with its attendanceRecords."""
    meeting = rows.meeting_row(report, {})
    start, end = _time(meeting["meetingStart"]), _time(meeting["meetingEnd"])
    people = [_someone(row, start, end) for row in rows.attendee_rows(report, {})]
    people.sort(key=lambda each: (each.first is None, each.first or start, each.name))
    total = meeting["meetingParticipants"]
    return Timeline(
        harmless(meeting["reportId"] or "", 80),
        start,
        end,
        len(people) if total is None else total,
        tuple(people),
        _curve(stay for each in people for stay in each.stays),
    )


def harmless(text: str, most: int = LONGEST_NAME) -> str:
    """A text without what directs a terminal, a browser or the order of letters, and not too long."""
    kept = "".join(
        " " if each.isspace() else each
        for each in text
        if each.isspace() or unicodedata.category(each) not in ("Cc", "Cf", "Cs", "Co", "Cn")
    )
    kept = " ".join(kept.split())
    return kept if len(kept) <= most else f"{kept[: most - 1]}…"


def _someone(row: Mapping[str, Any], start: datetime | None, end: datetime | None) -> Someone:
    name = harmless(row["displayName"] or "") or harmless(row["emailAddress"] or "") or NOBODY
    stays = []
    for each in row["intervals"]:
        join, leave = _time(each["join"]) or start, _time(each["leave"]) or end
        if join and leave and join <= leave:
            stays.append(Stay(join, leave))
    seconds = row["attendedSeconds"]
    return Someone(
        name, harmless(row["role"] or ""), tuple(stays), None if seconds is None else round(seconds / 60)
    )


def _curve(stays: Iterable[Stay]) -> tuple[tuple[datetime, int], ...]:
    """How many are present: at each time at which that changes, the number from then on."""
    changes = sorted(change for stay in stays for change in ((stay.join, 1), (stay.leave, -1)))
    count, curve = 0, []
    for time, group in itertools.groupby(changes, key=lambda change: change[0]):
        count += sum(step for _, step in group)
        curve.append((time, count))
    return tuple(curve)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
