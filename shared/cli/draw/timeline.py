"""Timeline of a report: people with their stays, and how many were present when.

A report may not have the documented shape; what cannot be drawn is left out. Names come from outside the organization
too, so they are sanitized here, once for every kind of picture.
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
    """The time from joining to leaving."""

    join: datetime
    leave: datetime


@dataclass(frozen=True)
class Participant:
    """A person in the report; `minutes` is the attendance that Graph counted."""

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
    """A report: people by first joining, and the curve (time, number from then on)."""

    report_id: str
    start: datetime | None
    end: datetime | None
    participants: int
    people: tuple[Participant, ...]
    curve: tuple[tuple[datetime, int], ...]

    @property
    def peak(self) -> int:
        """The most people present at once."""
        return max((count for _, count in self.curve), default=0)

    @property
    def title(self) -> str:
        """One line with the times, the participants and the peak."""
        when = f"{self.start:%Y-%m-%d %H:%M}" if self.start else "?"
        until = f"{self.end:%H:%M} UTC" if self.end else "?"
        people = "1 participant" if self.participants == 1 else f"{self.participants:,} participants"
        return f"{when} to {until}, {people}, at most {self.peak:,} at once"

    @property
    def span(self) -> tuple[datetime, datetime] | None:
        """The time span to draw, or None if the report has no times."""
        times = [time for time in (self.start, self.end) if time]
        times += [time for time, _ in self.curve]
        if not times:
            return None
        first, last = min(times), max(times)
        return first, last if last > first else first + timedelta(minutes=1)


def parse_timeline(report: Mapping[str, Any]) -> Timeline:
    """Parse the timeline of a meetingAttendanceReport with attendanceRecords."""
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
    """Remove control and direction characters from a text, and shorten it."""
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
    """Return the number of people present from each time at which it changes."""
    changes = sorted(change for stay in stays for change in ((stay.join, 1), (stay.leave, -1)))
    count, curve = 0, []
    for time, group in itertools.groupby(changes, key=lambda change: change[0]):
        count += sum(step for _, step in group)
        curve.append((time, count))
    return tuple(curve)


def _parse_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
