"""Online meetings and the calls held in them.

Whether a call record or a report can be read at a moment is a matter of delays and of how long Graph keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from local.simulator.tenant.orders import MeetingKind, View

RECORDS_KEPT = timedelta(days=30)
REPORTS_KEPT = timedelta(days=365)


@dataclass(frozen=True)
class Meeting:
    """An online meeting; meetings with the same `series` share a list of reports."""

    id: str
    kind: MeetingKind
    organizer_id: str
    tenant_id: str
    subject: str
    thread_id: str
    series: str
    join_web_url: str
    join_meeting_id: str
    join_url_refused: bool
    view: View = "plain"
    scheduled_start: datetime | None = None
    scheduled_end: datetime | None = None
    invited: int | None = 0


@dataclass(frozen=True)
class Session:
    """One call: a session of a meeting, or ad hoc. Delays are seconds after its end."""

    call_id: str
    report_id: str
    meeting_id: str | None
    organizer_id: str
    type: str
    start: datetime
    end: datetime
    participants: int
    engagements: int | None
    report_delay: float
    record_delay: float
    announce: int
    announce_delay: float
    early_report: bool
    grow_after: float | None
    no_report: bool
    first_version_lacks: tuple[str, ...]
    revised_after: float
    report_refused: int | None
    phone_organizer: bool
    record_organizer: str | None

    def record_exists(self, at: datetime) -> bool:
        """Whether the call record can be read: after the call, and for 30 days."""
        return self.end + timedelta(seconds=self.record_delay) <= at < self.end + RECORDS_KEPT

    def lacking(self, at: datetime) -> tuple[str, ...]:
        """What the version of its call record that is shown at a time lacks."""
        is_first = at < self.end + timedelta(seconds=self.revised_after)
        return self.first_version_lacks if is_first else ()

    def report_is_final(self, at: datetime) -> bool:
        """Whether the report of the ended session exists (it may still grow)."""
        return self.end + timedelta(seconds=self.report_delay) <= at

    def report_exists(self, at: datetime) -> bool:
        """Whether a report can be read: for a year, and during an `early_report` session."""
        if self.meeting_id is None or self.no_report or at >= self.end + REPORTS_KEPT:
            return False
        return self.report_is_final(at) or (self.early_report and at > self.start)

    def announced_at(self) -> datetime:
        """When the call record is announced, if it is."""
        return self.end + timedelta(seconds=self.announce_delay)
