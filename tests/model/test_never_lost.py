"""Histories that once lost a report.

They take days or weeks of the app's life, so they run on doubles, with simulated time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ServiceRequestError

from shared import times
from shared.archiving import redrive, worker
from shared.errors import AccessDenied, GraphError, NotFound, Unavailable
from shared.ledger.publish import Outcomes, OutcomeSummary
from shared.ledger.record import Cause, Result
from shared.messages.signals import call_record_news, serialize_message
from shared.reconcile import call_records
from shared.storage import clients
from tests.support.blobs import coded
from tests.support.doubles import Fault
from tests.support.simulated_app import (
    DAY,
    HOUR,
    NOW,
    ORGANIZER,
    SETTINGS,
    App,
    WatchedQueue,
    call,
    crash,
    fail,
    running,
)

JUST_NOW = NOW - timedelta(minutes=10)
DENIED = f"access/{ORGANIZER}.json"
WINDOW = timedelta(seconds=SETTINGS.retry_window)


@pytest.fixture
def app() -> Iterator[App]:
    with running() as app:
        yield app


# An organizer without access


def test_a_worker_puts_a_denied_organizer_down_before_it_settles_the_signal(app: App) -> None:
    app.calls.append(call("one", JUST_NOW, opens=NOW + 2 * DAY))
    app.announce("one")
    app.before("write access/", crash)
    app.run(hours=2, every=DAY)
    assert app.results() == {"one": Result.ACCESS_DENIED}
    assert DENIED in app.state.blobs


def refusal(app: App) -> dict[str, Any]:
    stored = app.services.state.read(DENIED)
    return stored.content if stored else {}


def test_a_refusal_is_on_record_from_the_first_403_on_and_gone_when_the_policy_was_only_new(app: App) -> None:
    app.calls.append(call("one", JUST_NOW, opens=NOW + timedelta(minutes=20)))
    app.announce("one")
    app.deliver()
    assert app.results() == {"one": Result.PENDING}
    asked_again = times.parse(refusal(app)["retryAt"])
    assert asked_again
    assert timedelta(minutes=34) < asked_again - NOW < timedelta(minutes=36)
    redrive.probe_denied(app.services)  # the sweep decides nothing meanwhile
    assert refusal(app)
    app.run(hours=1)
    assert app.results() == {"one": Result.STORED}
    assert (refusal(app), app.state.below("opened/")) == ({}, [])


def test_a_refusal_that_was_confirmed_is_settled_and_keeps_when_it_began(app: App) -> None:
    app.calls.append(call("one", JUST_NOW, opens=NOW + 2 * DAY))
    app.announce("one")
    app.deliver()
    began = refusal(app)["since"]
    app.run(hours=2)
    assert app.results() == {"one": Result.ACCESS_DENIED}
    assert ("retryAt" in refusal(app), refusal(app)["since"]) == (False, began)


def test_a_denied_organizer_is_probed_although_the_worker_died_before_saying_so(app: App) -> None:
    app.calls.append(call("one", JUST_NOW, opens=NOW + 2 * DAY))
    app.announce("one")
    app.run(hours=2)
    del app.state.blobs[DENIED]
    app.run(days=3)
    assert app.results() == {"one": Result.STORED}


def test_an_organizer_is_opened_although_the_worker_died_after_the_probe_that_succeeded(app: App) -> None:
    for name in ("one", "two"):
        app.calls.append(call(name, JUST_NOW, opens=NOW + 2 * DAY))
        app.announce(name)
    app.before("write opened/", crash)
    app.run(days=4)
    assert app.results() == {"one": Result.STORED, "two": Result.STORED}
    assert not app.state.below("access/")


def test_an_organizer_is_probed_with_another_outcome_when_the_one_put_down_is_gone(app: App) -> None:
    app.calls += [
        call("one", JUST_NOW, opens=NOW + 4 * DAY),
        call("two", NOW + DAY, opens=NOW + 4 * DAY),
    ]
    app.announce("one")
    app.run(hours=12)
    app.container.blobs.clear()
    del app.state.blobs["signals/cr-one.json"]
    app.calls[0] = replace(app.calls[0], readable=None, listed=None)
    app.run(days=6)
    assert app.results() == {"two": Result.STORED}


def test_access_given_after_40_days_brings_back_every_report_denied_since(app: App) -> None:
    opens = NOW + 40 * DAY
    ends = {f"day-{days}": JUST_NOW + days * DAY for days in (0, 1, 2, 3, 39)}
    for name, end in ends.items():
        app.calls.append(call(name, end, opens=opens))
    for name, end in ends.items():
        app.run(hours=(end + 2 * HOUR - app.now) / HOUR, every=6 * HOUR)
        app.announce(name)
    app.run(days=4)
    assert app.results() == dict.fromkeys(ends, Result.STORED)
    assert not app.state.below("access/")
    assert not app.state.below("opened/")


def test_a_meeting_that_comes_into_scope_is_archived_after_its_call_record_is_gone(app: App) -> None:
    app.calls.append(call("one", JUST_NOW))
    others = frozenset({"bbbbbbbb-0000-4000-8000-000000000000"})
    app.services = app.another_instance(replace(SETTINGS, organizers=others))
    app.announce("one")
    app.deliver()
    assert app.results() == {"one": Result.OUT_OF_SCOPE}
    app.steps.now += 35 * DAY
    app.calls[0] = replace(app.calls[0], readable=None, listed=None)
    app.services = app.another_instance()
    app.ask("redrive", "2026-11-20", "2026-11-24", Result.OUT_OF_SCOPE)
    app.run(hours=1)
    assert app.results() == {"one": Result.STORED}


# What settled without a report


def test_a_look_at_no_report_that_is_refused_with_403_is_followed_by_others(app: App) -> None:
    closed = NOW + WINDOW
    app.calls.append(call("one", JUST_NOW, ready=closed + 5 * DAY))
    app.announce("one")
    app.graph.refusal = lambda path, operation: (
        AccessDenied(operation, "refused by Graph", status=403)
        if path.startswith("users/") and closed + DAY / 2 < app.now < closed + 2 * DAY
        else None
    )
    app.run(hours=(closed + 2 * DAY - app.now) / HOUR)
    assert app.results() == {"one": Result.ACCESS_DENIED}
    app.run(days=6, every=3 * HOUR)
    assert app.results() == {"one": Result.STORED}


@pytest.mark.parametrize("ended", [JUST_NOW, NOW - 28 * DAY], ids=["fresh", "found late"])
def test_no_report_is_looked_at_1_3_7_14_and_30_days_after_the_window(app: App, ended: datetime) -> None:
    app.calls.append(call("one", ended, ready=NOW + 90 * DAY))
    app.run(days=34, every=3 * HOUR)
    closed = NOW + WINDOW
    looks = {
        (moment - closed) // DAY for moment, asked in app.graph.seen if asked == "list attendance reports"
    }
    assert {days for days in looks if days > 0} == {1, 3, 7, 14, 30}


@pytest.mark.parametrize("kind", [NotFound, AccessDenied])
def test_a_report_of_a_channel_that_was_refused_once_is_looked_at_again(
    app: App, kind: type[GraphError]
) -> None:
    ended = NOW - 3 * DAY
    made = call("one", ended)
    made.record["joinWebUrl"] = "https://teams.microsoft.com/l/meetup-join/19%3ax%40thread.tacv2/one"
    app.calls.append(made)
    app.graph.refusal = lambda path, operation: (
        kind(operation, "refused by Graph", status=404 if kind is NotFound else 403)
        if "attendanceReports/" in path and app.now < NOW + 3 * HOUR
        else None
    )
    app.run(hours=2)
    assert app.results() == {"one": Result.NOT_SUPPORTED}
    app.run(days=3, every=3 * HOUR)
    assert app.results() == {"one": Result.STORED}


def participants(app: App, call_id: str) -> int:
    """As its stored report has them."""
    bodies = [json.loads(blob.body) for blob in app.container.below("reports/")]
    (report,) = [body for body in bodies if body["id"] == call_id]
    return len(report["attendanceRecords"])


@pytest.mark.parametrize("last", ["in the window", "after it"])
@pytest.mark.parametrize("kind", [NotFound, AccessDenied, Unavailable])
def test_a_second_reading_that_fails_is_not_the_last_one(app: App, kind: type[GraphError], last: str) -> None:
    made = call("one", JUST_NOW)
    ready, report = made.readings[0]
    grown = report | {"totalParticipantCount": 2, "attendanceRecords": [{"id": "somebody"}, {"id": "late"}]}
    app.calls.append(replace(made, readings=((ready, report), (NOW + HOUR, grown))))
    until = NOW + (WINDOW + HOUR if last == "after it" else timedelta(seconds=SETTINGS.confirm_after) + HOUR)
    app.graph.refusal = lambda path, operation: (
        kind(operation, "refused by Graph", status=404) if NOW + HOUR < app.now < until else None
    )
    app.announce("one")
    app.run(hours=(until - NOW) / HOUR)
    assert app.results() == {"one": Result.STORED}
    assert participants(app, "one") == 1
    app.run(days=2 if last == "after it" else 1)
    assert app.results() == {"one": Result.STORED}
    assert participants(app, "one") == 2
    assert app.outcomes()[0].next is None


def test_the_second_reading_of_a_fresh_report_survives_a_redrive(app: App) -> None:
    made = call("one", JUST_NOW)
    ready, report = made.readings[0]
    grown = report | {"totalParticipantCount": 2, "attendanceRecords": [{"id": "somebody"}, {"id": "late"}]}
    app.calls.append(replace(made, readings=((ready, report), (NOW + timedelta(minutes=10), grown))))
    app.announce("one")
    app.deliver()
    (stored,) = app.outcomes()
    app.ask("redrive", "2026-11-24", "2026-11-24", Result.STORED)
    app.deliver()
    (redriven,) = app.outcomes()
    assert redriven.attempt > stored.attempt
    assert participants(app, "one") == 1
    app.run(hours=SETTINGS.confirm_after / 3600 + 1)
    assert participants(app, "one") == 2


# A meeting that the list shows late


@pytest.mark.parametrize("readable", [2 * HOUR, 41 * HOUR], ids=["at once", "after 41 hours"])
def test_a_meeting_of_29_hours_across_midnights_is_found_on_the_day_it_ended(
    app: App, readable: timedelta
) -> None:
    end = NOW - 40 * HOUR
    made = call("one", end, readable=end + readable)
    made.record["startDateTime"] = times.text(end - 29 * HOUR)
    made.readings[0][1]["meetingStartDateTime"] = made.record["startDateTime"]
    app.calls.append(made)
    app.run(days=2)
    (outcome,) = app.outcomes()
    assert (outcome.result, outcome.day) == (Result.STORED, end.date())


# A look at Graph's list that breaks off


def refused() -> None:
    raise coded(ResourceModifiedError("412"), "ConditionNotMet")


@pytest.mark.parametrize("is_made", [True, False], ids=["its reply was lost", "it was not made"])
@pytest.mark.parametrize("writes", [1, 2], ids=["to begin", "to go on"])
def test_a_look_goes_on_when_its_write_is_refused_though_nobody_else_wrote(
    app: App, writes: int, is_made: bool
) -> None:
    left = writes

    def strike() -> None:
        nonlocal left
        left -= 1
        if left:
            app.before("write sweep/full", strike)
        elif is_made:
            app.steps.pause = twice
        else:
            refused()

    def twice() -> Fault:
        app.steps.pause = lambda: None
        return Fault.MADE_TWICE

    app.calls.append(call("one", NOW - 3 * DAY))
    app.before("write sweep/full", strike)
    app.run(hours=1)
    assert left == 0
    assert app.scan("full").finished
    assert app.results() == {"one": Result.STORED}


def test_an_attempt_whose_message_was_lost_is_counted_as_late_and_made(app: App) -> None:
    app.calls.append(call("one", JUST_NOW, ready=NOW + 3 * HOUR))
    app.announce("one")
    app.deliver()
    assert app.results() == {"one": Result.PENDING}
    app.queues[clients.SIGNALS_QUEUE].messages.clear()
    while app.results() == {"one": Result.PENDING} and app.now < NOW + 2 * DAY:
        app.run(hours=1)
    assert app.results() == {"one": Result.STORED}
    assert app.scan("recent").late == 1


def test_a_backfill_whose_chain_broke_is_resumed_by_the_timer(app: App) -> None:
    app.calls += [call(f"call-{number}", NOW - 10 * DAY - number * HOUR) for number in range(6)]
    app.run(hours=3)
    app.graph.refusal = lambda path, operation: Unavailable(operation, "down", status=503)
    app.ask("backfill", "2026-11-01", "2026-11-24")
    app.run(hours=0.75)
    assert not app.scan("backfill-").finished
    assert all("cleanTables" in each.text for each in app.queues[clients.UPKEEP_QUEUE].messages)
    app.graph.refusal = lambda path, operation: None
    app.run(hours=3)
    assert app.scan("backfill-").finished
    assert app.scan("backfill-").records == 6


def test_a_backfill_that_died_before_its_first_message_goes_on_when_it_is_asked_for_again(app: App) -> None:
    app.calls.append(call("one", NOW - 10 * DAY))
    app.before(f"send {clients.UPKEEP_QUEUE}", crash)
    app.ask("backfill", "2026-11-01", "2026-11-20")
    app.run(hours=1, every=DAY)
    assert app.scan("backfill-").finished
    assert app.results() == {"one": Result.STORED}


@pytest.mark.parametrize(
    ("ended", "missed", "within"),
    [(NOW, HOUR, 3 * HOUR), (NOW - 3 * DAY, 8 * HOUR, DAY)],
    ids=["in the look at the last hours", "in the look at all days"],
)
@pytest.mark.parametrize("status", [500, None], ids=["it fails", "it leads elsewhere"])
def test_a_page_that_never_comes_keeps_no_other_call_from_being_found(
    app: App, ended: datetime, missed: timedelta, within: timedelta, status: int | None
) -> None:
    pages = [call(f"call-{number}", ended - timedelta(minutes=20 + number)) for number in range(8)]
    app.calls += pages
    dead: list[str] = []

    def refusal(path: str, operation: str) -> Unavailable | None:
        if "$skip=2" in path and not dead:
            dead.append(path)
        return Unavailable(operation, "no answer", status=status) if path in dead else None

    app.graph.refusal = refusal
    app.run(days=1.5)
    app.calls.append(call("unannounced", app.now - missed))
    app.run(hours=within / HOUR)
    assert dead
    assert app.results()["unannounced"] is Result.STORED
    app.run(days=2)
    assert app.results() == {each.id: Result.STORED for each in app.calls}
    assert app.manifest(ended.date()).complete


# One signal that fails


def refuse(app: App, monkeypatch: pytest.MonkeyPatch, name: str, failure: Exception) -> list[str]:
    """Have storage refuse each write of the blob `name`, until the list is emptied; return what is skipped."""
    skipped: list[str] = ["until emptied"]
    app.queues[f"{clients.SIGNALS_QUEUE}-poison-poison"] = WatchedQueue(app.steps)  # which nobody handles
    for container in (app.container, app.state):

        def upload(blob: str, *args: Any, write: Any = container.upload_blob, **arguments: Any) -> Any:
            if blob == name and skipped:
                raise failure
            return write(blob, *args, **arguments)

        monkeypatch.setattr(container, "upload_blob", upload)

    def error(event: str, **fields: object) -> None:
        if event == "sweep.skipped":
            skipped.append(str(fields.get("signal", fields.get("start"))))

    monkeypatch.setattr("shared.logs.error", error)
    return skipped


def held() -> ResourceExistsError:
    return coded(ResourceExistsError("409"), "BlobImmutableDueToPolicy")


@pytest.mark.parametrize("failure", [held(), ValueError("not said")], ids=["it is held", "a fault of ours"])
def test_an_outcome_that_nobody_may_write_does_not_stop_the_sweep(
    app: App, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    end = NOW - 8 * DAY
    app.calls.append(call("held", end, ready=NOW + 30 * DAY))
    app.run(hours=6)
    assert app.results() == {"held": Result.NO_REPORT}
    skipped = refuse(app, monkeypatch, Outcomes.name("cr-held", end.date()), failure)
    app.run(days=8)  # so a look at it is due
    later = app.now - 8 * HOUR
    app.calls.append(call("unannounced", later))
    app.run(days=4)
    assert app.results() == {"held": Result.NO_REPORT, "unannounced": Result.STORED}
    assert set(skipped) == {"until emptied", "cr-held"}
    assert app.scan("full").finished
    assert app.manifest(later.date()).complete


def test_one_refused_outcome_keeps_no_other_from_being_reopened(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "held", "z"):
        app.calls.append(call(name, NOW - 3 * DAY, ready=NOW + DAY))
    app.run(hours=6)
    skipped = refuse(app, monkeypatch, Outcomes.name("cr-held", (NOW - 3 * DAY).date()), held())
    app.steps.now = NOW + DAY + HOUR
    app.ask("redrive", "2026-11-20", "2026-11-22", Result.NO_REPORT)
    app.run(hours=0.5)
    assert app.results() == {"a": Result.STORED, "held": Result.NO_REPORT, "z": Result.STORED}
    assert set(skipped) == {"until emptied", "cr-held"}


@pytest.mark.parametrize("name", ["signals/cr-held.json", "outcomes/date=2026-11-19/cr-held.json"])
def test_a_found_call_that_cannot_be_recorded_leaves_its_day_open_until_it_is(
    app: App, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    end = NOW - 5 * DAY
    app.calls += [call("held", end), call("other", end), call("later", end + DAY)]
    skipped = refuse(app, monkeypatch, name, held())
    app.run(days=1.5)
    assert app.results() == {"other": Result.STORED, "later": Result.STORED}
    assert "cr-held" in skipped
    assert not app.manifest(end.date()).complete
    assert app.manifest((end + DAY).date()).complete
    skipped.clear()
    app.run(days=1.5)
    assert app.results()["held"] is Result.STORED
    assert app.manifest(end.date()).complete


def test_storage_that_cannot_be_reached_stops_a_scan_and_skips_nothing(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.calls += [call(name, NOW - 5 * DAY) for name in ("held", "other")]
    skipped = refuse(app, monkeypatch, "signals/cr-held.json", ServiceRequestError("not made"))
    app.run(days=1)
    assert not app.scan("full").finished
    assert skipped == ["until emptied"]
    skipped.clear()
    app.run(hours=3)
    assert app.results() == {"held": Result.STORED, "other": Result.STORED}
    assert app.scan("full").unclear == ()


def test_a_day_whose_outcomes_cannot_be_reopened_keeps_no_other_from_the_sweep(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.calls.append(call("odd", NOW - 3 * DAY, ready=NOW + 30 * DAY))
    app.run(hours=6)

    def is_due(outcome: OutcomeSummary, now: datetime) -> bool:
        raise ValueError("not said")

    monkeypatch.setattr(redrive, "is_due", is_due)
    app.run(days=1)
    app.calls.append(call("unannounced", app.now - 2 * DAY))
    app.run(days=3)
    assert app.results()["unannounced"] is Result.STORED


def test_a_page_that_the_product_cannot_handle_keeps_no_other_call_from_being_found(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.calls += [call("odd", NOW - 5 * DAY), call("unannounced", NOW - 2 * DAY)]
    parse = call_records.parse_listed

    def parse_listed(item: dict[str, Any]) -> Any:
        if item["id"] == "odd":
            raise OverflowError("not said")
        return parse(item)

    monkeypatch.setattr(call_records, "parse_listed", parse_listed)
    app.run(days=2)
    assert app.results() == {"unannounced": Result.STORED}
    assert app.scan("full").finished
    assert not app.manifest((NOW - 5 * DAY).date()).complete


# An outcome that another version or another hand wrote


@pytest.mark.parametrize(
    ("body", "next_attempt"),
    [
        (b'{"outcome":"of a later version"}', "2026-11-24T10:00:00.000Z"),
        (b"{}", "soon"),
        (b"{}", "9999-12-31T23:59:59.999Z"),
    ],
    ids=["its body", "its metadata", "a time beyond the calendar"],
)
def test_an_outcome_that_cannot_be_read_does_not_stop_the_sweep(
    app: App, body: bytes, next_attempt: str
) -> None:
    app.container.upload_blob(
        "outcomes/date=2026-11-24/cr-strange.json",
        body,
        overwrite=True,
        metadata={"outcome": "pending", "nextattempt": next_attempt},
    )
    app.calls.append(call("unannounced", JUST_NOW))
    app.run(hours=6)
    assert app.results()["unannounced"] is Result.STORED
    assert app.scan("full").finished
    assert app.manifest(NOW.date()).outcomes[Result.STORED] == 1


@pytest.mark.parametrize("name", ["start", "end", "firstSeen", "nextAttempt"])
def test_an_outcome_with_a_time_beyond_the_calendar_does_not_stop_the_sweep(app: App, name: str) -> None:
    app.calls.append(call("odd", JUST_NOW))
    app.announce("odd")
    app.deliver()
    (blob,) = app.container.below("outcomes/")
    app.state.delete_blob("signals/cr-odd.json")  # so the copy is read instead
    far = "9999-12-31T23:59:59.999Z"
    metadata = blob.metadata | {"outcome": "pending", "nextattempt": "2026-11-24T10:00:00.000Z"}
    if name == "firstSeen":
        metadata["firstseen"] = far
    body = json.dumps(json.loads(blob.body) | {name: far}).encode()
    app.container.upload_blob(blob.name, body, overwrite=True, metadata=metadata)
    app.calls.append(call("unannounced", JUST_NOW))
    app.run(hours=6)
    assert app.results() == {"odd": Result.STORED, "unannounced": Result.STORED}
    assert app.scan("full").finished


def test_an_announced_call_is_archived_over_an_outcome_that_cannot_be_read(app: App) -> None:
    app.container.upload_blob(
        "outcomes/date=2026-11-24/cr-one.json",
        b'{"signalId":"cr-one"}',
        overwrite=True,
        metadata={"outcome": "pending"},
    )
    app.calls.append(call("one", JUST_NOW))
    app.announce("one")
    app.deliver()
    assert app.results() == {"one": Result.STORED}


# A day that changes after it was sealed


def seal_without_report(app: App) -> date:
    """A sealed day, long past, of which a report has come meanwhile."""
    end = NOW - 3 * DAY
    app.calls.append(call("one", end, ready=NOW + DAY))
    app.run(hours=6)
    manifest = app.manifest(end.date())
    assert (manifest.complete, manifest.revision, manifest.reports) == (True, 1, 0)
    app.steps.now = NOW + DAY + timedelta(minutes=1)
    return manifest.day


def assert_tells_the_truth(app: App, day: date) -> None:
    ours = [outcome for outcome in app.outcomes() if outcome.day == day and not outcome.is_unconfirmed]
    there = Counter(outcome.result for outcome in ours)
    assert app.manifest(day).outcomes == there
    assert app.manifest(day).reports == len(app.container.below(f"reports/date={day.isoformat()}/"))
    assert app.manifest(day).complete


def test_a_sealed_day_is_published_anew_although_its_change_could_not_be_noted_at_first(app: App) -> None:
    day = seal_without_report(app)
    app.before("write sweep/changed/", fail)
    app.ask("redrive", "2026-11-20", "2026-11-22", Result.NO_REPORT)
    app.run(days=1)
    assert app.results() == {"one": Result.STORED}
    assert_tells_the_truth(app, day)


def test_a_change_noted_while_the_manifest_is_being_written_is_published_later(app: App) -> None:
    day = seal_without_report(app)
    name = f"sweep/changed/{day.isoformat()}.json"
    app.services.sealing.mark_changed(day)
    app.steps.now += HOUR

    def change() -> None:
        redrive.reopen_outcomes(
            [Outcomes.name("cr-one", day)], Cause.REDRIVE, app.now, app.another_instance()
        )
        app.services = app.another_instance()
        app.deliver()

    app.before(f"delete {name}", change)
    app.services.sealing.refresh(day)
    assert app.results() == {"one": Result.STORED}
    app.run(days=1)
    assert_tells_the_truth(app, day)
    assert name not in app.state.blobs


def test_a_sealed_day_is_published_anew_when_an_outcome_is_filed_on_another(app: App) -> None:
    end = datetime(2026, 11, 24, 23, 50, tzinfo=UTC)
    first_seen = date(2026, 11, 25)
    app.calls.append(call("one", end, readable=end + 6 * DAY))
    app.steps.now = end + timedelta(minutes=20)
    app.announce("one")
    app.run(days=4.5, every=3 * HOUR)
    assert_tells_the_truth(app, first_seen)
    assert app.manifest(first_seen).outcomes == {}
    assert app.manifest(first_seen).unconfirmed == 1
    app.run(days=5, every=3 * HOUR)
    assert app.results() == {"one": Result.STORED}
    assert_tells_the_truth(app, end.date())
    assert_tells_the_truth(app, first_seen)


def test_a_sealed_day_is_published_anew_when_a_buried_message_is_sent_again(app: App) -> None:
    day = NOW.date()
    app.calls.append(call("one", NOW + 2 * HOUR))
    app.receive(clients.SIGNALS_QUEUE, '{"version":9,"kind":"later"}')
    app.run(days=3.5)
    assert app.manifest(day).outcomes == {Result.FAILED: 1, Result.STORED: 1}
    app.ask("redrive", day.isoformat(), day.isoformat(), Result.FAILED)
    app.run(days=1)
    assert app.manifest(day).outcomes == {Result.STORED: 1}
    assert_tells_the_truth(app, day)


# A worker that is slower than the message it sent


def test_a_worker_that_publishes_late_leaves_the_outcome_of_the_last_record(app: App) -> None:
    app.calls.append(call("one", NOW - 3 * DAY, readable=NOW + timedelta(minutes=1)))

    def next_attempt() -> None:
        app.steps.now += 3 * HOUR
        name = Outcomes.name("cr-one", NOW.date())
        with ThreadPoolExecutor(1) as another:
            another.submit(
                redrive.reopen_outcomes, [name], Cause.REDRIVE, app.now, app.another_instance()
            ).result()
            another.submit(app.deliver).result()
        assert app.results() == {"one": Result.STORED}

    app.before("write outcomes/", next_attempt)
    worker.handle_signals(serialize_message(call_record_news("one", NOW)), app.services)
    app.deliver()
    assert [each.result for each in app.outcomes()] == [Result.STORED]


# What a list may hold


def test_a_call_listed_without_an_end_gets_one_outcome(app: App) -> None:
    made = call("one", NOW - 3 * DAY)
    made.record.update({"type": "peerToPeer", "endDateTime": None})
    app.calls.append(made)
    app.run(days=4)
    assert len(app.outcomes()) == 1
