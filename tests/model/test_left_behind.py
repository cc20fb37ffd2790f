"""Leftovers of crashed or overtaken processes, and their repair."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.archiving import redrive
from shared.ledger.publish import OutcomeSummary
from shared.ledger.record import Cause, Result
from shared.storage import clients
from tests.support.simulated_app import HOUR, NOW, App, call, crash, running

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


def test_a_slice_that_dies_before_it_deletes_the_earlier_copy_leaves_none_for_long(app: App) -> None:
    between_people(app, until=MIDNIGHT + 2 * HOUR)
    app.run(hours=1)
    assert days(app) == [BEFORE]
    app.before("delete outcomes/", crash)
    app.run(hours=1.1)
    assert days(app) == [BEFORE, AFTER]
    app.run(hours=2)
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


@pytest.mark.parametrize(("days", "is_due"), [(1, True), (3, False)])
def test_an_outcome_is_looked_at_for_two_days_after_it_has_moved(days: int, is_due: bool) -> None:
    name = f"outcomes/{AFTER}/cr-one.json"
    moved = OutcomeSummary(name, Result.STORED, 1, None, None, NOW - timedelta(days=days), has_moved=True)
    assert redrive.is_due(moved, NOW) is is_due
