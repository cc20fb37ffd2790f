"""Archiving with short windows and a pilot: ends, rereads and exclusions."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from local.simulator.control.client import SessionMade
from local.simulator.faults.responses import Fault
from local.simulator.tenant.orders import NewMeeting, NewSession
from local.stack.compose import Stack
from tests.support.front import Front, eventually

PILOT = "b1b1b1b1-0000-4000-8000-000000000001"
DENIED = "b1b1b1b1-0000-4000-8000-000000000002"
OUTSIDE = "b1b1b1b1-0000-4000-8000-000000000003"


@pytest.fixture(scope="module")
def front(stack: Stack) -> Iterator[Front]:
    stack.restart_functions(
        {
            "RETRY_FIRST_DELAY": "1",
            "RETRY_WINDOW": "10",  # the first attempt may be seconds late where the host is slow to start
            "CONFIRM_AFTER": "5",
            "ORGANIZERS": f"{PILOT},{DENIED}",
        }
    )
    yield Front(stack)
    stack.restart_functions()


def session(front: Front, organizer: str = PILOT, **fields: object) -> SessionMade:
    return front.session(NewMeeting(organizer=organizer, denied=organizer == DENIED), **fields)


def test_a_session_without_report_ends_as_no_report(front: Front) -> None:
    made = session(front, no_report=True)
    front.notify(made.call_id)
    outcome = front.outcome(made.call_id, "noReport")
    assert outcome["attempt"] > 1
    again = datetime.fromisoformat(outcome["nextAttempt"]) - datetime.fromisoformat(outcome["settled"])
    assert abs(again - timedelta(days=1)) < timedelta(hours=1)  # it is looked at again
    assert outcome["metadata"]["nextattempt"] == outcome["nextAttempt"]


def test_a_call_record_that_never_appears_ends_as_not_found(front: Front) -> None:
    made = session(front, record_delay=3600)
    front.notify(made.call_id)
    assert "404" in front.outcome(made.call_id, "notFound")["lastError"]


def test_an_organizer_without_access_policy_ends_as_access_denied(front: Front) -> None:
    made = session(front, DENIED)
    front.notify(made.call_id)
    outcome = front.outcome(made.call_id, "accessDenied")
    assert outcome["attempt"] == 2
    assert outcome["organizerId"] == DENIED


def test_a_graph_that_fails_all_the_time_ends_as_failed(front: Front) -> None:
    made = session(front)
    front.control.add_fault(Fault(made.call_id, status=500, times=-1, headers={"Retry-After": "0"}))
    front.notify(made.call_id)
    assert "500" in front.outcome(made.call_id, "failed")["lastError"]


def test_an_organizer_outside_of_the_pilot_is_out_of_scope_after_one_call(front: Front) -> None:
    made = session(front, OUTSIDE)
    front.notify(made.call_id)
    front.outcome(made.call_id, "outOfScope")
    assert not front.calls(OUTSIDE)


def test_a_fresh_report_is_read_once_more_and_replaced_when_it_grew(front: Front) -> None:
    made = session(front, participants=30, grow_after=3600)
    front.notify(made.call_id)
    outcome = front.outcome(made.call_id, "stored", attempt=1)
    few = len(json.loads(front.body(made.report_id))["attendanceRecords"])
    assert outcome["nextAttempt"] is not None
    front.control.change_session(made.call_id, growAfter=0)
    front.outcome(made.call_id, "stored", attempt=2, nextAttempt=None)
    assert few < len(json.loads(front.body(made.report_id))["attendanceRecords"]) == 30
    assert len(front.reports(made.report_id)) == 1
    reads = [call for call in front.calls(made.report_id) if call.endswith("200")]
    assert len(reads) == 2, "the report is read once more, and nothing else is asked for"


def test_a_report_that_ended_long_ago_is_read_once(front: Front) -> None:
    end = datetime.now(UTC) - timedelta(hours=3)
    made = session(front, start=end - timedelta(hours=1), end=end)
    front.notify(made.call_id)
    assert front.outcome(made.call_id, "stored")["nextAttempt"] is None


def test_the_confirming_read_that_fails_leaves_the_outcome_stored(front: Front) -> None:
    made = session(front)
    front.notify(made.call_id)
    front.outcome(made.call_id, "stored", attempt=1)
    front.control.add_fault(Fault(made.report_id, status=404, times=-1))
    outcome = front.outcome(made.call_id, "stored", attempt=2)
    assert outcome["reports"]
    assert len(front.reports(made.report_id)) == 1


def test_an_early_report_is_stored_at_the_end_when_no_other_comes(front: Front) -> None:
    now = datetime.now(UTC)
    meeting = front.control.add_meeting(NewMeeting(organizer=PILOT)).meeting_id
    made = front.control.add_session(
        NewSession(meeting, start=now - timedelta(hours=2), end=now, announce=False)
    )
    early = {
        "id": made.report_id,
        "meetingStartDateTime": (now - timedelta(hours=2)).isoformat(),
        "meetingEndDateTime": (now - timedelta(hours=1)).isoformat(),
    }
    front.control.add_fault(
        Fault(f"{meeting[:60]}.*attendanceReports$", status=200, body={"value": [early]}, times=-1)
    )
    front.notify(made.call_id)
    front.outcome(made.call_id, "pending")
    front.outcome(made.call_id, "stored")
    eventually(lambda: front.reports(made.report_id), "the early report")
