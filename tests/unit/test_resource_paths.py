"""Report addresses: ids are read by shape, and requested under our own address."""

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.graph import reports
from shared.messages import resource_paths
from shared.messages.envelope import OPAQUE_ID
from shared.messages.resource_paths import EventReportIds, MeetingReportIds
from shared.messages.signals import EVENT_ID, EventKind, EventSession

USER = "8b081ef6-4792-4def-b2c9-c363a1bf41d5"
MEETING = "MSo4YjA4+/w=="
OLDER = "8b081ef6_19:meeting_A@thread.skype"
EVENT = "f5b19e0c-2f1d-4b1c@7f1d3c52-0a86"
REPORT = "c9b6db1c-d5eb-427d"

IDS = st.from_regex(EVENT_ID, fullmatch=True)


class Asked:
    """Notes the path that is asked for."""

    def __init__(self) -> None:
        self.path = ""

    def get(self, path: str, operation: str) -> dict[str, Any]:
        assert operation
        self.path = path
        return {"id": REPORT, "attendanceRecords": [{"id": "a"}]}

    def follow_links(self, link: object, operation: str) -> list[dict[str, Any]]:
        assert link is None
        return []


def asked(address: str, **query: Any) -> str:
    found = resource_paths.parse_report_address(address)
    assert found
    graph: Any = Asked()
    reports.fetch_report(graph, reports.locate_report(found), found.report_id, **query)
    return str(graph.path)


@pytest.mark.parametrize(
    "root", ["", "/", "/v1.0/", "beta/", "https://graph.microsoft.com/v1.0/", "https://graph.microsoft.us/"]
)
def test_the_same_report_by_any_root(root: str) -> None:
    below = f"users/{USER}/onlineMeetings/{quote(MEETING, safe='')}/attendanceReports/{REPORT}"
    assert resource_paths.parse_report_address(f"{root}{below}") == MeetingReportIds(USER, MEETING, REPORT)
    assert resource_paths.parse_report_address(
        f"{root}{below}?$expand=attendanceRecords"
    ) == MeetingReportIds(USER, MEETING, REPORT)


def test_the_address_of_an_own_report_has_no_user() -> None:
    address = f"/me/onlineMeetings/{quote(OLDER, safe='')}/attendanceReports/{REPORT}"
    assert resource_paths.parse_report_address(address) == MeetingReportIds(None, OLDER, REPORT)
    assert resource_paths.parse_report_address(f"me/onlineMeetings('{OLDER}')/attendanceReports('{REPORT}')")


@pytest.mark.parametrize("kind", EventKind)
def test_the_address_of_an_events_report_names_event_and_session(kind: EventKind) -> None:
    address = f"/solutions/virtualEvents/{kind}s/{EVENT}/sessions/s-1/attendanceReports/{REPORT}"
    expected = EventReportIds(EventSession(kind, EVENT, "s-1"), REPORT)
    assert (
        resource_paths.parse_report_address(address)
        == resource_paths.parse_report_address(address.replace("@", "%40"))
        == expected
    )
    assert asked(address, expand=False) == quote(address.strip("/"), safe="/")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "/",
        "users",
        f"/me/onlineMeetings//attendanceReports/{REPORT}",
        f"/me/onlineMeetings/{MEETING}/attendanceReports/..",
        f"/me/onlineMeetings/{MEETING}/attendanceReports/{REPORT}/attendanceRecords",
        f"/users/../onlineMeetings/a/attendanceReports/{REPORT}",
        f"http://example.com/me/onlineMeetings/a/attendanceReports/{REPORT}",
        f"/solutions/virtualEvents/parties/e/sessions/s/attendanceReports/{REPORT}",
        f"/solutions/virtualEvents/webinars/e/sessions/%2e%2e/attendanceReports/{REPORT}",
    ],
)
def test_another_shape_is_no_address(address: str) -> None:
    assert resource_paths.parse_report_address(address) is None


@given(
    event=IDS, session=IDS, report=st.from_regex(OPAQUE_ID, fullmatch=True), kind=st.sampled_from(EventKind)
)
def test_ids_are_encoded_exactly_once(event: str, session: str, report: str, kind: EventKind) -> None:
    path = reports.EventReports(EventSession(kind, event, session)).path + "/" + quote(report, safe="")
    assert "%25" not in path
    assert resource_paths.parse_report_address(path) == EventReportIds(
        EventSession(kind, event, session), report
    )
    assert asked(path, expand=False) == path


def test_the_query_says_what_is_wanted() -> None:
    address = f"/me/onlineMeetings/a/attendanceReports/{REPORT}"
    assert asked(address).endswith("?$expand=attendanceRecords")
    assert asked(address, expand=False).endswith(REPORT)
    assert asked(address, select=["id", "totalParticipantCount"]).endswith(
        "?$expand=attendanceRecords&$select=id,totalParticipantCount"
    )
    for bad in ("", "$x", "a b", "a,b", "a/b"):
        with pytest.raises(ValueError, match="is not a property name"):
            asked(address, select=[bad])


@pytest.mark.parametrize(
    ("call", "path"),
    [
        (
            lambda graph: reports.my_meeting_report(graph, MEETING, REPORT),
            "me/onlineMeetings/MSo4YjA4%2B%2Fw%3D%3D",
        ),
        (lambda graph: reports.meeting_report(graph, USER, MEETING, REPORT), f"users/{USER}/onlineMeetings/"),
        (
            lambda graph: reports.webinar_report(graph, EVENT, "s", REPORT),
            "solutions/virtualEvents/webinars/",
        ),
        (
            lambda graph: reports.townhall_report(graph, EVENT, "s", REPORT),
            "solutions/virtualEvents/townhalls/",
        ),
    ],
)
def test_each_address_has_a_function(call: Any, path: str) -> None:
    graph: Any = Asked()
    assert call(graph)["attendanceRecords"] == [{"id": "a"}]
    assert graph.path.startswith(path)
