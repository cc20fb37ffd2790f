"""Merging records: knowledge never shrinks, and the attempt is the only fence."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.ledger import publish
from shared.ledger.merge import (
    OVERDUE,
    add_call_times,
    add_news,
    is_due_since,
    merge_attempt,
    record_for_attempt,
    reopen_record,
    revise_record,
)
from shared.ledger.record import (
    MOST_COMMITS,
    AttemptSeries,
    Candidate,
    Cause,
    DeadLetter,
    NextAttempt,
    Purpose,
    Record,
    Result,
    StoredReport,
    dump_outcome,
    load_outcome,
    new_commit,
    outcome_metadata,
    record_from_news,
)
from shared.messages import codec
from shared.messages.signals import (
    EventKind,
    EventSession,
    Meeting,
    News,
    Nudge,
    Origin,
    call_record_news,
    report_news,
)

SEEN = datetime(2026, 11, 23, 23, 50, tzinfo=UTC)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TROUBLE = {Result.PENDING, Result.FAILED}
# Answers of Graph but `stored` and `notFound`: the newest one holds.
ANSWERS = sorted(set(Result) - TROUBLE - {Result.STORED, Result.NOT_FOUND})

MOMENTS = st.integers(0, 10**11).map(
    lambda number: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(milliseconds=number)
)
MAYBE = st.none() | st.text(max_size=3)
MEETINGS = st.builds(
    Meeting,
    st.none() | MOMENTS,
    st.none() | MOMENTS,
    MAYBE,
    MAYBE,
    MAYBE,
    st.none() | st.just(EventSession(EventKind.WEBINAR, "e", "s")),
    st.integers(0, 3),
    st.sampled_from(Origin),
)
REPORTS = st.lists(
    st.builds(StoredReport, st.sampled_from("abc"), MOMENTS, st.text(max_size=3), st.booleans()), max_size=3
).map(lambda found: tuple({each.id: each for each in found}.values()))
SERIES = st.builds(AttemptSeries, MOMENTS, st.sampled_from(Cause), st.integers(0, 5), st.booleans())
BURIED = st.none() | st.builds(DeadLetter, st.just("q"), MAYBE, st.none() | st.integers(0, 3), st.just("0"))
RECORDS = st.builds(
    Record,
    st.just("cr-a"),
    st.sampled_from(Result),
    MOMENTS,
    st.integers(0, 5),
    SERIES,
    st.none() | st.builds(NextAttempt, st.integers(0, 6), MOMENTS, st.sampled_from(Purpose)),
    settled=st.none() | MOMENTS,
    stored=st.none() | MOMENTS,
    meeting=MEETINGS,
    reports=REPORTS,
    candidates=st.lists(st.builds(Candidate, st.sampled_from("abc"), st.just("0"), MOMENTS), max_size=1).map(
        tuple
    ),
    last_error=MAYBE,
    buried=BURIED,
    announced=st.none() | MOMENTS,
    subscription_id=st.none() | st.just("sub"),
)


def record(result: Result = Result.PENDING, attempt: int = 1, **known: Any) -> Record:
    return Record("cr-a", result, SEEN, attempt, **{"series": AttemptSeries(SEEN), **known})


def replaces(new: Result, old: Result) -> bool:
    """What the specification says, result by result."""
    if old is Result.STORED:
        return new is Result.STORED
    if new in TROUBLE:
        return old in {new, Result.PENDING}
    if new is Result.NOT_FOUND:
        return old in {*TROUBLE, Result.NOT_FOUND, Result.ACCESS_DENIED}
    return True


@pytest.mark.parametrize("old", Result)
@pytest.mark.parametrize("new", Result)
def test_an_answer_replaces_another_unless_it_knows_less(old: Result, new: Result) -> None:
    merged = merge_attempt(record(old, settled=SEEN), record(new, 2, settled=NOW), 1)
    assert merged
    kept = new if replaces(new, old) else old
    assert (merged.result, merged.settled) == (kept, NOW if replaces(new, old) else SEEN)
    assert merged.attempt == 2  # also where nothing better was learned


@pytest.mark.parametrize("old", ANSWERS)
@pytest.mark.parametrize("new", ANSWERS)
def test_of_two_answers_the_newest_holds(old: Result, new: Result) -> None:
    merged = merge_attempt(record(old), record(new, 2), 1)
    assert merged
    assert merged.result is new


@given(new=RECORDS, old=RECORDS)
def test_stored_is_never_replaced(new: Record, old: Record) -> None:
    merged = merge_attempt(replace(old, result=Result.STORED), new, old.attempt)
    assert merged
    assert merged.result is Result.STORED


@given(
    new=RECORDS,
    trouble=st.sampled_from(sorted(TROUBLE)),
    old=RECORDS,
    answer=st.sampled_from([each for each in Result if each not in TROUBLE]),
)
def test_trouble_never_hides_an_answer(new: Record, trouble: Result, old: Record, answer: Result) -> None:
    new, old = replace(new, result=trouble), replace(old, result=answer)
    merged = merge_attempt(old, new, old.attempt)
    assert merged
    assert (merged.result, merged.settled, merged.buried) == (old.result, old.settled, old.buried)


@given(new=RECORDS, attempt=st.integers(0, 5))
def test_anything_is_better_than_no_record(new: Record, attempt: int) -> None:
    assert merge_attempt(None, new, attempt) == new


@given(new=RECORDS, old=RECORDS, attempt=st.integers(0, 5))
def test_an_attempt_that_another_worker_recorded_first_changes_nothing(
    new: Record, old: Record, attempt: int
) -> None:
    merged = merge_attempt(old, new, attempt)
    assert (merged is None) == (attempt < old.attempt)


@given(new=RECORDS, old=RECORDS)
def test_what_the_attempt_tells_of_its_series_and_the_next_attempt_is_written(
    new: Record, old: Record
) -> None:
    merged = merge_attempt(old, new, old.attempt)
    assert merged
    for name in ("attempt", "series", "next", "last_error"):
        assert getattr(merged, name) == getattr(new, name)
    assert merged.first_seen == old.first_seen  # which tells the records of one signal apart


@given(new=RECORDS, old=RECORDS)
def test_knowledge_never_shrinks(new: Record, old: Record) -> None:
    merged = merge_attempt(old, new, old.attempt)
    assert merged
    known = {each.id: each for each in old.reports} | {each.id: each for each in new.reports}
    assert {each.id: each for each in merged.reports} == known
    assert len(merged.reports) == len(known)
    assert merged.meeting == old.meeting.merge(new.meeting)
    for name in ("stored", "announced", "door", "subscription_id"):
        assert getattr(merged, name) == (getattr(old, name) or getattr(new, name))


def test_an_attempt_keeps_the_commits_that_were_made_meanwhile() -> None:
    """By them its copies are known."""
    old = replace(record(), commits=(new_commit("sweep"),))
    merged = merge_attempt(old, record(Result.STORED, 2), 1)
    assert merged
    assert merged.commits == old.commits


@given(new=RECORDS, old=RECORDS)
def test_of_two_workers_at_one_attempt_one_is_recorded(new: Record, old: Record) -> None:
    """Whichever commits first, the other finds its attempt recorded."""
    base = replace(old, attempt=1)
    first = merge_attempt(base, replace(new, attempt=2), 1)
    assert first
    assert merge_attempt(first, replace(old, attempt=2), 1) is None


def test_news_begins_a_record_and_finds_an_existing_one_out_of_turn() -> None:
    news = call_record_news("a", SEEN, subscription_id="sub")
    begun = record_for_attempt(news, None, NOW)
    assert begun == record_from_news(news)
    assert begun
    assert (begun.attempt, begun.result, begun.series) == (0, Result.PENDING, AttemptSeries(SEEN, Cause.NEWS))
    assert (begun.announced, begun.subscription_id) == (SEEN, "sub")
    assert record_for_attempt(news, begun, NOW) is None


@given(found=RECORDS, attempt=st.integers(0, 6))
def test_a_nudge_is_in_turn_unless_its_attempt_is_recorded(found: Record, attempt: int) -> None:
    record = record_for_attempt(Nudge("cr-a", attempt), found, NOW)
    expected = None if attempt < found.attempt else replace(found, attempt=attempt)
    assert record == expected


def test_a_nudge_whose_record_is_gone_begins_a_call_record_anew_and_no_other_signal() -> None:
    begun = record_for_attempt(Nudge("cr-a", 7), None, NOW)
    assert begun
    assert (begun.attempt, begun.first_seen, begun.series) == (7, NOW, AttemptSeries(NOW, Cause.NEWS))
    for signal_id in ("ve-r", "ce-" + "0" * 64):
        assert record_for_attempt(Nudge(signal_id, 7), None, NOW) is None


@given(old=RECORDS, cause=st.sampled_from(Cause), started=MOMENTS, now=MOMENTS)
def test_a_reopening_raises_the_attempt_once_and_makes_it_due(
    old: Record, cause: Cause, started: datetime, now: datetime
) -> None:
    opened = reopen_record(old, cause, started, now)
    if opened is None:
        return
    assert opened.attempt == old.attempt + 1
    assert opened.next
    assert (opened.next.attempt, opened.next.at) == (opened.attempt, max(now, started))
    assert replace(opened, attempt=old.attempt, series=old.series, next=old.next) == old
    assert opened.series in (old.series, AttemptSeries(max(now, started), cause))


@given(old=RECORDS, cause=st.sampled_from(Cause), began=MOMENTS, earlier=st.timedeltas(timedelta(), HOUR))
def test_a_job_begins_one_series_for_each_signal(
    old: Record, cause: Cause, began: datetime, earlier: timedelta
) -> None:
    """A slice that is delivered again finds the series that it began."""
    begun = replace(old, series=AttemptSeries(began, cause))
    assert reopen_record(begun, cause, began - earlier, NOW) is None


WAITING = st.sampled_from([Purpose.TRY, Purpose.CONFIRM])


@given(old=RECORDS, cause=st.sampled_from(Cause), purpose=WAITING)
def test_an_overdue_attempt_is_asked_for_again_in_its_own_series(
    old: Record, cause: Cause, purpose: Purpose
) -> None:
    assume(old.series.began < NOW)
    waiting = replace(old, next=NextAttempt(old.attempt, NOW - OVERDUE - timedelta(seconds=1), purpose))
    opened = reopen_record(waiting, cause, NOW, NOW)
    assert opened
    assert opened.series == old.series
    assert opened.next == NextAttempt(old.attempt + 1, NOW, purpose)


@given(old=RECORDS, purpose=WAITING, late=st.timedeltas(-30 * HOUR, OVERDUE))
def test_a_first_attempt_that_was_just_asked_for_is_waited_for(
    old: Record, purpose: Purpose, late: timedelta
) -> None:
    series = AttemptSeries(SEEN, Cause.SWEEP)
    waiting = replace(old, series=series, next=NextAttempt(old.attempt, NOW - late, purpose))
    for cause in set(Cause) - {Cause.BACKFILL}:
        assert reopen_record(waiting, cause, NOW, NOW) is None
    wanted = reopen_record(waiting, Cause.BACKFILL, NOW, NOW)  # which stores more of the meeting
    assert wanted
    assert wanted.series == AttemptSeries(NOW, Cause.BACKFILL)


@given(old=RECORDS, at=MOMENTS, now=MOMENTS)
def test_a_look_is_made_when_its_time_has_come(old: Record, at: datetime, now: datetime) -> None:
    settled = replace(
        old, series=AttemptSeries(SEEN - 1000 * 24 * HOUR), next=NextAttempt(old.attempt, at, Purpose.LOOK)
    )
    opened = reopen_record(settled, Cause.LOOK, now, now)
    assert (opened is not None) == (now >= at)
    assert reopen_record(replace(settled, next=None), Cause.LOOK, now, now) is None
    assert reopen_record(settled, Cause.REDRIVE, now, now)  # which somebody asked for, waits for nothing


def test_a_retry_that_is_under_way_is_left_to_its_message_by_a_look_and_cut_short_by_a_redrive() -> None:
    waiting = record(series=AttemptSeries(SEEN, attempts=2), next=NextAttempt(1, NOW + HOUR))
    assert reopen_record(waiting, Cause.LOOK, NOW, NOW) is None
    opened = reopen_record(waiting, Cause.REDRIVE, NOW, NOW)
    assert opened
    assert (opened.attempt, opened.series) == (2, AttemptSeries(NOW, Cause.REDRIVE))


@given(old=RECORDS, cause=st.sampled_from(Cause), started=MOMENTS, skew=st.timedeltas(-HOUR, HOUR))
def test_what_a_job_has_reopened_is_due_since_then_whatever_the_clocks(
    old: Record, cause: Cause, started: datetime, skew: timedelta
) -> None:
    now = started + skew
    opened = reopen_record(old, cause, started, now)
    assert opened is None or is_due_since(opened, started, now)


@pytest.mark.parametrize(
    ("following", "is_due"),
    [
        (NextAttempt(1, SEEN), True),
        (NextAttempt(1, NOW, Purpose.CONFIRM), True),
        (NextAttempt(1, SEEN - timedelta(seconds=1)), False),
        (NextAttempt(1, NOW + timedelta(seconds=1)), False),
        (NextAttempt(1, NOW, Purpose.LOOK), False),
        (None, False),
    ],
)
def test_a_job_sends_the_message_of_what_fell_due_since_it_began(
    following: NextAttempt | None, is_due: bool
) -> None:
    assert is_due_since(record(next=following), SEEN, NOW) is is_due


@given(old=RECORDS, told=MEETINGS)
def test_the_list_teaches_times_and_version_and_nothing_that_decides(old: Record, told: Meeting) -> None:
    taught = add_call_times(old, told)
    if taught is None:
        return
    kept = old.meeting
    meeting = taught.meeting
    assert replace(taught, meeting=kept) == old
    assert (meeting.join_url, meeting.organizer_id, meeting.meeting_id, meeting.event) == (
        kept.join_url,
        kept.organizer_id,
        kept.meeting_id,
        kept.event,
    )
    assert meeting.version == max(kept.version, told.version)
    assert add_call_times(taught, told) is None


@given(old=RECORDS, told=MEETINGS)
def test_the_list_never_takes_a_time_away(old: Record, told: Meeting) -> None:
    meeting = (add_call_times(old, told) or old).meeting
    assert meeting.start or not old.meeting.start
    assert meeting.end or not old.meeting.end


LISTED = Meeting(NOW - HOUR, NOW, "https://join", "organizer", version=2, origin=Origin.LIST)
SWEEP = AttemptSeries(NOW, Cause.SWEEP)
NEXT_DAY = SEEN + 12 * HOUR


@pytest.mark.parametrize("result", Result)
@pytest.mark.parametrize("ended", [SEEN, NEXT_DAY], ids=["the same day", "another day"])
def test_the_list_reopens_what_says_there_was_no_meeting_or_lies_in_another_day(
    result: Result, ended: datetime
) -> None:
    known = Meeting(SEEN - HOUR, SEEN, version=1, origin=Origin.RECORD)
    old = record(result, settled=None if result is Result.PENDING else SEEN, meeting=known)
    revised = revise_record(old, replace(LISTED, end=ended), None, SWEEP, NOW)
    assert revised
    assert revised.day == ended.date()
    denies = result in {Result.NOT_A_MEETING, Result.EXTERNAL_ORGANIZER, Result.OUT_OF_SCOPE}
    is_reopened = denies or (ended is NEXT_DAY and result is not Result.PENDING)
    assert (revised.series, revised.attempt) == ((SWEEP, 2) if is_reopened else (old.series, 1))
    assert revised.meeting.join_url == ("https://join" if denies else None)


@pytest.mark.parametrize("result", [Result.NOT_A_MEETING, Result.EXTERNAL_ORGANIZER, Result.OUT_OF_SCOPE])
def test_the_list_reopens_nothing_that_it_decides_the_same(result: Result) -> None:
    old = record(result, settled=SEEN, meeting=Meeting(SEEN - HOUR, SEEN))
    revised = revise_record(old, replace(LISTED, end=NEXT_DAY), result, SWEEP, NOW)
    assert revised
    assert (revised.series, revised.attempt, revised.day) == (old.series, 1, NEXT_DAY.date())


def test_a_list_that_is_of_an_older_version_changes_nothing() -> None:
    known = Meeting(SEEN - HOUR, SEEN, "https://join", "organizer", version=3, origin=Origin.RECORD)
    old = record(Result.STORED, settled=SEEN, meeting=known)
    assert revise_record(old, replace(LISTED, end=NEXT_DAY), None, SWEEP, NOW) is None


def test_a_scan_reopens_a_signal_once() -> None:
    old = record(Result.NOT_A_MEETING, settled=SEEN, meeting=Meeting(SEEN - HOUR, SEEN))
    first = revise_record(old, LISTED, None, SWEEP, NOW)
    assert first
    assert revise_record(first, LISTED, None, SWEEP, NOW) is None


@given(old=RECORDS)
def test_news_fills_what_a_record_lacks_and_raises_nothing(old: Record) -> None:
    news = report_news("r", EventSession(EventKind.TOWNHALL, "e2", "s2"), NOW, subscription_id="other")
    filled = add_news(old, news)
    if old.announced:
        assert filled is None
        return
    assert filled
    assert (filled.announced, filled.subscription_id, filled.door) == (NOW, "other", news.door)
    assert (filled.attempt, filled.series, filled.next) == (old.attempt, old.series, old.next)
    assert filled.meeting.event == (old.meeting.event or news.meeting.event)
    assert add_news(filled, news) is None


@given(old=RECORDS, facts=MEETINGS.map(lambda known: replace(known, version=0, origin=Origin.NEWS)))
def test_news_replaces_no_fact_that_is_known(old: Record, facts: Meeting) -> None:
    filled = add_news(replace(old, announced=None), News("cr-a", NOW, meeting=facts))
    assert filled
    for name in ("start", "end", "join_url", "organizer_id", "meeting_id", "event"):
        known = getattr(old.meeting, name)
        assert getattr(filled.meeting, name) == (getattr(facts, name) if known is None else known)


@given(RECORDS)
def test_a_record_survives_its_blob(known: Record) -> None:
    assert codec.loads(Record, codec.dumps(known)) == known


@given(before=RECORDS, after=RECORDS)
def test_each_commit_raises_the_revision_and_keeps_every_day(before: Record, after: Record) -> None:
    first = before.with_commit(new_commit("attempt"), None)
    second = after.with_commit(new_commit("attempt"), first)
    assert (first.revision, second.revision) == (1, 2)
    assert second.days[-1] == second.day
    assert set(second.days) == {first.day, second.day}
    assert len(second.days) == len(set(second.days))
    assert {*first.commits} < {*second.commits}


def test_the_commits_of_a_record_are_bounded() -> None:
    known: Record | None = None
    for _ in range(MOST_COMMITS + 5):
        known = (known or record()).with_commit(new_commit("attempt"), known)
    assert known
    assert len({each.id for each in known.commits}) == len(known.commits) == MOST_COMMITS


@given(RECORDS)
def test_a_copy_tells_what_its_record_knows(known: Record) -> None:
    known = replace(known.with_commit(new_commit("attempt"), None), signal_id="cr-a")
    body, told = dump_outcome(known), outcome_metadata(known)
    assert b"\n" not in body
    adopted = load_outcome(body, told)
    for name in (
        "signal_id",
        "result",
        "first_seen",
        "attempt",
        "settled",
        "reports",
        "last_error",
        "stored",
    ):
        assert getattr(adopted, name) == getattr(known, name)
    assert (adopted.revision, adopted.days) == (known.revision, known.days)
    origin = Origin.NEWS if known.is_unconfirmed else Origin.LIST
    assert adopted.meeting == replace(known.meeting, origin=origin)
    assert (adopted.next and adopted.next.at) == (known.next and known.next.at)


def test_a_copy_without_its_record_is_not_attempted_by_itself() -> None:
    known = record(next=NextAttempt(1, NOW))
    adopted = load_outcome(dump_outcome(known), outcome_metadata(known))
    assert adopted.next == NextAttempt(1, NOW, Purpose.LOOK)


@pytest.mark.parametrize("attempts", [(5, 1), (1, 5)])
def test_a_copy_that_its_record_does_not_know_is_merged_whatever_the_attempts(
    attempts: tuple[int, int],
) -> None:
    later, listed = SEEN + timedelta(days=1), Meeting(end=SEEN, version=1, origin=Origin.LIST)
    lost = record(Result.STORED, attempts[0], meeting=listed).with_commit(new_commit("attempt"), None)
    copy = load_outcome(dump_outcome(lost), outcome_metadata(lost))
    known = record(attempt=attempts[1], meeting=replace(listed, end=later, version=2))
    adopted = publish._adopt(known, copy)
    assert adopted
    assert (adopted.result, adopted.meeting.end) == (Result.STORED, later)
    assert publish._adopt(adopted, copy) is None


def test_a_lone_surrogate_in_an_error_does_not_keep_an_outcome_from_being_written() -> None:
    known = replace(record(Result.FAILED), last_error="bad \ud800 text")
    assert load_outcome(dump_outcome(known), outcome_metadata(known)).result is Result.FAILED


def test_the_blob_names_what_consumers_read() -> None:
    assert set(json.loads(dump_outcome(record(Result.STORED)))) == {
        "signalId", "outcome", "reports", "organizerId", "meetingId", "source", "eventId", "sessionId",
        "joinWebUrl", "start", "end", "firstSeen", "settled", "attempt", "nextAttempt", "lastError", "buried",
    }  # fmt: skip


def test_a_published_copy_holds_no_text_of_a_buried_message() -> None:
    buried = DeadLetter("meeting-signals", "news", 1, "0" * 64, "secret text")
    known = record(Result.FAILED, buried=buried)
    assert json.loads(dump_outcome(known))["buried"] == {
        "queue": "meeting-signals",
        "kind": "news",
        "version": 1,
        "sha256": "0" * 64,
    }
    assert b"secret" not in dump_outcome(known)
    assert codec.loads(Record, codec.dumps(known)).buried == buried


def test_an_outcome_lies_in_the_day_on_which_its_meeting_ended() -> None:
    ended = datetime(2026, 11, 24, 1, 10, tzinfo=UTC)
    assert record().day == date(2026, 11, 23)
    assert replace(record(), meeting=Meeting(end=ended)).day == date(2026, 11, 24)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b'{"firstSeen":null}', b'{"firstSeen":7}'])
def test_a_blob_that_is_no_outcome_is_an_error(body: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        load_outcome(body, {})
