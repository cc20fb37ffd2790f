"""Explain one meeting: news, current step, reason and what comes next.

Pure decisions from a signal's record. The command `explain` and the health page get the same sentences from here.
Sources: docs/operators.md (outcomes, retries), https://learn.microsoft.com/graph/api/meetingattendancereport-list
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any

from .. import times
from ..graph.join_urls import parse_join_url
from ..ledger import access
from ..ledger.merge import OVERDUE
from ..ledger.record import BY_CALL_RECORD, Cause, Commit, Purpose, Record, Result
from ..messages.signals import Meeting, SignalKind, kind_of
from ..settings import CALL_RECORDS, GUID, VIRTUAL_EVENTS, Settings
from ..storage.clients import SIGNALS_QUEUE
from ..times import format_utc
from .lookup import REACH, FoundMeeting, FoundMeetings, is_link

GET_CALL_RECORD, ATTEMPT = "get call record", "attempt"
TOO_MANY_REQUESTS = 429


class Step(StrEnum):
    """The steps of a signal: what has happened, or what it needs next."""

    ANNOUNCED = "announced"
    CALL_RECORD = "find the call record"
    MEETING = "find the online meeting"
    REPORT = "find the report"
    STORED = "report stored"


_STEPS = tuple(Step)
# What an operation of Graph asks for, and the step that it belongs to.
_OPERATIONS = {
    GET_CALL_RECORD: ("the call record", Step.CALL_RECORD),
    "find meeting": ("the online meeting", Step.MEETING),
    "find meeting by join URL": ("the online meeting", Step.MEETING),
    "find meeting by meeting id": ("the online meeting", Step.MEETING),
    "get session": ("the event's session", Step.MEETING),
    "get webinar": ("the event", Step.MEETING),
    "get townhall": ("the event", Step.MEETING),
    "list attendance reports": ("the list of reports", Step.REPORT),
    "get attendance report": ("the report", Step.REPORT),
    "list attendance records": ("the report's records", Step.REPORT),
}
_CHANGES = {
    Cause.SWEEP: "The sweep compared the call with Graph's list.",
    Cause.BACKFILL: "A backfill asked for an attempt.",
    Cause.REDRIVE: "A redrive asked for an attempt.",
    Cause.PROBE: "The daily check of access asked for an attempt.",
    Cause.LOOK: "The sweep asked for an attempt that was due.",
    "buried": "The message failed too often, and was recorded.",
    "adopted": "The record was completed from its published outcome.",
    "erased": "A person was erased.",
}
_PLAIN_ATTEMPTS: dict[Result | None, str] = {  # no request failed
    Result.STORED: "The report was read and stored.",
    Result.NO_REPORT: "Graph listed no report of this session.",
    Result.NOT_A_MEETING: "The call record is of a call between two people.",
    Result.EXTERNAL_ORGANIZER: "The organizer is of another tenant.",
    Result.OUT_OF_SCOPE: "The organizer is not in the pilot.",
    Result.FAILED: "The attempt failed in the app.",
}
_ATTEMPTS: dict[Result | None, str] = {
    Result.STORED: "Reading the report once more failed at {}.",
    Result.ACCESS_DENIED: "Graph refused {}.",
    Result.NOT_FOUND: "Graph did not find {}.",
    Result.NOT_A_MEETING: "The call record named no meeting.",
    Result.NOT_SUPPORTED: "Graph does not return {}.",
    Result.OUT_OF_SCOPE: "The meeting ended longer ago than the archive keeps.",
}
_MEETING_POLICY = "AllowEngagementReport of Set-CsTeamsMeetingPolicy"
_EVENT_POLICY = "AllowEngagementReport of Set-CsTeamsEventsPolicy"
_ASK_ORGANIZER = "The organizer: does Teams show a report on the meeting's Attendance tab?"
_NOBODY = "Nobody."
_STATUS = "attendance status"
REPORT_STORED = "The report is stored."
SIGNAL, SUBJECT, LINK = "Signal", "Subject", "Link"  # labels of facts


@dataclass(frozen=True)
class Change:
    """An entry of a signal's history, made from `commit` if there is one.

    `count` equal ones came one after another, the last at `until`.
    """

    at: datetime
    text: str
    commit: Commit | None = None
    count: int = 1
    until: datetime | None = None


@dataclass(frozen=True)
class Reason:
    """The state of a signal and its cause; `ask` is whom to ask, `run` what to run."""

    state: str
    why: str = ""
    ask: str = _NOBODY
    run: tuple[str, ...] = ()


@dataclass(frozen=True)
class Explanation:
    """One meeting, explained."""

    meeting: FoundMeeting
    reason: Reason
    step: Step = Step.STORED
    next: str = ""
    history: tuple[Change, ...] = ()

    @property
    def step_number(self) -> str:
        """The step among all: `4 of 5`."""
        return f"{_STEPS.index(self.step) + 1} of {len(_STEPS)}"


@dataclass(frozen=True)
class Possibility:
    """One thing that it can mean that a meeting is unknown.

    `is_certain`: the link itself shows that the app gets no report of it.
    """

    text: str
    run: str = ""
    is_certain: bool = False


def explain_meeting(found: FoundMeeting, settings: Settings, now: datetime) -> Explanation:
    """Explain a meeting that was found."""
    record = found.record
    if record is None:
        return Explanation(found, _report_alone(found), next="Nothing: the report is stored.")
    last = _last_attempt(record)
    reason = _REASONS[record.result](_Case(record, last, settings, now))
    if record.next and record.next.purpose is not Purpose.LOOK and now > record.next.at + OVERDUE:
        reason = replace(reason, run=(*dict.fromkeys((*reason.run, _STATUS)),))
    return Explanation(
        found, reason, _step(record, last), _next(record, settings, now), tuple(_history(record))
    )


def describe_facts(each: Explanation, organizer: str | None = None) -> list[tuple[str, str]]:
    """Return the known facts of a meeting, each with its label.

    `organizer` is the organizer's name.
    """
    content = explanation_json(each)
    organizer_id = content["organizerId"]
    start, end = times.plausible(content["start"]), times.plausible(content["end"])
    step = f", at step {each.step_number}: {each.step}" if content["signalId"] else ""
    facts = (
        (SIGNAL, content["signalId"]),
        (SUBJECT, content["subject"]),
        ("Held", format_span(start or end, end) if end else ""),
        ("Organizer", f"{organizer} ({organizer_id})" if organizer and organizer_id else organizer_id),
        (LINK, content["joinWebUrl"]),
        ("Outcome", content["outcome"] and f"{content['outcome']}{step}"),
        *(("Report", report["path"]) for report in content["reports"]),
    )
    return [(label, value) for label, value in facts if value]


def describe_reason(each: Explanation) -> list[tuple[str, str]]:
    """Return the sentences on a meeting's state, each with its label."""
    reason = each.reason
    sentences = (("Now", reason.state), ("Why", reason.why), ("Next", each.next), ("Ask", reason.ask))
    return [(label, text) for label, text in sentences if text]


