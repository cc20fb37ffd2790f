"""The rules that a polite client of Graph keeps, as Microsoft's Dev Proxy checks them, on the product's own client.

Source: https://learn.microsoft.com/microsoft-cloud/dev/dev-proxy/technical-reference/overview
"""

import re
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from local.simulator.control.client import Control
from local.simulator.faults.responses import Fault
from local.simulator.tenant.orders import NewEvent, NewSession
from shared.errors import GraphError, Throttled
from shared.graph import events, invitees, meetings, reports
from shared.graph.client import Graph
from shared.graph.reports import EventReports, MeetingReports
from shared.graph.subscriptions import (
    NewSubscription,
    create_subscription,
    delete_subscription,
    list_subscriptions,
    renew_subscription,
)
from shared.limits import RateLimiter
from shared.messages.signals import EventKind
from tests.support import simulator_process
from tests.support.simulator_process import Endpoint, token
from tests.support.simulator_process import endpoint as endpoint
from tests.support.simulator_process import graph as graph
from tests.support.simulator_process import simulator as simulator

PERMISSIONS = Path(__file__).parents[2] / "docs" / "permissions.md"
# The least permission of an application for each address, from its page in Microsoft's reference.
LEAST = {
    r"communications/callRecords(/[^/?]+)?(\?.*)?": "CallRecords.Read.All",
    r"users/[^/]+/onlineMeetings\?.*": "OnlineMeetings.Read.All",
    r"users/[^/]+/onlineMeetings/[^/]+/attendanceReports.*": "OnlineMeetingArtifact.Read.All",
    r"solutions/virtualEvents/(webinars|townhalls)/[^/]+/sessions/[^/]+/attendanceReports.*": (
        "OnlineMeetingArtifact.Read.All"
    ),
    r"solutions/virtualEvents/(webinars|townhalls)(/[^/?]+(/sessions|/registrations)?)?(\?.*)?": (
        "VirtualEvent.Read.All"
    ),
    r"subscriptions(/[^/]+)?(\?.*)?": "",  # that of the resource, which is read too
}


@dataclass
class Client:
    """The product's client, and how long it slept."""

    control: Control
    sleeps: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.graph = Graph(self.control.url, lambda *_: token(), RateLimiter(1_000), sleep=self.sleeps.append)

    @property
    def paths(self) -> list[str]:
        return [call.path for call in self.control.calls()]


