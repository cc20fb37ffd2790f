"""Reading reports: all pages in order, with memory bounded by the page."""

import hashlib
import json
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.archive.reports import report_name
from shared.errors import AccessDenied, GraphError, NotFound, Refused, Unavailable
from shared.graph import verbatim_json
from shared.graph.client import Graph
from shared.graph.reports import MeetingReports, Report, list_reports, read_report

EVENTS = Path(__file__).parents[1] / "events"
REPORT_ID = "c9b6db1c-d5eb-427d-a5c0-20088d9b22d7"
WHERE = MeetingReports(
    "f4ba7bd6-4df1-47b2-b8f7-5ad1ea9d2a0f", "MSpm=*0", "https://teams.example/%3ameeting_A"
)
ADDRESS = f"users/{WHERE.organizer_id}/onlineMeetings/MSpm%3D%2A0/attendanceReports/{REPORT_ID}"
NEXT = "https://graph.microsoft.com/v1.0/next?$skiptoken="
RECORDS = "attendanceRecords"


class Pages(Graph):
    """A Graph with pages by address, as JSON text, which records requests."""

    def __init__(self, pages: dict[str, str]) -> None:
        self.asked: list[str] = []
        self._pages = pages

    @property
    def request_id(self) -> None:
        return None

    def get(self, path: str, operation: str) -> dict[str, Any]:
        self.asked.append(path)
        page: dict[str, Any] = verbatim_json.loads(self._pages[path])
        return page


def head(**changes: object) -> dict[str, Any]:
    """The report of events/attendance-report.json with changes."""
    content: dict[str, Any] = json.loads((EVENTS / "attendance-report.json").read_bytes())
    return content | changes


def record(number: int) -> dict[str, Any]:
    [one] = head()[RECORDS]
    return {**one, "id": f"{number * 7919 % 10_007:08d}", "totalAttendanceInSeconds": number}


def paged(
    report: dict[str, Any], size: int, *, link: str = f"{RECORDS}@odata.nextLink", expanded: bool = False
) -> Pages:
    """A Graph with `report` in pages of `size` records.

    Later pages are collections, or the report again.
    """
    records = report[RECORDS]
    pages: dict[str, str] = {}
    address = f"{ADDRESS}?$expand={RECORDS}"
    for start in range(0, max(len(records), 1), size):
        some = records[start : start + size]
        page = report | {RECORDS: some} if start == 0 or expanded else {"@odata.context": "c", "value": some}
        following = f"{NEXT}{start}" if start + size < len(records) else None
        pages[address] = json.dumps(page | ({link: following} if following else {}))
        address = following or address
    return Pages(pages)


def whole(graph: Graph) -> tuple[Report, bytes]:
    with read_report(graph, WHERE, REPORT_ID) as report:
        return report, report.body.read()