def describe_history(each: Explanation) -> list[tuple[str, str]]:
    """Return the changes of a meeting, each with its time.

    Equal ones that follow each other are one.
    """
    return [
        (
            format_span(change.at, change.until),
            change.text if change.count == 1 else f"{change.text} ({change.count} times)",
        )
        for change in merge_history(each.history)
    ]


def describe_rest(found: FoundMeetings) -> list[str]:
    """Return sentences on what a search did not show."""
    left, unread = found.left, found.unread
    rest = [f"{left:,} earlier ones are not shown: see --on."] if left else []
    if unread:
        rest.append(f"{unread:,} outcomes of this day were not looked at: give the meeting's link.")
    return rest


def format_span(start: datetime | None, end: datetime | None) -> str:
    """Format a span of time; one within a day names the day once."""
    if start is None or end is None or end - start < timedelta(minutes=1):
        return format_utc(start or end)
    is_one_day = start.date() == end.date()
    return f"{start:%Y-%m-%d %H:%M} to {f'{end:%H:%M} UTC' if is_one_day else format_utc(end)}"


def explanation_json(each: Explanation) -> dict[str, Any]:
    """Return an explanation as JSON data."""
    record, report = each.meeting.record, each.meeting.report
    meeting = record.meeting if record else Meeting()
    metadata = report.metadata if report else {}
    return {
        "signalId": record.signal_id if record else None,
        "outcome": record.result if record else None,
        "subject": each.meeting.subject,
        "start": times.optional_text(meeting.start) or metadata.get("start"),
        "end": times.optional_text(meeting.end) or metadata.get("end"),
        "organizerId": each.meeting.organizer_id,
        "meetingId": meeting.meeting_id or metadata.get("meetingid"),
        "joinWebUrl": meeting.join_url or metadata.get("joinweburl"),
        "announced": times.optional_text(record.announced) if record else None,
        "step": each.step.name.lower(),
        "state": each.reason.state,
        "why": each.reason.why,
        "next": each.next,
        "nextAttempt": times.optional_text(record.next.at) if record and record.next else None,
        "ask": each.reason.ask,
        "run": each.reason.run,
        "lastError": record.last_error if record else None,
        "reports": [
            {"id": one.id, "path": one.path, "partial": one.is_partial}
            for one in (record.reports if record else ())
        ]
        or ([{"id": report.id, "path": report.name, "partial": "partial" in metadata}] if report else []),
        "history": [
            {
                "at": times.text(one.at),
                "says": one.text,
                "step": one.commit.step if one.commit else None,
                "result": one.commit.result if one.commit else None,
                "status": one.commit.status if one.commit else None,
                "requestId": one.commit.request_id if one.commit else None,
            }
            for one in each.history
        ],
    }


