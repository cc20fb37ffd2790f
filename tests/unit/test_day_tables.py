"""The tables of a sealed day: complete before they are named, exactly of their index, never changed."""

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import pytest
from azure.storage.blob import ContainerClient

from shared import times
from shared.days.index import RevisionReason, index_name
from shared.days.manifests import Manifest, Manifests
from shared.errors import NotAsIndexed
from shared.ledger.publish import Outcomes
from shared.ledger.record import AttemptSeries, Record, Result, dump_outcome, outcome_metadata
from shared.messages.signals import Meeting, Origin
from shared.messages.tasks import WriteDaily
from shared.tables import day_tables, delta
from shared.tables.columns import COLUMNS, KEYS, SCHEMA_VERSION, Table
from shared.tables.day_tables import GRACE, DayTables, cut_parts
from tests.support.blobs import Blob
from tests.support.delta import Snapshot, read_log
from tests.support.doubles import Container, Steps
from tests.support.parquet import ask, columns_of, files_of, read_table, rows_of, schema_of

DAY = date(2026, 11, 23)
END = "2026-11-23T10:00:00Z"
NOW = datetime(2026, 11, 25, tzinfo=UTC)
TENANT = "7f1d3c52-0a86-4be4-9c1e-5b2f8f7a6d10"


class Day:
    """A day on doubles, whose reports have one attendee each."""

    def __init__(self) -> None:
        self.steps = Steps(NOW)
        self.blobs = Container(self.steps)
        self.container = cast(ContainerClient, self.blobs)
        self.manifests = Manifests(self.container)
        self.tables = DayTables(self.container, self.manifests, TENANT)

    def store(self, report_id: str, *people: str, body: bytes | None = None, **metadata: str) -> None:
        records = [{"id": each, "identity": {"id": each}, "engagements": []} for each in people or ("p",)]
        report = {"id": report_id, "meetingEndDateTime": END, "attendanceRecords": records}
        content = body or json.dumps(report).encode()
        told = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "source": "onlineMeeting",
            "end": END,
        } | metadata
        self.blobs.upload_blob(f"reports/date={DAY}/{report_id}.json", content, overwrite=True, metadata=told)

    def seal(self, *, final: bool = True) -> list[WriteDaily]:
        """Refresh the manifest; the parts to write. Tables that need none are named."""
        manifest = self.manifests.refresh(DAY, final=final)
        if manifest.tables.index == manifest.index:
            return []
        parts = self.tables.plan_parts(manifest)
        if not parts:
            self.tables.name(manifest)
        return parts

    def write(self) -> bool:
        """Seal the day and write its tables; whether they are named by then."""
        return [bool(self.tables.write_part(part)) for part in self.seal()][-1:] == [True]

    @property
    def manifest(self) -> Manifest:
        manifest = self.manifests.read(DAY)
        assert manifest
        return manifest

    @property
    def has_tables(self) -> bool:
        return self.manifest.has_tables

    def rows(self, table: Table = Table.ATTENDEES) -> list[dict[str, Any]]:
        """What a reader finds who goes by the manifest."""
        paths = [each.path for each in files_of(self.manifest, table)]
        return read_table(lambda path: self.blobs.blobs[path].body, paths)

    def attended(self) -> list[tuple[str, str]]:
        return [(row["reportId"], row["personId"]) for row in self.rows()]

    def files(self) -> list[Blob]:
        return [blob for blob in self.blobs.below("tables/") if "/date=" in blob.name]


@pytest.fixture
def day(monkeypatch: pytest.MonkeyPatch) -> Day:
    """A day of five reports in three parts."""
    monkeypatch.setattr(day_tables, "PART_REPORTS", 2)
    made = Day()
    monkeypatch.setattr(times, "now", lambda: made.steps.now)
    for number in range(5):
        made.store(f"r{number}")
    return made


