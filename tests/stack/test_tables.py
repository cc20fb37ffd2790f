"""The tables of sealed and open days on the real storage."""

import json
from datetime import UTC, date, datetime, timedelta

from local.simulator.tenant.orders import NewPast
from tests.support.front import Front, eventually, own_stack

stack = own_stack(SWEEP_SCHEDULE="*/5 * * * * *")  # an hour takes five seconds


def test_a_sealed_day_has_tables_of_meetings_and_attendees(front: Front) -> None:
    front.control.add_past(NewPast(days=3, meetings_per_day=4, participants=3))
    past = (datetime.now(UTC) - timedelta(days=3)).date()
    (name,) = front.table(past)
    found = front.rows(past)
    index = front.container.download_blob(f"manifests/date={past}/reports.jsonl").readall()
    paths = [json.loads(line)["path"] for line in index.splitlines()]
    assert sorted(paths) == sorted(front.container.list_blob_names(name_starts_with=f"reports/date={past}/"))
    stored = [json.loads(front.container.download_blob(each).readall()) for each in paths]
    attended = [(report["id"], each["id"]) for report in stored for each in report["attendanceRecords"]]
    assert [(row["reportId"], row["recordId"]) for row in found] == attended
    assert all(row["organizerId"] and row["joinWebUrl"] and row["subject"] for row in found)
    assert [row["reportId"] for row in front.rows(past, "meetings")] == [report["id"] for report in stored]
    properties = front.container.get_blob_client(name).get_blob_properties()
    assert properties.content_settings.content_type == "application/vnd.apache.parquet"


def test_a_report_is_in_the_table_of_its_open_day_within_the_hour(front: Front) -> None:
    made = front.session()
    front.notify(made.call_id)
    (report,) = front.outcome(made.call_id, "stored")["reports"]
    day = date.fromisoformat(report["path"].split("date=")[1][:10])

    def attendees() -> list[str]:
        files = front.manifest(day).get("tables", {}).get("files")
        return (
            [each["recordId"] for each in front.rows(day) if each["reportId"] == report["id"]]
            if files
            else []
        )

    found = eventually(attendees, "rows of the open day")
    assert not front.manifest(day)["complete"]
    records = json.loads(front.container.download_blob(report["path"]).readall())["attendanceRecords"]
    assert found == [each["id"] for each in records]
