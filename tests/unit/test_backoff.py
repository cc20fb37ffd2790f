"""The retry schedule: delays double, at most eight hours, within the window."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.archiving.backoff import DENIED_DELAY, MAX_DELAY, MAX_RETRY_AFTER, delay, throttled_delay

SEEN = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
DAY = 86_400


def after(
    seconds: float, *, attempt: int = 0, first: int = 60, window: int = DAY, denied: bool = False
) -> int | None:
    """The delay of an attempt made `seconds` after the signal was first seen."""
    moment = SEEN + timedelta(seconds=seconds)
    return delay(since=SEEN, attempt=attempt, now=moment, first_delay=first, window=window, denied=denied)


def delays(first: int, window: int, work: float = 0.0) -> list[int]:
    """All delays of a signal that is never ready; each attempt takes `work` seconds."""
    found: list[int] = []
    elapsed = work
    while (wanted := after(elapsed, attempt=len(found), first=first, window=window)) is not None:
        found.append(wanted)
        elapsed += wanted + work
    return found


def test_with_the_defaults_a_signal_is_tried_for_a_day() -> None:
    minutes = [seconds // 60 for seconds in delays(60, DAY)]
    assert minutes == [1, 2, 4, 8, 16, 32, 64, 128, 256, 480, 449]
    assert sum(minutes) == 24 * 60


@given(first=st.integers(1, DAY), attempt=st.integers(0, 10**9))
def test_a_delay_doubles_until_it_is_eight_hours(first: int, attempt: int) -> None:
    wanted = after(0, attempt=attempt, first=first, window=30 * DAY)
    assert wanted == min(first * 2 ** min(attempt, 40), MAX_DELAY)


@given(first=st.integers(60, DAY), window=st.integers(1, 30 * DAY), work=st.floats(0, 600))
def test_the_last_attempt_is_made_at_the_windows_end(first: int, window: int, work: float) -> None:
    found = delays(first, window, work)
    waited = sum(found) + work * len(found)
    assert waited < window + 1  # whole seconds are rounded up
    assert waited + work > window - 1


@given(st.floats(0, 2 * DAY))
def test_the_window_cuts_the_delay_and_then_ends_it(elapsed: float) -> None:
    wanted = after(elapsed, attempt=9)
    left = DAY - elapsed
    if left < 1:
        assert wanted is None
    else:
        assert wanted is not None
        assert wanted - 1 < min(left, MAX_DELAY) <= wanted + 1e-3


@pytest.mark.parametrize(
    ("elapsed", "wanted"), [(0, DENIED_DELAY), (DAY - 600, 600), (DAY - 1, 1), (DAY, None)]
)
def test_after_a_denial_the_one_long_wait_is_cut_to_what_is_left(elapsed: int, wanted: int | None) -> None:
    assert after(elapsed, attempt=3, denied=True) == wanted


def test_a_policy_has_35_minutes_to_spread() -> None:
    assert DENIED_DELAY == 35 * 60


@pytest.mark.parametrize(
    ("backoff", "retry_after", "wanted"),
    [
        (60, 0.0, 60),
        (60, 60.2, 61),
        (60, 3_600.0, 3_600),
        (60, 10.0**9, MAX_RETRY_AFTER),
        (480, 300.0, 480),
        (None, 300.0, None),
    ],
)
def test_throttling_waits_as_asked_and_never_less_than_planned(
    backoff: int | None, retry_after: float, wanted: int | None
) -> None:
    assert throttled_delay(backoff, retry_after) == wanted
