"""Meetings that were not announced are found, and days are sealed."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.core.exceptions import ResourceNotFoundError

from local.simulator.faults.responses import Fault
from local.simulator.tenant.orders import NewMeeting, NewPast, NewSession
from local.stack.compose import Stack
from tests.support.front import Front, eventually, own_stack

DAY = timedelta(days=1)


stack = own_stack()


def change(front: Front, name: str, **fields: object) -> None:
    front.apart.upload_blob(name, json.dumps(front.state(name) | fields), overwrite=True)


def forget(front: Front, look: str) -> None:
    """Have the next run of the timer begin this look anew."""
    with suppress(ResourceNotFoundError):
        front.apart.delete_blob(f"sweep/{look}.json")


def swept(front: Front, look: str) -> dict[str, Any]:
    """Run the timer's function, and wait for a scan that began after that."""
    before = front.state(f"sweep/{look}.json").get("started", "")
    front.run("sweep")

    def done() -> dict[str, Any]:
        found = front.state(f"sweep/{look}.json")
        return found if found and found["started"] > before and found.get("finished") else {}

    return eventually(done, f"the {look} look to finish")


def test_the_past_is_found_stored_and_sealed(front: Front) -> None:
    made = front.control.add_past(NewPast(days=3, meetings_per_day=20))
    look = swept(front, "full")
    assert (look["records"], look.get("error")) == (60, None)
    for each in made:
        front.outcome(each.call_id, "stored")
        assert len(front.reports(each.report_id)) == 1
    front.control.clear_calls()
    swept(front, "recent")
    day = (datetime.now(UTC) - 3 * DAY).date()  # the newest that is over at any hour
    sealed = eventually(lambda: (found := front.manifest(day)).get("complete") and found, "sealing")
    names = list(front.container.list_blob_names(name_starts_with=f"reports/date={day}/"))
    assert sealed["reports"] == len(names)
    assert sealed["outcomes"] == {"stored": sealed["reports"]}
    assert sealed["revision"] == 1
    assert {call.split("?")[0] for call in front.calls()} == {"GET /v1.0/communications/callRecords"}


