"""Log lines: JSON, joined by trace and signal id."""

import json
import logging
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import requests

from local.simulator.faults.responses import Fault
from local.simulator.tenant.orders import NewMeeting, NewSession
from local.stack.compose import Stack
from shared import logs
from shared.storage.blobs import run_in_parallel
from tests.support.front import Front, eventually, hurried
from tests.support.heard import Heard, Line


@pytest.fixture(scope="module")
def heard() -> Heard:
    return Heard()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, heard: Heard) -> Iterator[Stack]:
    """A system of its own, whose every word is heard."""
    with hurried(tmp_path_factory.mktemp("log-lines"), heard, {}) as stack:
        yield stack


def fresh_trace() -> str:
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def post(front: Front, trace: str, *items: object, route: str = "notifications") -> None:
    """Announce something under a trace, as an instrumented sender does."""
    url, headers = f"{front.url}/{route}", {"traceparent": trace}
    reply = requests.post(url, json={"value": list(items)}, headers=headers, timeout=30)
    assert reply.status_code == 202


def traced(heard: Heard, trace: str, last: str) -> list[Line]:
    """The lines under a trace once there is one of the event `last`."""

    def look() -> list[Line]:
        found = [line for line in heard.lines() if line.fields.get("traceparent") == trace]
        return found if any(line.event == last for line in found) else []

    return eventually(look, f"{last} under {trace}")


def line_of(heard: Heard, event: str, **fields: object) -> Line:
    """The first line of this event with these fields."""

    def look() -> list[Line]:
        return [
            line for line in heard.lines() if line.event == event and fields.items() <= line.fields.items()
        ]

    return eventually(look, f"{event} {fields}")[0]


def test_a_trace_leads_from_the_notification_through_every_attempt_to_the_archive(
    front: Front, heard: Heard
) -> None:
    trace = fresh_trace()
    meeting = front.control.add_meeting()
    made = front.control.add_session(NewSession(meeting.meeting_id, report_delay=3600, announce=False))
    post(front, trace, front.item(made.call_id))
    front.outcome(made.call_id, "pending")
    front.control.change_session(made.call_id, reportDelay=0)
    first, *pending, stored, settled = traced(heard, trace, "signal.settled")

    assert (first.event, first.function) == ("notification.received", "receive_notifications")
    assert first.fields["signals"] == [f"cr-{made.call_id}"]
    assert {line.event for line in pending} == {"signal.pending"}
    assert [line.fields["attempt"] for line in pending] == [*range(1, len(pending) + 1)]
    assert stored.event == "report.stored"
    assert (stored.fields["report"], stored.fields["result"]) == (made.report_id, "created")
    assert settled.event == "signal.settled"
    assert (settled.fields["outcome"], settled.fields["reports"]) == ("stored", 1)
    for line in (*pending, stored, settled):
        assert line.function == "archive_reports"
        assert line.fields["signal"] == f"cr-{made.call_id}"
        assert line.fields["meeting"] == meeting.meeting_id
        assert line.fields["requestId"]
    for line in (*pending, settled):
        assert line.fields["organizer"] == meeting.organizer_id
    for text in heard.texts():
        assert trace not in text or text.endswith("}"), text  # nothing but those lines


def test_signals_of_one_pack_share_its_trace(front: Front, heard: Heard) -> None:
    trace = fresh_trace()
    made = [front.session() for _ in range(3)]
    post(front, trace, *(front.item(each.call_id) for each in made))
    for each in made:
        front.outcome(each.call_id, "stored")
        line = line_of(heard, "signal.settled", signal=f"cr-{each.call_id}")
        assert line.fields["traceparent"] == trace
    assert line_of(heard, "pack.opened", traceparent=trace).fields["signals"] == 3


@pytest.mark.parametrize("status", [403, 404, 400, 503])
def test_the_line_of_a_failed_call_has_the_request_id_that_graph_sent(
    front: Front, heard: Heard, status: int
) -> None:
    made, request_id = front.session(), str(uuid4())
    headers = {"request-id": request_id, "Retry-After": "3600"}
    front.control.add_fault(Fault(made.call_id, status=status, headers=headers))
    front.notify(made.call_id)
    line = line_of(heard, "signal.pending", signal=f"cr-{made.call_id}")
    assert line.fields["outcome"] == "pending"
    assert line.fields["requestId"] == request_id
    assert f"request-id {request_id}" in line.fields["error"]
    assert line.fields["nextAttempt"]


