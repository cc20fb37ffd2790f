"""Find and read a meeting's reports of some dates.

With what is to be known about them. Reports are read themselves, not tables: so a training can be looked at once
its report is stored.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from azure.storage.blob import ContainerClient

from ... import times
from ...archive.reports import Archive, ReportSummary
from ...days.manifests import Manifests
from ...errors import AttendanceError
from ...graph.join_urls import join_url_key, series_id
from ...health import lookup
from ...health.lookup import ONE_DAY
from ...ledger.publish import Outcomes
from ...ledger.record import Result
from ...storage.blobs import run_in_parallel
from .. import options, output, reading
from . import attendance, matching, sentences, sessions
from .policy import Policy
from .results import Account, ExpectedFrom
from .roster import Roster
from .sessions import TrainingSession

AHEAD = 2  # partitions after the last date in which a meeting of it can have ended, in any time zone
# Outcomes of a session that may have taken place and whose report is not here.
_SILENT = frozenset(Result) - {Result.STORED, Result.NOT_A_MEETING}


@dataclass(frozen=True)
class FoundSessions:
    """The sessions of one meeting or series, and those of its days that are not final.

    `days` are the dates asked for. `report`: only its date was asked for. `unreported` counts the sessions without a
    report by outcome.
    """

    days: Sequence[date]
    sessions: tuple[TrainingSession, ...]
    report: str | None
    open_days: tuple[date, ...]
    unreported: Mapping[str, int]


def find_sessions(
    container: ContainerClient, text: str, days: Sequence[date], *, is_series: bool = False
) -> FoundSessions:
    """Find the sessions of a meeting.

    By a link, a subject, or the id of a report, meeting or series. `is_series`: the text is the id of a series or
    event, and nothing else. Raises AttendanceError if there are none, or if several meetings match, which are then
    listed.
    """
    archive, first, last = Archive(container), days[0], days[-1]
    partitions = [first - ONE_DAY, *days, *(last + ONE_DAY * ahead for ahead in range(1, AHEAD + 1))]
    listed = run_in_parallel(lambda day: list(archive.list_reports(day)), partitions)
    reports = [each for of_day in listed for each in of_day]
    is_wanted = _is_of_series if is_series else _is_asked_for
    matching = [each for each in reports if is_wanted(each, text)]
    keys = {_meeting_key(each) for each in matching}
    if len(keys) > 1:
        _list_meetings(matching)
        raise AttendanceError(f"{len(keys)} meetings match: give the --series or the link of one.")
    key = min(keys) if keys else series_id(text) if lookup.is_link(text) else text
    wanted = [each for each in reports if _meeting_key(each) == key]
    series = {key, *(each.metadata.get("seriesid", key) for each in wanted)}
    unreported = _count_unreported(Outcomes(container), [*days, last + ONE_DAY], series)
    if not matching:
        raise AttendanceError(_describe_nothing(days, unreported))
    sessions = _read(container, wanted)
    past = {day for day in days if day <= times.now().date()} | {each.day for each in sessions}
    complete = Manifests(container).complete_days(min(past), max(past))
    report = text if any(each.id == text for each in matching) else None
    return FoundSessions(days, sessions, report, tuple(sorted(past - complete)), unreported)


def _is_asked_for(report: ReportSummary, text: str) -> bool:
    if lookup.is_link(text):
        return report.metadata.get("joinurlkey") == join_url_key(text)
    return lookup.is_named(report, text)


def _is_of_series(report: ReportSummary, text: str) -> bool:
    return text.lower() in (report.metadata.get("seriesid"), _meeting_key(report).lower())


def _meeting_key(report: ReportSummary) -> str:
    """Return what sessions of one meeting have in common.

    Also those of an event or of a series.
    """
    get = report.metadata.get
    return get("eventid") or get("seriesid") or get("meetingid") or report.id


def _list_meetings(reports: Sequence[ReportSummary]) -> None:
    """Print the meetings of these reports."""
    meetings: dict[str, list[ReportSummary]] = defaultdict(list)
    for each in reports:
        meetings[_meeting_key(each)].append(each)
    rows = [
        {
            "series": key,
            "subject": lookup.subject_of_report(of_meeting[-1]),
            "reports": len(of_meeting),
            "last": max(each.metadata.get("end", "") for each in of_meeting),
        }
        for key, of_meeting in meetings.items()
    ]
    output.print_rows(sorted(rows, key=lambda row: str(row["last"])))


def _count_unreported(outcomes: Outcomes, days: Sequence[date], series: Collection[str]) -> dict[str, int]:
    """Count the sessions of some series without a report by outcome."""

    def count(day: date) -> Counter[str]:
        return Counter(
            each.result
            for each in outcomes.list(day)
            if each.result in _SILENT
            and not each.is_unconfirmed
            and each.join_url_key
            and series_id(each.join_url_key) in series
        )

    return dict(sum(run_in_parallel(count, days), Counter[str]()))


def _describe_nothing(days: Sequence[date], unreported: Mapping[str, int]) -> str:
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(unreported.items()))
    known = (
        f" Sessions without a report are known ({counts}): `attendance explain` says why." if counts else ""
    )
    return f"No report of such a meeting is stored {options.format_days(days)}: see --from and --to.{known}"


def _read(container: ContainerClient, reports: Sequence[ReportSummary]) -> tuple[TrainingSession, ...]:
    """Read reports. Raises AttendanceError for one that is gone meanwhile."""
    read = list(reading.read_bodies(container, reports))
    if len(read) < len(reports):
        raise AttendanceError("A report was moved or deleted while it was read: run the same command again.")
    return tuple(
        sessions.read_session(body, reading.index_fields(report), Outcomes.day_of(report.name), invited)
        for report, body, invited in read
    )


def evaluate(found: FoundSessions, policy: Policy, roster: Roster | None) -> Account:
    """Judge everybody on the dates that were asked for.

    Raises AttendanceError if there was no session on them.
    """
    occasions = attendance.find_occasions(found.sessions, policy)
    if found.report:
        occasions = tuple(
            each for each in occasions if found.report in [session.report_id for session in each.sessions]
        )
    else:
        occasions = tuple(each for each in occasions if found.days[0] <= each.day <= found.days[-1])
    if not occasions:
        raise AttendanceError(_describe_nothing(found.days, found.unreported))
    invited = None if roster else matching.find_invited(occasions)
    expected = roster.people if roster else invited and invited[0]
    training = matching.evaluate(occasions, policy, expected)
    notes = sentences.describe_notes(
        training,
        open_days=found.open_days,
        unreported=found.unreported,
        invited=invited and invited[1],
        more=roster.notes if roster else (),
    )
    source = ExpectedFrom.ROSTER if roster else ExpectedFrom.INVITEES if invited else None
    subjects = [session.subject for each in occasions for session in each.sessions if session.subject]
    return Account(training, subjects[-1] if subjects else "", source, notes, frozenset(found.open_days))
