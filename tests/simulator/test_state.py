"""A simulator restarted on the same state continues."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from local.simulator.control.client import TENANT, running
from local.simulator.tenant.orders import NewEvent, NewMeeting, NewSession
from tests.simulator.test_call_events import subscribe
from tests.simulator.test_subscriptions import created
from tests.support.simulator_process import Graph, listening, reports_of, token, until
from tests.support.simulator_reader import reader, text


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


def test_events_watches_policies_and_registrations_survive(tmp_path: Path) -> None:
    state, app, key = tmp_path / "graph.json", "99999999-aaaa-4bbb-8ccc-dddddddddddd", reader(tmp_path)
    with listening() as endpoint:
        with running(state, seed=7) as control:
            graph = Graph(control, token())
            event = control.add_event(NewEvent(sessions=2, co_organizers=(app,)))
            assert subscribe(graph, endpoint, event.sessions[0].join_web_url, key).status_code == 201
            order = NewSession(meeting_id=event.sessions[0].meeting_id, call_events=("callEnded",))
            made = control.add_session(replace(order, call_event_delay=2.0))
            truth = control.true_report(made.report_id)
            control.allow(event.organizer_id, app)
            control.add_app(app, app)
        with running(state) as control:
            graph = Graph(control, token())
            assert graph.get(f"/{event.path}").status_code == 403
            mine = replace(graph, token=token(appid=app))
            sessions = mine.json(f"/{event.path}/sessions")["value"]
            assert [each["id"] for each in sessions] == [each.session_id for each in event.sessions]
            assert control.true_report(made.report_id) == truth
            (body,) = until(lambda: [json.loads(each.body) for each in endpoint.notifications()])
            assert text(body["value"][0], key)["eventType"] == "callEnded"
            assert control.add_event().event_id != event.event_id


def test_a_state_of_another_version_is_not_gone_on_with(tmp_path: Path) -> None:
    state = tmp_path / "graph.json"
    state.write_text(json.dumps({"tenant": TENANT, "seed": 1, "announcements": [[1.0, "call", 1]]}))
    with running(state) as control:
        assert control.true_reports() == {}


def test_nothing_but_the_state_file_is_left(tmp_path: Path) -> None:
    state = tmp_path / "graph.json"
    with running(state) as control:
        control.add_meeting()
        until(state.exists)
    assert list(tmp_path.iterdir()) == [state]


def test_the_state_of_another_tenant_is_told_in_a_sentence(tmp_path: Path) -> None:
    state, other = tmp_path / "graph.json", "22222222-2222-4333-8444-555555555555"
    state.write_text(json.dumps({"tenant": TENANT}))
    command = [
        sys.executable,
        "-m",
        "local.simulator",
        "--tenant",
        other,
        "--app-id",
        other,
        "--state",
        str(state),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"The state in {tmp_path} is of tenant {TENANT}, but TENANT_ID is {other}: "
    )
    assert done.stderr.count("\n") == 1
