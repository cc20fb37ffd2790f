"""A process of `benchmarks.archiving`: the same job with Microsoft's SDKs.

It uses `msgraph-sdk` and `azure-storage-blob`, and none of the product.

Reads a list of calls on stdin; writes what it took as JSON.
"""

import asyncio
import json
import os
import sys
import time
from typing import Any

import httpx
from azure.identity.aio import ManagedIdentityCredential
from azure.storage.blob.aio import ContainerClient
from kiota_abstractions.authentication import (
    AccessTokenProvider,
    AllowedHostsValidator,
    BaseBearerTokenAuthenticationProvider,
)
from kiota_abstractions.base_request_configuration import RequestConfiguration
from kiota_serialization_json.json_serialization_writer import JsonSerializationWriter
from msgraph.generated.users.item.online_meetings.item.attendance_reports.item import (
    meeting_attendance_report_item_request_builder as builder,
)
from msgraph.generated.users.item.online_meetings.online_meetings_request_builder import (
    OnlineMeetingsRequestBuilder,
)
from msgraph.graph_request_adapter import GraphRequestAdapter, options
from msgraph.graph_service_client import GraphServiceClient
from msgraph_core import GraphClientFactory

Filter = OnlineMeetingsRequestBuilder.OnlineMeetingsRequestBuilderGetQueryParameters
Item = builder.MeetingAttendanceReportItemRequestBuilder
Expand = Item.MeetingAttendanceReportItemRequestBuilderGetQueryParameters


class Token(AccessTokenProvider):
    """A token that was got once."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def get_authorization_token(self, *_: Any, **__: Any) -> str:
        return self._token

    def get_allowed_hosts_validator(self) -> AllowedHostsValidator:
        return AllowedHostsValidator([])


async def archive(client: GraphServiceClient, container: ContainerClient, job: dict[str, str]) -> None:
    """From a call to its stored report."""
    await client.communications.call_records.by_call_record_id(job["call"]).get()
    meetings = client.users.by_user_id(job["organizer"]).online_meetings
    found = await meetings.get(
        RequestConfiguration(query_parameters=Filter(filter=f"JoinWebUrl eq '{job['url']}'"))
    )
    reports = meetings.by_online_meeting_id(found.value[0].id).attendance_reports
    for listed in (await reports.get()).value:
        expand = RequestConfiguration(query_parameters=Expand(expand=["attendanceRecords"]))
        report = await reports.by_meeting_attendance_report_id(listed.id).get(expand)
        writer = JsonSerializationWriter()
        report.serialize(writer)
        day = report.meeting_end_date_time.date()
        name = f"sdk/date={day}/{report.id}.json"
        await container.upload_blob(name, json.dumps(writer.writer, default=str), overwrite=True)
        await container.upload_blob(f"sdk/outcomes/{job['call']}.json", json.dumps(job), overwrite=True)


async def main() -> None:
    jobs = json.loads(sys.stdin.read())
    async with (
        ManagedIdentityCredential(client_id=os.environ["AZURE_CLIENT_ID"]) as identity,
        ContainerClient(
            os.environ["AttendanceStorage__blobServiceUri"], os.environ["ATTENDANCE_CONTAINER"], identity
        ) as container,
        httpx.AsyncHTTPTransport() as transport,
    ):
        token = await identity.get_token("https://graph.microsoft.com/.default")
        native = httpx.AsyncClient(transport=transport)
        http = GraphClientFactory.create_with_default_middleware(client=native, options=options)
        adapter = GraphRequestAdapter(BaseBearerTokenAuthenticationProvider(Token(token.token)), http)
        adapter.base_url = f"{os.environ['GRAPH_ROOT']}/v1.0"
        client = GraphServiceClient(request_adapter=adapter)
        await archive(client, container, jobs[0])
        cpu, wall = time.process_time(), time.monotonic()
        for job in jobs:
            await archive(client, container, job)
        print(json.dumps({"cpu": time.process_time() - cpu, "seconds": time.monotonic() - wall}))


if __name__ == "__main__":
    asyncio.run(main())
