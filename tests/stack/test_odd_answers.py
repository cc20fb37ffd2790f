"""Odd, revised and incomplete answers of Graph, through the front: they lose nothing and make nothing worse.

Each kind, with the days that it takes, is in tests/model/test_odd_answers.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError

from local.simulator.control.client import SessionMade
from local.simulator.faults.responses import Fault
from local.simulator.tenant.orders import NewSession
from tests.support.front import Front, eventually

DAY = timedelta(days=1)
FAR = "9999-12-31T23:59:59.9999999Z"


@contextmanager
def changed(front: Front, before: dict[str, Any], **settings: Any) -> Iterator[None]:
    """Graph with other settings, and then with these again."""
    front.control.change_settings(**settings)
    try:
        yield
    finally:
        front.control.change_settings(**before)


def people(front: Front, made: SessionMade) -> int:
    return len(json.loads(front.body(made.report_id))["attendanceRecords"])


def metadata(front: Front, made: SessionMade) -> dict[str, str]:
    (path,) = front.reports(made.report_id)
    found: dict[str, str] = front.container.get_blob_client(path).get_blob_properties().metadata
    return found


def redrive(front: Front, made: SessionMade, result: str) -> None:
    """Have what settled so taken up again, and wait until it was."""
    before = front.outcome(made.call_id, result)
    today = datetime.now(UTC).date()
    front.ask("redrive", outcomes=[result], start=today - 3 * DAY, end=today)
    eventually(lambda: front.outcomes(made.call_id)[0]["attempt"] > before["attempt"] + 1, "the redrive")


@pytest.mark.parametrize("lacks", [("joinWebUrl",), ("joinWebUrl", "type"), ("endDateTime",)], ids=str)
def test_a_call_record_that_is_revised_after_its_notification_is_archived(
    front: Front, lacks: tuple[str, ...]
) -> None:
    made = front.session(first_version_lacks=lacks, revised_after=3600.0)
    front.notify(made.call_id)
    assert front.outcome(made.call_id, "pending")["lastError"]
    front.control.change_session(made.call_id, revisedAfter=0)
    assert front.outcome(made.call_id, "stored")["metadata"]["version"] == "2"


@pytest.mark.parametrize("body", [{}, {"error": {"code": "UnknownError"}}, {"id": "another"}], ids=str)
def test_an_answer_that_is_no_call_record_decides_nothing(front: Front, body: dict[str, Any]) -> None:
    made = front.session()
    front.control.add_fault(Fault(f"callRecords/{made.call_id}", status=200, body=body, times=2))
    front.notify(made.call_id)
    assert front.outcome(made.call_id, "stored")["attempt"] == 3


@pytest.mark.parametrize("kind", [None, "unknown", "unknownFutureValue", "GROUPCALL"])
def test_a_join_url_makes_a_meeting_whatever_the_type_says(front: Front, kind: str | None) -> None:
    meeting = front.control.add_meeting()
    made = front.control.add_session(NewSession(meeting.meeting_id, announce=False))
    now = datetime.now(UTC)
    body = {
        "id": made.call_id,
        "type": kind,
        "joinWebUrl": meeting.join_web_url,
        "startDateTime": (now - timedelta(minutes=30)).isoformat(),
        "endDateTime": now.isoformat(),
        "organizer_v2": {"identity": {"user": {"id": meeting.organizer_id}}},
    }
    front.control.add_fault(Fault(f"callRecords/{made.call_id}", status=200, body=body))
    front.notify(made.call_id)
    assert front.outcome(made.call_id, "stored")["attempt"] == 1


def test_an_ad_hoc_group_call_is_waited_for_and_then_no_meeting_that_is_looked_at_again(front: Front) -> None:
    fresh = front.control.add_session(NewSession(announce=False))
    front.notify(fresh.call_id)
    assert "no join URL" in front.outcome(fresh.call_id, "pending")["lastError"]
    old = front.control.add_session(NewSession(announce=False, end=datetime.now(UTC) - 2 * DAY))
    front.ask("backfill", start=(datetime.now(UTC) - 3 * DAY).date(), end=datetime.now(UTC).date())
    settled = front.outcome(old.call_id, "notAMeeting")
    assert settled["nextAttempt"]
    assert "no join URL" in settled["lastError"]


def test_the_sweep_reopens_what_a_later_version_contradicts(front: Front) -> None:
    end = datetime.now(UTC) - 2 * DAY
    made = front.session(end=end, first_version_lacks=("joinWebUrl",), revised_after=30 * 86_400.0)

    def swept() -> None:
        with suppress(ResourceNotFoundError):
            front.apart.delete_blob("sweep/full.json")
        front.run("sweep")
        eventually(lambda: front.state("sweep/full.json").get("finished"), "the full look")

    front.ask("backfill", start=end.date() - DAY, end=end.date() + DAY)
    front.outcome(made.call_id, "notAMeeting")
    front.control.change_session(made.call_id, revisedAfter=0)
    front.control.clear_calls()
    swept()
    front.outcome(made.call_id, "stored")
    front.control.clear_calls()
    swept()
    assert not front.calls(made.call_id)  # it agrees by now, and nothing is read for it


def test_a_redrive_asks_for_the_call_record_again(front: Front) -> None:
    made = front.session()
    body = {"id": made.call_id, "type": "peerToPeer"}
    front.control.add_fault(Fault(f"callRecords/{made.call_id}", status=200, body=body))
    front.notify(made.call_id)
    assert front.outcome(made.call_id, "notAMeeting")["nextAttempt"] is None
    front.redrive("notAMeeting")
    front.outcome(made.call_id, "stored")


def test_a_lost_next_link_makes_a_partial_report_and_no_stored_one_smaller(front: Front) -> None:
    made = front.session(participants=250, end=datetime.now(UTC) - timedelta(hours=2))
    with changed(front, {"loseNextLinks": False}, loseNextLinks=True):
        front.notify(made.call_id)
        stored = front.outcome(made.call_id, "stored")
    assert (people(front, made), metadata(front, made)["partial"]) == (100, "true")
    assert stored["reports"][0]["partial"] is True
    assert stored["nextAttempt"]
    redrive(front, made, "stored")
    assert people(front, made) == 250
    assert "partial" not in metadata(front, made)
    with changed(front, {"loseNextLinks": False}, loseNextLinks=True):
        redrive(front, made, "stored")
    assert people(front, made) == 250
    assert front.outcome(made.call_id, "stored")["reports"][0]["partial"] is False


def test_a_report_of_nobody_beside_a_count_has_its_records_listed(front: Front) -> None:
    made = front.session(participants=5)
    truth = json.loads(front.control.true_report(made.report_id))
    body = {**truth, "attendanceRecords": []}
    front.control.add_fault(Fault(rf"attendanceReports/{made.report_id}\?", status=200, body=body))
    front.notify(made.call_id)
    front.outcome(made.call_id, "stored")
    assert people(front, made) == 5
    assert "partial" not in metadata(front, made)


@pytest.mark.parametrize("count", [-1, 10**30, "many", [], None])
def test_no_count_and_no_time_in_an_answer_ends_a_worker(front: Front, count: object) -> None:
    made = front.session(participants=3)
    truth = json.loads(front.control.true_report(made.report_id))
    front.control.add_fault(
        Fault(
            f"callRecords/{made.call_id}",
            status=200,
            body={"id": made.call_id, "endDateTime": FAR, "joinWebUrl": "x"},
        )
    )
    bodies = (
        {**truth, "meetingEndDateTime": FAR},
        {**truth, "totalParticipantCount": count, "meetingStartDateTime": FAR},
    )
    for body in bodies:
        front.control.add_fault(Fault(rf"attendanceReports/{made.report_id}\?", status=200, body=body))
    front.notify(made.call_id)
    assert front.outcome(made.call_id, "stored")["attempt"] == 3
    assert metadata(front, made)["participants"] == "3"
    assert front.length("meeting-signals-poison") == 0
