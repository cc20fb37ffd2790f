"""Whose report it is: no meeting's facts on another one's report, none taken away, and reasons where none is found."""

import csv
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote
from uuid import uuid4

import pytest

from local.simulator.control.client import MeetingMade, SessionMade
from local.simulator.faults.responses import Fault
from local.simulator.tenant.orders import NewMeeting, NewSession
from shared.graph.join_urls import join_url_key, series_id
from tests.support.command_line import told
from tests.support.front import Front, eventually, own_stack

stack = own_stack()
NOW = datetime.now(UTC)
PAST = (NOW - timedelta(days=3)).date()
NOON = datetime(PAST.year, PAST.month, PAST.day, 12, tzinfo=UTC)
FACTS = {"meetingid", "organizerid", "joinweburl", "joinurlkey", "seriesid"}
HALF = timedelta(minutes=30)


def metadata(front: Front, made: SessionMade) -> dict[str, str]:
    (name,) = front.reports(made.report_id)
    found = front.container.get_blob_client(name).get_blob_properties().metadata
    return {key: unquote(value) for key, value in found.items()}


def facts(meeting: MeetingMade) -> dict[str, str]:
    url = meeting.join_web_url
    return {
        "meetingid": meeting.meeting_id,
        "organizerid": meeting.organizer_id,
        "joinweburl": url,
        "joinurlkey": join_url_key(url),
        "seriesid": series_id(url),
    }


def held(front: Front, meeting: MeetingMade, end: datetime, **fields: Any) -> SessionMade:
    known: dict[str, Any] = {"start": end - 2 * HALF, "end": end, "announce": False}
    return front.control.add_session(NewSession(meeting.meeting_id, **known | fields))


def in_channel(front: Front, channel: str, *, old: bool) -> MeetingMade:
    return front.control.add_meeting(NewMeeting("channel", organizer=str(uuid4()), channel=channel, old=old))


@pytest.mark.parametrize("old", [False, True], ids=["tacv2", "skype"])
def test_another_channel_meetings_report_carries_nothing_until_its_own_signal_settles(
    front: Front, old: bool
) -> None:
    one, other = (in_channel(front, f"Two at once {old}", old=old) for _ in range(2))
    mine, theirs = held(front, one, NOW), held(front, other, NOW - HALF)
    front.notify(mine.call_id)
    front.outcome(mine.call_id, "stored")
    eventually(lambda: front.reports(theirs.report_id), "the other report of the channel")
    assert facts(one).items() <= metadata(front, mine).items()
    assert not FACTS & metadata(front, theirs).keys()
    before, body = metadata(front, theirs)["sha256"], front.body(theirs.report_id)

    front.notify(theirs.call_id)
    front.outcome(theirs.call_id, "stored")
    assert facts(other).items() <= metadata(front, theirs).items()
    assert metadata(front, theirs)["sha256"] == before
    assert front.body(theirs.report_id) == body
    front.notify(mine.call_id)
    assert facts(one).items() <= metadata(front, mine).items()


def test_two_channel_meetings_of_the_same_minutes_are_told_apart_by_their_organizers(front: Front) -> None:
    meetings = [in_channel(front, "Same minutes", old=True) for _ in range(2)]
    made = [held(front, each, NOW) for each in meetings]
    for each in made:
        front.notify(each.call_id)
    for meeting, each in zip(meetings, made, strict=True):
        outcome = front.outcome(each.call_id, "stored")
        assert [report["id"] for report in outcome["reports"]] == [each.report_id]
        eventually(lambda each=each: "meetingid" in metadata(front, each), "its facts")  # type: ignore[misc]
        assert facts(meeting).items() <= metadata(front, each).items()


