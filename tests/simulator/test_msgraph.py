"""Microsoft's own client reads the simulator."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from local.simulator.tenant.orders import NewEvent, NewMeeting, NewSession
from tests.support.simulator_process import Graph
from tests.support.simulator_process import graph as graph
from tests.support.simulator_process import simulator as simulator

if TYPE_CHECKING:
    from msgraph.generated.models.attendance_record import AttendanceRecord
    from msgraph.graph_service_client import GraphServiceClient

PEOPLE = 8

pytestmark = [
    pytest.mark.heavy("msgraph-sdk is 200 MB, and takes seconds to load"),
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning:msgraph", "ignore::DeprecationWarning:kiota_abstractions"
    ),
]


@asynccontextmanager
async def official(graph: Graph) -> AsyncIterator["GraphServiceClient"]:
    """Microsoft's client for the simulator."""
    # Imported here: 16,000 modules take their time, and only these tests need them.
    import httpx
    from kiota_abstractions.authentication import (
        AccessTokenProvider,
        AllowedHostsValidator,
        BaseBearerTokenAuthenticationProvider,
    )
    from msgraph.graph_request_adapter import GraphRequestAdapter, options
    from msgraph.graph_service_client import GraphServiceClient
    from msgraph_core import GraphClientFactory  # type: ignore[import-untyped]

    class StaticToken(AccessTokenProvider):
        async def get_authorization_token(
            self, uri: str, additional_authentication_context: object = None
        ) -> str:
            return graph.token

        def get_allowed_hosts_validator(self) -> AllowedHostsValidator:
            return AllowedHostsValidator([])

    # The SDK never closes the transport that its own wraps, so this one is ours to close.
    async with httpx.AsyncHTTPTransport() as transport:
        native = httpx.AsyncClient(transport=transport)
        http = GraphClientFactory.create_with_default_middleware(client=native, options=options)
        adapter = GraphRequestAdapter(BaseBearerTokenAuthenticationProvider(StaticToken()), http)
        adapter.base_url = f"{graph.control.url}/v1.0"
        yield GraphServiceClient(request_adapter=adapter)


def test_the_official_sdk_finds_a_meeting_and_reads_all_records_of_its_report(graph: Graph) -> None:
    from kiota_abstractions.base_request_configuration import RequestConfiguration
    from msgraph.generated.users.item.online_meetings.item.attendance_reports.item import (
        meeting_attendance_report_item_request_builder as item,
    )
    from msgraph.generated.users.item.online_meetings.online_meetings_request_builder import (
        OnlineMeetingsRequestBuilder as Meetings,
    )

    meeting = graph.control.add_meeting(NewMeeting(kind="recurring"))
    session = graph.control.add_session(NewSession(meeting_id=meeting.meeting_id, participants=PEOPLE))
    graph.control.change_settings(recordPageSize=3)

    async def read() -> tuple[str | None, list["AttendanceRecord"]]:
        async with official(graph) as client:
            meetings = client.users.by_user_id(meeting.organizer_id).online_meetings
            # The SDK escapes the value of $filter once, which is the escaping that the documentation asks for.
            wanted = Meetings.OnlineMeetingsRequestBuilderGetQueryParameters(
                filter=f"JoinWebUrl eq '{meeting.join_web_url}'"
            )
            found = await meetings.get(RequestConfiguration(query_parameters=wanted))
            assert found is not None
            assert found.value is not None
            assert [each.id for each in found.value] == [meeting.meeting_id]
            reports = meetings.by_online_meeting_id(meeting.meeting_id).attendance_reports
            listed = await reports.get()
            assert listed is not None
            assert [each.id for each in listed.value or []] == [session.report_id]
            builder = reports.by_meeting_attendance_report_id(session.report_id)
            parameters = item.MeetingAttendanceReportItemRequestBuilder
            expand = parameters.MeetingAttendanceReportItemRequestBuilderGetQueryParameters(
                expand=["attendanceRecords"]
            )
            report = await builder.get(RequestConfiguration(query_parameters=expand))
            assert report is not None
            records = list(report.attendance_records or [])
            following = report.additional_data["attendanceRecords@odata.nextLink"]
            while following:
                page = await builder.attendance_records.with_url(following).get()
                assert page is not None
                records += page.value or []
                following = page.odata_next_link
            return report.id, records

    report_id, records = asyncio.run(read())
    truth = json.loads(graph.control.true_report(session.report_id))
    assert report_id == session.report_id
    assert [
        (each.id, each.role, each.email_address, each.total_attendance_in_seconds) for each in records
    ] == [
        (each["id"], each["role"], each["emailAddress"], each["totalAttendanceInSeconds"])
        for each in truth["attendanceRecords"]
    ]
    assert len(records) == PEOPLE
    names = [each.identity.display_name for each in records if each.identity]
    assert names == [each["identity"].get("displayName") for each in truth["attendanceRecords"]]


def test_the_official_sdk_reads_a_webinar_its_session_and_who_registered(graph: Graph) -> None:
    from msgraph.generated.models.virtual_event_webinar import VirtualEventWebinar

    start = datetime(2026, 7, 1, 12, tzinfo=UTC)
    event = graph.control.add_event(NewEvent(start=start, time_zone="India Standard Time"))
    meeting = event.sessions[0].meeting_id
    made = graph.control.add_session(NewSession(meeting_id=meeting, participants=PEOPLE))

    async def read() -> list["AttendanceRecord"]:
        async with official(graph) as client:
            webinars = client.solutions.virtual_events.webinars
            page = await webinars.get()
            assert page is not None
            assert page.value
            assert all(isinstance(each, VirtualEventWebinar) for each in page.value)
            one = webinars.by_virtual_event_webinar_id(event.event_id)
            webinar = await one.get()
            assert webinar is not None
            assert webinar.start_date_time is not None
            assert webinar.start_date_time.date_time == "2026-07-01T17:30:00"
            listed = await one.sessions.get()
            assert listed is not None
            (session,) = listed.value or []
            assert session.join_web_url == event.sessions[0].join_web_url
            assert session.end_date_time is not None
            assert session.end_date_time.time_zone == "India Standard Time"
            reports = one.sessions.by_virtual_event_session_id(session.id or "").attendance_reports
            records = await reports.by_meeting_attendance_report_id(made.report_id).attendance_records.get()
            assert records is not None
            return list(records.value or [])

    records = asyncio.run(read())
    truth = json.loads(graph.control.true_report(made.report_id))["attendanceRecords"]
    assert [each.registration_id for each in records] == [each["registrationId"] for each in truth]
    assert any(each.registration_id for each in records)
