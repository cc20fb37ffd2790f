"""Join URLs: what they tell, and one key and series for every copy of a link."""

import hashlib
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.graph.join_urls import JoinUrl, join_url_key, parse_join_url, series_id

TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
ORGANIZER = "821809f5-0000-0000-0000-3b5136c0e777"
CONTEXT = f"?context=%7b%22Tid%22%3a%22{TENANT}%22%2c%22Oid%22%3a%22{ORGANIZER}%22%7d"
MEETUP = "https://teams.microsoft.com/l/meetup-join"
CLASSIC = f"{MEETUP}/19%3ameeting_NDQ4M2RlYTMtYzAwNC00%40thread.v2/0{CONTEXT}"
SHORT = "https://teams.microsoft.com/meet/2145678901234?p=aBcDeFgHiJkLmNoPqR"
HEX = "0123456789abcdef" * 2


def test_a_classic_join_url_tells_tenant_and_organizer() -> None:
    assert parse_join_url(CLASSIC) == JoinUrl(TENANT, ORGANIZER, None, is_channel=False, is_personal=False)


@pytest.mark.parametrize("url", [SHORT, SHORT.partition("?")[0], SHORT.replace("?", "/?")])
def test_a_short_join_url_tells_the_meetings_digits_alone(url: str) -> None:
    assert parse_join_url(url) == JoinUrl(None, None, "2145678901234", is_channel=False, is_personal=False)


@pytest.mark.parametrize(
    "thread",
    [
        "19%3aQx_7-z%40thread.tacv2",
        "19:Qx_7-z@thread.tacv2",
        "19%253aQx_7-z%2540thread.tacv2",
        f"19%3a{HEX}%40thread.skype",
        f"19:{HEX}@thread.skype",
        f"19%3A{HEX.upper()}%40THREAD.SKYPE",
    ],
)
def test_channel_threads_of_new_and_old_teams_are_told_in_every_encoding(thread: str) -> None:
    for url in (f"{MEETUP}/{thread}/1600000000000{CONTEXT}", f"{MEETUP}/{thread}/0?context=broken"):
        assert parse_join_url(url).is_channel
    assert parse_join_url(f"{MEETUP}/{thread}/1600000000000{CONTEXT}").organizer_id == ORGANIZER


@pytest.mark.parametrize(
    "thread",
    [
        "19%3ameeting_NDQ4M2RlYTMt%40thread.v2",
        "19%3ameeting_NDQ4M2RlYTMt%40thread.skype",
        f"19%3ameeting_{HEX}%40thread.skype",
        f"19%3a{HEX}%40thread.v2",
        f"19%3a{HEX}%40unq.gbl.spaces",
    ],
)
def test_a_meetings_own_thread_is_no_channel(thread: str) -> None:
    assert not parse_join_url(f"{MEETUP}/{thread}/0{CONTEXT}").is_channel


def test_a_thread_in_the_query_is_no_channel() -> None:
    assert not parse_join_url(f"{CLASSIC}&from=/19:x@thread.tacv2/").is_channel


@pytest.mark.parametrize(
    ("url", "is_personal"),
    [
        ("https://teams.live.com/meet/9312345678901?p=x", True),
        ("https://TEAMS.LIVE.COM/meet/9312345678901", True),
        ("https://teams.live.com.evil.example/meet/9312345678901", False),
        (SHORT, False),
        (f"{CLASSIC}&next=https://teams.live.com/", False),
    ],
)
def test_a_link_at_teams_live_com_is_a_personal_accounts(url: str, is_personal: bool) -> None:
    assert parse_join_url(url).is_personal is is_personal


@pytest.mark.parametrize(
    "url",
    [
        "",
        "no address",
        "https://[::1/l",
        f"{MEETUP}/x?context=",
        f"{MEETUP}/x?context=[1]",
        f"{MEETUP}/x?context=%7bbroken",
        f"{MEETUP}/x?context={'[' * 100_000}",
        f'{MEETUP}/x?context={{"Tid":7,"Oid":"../x"}}',
        "https://teams.live.com/meet/12ab",
        "https://teams.microsoft.com/meeting/12",
    ],
    ids=lambda url: url[:70],
)
def test_what_a_join_url_does_not_tell_is_none(url: str) -> None:
    found = parse_join_url(url)
    assert (found.tenant_id, found.organizer_id, found.join_meeting_id) == (None, None, None)


@given(st.text() | st.text().map(lambda text: f"https://teams.microsoft.com/{text}?context={text}"))
def test_no_join_url_is_an_error(url: str) -> None:
    assert parse_join_url(url).organizer_id is None


def test_the_key_is_the_link_decoded_in_one_case() -> None:
    context = f'{{"tid":"{TENANT}","oid":"{ORGANIZER}"}}'
    assert join_url_key(CLASSIC) == (
        f"{MEETUP}/19:meeting_ndq4m2rlytmtyzawnc00@thread.v2/0?context={context}"
    )


COPIES = [
    CLASSIC,
    unquote(CLASSIC),
    quote(CLASSIC, safe=":/?=&%"),
    quote(CLASSIC, safe=""),
    quote(quote(unquote(CLASSIC), safe=""), safe=""),
    CLASSIC.replace("%3a", "%3A").replace("%7b", "%7B"),
    CLASSIC.replace("https://teams.microsoft.com", "HTTPS://Teams.Microsoft.com"),
    f"<{CLASSIC}>",
    f" {CLASSIC}\n",
]


@pytest.mark.parametrize("copy", COPIES)
def test_every_copy_of_a_link_has_the_same_key_and_series(copy: str) -> None:
    assert join_url_key(copy) == join_url_key(CLASSIC)
    assert series_id(copy) == series_id(CLASSIC)


def test_a_series_is_a_shortened_hash_of_the_key_and_another_links_is_another() -> None:
    assert hashlib.sha256(join_url_key(CLASSIC).encode()).hexdigest().startswith(series_id(CLASSIC))
    assert len(series_id(CLASSIC)) == 32
    assert series_id(CLASSIC) != series_id(SHORT)
    assert series_id("\ud800")