def merge_history(history: Sequence[Change]) -> list[Change]:
    """Merge equal entries that follow each other."""
    merged: list[Change] = []
    for each in history:
        if merged and merged[-1].text == each.text:
            first = merged[-1]
            merged[-1] = Change(first.at, first.text, None, first.count + 1, each.at)
        else:
            merged.append(each)
    return merged


# The history


def _history(record: Record) -> Iterator[Change]:
    """Yield the changes of a record, the oldest first."""
    changes = [Change(each.at, text, each) for each in record.commits if (text := _change_text(each))]
    if record.meeting.end:
        changes.append(Change(record.meeting.end, "The call ended."))
    if record.announced:
        by = f" ({record.door})" if record.door else ""
        changes.append(Change(record.announced, f"Graph announced it{by}."))
    yield from sorted(changes, key=lambda each: each.at)


def _change_text(commit: Commit) -> str:
    """Return what a change says, or "" for one that says nothing to people."""
    if commit.result is None or commit.step == "buried":
        return _CHANGES.get(commit.step, "")
    return _attempt_text(commit)


def _attempt_text(commit: Commit) -> str:
    if commit.step == ATTEMPT and (plain := _PLAIN_ATTEMPTS.get(commit.result)):
        return plain
    subject, _ = _OPERATIONS.get(commit.step, (commit.step, None))
    if commit.status == TOO_MANY_REQUESTS:
        return f"Graph throttled the request for {subject} ({TOO_MANY_REQUESTS})."
    status = f" ({commit.status})" if commit.status else ""
    text = _ATTEMPTS.get(commit.result, "Graph gave no usable answer for {}.")
    return text.format(f"{subject}{status}")


# The step


def _last_attempt(record: Record) -> Commit | None:
    return next((each for each in reversed(record.commits) if each.result), None)


def _step(record: Record, last: Commit | None) -> Step:
    if record.reports:
        return Step.STORED
    if record.result in BY_CALL_RECORD:
        return Step.CALL_RECORD
    if last is None:
        return Step.ANNOUNCED
    if last.step in _OPERATIONS:
        return _OPERATIONS[last.step][1]
    if last.result is Result.NO_REPORT:
        return Step.REPORT
    if record.meeting.end is None:
        return Step.CALL_RECORD
    return Step.REPORT if record.meeting.meeting_id else Step.MEETING


# Why, whom to ask, what to run


@dataclass(frozen=True)
class _Case:
    """What a reason depends on."""

    record: Record
    last: Commit | None
    settings: Settings
    now: datetime

    @property
    def error(self) -> str:
        """The last failure, as a sentence."""
        return f"The last failure: {self.record.last_error}. " if self.record.last_error else ""

    @property
    def policy(self) -> str:
        """The policy that switches reports off."""
        is_event = kind_of(self.record.signal_id) is SignalKind.REPORT_READY
        return _EVENT_POLICY if is_event else _MEETING_POLICY

    @property
    def redrive(self) -> str:
        """The command that retries the signal."""
        return f"attendance redrive --signal {self.record.signal_id}"


