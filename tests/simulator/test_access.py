"""The simulated Graph: who may call it, refusals, throttling and faults."""

import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import requests

from local.simulator.faults.responses import Action, Fault
from local.simulator.tenant.orders import NewEvent, NewPast, NewSession
from local.simulator.tenant.world import World
from tests.support.simulator_process import AUDIENCE, Graph, token
from tests.support.simulator_process import graph as graph
from tests.support.simulator_process import simulator as simulator

LIST = "/communications/callRecords"


@pytest.mark.parametrize(
    "wrong",
    [
        token("https://storage.azure.com"),
        token(lifetime=-60),
        token(nbf=time.time() + 3600),
        "not.a.token",
        "",
    ],
)
def test_a_wrong_token_is_refused(graph: Graph, wrong: str) -> None:
    refused = replace(graph, token=wrong).get(LIST)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "InvalidAuthenticationToken")


def test_the_audience_may_end_in_a_slash(graph: Graph) -> None:
    assert replace(graph, token=token(AUDIENCE + "/")).get(LIST).ok


def test_every_reply_carries_the_request_ids(graph: Graph) -> None:
    reply = graph.get("/nothing/here", headers={"client-request-id": "mine"})
    inner = reply.json()["error"]["innerError"]
    assert reply.status_code == 400
    assert reply.headers["client-request-id"] == inner["client-request-id"] == "mine"
    assert reply.headers["request-id"] == inner["request-id"]
    assert "Date" in reply.headers
    assert graph.get(LIST).headers["Content-Type"].startswith("application/json;odata.metadata=minimal;")


def test_the_41st_call_for_a_call_record_within_20_seconds_is_throttled(graph: Graph) -> None:
    call = graph.control.add_session(NewSession()).call_id
    statuses = [graph.get(f"{LIST}/{call}").status_code for _ in range(41)]
    assert statuses == [200] * 40 + [429]
    refused = graph.get(f"{LIST}/{call}")
    assert 1 <= int(refused.headers["Retry-After"]) <= 20
    graph.control.change_settings(throttling=False)
    assert graph.get(f"{LIST}/{call}").ok


def test_a_fault_hits_the_first_matching_call_and_is_used_up(graph: Graph) -> None:
    graph.control.add_fault(Fault(path="callRecords$", status=503, headers={"Retry-After": "7"}, times=2))
    assert graph.get("/subscriptions").ok
    refused = [graph.get(LIST) for _ in range(3)]
    assert [each.status_code for each in refused] == [503, 503, 200]
    assert refused[0].headers["Retry-After"] == "7"
    assert refused[0].json()["error"]["code"] == "ServiceUnavailable"


def test_a_fault_answers_any_body(graph: Graph) -> None:
    graph.control.add_fault(Fault(path=".", status=200, body="<html>"))
    graph.control.add_fault(Fault(path=".", status=200, body={"value": [1]}))
    assert [graph.get(LIST).text for _ in range(2)] == ["<html>", '{"value": [1]}']


@pytest.mark.parametrize("action", ["reset", "cut"])
def test_a_connection_breaks_off(graph: Graph, action: str) -> None:
    graph.control.add_fault(Fault(path=".", action=action))  # type: ignore[arg-type]
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        graph.get(LIST)
    assert graph.get(LIST).ok


def test_a_garbled_reply_is_not_json(graph: Graph) -> None:
    graph.control.add_fault(Fault(path=".", action="garble"))
    reply = graph.get(LIST)
    assert reply.status_code == 200
    with pytest.raises(requests.exceptions.JSONDecodeError):
        reply.json()


def test_a_call_hangs_until_the_client_leaves(graph: Graph) -> None:
    graph.control.add_fault(Fault(path=".", action="hang"))
    with pytest.raises(requests.ReadTimeout):
        requests.get(graph.control.url + "/v1.0/subscriptions", timeout=0.2)


def test_a_reply_is_delayed(graph: Graph) -> None:
    graph.control.add_fault(Fault(path=".", action="delay", seconds=0.3))
    started = time.monotonic()
    assert graph.get(LIST).ok
    assert time.monotonic() - started >= 0.3


def test_a_reply_drips_a_byte_at_a_time(graph: Graph) -> None:
    graph.control.add_fault(Fault(path=".", action="drip", seconds=0.005, status=200, body={"value": []}))
    started = time.monotonic()
    assert graph.json(LIST) == {"value": []}
    assert time.monotonic() - started >= 0.05


def test_a_reply_is_padded_and_packed_as_often_as_its_header_says(graph: Graph) -> None:
    graph.control.add_fault(Fault(path=".", action="headers", encoding="gzip, gzip", pad=1_000_000))
    reply = graph.get(LIST)
    assert reply.headers["Content-Encoding"] == "gzip, gzip"
    assert int(reply.headers["Content-Length"]) < 1_000
    assert len(reply.content) > 1_000_000
    assert reply.json()["value"] == graph.json(LIST)["value"]


def test_headers_come_on_top_of_a_reply(graph: Graph) -> None:
    date = "Tue, 01 Dec 2099 00:00:00 GMT"
    graph.control.add_fault(Fault(path=".", action="headers", headers={"Date": date}))
    reply = graph.get(LIST)
    assert (reply.ok, reply.headers["Date"]) == (True, date)


@pytest.mark.parametrize(("action", "new"), [("cycle", False), ("endless", True)])
def test_pages_that_go_round(graph: Graph, action: Action, new: bool) -> None:
    graph.control.change_settings(eventPageSize=2)
    for _ in range(3):
        graph.control.add_event(NewEvent())
    graph.control.add_fault(Fault(path="webinars", action=action, times=-1))
    links, path = [], "/solutions/virtualEvents/webinars"
    for _ in range(20):
        path = graph.json(path)["@odata.nextLink"]
        links.append(path)
    assert (len(set(links)) == 20) == new


def test_a_next_link_under_another_name(graph: Graph) -> None:
    graph.control.add_fault(Fault(path="webinars", action="otherLink"))
    page = graph.json("/solutions/virtualEvents/webinars")
    assert "@odata.nextLink" not in page
    assert page["other@odata.nextLink"].startswith("http")


def test_the_calls_are_kept_with_their_status(graph: Graph) -> None:
    graph.get("/subscriptions?$skiptoken=x")
    graph.get("/nothing")
    seen = [(call.method, call.path, call.status) for call in graph.control.calls()]
    assert seen == [("GET", "/v1.0/subscriptions?$skiptoken=x", 400), ("GET", "/v1.0/nothing", 400)]


def test_a_seeded_past_has_ended_unannounced_meetings(graph: Graph) -> None:
    made = graph.control.add_past(NewPast(days=2, meetings_per_day=3))
    assert len(made) == 6
    assert {session.report_id for session in made} <= graph.control.true_reports().keys()


@pytest.mark.parametrize("hour", range(0, 24, 3))
def test_the_past_is_of_the_days_before_today_at_any_hour(hour: int) -> None:
    at = datetime(2026, 5, 20, hour, 30, tzinfo=UTC)
    made = World(seed=1, tenant_id="5f1a3c8e-1f0e-4c9a-b6a4-6b1f2f0f8a11").add_past(
        NewPast(days=2, meetings_per_day=3), at
    )
    assert Counter(str(session.end.date()) for session in made) == {"2026-05-19": 3, "2026-05-18": 3}


def test_a_misspelt_order_is_refused(graph: Graph) -> None:
    with pytest.raises(requests.HTTPError, match="unknown: recordPagesize"):
        graph.control.change_settings(recordPagesize=1)
