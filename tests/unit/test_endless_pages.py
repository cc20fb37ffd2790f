"""Pages that repeat, never end or belong to something else: each list ends with a clear error."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests import Request

from shared.errors import Unavailable
from shared.graph import client as client_module
from shared.graph import events, meetings, subscriptions
from shared.graph.client import MAX_EMPTY_PAGES, Graph, is_segment, next_link, segment
from shared.graph.reports import MORE_RECORDS, MOST_RECORDS, MeetingReports, read_report
from shared.messages.signals import EventKind, EventSession

ROOT = "https://graph.example/v1.0/next?$skiptoken="
WHERE = MeetingReports("f4ba7bd6-4df1-47b2-b8f7-5ad1ea9d2a0f", "MSpm")
END = "2026-11-23T10:00:00Z"


class Endless(Graph):
    """A Graph whose page `number` is made when it is asked for; a link is a number, or another address."""

    def __init__(self, page: Callable[[int], dict[str, Any]]) -> None:
        self._page = page
        self.asked = 0

    @property
    def request_id(self) -> None:
        return None

    def get(self, path: str, operation: str) -> dict[str, Any]:
        self.asked += 1
        assert self.asked < 20_000, "it never ends"
        return self._page(int(path.removeprefix(ROOT)) if path.startswith(ROOT) else 0)


def page(ids: list[Any], link: int | None) -> dict[str, Any]:
    return {"value": [{"id": each} for each in ids]} | (
        {} if link is None else {"@odata.nextLink": f"{ROOT}{link}"}
    )


@given(lead=st.integers(0, 20), length=st.integers(1, 20), size=st.integers(1, 3))
def test_a_cycle_of_any_length_ends_whether_its_links_are_new_or_not(
    lead: int, length: int, size: int
) -> None:
    def position(number: int) -> int:
        return number if number < lead else lead + (number - lead) % length

    def same_links(number: int) -> dict[str, Any]:
        return page([f"{number}-{each}" for each in range(size)], position(number + 1))

    def new_links(number: int) -> dict[str, Any]:
        return page([f"{position(number)}-{each}" for each in range(size)], number + 1)

    for form in (same_links, new_links):
        graph = Endless(form)
        with pytest.raises(Unavailable, match="the pages repeat"):
            list(graph.list_pages("things", "list things"))
        assert graph.asked <= 4 * (lead + length) + 4


def test_pages_without_entries_whose_links_are_new_end() -> None:
    graph = Endless(lambda number: page([], number + 1))
    with pytest.raises(Unavailable, match="too many pages"):
        list(graph.list_pages("things", "list things"))
    assert graph.asked <= MAX_EMPTY_PAGES + 3


def test_some_pages_without_entries_are_gone_through() -> None:
    graph = Endless(lambda number: page([] if number % 10 else [number], number + 1 if number < 95 else None))
    assert len(list(graph.list_pages("things", "list things"))) == 96


def test_entries_that_come_again_in_another_order_are_a_page_that_repeats() -> None:
    orders = itertools.cycle([["a", "b"], ["b", "a"]])
    graph = Endless(lambda number: page(next(orders), number + 1))
    with pytest.raises(Unavailable, match="the pages repeat"):
        list(graph.list_pages("things", "list things"))


@pytest.mark.parametrize("entry", [None, 7, "x", {"id": None, "role": "x"}, {}, ["x"]])
def test_entries_without_an_id_are_told_by_what_they_hold(entry: object) -> None:
    graph = Endless(lambda number: {"value": [entry], "@odata.nextLink": f"{ROOT}{number + 1}"})
    with pytest.raises(Unavailable, match="the pages repeat"):
        list(graph.list_pages("things", "list things"))


def test_pages_that_are_all_new_end_at_their_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_PAGES", 50)
    graph = Endless(lambda number: page([number], number + 1))
    with pytest.raises(Unavailable, match="too many pages"):
        list(graph.list_pages("things", "list things"))
    assert graph.asked == 52


@pytest.mark.parametrize("count", [0, 7, -1])
def test_records_far_beyond_what_the_report_counts_end(count: int) -> None:
    def records(number: int) -> dict[str, Any]:
        content = page([f"{number}-{each}" for each in range(100)], number + 1)
        head = {"id": "r", "meetingEndDateTime": END, "totalParticipantCount": count}
        return (
            content
            if number
            else head
            | {"attendanceRecords": content["value"]}
            | {"attendanceRecords@odata.nextLink": content["@odata.nextLink"]}
        )

    graph = Endless(records)
    with pytest.raises(Unavailable, match="far more than the report counts"), read_report(graph, WHERE, "r"):
        pass
    assert graph.asked <= (MOST_RECORDS * max(count, 0) + MORE_RECORDS) / 100 + 1


@pytest.mark.parametrize(
    "names",
    [
        ["sessions@odata.nextLink"],
        ["attendancerecords@odata.nextLink"],
        ["@odata.nextlink"],
        ["value@odata.nextLink"],
        ["odata.nextLink"],
        ["@odata.nextLink", "sessions@odata.nextLink"],
    ],
)
def test_a_page_with_a_next_link_that_is_not_its_own_is_not_the_last_one(names: list[str]) -> None:
    with pytest.raises(Unavailable, match="not its own"):
        list(
            Endless(lambda _: {"value": [], **dict.fromkeys(names, f"{ROOT}1")}).list_pages(
                "things", "list things"
            )
        )


def test_of_two_next_links_that_differ_neither_is_followed() -> None:
    both = {"@odata.nextLink": "https://a/1", "attendanceRecords@odata.nextLink": "https://a/2"}
    with pytest.raises(Unavailable, match="not its own"):
        next_link(both)
    assert next_link(dict.fromkeys(both, "https://a/1")) == "https://a/1"
    assert next_link(dict.fromkeys(both) | {"@odata.nextLink": "https://a/1"}) == "https://a/1"


BAD_ENTRIES: list[Any] = [
    None,
    7,
    "x",
    [],
    {},
    {"id": None},
    {"id": ""},
    {"id": 7},
    {"id": ".."},
    {"id": "."},
]


@pytest.mark.parametrize("bad", BAD_ENTRIES)
def test_one_bad_entry_of_a_list_is_skipped_and_the_others_are_read(
    bad: object, caplog: pytest.LogCaptureFixture
) -> None:
    def among(*good: dict[str, Any]) -> Endless:
        return Endless(lambda _: {"value": [bad, *good]})

    event = events.VirtualEvent(EventKind.WEBINAR, "e", None, None, None, "")
    sessions = events.list_sessions(among({"id": "s"}), event)
    assert [each.session for each in sessions] == [EventSession(EventKind.WEBINAR, "e", "s")]
    good = {
        "id": "s",
        "resource": "r",
        "changeType": "created",
        "notificationUrl": "https://a",
        "expirationDateTime": END,
    }
    assert [each.id for each in subscriptions.list_subscriptions(among(good))] == ["s"]
    assert caplog.text.count("record.unreadable") == 2
    assert meetings.find_online_meeting(among({"id": "m"}), "o", "https://a").id == "m"


@pytest.mark.parametrize("bad", BAD_ENTRIES)
def test_a_look_up_that_finds_only_bad_entries_is_asked_for_again(bad: object) -> None:
    with pytest.raises(Unavailable, match="no id"):
        meetings.find_online_meeting(Endless(lambda _: {"value": [bad]}), "o", "https://a")


def test_a_webinar_is_read_also_where_it_comes_inside_a_value() -> None:
    def read_event(answer: dict[str, Any]) -> str:
        return events.get_event(Endless(lambda _: answer), EventKind.WEBINAR, "e").id

    for answer in ({"id": "e"}, {"value": {"id": "e"}}, {"id": "e", "value": {"id": "other"}}):
        assert read_event(answer) == "e"
    with pytest.raises(Unavailable, match="no id"):
        read_event({"value": [{"id": "e"}]})


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_what_would_change_an_address_is_no_segment_of_one(value: str) -> None:
    assert not is_segment(value)
    with pytest.raises(ValueError, match="cannot be an id"):
        segment(value)


@pytest.mark.parametrize(
    "value", ["a/../b", "%2e%2e", "%2F", "../..", "a?b", "a#b", "...", "a b", "\\", "%", "\x00"]
)
def test_an_id_arrives_as_one_segment_whatever_it_holds(value: str) -> None:
    for path in (segment(value), f"{segment(value)}/reports"):
        url = Request("GET", f"https://graph.example/v1.0/users/{path}").prepare().url
        assert url == f"https://graph.example/v1.0/users/{path}"
    assert "/" not in segment(value)
