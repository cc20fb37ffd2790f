"""Delays from the end of a call to its report: percentiles in a bounded memory."""

import math
import sys
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.days.delays import DelayCounts, Delays, Percentiles, round_up
from shared.ledger.publish import OutcomeSummary
from shared.times import format_duration

END = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECONDS = st.integers(0, 400 * 86_400)


def outcome(seen: float | None, stored: float | None, end: datetime | None = END) -> OutcomeSummary:
    """An outcome whose signal was seen, and whose report was stored, so many seconds after END."""
    moments = (None if each is None else END + timedelta(seconds=each) for each in (seen, stored))
    return OutcomeSummary(
        "outcomes/date=2026-11-23/cr-1.json", "stored", 0, None, None, END, None, False, end, *moments
    )


def summarized(*outcomes: OutcomeSummary) -> Delays | None:
    counts = DelayCounts()
    for each in outcomes:
        counts.add(each)
    return counts.summarize()


def test_the_three_delays_of_one_signal_add_up() -> None:
    assert summarized(outcome(60, 90)) == Delays(
        1, Percentiles(60, 60, 60), Percentiles(30, 30, 30), Percentiles(90, 90, 90)
    )


def test_what_has_no_report_or_no_end_has_no_delay() -> None:
    assert summarized(outcome(60, None), outcome(60, 90, end=None), outcome(None, 90)) is None


def test_one_late_report_of_a_hundred_is_in_the_maximum_alone() -> None:
    delays = summarized(*[outcome(60, 90)] * 99, outcome(60, 900_000))
    assert delays
    assert delays.end_to_stored == Percentiles(90, 90, 90)
    later = summarized(*[outcome(60, 90)] * 94, *[outcome(60, 900_000)] * 6)
    assert later
    assert later.end_to_stored == Percentiles(90, 900_000, 900_000)


def test_a_clock_that_is_ahead_makes_no_negative_delay() -> None:
    delays = summarized(outcome(-30, -10))
    assert delays
    assert (delays.end_to_first_seen.p50, delays.first_seen_to_stored.p50, delays.end_to_stored.p50) == (
        0,
        20,
        0,
    )


@given(SECONDS)
def test_a_rounded_delay_is_at_most_one_percent_too_long(seconds: int) -> None:
    rounded = round_up(timedelta(seconds=seconds))
    assert seconds <= rounded <= seconds * 1.01


@given(st.lists(SECONDS, min_size=1, max_size=300))
def test_percentiles_are_those_of_the_nearest_rank(delays: list[int]) -> None:
    found = summarized(*(outcome(0, each) for each in delays))
    in_order = sorted(round_up(timedelta(seconds=each)) for each in delays)
    assert found
    assert found.end_to_stored == Percentiles(
        *(in_order[math.ceil(len(in_order) * rank) - 1] for rank in (0.5, 0.95, 0.99))
    )


def test_a_million_signals_need_no_more_memory_than_ten_thousand() -> None:
    counts = DelayCounts()
    for number in range(100_000):
        counts.add(outcome(number * 37, number * 313))
    assert max(map(len, counts._counts)) < 6_000  # of all delays up to a year
    assert sum(map(sys.getsizeof, counts._counts)) < 1_000_000


def test_a_duration_is_short() -> None:
    given = (0, 119, 120, 7_199, 7_200, 172_799, 172_800)
    assert [format_duration(each) for each in given] == [
        *("0 s", "119 s", "2 min", "120 min", "2.0 h", "48.0 h", "2.0 days")
    ]