def _stored(case: _Case) -> Reason:
    record, why = case.record, ""
    if any(each.is_partial for each in record.reports):
        why = "Graph has returned only a part of its records so far."
    elif record.candidates:
        why = "A later reading had fewer records; it replaces the report if an equal one follows."
    elif record.last_error:
        why = case.error
    count, run = (
        len(record.reports),
        tuple(f"attendance reports show {each.id}" for each in record.reports[:1]),
    )
    return Reason(REPORT_STORED if count == 1 else f"{count} reports are stored.", why, "", run)


def _pending(case: _Case) -> Reason:
    record, last = case.record, case.last
    if last is None or record.series.attempts == 0:
        return Reason(
            "An attempt has been asked for, and none has been made since.",
            f"Its message is in the queue {SIGNALS_QUEUE}, usually for seconds.",
        )
    match last.result:
        case Result.NO_REPORT:
            return Reason(
                "Graph lists no report of this session yet.",
                "Teams makes the report after the end: mostly within minutes, sometimes hours later. If reports are "
                f"switched off ({case.policy}), it never comes.",
                _ASK_ORGANIZER,
            )
        case Result.ACCESS_DENIED:
            return _denied(case)
        case Result.NOT_FOUND:
            subject, step = _OPERATIONS.get(last.step, ("it", Step.MEETING))
            why = (
                "A call record can come some minutes after its own notification."
                if step is Step.CALL_RECORD
                else "A meeting can be missing in Graph for some minutes."
            )
            return Reason(f"Graph does not find {subject} yet.", case.error + why)
        case Result.NOT_A_MEETING:
            return Reason(
                "The call record names no meeting yet.",
                "Graph revises call records: a later version may have the join URL.",
            )
        case _:
            is_throttled = last.status == TOO_MANY_REQUESTS
            return Reason(
                "Graph throttles the app." if is_throttled else "The last request to Graph failed.",
                case.error,
                "Nobody, unless it lasts for hours: then Microsoft's support, with the request-id.",
                (_STATUS,),
            )


def _no_report(case: _Case) -> Reason:
    return Reason(
        "Graph listed no report of this session until the retry window closed.",
        f"Teams makes none if reports are switched off, by policy ({case.policy}) or in the meeting's options, or if "
        "nobody was in the meeting. Or it comes later than that.",
        f"{_ASK_ORGANIZER} If not: a Teams administrator, for the policy.",
        (case.redrive,),
    )


def _denied(case: _Case) -> Reason:
    record, last, client_id = case.record, case.last, case.settings.graph_app_id
    is_pending, organizer = record.result is Result.PENDING, record.meeting.organizer_id
    is_record = last is not None and last.step == GET_CALL_RECORD
    refused = None if is_record else access.refused_organizer(record.signal_id, organizer)
    run: tuple[str, ...] = ("attendance doctor",)
    if refused and refused == organizer:
        why = (
            "The application access policy does not cover this organizer, or was granted minutes ago (it takes up to "
            "30), or the app lacks OnlineMeetings.Read.All or OnlineMeetingArtifact.Read.All."
        )
        ask = "A Teams administrator, to grant the policy by these commands of Teams PowerShell."
        run = (*access.policy_commands(organizer, client_id), f"attendance doctor --organizer {organizer}")
    else:
        why, run = (
            "A permission of the app is missing, or was granted less than a day ago.",
            ("attendance doctor",),
        )
        ask = f"A Microsoft Entra administrator. {access.remedy(refused, client_id)}"
    state = "Graph refuses access (403) so far." if is_pending else "Graph refuses access (403)."
    return Reason(state, why, ask, run if is_pending else (*run, case.redrive))


def _not_a_meeting(case: _Case) -> Reason:
    if case.record.last_error is None:
        return Reason("A call between two people, which has no attendance report.")
    return Reason(
        "The call record names no meeting.",
        "An ad-hoc group call has none; a later version of the call record may.",
    )


def _not_found(case: _Case) -> Reason:
    why = "The meeting or its organizer was deleted, or the link is another tenant's short link."
    return Reason("Graph does not find it.", case.error + why, _ASK_ORGANIZER, (case.redrive,))


def _not_supported(case: _Case) -> Reason:
    if parse_join_url(case.record.meeting.join_url or "").is_personal:
        return Reason("The meeting is of a personal account (teams.live.com); Graph has no reports of those.")
    return Reason(
        "Graph lists the report of this channel meeting, and does not return it.",
        case.error,
        "The organizer or the team's owner, who sees the report in Teams.",
    )