@pytest.fixture
def client(graph: simulator_process.Graph, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setenv("NO_PROXY", "*")
    return Client(graph.control)


def do_everything(client: Client, endpoint: Endpoint) -> None:
    """Each kind of call that the product makes, with pages where there are any."""
    control, graph = client.control, client.graph
    control.change_settings(recordPageSize=20, reportPageSize=1, subscriptionPageSize=1, eventPageSize=1)
    meeting = control.add_meeting()
    made = control.add_session(NewSession(meeting.meeting_id, participants=50))
    record = meetings.get_call_record(graph, made.call_id)
    assert record.organizer_id
    assert record.join_url
    list(graph.list_pages("communications/callRecords", "list call records"))
    meeting_id = meetings.find_online_meeting(graph, record.organizer_id, record.join_url).id
    where = MeetingReports(record.organizer_id, meeting_id)
    read_all(graph, where)
    event = control.add_event(NewEvent(sessions=2, registered=3))
    control.add_session(NewSession(event.sessions[0].meeting_id, participants=50))
    found = events.get_event(graph, EventKind(event.kind), event.event_id)
    list(graph.list_pages(events.event_path(found.kind), "list events"))
    for session in events.list_sessions(graph, found):
        read_all(graph, EventReports(session.session))
        invitees.list_registrations(graph, session.session)
    for resource in ("communications/callRecords", "solutions/virtualEvents/events"):
        new = NewSubscription(resource, "created", endpoint.url, endpoint.url, "s" * 32, timedelta(hours=1))
        create_subscription(graph, new)
    for subscription in list_subscriptions(graph):
        renew_subscription(graph, subscription, timedelta(hours=2))
        delete_subscription(graph, subscription.id)


def read_all(graph: Graph, where: MeetingReports | EventReports) -> None:
    for each in reports.list_reports(graph, where):
        with reports.read_report(graph, where, each.id) as report:
            assert report.size


def test_a_resource_that_is_throttled_is_not_asked_before_its_retry_after_is_over(client: Client) -> None:
    paths = [
        "communications/callRecords",
        "communications/callRecords?$filter=startDateTime%20ge%202026-01-01Z",
    ]
    client.control.add_fault(Fault("callRecords", status=429, headers={"Retry-After": "300"}))
    for path in paths * 3:
        with pytest.raises(Throttled) as caught:
            client.graph.get(path, "list call records")
        assert 290 < caught.value.retry_after <= 300
    assert client.paths == ["/v1.0/communications/callRecords"]
    assert client.graph.get("subscriptions", "list subscriptions")["value"] == []  # which nobody throttled


def test_no_thread_asks_while_another_waits_for_the_retry_after(client: Client) -> None:
    waits, go_on = threading.Event(), threading.Event()
    client.control.add_fault(Fault("callRecords", status=429, headers={"Retry-After": "7"}))

    def wait(seconds: float) -> None:
        client.sleeps.append(seconds)
        waits.set()
        assert go_on.wait(20)

    graph = Graph(client.control.url, lambda *_: token(), RateLimiter(1_000), sleep=wait)
    threads = [
        threading.Thread(target=graph.get, args=("communications/callRecords", "list")) for _ in range(2)
    ]
    threads[0].start()
    assert waits.wait(20)
    threads[1].start()
    while len(client.sleeps) < 2:
        threads[1].join(0.01)
    assert len(client.paths) == 1
    assert 6 < client.sleeps[1] <= 7
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert [call.status for call in client.control.calls()] == [429, 200, 200]


def test_each_request_has_an_id_of_its_own(client: Client, endpoint: Endpoint) -> None:
    client.control.add_fault(Fault(".", status=503, headers={"Retry-After": "0"}))
    do_everything(client, endpoint)
    ids = [UUID(call.client_request_id) for call in client.control.calls()]
    assert len(set(ids)) == len(ids) > 20


def test_only_the_next_links_that_graph_gave_are_followed(
    client: Client, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: set[str] = set()
    get = client.graph.get

    def noted(path: str, operation: str) -> dict[str, object]:
        page = get(path, operation)
        given.update(str(link) for name, link in page.items() if name.endswith("nextLink"))
        return page

    monkeypatch.setattr(client.graph, "get", noted)
    do_everything(client, endpoint)
    made_up = re.compile(r"[?&](\$|%24)(skip|skiptoken|top|count)=", re.IGNORECASE)
    followed = {f"{client.control.url}{path}" for path in client.paths if made_up.search(path)}
    assert followed == given
    assert len(followed) > 5


def test_a_next_link_to_another_address_is_asked_for_nothing(client: Client) -> None:
    elsewhere = "http://127.0.0.1:9/v1.0/subscriptions?$skiptoken=2"
    body = {"value": [], "@odata.nextLink": elsewhere}
    client.control.add_fault(Fault("subscriptions", status=200, body=body))
    with pytest.raises(GraphError, match="next link is not"):
        list_subscriptions(client.graph)
    assert len(client.paths) == 1


def test_no_more_is_granted_than_the_least_that_the_called_addresses_need(
    client: Client, endpoint: Endpoint
) -> None:
    do_everything(client, endpoint)
    needed = set()
    for path in client.paths:
        below = re.sub(r"\A/(v1\.0|beta)/", "", path)
        (permission,) = [each for shape, each in LEAST.items() if re.fullmatch(shape, below)]
        needed.add(permission)
    table = PERMISSIONS.read_text().partition("## Permissions in Microsoft Graph")[2]
    assert needed - {""} == set(re.findall(r"^\| `(\w+\.\w+(?:\.\w+)*)` \|", table, re.MULTILINE))