def test_a_repeated_notification_is_a_line_of_its_own_trace(front: Front, heard: Heard) -> None:
    made, trace = front.session(), fresh_trace()
    front.notify(made.call_id)
    stored = front.outcome(made.call_id, "stored")
    post(front, trace, front.item(made.call_id))
    line = traced(heard, trace, "signal.dropped")[-1]
    assert line.fields["signal"] == f"cr-{made.call_id}"
    assert (line.fields["outcome"], line.fields["meeting"]) == ("stored", stored["meetingId"])


def test_an_upkeep_task_keeps_the_trace_of_the_lifecycle_notification(front: Front, heard: Heard) -> None:
    trace, request_id, subscription = fresh_trace(), str(uuid4()), str(uuid4())
    fault = Fault(f"subscriptions/{subscription}", status=403, headers={"request-id": request_id}, times=2)
    front.control.add_fault(fault)
    item = front.item("-", subscriptionId=subscription, lifecycleEvent="reauthorizationRequired")
    post(front, trace, item, route="lifecycle")
    *_, line = traced(heard, trace, "task.postponed")
    assert (line.fields["task"], line.fields["attempt"]) == ("renewSubscription", 1)
    assert line.fields["requestId"] == request_id
    assert line.fields["delay"] > 0


def test_a_refused_report_of_another_session_is_told_with_its_request_id(front: Front, heard: Heard) -> None:
    series = front.control.add_meeting(NewMeeting("recurring"))
    earlier = datetime.now(UTC) - timedelta(hours=5)
    refused = front.control.add_session(NewSession(series.meeting_id, end=earlier, announce=False))
    made = front.control.add_session(NewSession(series.meeting_id, announce=False))
    request_id = str(uuid4())
    front.control.add_fault(Fault(refused.report_id, status=403, headers={"request-id": request_id}))
    front.notify(made.call_id)
    line = line_of(heard, "report.skipped", report=refused.report_id)
    assert (line.fields["signal"], line.fields["meeting"]) == (f"cr-{made.call_id}", series.meeting_id)
    assert line.fields["requestId"] == request_id


def test_what_the_sweep_finds_and_takes_up_again_is_told_signal_by_signal(front: Front, heard: Heard) -> None:
    made = front.session()
    outsider = front.session(NewMeeting(tenant="99999999-2222-4333-8444-555555555555"))
    front.run("sweep")
    line = line_of(heard, "signal.found", signal=f"cr-{made.call_id}")
    assert (line.fields["outcome"], line.fields["task"]) == ("pending", "sweep")
    assert line.fields["requestId"]
    line = line_of(heard, "signal.found", signal=f"cr-{outsider.call_id}")
    assert line.fields["outcome"] == "externalOrganizer"
    stored = front.outcome(made.call_id, "stored")
    day = stored["end"][:10]
    front.ask("redrive", outcomes=["stored"], start=day, end=day)
    line = line_of(heard, "signal.repeated", signal=f"cr-{made.call_id}", task="redrive")
    assert (line.fields["outcome"], line.fields["meeting"]) == ("stored", stored["meetingId"])


def test_a_buried_signal_keeps_its_trace(front: Front, heard: Heard) -> None:
    trace, call_id = fresh_trace(), str(uuid4())
    seen = datetime.now(UTC).isoformat()
    item = {"version": 2, "kind": "news", "signalId": f"cr-{call_id}", "firstSeen": seen}
    front.put("meeting-signals-poison", json.dumps(item | {"traceparent": trace}))
    (line,) = traced(heard, trace, "signal.buried")
    assert (line.level, line.function) == ("ERROR", "bury_poison")
    assert (line.fields["signal"], line.fields["outcome"]) == (f"cr-{call_id}", "failed")


def test_fields_of_a_block_are_on_the_lines_of_its_threads(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "attendance")

    def work(number: int) -> None:
        with logs.about(number=number):
            logs.info("line")

    with logs.about(task="sweep"):
        run_in_parallel(work, range(5))
    told = [(line["task"], line["number"]) for line in map(json.loads, caplog.messages)]
    assert sorted(told) == [("sweep", number) for number in range(5)]


def test_fields_of_a_block_are_on_its_lines_and_no_others(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "attendance")
    with logs.about(signal="cr-1", traceparent=None):
        with logs.about(task="sweep", signal="cr-2"):
            logs.info("first", day=datetime(2026, 11, 23, tzinfo=UTC).date())
        logs.warning("second", signal="cr-3", meeting=None)
    logs.error("third")
    told = [(record.levelname, json.loads(record.getMessage())) for record in caplog.records]
    assert told == [
        ("INFO", {"event": "first", "signal": "cr-2", "task": "sweep", "day": "2026-11-23"}),
        ("WARNING", {"event": "second", "signal": "cr-3"}),
        ("ERROR", {"event": "third"}),
    ]