def test_a_second_look_costs_pages_and_nothing_else(front: Front) -> None:
    made = [front.session() for _ in range(3)]
    swept(front, "recent")
    for each in made:
        front.outcome(each.call_id, "stored", attempt=1)
    front.control.clear_calls()
    look = swept(front, "recent")
    assert look.get("missing", 0) == 0
    pages = -(-look["records"] // 60)
    assert len(front.calls("callRecords?")) == len(front.calls()) == pages


def test_a_swept_meeting_costs_a_call_less_than_an_announced_one(front: Front) -> None:
    meeting = front.control.add_meeting()
    made = front.control.add_session(NewSession(meeting.meeting_id, announce=False))
    swept(front, "recent")
    front.outcome(made.call_id, "stored")
    assert not front.calls(made.call_id)  # the call record itself
    assert len(front.calls(meeting.organizer_id)) == 3  # meeting, list, report


def test_what_a_list_decides_is_settled_at_once(front: Front) -> None:
    outsider = front.session(NewMeeting(tenant="99999999-2222-4333-8444-555555555555"))
    between_two = front.control.add_session(NewSession(type="peerToPeer", announce=False))
    swept(front, "recent")
    front.outcome(outsider.call_id, "externalOrganizer", attempt=0)
    front.outcome(between_two.call_id, "notAMeeting", attempt=0)
    assert not front.calls(outsider.call_id)
    assert not front.calls(between_two.call_id)


def test_a_call_in_the_list_without_what_is_needed_is_asked_for(front: Front) -> None:
    by_phone = front.session(NewMeeting("short"), phone_organizer=True)
    swept(front, "recent")
    eventually(lambda: front.calls(by_phone.call_id), "the call record to be read")


def test_a_meeting_of_29_hours_across_midnights_is_found_on_the_day_it_ended(front: Front) -> None:
    end = datetime.now(UTC) - timedelta(hours=40)
    made = front.session(start=end - timedelta(hours=29), end=end)
    late = front.session(start=end - timedelta(minutes=50), end=end, record_delay=60 * 60 * 41)
    forget(front, "full")
    swept(front, "full")
    found = front.outcome(made.call_id, "stored")
    assert found["name"].startswith(f"outcomes/date={end.date()}/")
    assert not front.outcomes(late.call_id)
    front.control.change_session(late.call_id, recordDelay=0)
    forget(front, "full")
    swept(front, "full")
    front.outcome(late.call_id, "stored")


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


def test_a_look_that_broke_off_goes_on_at_its_page(front: Front) -> None:
    front.control.add_past(NewPast(days=1, meetings_per_day=130))
    front.control.add_fault(Fault("callRecords.*skiptoken", status=503, times=-1))
    forget(front, "full")
    front.run("sweep")
    stopped = eventually(
        lambda: (look := front.state("sweep/full.json")).get("error") and look, "the look to stop"
    )
    assert stopped["calls"]["link"]
    assert not stopped.get("finished")
    front.control.clear_faults()
    front.control.clear_calls()
    overdue = datetime.now(UTC) - timedelta(hours=1)
    change(front, "sweep/full.json", next=overdue.isoformat())
    front.run("sweep")
    done = eventually(
        lambda: (look := front.state("sweep/full.json")).get("finished") and look, "the look to go on"
    )
    assert not done.get("error")
    assert done["records"] > stopped["records"]
    first = next(call for call in front.calls("callRecords?") if "skiptoken" in call)
    assert "skiptoken" in first


def test_a_look_killed_in_the_middle_goes_on_by_itself(front: Front) -> None:
    front.control.add_fault(Fault("callRecords\\?", action="hang", times=1))
    forget(front, "full")
    before = len(front.calls("callRecords?"))
    front.run("sweep")
    eventually(lambda: len(front.calls("callRecords?")) > before, "a call to hang")
    front.stack.kill_functions()
    front.control.clear_faults()
    front.stack.await_functions()
    eventually(lambda: front.state("sweep/full.json").get("finished"), "the look to go on")


def test_a_pending_outcome_whose_message_is_lost_is_taken_up_two_hours_later(front: Front) -> None:
    made = front.session(report_delay=3600.0)
    swept(front, "recent")
    front.outcome(made.call_id, "pending")
    front.stack.queue_service().get_queue_client("meeting-signals").clear_messages()
    front.control.change_session(made.call_id, reportDelay=0)
    swept(front, "recent")
    (found,) = front.outcomes(made.call_id)
    if found["outcome"] == "pending":
        overdue = datetime.now(UTC) - timedelta(hours=2, minutes=1)
        container = front.container
        blob = container.get_blob_client(found["name"])
        text = overdue.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        blob.set_blob_metadata(found["metadata"] | {"nextattempt": text})
        record = f"signals/{found['signalId']}.json"
        change(front, record, next=front.state(record)["next"] | {"at": text})
        swept(front, "recent")
    front.outcome(made.call_id, "stored")


def test_a_report_that_comes_after_its_day_was_sealed_is_a_new_revision(front: Front) -> None:
    end = datetime.now(UTC) - timedelta(days=3)
    made = front.session(end=end, no_report=True)
    forget(front, "full")
    swept(front, "full")
    settled = front.outcome(made.call_id, "noReport")
    assert settled["nextAttempt"] is not None
    swept(front, "recent")
    sealed = eventually(lambda: (found := front.manifest(end.date())).get("complete") and found, "sealing")
    assert sealed["outcomes"]["noReport"] == 1
    front.control.change_session(made.call_id, noReport=False)
    front.ask("redrive", outcomes=["noReport"], start=end.date(), end=end.date())
    front.outcome(made.call_id, "stored")
    swept(front, "recent")
    again = eventually(
        lambda: (found := front.manifest(end.date()))["revision"] > sealed["revision"] and found, "revision"
    )
    assert again["complete"]
    assert again["reports"] == sealed["reports"] + 1


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


def test_the_second_reading_of_a_fresh_report_survives_a_redrive(stack: Stack, front: Front) -> None:
    stack.restart_functions({"CONFIRM_AFTER": "12"})
    made = front.session(participants=8, grow_after=10**6)
    front.notify(made.call_id)
    stored = front.outcome(made.call_id, "stored")
    today = datetime.now(UTC).date()
    front.ask("redrive", outcomes=["stored"], start=today - DAY, end=today)
    eventually(lambda: front.outcome(made.call_id, "stored")["attempt"] > stored["attempt"], "the redrive")
    front.control.change_session(made.call_id, growAfter=0)
    eventually(
        lambda: len(json.loads(front.body(made.report_id))["attendanceRecords"]) == 8, "the second reading"
    )
    stack.restart_functions()
