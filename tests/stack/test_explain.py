"""`explain`: the story of one meeting, on a running stack."""

from http import HTTPStatus
from uuid import uuid4

import requests

from local.simulator.tenant.orders import NewMeeting, NewSession
from tests.support.command_line import run, start, told
from tests.support.front import Front, eventually

COLUMNS = 75


def test_a_meeting_is_followed_from_its_link_to_its_report(front: Front) -> None:
    meeting = front.control.add_meeting(NewMeeting())
    link = meeting.join_web_url
    made = front.control.add_session(NewSession(meeting.meeting_id, report_delay=3600, announce=False))

    unknown = run(front, "explain", link)
    assert unknown.returncode == 1
    assert "not ended by Graph's word yet" in " ".join(unknown.stdout.split())
    assert unknown.stderr == "attendance: The app knows of no such meeting.\n"

    front.notify(made.call_id)
    front.outcome(made.call_id, "pending")
    (pending,) = told(front, "explain", made.call_id)["meetings"]
    assert (pending["step"], pending["reports"]) == ("report", [])
    assert "no report of this session" in pending["state"]
    assert pending["nextAttempt"]
    attempts = [each for each in pending["history"] if each["result"] == "noReport"]
    assert all(each["step"] and each["requestId"] for each in attempts)

    waiting = ("explain", link.upper(), "--wait", "--timeout", "100")
    with start(front, *waiting, COLUMNS=str(COLUMNS)) as following:
        assert following.stderr
        assert "The call ended." in following.stderr.readline()
        front.control.change_session(made.call_id, reportDelay=0)
        out, err = following.communicate(timeout=100)
    assert following.returncode == 0, err
    assert err.splitlines()[-1].endswith(" UTC  The report was read and stored.")
    assert "Now       The report is stored." in out.splitlines()
    assert f"Run       attendance reports show {made.report_id}" in out.splitlines()
    assert link in out
    cut = [each for each in out.splitlines() if len(each) > COLUMNS and link not in each]
    assert [each for each in cut if made.report_id not in each] == []


def test_the_health_page_tells_the_same_without_subject_and_link(front: Front) -> None:
    meeting = front.control.add_meeting(NewMeeting("short"))
    made = front.control.add_session(NewSession(meeting.meeting_id, announce=False))
    front.notify(made.call_id)
    front.outcome(made.call_id, "stored")
    for text in (meeting.join_web_url, made.call_id, made.report_id):
        page = requests.post(f"{front.url}/health", data={"meeting": text}, timeout=60)
        assert page.status_code == HTTPStatus.OK
        assert f"<h2>Signal cr-{made.call_id}</h2>" in page.text
        assert "The report is stored." in page.text
        assert meeting.join_web_url.partition("?")[0] not in page.text
    refused = requests.post(f"{front.url}/health", data={"meeting": "Weekly"}, timeout=60)
    assert refused.status_code == HTTPStatus.BAD_REQUEST


def test_a_meeting_that_stays_pending_is_told_as_it_is(front: Front) -> None:
    made = front.session(NewMeeting(denied=True))
    front.notify(made.call_id)
    front.outcome(made.call_id, "pending")
    done = run(front, "explain", made.call_id, "--wait", "--timeout", "1")
    assert done.returncode == 1
    assert "Graph refuses access (403) so far." in done.stdout
    assert "Run       Grant-CsApplicationAccessPolicy" in done.stdout
    assert "still pending after 1 s" in done.stderr


def test_an_organizers_meeting_of_a_day_is_found_by_the_organizers_id(front: Front) -> None:
    meeting = front.control.add_meeting(NewMeeting("short", organizer=str(uuid4())))
    made = front.control.add_session(NewSession(meeting.meeting_id, announce=False))
    front.notify(made.call_id)
    day = front.outcome(made.call_id, "stored")["end"][:10]
    found = eventually(
        lambda: told(front, "explain", meeting.organizer_id, "--on", day)["meetings"], "the meeting"
    )
    assert [each["signalId"] for each in found] == [f"cr-{made.call_id}"]
    assert run(front, "explain", meeting.organizer_id).returncode == 1
    future = run(front, "explain", meeting.organizer_id, "--on", "2999-01-01")
    assert "--on 2999-01-01 is in the future" in future.stderr
