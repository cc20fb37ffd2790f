"""The command line as users run it: sign-in, and results on stdout."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from local.simulator.control.client import MeetingMade, SessionMade
from local.simulator.faults.responses import Fault
from local.simulator.tenant.orders import NewEvent, NewMeeting, NewSession
from tests.support.command_line import command, environment, run
from tests.support.front import Front, eventually

CLIENT = "1b000000-0000-4000-8000-000000000009"
DEVICE = ("--sign-in", "device-code", "--client-id", CLIENT)
IDENTITY = ("--sign-in", "managed-identity")


@contextmanager
def signing_in(front: Front, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command(*arguments),
        env=environment(front),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def as_user(front: Front, user: str | None, *arguments: str) -> tuple[int, str, str]:
    """Run a command, and enter the device code that it shows as this user."""
    with signing_in(front, *arguments, *DEVICE) as process:
        (waiting,) = eventually(front.control.device_codes, "a device code")
        front.control.sign_in(waiting["userCode"], user)
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.fixture
def meeting(front: Front) -> MeetingMade:
    return front.control.add_meeting()


@pytest.fixture
def session(front: Front, meeting: MeetingMade) -> SessionMade:
    order = NewSession(meeting_id=meeting.meeting_id, announce=False, participants=7)
    return front.control.add_session(order)


def mine(meeting: MeetingMade, report_id: str) -> str:
    return f"/me/onlineMeetings/{quote(meeting.meeting_id, safe='')}/attendanceReports/{report_id}"


def people(report: dict[str, Any]) -> list[str]:
    return [each["id"] for each in report["attendanceRecords"]]


def truth(front: Front, report_id: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(front.control.true_report(report_id))
    return report


def test_a_person_lists_and_fetches_the_reports_of_an_own_meeting(
    front: Front, meeting: MeetingMade, session: SessionMade
) -> None:
    code, out, err = as_user(front, meeting.organizer_id, "me", "list", meeting.join_web_url, "--json")
    assert code == 0, err
    (row,) = json.loads(out)
    assert row["id"] == session.report_id
    code, out, err = as_user(front, meeting.organizer_id, "fetch", row["address"])
    assert code == 0, err
    assert people(json.loads(out)) == people(truth(front, session.report_id))
    assert "enter the code" in err


def test_the_meeting_of_another_is_refused_in_one_sentence(
    front: Front, meeting: MeetingMade, session: SessionMade
) -> None:
    other = front.control.add_meeting(NewMeeting(organizer=str(uuid4())))
    code, out, err = as_user(front, other.organizer_id, "fetch", mine(meeting, session.report_id))
    assert (code, out) == (1, "")
    assert "403" in err.splitlines()[-1]
    assert "Traceback" not in err


def test_who_declines_to_sign_in_gets_nothing(
    front: Front, meeting: MeetingMade, session: SessionMade
) -> None:
    code, out, err = as_user(front, None, "fetch", mine(meeting, session.report_id))
    assert (code, out) == (4, "")
    assert err.splitlines()[-1].startswith("attendance: Signing in did not succeed")


def test_a_report_is_fetched_by_any_of_its_addresses(
    front: Front, meeting: MeetingMade, session: SessionMade
) -> None:
    encoded = quote(meeting.meeting_id, safe="")
    below = f"users/{meeting.organizer_id}/onlineMeetings/{encoded}/attendanceReports/{session.report_id}"
    for address in (f"https://graph.microsoft.com/v1.0/{below}", f"/{below}", below):
        done = run(front, "fetch", address, *IDENTITY)
        assert done.returncode == 0, done.stderr
        assert people(json.loads(done.stdout)) == people(truth(front, session.report_id))


@pytest.mark.parametrize("kind", ["webinar", "townhall"])
def test_a_report_of_an_event_is_fetched_by_its_address(front: Front, kind: Any) -> None:
    event = front.control.add_event(NewEvent(kind=kind, announce=False))
    made = front.control.add_session(NewSession(meeting_id=event.sessions[0].meeting_id, announce=False))
    address = f"{event.path}/sessions/{event.sessions[0].session_id}/attendanceReports/{made.report_id}"
    done = run(front, "fetch", address, *IDENTITY)
    assert done.returncode == 0, done.stderr
    assert people(json.loads(done.stdout)) == people(truth(front, made.report_id))


def test_without_records_and_with_some_properties_only(
    front: Front, meeting: MeetingMade, session: SessionMade
) -> None:
    address = mine(meeting, session.report_id).replace("/me/", f"/users/{meeting.organizer_id}/")
    done = run(front, "fetch", address, *IDENTITY, "--no-expand", "--select", "id,totalParticipantCount")
    assert done.returncode == 0, done.stderr
    report = {key: value for key, value in json.loads(done.stdout).items() if "@odata." not in key}
    assert report == {"id": session.report_id, "totalParticipantCount": 7}


def test_a_file_is_written_whole(
    front: Front, meeting: MeetingMade, session: SessionMade, tmp_path: Path
) -> None:
    address = mine(meeting, session.report_id).replace("/me/", f"/users/{meeting.organizer_id}/")
    done = run(front, "fetch", address, *IDENTITY, "--output", str(tmp_path / "report.json"))
    assert (done.returncode, done.stdout) == (0, "")
    assert json.loads((tmp_path / "report.json").read_text())["id"] == session.report_id
    assert [each.name for each in tmp_path.iterdir()] == ["report.json"]


@pytest.mark.parametrize("address", ["", "users/1", "/me/onlineMeetings/a/attendanceReports/../b"])
def test_what_is_no_address_of_a_report_is_named_so(front: Front, address: str) -> None:
    done = run(front, "fetch", address, *IDENTITY)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        f"attendance: {address!r} is not the address of an attendance report, such as "
    )


def test_an_address_of_another_host_is_refused_by_name(front: Front) -> None:
    done = run(front, "fetch", "https://example.com/v1.0/me/onlineMeetings/a/attendanceReports/b", *IDENTITY)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "attendance: example.com is not Microsoft Graph, which is at https://graph.microsoft.com.\n"
    )


def test_a_property_that_cannot_be_a_name_is_refused(front: Front) -> None:
    done = run(front, "fetch", "/me/onlineMeetings/a/attendanceReports/b", *IDENTITY, "--select", "id,$x")
    assert done.returncode == 2
    assert "'$x' is not a property name" in done.stderr


@pytest.mark.parametrize("body", ["{}", '{"message":"upstream connect error"}', "<html>", ""])
def test_an_error_of_a_gateway_is_a_sentence_and_no_traceback(
    front: Front, meeting: MeetingMade, session: SessionMade, body: str
) -> None:
    address = mine(meeting, session.report_id).replace("/me/", f"/users/{meeting.organizer_id}/")
    front.control.add_fault(Fault(session.report_id, status=403, body=body))
    done = run(front, "fetch", address, *IDENTITY)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("attendance: get attendance report: refused by Graph (status 403")
    assert done.stderr.count("\n") == 1


def test_a_report_behind_stacked_encodings_is_refused_at_once(
    front: Front, meeting: MeetingMade, session: SessionMade
) -> None:
    address = mine(meeting, session.report_id).replace("/me/", f"/users/{meeting.organizer_id}/")
    bomb = Fault(session.report_id, action="headers", encoding="gzip, gzip", pad=50_000_000)
    front.control.add_fault(bomb)
    done = run(front, "fetch", address, *IDENTITY)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the answer has an encoding that was not requested" in done.stderr


def test_meetings_are_watched_listed_and_watched_no_more(front: Front) -> None:
    classic, short = front.control.add_meeting(), front.control.add_meeting(NewMeeting(kind="short"))
    assert run(front, "watch", "add", classic.join_web_url, *IDENTITY).returncode == 0
    refused = run(front, "watch", "add", short.join_web_url, *IDENTITY)
    assert refused.returncode == 2
    assert "give the organizer's object id" in refused.stderr
    lasting = ("--organizer", short.organizer_id, "--until", "2099-01-01T00:00:00Z")
    added = run(front, "watch", "add", short.join_web_url, *lasting, *IDENTITY)
    assert added.returncode == 0, added.stderr
    listed = json.loads(run(front, "watch", "list", "--json", *IDENTITY).stdout)
    until = {each["joinWebUrl"]: each["until"] for each in listed}
    assert until[classic.join_web_url] is None
    assert until[short.join_web_url] == "2099-01-01T00:00:00.000Z"
    for meeting in (classic, short):
        assert run(front, "watch", "remove", meeting.join_web_url, *IDENTITY).returncode == 0
    gone = run(front, "watch", "remove", classic.join_web_url, *IDENTITY)
    assert (gone.returncode, gone.stderr) == (1, "attendance: This meeting is not watched.\n")


def test_wrong_usage_is_told_apart(front: Front) -> None:
    assert run(front, "fetch").returncode == 2
    assert run(front, "nothing").returncode == 2


def test_help_names_every_command(front: Front) -> None:
    told = run(front, "--help").stdout
    assert all(name in told for name in ("fetch", "me", "watch"))
