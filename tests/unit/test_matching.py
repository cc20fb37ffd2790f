"""Matching reports with sessions: none is lost or taken twice."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.archiving.matching import CLOCK_SKEW, MeetingSession, Selection, match_reports
from shared.graph.reports import ReportHeader

DAY = datetime(2026, 11, 23, tzinfo=UTC)
NOW = DAY + timedelta(hours=12)


def at(minutes: float) -> datetime:
    """Minutes after ten o'clock."""
    return DAY + timedelta(hours=10, minutes=minutes)


def session(start: float, end: float) -> MeetingSession:
    return MeetingSession(at(start), at(end))


def report(start: float, end: float, name: str = "r") -> ReportHeader:
    return ReportHeader(name, at(start), at(end))


def ids(reports: tuple[ReportHeader, ...]) -> list[str]:
    return [each.id for each in reports]


def groups(selection: Selection) -> list[ReportHeader]:
    return [*selection.matching, *selection.nearby, *selection.unrelated, *selection.unfinished]


MINUTES = st.integers(-3 * 24 * 60, 180).map(float)
SPANS = st.tuples(MINUTES, st.integers(0, 300)).map(lambda span: (span[0], span[0] + span[1]))
TIMES = st.none() | MINUTES.map(at)
LISTS = st.lists(st.builds(ReportHeader, st.uuids().map(str), TIMES, TIMES), unique_by=lambda each: each.id)


@given(call=SPANS, span=SPANS)
def test_a_report_that_overlaps_and_reaches_the_end_settles_the_session(
    call: tuple[float, float], span: tuple[float, float]
) -> None:
    chosen = match_reports([report(*span)], session(*call), at(600))
    together = min(span[1], call[1]) - max(span[0], call[0])
    overlaps = together > 2 or together >= min(span[1] - span[0], call[1] - call[0]) / 2
    assert ids(chosen.matching) == (["r"] if overlaps and span[1] >= call[1] - 15 else [])
    assert ids(chosen.unfinished) == (["r"] if overlaps and span[1] < call[1] - 15 else [])


def test_an_overlap_that_clocks_can_explain_does_not_settle_a_restarted_session() -> None:
    """Report 1 ends ten seconds after call 2 began: two services, two clocks."""
    chosen = match_reports([report(0, 30)], session(29.8, 40), at(600))
    assert (chosen.matching, chosen.unfinished) == ((), ())
    assert ids(chosen.nearby) == ["r"]


@given(reports=LISTS, call=SPANS)
def test_a_report_is_in_one_group_at_most(reports: list[ReportHeader], call: tuple[float, float]) -> None:
    found = groups(match_reports(reports, session(*call), NOW))
    assert len(found) == len(set(found))
    assert set(found) <= set(reports)


@given(reports=LISTS, call=SPANS, data=st.data())
def test_the_order_of_the_list_does_not_matter(
    reports: list[ReportHeader], call: tuple[float, float], data: st.DataObject
) -> None:
    one = match_reports(reports, session(*call), NOW)
    other = match_reports(data.draw(st.permutations(reports)), session(*call), NOW)
    for name in ("matching", "nearby", "unrelated", "unfinished"):
        assert set(getattr(one, name)) == set(getattr(other, name))


@given(reports=LISTS, call=SPANS)
def test_every_ended_report_of_the_last_day_is_in_a_group(
    reports: list[ReportHeader], call: tuple[float, float]
) -> None:
    found = groups(match_reports(reports, session(*call), NOW))
    recent = [each for each in reports if each.end and NOW - timedelta(hours=24) <= each.end <= NOW]
    assert set(recent) <= set(found)


@given(reports=LISTS, call=SPANS)
def test_a_report_that_has_not_ended_is_in_no_group(
    reports: list[ReportHeader], call: tuple[float, float]
) -> None:
    found = groups(match_reports(reports, session(*call), NOW))
    assert all(each.end and each.end <= NOW + CLOCK_SKEW for each in found)


@given(call=SPANS, unfinished=st.integers(-14, 14), late=st.integers(-14, 14))
def test_a_report_timed_by_another_service_is_found_all_the_same(
    call: tuple[float, float], unfinished: int, late: int
) -> None:
    span = (call[0] + unfinished, max(call[0] + unfinished, call[1] + late))
    chosen = match_reports([report(*span)], session(*call), at(600))
    assert ids(chosen.matching) + ids(chosen.nearby) == ["r"]


@pytest.mark.parametrize("length", [2, 4, 20, 60, 300])
def test_a_meeting_restarted_after_five_minutes_is_not_settled_by_the_first_report(length: int) -> None:
    first, second = report(0, length, "first"), report(length + 5, 2 * length + 5, "second")
    call = session(length + 5, 2 * length + 5)
    alone = match_reports([first], call, at(700))
    assert (alone.matching, alone.unfinished) == ((), ())
    both = match_reports([first, second], call, at(700))
    assert ids(both.matching) == ["second"]
    assert ids(both.nearby) == ["first"]


