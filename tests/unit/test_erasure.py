"""Where an outcome has lain, when a person is taken out of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from shared.cli.erasure import erase
from shared.cli.erasure.erase import Erasure
from shared.cli.session import Session
from shared.privacy.redact import ERASED, Person
from tests.support.simulated_app import HOUR, ORGANIZER, App, call, running

MIDNIGHT = datetime(2026, 11, 25, tzinfo=UTC)
BEFORE, AFTER = (f"outcomes/date=2026-11-{day}/cr-one.json" for day in (24, 25))


@pytest.fixture
def app() -> Iterator[App]:
    with running() as app:
        yield app


def erasure(app: App) -> Erasure:
    session = SimpleNamespace(container=app.container, state_container=app.state, state=app.services.state)
    return Erasure(cast(Session, session), Person(frozenset({ORGANIZER})))


def ended_on_the_later_day(app: App) -> None:
    """A call whose end a later version of its record moves back over midnight."""
    made = call("one", MIDNIGHT - timedelta(minutes=5), ready=MIDNIGHT + 9 * HOUR)
    made.record["version"] = 2
    before = made.record | {"version": 1, "endDateTime": "2026-11-25T00:05:00Z"}
    app.calls.append(replace(made, earlier=(MIDNIGHT + 2 * HOUR, before)))
    app.steps.now = MIDNIGHT + timedelta(minutes=10)
    app.announce("one")
    app.run(hours=1)
    assert list(names(app)) == [AFTER]


def names(app: App) -> Iterator[str]:
    return (blob.name for blob in app.container.below("outcomes/"))


def test_versions_go_in_each_day_in_which_an_outcome_has_lain(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended_on_the_later_day(app)
    app.run(hours=48)
    assert list(names(app)) == [BEFORE]
    forgotten = list[str]()

    def forget(container: Any, prefix: str, name: str) -> int:
        forgotten.append(name)
        return 1

    monkeypatch.setattr(erase, "delete_versions", forget)
    work = erasure(app)
    work.erase_day(date(2026, 11, 24))
    work.delete_versions()
    assert {BEFORE, AFTER} <= {*forgotten}
    assert work.summary.outcomes == 1


def test_an_outcome_that_an_erased_record_does_not_know_goes_too(app: App) -> None:
    ended_on_the_later_day(app)
    app.run(hours=48)
    (named,) = app.container.below("outcomes/")
    erasure(app).erase_day(date(2026, 11, 24))
    left = "outcomes/date=2026-11-20/cr-one.json"
    app.container.blobs[left] = replace(named, name=left, metadata=named.metadata | {"commit": "lost"})
    erasure(app).erase_day(date(2026, 11, 20))
    (blob,) = app.container.below("outcomes/")
    assert (blob.name, ERASED in blob.metadata) == (BEFORE, True)
    (record,) = app.state.below("signals/")
    assert ORGANIZER.encode() not in blob.body + record.body
