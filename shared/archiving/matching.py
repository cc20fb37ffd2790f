"""Match a meeting's attendance reports to one of its sessions: pure decisions.

An online meeting has many sessions (a series, a restart), each with its own report, and Graph lists them in no order.
Matching one report too many costs a write that changes nothing; missing one loses data.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..graph.reports import ReportHeader

TOLERANCE = timedelta(minutes=15)  # call and report are timed by different services
RECENT = timedelta(hours=24)
CLOCK_SKEW = timedelta(minutes=2)


@dataclass(frozen=True)
class MeetingSession:
    """The time span of a call, from the first join to the last leave.

    Of some calls only the end is known.
    """

    start: datetime | None
    end: datetime

    @property
    def begin(self) -> datetime:
        """The start, or the end if only that is known."""
        return self.start or self.end


@dataclass(frozen=True)
class Selection:
    """A meeting's reports, sorted by how they relate to the session.

    `matching` belong to the session, and one of them is enough. `nearby` overlap it only within the tolerance, like the
    report of a session minutes earlier: archived if missing, and used for the session if nothing better appears before
    the retries end. `unrelated` belong to other sessions and are archived if missing. `unfinished` end before the call
    did: Graph lists the report of a meeting that is still running.
    """

    matching: tuple[ReportHeader, ...]
    nearby: tuple[ReportHeader, ...]
    unrelated: tuple[ReportHeader, ...]
    unfinished: tuple[ReportHeader, ...]


def match_reports(
    reports: Iterable[ReportHeader],
    session: MeetingSession,
    now: datetime,
    *,
    in_channel: bool = False,
    everything: bool = False,
) -> Selection:
    """Sort the listed reports by their relation to `session`.

    `everything` includes old reports of other sessions. The list of a channel meeting holds the reports of all meetings
    of the channel, and two of them can take place at once. There, only a report with the times of the call matches.
    """
    matching: list[ReportHeader] = []
    nearby: list[ReportHeader] = []
    unrelated: list[ReportHeader] = []
    unfinished: list[ReportHeader] = []
    for report in reports:
        if report.end is None or report.end > now + CLOCK_SKEW:
            continue  # still running
        start = report.start or report.end
        reaches_end = report.end >= session.end - TOLERANCE
        if in_channel and _overlaps(start, report.end, session):
            (matching if _has_times_of(start, report.end, session) else nearby).append(report)
        elif _shares_time(start, report.end, session):
            (matching if reaches_end else unfinished).append(report)
        elif _overlaps(start, report.end, session):
            nearby.append(report)
        elif everything or report.end >= now - RECENT:
            unrelated.append(report)
    return Selection(tuple(matching), tuple(nearby), tuple(unrelated), tuple(unfinished))


def _shares_time(start: datetime, end: datetime, session: MeetingSession) -> bool:
    """Whether report and session overlap by more than the clocks may differ.

    Half of the shorter one is enough. If only the session's end is known: whether it lies within the report, plus the
    clock skew.
    """
    if session.start is None:
        return start <= session.end <= end + CLOCK_SKEW
    shared = min(end, session.end) - max(start, session.start)
    shorter = min(end - start, session.end - session.start)
    return shared > CLOCK_SKEW or shared >= shorter / 2


def _has_times_of(start: datetime, end: datetime, session: MeetingSession) -> bool:
    begins = session.start is None or abs(start - session.start) <= CLOCK_SKEW
    return begins and abs(end - session.end) <= CLOCK_SKEW


def _overlaps(start: datetime, end: datetime, session: MeetingSession) -> bool:
    return start <= session.end + TOLERANCE and end >= session.begin - TOLERANCE
