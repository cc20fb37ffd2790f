"""The sliding window: never over the limit, and no needless wait."""

from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import limits
from shared.limits import SlidingWindow


@given(pauses=st.lists(st.floats(0, 5), max_size=60), calls=st.integers(1, 10))
def test_no_span_holds_more_calls_than_the_limit(pauses: list[float], calls: int) -> None:
    now = 100.0
    passed: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))
        limited = SlidingWindow(calls, 20.0)
        for pause in pauses:
            now += pause
            before = now
            limited.wait()
            passed.append(now)
            recent = [moment for moment in passed[:-1] if moment > before - 20.0]
            assert now == before or len(recent) >= calls  # it waited only when it had to
    spans = zip(passed, passed[calls:], strict=False)
    assert all(later - earlier >= 20.0 - 1e-6 for earlier, later in spans)
    assert all(later >= earlier for earlier, later in pairwise(passed))