def test_tables_are_named_when_the_last_part_is_written(day: Day) -> None:
    parts = day.seal()
    assert [each.number for each in parts] == [0, 1, 2]
    for part in (parts[2], parts[0]):
        assert not day.tables.write_part(part)
        assert not day.has_tables
    assert day.tables.write_part(parts[1])
    assert day.has_tables
    assert day.attended() == [(f"r{number}", "p") for number in range(5)]
    assert [row["reportId"] for row in day.rows(Table.MEETINGS)] == [f"r{number}" for number in range(5)]
    assert day.manifest.tables.files[Table.ENGAGEMENTS] == ()


def test_the_manifest_tells_of_each_file(day: Day) -> None:
    day.write()
    named = [each for table in Table for each in files_of(day.manifest, table)]
    assert {each.path for each in named} == {blob.name for blob in day.files()}
    for each in named:
        body = day.blobs.blobs[each.path].body
        assert (each.bytes, each.sha256) == (len(body), hashlib.sha256(body).hexdigest())
        assert each.sha256[:16] in each.path
        assert each.rows == len(rows_of(body))
        assert each.schema_version == SCHEMA_VERSION


def test_written_twice_a_part_is_written_once(day: Day) -> None:
    parts = day.seal()
    for part in parts:
        day.tables.write_part(part)
    before, manifest = day.files(), day.manifest
    day.steps.now += timedelta(hours=1)
    for part in (*parts, *day.tables.plan_parts(day.manifest)):
        day.tables.write_part(part)
    assert (day.files(), day.manifest) == (before, manifest)


