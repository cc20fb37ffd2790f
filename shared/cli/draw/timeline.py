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

from ...archive.reports import LONGEST_MEETING
from ...tables import rows
from ...tables.spans import Span, merge_spans

MAX_NAME = 48
MAX_SUBJECT = 80
MARGIN = timedelta(hours=1)  # around the meeting, in which a stay is drawn
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
    subject: str = ""

    @property
    def peak(self) -> int:
        """The most people present at once."""
        return max((count for _, count in self.curve), default=0)

    @property
    def title(self) -> str:
        """One line with the subject, the times, the participants and the peak."""
        when = f"{self.start:%Y-%m-%d %H:%M}" if self.start else "?"
        until = f"{self.end:%H:%M} UTC" if self.end else "?"
        people = "1 participant" if self.participants == 1 else f"{self.participants:,} participants"
        subject = f"{self.subject}: " if self.subject else ""
        peak = f", at most {self.peak:,} at once" if self.curve else ""
        return f"{subject}{when} to {until}, {people}{peak}"

    @property
    def missing(self) -> str:
        """Why there is nothing to draw; "" where there is something."""
        if not self.people and self.participants:
            return "Graph counts participants, but the report has no records of them."
        if not self.people:
            return "Nobody attended."
        return "" if self.span else "The report has no times."

    @property
    def span(self) -> tuple[datetime, datetime] | None:
        """The time span to draw, or None if the report has no times."""
        times = [time for time in (self.start, self.end) if time]
        times += [time for time, _ in self.curve]
        if not times:
            return None
        first, last = min(times), max(times)
        return first, last if last > first else first + timedelta(minutes=1)


def parse_timeline(report: Mapping[str, Any], subject: str | None = None) -> Timeline:
    """Parse a meetingAttendanceReport with attendanceRecords.

    `subject` is the subject of its meeting.
    """
    meeting = rows.meeting_row(report, {})
    start, end = _parse_time(meeting["meetingStart"]), _parse_time(meeting["meetingEnd"])
    if start and end and not timedelta() <= end - start <= LONGEST_MEETING:
        start = None
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
        sanitize(subject or "", MAX_SUBJECT),
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
    found = [span for each in row["intervals"] if (span := _span(each, start, end))]
    stays = tuple(Stay(*each) for each in merge_spans(found))
    seconds = row["attendedSeconds"]
    return Participant(
        name, sanitize(row["role"] or ""), stays, None if seconds is None else round(seconds / 60)
    )


def _span(interval: Mapping[str, Any], start: datetime | None, end: datetime | None) -> Span | None:
    """Return the part of an interval in the meeting, give or take MARGIN.

    None if the interval has only a duration.
    """
    join, leave = _parse_time(interval["join"]), _parse_time(interval["leave"])
    if join is None and leave is None:
        return None
    first = start or (end - LONGEST_MEETING if end else None)
    last = end or (start + LONGEST_MEETING if start else None)
    join, leave = join or first, leave or last
    if join is None or leave is None:
        return None
    if first and last:
        join, leave = max(join, first - MARGIN), min(leave, last + MARGIN)
    return (join, leave) if join <= leave else None


def _attendance_curve(stays: Iterable[Stay]) -> tuple[tuple[datetime, int], ...]:
    """Return the number of people present from each time at which it changes."""
    changes = sorted(change for stay in stays for change in ((stay.join, 1), (stay.leave, -1)))
    count, curve = 0, []
    for time, group in itertools.groupby(changes, key=lambda change: change[0]):
        count += sum(step for _, step in group)
        curve.append((time, count))
    return tuple(curve)


def _parse_time(text: str | None) -> datetime | None:
    """A time of a row; None for one that no meeting has."""
    time = datetime.fromisoformat(text) if text else None
    return time if time and 2000 <= time.year < 3000 else None
