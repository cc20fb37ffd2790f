"""Meetings that were not announced are found, and days are sealed."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import pytest

from local.simulator.control.client import SessionMade
from local.simulator.faults.responses import Fault
from local.simulator.tenant.orders import NewMeeting, NewPast, NewSession
from local.stack.compose import Stack
from tests.support.front import Front, eventually, own_stack

DAY = timedelta(days=1)


stack = own_stack()


def backfill(front: Front, day: date) -> str:
    """Ask for the backfill of a day, and return the name of its scan's state."""
    front.ask("backfill", start=day, end=day)
    return f"sweep/backfill-{day:%Y%m%d}0000-{day + DAY:%Y%m%d}0000.json"


def between_two(front: Front, day: date) -> SessionMade:
    """A call of two people on a day, which the list alone decides."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    order = NewSession(type="peerToPeer", start=noon, end=noon + timedelta(minutes=5), announce=False)
    return front.control.add_session(order)


@dataclass(frozen=True)
class Past:
    """Days that a full scan has found and sealed: one call of a sealed day has no report yet."""

    day: date
    made: Sequence[SessionMade]
    late: SessionMade
    look: dict[str, Any]
    calls: Sequence[str]


@pytest.fixture(scope="module")
def past(stack: Stack) -> Past:
    front = Front(stack)
    end = datetime.now(UTC) - 3 * DAY  # the newest day that is over at any hour
    made = front.control.add_past(NewPast(days=3, meetings_per_day=5))
    late = front.session(start=end - timedelta(minutes=30), end=end, no_report=True)
    look = front.sweep("full")
    for each in made:
        front.outcome(each.call_id, "stored")
    front.outcome(late.call_id, "noReport")
    front.control.clear_calls()
    front.sweep()
    return Past(end.date(), made, late, look, front.calls())


def sealed(front: Front, day: date, after: int = 0) -> dict[str, Any]:
    """Wait for the manifest of a day that is complete, of a revision later than this one."""

    def look() -> dict[str, Any]:
        found = front.manifest(day)
        return found if found.get("complete") and found["revision"] > after else {}

    return eventually(look, f"{day} to be sealed")


def test_the_past_is_found_stored_and_sealed(front: Front, past: Past) -> None:
    assert (past.look["records"], past.look.get("error")) == (len(past.made) + 1, None)
    for each in past.made:
        assert len(front.reports(each.report_id)) == 1
    manifest = sealed(front, past.day)
    names = list(front.container.list_blob_names(name_starts_with=f"reports/date={past.day}/"))
    assert manifest["reports"] == len(names)
    assert manifest["outcomes"] == {"stored": len(names), "noReport": 1}
    assert manifest["revision"] == 1
    assert {call.split("?")[0] for call in past.calls} == {"GET /v1.0/communications/callRecords"}


def test_a_report_that_comes_after_its_day_was_sealed_is_a_new_revision(front: Front, past: Past) -> None:
    before = sealed(front, past.day)
    front.control.change_session(past.late.call_id, noReport=False)
    front.ask("redrive", outcomes=["noReport"], start=past.day, end=past.day)
    front.outcome(past.late.call_id, "stored")
    front.sweep()
    assert sealed(front, past.day, before["revision"])["reports"] == before["reports"] + 1


def test_a_second_look_costs_pages_and_nothing_else(front: Front) -> None:
    made = [front.session() for _ in range(3)]
    front.sweep()
    for each in made:
        front.outcome(each.call_id, "stored", attempt=1)
    front.control.clear_calls()
    look = front.sweep()
    assert look.get("missing", 0) == 0
    pages = -(-look["records"] // 60)
    calls = map(unquote, front.calls())  # of a full scan too, which may still run
    starts = [re.search(r"/callRecords\?.*startDateTime ge (\S+)", call) for call in calls]
    assert all(starts)
    earliest = datetime.now(UTC) - timedelta(hours=7)
    recent = [each for each in starts if each and datetime.fromisoformat(each[1]) > earliest]
    assert len(recent) == pages


def test_a_swept_meeting_costs_a_call_less_than_an_announced_one(front: Front) -> None:
    meeting = front.control.add_meeting(NewMeeting(organizer=str(uuid4())))
    made = front.control.add_session(NewSession(meeting.meeting_id, announce=False))
    front.sweep()
    front.outcome(made.call_id, "stored")
    assert not front.calls(made.call_id)  # the call record itself
    assert len(front.calls(meeting.organizer_id)) == 3  # meeting, list, report


def test_what_a_list_decides_is_settled_at_once(front: Front) -> None:
    outsider = front.session(NewMeeting(tenant="99999999-2222-4333-8444-555555555555"))
    between_two = front.control.add_session(NewSession(type="peerToPeer", announce=False))
    front.sweep()
    front.outcome(outsider.call_id, "externalOrganizer", attempt=0)
    front.outcome(between_two.call_id, "notAMeeting", attempt=0)
    assert not front.calls(outsider.call_id)
    assert not front.calls(between_two.call_id)


def test_a_call_in_the_list_without_what_is_needed_is_asked_for(front: Front) -> None:
    by_phone = front.session(NewMeeting("short"), phone_organizer=True)
    front.sweep()
    eventually(lambda: front.calls(by_phone.call_id), "the call record to be read")


def test_a_backfill_takes_every_report_of_each_meeting_that_it_meets(front: Front) -> None:
    series = front.control.add_meeting(NewMeeting("recurring"))
    now = datetime.now(UTC)
    ends = [now - timedelta(days=days) for days in (2, 9, 40, 300)]
    made = [front.control.add_session(NewSession(series.meeting_id, end=end, announce=False)) for end in ends]
    front.notify(made[0].call_id)
    front.outcome(made[0].call_id, "stored")
    assert not front.reports(made[2].report_id)
    front.ask("backfill", start=(now - 10 * DAY).date(), end=now.date())
    for each in made[:2]:
        front.outcome(each.call_id, "stored")
    eventually(lambda: all(front.reports(each.report_id) for each in made), "reports of old sessions")


def test_a_backfill_that_graph_throttles_still_takes_every_report(front: Front) -> None:
    series = front.control.add_meeting(NewMeeting("recurring"))
    now = datetime.now(UTC)
    made = [
        front.control.add_session(
            NewSession(series.meeting_id, end=now - timedelta(days=days), announce=False)
        )
        for days in (3, 50, 100, 150, 200)
    ]
    throttled = Fault(f"attendanceReports/{made[2].report_id}", status=429, headers={"Retry-After": "12"})
    front.control.add_fault(throttled)
    front.ask("backfill", start=(now - 4 * DAY).date(), end=(now - 2 * DAY).date())
    eventually(lambda: all(front.reports(each.report_id) for each in made), "reports of old sessions")
    front.outcome(made[0].call_id, "stored")


def test_a_look_that_broke_off_goes_on_at_its_page(front: Front) -> None:
    day = datetime.now(UTC).date() - 20 * DAY
    for _ in range(61):  # one more than a page has
        between_two(front, day)
    front.control.add_fault(Fault("callRecords.*skiptoken", status=503, times=-1))
    name = backfill(front, day)
    stopped = eventually(lambda: (look := front.state(name)).get("error") and look, "the scan to stop")
    assert stopped["calls"]["link"]
    assert (stopped["records"], stopped.get("finished")) == (60, None)
    front.control.clear_faults()
    overdue = datetime.now(UTC) - timedelta(hours=1)
    front.apart.upload_blob(
        name, json.dumps(front.state(name) | {"next": overdue.isoformat()}), overwrite=True
    )
    front.run("sweep")
    done = eventually(lambda: (look := front.state(name)).get("finished") and look, "the scan to go on")
    assert (done["records"], done.get("error")) == (61, None)


def test_a_look_killed_in_the_middle_goes_on_by_itself(front: Front) -> None:
    day = datetime.now(UTC).date() - 21 * DAY
    made = between_two(front, day)
    front.control.add_fault(Fault(f"%20ge%20{day}T00", action="hang", times=1))
    name = backfill(front, day)
    eventually(lambda: not front.control.faults(), "a call to hang")
    front.stack.kill_functions()
    front.control.clear_faults()
    front.stack.await_functions()
    eventually(lambda: front.state(name).get("finished"), "the scan to go on")
    front.outcome(made.call_id, "notAMeeting")