def test_the_first_call_of_a_restarted_meeting_is_settled_by_its_own_report() -> None:
    reports = [report(65, 125, "second"), report(0, 60, "first")]
    assert ids(match_reports(reports, session(0, 60), NOW).matching) == ["first"]


def test_of_a_recurring_series_only_the_days_report_settles() -> None:
    weekly = [report(-week * 7 * 24 * 60, 30 - week * 7 * 24 * 60, f"week {week}") for week in range(50)]
    chosen = match_reports(weekly, session(0, 30), NOW)
    assert [each.id for each in groups(chosen)] == ids(chosen.matching) == ["week 0"]


def test_a_running_meeting_has_no_report_yet() -> None:
    running = [
        ReportHeader("no end", at(0), None),
        ReportHeader("ends later", at(0), NOW + timedelta(minutes=3)),
    ]
    assert groups(match_reports(running, session(0, 30), NOW)) == []


def test_a_clock_that_is_two_minutes_ahead_is_forgiven() -> None:
    call = MeetingSession(NOW - timedelta(minutes=30), NOW)
    ahead = ReportHeader("r", NOW - timedelta(minutes=30), NOW + timedelta(minutes=2))
    assert ids(match_reports([ahead], call, NOW).matching) == ["r"]


def test_a_report_taken_while_the_call_went_on_is_early_and_does_not_settle() -> None:
    chosen = match_reports([report(0, 20)], session(0, 60), NOW)
    assert (ids(chosen.unfinished), chosen.matching, chosen.nearby) == (["r"], (), ())


@pytest.mark.parametrize(
    ("end", "group"), [(44, "unfinished"), (45, "matching"), (60, "matching"), (90, "matching")]
)
def test_a_report_may_end_a_quarter_of_an_hour_before_its_call(end: int, group: str) -> None:
    assert ids(getattr(match_reports([report(0, end)], session(0, 60), NOW), group)) == ["r"]


@pytest.mark.parametrize(("gap", "is_nearby"), [(1, True), (15, True), (15.1, False)])
def test_a_report_beside_a_short_call_is_near_within_a_quarter_of_an_hour(
    gap: float, is_nearby: bool
) -> None:
    chosen = match_reports([report(gap, gap)], session(0, 0), NOW)
    assert ids(chosen.nearby) == (["r"] if is_nearby else [])


@pytest.mark.parametrize(
    ("end", "group"),
    [(-20, "unrelated"), (-3, "nearby"), (-2, "matching"), (0, "matching"), (9, "matching")],
)
def test_where_only_the_end_is_known_the_report_that_ended_then_is_the_sessions(end: int, group: str) -> None:
    chosen = match_reports([report(-60, end)], MeetingSession(None, at(0)), NOW)
    assert ids(getattr(chosen, group)) == ["r"]


def test_where_only_the_end_is_known_a_report_that_began_later_is_another_sessions() -> None:
    assert ids(match_reports([report(1, 30)], MeetingSession(None, at(0)), NOW).nearby) == ["r"]


@pytest.mark.parametrize(
    ("age", "taken"),
    [
        (timedelta(hours=24), True),
        (timedelta(hours=24, seconds=1), False),
        (timedelta(days=20), False),
    ],
)
def test_a_foreign_report_is_archived_for_a_day_after_its_end(age: timedelta, taken: bool) -> None:
    foreign = ReportHeader("r", NOW - age - timedelta(minutes=5), NOW - age)
    call = MeetingSession(NOW - timedelta(days=10), NOW - timedelta(days=10) + timedelta(hours=1))
    assert ids(match_reports([foreign], call, NOW).unrelated) == (["r"] if taken else [])


def test_a_report_within_the_tolerance_is_archived_at_any_age() -> None:
    start = NOW - timedelta(days=10)
    call = MeetingSession(start, start + timedelta(hours=1))
    before = ReportHeader("r", start - timedelta(hours=1), start - timedelta(minutes=15))
    assert ids(match_reports([before], call, NOW).nearby) == ["r"]


def test_a_report_without_a_start_counts_by_its_end() -> None:
    assert ids(match_reports([ReportHeader("r", None, at(58))], session(0, 60), NOW).matching) == ["r"]


def test_in_a_channel_the_report_of_a_meeting_held_at_the_same_time_is_not_the_sessions() -> None:
    neighbour = ReportHeader("neighbour", NOW - timedelta(minutes=60), NOW - timedelta(minutes=5))
    own = ReportHeader("own", NOW - timedelta(minutes=45, seconds=-20), NOW - timedelta(seconds=3))
    session = MeetingSession(NOW - timedelta(minutes=45), NOW)
    found = match_reports([neighbour, own], session, NOW, in_channel=True)
    assert (found.matching, found.nearby) == ((own,), (neighbour,))
    assert match_reports([neighbour], session, NOW, in_channel=True).nearby == (neighbour,)
    assert match_reports([neighbour], session, NOW).matching == (neighbour,)
