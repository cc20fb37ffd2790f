"""Refused organizers: reported once with the remedy, and retried once granted."""

from typing import Any

from local.simulator.control.client import SessionMade
from local.simulator.faults.responses import Fault
from local.simulator.tenant.orders import NewMeeting, NewSession
from tests.support.front import Front, eventually, own_stack

# The wait after a 403 is cut to the window, and that is short.
stack = own_stack(RETRY_WINDOW="4")


def entries(front: Front, prefix: str) -> dict[str, dict[str, Any]]:
    found = {name: front.state(name) for name in front.apart.list_blob_names(name_starts_with=prefix)}
    return {name: content for name, content in found.items() if content}  # others were removed meanwhile


def denied(front: Front, count: int = 2) -> tuple[str, list[SessionMade]]:
    """An organizer without a policy, with announced and settled meetings."""
    meetings = [front.control.add_meeting(NewMeeting(denied=True))]
    organizer = meetings[0].organizer_id
    meetings += [front.control.add_meeting(NewMeeting(organizer=organizer)) for _ in range(count - 1)]
    made = [front.control.add_session(NewSession(each.meeting_id, announce=False)) for each in meetings]
    front.notify(*[each.call_id for each in made])
    for each in made:
        front.outcome(each.call_id, "accessDenied")
    return organizer, made


def test_an_organizer_without_access_is_put_down_once_with_the_cure(front: Front) -> None:
    organizer, made = denied(front)
    (entry,) = [each for each in entries(front, "access/").values() if each["organizerId"] == organizer]
    assert f"-Identity {organizer}" in entry["cure"]
    assert "New-CsApplicationAccessPolicy" in entry["cure"]
    assert front.outcomes(made[0].call_id)[0]["metadata"]["organizerid"] == organizer


def test_after_the_policy_is_granted_the_daily_probe_takes_everything_up(front: Front) -> None:
    organizer, made = denied(front, 3)
    other, others = denied(front, 1)
    front.control.deny(organizer, denied=False)
    for name in list(front.apart.list_blob_names(name_starts_with="sweep/full.json")):
        front.apart.delete_blob(name)
    front.run("sweep")
    for each in made:
        front.outcome(each.call_id, "stored")
        assert len(front.outcomes(each.call_id)) == 1
    eventually(
        lambda: f"access/{organizer}.json" not in entries(front, "access/"), "the organizer to be forgotten"
    )
    assert f"access/{other}.json" in entries(front, "access/")
    front.outcome(others[0].call_id, "accessDenied")


def test_after_the_policy_is_granted_a_redrive_takes_them_up(front: Front) -> None:
    organizer, made = denied(front)
    front.control.deny(organizer, denied=False)
    front.redrive("accessDenied")
    for each in made:
        front.outcome(each.call_id, "stored")
    eventually(
        lambda: f"access/{organizer}.json" not in entries(front, "access/"), "the organizer to be forgotten"
    )


def test_a_redrive_too_early_leaves_what_was_known(front: Front) -> None:
    _, made = denied(front, 1)
    before = front.outcome(made[0].call_id, "accessDenied")
    front.redrive("accessDenied")
    eventually(
        lambda: (
            (found := front.outcomes(made[0].call_id)[0])["attempt"] > before["attempt"]
            and found["outcome"] == "accessDenied"
        ),
        "another attempt",
    )


def test_call_records_that_are_refused_are_taken_up_when_the_permission_is_back(front: Front) -> None:
    made = [front.session() for _ in range(2)]
    front.control.add_fault(Fault("callRecords", status=403, times=-1))
    front.notify(*[each.call_id for each in made])
    for each in made:
        front.outcome(each.call_id, "accessDenied", organizerId=None)
    entry = eventually(lambda: entries(front, "access/call-records.json"), "an entry")
    assert "CallRecords.Read.All" in entry["access/call-records.json"]["cure"]
    front.control.clear_faults()
    front.run("sweep")
    for each in made:
        front.outcome(each.call_id, "stored")
    assert not entries(front, "access/call-records.json")
