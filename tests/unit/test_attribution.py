"""Whose report it is: facts are added and never taken away, and a wrong claim gives way to the report's own word."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.archive.attribution import FACTS, attribution, merge_facts
from shared.graph.join_urls import join_url_key, series_id
from shared.graph.reports import EventReports, MeetingReports
from shared.messages.signals import EventKind, EventSession

URL = (
    "https://teams.microsoft.com/l/meetup-join/19%3ameeting_A%40thread.v2/0?context=%7B%22Tid%22%3A%22t%22%7D"
)
MEETING = attribution(MeetingReports("o", "m", URL))
EVENT = attribution(EventReports(EventSession(EventKind.WEBINAR, "e", "s"), "o"))
OTHER = attribution(MeetingReports("p", "n", URL.replace("meeting_A", "meeting_B")))
FACT_SETS = st.dictionaries(st.sampled_from(FACTS), st.sampled_from("abc"))


def facts(of: dict[str, str]) -> dict[str, str]:
    return {name: of[name] for name in FACTS if of.get(name)}


def test_every_report_carries_the_key_and_the_series_of_its_link() -> None:
    assert (MEETING["joinurlkey"], MEETING["seriesid"]) == (join_url_key(URL), series_id(URL))
    event = attribution(EventReports(EventSession(EventKind.TOWNHALL, "e", "s"), "o", URL))
    assert (event["joinurlkey"], event["seriesid"]) == (join_url_key(URL), series_id(URL))
    assert not {"joinurlkey", "seriesid"} & EVENT.keys()


def test_another_meetings_report_carries_its_source_alone() -> None:
    assert attribution(MeetingReports("o", "m", URL).unattributed()) == {"source": "onlineMeeting"}


@pytest.mark.parametrize(("stored", "new"), [(MEETING, EVENT), (EVENT, MEETING)])
def test_a_session_keeps_meeting_and_link_beside_its_event(stored: Any, new: Any) -> None:
    assert merge_facts(stored, new, ()) == facts(MEETING) | facts(EVENT)


def test_a_session_whose_two_links_differ_keeps_both_ids() -> None:
    short = attribution(EventReports(EventSession(EventKind.WEBINAR, "e", "s"), "o", "https://t/meet/1"))
    merged = merge_facts(MEETING, short, ())
    assert (merged["meetingid"], merged["eventid"], merged["joinweburl"]) == ("m", "e", URL)


def test_facts_that_were_unknown_are_added() -> None:
    assert merge_facts({"source": "onlineMeeting", "sha256": "0"}, MEETING, ()) == facts(MEETING)
    assert merge_facts(MEETING, {"source": "onlineMeeting"}, ()) == facts(MEETING)


@pytest.mark.parametrize(
    ("organizers", "wins"),
    [((), MEETING), (("o",), MEETING), (("p",), OTHER), (("o", "p"), MEETING), (("x",), MEETING)],
)
def test_of_two_meetings_that_of_the_organizer_whom_the_report_names_wins(
    organizers: tuple[str, ...], wins: dict[str, str]
) -> None:
    assert merge_facts(MEETING, OTHER, organizers) == facts(wins)


def test_one_meeting_by_two_ids_keeps_the_first() -> None:
    again = attribution(MeetingReports("p", "another id", URL.upper()))
    assert merge_facts(MEETING, again, ("p",)) == facts(MEETING)


@given(FACT_SETS, FACT_SETS, st.sets(st.sampled_from("abc")))
def test_no_reading_takes_facts_away_and_the_same_one_changes_nothing(
    stored: dict[str, str], new: dict[str, str], organizers: set[str]
) -> None:
    merged = merge_facts(stored, new, organizers)
    assert merged.keys() >= stored.keys() or merged == new
    assert merge_facts(merged, new, organizers) == merged
    assert merge_facts(stored, {}, organizers) == stored
