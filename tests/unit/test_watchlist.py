"""Watched meetings: checked, stored under a hash, and ended in time."""

from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from azure.storage.blob import ContainerClient

from shared import times
from shared.errors import WatchError
from shared.storage.state import StateStore
from shared.storage.watchlist import WatchedMeeting, Watchlist, build_watched_meeting
from tests.support.doubles import Container, Steps

ORGANIZER = "8b081ef6-4792-4def-b2c9-c363a1bf41d5"
CLASSIC = (
    "https://teams.microsoft.com/l/meetup-join/19%3ameeting_A%40thread.v2/0"
    f"?context=%7b%22Tid%22%3a%227f1d3c52-0a86-4be4-9c1e-5b2f8f7a6d10%22%2c%22Oid%22%3a%22{ORGANIZER}%22%7d"
)
SHORT = "https://teams.microsoft.com/meet/2345?p=x"


@pytest.fixture
def state() -> StateStore:
    return StateStore(cast(ContainerClient, Container(Steps(datetime(2026, 11, 24, tzinfo=UTC)))))


def test_a_classic_link_names_its_organizer() -> None:
    assert build_watched_meeting(CLASSIC) == WatchedMeeting(CLASSIC, ORGANIZER)


def test_a_short_link_needs_the_organizer_to_be_told() -> None:
    with pytest.raises(WatchError, match="give the organizer's object id"):
        build_watched_meeting(SHORT)
    assert build_watched_meeting(SHORT, ORGANIZER.upper()).organizer_id == ORGANIZER


@pytest.mark.parametrize(
    "url", ["", "http://teams.microsoft.com/meet/1", "teams", "https://a/" + "x" * 3_000, "https://a/\n"]
)
def test_what_is_no_join_url_is_refused(url: str) -> None:
    with pytest.raises(WatchError, match="not an https address"):
        build_watched_meeting(url, ORGANIZER)


@pytest.mark.parametrize("organizer", ["frida@contoso.example", "1", ORGANIZER + "0"])
def test_an_organizer_is_an_object_id(organizer: str) -> None:
    with pytest.raises(WatchError, match="not an object id"):
        build_watched_meeting(SHORT, organizer)


def test_what_is_added_is_found_listed_and_removed(state: StateStore) -> None:
    watch, watched = Watchlist(state), build_watched_meeting(CLASSIC, until=datetime(2099, 1, 1, tzinfo=UTC))
    watch.add(watched)
    watch.add(build_watched_meeting(SHORT, ORGANIZER))
    assert watch.find(CLASSIC) == watched
    assert sorted(each.join_url for each in watch.list_meetings()) == sorted([CLASSIC, SHORT])
    assert watch.remove(CLASSIC)
    assert not watch.remove(CLASSIC)
    assert watch.find(CLASSIC) is None


def test_one_that_is_over_is_left_out_and_deleted(state: StateStore) -> None:
    watch = Watchlist(state)
    watch.add(build_watched_meeting(CLASSIC, until=times.now() - timedelta(seconds=1)))
    assert watch.list_meetings() == []
    assert state.list_names("watch/", 10) == []


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"joinWebUrl": CLASSIC},
        {"joinWebUrl": 7, "organizerId": ORGANIZER},
        {"joinWebUrl": CLASSIC, "organizerId": None, "until": "soon"},
        {"joinWebUrl": SHORT, "organizerId": ORGANIZER, "until": None},  # under another one's name
    ],
)
def test_what_another_hand_wrote_is_passed_over(state: StateStore, content: dict[str, object]) -> None:
    watch = Watchlist(state)
    watch.add(build_watched_meeting(CLASSIC))
    (name,) = state.list_names("watch/", 10)
    state.put(name, content)
    assert watch.list_meetings() == []
