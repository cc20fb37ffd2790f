"""The ledger's promises under crashes, repeats, later versions and retention.

The product runs unchanged on the simulated app; operations are counted where a promise is about their number.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from shared.archiving import dead_letters, redrive, worker
from shared.errors import NotFound, Unavailable
from shared.ledger import merge
from shared.ledger.publish import Outcomes
from shared.ledger.record import (
    AttemptSeries,
    Cause,
    Commit,
    NextAttempt,
    Purpose,
    Record,
    Result,
    StoredReport,
    new_commit,
)
from shared.messages import codec, signals
from shared.messages.signals import (
    Door,
    EventKind,
    EventSession,
    Meeting,
    Nudge,
    Origin,
    call_record_news,
    report_news,
    serialize_message,
)
from shared.messages.tasks import Redrive, Task, serialize_task
from shared.reconcile import sweep
from shared.storage import clients
from tests.support.doubles import Call
from tests.support.simulated_app import DAY, HOUR, NOW, SETTINGS, App, Crash, call, crash, running

JUST_NOW = NOW - timedelta(minutes=10)
LONG_AGO = NOW - 3 * HOUR  # a report that is read once
MIDNIGHT = datetime(2026, 11, 25, tzinfo=UTC)
SIGNALS = clients.SIGNALS_QUEUE
RECORD = "signals/cr-one.json"
WINDOW = timedelta(seconds=SETTINGS.retry_window)


@pytest.fixture
def app() -> Iterator[App]:
    with running() as app:
        yield app


def record(app: App, signal_id: str = "cr-one") -> Record:
    stored = app.services.journal.ledger.read(signal_id)
    assert stored, f"no record of {signal_id}"
    return stored.record


def messages(app: App) -> list[signals.Message]:
    """What waits on the queue."""
    return [
        each
        for waiting in app.queues[SIGNALS].messages
        for each in signals.unpack_messages(json.loads(waiting.text))
    ]


def moved(made: Call, before: datetime, until: datetime) -> Call:
    """A call whose record told of another end until then."""
    made.record["version"] = 2
    earlier = made.record | {"version": 1, "endDateTime": f"{before:%Y-%m-%dT%H:%M:%SZ}"}
    return replace(made, earlier=(until, earlier))


def one(app: App) -> Record:
    """The only outcome, which is in the day of its end and says what its record does."""
    (found,) = app.outcomes()
    (blob,) = app.container.below("outcomes/")
    assert blob.name == Outcomes.name(found.signal_id, found.day)
    assert found.result is record(app, found.signal_id).result
    assert found.day == record(app, found.signal_id).day
    return found


def elsewhere(act: Callable[[], object]) -> Callable[[], None]:
    """For `App.before`: another instance does this meanwhile, and is allowed to die."""

    def run() -> None:
        with ThreadPoolExecutor(1) as another:
            another.submit(act).exception()

    return run


# One outcome, in the day of the call's end


def test_a_later_version_that_moves_the_end_over_midnight_moves_the_outcome(app: App) -> None:
    end = MIDNIGHT + timedelta(minutes=5)
    app.steps.now = MIDNIGHT + timedelta(minutes=10)
    app.calls.append(moved(call("one", end), MIDNIGHT - timedelta(minutes=10), MIDNIGHT + 2 * HOUR))
    app.announce("one")
    app.run(hours=1)
    assert one(app).day == date(2026, 11, 24)
    before = record(app)
    app.run(hours=3)
    assert (record(app).first_seen, record(app).announced) == (before.first_seen, before.announced)
    assert one(app).day == date(2026, 11, 25)
    assert one(app).result is Result.STORED
    assert record(app).days == (date(2026, 11, 24), date(2026, 11, 25))


@pytest.mark.parametrize("at", ["write signals/", "write outcomes/", "delete outcomes/"])
def test_a_look_that_dies_while_it_moves_an_outcome_leaves_one(app: App, at: str) -> None:
    end = MIDNIGHT + timedelta(minutes=5)
    app.steps.now = MIDNIGHT + timedelta(minutes=10)
    app.calls.append(moved(call("one", end), MIDNIGHT - timedelta(minutes=10), MIDNIGHT + 2 * HOUR))
    app.announce("one")
    app.run(hours=1.8)
    app.before(at, crash)
    app.run(hours=3)
    assert one(app).day == date(2026, 11, 25)


def test_an_earlier_version_that_is_read_late_moves_nothing_back(app: App) -> None:
    before = Meeting(NOW, NOW, version=2, origin=Origin.LIST)
    late = Meeting(NOW, NOW - DAY, "https://join", "organizer", version=1, origin=Origin.RECORD)
    assert (
        before.merge(late)
        == late.merge(before)
        == replace(before, join_url="https://join", organizer_id="organizer")
    )


def test_of_one_version_the_record_wins_over_the_list_and_that_over_news() -> None:
    told = {each: Meeting(end=NOW + number * HOUR, origin=each) for number, each in enumerate(Origin)}
    for first, second in ((Origin.NEWS, Origin.LIST), (Origin.LIST, Origin.RECORD)):
        assert told[first].merge(told[second]) == told[second].merge(told[first]) == told[second]


def test_a_list_teaches_times_and_version_only() -> None:
    old = Record("cr-one", Result.PENDING, NOW, 1, AttemptSeries(NOW))
    told = Meeting(NOW, NOW, "https://join", "organizer", version=2, origin=Origin.LIST)
    taught = merge.add_call_times(old, told)
    assert taught
    assert taught.meeting == Meeting(NOW, NOW, version=2, origin=Origin.LIST)
    assert merge.add_call_times(taught, told) is None


def test_a_commit_whose_reply_is_lost_beside_a_foreign_write_is_followed(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = MIDNIGHT + timedelta(minutes=5)
    app.steps.now = MIDNIGHT + timedelta(minutes=10)
    app.calls.append(call("one", end, ready=MIDNIGHT + DAY))
    other, listed = app.another_instance(), Meeting(end=end, version=3, origin=Origin.LIST)

    real = app.state.upload_blob

    def upload(name: str, *arguments: Any, **known: Any) -> str:
        if name != RECORD:
            return real(name, *arguments, **known)
        monkeypatch.undo()
        real(name, *arguments, **known)
        change = partial(_taught, told=listed)
        other.journal.ledger.update(
            "cr-one", change, new_commit("sweep"), other.journal.ledger.read("cr-one")
        )
        return real(name, *arguments, **known)  # the client repeats what it has no reply to

    monkeypatch.setattr(app.state, "upload_blob", upload)
    app.announce("one")
    app.deliver()
    assert [each.step for each in record(app).commits] == ["attempt", "sweep"]
    assert one(app).result is Result.PENDING
    assert [each for each in messages(app) if isinstance(each, Nudge)] == [Nudge("cr-one", 1)]


def _taught(old: Record | None, told: Meeting) -> Record | None:
    return merge.add_call_times(old, told) if old else None


# Old news


def settle(app: App, ended: datetime = LONG_AGO) -> Record:
    """A call whose report is stored, some days ago."""
    app.calls.append(call("one", ended))
    app.announce("one")
    app.run(days=4, every=3 * HOUR)
    return one(app)


def contents(app: App) -> dict[str, tuple[bytes, dict[str, str]]]:
    return {name: (blob.body, blob.metadata) for name, blob in app.container.blobs.items()}


def test_replayed_news_changes_nothing(app: App) -> None:
    settle(app)
    before = contents(app)
    app.announce("one")
    app.deliver()
    assert contents(app) == before
    assert not messages(app)


@pytest.mark.parametrize("is_known", [True, False], ids=["Graph knows the call", "Graph has forgotten it"])
def test_news_replayed_after_the_record_has_expired_changes_no_earlier_day(app: App, is_known: bool) -> None:
    first = settle(app)
    day = app.manifest(first.day)
    reports = {name: each for name, each in contents(app).items() if name.startswith("reports/")}
    del app.state.blobs[RECORD]
    if not is_known:
        app.calls[0] = replace(app.calls[0], readable=None, listed=None, readings=())
    app.announce("one")
    app.run(days=4, every=3 * HOUR)
    assert {name: each for name, each in contents(app).items() if name.startswith("reports/")} == reports
    copies = {each.day: each for each in app.outcomes()}
    assert copies[first.day].result is Result.STORED
    assert copies[first.day].first_seen == first.first_seen
    assert app.manifest(first.day) == day
    rest = [each.result for each in app.outcomes() if each.day != first.day]
    assert rest == ([] if is_known else [Result.NOT_FOUND])


def test_a_stored_outcome_whose_record_has_expired_outlives_failures(app: App) -> None:
    settle(app)
    del app.state.blobs[RECORD]
    app.graph.refusal = lambda path, operation: (
        NotFound(operation, "gone", status=404) if path.startswith("users/") else None
    )
    app.announce("one")
    app.run(days=4, every=3 * HOUR)
    assert one(app).result is Result.STORED
    assert one(app).reports


@pytest.mark.parametrize(
    "spelling", ["0A1B2C3D-0000-4000-8000-00000000ABCD", "0a1b2c3d-0000-4000-8000-00000000abcd"]
)
def test_an_id_in_guid_form_is_one_signal_in_either_case(app: App, spelling: str) -> None:
    app.calls.append(call(spelling.lower(), LONG_AGO))
    for each in (spelling, spelling.upper(), spelling.lower()):
        app.announce(each)
    app.deliver()
    assert one(app).signal_id == f"cr-{spelling.lower()}"
    assert len(app.state.below("signals/")) == 1


def test_other_ids_keep_their_case() -> None:
    assert signals.call_record_signal_id("Opaque") == "cr-Opaque"
    assert signals.report_signal_id("OPAQUE") != signals.report_signal_id("opaque")


# A worker that dies


@pytest.mark.parametrize("at", ["write signals/", "write outcomes/", f"send {SIGNALS}"])
@pytest.mark.parametrize("ready", [NOW, NOW + HOUR], ids=["with the report", "before it is ready"])
def test_a_worker_that_dies_loses_and_doubles_nothing(app: App, at: str, ready: datetime) -> None:
    app.calls.append(call("one", JUST_NOW, ready=ready))
    app.before(at, crash)
    app.announce("one")
    app.run(hours=0.2)
    assert messages(app) == [Nudge("cr-one", record(app).attempt)]
    app.run(hours=6)
    assert one(app).result is Result.STORED
    assert not messages(app)


def test_a_worker_that_dies_before_its_message_is_completed_sends_one_message_more(app: App) -> None:
    app.calls.append(call("one", JUST_NOW, ready=NOW + HOUR))
    news = serialize_message(call_record_news("one", NOW))
    worker.handle_signals(news, app.services)
    worker.handle_signals(news, app.services, redelivered=True)
    assert messages(app) == [Nudge("cr-one", 1)] * 2
    app.run(hours=0.02, every=DAY)
    assert record(app).attempt == 2  # one of them made an attempt, the other was fenced off
    assert messages(app) == [Nudge("cr-one", 2)]


def test_a_worker_that_was_slower_than_one_that_died_follows_in_its_place(app: App) -> None:
    app.calls.append(call("one", JUST_NOW, ready=NOW + HOUR))
    news = serialize_message(call_record_news("one", NOW))

    def commit_and_die() -> None:
        app.before("write outcomes/", crash)
        worker.handle_signals(news, app.another_instance())

    app.before("write signals/", elsewhere(commit_and_die))
    worker.handle_signals(news, app.services, redelivered=True)
    assert one(app).attempt == 1
    assert messages(app) == [Nudge("cr-one", 1)]


def test_a_worker_that_was_slower_than_another_message_leaves_all_to_that(app: App) -> None:
    app.calls.append(call("one", JUST_NOW, ready=NOW + HOUR))
    news = serialize_message(call_record_news("one", NOW))
    app.before("write signals/", elsewhere(lambda: worker.handle_signals(news, app.another_instance())))
    worker.handle_signals(news, app.services)
    assert one(app).attempt == 1
    assert messages(app) == [Nudge("cr-one", 1)]


def test_a_stale_message_does_nothing_the_first_time(app: App) -> None:
    app.calls.append(call("one", JUST_NOW, ready=NOW + HOUR))
    app.announce("one")
    app.deliver()
    before, record_before, asked = contents(app), app.state.blobs[RECORD], list(app.graph.seen)
    worker.handle_signals(serialize_message(Nudge("cr-one", 0)), app.services)
    assert (contents(app), app.state.blobs[RECORD], app.graph.seen) == (before, record_before, asked)
    assert messages(app) == [Nudge("cr-one", 1)]


def test_a_poison_message_whose_attempt_is_recorded_is_followed(app: App) -> None:
    app.calls.append(call("one", JUST_NOW, ready=NOW + HOUR))
    news = serialize_message(call_record_news("one", NOW))
    app.before("write outcomes/", crash)
    with pytest.raises(Crash):
        worker.handle_signals(news, app.services)
    dead_letters.record_dead_message(news, app.services)
    assert one(app).result is Result.PENDING
    assert messages(app) == [Nudge("cr-one", 1)]


def test_a_poison_message_whose_attempt_is_not_recorded_fails_the_signal_and_has_it_looked_at(
    app: App,
) -> None:
    app.calls.append(call("one", JUST_NOW))
    dead_letters.record_dead_message(serialize_message(call_record_news("one", NOW)), app.services)
    assert one(app).result is Result.FAILED
    assert record(app).next == NextAttempt(1, NOW + WINDOW + DAY, Purpose.LOOK)
    app.run(days=2.5, every=3 * HOUR)
    assert one(app).result is Result.STORED


def test_a_message_that_cannot_be_read_is_recorded_once_and_its_text_is_not_published(app: App) -> None:
    for _ in range(2):
        app.receive(SIGNALS, '{"version":9,"kind":"later"}')
        app.deliver()
        app.steps.now += HOUR
    (copy,) = app.container.below("outcomes/")
    (blob,) = app.state.below("signals/")
    content = json.loads(copy.body)
    assert set(content["buried"]) == {"queue", "kind", "version", "sha256"}
    assert content["firstSeen"] == "2026-11-24T21:00:00.000Z"
    stored = codec.loads(Record, blob.body)
    assert stored.buried
    assert json.loads(stored.buried.text) == {"version": 9, "kind": "later"}
    assert [each.step for each in stored.commits] == ["buried", "buried"]


# What follows


def test_who_committed_since_sends_the_message(app: App) -> None:
    app.calls.append(call("one", JUST_NOW, ready=NOW + HOUR))
    name = Outcomes.name("cr-one", JUST_NOW.date())

    def reopen_meanwhile() -> None:
        other = app.another_instance()
        stored = other.journal.ledger.read("cr-one")
        change = partial(_reopened_now, now=NOW)
        other.journal.ledger.update("cr-one", change, new_commit("redrive"), stored)

    app.before(f"write {name}", reopen_meanwhile)
    worker.handle_signals(serialize_message(call_record_news("one", NOW)), app.services)
    assert record(app).attempt == 2
    assert not messages(app)


def _reopened_now(old: Record | None, now: datetime) -> Record | None:
    return old and merge.reopen_record(old, Cause.REDRIVE, now, now)


@pytest.mark.parametrize(
    ("following", "is_sent"),
    [
        (NextAttempt(3, NOW + 7 * DAY), True),
        (NextAttempt(3, NOW + 7 * DAY + timedelta(seconds=1)), False),
        (NextAttempt(3, NOW + HOUR, Purpose.CONFIRM), True),
        (NextAttempt(3, NOW + HOUR, Purpose.LOOK), False),
        (None, False),
    ],
)
def test_what_is_due_within_7_days_is_sent_and_looks_are_left_to_the_sweep(
    app: App, following: NextAttempt | None, is_sent: bool
) -> None:
    new, _ = app.services.journal.ledger.update(
        "cr-one", lambda old: old or known(next=following), new_commit("test")
    )
    assert new
    app.services.journal.follow([new])
    assert messages(app) == ([Nudge("cr-one", 3)] if is_sent else [])


# Two kinds of message


def test_a_nudge_without_a_record_starts_a_call_record_anew(app: App) -> None:
    app.calls.append(call("one", LONG_AGO))
    app.receive(SIGNALS, serialize_message(Nudge("cr-one", 7)))
    app.deliver()
    assert one(app).attempt == 8
    assert record(app).series.attempts == 1
    assert one(app).result is Result.STORED


@pytest.mark.parametrize("signal_id", ["ve-report", f"ce-{'0' * 64}"])
def test_another_nudge_without_a_record_is_dropped(app: App, signal_id: str) -> None:
    app.receive(SIGNALS, serialize_message(Nudge(signal_id, 7)))
    app.deliver()
    assert not app.outcomes()
    assert not app.state.below("signals/")
    assert not app.queues[f"{SIGNALS}-poison"].messages


def test_news_that_meets_a_record_fills_what_it_lacks_and_sends_nothing(app: App) -> None:
    app.calls.append(call("one", JUST_NOW, ready=NOW + DAY))
    app.run(hours=1.05)
    before = record(app)
    assert (before.announced, before.door, before.subscription_id) == (None, None, None)
    waiting = messages(app)
    seen = app.now
    for each in ("subscription", "another"):
        app.services.state.put(f"subscriptions/{each}.json", {"resource": "communications/callRecords"})
    news = call_record_news("one", seen, subscription_id="subscription")
    worker.handle_signals(serialize_message(news), app.services)
    after = record(app)
    assert (after.announced, after.door, after.subscription_id) == (seen, Door.WEBHOOK, "subscription")
    assert (after.attempt, after.next, after.series) == (before.attempt, before.next, before.series)
    assert messages(app) == waiting
    worker.handle_signals(serialize_message(replace(news, subscription_id="another")), app.services)
    assert record(app) == after


def test_news_of_a_report_fills_in_the_door_and_keeps_the_session() -> None:
    session = EventSession(EventKind.WEBINAR, "event", "session")
    found = Meeting(NOW - HOUR, NOW, organizer_id="organizer", event=session, origin=Origin.LIST)
    old = Record("ve-report", Result.PENDING, NOW, 1, AttemptSeries(NOW, Cause.SWEEP), meeting=found)
    filled = merge.add_news(old, report_news("report", session, NOW))
    assert filled
    assert (filled.announced, filled.meeting) == (NOW, found)


def test_a_nudge_holds_nothing_of_a_person_or_a_meeting() -> None:
    assert json.loads(serialize_message(Nudge("cr-one", 3, None))) == {
        "version": 2,
        "kind": "nudge",
        "signalId": "cr-one",
        "attempt": 3,
    }


# Reopening

STARTED = NOW - timedelta(minutes=1)


def known(**changes: object) -> Record:
    usual = Record(
        "cr-one", Result.NO_REPORT, NOW - DAY, 3, AttemptSeries(NOW - DAY, attempts=3), settled=NOW
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def reopened(old: Record, cause: Cause, started: datetime = STARTED) -> Record | None:
    return merge.reopen_record(old, cause, started, NOW)


@pytest.mark.parametrize("cause", [Cause.REDRIVE, Cause.BACKFILL, Cause.PROBE])
def test_reopening_begins_one_series_a_job(cause: Cause) -> None:
    new = reopened(known(), cause)
    assert new
    assert (new.attempt, new.next, new.series) == (4, NextAttempt(4, NOW), AttemptSeries(NOW, cause))
    assert new.result is Result.NO_REPORT
    assert reopened(new, cause) is None  # the same slice, delivered again
    assert merge.is_due_since(new, STARTED, NOW)  # only sends its message
    assert reopened(new, cause, NOW + timedelta(seconds=1)) is None  # another job leaves it to that message
    done = replace(new, attempt=5, next=None, series=replace(new.series, attempts=1))
    assert reopened(done, cause) is None
    assert reopened(done, cause, NOW + timedelta(seconds=1))


def test_an_overdue_attempt_is_asked_for_again_in_its_series() -> None:
    series, due = AttemptSeries(NOW - HOUR, Cause.NEWS, 2, is_denied=True), NOW - 3 * HOUR
    old = known(result=Result.STORED, next=NextAttempt(3, due, Purpose.CONFIRM), series=series)
    for cause in (Cause.LOOK, Cause.REDRIVE):
        new = reopened(old, cause)
        assert new
        assert (new.attempt, new.next, new.series) == (4, NextAttempt(4, NOW, Purpose.CONFIRM), series)
    assert reopened(replace(old, next=NextAttempt(3, NOW - HOUR, Purpose.CONFIRM)), Cause.LOOK) is None


def test_a_look_is_made_when_it_is_due_and_not_before() -> None:
    for due, is_made in ((NOW, True), (NOW + HOUR, False)):
        new = reopened(known(next=NextAttempt(3, due, Purpose.LOOK)), Cause.LOOK)
        assert bool(new) is is_made
        assert new is None or (new.series, new.next) == (AttemptSeries(NOW, Cause.LOOK), NextAttempt(4, NOW))
    assert reopened(known(), Cause.LOOK) is None


def test_a_backfill_wants_more_of_what_another_cause_has_asked_for() -> None:
    asked = known(next=NextAttempt(3, NOW), series=AttemptSeries(NOW - timedelta(seconds=1), Cause.SWEEP))
    assert reopened(asked, Cause.REDRIVE) is None
    new = reopened(asked, Cause.BACKFILL)
    assert new
    assert new.series.cause is Cause.BACKFILL


def test_a_backfill_stores_every_report_of_a_meeting(app: App) -> None:
    old = replace(call("old", NOW - 12 * DAY), readable=None, listed=None)
    app.calls += [call("one", NOW - 10 * DAY), old]
    old.record["joinWebUrl"] = app.calls[0].record["joinWebUrl"]
    app.run(hours=3)
    assert app.stored() == {"one"}
    app.graph.refusal = lambda path, operation: (
        Unavailable(operation, "down", status=503) if "/old" in path and app.now < NOW + 4 * HOUR else None
    )
    app.ask("backfill", "2026-11-12", "2026-11-15")
    app.run(hours=4)
    assert app.stored() == {"one", "old"}
    assert record(app).series.cause is Cause.BACKFILL


def test_the_first_report_of_a_day_is_in_its_manifest_at_once_and_the_others_within_the_hour(
    app: App,
) -> None:
    app.calls += [call("one", NOW - HOUR), call("two", NOW - HOUR)]
    app.announce("one")
    app.deliver()
    assert app.manifest(NOW.date()).reports == 1
    app.announce("two")
    app.services = app.another_instance()
    app.deliver()
    assert app.manifest(NOW.date()).reports == 1, "a busy day is not listed again for each report"
    app.run(hours=1)
    assert app.manifest(NOW.date()).reports == 2


def test_a_backfill_of_named_signals_stores_every_report_of_their_meetings_alone(app: App) -> None:
    for number, name in enumerate(("one", "two")):
        known = call(name, NOW - (10 - number) * DAY)
        old = replace(call(f"old-{name}", NOW - 12 * DAY), readable=None, listed=None)
        old.record["joinWebUrl"] = known.record["joinWebUrl"]
        app.calls += [known, old]
    app.run(hours=3)
    assert app.stored() == {"one", "two"}
    day, wanted = NOW.date() - 10 * DAY, (date(2026, 11, 12), date(2026, 11, 15))
    job = Redrive(frozenset(Result), day, day + DAY, signals=("cr-one",), backfill=wanted)
    app.receive(clients.UPKEEP_QUEUE, serialize_task(Task(job)))
    app.run(hours=1)
    assert app.stored() == {"one", "two", "old-one"}
    stored = app.services.journal.ledger.read("cr-one")
    assert stored
    assert (stored.record.series.cause, stored.record.series.days) == (Cause.BACKFILL, wanted)


def test_a_redrive_delivered_again_begins_no_second_series(app: App) -> None:
    app.calls.append(call("one", LONG_AGO, ready=NOW + 90 * DAY))
    app.announce("one")
    app.run(days=3, every=3 * HOUR)
    assert one(app).result is Result.NO_REPORT
    before, name = record(app).attempt, Outcomes.name("cr-one", one(app).day)
    for _ in range(3):
        redrive.reopen_outcomes([name], Cause.REDRIVE, app.now, app.services)
    assert record(app).attempt == before + 1
    app.deliver()
    assert record(app).attempt == before + 2
    redrive.reopen_outcomes([name], Cause.REDRIVE, record(app).series.began, app.services)
    assert record(app).attempt == before + 2
    assert not messages(app)


def test_another_redrive_leaves_a_queued_attempt_to_its_message_until_that_is_overdue(
    app: App,
) -> None:
    app.calls.append(call("one", LONG_AGO, ready=NOW + 90 * DAY))
    app.announce("one")
    app.run(days=3, every=3 * HOUR)
    name = Outcomes.name("cr-one", one(app).day)
    redrive.reopen_outcomes([name], Cause.REDRIVE, app.now, app.services)
    asked, attempt = messages(app), record(app).attempt
    assert asked == [Nudge("cr-one", attempt)]
    app.steps.now += 2 * HOUR
    redrive.reopen_outcomes([name], Cause.REDRIVE, app.now, app.services)
    assert (messages(app), record(app).attempt) == (asked, attempt)
    app.steps.now += timedelta(minutes=1)
    redrive.reopen_outcomes([name], Cause.REDRIVE, app.now, app.services)
    assert messages(app) == [*asked, Nudge("cr-one", attempt + 1)]


@pytest.mark.parametrize("at", ["write signals/", f"send {SIGNALS}", "write outcomes/"])
def test_a_slice_that_dies_while_it_announces_sends_the_message_when_it_comes_again(
    app: App, at: str
) -> None:
    app.calls.append(call("one", LONG_AGO))
    app.steps.now += HOUR
    sweep.run_sweep(app.services)
    app.before(at, crash)
    app.run(hours=0.2)
    assert one(app).result is Result.STORED


@pytest.mark.parametrize("at", ["write signals/", f"send {SIGNALS}", "write outcomes/"])
def test_a_slice_that_dies_while_it_asks_for_an_overdue_attempt_asks_when_it_comes_again(
    app: App, at: str
) -> None:
    app.calls.append(call("one", JUST_NOW, ready=NOW + HOUR))
    app.announce("one")
    app.deliver()
    app.queues[SIGNALS].messages.clear()
    app.steps.now += 3 * HOUR
    sweep.run_sweep(app.services)
    app.before(at, crash)
    app.run(hours=0.2)
    assert one(app).result is Result.STORED


@pytest.mark.parametrize("at", ["write outcomes/", f"send {SIGNALS}"])
def test_a_look_that_dies_after_it_has_reopened_loses_nothing(app: App, at: str) -> None:
    closed = NOW + WINDOW
    app.calls.append(call("one", JUST_NOW, ready=closed + DAY / 2))
    app.announce("one")
    app.run(hours=(closed + 23 * HOUR - app.now) / HOUR, every=3 * HOUR)
    assert one(app).result is Result.NO_REPORT
    app.before(at, crash)
    app.run(hours=12)
    assert one(app).result is Result.STORED


def test_a_message_that_was_lost_is_sent_again_after_two_hours(app: App) -> None:
    app.calls.append(call("one", JUST_NOW, ready=NOW + HOUR))
    app.announce("one")
    app.deliver()
    series = record(app).series
    app.queues[SIGNALS].messages.clear()
    app.run(hours=5)
    assert one(app).result is Result.STORED
    assert record(app).series.began == series.began


def test_a_reopened_outcome_whose_record_is_gone_goes_on_from_its_copy(app: App) -> None:
    app.calls.append(call("one", LONG_AGO, ready=NOW + 4 * DAY))
    app.announce("one")
    app.run(days=3.5, every=3 * HOUR)
    before = one(app)
    del app.state.blobs[RECORD]
    app.steps.now = NOW + 5 * DAY
    redrive.reopen_outcomes([Outcomes.name("cr-one", before.day)], Cause.REDRIVE, app.now, app.services)
    assert record(app).attempt == before.attempt + 1
    assert record(app).first_seen == before.first_seen
    app.deliver()
    assert one(app).result is Result.STORED


# Merging


ORDER = {
    Result.STORED: set(Result) - {Result.STORED},
    Result.NO_REPORT: {Result.PENDING, Result.FAILED, Result.NOT_FOUND},
    Result.NOT_FOUND: {Result.PENDING, Result.FAILED},
    Result.FAILED: {Result.PENDING},
    Result.PENDING: set(),
}


@pytest.mark.parametrize("old", ORDER)
@pytest.mark.parametrize("new", Result)
def test_less_never_takes_the_place_of_more(old: Result, new: Result) -> None:
    before = known(result=old, settled=NOW - HOUR)
    after = merge.merge_attempt(before, known(result=new, attempt=4, next=NextAttempt(4, NOW)), 3)
    assert after
    kept = new in ORDER[old]
    assert after.result is (old if kept else new)
    assert after.settled == (NOW - HOUR if kept else NOW)
    assert (after.attempt, after.next) == (4, NextAttempt(4, NOW))  # only the attempts count on


def test_an_attempt_that_another_has_recorded_is_discarded() -> None:
    assert merge.merge_attempt(known(attempt=4), known(result=Result.STORED, attempt=4), 3) is None


def test_reports_are_a_union_and_the_first_time_stays() -> None:
    first, second = (StoredReport(each, NOW, f"reports/{each}") for each in ("first", "second"))
    grown = replace(first, end=NOW + HOUR)
    old = known(
        reports=(first,), stored=NOW, announced=NOW, door=Door.WEBHOOK, subscription_id="s", first_seen=NOW
    )
    new = known(reports=(second, grown), stored=NOW + HOUR, attempt=4, first_seen=NOW + HOUR)
    after = merge.merge_attempt(old, new, 3)
    assert after
    assert after.reports == (grown, second)
    assert (after.stored, after.announced, after.door, after.subscription_id) == (NOW, NOW, Door.WEBHOOK, "s")
    assert after.first_seen == NOW


def test_an_attempt_that_read_an_earlier_version_keeps_what_is_known() -> None:
    later = Meeting(NOW, NOW + DAY, version=2, origin=Origin.LIST)
    earlier = Meeting(NOW, NOW, "https://join", "organizer", version=1, origin=Origin.RECORD)
    after = merge.merge_attempt(known(meeting=later), known(meeting=earlier, attempt=4), 3)
    assert after
    assert after.meeting == replace(later, join_url="https://join", organizer_id="organizer")


def test_commits_are_the_last_40() -> None:
    new = known()
    for number in range(45):
        new = new.with_commit(Commit(f"{number}", NOW, "test"), new)
    assert [each.id for each in new.commits] == [f"{number}" for number in range(5, 45)]
    assert new.revision == 45
    assert codec.loads(Record, codec.dumps(new)) == new


# How much it costs


class Counted:
    """Storage operations in order: method and name, without random parts."""

    def __init__(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[str] = []
        for container in (app.container, app.state):
            for method in ("download_blob", "upload_blob", "delete_blob", "list_blobs", "list_blob_names"):
                self._count(container, method, monkeypatch)
            real = container.get_blob_client
            monkeypatch.setattr(
                container, "get_blob_client", lambda name, real=real: _Client(real(name), self.made)
            )

    def _count(self, container: object, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
        real = getattr(container, method)

        def counted(name: str = "", *arguments: object, **known: object) -> object:
            self.made.append(f"{method.removesuffix('_blob')} {name or known['name_starts_with']}")
            return real(*([name] if name else []), *arguments, **known)

        monkeypatch.setattr(container, method, counted)

    def shown(self) -> list[str]:
        """Without heartbeats and the listing of erasures, once a minute an instance, and manifests, once a day."""
        rare = ("erasures/", "heartbeat/", "manifests/")
        kept = [each for each in self.made if not any(name in each for name in rare)]
        return [re.sub(r"date=[^/]+/.*", "…", each) for each in kept]


class _Client:
    """A blob whose properties are counted as such, not as a download."""

    def __init__(self, real: object, made: list[str]) -> None:
        self._real, self._made = real, made

    def get_blob_properties(self) -> object:
        found = self._real.get_blob_properties  # type: ignore[attr-defined]
        try:
            return found()
        finally:
            self._made[-1] = self._made[-1].replace("download", "head")

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


def test_a_fresh_report_costs_two_reads_and_three_writes(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    app.calls.append(call("one", JUST_NOW))
    counted = Counted(app, monkeypatch)
    worker.handle_signals(serialize_message(call_record_news("one", NOW)), app.services)
    assert counted.shown() == [
        f"download {RECORD}",
        "upload reports/…",
        f"upload {RECORD}",
        "upload outcomes/…",
        f"download {RECORD}",
    ]
    assert messages(app) == [Nudge("cr-one", 1)]


def test_following_again_writes_no_copy(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    app.calls.append(call("one", JUST_NOW))
    news = serialize_message(call_record_news("one", NOW))
    worker.handle_signals(news, app.services)
    counted = Counted(app, monkeypatch)
    worker.handle_signals(news, app.services, redelivered=True)
    assert counted.shown() == [
        f"download {RECORD}",
        "upload outcomes/…",
        "head outcomes/…",
        f"download {RECORD}",
    ]


def test_a_second_reading_costs_one_look_at_the_copy_more(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    app.calls.append(call("one", JUST_NOW))
    app.announce("one")
    app.deliver()
    app.steps.now += timedelta(seconds=SETTINGS.confirm_after) + timedelta(minutes=1)
    app.services = app.another_instance()
    counted = Counted(app, monkeypatch)
    app.deliver()
    assert Counter(each.split("/")[0] for each in counted.shown()) == {
        "download signals": 2,
        "upload reports": 1,
        "head reports": 1,
        "upload signals": 1,
        "head outcomes": 1,
        "upload outcomes": 1,
    }


def test_a_sweep_over_settled_calls_reads_no_record(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        app.calls.append(call(f"call-{number}", LONG_AGO - number * HOUR))
    app.run(days=1)
    assert set(app.results().values()) == {Result.STORED}
    counted = Counted(app, monkeypatch)
    app.run(hours=2.5)
    assert [each for each in counted.made if each.startswith("list_blobs outcomes/")]
    assert [each for each in counted.made if "signals/" in each] == []


def test_nothing_ever_lists_the_ledger(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    app.calls.append(call("one", LONG_AGO, ready=NOW + 5 * DAY))
    counted = Counted(app, monkeypatch)
    app.announce("one")
    app.ask("backfill", "2026-11-01", "2026-11-24")
    app.run(days=9, every=3 * HOUR)
    app.ask("redrive", "2026-11-01", "2026-11-30", Result.STORED)
    app.run(hours=2)
    assert one(app).result is Result.STORED
    assert not [each for each in counted.made if each.startswith("list") and "signals/" in each]
