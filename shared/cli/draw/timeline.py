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

MAX_NAME = 48
UNKNOWN_NAME = "(unknown)"
ROLES = ("Organizer", "Presenter", "Attendee")


@dataclass(frozen=True)
class Stay:
    """From joining to leaving."""

    join: datetime
    leave: datetime


@dataclass(frozen=True)
class Participant:
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
    people: tuple[Participant, ...]
    curve: tuple[tuple[datetime, int], ...]

    @property
    def peak(self) -> int:
        """The most who were there at once."""
        return max((count for _, count in self.curve), default=0)

    @property
    def title(self) -> str:
        """Times, participants and the most who were there at once, in a line."""
        when = f"{self.start:%Y-%m-%d %H:%M}" if self.start else "?"
        until = f"{self.end:%H:%M} UTC" if self.end else "?"
        people = "1 participant" if self.participants == 1 else f"{self.participants:,} participants"
        return f"{when} to {until}, {people}, at most {self.peak:,} at once"

    @property
    def span(self) -> tuple[datetime, datetime] | None:
        """From when to when there is something to draw; None where there is no time at all."""
        times = [time for time in (self.start, self.end) if time]
        times += [time for time, _ in self.curve]
        if not times:
            return None
        first, last = min(times), max(times)
        return first, last if last > first else first + timedelta(minutes=1)


def parse_timeline(report: Mapping[str, Any]) -> Timeline:
    """The timeline of a meetingAttendanceReport with its attendanceRecords."""
    meeting = rows.meeting_row(report, {})
    start, end = _parse_time(meeting["meetingStart"]), _parse_time(meeting["meetingEnd"])
    people = [_participant(row, start, end) for row in rows.attendee_rows(report, {})]
    people.sort(key=lambda each: (each.first is None, each.first or start, each.name))
    total = meeting["meetingParticipants"]
    return Timeline(
        sanitize(meeting["reportId"] or "", 80),
        start,
        end,
        len(people) if total is None else total,
        tuple(people),
        _attendance_curve(stay for each in people for stay in each.stays),
    )


def sanitize(text: str, most: int = MAX_NAME) -> str:
    """A text without what directs a terminal, a browser or the order of letters, and not too long."""
    safe = "".join(
        " " if each.isspace() else each
        for each in text
        if each.isspace() or unicodedata.category(each) not in ("Cc", "Cf", "Cs", "Co", "Cn")
    )
    safe = " ".join(safe.split())
    return safe if len(safe) <= most else f"{safe[: most - 1]}…"


def _participant(row: Mapping[str, Any], start: datetime | None, end: datetime | None) -> Participant:
    name = sanitize(row["displayName"] or "") or sanitize(row["emailAddress"] or "") or UNKNOWN_NAME
    stays = []
    for each in row["intervals"]:
        join, leave = _parse_time(each["join"]) or start, _parse_time(each["leave"]) or end
        if join and leave and join <= leave:
            stays.append(Stay(join, leave))
    seconds = row["attendedSeconds"]
    return Participant(
        name, sanitize(row["role"] or ""), tuple(stays), None if seconds is None else round(seconds / 60)
    )


def _attendance_curve(stays: Iterable[Stay]) -> tuple[tuple[datetime, int], ...]:
    """How many are present: at each time at which that changes, the number from then on."""
    changes = sorted(change for stay in stays for change in ((stay.join, 1), (stay.leave, -1)))
    count, curve = 0, []
    for time, group in itertools.groupby(changes, key=lambda change: change[0]):
        count += sum(step for _, step in group)
        curve.append((time, count))
    return tuple(curve)


def _parse_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
