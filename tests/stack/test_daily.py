"""The daily table is complete before it is named, and follows corrections."""

import gzip
import json
from datetime import UTC, date, datetime, timedelta
from typing import cast

import pytest
from azure.storage.blob import ContainerClient

from local.simulator.tenant.orders import NewPast
from shared.days.manifests import Manifests, index_name
from shared.messages.tasks import WriteDaily
from shared.tables import attendee_table
from shared.tables.attendee_table import AttendeeTable, cut_parts, part_name
from tests.support.doubles import Container, Steps
from tests.support.front import Front, own_stack

DAY = date(2026, 11, 23)
END = "2026-11-23T10:00:00Z"

stack = own_stack()


class Day:
    """A day on doubles, whose reports have one attendee each."""

    def __init__(self) -> None:
        self.blobs = Container(Steps(datetime(2026, 11, 25, tzinfo=UTC)))
        self.container = cast(ContainerClient, self.blobs)
        self.manifests = Manifests(self.container)
        self.daily = AttendeeTable(self.container, self.manifests)

    def store(self, report_id: str, person: str = "p", *, body: bytes | None = None) -> None:
        record = {"id": person, "identity": {"id": person}}
        report = {"id": report_id, "meetingEndDateTime": END, "attendanceRecords": [record]}
        told = {"sha256": f"{report_id} {person}", "source": "onlineMeeting"}
        name = f"reports/date={DAY}/{report_id}.json"
        self.blobs.upload_blob(name, body or json.dumps(report).encode(), overwrite=True, metadata=told)

    def seal(self) -> list[WriteDaily]:
        self.manifests.refresh(DAY, final=True)
        return self.daily.plan_parts(DAY)

    @property
    def named(self) -> tuple[str, ...]:
        manifest = self.manifests.read(DAY)
        return manifest.daily if manifest else ()

    def rows(self) -> list[tuple[str, str]]:
        parts = self.blobs.below(f"daily/date={DAY}/")
        found = [json.loads(row) for part in parts for row in gzip.decompress(part.body).splitlines()]
        return [(row["reportId"], row["personId"]) for row in found]

    def etags(self) -> list[str]:
        return [blob.etag for blob in self.blobs.below(f"daily/date={DAY}/")]


@pytest.fixture
def day(monkeypatch: pytest.MonkeyPatch) -> Day:
    """A day of five reports in three parts."""
    monkeypatch.setattr(attendee_table, "PART_REPORTS", 2)
    made = Day()
    for number in range(5):
        made.store(f"r{number}")
    return made


def test_a_table_is_named_when_its_last_part_is_written(day: Day) -> None:
    parts = day.seal()
    assert [each.number for each in parts] == [0, 1, 2]
    for part in (parts[2], parts[0]):
        day.daily.write_part(part)
        assert not day.named
    day.daily.write_part(parts[1])
    assert day.named == tuple(part_name(DAY, number) for number in range(3))
    assert day.rows() == [(f"r{number}", "p") for number in range(5)]


def test_written_twice_a_part_is_written_once(day: Day) -> None:
    for part in day.seal():
        day.daily.write_part(part)
    before, revision = day.etags(), day.manifests.read(DAY)
    for part in day.daily.plan_parts(DAY):
        day.daily.write_part(part)
    assert (day.etags(), day.manifests.read(DAY)) == (before, revision)


def test_after_a_correction_the_table_is_named_again_when_it_has_it(day: Day) -> None:
    for part in day.seal():
        day.daily.write_part(part)
    bodies = [blob.body for blob in day.blobs.below("daily/")]
    day.store("r4", "someone else")
    parts = day.seal()
    assert not day.named
    for part in parts:
        day.daily.write_part(part)
    assert len(day.named) == 3
    assert day.rows()[-1] == ("r4", "someone else")
    assert [blob.body for blob in day.blobs.below("daily/")][:2] == bodies[:2]


def test_a_part_of_an_index_that_is_gone_is_not_written(day: Day) -> None:
    old = day.seal()
    day.store("r5")
    new = day.seal()
    for part in old:
        day.daily.write_part(part)
    assert not day.rows()
    assert not day.named
    for part in new:
        day.daily.write_part(part)
    assert len(day.rows()) == 6


def test_parts_that_are_too_many_are_deleted(day: Day) -> None:
    for part in day.seal():
        day.daily.write_part(part)
    for number in (2, 3, 4):
        day.blobs.delete_blob(f"reports/date={DAY}/r{number}.json")
    for part in day.seal():
        day.daily.write_part(part)
    assert day.named == (part_name(DAY, 0),)
    assert [blob.name for blob in day.blobs.below("daily/")] == [part_name(DAY, 0)]


@pytest.mark.parametrize("body", [b"\xff", b"[]", b"{"])
def test_a_report_that_is_no_json_object_costs_its_own_rows_alone(day: Day, body: bytes) -> None:
    day.store("r1", body=body)
    for part in day.seal():
        day.daily.write_part(part)
    assert [report for report, _ in day.rows()] == ["r0", "r2", "r3", "r4"]


def test_a_day_without_reports_needs_no_table() -> None:
    empty = Day()
    assert empty.seal() == []
    manifest = empty.manifests.read(DAY)
    assert manifest
    assert manifest.is_complete_with_table


def test_a_part_ends_before_its_reports_are_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attendee_table, "PART_BYTES", 100)
    assert list(cut_parts([(10, 60), (11, 40), (12, 1), (13, 500), (14, 1)])) == [
        (0, 21),
        (21, 12),
        (33, 13),
        (46, 14),
    ]


def test_the_parts_hold_every_line_of_the_index_once(day: Day) -> None:
    parts = day.seal()
    index = day.blobs.download_blob(index_name(DAY)).readall()
    assert b"".join(index[part.offset :][: part.length] for part in parts) == index


def test_a_sealed_day_has_a_table_of_its_attendees(front: Front) -> None:
    front.control.add_past(NewPast(days=3, meetings_per_day=4, participants=3))
    past = (datetime.now(UTC) - timedelta(days=3)).date()
    (name,) = front.table(past)
    blob = front.container.download_blob(name)
    found = [json.loads(row) for row in gzip.decompress(blob.readall()).splitlines()]
    stored = [
        json.loads(front.container.download_blob(each).readall())
        for each in front.container.list_blob_names(name_starts_with=f"reports/date={past}/")
    ]
    attended = [(report["id"], each["id"]) for report in stored for each in report["attendanceRecords"]]
    assert [(row["reportId"], row["recordId"]) for row in found] == attended
    assert all(row["organizerId"] and row["joinWebUrl"] for row in found)
    assert blob.properties.content_settings.content_type == "application/gzip"
