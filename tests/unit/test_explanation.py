"""What people are told about one meeting: its history, its step, the cause, and what comes next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import typer

import shared.settings
from shared.archive.reports import ReportSummary
from shared.cli import main
from shared.health import explanation
from shared.health.explanation import Explanation, Freshness, Possibility, Step
from shared.health.lookup import FoundMeeting
from shared.ledger.record import (
    AttemptSeries,
    Candidate,
    Commit,
    DeadLetter,
    NextAttempt,
    Purpose,
    Record,
    Result,
    StoredReport,
)
from shared.messages.signals import Door, EventKind, EventSession, Meeting
from shared.settings import Settings
from tests.support.app_settings import ENVIRON, TENANT

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
ORGANIZER, OTHER = "aaaaaaaa-0000-4000-8000-000000000000", "bbbbbbbb-0000-4000-8000-000000000000"
CLIENT = "cccccccc-0000-4000-8000-000000000000"
LINK = f'https://teams.microsoft.com/l/meetup-join/x/0?context={{"Tid":"{TENANT}","Oid":"{ORGANIZER}"}}'
REPORT = StoredReport("r-1", NOW - HOUR, "reports/date=2026-11-30/r-1.json")
SETTINGS = shared.settings.load({**ENVIRON, "AZURE_CLIENT_ID": CLIENT})


def with_settings(**changes: str) -> Settings:
    return shared.settings.load({**ENVIRON, **changes})


def commits(*steps: tuple[str, Result | None, int | None]) -> tuple[Commit, ...]:
    """Changes of these steps, results and statuses, a minute after each other, the last one just now."""
    return tuple(
        Commit(f"c{number}", NOW - MINUTE * (len(steps) - number), step, result, status, f"q-{number}")
        for number, (step, result, status) in enumerate(steps)
    )


def record(result: Result, *steps: tuple[str, Result | None, int | None], **changes: Any) -> Record:
    known: dict[str, Any] = {
        "signal_id": "cr-1",
        "result": result,
        "first_seen": NOW - HOUR,
        "attempt": len(steps),
        "series": AttemptSeries(NOW - HOUR, attempts=len(steps)),
        "meeting": Meeting(NOW - 2 * HOUR, NOW - 1.5 * HOUR, LINK, ORGANIZER),
        "announced": NOW - HOUR,
        "door": Door.WEBHOOK,
        "commits": commits(*steps),
    }
    return Record(**known | changes)


def explained(known: Record, settings: Settings = SETTINGS) -> Explanation:
    return explanation.explain_meeting(FoundMeeting(known), settings, NOW)


def told(each: Explanation) -> str:
    """All sentences of an explanation but its history."""
    reason = each.reason
    return " ".join((reason.state, reason.why, each.next, reason.ask, *reason.run))


NO_REPORT = ("attempt", Result.NO_REPORT, None)
NO_RECORD = ("get call record", Result.NOT_FOUND, 404)
REFUSED = ("find meeting by join URL", Result.ACCESS_DENIED, 403)
LATER = NextAttempt(1, NOW + 8 * MINUTE)
CASES: dict[str, tuple[Record, Step, tuple[str, ...]]] = {
    "not tried": (
        record(Result.PENDING, next=NextAttempt(0, NOW - MINUTE), commits=()),
        Step.ANNOUNCED,
        ("none has been made since", "queue meeting-signals", "due since 2026-11-30 11:59 UTC"),
    ),
    "no report yet": (
        record(Result.PENDING, NO_RECORD, NO_REPORT, next=LATER),
        Step.REPORT,
        (
            "no report of this session yet",
            "AllowEngagementReport of Set-CsTeamsMeetingPolicy",
            "at 2026-11-30 12:08 UTC (in 8 min); the last one is by 2026-12-01 11:00 UTC",
            "does Teams show a report",
        ),
    ),
    "no call record yet": (
        record(Result.PENDING, NO_RECORD, next=LATER, last_error="get call record: refused"),
        Step.CALL_RECORD,
        ("does not find the call record yet", "get call record: refused", "own notification"),
    ),
    "no meeting yet": (
        record(Result.PENDING, ("find meeting by join URL", Result.NOT_FOUND, None), next=LATER),
        Step.MEETING,
        ("does not find the online meeting yet",),
    ),
    "refused so far": (
        record(Result.PENDING, REFUSED, next=NextAttempt(1, NOW + 35 * MINUTE)),
        Step.MEETING,
        ("(403) so far", f"-AppIds {CLIENT}", f"-Identity {ORGANIZER}", f"doctor --organizer {ORGANIZER}"),
    ),
    "call records refused": (
        record(Result.PENDING, ("get call record", Result.ACCESS_DENIED, 403), next=LATER, meeting=Meeting()),
        Step.CALL_RECORD,
        ("permission CallRecords.Read.All", "Entra administrator"),
    ),
    "throttled": (
        record(Result.PENDING, ("list attendance reports", Result.FAILED, 429), next=LATER),
        Step.REPORT,
        ("Graph throttles the app.",),
    ),
    "no token": (
        record(Result.PENDING, ("get a token", Result.FAILED, None), next=LATER, meeting=Meeting()),
        Step.CALL_RECORD,
        ("The last request to Graph failed.", "attendance status"),
    ),
    "no link yet": (
        record(Result.PENDING, ("find meeting", Result.NOT_A_MEETING, None), next=LATER),
        Step.MEETING,
        ("names no meeting yet", "a later version"),
    ),
    "lost message": (
        record(Result.PENDING, NO_REPORT, next=NextAttempt(1, NOW - 3 * HOUR)),
        Step.REPORT,
        ("due since 2026-11-30 09:00 UTC", "the hourly sweep", "attendance status"),
    ),
    "stored": (
        record(Result.STORED, ("attempt", Result.STORED, None), reports=(REPORT,)),
        Step.STORED,
        ("The report is stored.", "Nothing: this is final.", "attendance reports show r-1"),
    ),
    "stored and fresh": (
        record(Result.STORED, reports=(REPORT,), next=NextAttempt(1, NOW + 4 * HOUR, Purpose.CONFIRM)),
        Step.STORED,
        ("read once more at 2026-11-30 16:00 UTC (in 4 h)",),
    ),
    "partial": (
        record(Result.STORED, reports=(replace(REPORT, is_partial=True), REPORT)),
        Step.STORED,
        ("2 reports are stored.", "only a part of its records"),
    ),
    "smaller": (
        record(Result.STORED, reports=(REPORT,), candidates=(Candidate("r-1", "0", NOW),)),
        Step.STORED,
        ("had fewer records",),
    ),
    "not read again": (
        record(Result.STORED, reports=(REPORT,), last_error="get attendance report: no answer"),
        Step.STORED,
        ("The last failure: get attendance report: no answer.",),
    ),
    "no report": (
        record(Result.NO_REPORT, NO_REPORT, next=NextAttempt(1, NOW + 24 * HOUR, Purpose.LOOK)),
        Step.REPORT,
        (
            "until the retry window closed",
            "Set-CsTeamsMeetingPolicy",
            "sweep tries once more after 2026-12-01 12:00 UTC (in 24 h)",
            "redrive --signal cr-1",
        ),
    ),
    "no report of an event": (
        record(
            Result.NO_REPORT,
            NO_REPORT,
            signal_id="ve-1",
            meeting=Meeting(event=EventSession(EventKind.WEBINAR, "e", "s"), end=NOW),
        ),
        Step.REPORT,
        ("Set-CsTeamsEventsPolicy", "Nothing, unless it is asked for."),
    ),
    "refused": (
        record(Result.ACCESS_DENIED, REFUSED, REFUSED),
        Step.MEETING,
        ("Graph refuses access (403).", "daily scan", "redrive --signal cr-1", ORGANIZER),
    ),
    "refused events": (
        record(
            Result.ACCESS_DENIED,
            ("get session", Result.ACCESS_DENIED, 403),
            signal_id="ve-1",
            meeting=Meeting(end=NOW),
        ),
        Step.MEETING,
        ("VirtualEvent.Read.All",),
    ),
    "between two": (
        record(Result.NOT_A_MEETING, ("attempt", Result.NOT_A_MEETING, None)),
        Step.CALL_RECORD,
        ("A call between two people", "final"),
    ),
    "no link": (
        record(Result.NOT_A_MEETING, ("find meeting", Result.NOT_A_MEETING, None), last_error="no join URL"),
        Step.CALL_RECORD,
        ("The call record names no meeting.", "ad-hoc"),
    ),
    "not found": (
        record(Result.NOT_FOUND, NO_RECORD, last_error="get call record: refused by Graph (status 404)"),
        Step.CALL_RECORD,
        ("Graph does not find it.", "status 404", "redrive --signal cr-1"),
    ),
    "channel": (
        record(Result.NOT_SUPPORTED, ("get attendance report", Result.NOT_SUPPORTED, 400), last_error="400"),
        Step.REPORT,
        ("channel meeting", "The last failure: 400.", "team's owner"),
    ),
    "personal": (
        record(
            Result.NOT_SUPPORTED,
            ("find meeting", Result.NOT_SUPPORTED, None),
            meeting=Meeting(join_url="https://teams.live.com/meet/1"),
        ),
        Step.MEETING,
        ("personal account",),
    ),
    "another tenant's": (
        record(
            Result.EXTERNAL_ORGANIZER,
            ("attempt", Result.EXTERNAL_ORGANIZER, None),
            meeting=Meeting(organizer_tenant=OTHER),
        ),
        Step.CALL_RECORD,
        (f"another tenant, {OTHER}, which has the report",),
    ),
    "out of scope": (
        record(Result.OUT_OF_SCOPE, commits=commits(("sweep", None, None))),
        Step.CALL_RECORD,
        (f"ORGANIZERS does not name {ORGANIZER}", "Whoever deploys the app", "unless ORGANIZERS changes"),
    ),
    "expired": (
        record(Result.OUT_OF_SCOPE, ("archive", Result.OUT_OF_SCOPE, None), last_error="archive: too old"),
        Step.CALL_RECORD,
        ("longer ago than the archive keeps", "RETENTION_DAYS is 0", "Nothing: this is final."),
    ),
    "failed": (
        record(Result.FAILED, ("get call record", Result.FAILED, 503), last_error="get call record: 503"),
        Step.CALL_RECORD,
        ("failed until the retry window closed", "support, with the request-id q-0", "redrive --signal cr-1"),
    ),
    "dead letter": (
        record(
            Result.FAILED,
            commits=commits(("buried", None, None)),
            signal_id="msg-1",
            meeting=Meeting(),
            buried=DeadLetter("upkeep", None, 3, "0"),
        ),
        Step.ANNOUNCED,
        ("A queue message that this version cannot read.", "upgraded", "redrive --signal msg-1"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_meeting_is_explained(name: str) -> None:
    known, step, sentences = CASES[name]
    each = explained(known)
    assert each.step is step
    assert [sentence for sentence in sentences if sentence not in told(each)] == []
    assert "None" not in told(each)


def test_every_outcome_is_among_them() -> None:
    assert {known.result for known, _, _ in CASES.values()} == set(Result)


def runs() -> Iterator[str]:
    """Every command that people are told to run."""
    for known, _, _ in CASES.values():
        yield from explained(known).reason.run
    for text, on in (("Weekly", None), (LINK, date(2026, 9, 1)), (ORGANIZER, None)):
        yield from (each.run for each in possibilities(text, on) if each.run)


def test_each_command_to_run_is_one_that_there_is() -> None:
    found = {each for each in runs() if each.startswith("attendance ")}
    assert len(found) > 5
    for line in found:
        command: Any = typer.main.get_command(main.app)
        context, name = command.context_class(command), ""
        words = main.move_options_first(line.split()[1:])
        while hasattr(command, "resolve_command"):
            name, command, words = command.resolve_command(context, words)
        command.make_context(name, words)  # an error for an option that it does not have


def test_the_history_is_in_order_and_tells_who_announced_it() -> None:
    known = record(
        Result.PENDING,
        ("sweep", None, None),
        NO_RECORD,
        ("get call record", Result.FAILED, 429),
        ("attempt", Result.FAILED, None),
        NO_REPORT,
        NO_REPORT,
        next=LATER,
    )
    changes = explained(known).history
    assert [each.at for each in changes] == sorted(each.at for each in changes)
    assert [each.text for each in changes] == [
        "The call ended.",
        "Graph announced it (webhook).",
        "The sweep compared the call with Graph's list.",
        "Graph did not find the call record (404).",
        "Graph throttled the request for the call record (429).",
        "The attempt failed in the app.",
        "Graph listed no report of this session.",
        "Graph listed no report of this session.",
    ]
    *_, last = explanation.merge_history(changes)
    assert (last.count, last.until, last.at) == (2, NOW - MINUTE, NOW - 2 * MINUTE)


def test_a_reading_that_fails_later_and_a_reopening_are_in_the_history() -> None:
    known = record(
        Result.STORED,
        ("attempt", Result.STORED, None),
        ("redrive", None, None),
        ("get attendance report", Result.STORED, 503),
        ("adopted", None, None),
        ("published", None, None),
        reports=(REPORT,),
        announced=None,
        meeting=Meeting(),
    )
    assert [each.text for each in explained(known).history] == [
        "The report was read and stored.",
        "A redrive asked for an attempt.",
        "Reading the report once more failed at the report (503).",
        "The record was completed from its published outcome.",
    ]


def test_a_report_that_no_signal_names_is_stored() -> None:
    metadata = {"start": "2026-11-30T10:00:00Z", "end": "2026-11-30T10:30:00Z", "organizerid": ORGANIZER}
    alone = FoundMeeting(report=ReportSummary("r-9", "reports/date=2026-11-30/r-9.json", 9, metadata))
    each = explanation.explain_meeting(alone, SETTINGS, NOW)
    assert "No signal names it" in each.reason.why
    content = explanation.explanation_json(each)
    assert (content["signalId"], content["organizerId"]) == (None, ORGANIZER)
    assert content["reports"] == [{"id": "r-9", "path": "reports/date=2026-11-30/r-9.json", "partial": False}]


@pytest.mark.parametrize("name", CASES)
def test_an_explanation_is_json(name: str) -> None:
    known, step, _ = CASES[name]
    content = json.loads(json.dumps(explanation.explanation_json(explained(known))))
    assert (content["outcome"], content["step"]) == (known.result, step.name.lower())
    assert len(content["history"]) == len(explained(known).history)
    assert all(each["says"] and each["at"] for each in content["history"])


# Unknown meetings


def possibilities(
    text: str, on: date | None = None, settings: Settings = SETTINGS, fresh: Freshness | None = None
) -> list[Possibility]:
    return explanation.explain_unknown(text, on, settings, NOW, fresh or Freshness())


def texts(*arguments: Any, **more: Any) -> str:
    return " ".join(each.text for each in possibilities(*arguments, **more))


@pytest.mark.parametrize(
    ("text", "settings", "sentence"),
    [
        (LINK.replace(TENANT, OTHER), SETTINGS, f"another tenant: the link names {OTHER}"),
        ("https://teams.live.com/meet/1?p=2", SETTINGS, "personal account"),
        (LINK, with_settings(ORGANIZERS=OTHER), f"ORGANIZERS does not name {ORGANIZER}"),
    ],
    ids=["tenant", "personal", "scope"],
)
def test_what_the_link_shows_is_certain_and_nothing_else_is_guessed(
    text: str, settings: Settings, sentence: str
) -> None:
    (only,) = possibilities(text, settings=settings)
    assert only.is_certain
    assert sentence in only.text


def test_a_meeting_may_not_have_ended_by_graphs_word() -> None:
    fresh = Freshness(NOW - HOUR, NOW - MINUTE)
    first, *_ = possibilities(LINK, date(2026, 11, 29), fresh=fresh)
    assert "not ended by Graph's word yet" in first.text
    assert "150 minutes" in first.text
    assert "Last notification: 2026-11-30 11:00 UTC. Last scan: 2026-11-30 11:59 UTC." in first.text
    assert first.run == "attendance backfill --from 2026-11-29 --to 2026-11-29 --wait"
    assert "Last notification: never. Last scan: never." in texts(LINK)


def test_graph_no_longer_lists_an_old_call() -> None:
    first, *_ = possibilities(LINK, date(2026, 10, 30))
    assert "more than 30 days ago" in first.text
    assert first.run == "attendance backfill --from 2026-10-30 --to 2026-11-30 --wait"
    assert "more than 30 days ago: Graph" not in texts(LINK, date(2026, 10, 31))


def test_both_policies_that_switch_reports_off_are_named() -> None:
    said = texts("Weekly", settings=with_settings(SIGNALS="call-records,virtual-events"))
    assert "AllowEngagementReport of Set-CsTeamsMeetingPolicy" in said
    assert "AllowEngagementReport of Set-CsTeamsEventsPolicy" in said
    assert "need virtual-events in SIGNALS" in texts("Weekly")
    assert "SIGNALS does not name call-records" in texts(
        "Weekly", settings=with_settings(SIGNALS="virtual-events")
    )


def test_each_way_to_ask_has_its_own_limit() -> None:
    assert "found by its subject" in texts("Weekly")
    assert "--on" in texts(ORGANIZER)
    assert "found by its subject" not in texts(ORGANIZER) + texts(LINK)
    assert "does not show whose it is" in texts("https://teams.microsoft.com/meet/2145678901234?p=x")
