"""Meetings whose organizer is gone or of no tenant: weeks of attempts end in an outcome that says why."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.errors import GraphError, NotFound
from shared.graph.meeting_details import decode_details
from shared.ledger.record import Record, Result
from tests.support.simulated_app import HOUR, NOW, ORGANIZER, SETTINGS, App, call, running

CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"


def outcome(app: App) -> Record:
    (found,) = app.outcomes()
    return found


def test_a_deleted_organizers_meeting_is_not_found_and_says_why() -> None:
    def refuse(path: str, operation: str) -> GraphError | None:
        return NotFound(operation, "no", status=404) if path.startswith(f"users/{ORGANIZER}") else None

    with running() as app:
        app.calls.append(call("c", NOW - HOUR))
        app.graph.refusal = refuse
        app.announce("c")
        app.run(days=2)
        assert outcome(app).result is Result.NOT_FOUND
        assert "may be deleted" in (outcome(app).last_error or "")


def test_a_guests_short_link_is_not_found_and_says_why() -> None:
    guest = {"identity": {"guest": {"id": "teamsvisitor:1", "displayName": None}, "user": None}}
    made = call("c", NOW - HOUR)
    made.record.update(joinWebUrl="https://teams.microsoft.com/meet/2145678901234", organizer_v2=guest)
    with running() as app:
        app.calls.append(made)
        app.announce("c")
        app.run(days=2)
        assert outcome(app).result is Result.NOT_FOUND
        assert "names an organizer of this tenant" in (outcome(app).last_error or "")


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "swept"])
@pytest.mark.parametrize(
    "organizer",
    [None, {"identity": {"user": {"id": ORGANIZER, "tenantId": CONSUMERS}}}],
    ids=["unknown", "known"],
)
def test_a_personal_accounts_meeting_is_not_supported_and_says_why(
    announced: bool, organizer: object
) -> None:
    made = call("c", NOW - HOUR)
    made.record.update(joinWebUrl="https://teams.live.com/meet/9312345678901?p=x", organizer_v2=organizer)
    with running() as app:
        app.calls.append(replace(made, readings=()))
        if announced:
            app.announce("c")
        app.run(hours=30)
        assert outcome(app).result is Result.NOT_SUPPORTED
        assert "teams.live.com" in (outcome(app).last_error or "")
        assert not [each for _, each in app.graph.seen if each.startswith("find meeting")]


MEETING = {
    "subject": "Fire safety",
    "startDateTime": "2026-11-24T19:00:00Z",
    "endDateTime": "2026-11-24T20:00:00Z",
    "chatInfo": {"threadId": "19:meeting_A@thread.v2"},
}


def subjects(app: App) -> list[str | None]:
    """The subjects in the metadata of the reports, by name."""
    return [decode_details(blob.metadata.get("details")).subject for blob in app.container.below("reports/")]


def test_subject_and_schedule_come_without_a_further_call() -> None:
    seen = {}
    for meeting in ({}, MEETING):
        with running() as app:
            app.calls.append(replace(call("c", NOW - HOUR), meeting=meeting))
            app.announce("c")
            app.run(days=2)
            seen[bool(meeting)] = app.graph.seen
            (report,) = app.container.below("reports/")
            (record,) = app.state.below("signals/")
            index = app.container.below("manifests/date=2026-11-24/reports")[0].body
    assert seen[True] == seen[False]
    assert decode_details(report.metadata["details"]).thread_id == "19:meeting_A@thread.v2"
    line = json.loads(index)
    assert (line["subject"], line["scheduledStart"]) == ("Fire safety", "2026-11-24T19:00:00.000Z")
    assert json.loads(record.body)["details"]["subject"] == "Fire safety"
    assert b"Fire safety" not in report.body


def test_a_renamed_meeting_is_known_by_its_new_subject_a_day_later() -> None:
    with running() as app:
        link = call("a", NOW - HOUR).record["joinWebUrl"]
        for number, subject in enumerate(["old", "new", "newer"]):
            made = call(str(number), NOW - HOUR + number * timedelta(hours=20))
            made.record["joinWebUrl"] = link
            app.calls[:] = [
                replace(each, meeting=MEETING | {"subject": subject}) for each in (*app.calls, made)
            ]
            app.steps.now = NOW + number * timedelta(hours=20)
            app.announce(str(number))
            app.deliver()
        assert subjects(app) == ["old", "old", "newer"]


def test_the_first_subject_of_a_report_stays() -> None:
    with running() as app:
        app.calls.append(replace(call("c", NOW - HOUR), meeting=MEETING))
        app.announce("c")
        app.deliver()
        app.calls[:] = [replace(app.calls[0], meeting=MEETING | {"subject": "another"})]
        app.services = app.another_instance()
        app.ask("redrive", "2026-11-24", "2026-11-24", Result.STORED)
        app.run(days=2)
        assert subjects(app) == ["Fire safety"]


def test_a_report_from_before_gets_its_subject_when_it_is_redriven() -> None:
    with running() as app:
        app.services = app.another_instance(replace(SETTINGS, meeting_details=frozenset()))
        app.calls.append(replace(call("c", NOW - HOUR), meeting=MEETING))
        app.announce("c")
        app.deliver()
        assert subjects(app) == [None]
        (record,) = app.state.below("signals/")
        assert b"Fire safety" not in record.body
        content = json.loads(record.body)
        del content["details"]  # as an earlier version wrote it
        app.state.blobs[record.name] = replace(record, body=json.dumps(content).encode())
        app.services = app.another_instance()
        app.ask("redrive", "2026-11-24", "2026-11-24", Result.STORED)
        app.run(hours=1)
        assert subjects(app) == ["Fire safety"]
