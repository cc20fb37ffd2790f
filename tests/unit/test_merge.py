"""Outcomes only improve, whoever writes them and in whatever order."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.ledger.fence import better, is_stale
from shared.ledger.outcome import Outcome, Result, StoredReport, dumps, parse
from shared.messages.signals import Meeting, Signal

SEEN = datetime(2026, 11, 23, 23, 50, tzinfo=UTC)
TERMINAL = {
    Result.NO_REPORT,
    Result.NOT_A_MEETING,
    Result.NOT_SUPPORTED,
    Result.EXTERNAL_ORGANIZER,
    Result.OUT_OF_SCOPE,
}
# What is known, from nothing to all.
ORDER = [
    {Result.PENDING},
    {Result.FAILED},
    {Result.NOT_FOUND, Result.ACCESS_DENIED},
    TERMINAL,
    {Result.STORED},
]

MOMENTS = st.integers(0, 10**11).map(
    lambda number: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(milliseconds=number)
)
MAYBE_TEXT = st.none() | st.text()
TICKETS = st.uuids().map(str)
OUTCOMES = st.builds(
    Outcome,
    signal_id=st.text(),
    result=st.sampled_from(Result),
    first_seen=MOMENTS,
    attempt=st.integers(1, 5),
    settled=st.none() | MOMENTS,
    next_attempt=st.none() | MOMENTS,
    ticket=st.none() | TICKETS,
    meeting=st.builds(Meeting, st.none() | MOMENTS, st.none() | MOMENTS, MAYBE_TEXT, MAYBE_TEXT, MAYBE_TEXT),
    reports=st.lists(st.builds(StoredReport, st.text(), MOMENTS, st.text()), max_size=3).map(tuple),
    last_error=MAYBE_TEXT,
)


def rank(outcome: Outcome) -> int:
    return next(place for place, results in enumerate(ORDER) if outcome.result in results)


def continuing(outcome: Outcome) -> Signal:
    """The message that makes the next attempt after `outcome`."""
    return Signal("cr-a", SEEN, attempt=outcome.attempt, ticket=outcome.ticket)


def outcome(result: Result, attempt: int = 1, ticket: str | None = None) -> Outcome:
    return Outcome("cr-a", result, SEEN, attempt, ticket=ticket)


def test_every_result_has_a_place_in_the_order() -> None:
    assert {result for results in ORDER for result in results} == set(Result)


@given(new=OUTCOMES, stale=st.booleans())
def test_anything_is_better_than_no_outcome(new: Outcome, stale: bool) -> None:
    assert better(new, None, stale=stale) == new


@given(new=OUTCOMES, old=OUTCOMES, stale=st.booleans())
def test_stored_is_never_replaced_by_less(new: Outcome, old: Outcome, stale: bool) -> None:
    written = better(new, replace(old, result=Result.STORED), stale=stale)
    assert written is None or written.result is Result.STORED


@given(new=OUTCOMES, old=OUTCOMES)
def test_a_message_that_was_overtaken_only_improves(new: Outcome, old: Outcome) -> None:
    """Where it improves nothing it leaves all as it was, but for the fence when its own message is ahead."""
    written = better(new, old, stale=True)
    if rank(new) > rank(old):
        assert written is not None
        assert (written.result, written.reports) == (new.result, new.reports)
    elif new.ticket and new.attempt > old.attempt:
        fence = {"attempt": new.attempt, "ticket": new.ticket, "next_attempt": new.next_attempt}
        assert written == replace(old, **fence)  # type: ignore[arg-type]
    else:
        assert written is None


@given(new=OUTCOMES, old=OUTCOMES, tickets=st.lists(TICKETS, min_size=2, max_size=2, unique=True))
def test_of_two_messages_under_way_one_goes_on(new: Outcome, old: Outcome, tickets: list[str]) -> None:
    new, old = (replace(each, ticket=ticket) for each, ticket in zip((new, old), tickets, strict=True))
    for stale in (False, True):
        kept = better(new, old, stale=stale) or old
        assert [is_stale(continuing(each), kept) for each in (new, old)].count(False) <= 1


@given(new=OUTCOMES, old=OUTCOMES)
def test_the_message_in_turn_moves_the_fence_and_replaces_what_knows_no_more(
    new: Outcome, old: Outcome
) -> None:
    written = better(new, old, stale=False)
    assert written is not None
    improves = rank(new) >= rank(old)
    assert (written.result, written.reports, written.settled) == (
        (new.result, new.reports, new.settled) if improves else (old.result, old.reports, old.settled)
    )


@given(new=OUTCOMES, old=OUTCOMES, stale=st.booleans())
def test_once_an_outcome_is_replaced_the_others_message_is_stale(
    new: Outcome, old: Outcome, stale: bool
) -> None:
    assume(new.ticket != old.ticket)
    written = better(new, old, stale=stale)
    if written is not None:
        assert is_stale(continuing(old), written)


@given(new=OUTCOMES, old=OUTCOMES, stale=st.booleans())
def test_an_attempt_never_goes_back_and_what_was_found_is_kept(
    new: Outcome, old: Outcome, stale: bool
) -> None:
    written = better(new, old, stale=stale)
    if written is not None:
        assert written.attempt >= old.attempt
        assert rank(written) == max(rank(new), rank(old))
        assert written.ticket in (new.ticket, None)


@given(OUTCOMES)
def test_the_message_of_an_outcome_is_in_turn(filed: Outcome) -> None:
    assert not is_stale(continuing(filed), filed)


@given(OUTCOMES, st.integers(0, 5))
def test_a_message_below_the_outcomes_attempt_is_stale(filed: Outcome, attempt: int) -> None:
    assume(attempt < filed.attempt)
    assert is_stale(Signal("cr-a", SEEN, attempt=attempt, ticket=filed.ticket), filed)


def test_without_an_outcome_no_message_is_stale() -> None:
    assert not is_stale(Signal("cr-a", SEEN, attempt=0), None)


def test_a_message_whose_ticket_is_in_no_outcome_is_stale() -> None:
    """Its worker crashed between enqueueing the next attempt and writing the outcome, and was tried again."""
    filed = outcome(Result.PENDING, 1, ticket="second try")
    assert is_stale(Signal("cr-a", SEEN, attempt=1, ticket="first try"), filed)
    assert not is_stale(Signal("cr-a", SEEN, attempt=1, ticket="second try"), filed)


def test_of_two_deliveries_of_one_message_one_continues() -> None:
    first, second = outcome(Result.PENDING, 1, "first"), outcome(Result.PENDING, 1, "second")
    delivered = Signal("cr-a", SEEN)
    assert better(first, None, stale=is_stale(delivered, None)) == first
    assert better(second, first, stale=is_stale(delivered, first)) is None


def test_a_worker_that_stored_wins_over_one_that_found_nothing_yet() -> None:
    pending, stored = outcome(Result.PENDING, 1, "pending"), outcome(Result.STORED, 1)
    written = better(stored, pending, stale=True)
    assert written == replace(stored, attempt=2)
    second_reading = replace(stored, ticket=None, next_attempt=SEEN)  # which the sweep will make
    written = better(second_reading, pending, stale=True)
    assert written == replace(second_reading, attempt=2)
    assert better(pending, stored, stale=True) is None


@given(OUTCOMES)
def test_an_outcome_survives_its_blob(filed: Outcome) -> None:
    body = dumps(filed)
    assert b"\n" not in body
    assert parse(body) == filed


def test_a_lone_surrogate_in_an_error_does_not_keep_an_outcome_from_being_written() -> None:
    filed = replace(outcome(Result.FAILED), last_error="bad \ud800 text")
    assert parse(dumps(filed)) == filed


def test_the_blob_names_what_consumers_read() -> None:
    assert set(json.loads(dumps(outcome(Result.STORED)))) == {
        "signalId", "outcome", "reports", "organizerId", "meetingId", "source", "eventId", "sessionId",
        "joinWebUrl", "start", "end", "firstSeen", "settled", "attempt", "nextAttempt", "ticket", "lastError", "buried",
    }  # fmt: skip


def test_an_outcome_lies_in_the_day_on_which_its_meeting_ended() -> None:
    ended = datetime(2026, 11, 24, 1, 10, tzinfo=UTC)
    assert outcome(Result.PENDING).day == date(2026, 11, 23)
    assert replace(outcome(Result.PENDING), meeting=Meeting(end=ended)).day == date(2026, 11, 24)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b'{"firstSeen":null}', b'{"firstSeen":7}'])
def test_a_blob_that_is_no_outcome_is_an_error(body: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        parse(body)
