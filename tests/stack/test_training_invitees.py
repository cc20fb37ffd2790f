"""`attendance training` without a roster, where the archive keeps who was invited."""

from datetime import UTC, datetime, timedelta

from local.simulator.tenant.orders import NewMeeting
from tests.support.command_line import told
from tests.support.front import Front, own_stack

stack = own_stack(MEETING_DETAILS="subject,schedule,invitees")


def test_those_who_were_invited_are_expected_and_the_others_absent(front: Front) -> None:
    start = datetime.now(UTC) - timedelta(hours=2)
    made = front.session(
        NewMeeting(subject="Onboarding", invited=9),
        start=start,
        end=start + timedelta(hours=1),
        participants=5,
    )
    front.notify(made.call_id)
    front.outcome(made.call_id, "stored")
    found = told(front, "training", "Onboarding")
    truth = front.control.true_reports()[made.report_id]["attendanceRecords"]
    attended = {(record["identity"] or {}).get("id") for record in truth}
    assert found["expectedFrom"] == "invitees"
    assert len(found["people"]) > 1
    for person in found["people"]:
        absent = [each["result"] == "absent" for each in person["attendance"]]
        if person["objectId"]:
            assert absent == [person["objectId"] not in attended]
    known = [each["objectId"] for each in (*found["people"], *found["notExpected"]) if each["objectId"]]
    assert len(known) == len(set(known))
