"""Which reports of a meeting belong to a session that has ended: pure decisions.

One online meeting has many sessions (a series, a restart), each with a report of its own, and Graph's list is not
ordered. Wrongly taking a report costs one write that changes nothing; wrongly leaving one out loses data.
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
    """The span of a call, from the first join to the last leave. Of some only the end is known."""

    start: datetime | None
    end: datetime

    @property
    def begin(self) -> datetime:
        """The start, or the end where nothing else is known."""
        return self.start or self.end


@dataclass(frozen=True)
class Selection:
    """What to do with a meeting's reports.

    `matching` are the session's own: with one of them the signal is settled. `nearby` overlap it within the
    tolerance alone, as the report of a session minutes before does: archived when they are missing, and taken for
    the session's own when nothing better came in the end. `unrelated` are not the session's, yet are archived when
    they are missing. `unfinished` looks finished although the call went on: the report of a running meeting.
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
    """Sort the listed reports by what they mean to `session`; with `everything` old ones are not left out.

    The list of a meeting `in_channel` holds the reports of all of the channel's meetings, and two of them can be held
    at once: there only a report with the call's own times is the session's.
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
    """Whether both were at the same time for longer than the clocks may differ, or for most of the shorter one.

    Where only the session's end is known, whether that lies in the report, give or take what clocks may differ.
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