def _external_organizer(case: _Case) -> Reason:
    meeting = case.record.meeting
    tenant = meeting.organizer_tenant or parse_join_url(meeting.join_url or "").tenant_id
    return Reason(
        f"The organizer is of another tenant{f', {tenant}' if tenant else ''}, which has the report.",
        ask="The organizer, who can share the report from Teams.",
    )


def _out_of_scope(case: _Case) -> Reason:
    if case.record.last_error:
        why = f"RETENTION_DAYS is {case.settings.retention_days}."
        return Reason("It ended longer ago than the archive keeps.", why)
    return Reason(
        "Its organizer is not in the pilot.",
        f"ORGANIZERS does not name {case.record.meeting.organizer_id or 'the organizer'}.",
        "Whoever deploys the app: once ORGANIZERS names the organizer, the next sweep fetches the report.",
    )


def _failed(case: _Case) -> Reason:
    if case.record.buried:
        return Reason(
            "A queue message that this version cannot read.",
            case.error,
            "Whoever deploys the app: was it upgraded or rolled back meanwhile?",
            (case.redrive,),
        )
    request = f", with the request-id {case.last.request_id}" if case.last and case.last.request_id else ""
    return Reason(
        "Requests to Graph failed until the retry window closed.",
        case.error,
        f"Microsoft's support{request}, unless the cause is known.",
        (case.redrive,),
    )


_REASONS: dict[Result, Callable[[_Case], Reason]] = {
    Result.STORED: _stored,
    Result.PENDING: _pending,
    Result.NO_REPORT: _no_report,
    Result.ACCESS_DENIED: _denied,
    Result.NOT_A_MEETING: _not_a_meeting,
    Result.NOT_FOUND: _not_found,
    Result.NOT_SUPPORTED: _not_supported,
    Result.EXTERNAL_ORGANIZER: _external_organizer,
    Result.OUT_OF_SCOPE: _out_of_scope,
    Result.FAILED: _failed,
}


def _report_alone(found: FoundMeeting) -> Reason:
    return Reason(
        REPORT_STORED,
        "No signal names it: it was found beside another session of its meeting, or its signal's record is gone.",
        ask="",
        run=(f"attendance reports show {found.report.id}",) if found.report else (),
    )


# What comes next


_FINAL = "Nothing: this is final."
_ON_REQUEST = "Nothing, unless it is asked for."
_IF_IN_SCOPE = "Nothing, unless ORGANIZERS changes: the next sweep then asks for it."
_FINALLY = {
    Result.ACCESS_DENIED: "The daily scan tries one refused meeting of each organizer. Once Graph allows it, all of "
    "them are fetched.",
    Result.NO_REPORT: _ON_REQUEST,
    Result.NOT_FOUND: _ON_REQUEST,
    Result.FAILED: _ON_REQUEST,
}


def _next(record: Record, settings: Settings, now: datetime) -> str:
    following = record.next
    if following is None:
        # Of a meeting that ended too long ago, with an error, it is final.
        is_scope = record.result is Result.OUT_OF_SCOPE and record.last_error is None
        return _IF_IN_SCOPE if is_scope else _FINALLY.get(record.result, _FINAL)
    at = f"{format_utc(following.at)}{_distance(following.at, now)}"
    match following.purpose:
        case Purpose.LOOK:
            return f"The sweep tries once more after {at}."
        case Purpose.CONFIRM if record.result is Result.STORED:
            return f"The report is read once more at {at}, because it may grow."
        case _ if now >= following.at:
            is_late = now > following.at + OVERDUE
            late = " Its message is late; the hourly sweep asks for it again." if is_late else ""
            return f"An attempt has been due since {at}.{late}"
        case _:
            closes = record.series.began + timedelta(seconds=settings.retry_window)
            return f"The next attempt is at {at}; the last one is by {format_utc(closes)}."


def _distance(moment: datetime, now: datetime) -> str:
    """Return how far away a time is, if it is ahead and within two days."""
    minutes = round((moment - now).total_seconds() / 60)
    if not 0 < minutes <= 2 * 24 * 60:
        return ""
    return f" (in {minutes} min)" if minutes < 120 else f" (in {round(minutes / 60)} h)"


