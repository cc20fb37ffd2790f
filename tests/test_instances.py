"""Several instances of the app work on the same queues: still one report, one outcome, one truth."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from local import ports
from local.functions import FunctionsHost
from local.graph.client import Control, SessionMade
from local.program import ROOT, Log
from local.stack import Stack
from tests.front import Front, eventually, own_stack

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