def test_index_table_and_find_follow_a_correction_of_a_sealed_day(front: Front) -> None:
    one, other = (in_channel(front, "Sealed", old=True) for _ in range(2))
    mine = held(front, one, NOON)
    theirs = held(front, other, NOON + HALF, record_delay=40 * 86_400)  # Graph shows its record later
    front.notify(mine.call_id)
    front.outcome(mine.call_id, "stored")
    eventually(lambda: front.reports(theirs.report_id), "the other report of the channel")
    front.table(PAST)
    window = ("--from", str(PAST), "--to", str(PAST))

    def seen() -> tuple[str | None, set[str | None], set[str]]:
        """Whose the report is by index, table and `person find`."""
        index = front.container.download_blob(f"manifests/date={PAST}/reports.jsonl").readall()
        lines = {line["id"]: line for line in map(json.loads, index.splitlines())}
        rows = front.rows(PAST)
        found = told(front, "person", "find", other.organizer_id, *window)
        return (
            lines[theirs.report_id]["organizerId"],
            {row["organizerId"] for row in rows if row["reportId"] == theirs.report_id},
            {each["as"] for each in found if each["path"].endswith(f"{theirs.report_id}.json")},
        )

    assert seen() == (None, {None}, {"attendee"})
    revision = front.manifest(PAST)["revision"]
    front.control.change_session(theirs.call_id, recordDelay=0)
    front.notify(theirs.call_id)
    front.outcome(theirs.call_id, "stored")
    front.run("sweep")

    def is_new() -> bool:
        return bool(front.manifest(PAST)["revision"] > revision and front.has_tables(PAST))

    eventually(is_new, "a new revision with its table")
    who = other.organizer_id
    assert seen() == (who, {who}, {"organizer and attendee"})


def test_the_organizer_of_the_link_is_tried_where_graph_does_not_know_the_records(front: Front) -> None:
    meeting = front.control.add_meeting()
    made = held(front, meeting, NOW, record_organizer="00000000-0000-4000-8000-00000000dead")
    front.notify(made.call_id)
    assert front.outcome(made.call_id, "stored")["organizerId"] == meeting.organizer_id
    assert facts(meeting).items() <= metadata(front, made).items()


def test_the_organizer_of_the_link_is_tried_where_the_records_is_denied(front: Front) -> None:
    denied = front.control.add_meeting(NewMeeting(denied=True)).organizer_id
    meeting = front.control.add_meeting()
    made = held(front, meeting, NOW, record_organizer=denied)
    front.notify(made.call_id)
    assert front.outcome(made.call_id, "stored")["organizerId"] == meeting.organizer_id


def test_a_deleted_organizer_is_told_by_the_last_error(front: Front) -> None:
    meeting = front.control.add_meeting(NewMeeting(organizer="00000000-0000-4000-8000-00000000de1e"))
    front.control.delete_user(meeting.organizer_id)
    made = held(front, meeting, NOW)
    front.notify(made.call_id)
    assert "may be deleted" in front.outcome(made.call_id, "pending")["lastError"]


def test_a_guests_short_link_names_no_organizer(front: Front) -> None:
    made = held(front, front.control.add_meeting(NewMeeting("short")), NOW, record_organizer="guest")
    front.notify(made.call_id)
    assert "names an organizer of this tenant" in front.outcome(made.call_id, "pending")["lastError"]


def test_a_personal_meeting_is_not_supported_and_says_why(front: Front) -> None:
    made = held(front, front.control.add_meeting(NewMeeting("personal")), NOW)
    front.notify(made.call_id)
    assert "teams.live.com" in front.outcome(made.call_id, "notSupported")["lastError"]
    assert len(front.calls(made.call_id)) == 1


def is_in_tables(front: Front, report_id: str) -> bool:
    """Whether the tables of today are of an index that has the report."""
    manifest = front.manifest(NOW.date())
    index = front.container.download_blob(f"manifests/date={NOW.date()}/reports.jsonl").readall()
    is_current = manifest["tables"]["index"] == hashlib.sha256(index).hexdigest()
    return is_current and report_id.encode() in index