# Unknown


@dataclass(frozen=True)
class Freshness:
    """When a notification last came and a scan last finished.

    None: never, or not known.
    """

    last_notification: datetime | None = None
    last_scan: datetime | None = None


def explain_unknown(
    text: str, on: date | None, settings: Settings, now: datetime, fresh: Freshness
) -> list[Possibility]:
    """Return what it can mean that a meeting is unknown.

    If anything is certain, only that.
    """
    of_link = list(_link_possibilities(text, settings))
    certain = [each for each in of_link if each.is_certain]
    return certain or [
        *of_link,
        *_time_possibilities(on, now, fresh),
        *_other_possibilities(text, settings),
    ]


def unknown_heading(possible: Sequence[Possibility]) -> str:
    """Return the line above these."""
    is_certain = any(each.is_certain for each in possible)
    return "No report is to be expected:" if is_certain else "It is unknown. That can mean:"


def _link_possibilities(text: str, settings: Settings) -> Iterator[Possibility]:
    """Yield what the link itself shows."""
    if not is_link(text):
        return
    link = parse_join_url(text)
    if link.is_personal:
        problem = "The link is of a personal account (teams.live.com), and Graph has no reports of those."
        yield Possibility(problem, is_certain=True)
    if link.tenant_id and link.tenant_id.lower() != settings.tenant_id:
        problem = (
            f"Its organizer is of another tenant: the link names {link.tenant_id}, which has the report."
        )
        yield Possibility(problem, is_certain=True)
    if link.organizer_id and settings.organizers and link.organizer_id.lower() not in settings.organizers:
        problem = f"Its organizer is out of scope: ORGANIZERS does not name {link.organizer_id}."
        yield Possibility(problem, is_certain=True)
    if link.join_meeting_id:
        yield Possibility("It is of another tenant, or a guest's: a short link does not show whose it is.")


def _time_possibilities(on: date | None, now: datetime, fresh: Freshness) -> Iterator[Possibility]:
    """Yield what the day can mean."""
    today = now.astimezone(UTC).date()
    day = on or today
    if day < today - timedelta(days=REACH):
        problem = (
            f"It ended more than {REACH} days ago: Graph lists no such calls any more, though it keeps reports for a "
            "year. A backfill that includes its day finds its report if the meeting was held again since."
        )
        yield Possibility(problem, f"attendance backfill --from {day} --to {today} --wait")
    else:
        problem = (
            "It has not ended by Graph's word yet. Graph announces a call half an hour after its end on average, 150 "
            "minutes at most, and the hourly sweep finds those that it did not announce. "
            f"Last notification: {_or_never(fresh.last_notification)}. Last scan: {_or_never(fresh.last_scan)}."
        )
        yield Possibility(problem, f"attendance backfill --from {day} --to {day} --wait")
    if on:
        yield Possibility(f"It was held on another day: only {on} was searched, in UTC.")
    else:
        problem = (
            f"It was held more than {REACH} days ago: only the last {REACH} days were searched, which is as long as "
            "Graph lists calls. Give its day with --on."
        )
        yield Possibility(problem)


def _other_possibilities(text: str, settings: Settings) -> Iterator[Possibility]:
    if GUID.match(text):
        yield Possibility(
            "It is an organizer's id: an organizer's meetings are found by day only, with --on."
        )
    elif not is_link(text):
        yield Possibility(
            "Only a meeting with a stored report is found by its subject, and only if MEETING_DETAILS keeps it. Try "
            "its link, from the invitation."
        )
    if CALL_RECORDS not in settings.signals:
        yield Possibility(f"Meetings are not looked for, because SIGNALS does not name {CALL_RECORDS}.")
    if VIRTUAL_EVENTS not in settings.signals:
        yield Possibility(
            f"It is a webinar or town hall: their own reports need {VIRTUAL_EVENTS} in SIGNALS."
        )
    else:
        yield Possibility(
            f"It is a webinar or town hall whose reports are switched off ({_EVENT_POLICY}): Graph announces none."
        )
    yield Possibility(
        f"A meeting whose reports are switched off ({_MEETING_POLICY}) is known once it has ended, as noReport."
    )
    yield Possibility("Nobody joined it in Teams, and there was no call.")


def _or_never(moment: datetime | None) -> str:
    return format_utc(moment) if moment else "never"
