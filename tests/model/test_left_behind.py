"""Leftovers of crashed or overtaken processes, and their repair."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared import upkeep
from shared.archiving import redrive
from shared.ledger.record import Cause, Result
from shared.storage import clients
from tests.support.simulated_app import HOUR, LEASE, NOW, App, call, crash, running

MIDNIGHT = datetime(2026, 11, 25, tzinfo=UTC)
BEFORE, AFTER = "date=2026-11-24", "date=2026-11-25"
SIGNALS = clients.SIGNALS_QUEUE


@pytest.fixture
def app() -> Iterator[App]:
    with running() as app:
        yield app


def between_people(app: App, until: datetime) -> None:
    """A call that settles at once, and later moves over midnight."""
    made = call("one", MIDNIGHT + timedelta(minutes=5))
    made.record.update({"type": "peerToPeer", "joinWebUrl": None, "version": 2})
    before = made.record | {"version": 1, "endDateTime": "2026-11-24T23:50:00Z"}
    app.calls.append(replace(made, earlier=(until, before)))
    app.steps.now = MIDNIGHT + timedelta(minutes=10)


def days(app: App) -> list[str]:
    """The days in which there is an outcome."""
    return [blob.name.split("/")[1] for blob in app.container.below("outcomes/")]


def test_a_slice_that_dies_before_it_deletes_the_earlier_copy_does_so_when_it_comes_again(app: App) -> None:
    between_people(app, until=MIDNIGHT + 2 * HOUR)
    app.run(hours=1)
    assert days(app) == [BEFORE]
    app.before("delete outcomes/", crash)
    app.run(hours=1)
    assert days(app) == [BEFORE, AFTER]
    app.run(hours=0.2)
    assert days(app) == [AFTER]


def test_a_copy_that_was_written_late_in_an_earlier_day_does_not_stay(app: App) -> None:
    between_people(app, until=MIDNIGHT + 2 * HOUR)
    app.run(hours=1)
    late = dict(app.container.blobs)
    app.run(hours=2)
    assert days(app) == [AFTER]
    app.container.blobs |= {name: blob for name, blob in late.items() if BEFORE in name}
    app.run(hours=1)
    assert days(app) == [AFTER]


def test_a_slice_that_stalls_and_dies_while_its_duplicate_goes_on_leaves_one_outcome(app: App) -> None:
    """The duplicate finds the moved copy in its day, and the one in the day before."""
    between_people(app, until=MIDNIGHT + 2 * HOUR)
    app.run(hours=1)
    assert days(app) == [BEFORE]
    left = list[list[str]]()

    def stall() -> None:
        left.append(days(app))
        (text,) = [each.text for each in app.queues[clients.UPKEEP_QUEUE].messages if each.received]
        app.steps.now += LEASE
        with ThreadPoolExecutor(1) as another:
            another.submit(upkeep.handle_task, text, app.another_instance()).result()
        assert app.scan("recent").step == 1
        crash()

    app.before(f"delete outcomes/{BEFORE}", stall)
    app.run(hours=1.1)
    assert left == [[BEFORE, AFTER]]
    assert days(app) == [AFTER]


def test_an_outcome_whose_publisher_died_and_whose_message_is_lost_is_published_by_the_sweep(
    app: App,
) -> None:
    app.calls.append(call("one", NOW - 3 * HOUR, ready=NOW + timedelta(minutes=1)))
    app.announce("one")
    app.deliver()
    app.steps.now += HOUR
    app.before("write outcomes/", crash)
    app.deliver()
    app.queues[SIGNALS].messages.clear()
    assert app.results() == {"one": Result.PENDING}
    app.run(hours=4)
    assert app.results() == {"one": Result.STORED}


def test_a_message_that_is_buried_again_while_it_is_taken_back_is_not_lost(app: App) -> None:
    app.receive(SIGNALS, '{"version": 9, "kind": "later"}')
    app.deliver()

    def meanwhile() -> None:
        with ThreadPoolExecutor(1) as another:
            another.submit(app.deliver).result()

    app.before("delete signals/msg-", meanwhile)
    (name,) = [blob.name for blob in app.container.below("outcomes/")]
    redrive.reopen_outcomes([name], Cause.REDRIVE, app.now, app.another_instance())
    assert not app.queues[SIGNALS].messages
    assert [each.result for each in app.outcomes()] == [Result.FAILED]
    assert app.state.below("signals/msg-")


def test_a_record_that_is_removed_during_an_attempt_is_not_written_again(app: App) -> None:
    app.calls.append(call("one", NOW - 3 * HOUR, ready=NOW + timedelta(minutes=1)))
    app.announce("one")
    app.deliver()
    app.steps.now += HOUR
    app.before("write signals/", app.state.blobs.clear)
    app.deliver()
    assert not app.state.below("signals/")


def test_a_record_that_is_removed_before_its_end_moves_leaves_one_outcome(app: App) -> None:
    between_people(app, until=MIDNIGHT + 2 * HOUR)
    app.run(hours=1)
    (first,) = app.outcomes()
    app.state.blobs.pop("signals/cr-one.json")
    app.run(hours=3)
    assert days(app) == [AFTER]
    assert [each.first_seen for each in app.outcomes()] == [first.first_seen]


def test_a_record_that_is_restored_from_before_its_end_moved_leaves_one_outcome(app: App) -> None:
    between_people(app, until=MIDNIGHT + 2 * HOUR)
    app.run(hours=1)
    backup = app.state.blobs["signals/cr-one.json"]
    app.run(hours=2)
    app.state.blobs["signals/cr-one.json"] = backup
    stored = app.services.journal.ledger.read("cr-one")
    assert stored
    app.services.journal.publish([stored.record])
    assert days(app) == [BEFORE, AFTER]
    app.run(hours=1)
    assert days(app) == [AFTER]


def test_what_a_lost_record_has_left_in_a_day_further_away_goes_with_a_redrive_of_that_day(app: App) -> None:
    between_people(app, until=MIDNIGHT + 2 * HOUR)
    app.run(hours=3)
    (blob,) = app.container.below("outcomes/")
    left = replace(blob, name=blob.name.replace(AFTER, "date=2026-11-20"))
    app.container.blobs[left.name] = left
    app.run(hours=30)
    assert days(app) == ["date=2026-11-20", AFTER]
    app.ask("redrive", "2026-11-20", "2026-11-20", Result.NOT_A_MEETING)
    app.run(hours=0.1)
    assert days(app) == [AFTER]


def test_a_message_that_was_buried_on_two_days_is_not_sent_by_itself(app: App) -> None:
    for _ in range(2):
        app.receive(SIGNALS, '{"version": 9, "kind": "later"}')
        app.deliver()
        app.state.blobs.clear()
        app.steps.now += timedelta(days=1)
    app.run(hours=1.5)
    assert days(app) == [BEFORE, AFTER]
    assert not app.queues[SIGNALS].messages
