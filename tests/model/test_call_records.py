"""Listed calls without an outcome: one listing per day, or a check per call."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from azure.storage.blob import ContainerClient

from shared.errors import Unavailable
from shared.ledger.publish import Outcomes
from shared.ledger.record import AttemptSeries, Cause, Record, Result, dump_outcome, outcome_metadata
from shared.messages import codec
from shared.messages.signals import Meeting
from shared.reconcile.call_records import (
    CallScan,
    ListedCall,
    MissingSignal,
    OutcomeIndex,
    announce_missing,
    parse_listed,
)
from shared.reconcile.slices import Slice
from shared.storage.clients import SIGNALS_QUEUE
from shared.storage.scans import CallCursor, Scan
from tests.support.doubles import Container, Steps
from tests.support.simulated_app import NOW, call, running

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


def found(number: int) -> ListedCall:
    one = parse_listed(call(f"call-{number}", ENDED).record)
    assert one
    return one


def put(container: Counted, record: Record) -> None:
    """Publish an outcome."""
    name = Outcomes.name(record.signal_id, record.day)
    container.upload_blob(name, dump_outcome(record), overwrite=True, metadata=outcome_metadata(record))


@pytest.mark.parametrize("most_listed", [0, 3, 4, 100])
def test_every_outcome_in_the_day_of_its_end_is_found_however_many_a_day_has(
    container: Counted, most_listed: int
) -> None:
    for number in range(4):
        known = Record(
            f"cr-call-{number}", Result.STORED, ENDED, 1, AttemptSeries(ENDED), meeting=Meeting(ENDED, ENDED)
        )
        put(container, known)
    put(container, Record("cr-call-4", Result.PENDING, ENDED + timedelta(days=1), 1, AttemptSeries(ENDED)))
    index = OutcomeIndex(Outcomes(cast(ContainerClient, container)), most_listed)
    calls = [(each.signal_id, ENDED) for each in map(found, range(6))]
    outcomes = index.find_all(calls)
    assert [each and each.result for each in outcomes] == ["stored"] * 4 + [None, None]
    assert index.find("cr-call-2", ENDED) == ("stored", 0, True, False)
    assert index.find("cr-call-9", ENDED) is None
    index.find_all(calls[:1])
    assert set(container.listings.values()) == {1}


@pytest.mark.parametrize("number", [-1, 1])
def test_a_call_with_an_outcome_in_the_next_day_too_is_missing(container: Counted, number: int) -> None:
    known = Record("cr-call-0", Result.STORED, ENDED, 1, AttemptSeries(ENDED), meeting=Meeting(ENDED, ENDED))
    index = OutcomeIndex(Outcomes(cast(ContainerClient, container)))
    for each in (known, replace(known, meeting=Meeting(ENDED, ENDED + timedelta(days=number)))):
        put(container, each)
    assert index.find_all([("cr-call-0", ENDED)]) == [None]


def test_a_call_whose_end_is_not_known_has_no_outcome_in_any_day(container: Counted) -> None:
    index = OutcomeIndex(Outcomes(cast(ContainerClient, container)))
    assert index.find_all([("cr-call-1", None)]) == [None]
    assert not container.listings


def test_the_list_teaches_a_record_the_day_of_its_call_and_publishes_it_there() -> None:
    """Of a call that was announced, and whose record Graph cannot show yet."""
    ended = NOW - timedelta(days=2)
    with running() as app:
        app.calls.append(replace(call("late", ended), readable=None))
        app.announce("late")
        app.run(hours=0.5)
        assert [each.day for each in app.outcomes()] == [NOW.date()]
        app.run(hours=0.6, every=timedelta(minutes=30))
        (dump_outcome,) = app.outcomes()
        assert (dump_outcome.day, dump_outcome.meeting.end, dump_outcome.result) == (
            ended.date(),
            ended,
            Result.PENDING,
        )
        (blob,) = app.container.below("outcomes/")
        assert Outcomes.day_of(blob.name) == ended.date()
        known = app.services.journal.ledger.read("cr-late")
        assert known
        assert known.record.meeting.organizer_id is None  # which decides, and is read from the call record
        assert known.record.series.cause is Cause.NEWS


def test_a_call_is_queued_by_an_instance_whose_clock_is_behind_that_of_the_scan() -> None:
    with running() as app:
        scan = Scan("recent", NOW + timedelta(seconds=2), ENDED, NOW, NOW)
        missing = MissingSignal("cr-one", Meeting(ENDED, ENDED))
        announce_missing([missing], scan, app.services.journal)
        assert len(app.queues[SIGNALS_QUEUE].messages) == 1


@pytest.mark.parametrize("length", [1, 2, 7])
@pytest.mark.parametrize("links", ["same", "new"])
def test_a_sweep_whose_pages_go_round_ends_its_day_also_from_slice_to_slice(length: int, links: str) -> None:
    with running() as app:
        numbers = itertools.count(1)

        def get(path: str, operation: str) -> dict[str, Any]:
            number = next(numbers)
            calls = [call(f"call-{number % length}-{each}", ENDED).record for each in range(2)]
            skip = number % length if links == "same" else number
            return {
                "value": calls,
                "@odata.nextLink": f"https://graph/communications/callRecords?$skip={skip}",
            }

        def go_through(scan: Scan) -> None:
            while scan.calls:  # one page a slice
                work = Slice(codec.loads(Scan, codec.dumps(scan)), app.services)
                index = OutcomeIndex(app.services.journal.outcomes)
                CallScan(work, index)._scan_page(cast(CallCursor, work.scan.calls))
                scan = work.scan

        app.graph.get = get  # type: ignore[method-assign]
        day = NOW.replace(hour=0)
        with pytest.raises(Unavailable, match="the pages repeat"):
            go_through(Scan("recent", NOW, day, day + timedelta(days=1), NOW, calls=CallCursor(day)))
        assert next(numbers) < 100