def test_participants_of_every_kind_are_stored_verbatim_with_a_row_each(front: Front, tmp_path: Any) -> None:
    meeting = front.control.add_meeting()
    made = held(front, meeting, NOW)
    identities: list[Any] = [
        {"@odata.type": "#microsoft.graph.communicationsPhoneIdentity", "id": "+14255550123", "displayName": None},
        {"phone": {"id": "+14255550124"}, "user": None},
        {"@odata.type": "#microsoft.graph.communicationsUserIdentity", "id": None, "displayName": "Anonymous"},
        {"guest": {"id": "teamsvisitor:1", "displayName": "Guest", "email": "g@x.example"}},
        {"applicationInstance": {"id": "a", "displayName": "Auto attendant"}},
        {"id": "f", "displayName": "Federated", "tenantId": "99999999-2222-4333-8444-555555555555"},
        {"user": {"id": "c", "displayName": "Consumer", "tenantId": "9188040d-6c67-4c5b-b112-36a304b66dad"}},
        {"id": None, "displayName": None, "tenantId": None},
        None,
    ]  # fmt: skip
    records = [{"id": str(number), "identity": each} for number, each in enumerate(identities)]
    nobody = dict.fromkeys(
        ["id", "emailAddress", "role", "identity", "attendanceIntervals", "engagements", "registrationId"]
    )
    body = {
        "id": made.report_id,
        "totalParticipantCount": len(records) + 1,
        "meetingStartDateTime": (NOW - 2 * HALF).isoformat(),
        "meetingEndDateTime": NOW.isoformat(),
        "attendanceRecords": [*records, nobody],
    }
    front.control.add_fault(Fault(f"attendanceReports/{made.report_id}", status=200, body=body))
    front.notify(made.call_id)
    front.outcome(made.call_id, "stored")
    assert json.loads(front.body(made.report_id)) == body
    front.run("sweep")
    eventually(lambda: is_in_tables(front, made.report_id), "the tables of the open day")
    day = ("--from", str(NOW.date()), "--to", str(NOW.date()))
    ask = ("export", *day, "--include-incomplete", "--table", "attendees", "--format", "csv")
    told(front, *ask, "--output", str(tmp_path))
    (file,) = tmp_path.rglob("*.csv")
    with file.open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["reportId"] == made.report_id]
    assert [(row["personId"], row["displayName"]) for row in rows] == [
        ("'+14255550123", "'+14255550123"), ("'+14255550124", "'+14255550124"), ("", "Anonymous"),
        ("teamsvisitor:1", "Guest"), ("a", "Auto attendant"), ("f", "Federated"), ("c", "Consumer"),
        ("", ""), ("", ""), ("", ""),
    ]  # fmt: skip


def test_a_report_of_us_government_lacks_what_that_leaves_out(front: Front) -> None:
    made = held(front, front.control.add_meeting(), NOW, participants=12)
    front.control.change_settings(reportProperties="usGovernment")
    try:
        front.notify(made.call_id)
        front.outcome(made.call_id, "stored")
        truth = json.loads(front.control.true_report(made.report_id))
    finally:
        front.control.change_settings(reportProperties="global")
    report = front.content(front.reports(made.report_id)[0])
    assert {name: value for name, value in report.items() if "@odata." not in name} == truth
    assert not {"registrationId", "engagements"} & report["attendanceRecords"][0].keys()


def test_a_meeting_is_found_by_any_copy_of_its_link(front: Front) -> None:
    meeting = front.control.add_meeting(NewMeeting("recurring"))
    made = [held(front, meeting, NOW - number * 4 * HALF) for number in range(2)]
    for each in made:
        front.notify(each.call_id)
        outcome = front.outcome(each.call_id, "stored")
        assert unquote(outcome["metadata"]["joinurlkey"]) == join_url_key(meeting.join_web_url)
    url = meeting.join_web_url
    day = ("--from", str((NOW - timedelta(days=1)).date()), "--to", str(NOW.date()))
    copies = (url, unquote(url), quote(url, safe=""), url.upper(), series_id(url), meeting.meeting_id)
    for copy in copies:
        found = told(front, "reports", "list", *day, "--meeting", copy)
        assert {each["id"] for each in found} == {each.report_id for each in made}, copy