def documented_sha256(body: bytes) -> str:
    """The sha256 of a stored report as consumers are told to compute it."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items() if "@odata." not in key}
        return [plain(item) for item in value] if isinstance(value, list) else value

    def form(value: Any) -> bytes:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode("utf-8", "backslashreplace")

    def order(each: Any) -> tuple[str, bytes]:
        name = each.get("id") if isinstance(each, dict) else None
        return name if isinstance(name, str) else "", form(each)

    report = plain(json.loads(body))
    report[RECORDS].sort(key=order)
    return hashlib.sha256(form(report)).hexdigest()


LINKS = st.sampled_from([f"{RECORDS}@odata.nextLink", "@odata.nextLink"])


@given(count=st.integers(0, 23), size=st.integers(1, 25), link=LINKS, expanded=st.booleans())
def test_pages_of_any_size_and_form_join_to_the_same_report(
    count: int, size: int, link: str, expanded: bool
) -> None:
    records = [record(number) for number in range(count)]
    whole_one = head(totalParticipantCount=count, attendanceRecords=records)
    graph = paged(whole_one, size, link=link, expanded=expanded)
    report, body = whole(graph)
    assert json.loads(body) == whole_one
    assert (report.is_partial, report.records) == (False, count)
    assert len(graph.asked) == max(1, -(-count // size))
    assert report.size == len(body)
    assert report.sha256 == documented_sha256(body)


@given(st.permutations(range(8)), st.integers(1, 9))
def test_the_sha256_does_not_depend_on_order_and_pages(order: list[int], size: int) -> None:
    one, _ = whole(paged(head(attendanceRecords=[record(number) for number in range(8)]), 8))
    other, _ = whole(paged(head(attendanceRecords=[record(number) for number in order]), size))
    assert one.sha256 == other.sha256


ODD_RECORDS: list[Any] = [
    {"role": "Attendee"},
    {"role": "Presenter"},
    {"id": None, "role": "None", "emailAddress": "z" * 5_000},
    {"id": None, "role": "None", "emailAddress": "z" * 5_000 + "y"},
    {"id": 7},
    {"id": "same", "role": "Attendee", "displayName": "\ud83d"},
    {"id": "same", "role": "Attendee", "displayName": "\ue000"},
    {"id": "same", "role": "Attendee", "displayName": "Zoë"},
    {"id": "same", "role": "Attendee", "displayName": "Zoë"},
    None,
    "text",
]


@given(st.permutations(range(len(ODD_RECORDS))), st.integers(3, 12))  # two pages of equal ids repeat
def test_the_sha256_does_not_depend_on_the_order_of_records_without_an_id_or_with_equal_ids(
    order: list[int], size: int
) -> None:
    one, body = whole(paged(head(attendanceRecords=ODD_RECORDS), 12))
    other, _ = whole(paged(head(attendanceRecords=[ODD_RECORDS[number] for number in order]), size))
    assert one.sha256 == other.sha256 == documented_sha256(body)


def test_the_sha256_tells_one_more_second_of_attendance() -> None:
    one, _ = whole(paged(head(attendanceRecords=[record(1)]), 1))
    other, _ = whole(paged(head(attendanceRecords=[record(1) | {"totalAttendanceInSeconds": 2}]), 1))
    assert one.sha256 != other.sha256


def test_a_report_is_stored_as_graph_sent_it_property_for_property() -> None:
    sent = (EVENTS / "attendance-report.json").read_text()
    compact = json.dumps(json.loads(sent), separators=(",", ":"), ensure_ascii=False)
    report, body = whole(Pages({f"{ADDRESS}?$expand={RECORDS}": sent}))
    assert body.decode() == compact
    assert (report.id, report.size) == (REPORT_ID, len(body))
    assert (report.start, report.end) == (
        listed_one(head()).start,
        listed_one(head()).end,
    )


def test_unknown_properties_odd_numbers_and_annotations_stay() -> None:
    sent = (
        f'{{"id":"{REPORT_ID}",'
        '"new":{"a":[1.0,1E2,-0]},"meetingEndDateTime":"2026-11-23T10:00:00Z",'
        '"attendanceRecords@odata.count":1,"attendanceRecords":[{"id":"1","score":0.10,"@odata.type":"#x","é":"😀"}],'
        '"last":null}'
    )
    report, body = whole(Pages({f"{ADDRESS}?$expand={RECORDS}": sent}))
    assert body == sent.encode()
    assert report.sha256 == documented_sha256(body)


@pytest.mark.parametrize("link", [f"{RECORDS}@odata.nextLink", "@odata.nextLink"])
@pytest.mark.parametrize("expanded", [False, True])
def test_no_next_link_is_left_in_the_report(link: str, expanded: bool) -> None:
    records = [record(number) for number in range(5)]
    _, body = whole(paged(head(attendanceRecords=records), 2, link=link, expanded=expanded))
    assert b"nextLink" not in body
    assert body.count(b'"emailAddress"') == 5


@pytest.mark.parametrize("first", [{}, {RECORDS: None}])
def test_where_records_are_not_expanded_they_are_listed(first: dict[str, Any]) -> None:
    report = {name: value for name, value in head().items() if name != RECORDS} | first
    graph = Pages(
        {
            f"{ADDRESS}?$expand={RECORDS}": json.dumps(report),
            f"{ADDRESS}/{RECORDS}": json.dumps(
                {"value": [record(0), record(1)], "@odata.nextLink": f"{NEXT}2"}
            ),
            f"{NEXT}2": json.dumps({"value": [record(2)]}),
        }
    )
    found, body = whole(graph)
    assert json.loads(body) == report | {RECORDS: [record(0), record(1), record(2)]}
    assert found.sha256 == documented_sha256(body)


def test_a_report_of_nobody_is_a_report() -> None:
    report, body = whole(paged(head(totalParticipantCount=0, attendanceRecords=[]), 1))
    assert not report.is_partial
    assert json.loads(body)[RECORDS] == []
    assert report.sha256 == documented_sha256(body)


def test_records_without_an_id_are_kept_too() -> None:
    odd: list[Any] = [{"role": "None"}, None, "text", {"id": 7}, record(1)]
    _, body = whole(paged(head(attendanceRecords=odd), 2))
    assert json.loads(body)[RECORDS] == odd


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"id": ""},
        {"id": 7},
        {"meetingEndDateTime": None},
        {"meetingEndDateTime": "0001-01-01T00:00:00Z"},
        {"id": "another report"},
        {"meetingEndDateTime": "later"},
        {"meetingEndDateTime": "9999-12-31T23:59:59.9999999Z"},
        {RECORDS: {}},
        {RECORDS: "none"},
        {f"{RECORDS}@odata.nextLink": ""},
        {f"{RECORDS}@odata.nextLink": "next?$skiptoken=1"},
    ],
)
def test_a_report_that_is_not_whole_is_asked_for_again(changes: dict[str, Any]) -> None:
    with pytest.raises(Unavailable):
        whole(Pages({f"{ADDRESS}?$expand={RECORDS}": json.dumps(head(**changes))}))


@pytest.mark.parametrize("page", [{}, {"value": None}, {"value": {}}, {RECORDS: None}])
def test_a_page_without_a_list_of_records_is_not_passed_over(page: dict[str, Any]) -> None:
    first = head(**{f"{RECORDS}@odata.nextLink": f"{NEXT}1"})
    with pytest.raises(Unavailable):
        whole(Pages({f"{ADDRESS}?$expand={RECORDS}": json.dumps(first), f"{NEXT}1": json.dumps(page)}))


def test_a_page_that_comes_again_is_not_read_for_ever() -> None:
    first = head(**{f"{RECORDS}@odata.nextLink": f"{NEXT}1"})
    again = json.dumps({"value": [record(1)], "@odata.nextLink": f"{NEXT}1"})
    with pytest.raises(Unavailable, match="repeat"):
        whole(Pages({f"{ADDRESS}?$expand={RECORDS}": json.dumps(first), f"{NEXT}1": again}))


def test_a_report_nested_too_deeply_is_unavailable() -> None:
    deep = json.dumps(head(deep=0)).replace('"deep": 0', f'"deep":{"[" * 2_000}1{"]" * 2_000}')
    with pytest.raises(Unavailable, match="cannot be written"):
        whole(Pages({f"{ADDRESS}?$expand={RECORDS}": deep}))


@pytest.mark.parametrize(
    ("told", "participants"),
    [(2, 2), (0, 0), (None, 3), ("2", 3), (2.5, 3), (True, 3), ({}, 3), (-1, 3), (10**400, 3), (2**40, 3)],
)
def test_participants_are_those_that_graph_counts_else_the_records(told: object, participants: int) -> None:
    records = [record(number) for number in range(3)]
    report, _ = whole(paged(head(totalParticipantCount=told, attendanceRecords=records), 2))
    assert report.participants == participants
    assert report.is_partial == (participants != 3)


@pytest.mark.parametrize("told", [0, 2, 4, 250])
def test_a_reading_with_another_number_of_records_than_graph_counts_is_partial(told: int) -> None:
    records = [record(number) for number in range(3)]
    report, _ = whole(paged(head(totalParticipantCount=told, attendanceRecords=records), 3))
    assert (report.is_partial, report.records) == (True, 3)


@pytest.mark.parametrize("repeated", [record(1), {"id": None, "emailAddress": "a"}, {"role": "None"}])
def test_a_reading_with_one_record_on_two_pages_is_partial(repeated: dict[str, Any]) -> None:
    """Something was put in or taken out between two pages, and another record may have been passed over."""
    records = [record(0), repeated, repeated, record(3)]
    report, body = whole(paged(head(totalParticipantCount=4, attendanceRecords=records), 2))
    assert (report.is_partial, report.records) == (True, 3)
    assert json.loads(body)[RECORDS] == records  # as it came
    report, _ = whole(paged(head(totalParticipantCount=4, attendanceRecords=records), 4))
    assert (report.is_partial, report.records) == (False, 4)


def test_a_report_that_counts_people_and_shows_none_has_its_records_listed() -> None:
    report = head(totalParticipantCount=2, attendanceRecords=[])
    graph = Pages(
        {
            f"{ADDRESS}?$expand={RECORDS}": json.dumps(report),
            f"{ADDRESS}/{RECORDS}": json.dumps({"value": [record(0), record(1)]}),
        }
    )
    found, body = whole(graph)
    assert json.loads(body) == report | {RECORDS: [record(0), record(1)]}
    assert not found.is_partial
    assert found.sha256 == documented_sha256(body)


@pytest.mark.parametrize("refused", [NotFound, Refused, AccessDenied])
def test_a_report_whose_records_cannot_be_listed_either_is_partial(refused: type[GraphError]) -> None:
    class Refusing(Pages):
        def get(self, path: str, operation: str) -> dict[str, Any]:
            if path.endswith(f"/{RECORDS}"):
                raise refused(operation, "refused by Graph", status=404)
            return super().get(path, operation)

    report = head(totalParticipantCount=2, attendanceRecords=[])
    found, _ = whole(Refusing({f"{ADDRESS}?$expand={RECORDS}": json.dumps(report)}))
    assert (found.is_partial, found.records, found.participants) == (True, 0, 2)


def test_the_body_is_closed_with_its_context() -> None:
    report, _ = whole(paged(head(), 1))
    assert report.body.closed


class Crowd(Graph):
    """A Graph with a report of 20,000 people, with pages made on request."""

    people, size = 20_000, 100

    def __init__(self) -> None:
        # Few values and long ones, because measuring makes every allocation slow.
        self._person = json.dumps(record(0) | {"attendanceIntervals": [], "emailAddress": "x" * 500})

    def get(self, path: str, operation: str) -> dict[str, Any]:
        start = int(path.removeprefix(NEXT)) if path.startswith(NEXT) else 0
        names = range(start, min(start + self.size, self.people))
        records = ",".join(re.sub(r"0{8}", f"{name:08d}", self._person, count=1) for name in names)
        more = start + self.size < self.people
        link = f',"@odata.nextLink":"{NEXT}{start + self.size}"' if more else ""
        if start:
            text = f'{{"value":[{records}]{link}}}'
        else:
            text = json.dumps(head(totalParticipantCount=self.people, attendanceRecords=[])).replace(
                "[]}", f"[{records}]{link}}}"
            )
        page: dict[str, Any] = verbatim_json.loads(text)
        return page


def test_the_memory_for_a_report_of_20_000_people_follows_the_page() -> None:
    tracemalloc.start()
    try:
        with read_report(Crowd(), WHERE, REPORT_ID) as report:
            _, peak = tracemalloc.get_traced_memory()
            size = report.size
            assert sum(chunk.count(b'"emailAddress"') for chunk in lines(report)) == Crowd.people
    finally:
        tracemalloc.stop()
    assert size > 10_000_000
    assert peak < size / 3, f"{peak:,} bytes for a report of {size:,}"


def lines(report: Report) -> Iterator[bytes]:
    """The report in pieces that end where a record ends."""
    rest = b""
    while piece := report.body.read(1_000_000):
        *whole_ones, rest = (rest + piece).split(b"},{")
        yield from whole_ones
    yield rest


def listed_one(item: dict[str, Any]) -> Any:
    [one] = list_reports(Pages({WHERE.path: json.dumps({"value": [item]})}), WHERE)
    return one


def test_reports_are_listed_page_by_page_and_each_once() -> None:
    one, two = head(id="1"), head(id="2", meetingEndDateTime=None)
    graph = Pages(
        {
            WHERE.path: json.dumps({"value": [one, two], "@odata.nextLink": f"{NEXT}1"}),
            f"{NEXT}1": json.dumps({"value": [one, head(id="3")]}),
        }
    )
    found = list_reports(graph, WHERE)
    assert [each.id for each in found] == ["1", "2", "3"]
    assert [each.end is None for each in found] == [False, True, False]


def test_a_guid_is_one_report_in_either_case_and_another_id_is_not() -> None:
    ids = [REPORT_ID.upper(), REPORT_ID.lower(), "Abc", "abc"]
    graph = Pages({WHERE.path: json.dumps({"value": [head(id=each) for each in ids]})})
    assert [each.id for each in list_reports(graph, WHERE)] == [REPORT_ID.lower(), "Abc", "abc"]


def test_the_body_has_the_id_as_graph_wrote_it() -> None:
    report, body = whole(paged(head(id=REPORT_ID.upper()), 1))
    assert report.id == REPORT_ID.lower()
    assert json.loads(body)["id"] == REPORT_ID.upper() != REPORT_ID.lower()
    assert report_name(REPORT_ID.upper(), report.end) == report_name(report.id, report.end)


@pytest.mark.parametrize(
    "item", [7, None, {}, {"id": None}, {"id": ""}, {"id": 7}, {"id": "."}, {"id": ".."}, {"id": ["1"]}]
)
def test_a_listed_report_without_an_id_is_skipped_and_logged(
    item: object, caplog: pytest.LogCaptureFixture
) -> None:
    found = list_reports(
        Pages({WHERE.path: json.dumps({"value": [head(id="1"), item, head(id="2")]})}), WHERE
    )
    assert [each.id for each in found] == ["1", "2"]
    assert caplog.text.count("record.unreadable") == 1


@pytest.mark.parametrize("value", [None, 7, "soon", "1601-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_a_time_that_no_report_can_have_is_not_told(value: object) -> None:
    item = head(meetingStartDateTime=value, meetingEndDateTime=value)
    assert (listed_one(item).start, listed_one(item).end) == (None, None)
    report, _ = whole(paged(head(meetingStartDateTime=value), 1))
    assert report.start is None


def test_ids_are_encoded_once_in_the_address_and_verbatim_in_the_metadata() -> None:
    assert f"{WHERE.path}/{REPORT_ID}" == ADDRESS
    assert WHERE.metadata == {
        "source": "onlineMeeting",
        "meetingid": "MSpm=*0",
        "organizerid": "f4ba7bd6-4df1-47b2-b8f7-5ad1ea9d2a0f",
        "joinweburl": "https://teams.example/%3ameeting_A",
        "details": "",
    }
