"""Several instances on the same queues: still one report and one outcome."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from local.simulator.control.client import Control, SessionMade
from local.simulator.tenant.orders import NewSession
from local.stack import ports
from local.stack.compose import Stack
from local.stack.functions import FunctionsHost
from local.stack.program import ROOT, Log
from tests.support.front import Front, eventually, own_stack

stack = own_stack()


@pytest.fixture(scope="module")
def second(stack: Stack, log: Log) -> Iterator[FunctionsHost]:
    """Another instance of the app with the same settings."""
    host = FunctionsHost(ROOT, ports.pick(0), log)
    host.start(stack.settings)
    yield host
    host.stop()


def truths(front: Front, made: list[SessionMade]) -> list[bool]:
    """For each session whether exactly one outcome says that its report is stored."""
    return [[each["outcome"] for each in front.outcomes(one.call_id)] == ["stored"] for one in made]


def test_a_session_announced_three_times_and_swept_on_two_instances_is_stored_once(
    stack: Stack, second: FunctionsHost
) -> None:
    front, control = Front(stack), Control(stack.graph)
    made = [front.session() for _ in range(15)]
    urls = [f"{front.url}/notifications", f"{second.url}/api/notifications"]
    posts = [(url, each.call_id) for each in made for url in (*urls, random.choice(urls))]
    random.shuffle(posts)

    def post(target: tuple[str, str]) -> int:
        body = {"value": [front.item(target[1])]}
        return requests.post(target[0], json=body, timeout=30).status_code

    with ThreadPoolExecutor(8) as threads:
        front.run("sweep")
        assert set(threads.map(post, posts)) == {202}
        requests.post(f"{second.url}/admin/functions/sweep", json={"input": ""}, timeout=10)
    eventually(lambda: all(truths(front, made)), "one outcome each")
    truth = control.true_reports()
    for each in made:
        assert len(front.reports(each.report_id)) == 1
        assert truth[each.report_id]["id"] == each.report_id


def test_two_signals_of_one_session_name_the_same_report(stack: Stack, second: FunctionsHost) -> None:
    """For a call record and a call event there are two outcomes and one report."""
    front = Front(stack)
    end = datetime.now(UTC)
    meeting = front.control.add_meeting().meeting_id
    span: dict[str, Any] = {"start": end - timedelta(minutes=30), "end": end, "announce": False}
    one = front.control.add_session(NewSession(meeting, **span))
    other = front.control.add_session(NewSession(meeting, no_report=True, **span))
    for url, call_id in ((front.url, one.call_id), (f"{second.url}/api", other.call_id)):
        body = {"value": [front.item(call_id)]}
        assert requests.post(f"{url}/notifications", json=body, timeout=30).status_code == 202
    found = [front.outcome(each.call_id, "stored") for each in (one, other)]
    assert found[0]["reports"] == found[1]["reports"]
    assert [report["id"] for report in found[0]["reports"]] == [one.report_id]
    assert len(front.reports(one.report_id)) == 1
