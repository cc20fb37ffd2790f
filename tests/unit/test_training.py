"""The arithmetic of a training: cases that were computed by hand, and what holds for any attendance."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cli.training import matching, sessions
from shared.cli.training import policy as rules
from shared.cli.training.attendance import AttendanceResult, Attended, find_occasions, judge
from shared.cli.training.lengths import minutes, percent
from shared.cli.training.matching import Participation, Training
from shared.cli.training.policy import Basis, Measure, Policy, Threshold
from shared.cli.training.sessions import Expected, Presence, TrainingSession
from shared.graph.invitees import Invitee, InviteeKind, InviteeList, ListState
from shared.tables.spans import Span

NINE = datetime(2026, 11, 23, 9, tzinfo=UTC)
DAY = NINE.date()
ANA, BEN, EVA = (f"{letter * 8}-0000-4000-8000-000000000000" for letter in "abe")
MINUTE = timedelta(minutes=1)
EIGHTY = Policy(rules.parse_threshold("80%"))


def at(minute: float) -> datetime:
    """A time, in minutes after nine."""
    return NINE + minute * MINUTE


def span(start: float, end: float) -> Span:
    return at(start), at(end)


def person(*stays: tuple[float, float], object_id: str | None = ANA, **more: Any) -> Presence:
    known = {"address": None, "name": "Ana", "role": "Attendee", "kind": "communicationsUserIdentity"}
    return Presence(object_id, stays=tuple(span(*each) for each in stays), **known | more)


def session(*records: Presence, held: tuple[float, float] = (0, 60), **more: Any) -> TrainingSession:
    known: dict[str, Any] = {
        "report_id": f"r{held[0]:g}-{held[1]:g}",
        "day": at(held[1]).date(),
        "start": at(held[0]),
        "end": at(held[1]),
        "schedule": None,
        "subject": "Fire safety",
        "is_partial": False,
        "is_erased": False,
        "records": records,
    }
    return TrainingSession(**known | more)


def evaluate(
    sessions: Iterable[TrainingSession], policy: Policy = EIGHTY, expected: list[Expected] | None = None
) -> Training:
    return matching.evaluate(find_occasions(sessions, policy), policy, expected)


def only(sessions: Iterable[TrainingSession], policy: Policy = EIGHTY) -> Attended:
    """The result of the only person on the only date."""
    (found,) = evaluate(sessions, policy).people
    (attended,) = found.by_day.values()
    return attended


def names(people: Iterable[Participation]) -> list[str]:
    return [each.name for each in people]


# By hand


def test_48_of_60_minutes_are_80_percent_and_a_second_less_is_not() -> None:
    enough = only([session(person((5, 53)))])
    assert (enough.verdict, enough.net, enough.share) == (
        AttendanceResult.ATTENDED,
        48 * MINUTE,
        Fraction(4, 5),
    )
    less = only([session(person((5, 53 - 1 / 60)))])
    assert (less.verdict, less.net) == (AttendanceResult.NOT_ENOUGH, 48 * MINUTE - timedelta(seconds=1))
    assert less.share is not None
    assert (percent(less.share), minutes(less.net)) == (79.9, 47.9)  # never shown as reached


def test_two_devices_at_once_count_once() -> None:
    """10 to 40 and 20 to 50 are 40 minutes."""
    in_one_record = only([session(person((10, 40), (20, 50)))])
    in_two_records = only([session(person((10, 40)), person((20, 50)))])
    assert in_one_record == in_two_records
    assert in_one_record.net == 40 * MINUTE


def test_a_restarted_meeting_is_one_and_its_break_does_not_count() -> None:
    """0 to 20 and 30 to 60 are 50 minutes; 5 to 20 and 30 to 55 of them are 40, 80 %."""
    parts = [session(person((5, 20)), held=(0, 20)), session(person((30, 55)), held=(30, 60))]
    (occasion,) = find_occasions(parts, EIGHTY)
    assert (occasion.length, occasion.spans) == (50 * MINUTE, (span(0, 20), span(30, 60)))
    attended = only(parts, Policy(EIGHTY.at_least, late_after=5 * MINUTE, left_early=4 * MINUTE))
    assert (attended.verdict, attended.net, attended.share) == (
        AttendanceResult.ATTENDED,
        40 * MINUTE,
        Fraction(4, 5),
    )
    assert (attended.late, attended.left_early) == (5 * MINUTE, 5 * MINUTE)
    assert (attended.is_late, attended.has_left_early) == (False, True)  # not later than 5 minutes
    assert (attended.first_join, attended.last_leave) == (at(5), at(55))


def test_of_a_schedule_what_is_before_and_after_does_not_count() -> None:
    """Of 0 to 60, a stay of -15 to 30 is 30 minutes: 50 %, not late, 30 minutes early."""
    one = session(person((-15, 30)), held=(-20, 70), schedule=span(0, 60))
    attended = only([one])
    assert (attended.net, attended.share) == (30 * MINUTE, Fraction(1, 2))
    assert (attended.late, attended.left_early) == (timedelta(), 30 * MINUTE)
    assert attended.verdict is AttendanceResult.NOT_ENOUGH
    of_meeting = only([one], Policy(EIGHTY.at_least, measure=Measure(Basis.MEETING)))
    assert (of_meeting.net, of_meeting.share) == (45 * MINUTE, Fraction(1, 2))


def test_a_session_in_which_somebody_tried_the_link_makes_nobody_late_for_the_schedule() -> None:
    trial = session(person((-60, -58)), held=(-60, -58))
    real = session(person((20, 60)), held=(0, 60), schedule=span(0, 60))
    attended = only([trial, real])
    assert (attended.late, attended.net) == (20 * MINUTE, 40 * MINUTE)
    assert attended.first_join == at(20)


def test_hours_are_those_of_the_date_in_the_zone_also_past_midnight() -> None:
    berlin = Policy(measure=rules.parse_measure("10:00-10:30"), zone=ZoneInfo("Europe/Berlin"))
    (occasion,) = find_occasions([session(schedule=span(0, 60))], berlin)
    assert (occasion.basis, occasion.spans) == (Basis.HOURS, (span(0, 30),))
    night = Policy(measure=rules.parse_measure("23:30-00:30"))
    (occasion,) = find_occasions([session(held=(870, 930))], night)
    assert occasion.spans == (span(870, 930),)


def test_a_schedule_is_demanded_only_where_it_is_known() -> None:
    of_schedule = Policy(measure=Measure(Basis.SCHEDULE))
    assert find_occasions([session(schedule=span(0, 30))], of_schedule)[0].length == 30 * MINUTE
    with pytest.raises(ValueError, match="The schedule of 2026-11-23 is unknown"):
        find_occasions([session()], of_schedule)
    assert find_occasions([session()], EIGHTY)[0].basis is Basis.MEETING


def test_minutes_are_compared_as_minutes() -> None:
    policy = Policy(rules.parse_threshold("45"))
    assert only([session(person((0, 45)))], policy).verdict is AttendanceResult.ATTENDED
    assert only([session(person((0, 44.9)))], policy).verdict is AttendanceResult.NOT_ENOUGH


def test_without_a_threshold_any_time_within_is_enough() -> None:
    assert only([session(person((0, 1)))], Policy()).verdict is AttendanceResult.ATTENDED
    outside = session(person((70, 80)), held=(0, 80), schedule=span(0, 60))
    assert only([outside], Policy()).verdict is AttendanceResult.NOT_ENOUGH


def test_a_meeting_of_unknown_length_has_no_shares() -> None:
    one = session(person((0, 30)), start=None)
    attended = only([one])
    assert (attended.verdict, attended.share, attended.net) == (AttendanceResult.UNKNOWN, None, 30 * MINUTE)
    assert only([one], Policy(Threshold(time=30 * MINUTE))).verdict is AttendanceResult.ATTENDED


def test_time_without_hours_is_counted_as_far_as_it_fits() -> None:
    attended = only([session(person((0, 50), untimed=20 * MINUTE))])
    assert (attended.net, attended.lacks_times) == (60 * MINUTE, True)


# Occasions


def test_dates_are_those_of_the_zone_and_midnight_does_not_part_a_restart() -> None:
    evening = session(person((0, 60)), held=(840, 899))  # 23:00 to 23:59 UTC
    after = session(person((0, 60)), held=(905, 960))  # 00:05 to 01:00 UTC
    next_day = session(held=(1440, 1500))
    found = find_occasions([next_day, after, evening], EIGHTY)
    assert [(each.day, len(each.sessions)) for each in found] == [(DAY, 2), (date(2026, 11, 24), 1)]
    berlin = find_occasions([evening, next_day], Policy(zone=ZoneInfo("Europe/Berlin")))
    assert [each.day for each in berlin] == [date(2026, 11, 24)]


def test_a_series_has_a_result_a_date_and_a_total() -> None:
    week = 7 * 24 * 60
    dates = [
        session(person((0, 60)), person((0, 50), object_id=BEN, name="Ben")),
        session(person((week, week + 20)), held=(week, week + 40)),
    ]
    expected = [
        Expected(ANA, (), "Ana"),
        Expected(BEN, (), "Ben"),
        Expected(None, ("eva@contoso.example",), "Eva"),
    ]
    found = evaluate(dates, EIGHTY, expected)
    assert names(found.people) == ["Eva", "Ben", "Ana"]  # who was absent first
    eva, ben, ana = found.people
    assert [each.verdict for each in ana.by_day.values()] == [
        AttendanceResult.ATTENDED,
        AttendanceResult.NOT_ENOUGH,
    ]
    assert (ana.days_attended, ana.net, ana.length, ana.share) == (
        1,
        80 * MINUTE,
        100 * MINUTE,
        Fraction(4, 5),
    )
    assert (ben.days_attended, ben.share) == (1, Fraction(1, 2))
    assert [each.verdict for each in eva.by_day.values()] == [
        AttendanceResult.ABSENT,
        AttendanceResult.ABSENT,
    ]
    assert (eva.days_attended, eva.dates, eva.share) == (0, 2, Fraction(0))


def test_somebody_expected_on_one_date_is_absent_on_that_alone() -> None:
    week = 7 * 24 * 60
    later = at(week).date()
    dates = [session(person((0, 60))), session(person((week, week + 40)), held=(week, week + 40))]
    expected = [Expected(BEN, (), days=frozenset({later})), Expected(ANA, (), days=frozenset({later}))]
    ben, ana = evaluate(dates, EIGHTY, expected).people
    assert {day: each.verdict for day, each in ben.by_day.items()} == {later: AttendanceResult.ABSENT}
    assert (ben.dates, ben.length) == (1, 40 * MINUTE)
    assert list(ana.by_day) == [DAY, later]  # who comes uninvited counts too


# Who is who


def test_a_person_is_known_by_object_id_before_the_address() -> None:
    record = person((0, 60), address="shared@contoso.example")
    by_address = Expected(None, ("shared@contoso.example",), "Shared")
    found = evaluate([session(record)], EIGHTY, [by_address, Expected(ANA, (), "Ana")])
    assert [(each.name, each.matched_by) for each in found.people] == [
        ("Shared", ()),
        ("Ana", ("object id",)),
    ]


@pytest.mark.parametrize(
    "written", ["ANA@contoso.example", " ana@contoso.example ", "SMTP:Ana@Contoso.Example"]
)
def test_an_address_is_the_same_however_it_is_written(written: str) -> None:
    record = person((0, 60), object_id=None, address=written)
    (found,) = evaluate([session(record)], EIGHTY, [Expected(None, ("Ana@contoso.example",))]).people
    assert (found.matched_by, found.days_attended) == (("address",), 1)


def test_an_address_with_another_object_id_matches_and_says_so() -> None:
    """A guest has one object id at home and another in the tenant."""
    record = person((0, 60), object_id=BEN, address="ana@fabrikam.example")
    (found,) = evaluate([session(record)], EIGHTY, [Expected(ANA, ("ana@fabrikam.example",))]).people
    assert found.matched_by == ("address, with another object id",)


def test_somebody_without_sign_in_is_the_person_of_the_address() -> None:
    records = [
        person((0, 30), address="ana@contoso.example"),
        person((30, 60), object_id=None, address="ana@contoso.example"),
    ]
    (found,) = evaluate([session(*records)], EIGHTY, [Expected(ANA, ())]).people
    assert found.net == 60 * MINUTE


def test_a_name_alone_is_shown_and_never_counted() -> None:
    nameless = person((0, 60), object_id=None, name="ana  LOPEZ", kind="communicationsGuestIdentity")
    other = person((0, 30), object_id=BEN, name="Ana Lopez", address="lopez@fabrikam.example")
    found = evaluate(
        [session(nameless, other)], EIGHTY, [Expected(ANA, (), "Ana Lopez"), Expected(EVA, (), "Eva")]
    )
    ana, eva = found.people
    assert ana.by_day[DAY].verdict is AttendanceResult.ABSENT
    assert ana.possible == (
        "Ana Lopez <lopez@fabrikam.example>, 30 min",
        "ana  LOPEZ (no address), 60 min on 2026-11-23",
    )
    assert eva.possible == ()
    assert names(found.others) == ["Ana Lopez"]
    assert [each.name for each in found.unrecognized] == ["ana  LOPEZ"]


def test_people_without_id_and_address_are_listed_one_by_one() -> None:
    phones = [person((0, n), object_id=None, name="", kind="communicationsPhoneIdentity") for n in (10, 20)]
    erased = person((0, 30), object_id=None, name="", is_erased=True)
    found = evaluate([session(*phones, erased)], EIGHTY, [Expected(ANA, ())])
    assert [(each.attended.net // MINUTE, each.is_erased) for each in found.unrecognized] == [
        (10, False), (20, False), (30, True),
    ]  # fmt: skip


def test_without_a_roster_the_people_are_those_who_came() -> None:
    found = evaluate([session(person((0, 60)), person((0, 5), object_id=BEN, name="Ben"))])
    assert (names(found.people), found.others, found.has_expected) == (["Ben", "Ana"], (), False)


# Invited and registered


def invited(*people: Invitee, report: Presence | None = None) -> TrainingSession:
    """A session whose report has a list of invitees."""
    read = sessions.read_session({"id": "r"}, {}, DAY, InviteeList(ListState.COMPLETE, people))
    return session(*([report] if report else ()), invited=read.invited)


def test_those_who_were_invited_are_expected_on_their_dates() -> None:
    week = 7 * 24 * 60
    first = invited(
        Invitee(InviteeKind.INVITED, person_id=ANA.upper(), role="organizer"),
        Invitee(InviteeKind.INVITED, person_id=BEN, email_address="Ben@contoso.example"),
        Invitee(InviteeKind.INVITED, email_address="team@contoso.example"),
        Invitee(InviteeKind.INVITED),
    )
    second = session(
        person((week, week + 60)), held=(week, week + 60), invited=first.invited[:1] if first.invited else ()
    )
    unknown = session(held=(2 * week, 2 * week + 60))
    occasions = find_occasions([first, second, unknown], EIGHTY)
    found = matching.find_invited(occasions)
    assert found
    people, days = found
    assert days == {DAY, at(week).date()}
    assert [(each.object_id, each.addresses, each.days) for each in people] == [
        (ANA, (), days), (BEN, ("ben@contoso.example",), {DAY}), (None, ("team@contoso.example",), {DAY}),
    ]  # fmt: skip
    absent = {
        each.object_id or each.address: [
            day for day, at_day in each.by_day.items() if at_day.verdict is AttendanceResult.ABSENT
        ]
        for each in matching.evaluate(occasions, EIGHTY, people).people
    }
    assert absent == {ANA: [DAY], BEN: [DAY], "team@contoso.example": [DAY]}
    assert matching.find_invited(find_occasions([unknown], EIGHTY)) is None


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_an_invitee_whom_a_later_date_identifies_is_one_person(order: tuple[int, ...]) -> None:
    address = "ana@contoso.example"
    entries = [
        Invitee(InviteeKind.INVITED, person_id=ANA),
        Invitee(InviteeKind.INVITED, email_address=address, display_name="Ana"),
        Invitee(InviteeKind.INVITED, person_id=ANA, email_address=address),
        Invitee(InviteeKind.INVITED, person_id=BEN, email_address="ben@contoso.example"),
    ]
    held = []
    for week, number in enumerate(order):
        begin = week * 7 * 24 * 60
        invitees = invited(entries[number]).invited
        held.append(session(person((begin, begin + 60)), held=(begin, begin + 60), invited=invitees))
    found = matching.find_invited(find_occasions(held, EIGHTY))
    assert found
    people, days = found
    ana, ben = sorted(people, key=lambda each: each.object_id == BEN)
    assert (ana.object_id, ana.addresses, ana.name) == (ANA, (address,), "Ana")
    assert ben.object_id == BEN
    assert ana.days == days - (ben.days or frozenset())
    assert len(ana.days) == 3


def test_a_registration_is_matched_and_a_canceled_one_is_not_expected() -> None:
    came = person((0, 60), object_id=None, name="A. L.", registration_id="R1")
    one = invited(
        Invitee(InviteeKind.REGISTERED, display_name="Ana", registration_id="r1", status="registered"),
        Invitee(InviteeKind.REGISTERED, display_name="Ben", registration_id="r2", status="canceled"),
        Invitee(InviteeKind.REGISTERED, display_name="Eva", registration_id="r3"),
        report=came,
    )
    occasions = find_occasions([one], EIGHTY)
    found = matching.find_invited(occasions)
    assert found
    trained = matching.evaluate(occasions, EIGHTY, found[0])
    assert [(each.name, each.matched_by) for each in trained.people] == [
        ("Eva", ()),
        ("Ana", ("registration",)),
    ]
    assert trained.unrecognized == ()


# Reports as Graph makes them


def test_a_session_is_read_from_a_report_and_its_line() -> None:
    report = {
        "id": "r",
        "meetingStartDateTime": "2026-11-23T09:00:00.1234567Z",
        "meetingEndDateTime": "2026-11-23T10:00:00Z",
        "attendanceRecords": [
            {
                "id": "1",
                "emailAddress": " Ana@Contoso.Example",
                "totalAttendanceInSeconds": 1800,
                "role": "Presenter",
                "identity": {"id": ANA.upper(), "displayName": "Ana"},
                "attendanceIntervals": [
                    {"joinDateTime": "2026-11-23T09:10:00Z", "leaveDateTime": "2026-11-23T09:30:00Z"},
                    {"joinDateTime": "2026-11-23T09:40:00Z", "leaveDateTime": None, "durationInSeconds": 600},
                ],
            },
            {"id": "2", "totalAttendanceInSeconds": 120, "identity": {"id": None, "displayName": "Phone"}},
            {"id": "erased-0123456789abcdef", "totalAttendanceInSeconds": 60, "identity": None},
        ],
    }
    line = {
        "scheduledStart": "2026-11-23T09:00:00.000Z",
        "scheduledEnd": "2026-11-23T09:45:00.000Z",
        "subject": "Fire safety",
        "partial": True,
        "erased": True,
    }
    read = sessions.read_session(report, line, DAY)
    ana, phone, erased = read.records
    assert (read.schedule, read.is_partial, read.is_erased) == (span(0, 45), True, True)
    assert (ana.object_id, ana.address, ana.role) == (ANA, "ana@contoso.example", "Presenter")
    assert (ana.stays, ana.untimed) == ((span(10, 30),), 10 * MINUTE)
    assert (phone.object_id, phone.address, phone.untimed) == (None, None, 2 * MINUTE)
    assert [each.is_erased for each in read.records] == [False, False, True]
    assert erased.name == ""


@pytest.mark.parametrize(
    ("text", "share", "length"),
    [
        ("80%", Fraction(4, 5), None),
        ("66.7 %", Fraction(667, 1000), None),
        ("100%", Fraction(1), None),
        ("45", None, 45 * MINUTE),
        ("45m", None, 45 * MINUTE),
        (" 45 min ", None, 45 * MINUTE),
    ],
)
def test_a_threshold_is_a_percentage_or_minutes(
    text: str, share: Fraction | None, length: timedelta | None
) -> None:
    assert rules.parse_threshold(text) == Threshold(share, length)


@pytest.mark.parametrize("text", ["", "0", "0%", "101%", "-5", "80 percent", "1h", "eighty", "80%%", "1e3"])
def test_other_thresholds_are_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"is neither a percentage, such as 80%, nor minutes, such as 45\."):
        rules.parse_threshold(text)


@pytest.mark.parametrize(
    "text", ["", "Schedule", "9-10", "09:00-09:00", "25:00-26:00", "09:00", "09:00 - 10:00"]
)
def test_other_measures_are_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="is neither schedule, nor meeting, nor hours such as 09:00-10:30"):
        rules.parse_measure(text)
    assert rules.parse_measure("09:00-10:30").hours == (time(9), time(10, 30))


# What holds for any attendance

MINUTES = st.integers(-90, 200)
STAYS = st.lists(st.tuples(MINUTES, MINUTES).filter(lambda each: each[0] < each[1]), max_size=4)
UNTIMED = st.sampled_from([0, 0, 5, 500]).map(lambda number: number * MINUTE)
RECORDS = st.lists(
    st.builds(
        lambda stays, untimed, who: person(*stays, untimed=untimed, **who),
        STAYS,
        UNTIMED,
        st.sampled_from(
            [
                {"object_id": ANA, "address": "ana@contoso.example"},
                {"object_id": ANA},
                {"object_id": None, "address": "ana@contoso.example"},
                {"object_id": BEN, "name": "Ben"},
                {"object_id": None, "name": "Ana Lopez"},
            ]
        ),
    ),
    max_size=5,
)
HELD = st.sampled_from([(0, 60), (0, 20), (30, 60), (-60, -55), (65, 120), (1500, 1560)])
SCHEDULES = st.sampled_from([None, span(0, 60), span(-10, 30)])


@st.composite
def meetings(draw: st.DrawFn) -> list[TrainingSession]:
    """Sessions of one meeting, as reports of Graph can have them."""
    held = draw(st.lists(HELD, min_size=1, max_size=3, unique=True))
    return [session(*draw(RECORDS), held=each, schedule=draw(SCHEDULES)) for each in held]


ROSTER = [Expected(ANA, ("ana@contoso.example",), "Ana Lopez"), Expected(BEN, (), "Ben"), Expected(EVA, ())]
POLICIES = st.builds(
    Policy,
    st.sampled_from([Threshold(), Threshold(share=Fraction(4, 5)), Threshold(time=30 * MINUTE)]),
    st.sampled_from([None, 5 * MINUTE]),
    st.sampled_from([None, timedelta()]),
    st.sampled_from([None, Measure(Basis.MEETING), Measure(Basis.HOURS, (time(9), time(9, 45)))]),
)


@given(meetings(), POLICIES)
def test_nobody_attends_more_than_there_was(held: list[TrainingSession], policy: Policy) -> None:
    found = evaluate(held, policy, ROSTER)
    lengths = {each.day: each.length for each in found.occasions}
    for each in (*found.people, *found.others):
        for day, attended in each.by_day.items():
            assert timedelta() <= attended.net <= lengths[day]
            assert attended.share is None or 0 <= attended.share <= 1
            assert min(attended.late or timedelta(), attended.left_early or timedelta()) >= timedelta()
        assert each.net == sum((attended.net for attended in each.by_day.values()), timedelta())
        assert each.net <= each.length
    for occasion in found.occasions:
        assert all(start < end for start, end in occasion.spans)
        assert all(
            left[1] < right[0] for left, right in zip(occasion.spans, occasion.spans[1:], strict=False)
        )


@given(meetings(), POLICIES, st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(
    held: list[TrainingSession], policy: Policy, chance: random.Random
) -> None:
    def shuffled(one: TrainingSession) -> TrainingSession:
        return replace(one, records=tuple(chance.sample(one.records * 2, len(one.records) * 2)))

    again = [shuffled(each) for each in (*held, held[0])]
    chance.shuffle(again)
    first, second = evaluate(held, policy, ROSTER), evaluate(again, policy, ROSTER)
    assert (first.people, first.others, first.unrecognized) == (
        second.people,
        second.others,
        second.unrecognized,
    )
    assert [each.spans for each in first.occasions] == [each.spans for each in second.occasions]


@given(STAYS, STAYS)
def test_more_presence_is_never_less_attendance(some: list[Any], more: list[Any]) -> None:
    (occasion,) = find_occasions([session(schedule=span(0, 60))], EIGHTY)
    less = judge([("r", person(*some))], occasion, EIGHTY)
    most = judge([("r", person(*some, *more))], occasion, EIGHTY)
    assert most.net >= less.net
    assert not (less.verdict is AttendanceResult.ATTENDED and most.verdict is AttendanceResult.NOT_ENOUGH)
    together = judge([("r", person(*some)), ("s", person(*more))], occasion, EIGHTY)
    assert together.net == most.net


@given(STAYS, st.integers(-90, 200))
def test_to_leave_and_join_again_at_once_changes_nothing(stays: list[tuple[int, int]], when: int) -> None:
    (occasion,) = find_occasions([session()], EIGHTY)
    cut = [
        part
        for start, end in stays
        for part in ([(start, when), (when, end)] if start < when < end else [(start, end)])
    ]
    assert judge([("r", person(*stays))], occasion, EIGHTY) == judge([("r", person(*cut))], occasion, EIGHTY)


@given(meetings(), POLICIES)
def test_everybody_is_somewhere_once(held: list[TrainingSession], policy: Policy) -> None:
    found = evaluate(held, policy, ROSTER)
    assert len(found.people) == len(ROSTER)
    nobody = sum(each.key is None for one in held for each in set(one.records))
    assert len(found.unrecognized) == nobody
    ids = [each.object_id or each.address for each in (*found.people, *found.others)]
    assert len(ids) == len(set(ids))
    for each in found.people:
        assert set(each.by_day) == {occasion.day for occasion in found.occasions}


@given(st.timedeltas(timedelta(), timedelta(days=2)))
def test_what_is_shown_is_never_more_than_what_there_was(length: timedelta) -> None:
    assert timedelta() <= length - minutes(length) * MINUTE < timedelta(seconds=6, microseconds=2)
