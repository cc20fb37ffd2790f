"""The tables of a sealed day on the real storage."""

import json
from datetime import UTC, datetime, timedelta

from local.simulator.tenant.orders import NewPast
from tests.support.front import Front, own_stack

stack = own_stack()


def test_a_sealed_day_has_tables_of_meetings_and_attendees(front: Front) -> None:
    front.control.add_past(NewPast(days=3, meetings_per_day=4, participants=3))
    past = (datetime.now(UTC) - timedelta(days=3)).date()
    (name,) = front.table(past)
    found = front.rows(past)
    stored = [
        json.loads(front.container.download_blob(each).readall())
        for each in front.container.list_blob_names(name_starts_with=f"reports/date={past}/")
    ]
    attended = [(report["id"], each["id"]) for report in stored for each in report["attendanceRecords"]]
    assert [(row["reportId"], row["recordId"]) for row in found] == attended
    assert all(row["organizerId"] and row["joinWebUrl"] and row["subject"] for row in found)
    assert [row["reportId"] for row in front.rows(past, "meetings")] == [report["id"] for report in stored]
    properties = front.container.get_blob_client(name).get_blob_properties()
    assert properties.content_settings.content_type == "application/vnd.apache.parquet"
