"""A simulator that is started again on the same state goes on where it was."""

from pathlib import Path

from local.graph.client import running
from local.graph.orders import NewMeeting, NewSession
from tests.simulator_process import Graph, listening, reports_of, token, until
from tests.test_simulator_subscriptions import created


def test_world_subscriptions_settings_and_deliveries_survive(tmp_path: Path) -> None:
    state = tmp_path / "graph.json"
    with listening() as endpoint:
        with running(state, seed=7) as control:
            meeting = control.add_meeting(NewMeeting(organizer="0a000000-0000-4000-8000-000000000001"))
            session = control.add_session(NewSession(meeting_id=meeting.meeting_id, announce_delay=2.0))
            control.change_settings(recordPageSize=2)
            control.deny(meeting.organizer_id)
            subscription = created(Graph(control, token()), endpoint)
            truth = control.true_report(session.report_id)
        with running(state) as control:
            graph = Graph(control, token())
            assert control.true_report(session.report_id) == truth
            assert [each["id"] for each in graph.json("/subscriptions")["value"]] == [subscription["id"]]
            assert graph.get(reports_of(meeting)).status_code == 403
            control.deny(meeting.organizer_id, denied=False)
            report = graph.json(f"{reports_of(meeting)}/{session.report_id}?$expand=attendanceRecords")
            assert len(report["attendanceRecords"]) == 2
            assert session.call_id.encode() in until(endpoint.notifications)[0].body
            assert control.add_session().call_id != session.call_id


def test_nothing_but_the_state_file_is_left(tmp_path: Path) -> None:
    state = tmp_path / "graph.json"
    with running(state) as control:
        control.add_meeting()
        until(state.exists)
    assert list(tmp_path.iterdir()) == [state]
