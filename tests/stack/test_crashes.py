"""Killing the Functions host loses nothing and stores nothing twice."""

from datetime import UTC, datetime, timedelta

from local.simulator.faults.responses import Fault
from local.simulator.tenant.orders import NewMeeting, NewSession
from tests.support.front import Front, eventually


def kill(front: Front) -> None:
    front.stack.kill_functions()
    front.control.clear_faults()
    front.stack.await_functions()


def test_a_host_killed_while_it_waits_for_graph_takes_the_signal_up_again(front: Front) -> None:
    meeting = front.control.add_meeting()
    made = front.control.add_session(NewSession(meeting.meeting_id, announce=False))
    front.control.add_fault(Fault("attendanceReports", action="hang"))
    front.notify(made.call_id)
    eventually(lambda: front.calls(meeting.organizer_id), "the meeting to be resolved")
    kill(front)
    front.outcome(made.call_id, "stored")
    assert len(front.reports(made.report_id)) == len(front.outcomes(made.call_id)) == 1


def test_a_host_killed_before_the_message_is_completed_stores_the_report_once(front: Front) -> None:
    series = front.control.add_meeting(NewMeeting("recurring")).meeting_id
    end = datetime.now(UTC) - timedelta(hours=5)
    other = front.control.add_session(
        NewSession(series, start=end - timedelta(hours=1), end=end, announce=False)
    )
    made = front.control.add_session(NewSession(series, announce=False))
    front.control.add_fault(Fault(f"attendanceReports/{other.report_id}", action="hang"))
    front.notify(made.call_id)
    eventually(lambda: front.outcomes(made.call_id), "the outcome, before the message is completed")
    kill(front)
    front.outcome(made.call_id, "stored")
    assert len(front.reports(made.report_id)) == len(front.outcomes(made.call_id)) == 1


def test_a_host_killed_again_and_again_loses_nothing_that_it_acknowledged(front: Front) -> None:
    made = [front.session(participants=3) for _ in range(12)]
    for number in range(0, 12, 4):
        front.notify(*[each.call_id for each in made[number : number + 4]])
        kill(front)
    for each in made:
        front.outcome(each.call_id, "stored")
        assert len(front.reports(each.report_id)) == len(front.outcomes(each.call_id)) == 1