def test_two_writers_of_a_part_give_one_whole_part(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = day.seal()
    cut = day.blobs.watch

    def another_writer(name: str, before: Blob | None, after: Blob | None) -> None:
        if name.startswith("tables/attendees/"):
            day.blobs.watch = cut
            day.steps.now += timedelta(seconds=1)
            DayTables(day.container, day.manifests, TENANT).write_part(first)

    monkeypatch.setattr(day_tables, "_WRITING", threading.RLock())  # as another instance, which has its own
    day.blobs.watch = another_writer
    for part in (first, *others):
        day.tables.write_part(part)
    assert day.attended() == [(f"r{number}", "p") for number in range(5)]
    assert len(day.files()) == 8
    day.steps.now += 2 * GRACE
    assert day.tables.clean(DAY)
    assert len(day.files()) == 6
    assert day.attended() == [(f"r{number}", "p") for number in range(5)]


def test_tables_are_named_also_where_the_logs_get_those_before_meanwhile(day: Day) -> None:
    day.write()
    former, cut = day.manifest, day.blobs.watch
    day.store("r4", "someone else")
    (part,) = day.seal()

    def the_logs_have_them(name: str, before: Blob | None, after: Blob | None) -> None:
        if name.startswith("tables/attendees/date="):
            day.blobs.watch = cut
            day.tables.commit(former)

    day.blobs.watch = the_logs_have_them
    assert day.tables.write_part(part)
    assert day.attended()[-1] == ("r4", "someone else")
    assert day.manifest.tables.delta_version.keys() == {Table.ENGAGEMENTS}


def test_after_a_correction_the_changed_part_is_written_anew_and_the_former_stays_for_a_day(day: Day) -> None:
    day.write()
    former, bodies = day.manifest, {blob.name: blob for blob in day.files()}
    day.store("r4", "someone else")
    parts = day.seal()
    assert [part.number for part in parts] == [2]
    assert not day.has_tables
    assert day.manifest.tables == former.tables  # those of revision 1, until the new ones are there
    assert day.tables.write_part(parts[0])
    assert day.attended()[-1] == ("r4", "someone else")
    assert [row["revision"] for row in day.rows()] == [1, 1, 1, 1, 2]
    assert {blob.name: blob for blob in day.files()}.items() >= bodies.items()
    assert (day.manifest.revision, day.manifest.tables.revision) == (2, 2)
    day.steps.now += GRACE - timedelta(minutes=1)
    assert not day.tables.clean(DAY)
    assert {blob.name: blob for blob in day.files()}.items() >= bodies.items()
    day.steps.now += timedelta(minutes=1)
    assert day.tables.clean(DAY)
    assert {blob.name for blob in day.files()} == day.manifest.tables.paths
    assert day.attended()[-1] == ("r4", "someone else")


def test_a_file_that_is_no_longer_named_is_never_named_again(day: Day) -> None:
    day.write()
    former = day.manifest.tables
    day.store("r4", "someone else")
    day.write()
    day.store("r4")
    assert day.write()
    assert former.paths - day.manifest.tables.paths == {
        each.path for files in former.files.values() for each in files[2:]
    }
    assert (day.manifest.revision, day.manifest.tables.revision) == (3, 3)


def test_a_part_that_may_be_deleted_soon_is_written_again(day: Day) -> None:
    first, *_ = day.seal()
    day.tables.write_part(first)
    day.steps.now += GRACE
    parts = day.tables.plan_parts(day.manifest)
    assert [part.number for part in parts] == [0, 1, 2]
    for part in parts:
        day.tables.write_part(part)
    day.tables.clean(DAY)
    assert day.attended() == [(f"r{number}", "p") for number in range(5)]


def test_a_part_of_an_index_that_is_gone_is_not_written(day: Day) -> None:
    old = day.seal()
    day.store("r5")
    new = day.seal()
    for part in old:
        day.tables.write_part(part)
    assert not day.files()
    for part in new:
        day.tables.write_part(part)
    assert len(day.rows()) == 6


@pytest.mark.parametrize("is_deleted", [True, False])
def test_a_report_that_changes_after_the_index_is_in_no_table(day: Day, is_deleted: bool) -> None:
    parts = day.seal()
    if is_deleted:
        day.blobs.delete_blob(f"reports/date={DAY}/r3.json")
    else:
        day.store("r3", "someone else")
    with pytest.raises(NotAsIndexed):
        day.tables.write_part(parts[1])
    assert not day.files()
    assert day.write()
    assert day.attended()[3:4] == ([("r4", "p")] if is_deleted else [("r3", "someone else")])


def test_reports_that_are_gone_are_in_no_table(day: Day) -> None:
    day.write()
    for number in (2, 3, 4):
        day.blobs.delete_blob(f"reports/date={DAY}/r{number}.json")
    assert day.seal() == []  # the first part is as before
    assert day.attended() == [("r0", "p"), ("r1", "p")]
    for number in (0, 1):
        day.blobs.delete_blob(f"reports/date={DAY}/r{number}.json")
    assert day.seal() == []
    assert day.has_tables
    assert day.manifest.tables.paths == set()
    day.steps.now += 2 * GRACE
    assert day.tables.clean(DAY)
    assert day.files() == []


@pytest.mark.parametrize("body", [b"\xff", b"[]", b"{"])
def test_a_report_that_is_no_json_object_has_a_row_of_its_own_alone(day: Day, body: bytes) -> None:
    day.store("r1", body=body)
    assert day.write()
    assert [report for report, _ in day.attended()] == ["r0", "r2", "r3", "r4"]
    (row,) = [row for row in day.rows(Table.MEETINGS) if row["reportId"] == "r1"]
    assert (row["source"], row["records"], row["meetingEnd"]) == ("onlineMeeting", 0, None)


def test_a_meeting_that_nobody_attended_is_in_the_table_of_meetings(day: Day) -> None:
    report = {"id": "r0", "meetingEndDateTime": END, "totalParticipantCount": 0, "attendanceRecords": []}
    day.store("r0", body=json.dumps(report).encode())
    assert day.write()
    assert day.rows(Table.MEETINGS)[0]["meetingParticipants"] == 0
    assert "r0" not in [report for report, _ in day.attended()]


def test_a_day_without_reports_needs_no_files(day: Day) -> None:
    for number in range(5):
        day.blobs.delete_blob(f"reports/date={DAY}/r{number}.json")
    assert day.seal() == []
    assert day.has_tables
    assert day.manifest.tables.paths == set()


def test_engagements_have_a_table_where_there_are_any(day: Day) -> None:
    given = [{"engagementType": "hand", "engagementSubType": "raiseHand", "dateTime": END}] * 2
    record = {"id": "p", "identity": {"id": "p"}, "engagements": given}
    day.store("r4", body=json.dumps({"id": "r4", "attendanceRecords": [{}, record]}).encode())
    assert day.write()
    assert len(day.manifest.tables.files[Table.ENGAGEMENTS]) == 1
    found = [
        tuple(row[name] for name in ("date", *KEYS[Table.ENGAGEMENTS])) for row in day.rows(Table.ENGAGEMENTS)
    ]
    assert found == [(DAY, "r4", 1, 0), (DAY, "r4", 1, 1)]


ODD: list[Any] = [None, "", "x", "\ud800", "a\u0000b", 5.7, 2.0, 1 << 70, -1, True, [], [1], {}, {"id": 7}]


@pytest.mark.parametrize("place", ["record", "identity", "interval", "engagement", "report"])
def test_no_value_of_another_shape_spoils_a_file(day: Day, place: str) -> None:
    names: dict[str, tuple[str, ...]] = {
        "record": ("id", "emailAddress", "role", "registrationId", "totalAttendanceInSeconds", "identity"),
        "identity": ("id", "displayName", "tenantId", "@odata.type"),
        "interval": ("joinDateTime", "leaveDateTime", "durationInSeconds"),
        "engagement": ("engagementType", "engagementSubType", "dateTime"),
        "report": ("id", "meetingStartDateTime", "meetingEndDateTime", "totalParticipantCount"),
    }
    within: Callable[[dict[str, Any]], dict[str, Any]] = {
        "record": lambda odd: odd,
        "identity": lambda odd: {"identity": odd},
        "interval": lambda odd: {"attendanceIntervals": [odd, {}]},
        "engagement": lambda odd: {"engagements": [odd, {}]},
        "report": lambda odd: {},
    }[place]
    for number, value in enumerate(ODD):
        odd = dict.fromkeys(names[place], value)
        report = {"id": f"odd {number}", "attendanceRecords": [within(odd), value]}
        day.store(f"odd{number}", body=json.dumps(report | (odd if place == "report" else {})).encode())
    assert day.write()
    assert len(day.rows(Table.MEETINGS)) == 5 + len(ODD)
    assert len(day.rows()) == 5 + 2 * len(ODD)


@pytest.mark.parametrize("table", list(Table))
def test_every_file_has_every_column_with_one_type(day: Day, table: Table) -> None:
    given = [{"engagementType": "hand"}]
    day.store("r4", body=json.dumps({"id": "r4", "attendanceRecords": [{"engagements": given}]}).encode())
    day.write()
    kinds = {
        "string": "VARCHAR",
        "long": "BIGINT",
        "double": "DOUBLE",
        "boolean": "BOOLEAN",
        "timestamp": "TIMESTAMP WITH TIME ZONE",
    }
    for each in files_of(day.manifest, table):
        body = day.blobs.blobs[each.path].body
        columns = columns_of(body)
        assert list(columns) == list(COLUMNS[table])
        flat = {name: kind for name, kind in COLUMNS[table].items() if isinstance(kind, str)}
        assert {name: columns[name] for name in flat} == {name: kinds[kind] for name, kind in flat.items()}
        assert not any(field["repetition_type"] == "REQUIRED" for field in schema_of(body))
        stored = ask(body, "SELECT compression, stats_null_count FROM parquet_metadata($file)")
        assert {each["compression"] for each in stored} == {"ZSTD"}
        assert all(each["stats_null_count"] is not None for each in stored)


def test_a_part_ends_before_its_reports_are_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(day_tables, "PART_BYTES", 100)
    lines = [b'{"path":"a","bytes":%d}\n' % size for size in (60, 40, 1, 500, 1)]
    length = len(lines[0])
    assert [(cut.offset, cut.length) for cut in cut_parts(lines)] == [
        (0, 2 * length),
        (2 * length, length - 1),
        (3 * length - 1, length + 1),
        (4 * length, length - 1),
    ]


def sources(lines: list[bytes]) -> list[str]:
    return [cut.source for cut in cut_parts(lines)]


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_line_that_comes_or_goes_moves_the_cuts_around_it_alone(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """The bounds are 100 reports and 700 bytes, so either of them may end a part."""
    for name, value in {
        "PART_REPORTS": 100,
        "USUAL_REPORTS": 50,
        "PART_BYTES": 700,
        "USUAL_BYTES": 350,
    }.items():
        monkeypatch.setattr(day_tables, name, value)
    lines = [b'{"path":"%032x","bytes":%d}\n' % (number * 7919, size) for number in range(3_000)]
    before = sources(lines)
    assert 3_000 * size / 350 / 2 < len(before) < 3_000
    for place in range(0, 3_000, 100):
        more = [*lines[:place], b'{"path":"x","bytes":9}\n', *lines[place:]]
        for after in (lines[:place] + lines[place + 1 :], more):
            assert len(set(sources(after)) - set(before)) <= 12
    assert sources([*lines, b'{"path":"x","bytes":1}\n'])[: len(before) - 1] == before[:-1]


def test_the_parts_hold_every_line_of_the_index_once(day: Day) -> None:
    parts = day.seal()
    index = day.blobs.download_blob(index_name(DAY)).readall()
    assert b"".join(index[part.offset :][: part.length] for part in parts) == index


def test_an_open_day_has_tables_that_become_those_of_its_first_revision(day: Day) -> None:
    for part in day.seal(final=False):
        named = day.tables.write_part(part)
    assert named == day.manifest
    assert (named.complete, named.revision, named.has_tables) == (False, 0, False)
    assert (named.tables.version, named.tables.revision) == (1, 0)
    assert day.attended() == [(f"r{number}", "p") for number in range(5)]
    assert day.seal(final=False) == []
    assert day.manifest == named
    assert day.seal() == []
    assert day.has_tables
    assert day.manifest.tables == replace(named.tables, revision=1)
    assert {row["revision"] for row in day.rows()} == {0}


def test_a_new_report_changes_the_last_part_of_an_open_day_alone(day: Day) -> None:
    for part in day.seal(final=False):
        day.tables.write_part(part)
    before = day.manifest.tables
    day.store("a report that is first by its name", stored="2026-11-25T00:00:00.000Z")
    parts = day.seal(final=False)
    assert [part.number for part in parts] == [2]
    for part in parts:
        day.tables.write_part(part)
    now = day.manifest.tables
    assert now.version == 2
    assert now.files[Table.MEETINGS][:2] == before.files[Table.MEETINGS][:2]
    assert day.attended()[-1] == ("a report that is first by its name", "p")


def test_a_day_that_is_open_again_names_tables_of_its_state(day: Day) -> None:
    day.write()
    listed = Meeting(origin=Origin.LIST)
    pending = Record("cr-1", Result.PENDING, NOW, 1, AttemptSeries(NOW), meeting=listed)
    name = Outcomes.name("cr-1", DAY)
    day.blobs.upload_blob(name, dump_outcome(pending), overwrite=True, metadata=outcome_metadata(pending))
    assert day.seal() == []
    assert (day.manifest.complete, day.manifest.tables.revision) == (False, 1)  # nothing else has changed
    day.steps.now += timedelta(hours=1)
    day.store("r4", "someone else")
    for part in day.seal():
        day.tables.write_part(part)
    assert (day.manifest.complete, day.manifest.revision) == (False, 1)
    assert (day.manifest.tables.version, day.manifest.tables.revision) == (2, 0)
    assert day.attended()[-1] == ("r4", "someone else")
    day.blobs.delete_blob(name)
    assert day.seal() == []
    assert day.has_tables
    assert (day.manifest.tables.version, day.manifest.tables.revision) == (2, 2)


def test_an_erasure_drops_the_tables_of_an_open_day_at_once(day: Day) -> None:
    for part in day.seal(final=False):
        day.tables.write_part(part)
    former = day.manifest.tables.paths
    day.steps.now += timedelta(hours=1)
    day.store("r2", "erased-1", erased="true")
    parts = day.seal(final=False)
    assert (day.manifest.tables.paths, day.manifest.tables.version) == (set(), 2)
    assert RevisionReason.ERASURE in day.manifest.reasons
    assert len(parts) == 3  # none of the former files is used again
    day.tables.write_part(parts[0])
    day.tables.clean(DAY, at_once=True)
    assert not former & {blob.name for blob in day.files()}
    for part in parts[1:]:
        day.tables.write_part(part)
    assert (len(day.rows()), day.manifest.tables.version) == (5, 3)


def test_files_of_another_version_are_cleaned_by_its_own_task(day: Day) -> None:
    day.write()
    day.store("r4", "someone else")
    day.write()
    files = day.files()
    day.steps.now += 2 * GRACE
    assert day.tables.clean(DAY, 1)
    assert day.files() == files
    assert day.tables.clean(DAY, 2)
    assert {blob.name for blob in day.files()} == day.manifest.tables.paths


def test_two_instances_that_name_the_same_tables_name_them_once(day: Day) -> None:
    *parts, last = day.seal(final=False)
    for part in parts:
        day.tables.write_part(part)
    other = DayTables(day.container, Manifests(day.container), TENANT)
    day.blobs.watch = lambda name, before, after: None

    def another_namer(name: str, before: Blob | None, after: Blob | None) -> None:
        if name.startswith("tables/meetings/"):
            day.blobs.watch = lambda *_: None
            assert other.name(day.manifest)

    day.blobs.watch = another_namer
    assert day.tables.write_part(last) == day.manifest
    assert day.manifest.tables.version == 1


def test_an_erasure_drops_the_tables_at_once(day: Day) -> None:
    day.write()
    former = day.manifest.tables.paths
    day.store("r2", "erased-1", erased="true")
    day.manifests.refresh(DAY, final=True)
    assert day.manifest.tables.paths == set()
    day.tables.clean(DAY, at_once=True)
    assert day.files() == []
    assert day.write()
    assert former & day.manifest.tables.paths == set()
    assert len(day.rows()) == 5


def test_a_clean_up_after_an_erasure_leaves_parts_of_the_new_revision(day: Day) -> None:
    day.write()
    day.store("r2", "erased-1", erased="true")
    parts = day.seal()
    day.tables.write_part(parts[0])
    day.tables.clean(DAY, at_once=True)
    for part in parts[1:]:
        day.tables.write_part(part)
    assert len(day.rows()) == 5


def log_of(day: Day, table: Table = Table.ATTENDEES) -> Snapshot:
    """The Delta table."""
    blobs = day.blobs.blobs
    return read_log(lambda name: blobs[name].body if name in blobs else None, f"tables/{table}")


def names(day: Day, table: Table = Table.ATTENDEES) -> set[str]:
    """The files of the Delta table."""
    return {f"tables/{table}/{path}" for path in log_of(day, table).files}


def test_the_delta_logs_follow_the_manifest_which_says_since_when(day: Day) -> None:
    day.write()
    assert day.manifest.tables.delta_version == {Table.ENGAGEMENTS: 0}
    assert not day.manifest.tables.is_committed
    for _ in range(2):  # a repetition does nothing
        day.tables.commit(day.manifest)
        assert day.manifest.tables.delta_version == {
            Table.MEETINGS: 1,
            Table.ATTENDEES: 1,
            Table.ENGAGEMENTS: 0,
        }
        assert [log_of(day, table).version for table in Table] == [1, 1, 0, -1]
    assert {name for table in Table for name in names(day, table)} == day.manifest.tables.paths
    assert log_of(day).counters == {f"date={DAY}": day.manifest.tables.version}


def test_the_delta_log_of_a_day_names_nobody(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delta, "CHECKPOINT_COMMITS", 1)
    identity = {"id": "canary-id", "displayName": "canary-name"}
    attended = [{"joinDateTime": END, "leaveDateTime": END}]
    record = {"emailAddress": "canary@x", "identity": identity, "attendanceIntervals": attended}
    report = {"id": "canary-report", "meetingEndDateTime": END, "attendanceRecords": [record]}
    day.store("r4", body=json.dumps(report).encode(), organizerid="canary-organizer", joinweburl="canary-url")
    day.write()
    day.tables.commit(day.manifest)
    logs = [blob for blob in day.blobs.below("tables/") if "/_delta_log/" in blob.name]
    assert len([blob for blob in logs if blob.name.endswith(".checkpoint.parquet")]) == 2
    for blob in logs:
        text = str(rows_of(blob.body)) if blob.name.endswith(".parquet") else blob.body.decode()
        assert "canary" not in text + str(blob.metadata)
    bounds = [json.loads(each["stats"])["maxValues"] for each in log_of(day).files.values()]
    assert {"firstJoin", "lastLeave", "meetingEnd", "writtenAt"} in [set(each) for each in bounds]


def test_an_erasure_takes_files_out_of_the_delta_table_before_it_deletes_them(day: Day) -> None:
    day.write()
    day.tables.commit(day.manifest)
    day.store("r2", "erased-1", erased="true")
    day.manifests.refresh(DAY, final=True)

    def watch(name: str, before: Blob | None, after: Blob | None) -> None:
        if "/date=" in name and after is None:
            assert name not in names(day) | names(day, Table.MEETINGS)

    day.blobs.watch = watch
    day.tables.clean(DAY, at_once=True)
    assert (day.files(), names(day)) == ([], set())
    day.write()
    day.tables.commit(day.manifest)
    assert names(day) == {each.path for each in files_of(day.manifest, Table.ATTENDEES)}


def test_a_file_that_somebody_compacted_is_deleted_when_no_log_names_it(day: Day) -> None:
    day.write()
    day.tables.commit(day.manifest)
    whole = [action["add"] for action in actions_of(day) if "add" in action]
    compacted = {**whole[0], "path": f"date={DAY}/part-compacted.parquet", "dataChange": False}
    gone = [{"remove": {"path": each["path"], "dataChange": False}} for each in whole]
    lines = b"".join(json.dumps(each).encode() + b"\n" for each in [{"add": compacted}, *gone])
    name = f"tables/{Table.ATTENDEES}/_delta_log/{2:020}.json"
    day.blobs.upload_blob(name, lines, overwrite=True)
    day.blobs.upload_blob(f"tables/{Table.ATTENDEES}/{compacted['path']}", b"", overwrite=True)
    assert len(names(day)) == 1
    day.steps.now += 2 * GRACE
    assert day.tables.clean(DAY)
    assert names(day) == {each.path for each in files_of(day.manifest, Table.ATTENDEES)}


def actions_of(day: Day) -> list[dict[str, Any]]:
    """The actions of the first commit of attendees."""
    body = day.blobs.blobs[f"tables/{Table.ATTENDEES}/_delta_log/{1:020}.json"].body
    return [json.loads(line) for line in body.splitlines()]


def test_a_day_of_which_a_file_is_gone_leaves_the_delta_table(day: Day) -> None:
    day.write()
    day.tables.commit(day.manifest)
    day.blobs.delete_blob(files_of(day.manifest, Table.ATTENDEES)[0].path)
    day.tables.commit(day.manifest)
    assert (names(day), len(names(day, Table.MEETINGS))) == (set(), 3)


def test_a_log_that_was_deleted_is_made_anew(day: Day) -> None:
    day.write()
    day.tables.commit(day.manifest)
    before = names(day)
    for blob in day.blobs.below("tables/"):
        if "/_delta_log/" in blob.name:
            day.blobs.delete_blob(blob.name)
    day.tables.commit(day.manifest)
    assert names(day) == before
    assert log_of(day).version == day.manifest.tables.delta_version[Table.ATTENDEES] == 1


def test_a_log_that_cannot_be_continued_is_said_and_stops_nothing(
    day: Day, caplog: pytest.LogCaptureFixture
) -> None:
    day.write()
    day.tables.commit(day.manifest)
    raised = {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7}}
    name = f"tables/{Table.ATTENDEES}/_delta_log/{2:020}.json"
    day.blobs.upload_blob(name, json.dumps(raised).encode(), overwrite=True)
    day.store("r2", "erased-1", erased="true")
    assert day.write()
    day.tables.commit(day.manifest)
    assert "delta.refused" in caplog.text
    assert day.manifest.tables.delta_version == {Table.MEETINGS: 2, Table.ENGAGEMENTS: 0}
    assert "erased-1" in dict(day.attended()).values()
    day.tables.clean(DAY, at_once=True)
    assert {blob.name for blob in day.files()} == day.manifest.tables.paths
