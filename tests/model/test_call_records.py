"""Which calls have an outcome: a day is listed once, a large one is asked about each."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import cast

import pytest
from azure.storage.blob import ContainerClient
from shared.ledger.outcome import Outcome, Result

from shared import times
from shared.ledger.publish import Outcomes
from shared.messages.signals import Meeting
from shared.reconcile.call_records import Known, Listed, listed
from tests.support.doubles import Container, Steps
from tests.support.simulated_app import NOW, call

ENDED = NOW - timedelta(hours=3)


class Counted(Container):
    """A container that counts its listings."""

    listings: Counter[str]

    def list_blobs(self, **arguments: object):  # type: ignore[no-untyped-def]
        self.listings[str(arguments["name_starts_with"])] += 1
        return super().list_blobs(**arguments)  # type: ignore[arg-type]


@pytest.fixture
def container() -> Counted:
    container = Counted(Steps(NOW))
    container.listings = Counter()
    return container


def found(number: int) -> Listed:
    one = listed(call(f"call-{number}", ENDED).record)
    assert one
    return one


@pytest.mark.parametrize("most_listed", [0, 3, 4, 100])
def test_every_outcome_is_found_however_many_a_day_has(
    container: Counted, most_listed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(times, "now", lambda: NOW)
    outcomes = Outcomes(cast(ContainerClient, container))
    meeting = Meeting(ENDED, ENDED)
    for number in range(4):
        outcomes.write(Outcome(f"cr-call-{number}", Result.STORED, ENDED, 1, meeting=meeting), None)
    of_first_sight = Outcome("cr-call-4", Result.PENDING, ENDED + timedelta(days=1), 1)
    outcomes.write(of_first_sight, None)
    known = Known(outcomes, most_listed)
    results = [each and each[1] for each in known.find([found(number) for number in range(6)])]
    assert results == [*["stored"] * 4, "pending", None]
    assert known.has("cr-call-2", ENDED.date())
    assert not known.has("cr-call-9", ENDED.date())
    known.find([found(1)])
    assert set(container.listings.values()) == {1}


def test_a_call_whose_end_is_not_known_is_looked_for_where_it_may_lie(
    container: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(times, "now", lambda: NOW)
    outcomes = Outcomes(cast(ContainerClient, container))
    outcomes.write(Outcome("cr-call-1", Result.NOT_A_MEETING, NOW, 0), None)
    endless = replace(found(1), record=None)
    assert Known(outcomes).find([endless]) == [(Outcomes.name("cr-call-1", NOW.date()), "notAMeeting")]
