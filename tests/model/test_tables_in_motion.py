"""An exact consumer of the tables, while reports come late, grow, move over midnight and lose people.

The product runs unchanged in virtual time. After each write and deletion in the container, whatever a manifest names is
read and compared with the index of that revision, and each day of a Delta table with the files that its manifest named.
Readers hold a manifest or a version of a Delta table and read its files one by one, as time passes.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from shared import times
from shared.archive.invitees import invitees_name
from shared.days.index import RevisionReason
from shared.days.manifests import Manifest, Tables
from shared.graph import reports
from shared.graph.invitees import Invitee, InviteeKind, InviteeList, ListState
from shared.graph.reports import MeetingReports
from shared.ledger.record import Result
from shared.messages import codec
from shared.messages.tasks import RefreshDay, Task, serialize_task
from shared.settings import INVITEES, SUBJECT
from shared.storage import clients
from shared.tables import day_tables, delta
from shared.tables.columns import KEYS, Table
from tests.support.blobs import Blob
from tests.support.delta import Snapshot, read_log, unpack
from tests.support.doubles import meeting_id
from tests.support.erasing import erase
from tests.support.parquet import files_of, read_table, rows_of
from tests.support.published import problems_of
from tests.support.simulated_app import DAY, HOUR, NOW, SETTINGS, App, call, crash, running

PEOPLE = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(1, 9)]
FIRST = NOW.date()
# In `make check` engines read the Delta tables too.
ENGINES = all(importlib.util.find_spec(each) for each in ("deltalake", "polars"))
READERS = 20  # that are under way at once
PACE = 0.1


def record(person: str, minutes: int) -> dict[str, Any]:
    """An attendance record of one of PEOPLE."""
    return {
        "id": person,
        "emailAddress": f"{person[:8]}@contoso.example",
        "identity": {"id": person, "displayName": f"Person {person[:8]}"},
        "totalAttendanceInSeconds": 60 * minutes,
        "attendanceIntervals": [{"durationInSeconds": 60 * minutes}],
    }


@dataclass
class Reader:
    """A reader that has read a manifest, or a Delta log, and reads the files one at a time."""

    is_superseded: Callable[[], bool]
    began: datetime
    left: list[str]


@dataclass
class Consumer:
    """Whoever reads the tables of an app, and knows what was ever stored."""

    app: App
    source: Random
    reports: dict[str, list[Any]] = field(default_factory=dict)  # records by the sha256 of the report
    indexes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # lines by the sha256 of the index
    lists: dict[str, list[Any]] = field(default_factory=dict)  # of invitees, by the sha256 of the list
    files: dict[str, bytes] = field(default_factory=dict)
    seen: dict[tuple[date, int], Tables] = field(default_factory=dict)  # by day and version
    parsed: dict[str, Manifest] = field(default_factory=dict)  # by ETag
    commits: int = 0  # of Delta tables, that were looked at
    readers: list[Reader] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def watch(self, name: str, before: Blob | None, after: Blob | None) -> None:
        """Look at a change in the container."""
        if after and name.endswith("manifest.json"):
            self.violations += problems_of(name, after.body, after.metadata)
        if after and name.startswith("reports/"):
            self.reports[after.metadata["sha256"]] = json.loads(after.body)["attendanceRecords"]
        if after and name.startswith("invitees/"):
            self.lists[hashlib.sha256(after.body).hexdigest()] = json.loads(after.body).get("invitees", [])
        if after and name.endswith("reports.jsonl"):
            lines = [json.loads(line) for line in after.body.splitlines()]
            self.indexes[after.metadata["sha256"]] = lines
        if "/_delta_log/" in name:
            is_new = before is None or after is None or name.endswith("_last_checkpoint")
            self.check(is_new, f"{name} was written again")
        elif after and name.startswith("tables/"):
            self.check(self.files.setdefault(name, after.body) == after.body, f"{name} has other bytes")
            self.check(before is None, f"{name} was written again")
        if name.startswith(("tables/", "manifests/")):
            self.read_days()
        for table in Table:
            if name.startswith(f"tables/{table}/"):
                self.check_delta(table)
        self.advance_readers()

    def check(self, is_right: bool, violation: str) -> None:
        """Remember a violation: an error here would be taken for one of the product's own."""
        if not is_right:
            self.violations.append(violation)

    def manifests(self) -> Iterator[Manifest]:
        for blob in self.app.container.below("manifests/date="):
            if blob.name.endswith("manifest.json"):
                if blob.etag not in self.parsed:
                    self.parsed[blob.etag] = codec.loads(Manifest, blob.body)
                yield self.parsed[blob.etag]

    def read_days(self) -> None:
        """Every file that a manifest names is there, and the tables are exactly of their index."""
        for manifest in self.manifests():
            day, tables = manifest.day, manifest.tables
            for each in tables.paths:
                self.check(each in self.app.container.blobs, f"{each} is named and gone")
            if manifest.has_tables:
                self.check(tables.index == manifest.index, f"tables of {day} are not of their revision")
            if known := self.seen.get((day, tables.version)):
                self.check(tables.paths == known.paths, f"tables of {day} have changed within a version")
            else:
                latest = max((version for each, version in self.seen if each == day), default=0)
                self.check(latest <= tables.version, f"versions of {day} go back")
                self.seen[day, tables.version] = tables
                if tables.paths:
                    self.check_exact(manifest)

    def log(self, table: Table) -> Snapshot:
        """A Delta table, as engines read it."""
        blobs = self.app.container.blobs
        return read_log(lambda name: blobs[name].body if name in blobs else None, f"tables/{table}")

    def check_delta(self, table: Table) -> None:
        """Each day of a Delta table has the files that its manifest named at some time, and they are there."""
        found = self.log(table)
        self.commits += found.version > 0
        rows: Counter[str] = Counter()
        for path, each in found.files.items():
            self.check(
                f"tables/{table}/{path}" in self.app.container.blobs, f"Delta names {path}, which is gone"
            )
            rows[each["partitionValues"]["date"]] += json.loads(each["stats"])["numRecords"]
        for app_id, version in found.counters.items():
            day = date.fromisoformat(app_id.removeprefix("date="))
            named = self.seen[day, version].files.get(table, ())
            paths = {each.path.removeprefix(f"tables/{table}/") for each in named}
            self.check(found.paths(day) == paths, f"Delta has another set of {table} of {day} than was named")
            self.check(
                rows.pop(str(day), 0) == sum(each.rows for each in named), "statistics count other rows"
            )
        self.check(not rows, f"Delta has a day of {table} that nobody named")

    def check_exact(self, manifest: Manifest) -> None:
        lines = self.indexes[manifest.tables.index]
        found = {
            table: read_table(
                lambda path: self.files[path], [each.path for each in files_of(manifest, table)]
            )
            for table in Table
        }
        for table, rows in found.items():
            keys = [tuple(row[name] for name in ("date", *KEYS[table])) for row in rows]
            self.check(len(set(keys)) == len(keys), f"{table} of {manifest.day} has equal keys")
            self.check(
                all(row["revision"] <= manifest.revision for row in rows), "a row is of a later revision"
            )
            self.check(
                sum(each.rows for each in files_of(manifest, table)) == len(rows),
                "the manifest counts other rows",
            )
        meetings = [(row["reportId"], row["records"], row["subject"]) for row in found[Table.MEETINGS]]
        wanted = [(line["id"], len(self.reports[line["sha256"]]), line["subject"]) for line in lines]
        state = f"{manifest.day} at version {manifest.tables.version}"
        self.check(meetings == wanted, f"meetings of {state} are not of its index")
        attended = [
            (row["reportId"], row["recordNumber"], row["recordId"], row["attendedSeconds"])
            for row in found[Table.ATTENDEES]
        ]
        truth = [
            (line["id"], number, each["id"], each["totalAttendanceInSeconds"])
            for line in lines
            for number, each in enumerate(self.reports[line["sha256"]])
        ]
        self.check(attended == truth, f"attendees of {state} are not of its index")

        invited = [(row["reportId"], row["inviteeNumber"], row["personId"]) for row in found[Table.INVITEES]]
        listed = [
            (line["id"], number, each.get("personId"))
            for line in lines
            for number, each in enumerate(self.lists.get(line["inviteesSha256"], []))
        ]
        self.check(invited == listed, f"invitees of {state} are not of its index")

    def check_published(self) -> None:
        """Whatever is there is as its schema says."""
        for blob in self.app.container.blobs.values():
            self.violations += problems_of(blob.name, blob.body, blob.metadata)

    def advance_readers(self) -> None:
        """Let readers begin and go on. Within a day, a file may be gone only after an erasure."""
        whole = [each for each in self.manifests() if each.tables.paths]
        if whole and len(self.readers) < READERS and self.source.random() < PACE:
            manifest = self.source.choice(whole)
            self.begin(
                manifest.tables.paths,
                lambda: self.app.manifest(manifest.day).tables.version > manifest.tables.version,
            )
            table = self.source.choice(list(Table))
            delta = self.log(table)
            self.begin(
                {f"tables/{table}/{each}" for each in delta.files},
                lambda: self.log(table).version > delta.version,
            )
        for reader in list(self.readers):
            if not reader.left or self.app.now - reader.began >= DAY:
                self.readers.remove(reader)
            elif self.source.random() < PACE and (path := reader.left.pop()) not in self.app.container.blobs:
                self.check(reader.is_superseded(), f"{path} is gone and there is nothing newer")
                day, erased = path.split("date=")[1][:10], feed(self.app)
                self.check(
                    day in {each["date"] for each in erased}
                    or any(datetime.fromisoformat(each["at"]) >= reader.began for each in erased),
                    f"{path} is gone too early",
                )
                self.readers.remove(reader)

    def begin(self, paths: set[str], is_superseded: Callable[[], bool]) -> None:
        """Let a reader begin."""
        left = sorted(paths)
        self.source.shuffle(left)
        self.readers.append(Reader(is_superseded, self.app.now, left))


def feed(app: App) -> list[dict[str, Any]]:
    """The lines of the feed of erasures."""
    blob = app.container.blobs.get("manifests/erasures.jsonl")
    return [json.loads(line) for line in blob.body.splitlines()] if blob else []


def add_meeting(app: App, source: Random, number: int) -> None:
    """A meeting whose report may come late, grow, lose people, and move over midnight."""
    ended = NOW - timedelta(hours=source.uniform(0.5, 30))
    made = call(f"call-{number}", ended)
    people = source.sample(PEOPLE, source.randint(0, 5))
    since, report = made.readings[0]
    report = {**report, "totalParticipantCount": len(people)}
    readings = [(since, {**report, "attendanceRecords": [record(each, 10) for each in people]})]
    for _ in range(source.randint(0, 3)):
        since += source.choice([HOUR, 5 * HOUR, 2 * DAY, 5 * DAY])
        people = [
            *people,
            *source.sample([each for each in PEOPLE if each not in people], source.randint(0, 1)),
        ]
        end = ended + source.choice([timedelta(), timedelta(), 9 * HOUR])
        changed = {"totalParticipantCount": len(people), "meetingEndDateTime": end.isoformat()}
        readings.append((since, {**report, **changed, "attendanceRecords": [record(p, 20) for p in people]}))
    subject = source.choice([None, "Fire safety", f"1:1 Person {PEOPLE[0][:8]}"])
    attendees = [{"identity": {"user": {"id": each}}} for each in source.sample(PEOPLE, source.randint(0, 5))]
    late = source.random() < 0.3
    app.calls.append(
        replace(
            made,
            readings=tuple(readings),
            meeting={"subject": subject, "participants": {"attendees": attendees}},
            readable=made.readable if not late else NOW + source.uniform(24, 120) * HOUR,
            listed=made.listed if not late else NOW + source.uniform(24, 120) * HOUR,
        )
    )


def grow(app: App, source: Random) -> None:
    """Another worker reads a report that has grown, and another list of invitees, and stores them."""
    stored = app.stored()
    number, made = source.choice([(n, each) for n, each in enumerate(app.calls) if each.id in stored])
    _, report = made.readings[-1]
    person = source.choice(PEOPLE[1:])
    if source.random() < 0.5:  # it has another hour, so that the end of a meeting may lie on the next day
        report = {**report, "meetingEndDateTime": times.text(end_of(report) + 3 * HOUR)}
    records = [*report["attendanceRecords"], record(person, source.randint(1, 99))]
    report = {**report, "attendanceRecords": records, "totalParticipantCount": len(records)}
    app.calls[number] = replace(made, readings=(*made.readings, (app.now, report)))
    where = MeetingReports(made.organizer, meeting_id(made), made.record["joinWebUrl"])
    with reports.read_report(app.graph, where, made.id) as read:
        for back in (0, 1):
            app.services.sealing.mark_changed(read.end.date() - back * DAY)
        invited = [Invitee(InviteeKind.INVITED, each) for each in source.sample(PEOPLE, source.randint(0, 5))]
        found = InviteeList(ListState.COMPLETE, tuple(sorted(invited, key=str)))
        app.services.archive.store(read, where, invitees=source.choice([None, found]))


def end_of(report: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(report["meetingEndDateTime"])


STEPS = [
    "write tables/attendees/date=",
    "write tables/meetings/date=",
    "write tables/attendees/_delta_log/0",
    "write tables/meetings/_delta_log/0",
    "write tables/meetings/_delta_log/_last_checkpoint",
    "delete tables/meetings/_delta_log/",
    "write manifests/",
    "delete tables/",
    "send upkeep",
    "write invitees/",
    "write reports/",
]


def work_elsewhere(app: App) -> None:
    """Another instance works on the same days in between."""
    for back in (0, 1):
        task = Task(RefreshDay((app.now - back * DAY).date()))
        app.receive(clients.UPKEEP_QUEUE, serialize_task(task))
    app.deliver()


def disturb(app: App, source: Random) -> None:
    """Have the process end, another one work, and reports grow before some of its steps."""
    for act in (crash, lambda: work_elsewhere(app)):
        if source.random() < 0.5:
            app.before(source.choice(STEPS), act)
    for step in source.sample(STEPS, 2):
        app.before(step, lambda: grow(app, source) if app.stored() else None)


@pytest.mark.parametrize("seed", range(3))
def test_no_row_is_lost_doubled_or_of_another_revision(
    seed: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(day_tables, "PART_REPORTS", 2)
    monkeypatch.setattr(day_tables, "_WRITING", threading.RLock())  # each instance has its own
    monkeypatch.setattr(delta, "CHECKPOINT_COMMITS", 5)
    monkeypatch.setattr(delta, "LOG_KEPT", DAY)
    monkeypatch.setattr(delta, "THREADS", 1)
    source = Random(seed)
    with running() as app:
        app.services = app.another_instance(replace(SETTINGS, meeting_details=frozenset({SUBJECT, INVITEES})))
        consumer = Consumer(app, source)
        app.container.watch = consumer.watch
        app.state.watch = lambda *_: consumer.advance_readers()
        for number in range(source.randint(4, 9)):
            add_meeting(app, source, number)
        for number in range(12):
            disturb(app, source)
            if number in (5, 8) and source.random() < 0.7:
                app.before_nothing()  # the command waits until the day stands still
                if source.random() < 0.5:
                    app.before(source.choice(STEPS[:3]), crash)  # which the app alone takes
                gone = source.choice(PEOPLE)
                erase(app, gone, f"{gone[:8]}@contoso.example", names=(f"Person {gone[:8]}",))
                assert not [path for path in live(app) if gone in str(rows_of(consumer.files[path]))]
            if source.random() < 0.5:
                app.ask("redrive", str(FIRST - DAY * 2), str(FIRST), Result.STORED, Result.NO_REPORT)
            app.run(hours=source.choice([3, 12, 36]))
        app.before_nothing()
        app.run(days=9)
        consumer.check_published()
        assert consumer.violations == []
        assert len(consumer.seen) >= 3
        for manifest in consumer.manifests():
            assert manifest.tables.index == manifest.index
            if manifest.complete:
                assert manifest.has_tables
                paths = {
                    blob.name
                    for blob in app.container.below("tables/")
                    if f"/date={manifest.day}/" in blob.name
                }
                assert paths == manifest.tables.paths, "files that nobody names are left"
        check_at_end(consumer, tmp_path)
        assert all(hashlib.sha256(body).hexdigest()[:16] in name for name, body in consumer.files.items())
        named = {invitees_name(blob.name, blob.metadata) for blob in app.container.below("reports/")}
        left = {blob.name for blob in app.container.below("invitees/")}
        assert left == named - {""}, "lists that no report names are left, or some are gone"
        told = {each["date"] for each in feed(app)}
        assert told == {str(each.day) for each in consumer.manifests() if str(each.day) in told}


def test_a_report_is_in_the_table_of_its_open_day_within_the_hour_and_a_quiet_hour_writes_nothing() -> None:
    with running() as app:
        source, seen = Random(3), dict[str, datetime]()
        consumer = Consumer(app, source)

        def watch(name: str, before: Blob | None, after: Blob | None) -> None:
            consumer.watch(name, before, after)
            for manifest in consumer.manifests():
                paths = [each.path for each in files_of(manifest, Table.MEETINGS)]
                for row in read_table(lambda path: consumer.files[path], paths):
                    seen.setdefault(row["reportId"], app.now)

        app.container.watch = watch
        for number in range(8):
            made = call(f"call-{number}", app.now + timedelta(minutes=33))
            report = {**made.readings[0][1], "attendanceRecords": [record(PEOPLE[0], 5)]}
            app.calls.append(replace(made, readings=((made.readings[0][0], report),)))
            since_timer = timedelta(minutes=37 * number % 60)
            app.run(hours=37 / 60, every=HOUR - since_timer)
            app.announce(made.id)
        app.run(hours=1, every=timedelta(minutes=4))
        app.run(hours=1)
        stored = {
            json.loads(blob.body)["id"]: datetime.fromisoformat(blob.metadata["stored"])
            for blob in app.container.below("reports/")
        }
        assert len(stored) == 8
        delays = [seen[name] - moment for name, moment in stored.items()]
        assert max(delays) <= HOUR, delays
        assert not any(each.complete for each in consumer.manifests() if each.reports)
        app.container.watch = lambda name, *_: consumer.check(
            not name.startswith(("tables/", "manifests/")), f"{name} was written"
        )
        app.run(hours=2)
        assert consumer.violations == []


def live(app: App) -> list[str]:
    return [blob.name for blob in app.container.below("tables/") if "/date=" in blob.name]


def check_engines(root: Path, table: Table, expected: list[dict[str, Any]]) -> None:
    """Both engines read these rows from a Delta table."""
    import deltalake
    import polars as pl

    key = itemgetter("date", *KEYS[table])
    packed = deltalake.DeltaTable(str(root)).to_pyarrow_table().to_pylist()
    assert sorted(packed, key=key) == sorted(expected, key=key)
    keys = pl.scan_delta(str(root)).select("date", *KEYS[table]).sort("date", *KEYS[table]).collect().rows()
    assert keys == sorted(map(key, expected))


def check_at_end(consumer: Consumer, folder: Path) -> None:
    """What engines read from the Delta tables is what the manifests name, and those say since when."""
    manifests = list(consumer.manifests())
    assert consumer.commits > 50
    for table in Table:
        paths = [each.path for manifest in manifests for each in manifest.tables.files.get(table, ())]
        expected = read_table(lambda path: consumer.files[path], paths)
        if ENGINES:
            check_engines(unpack(consumer.app.container.blobs, f"tables/{table}", folder), table, expected)
        assert consumer.log(table).files.keys() == {path.removeprefix(f"tables/{table}/") for path in paths}
        assert consumer.log(table).entries < 10
        assert (
            f"tables/{table}/_delta_log/{0:020}.json" not in consumer.app.container.blobs
            or table is Table.ENGAGEMENTS
        )
        for manifest in manifests:
            named = manifest.tables.files.get(table)
            assert (table in manifest.tables.delta_version) == (named is not None)


def test_an_erasure_is_announced_before_the_day_changes_and_names_nobody() -> None:
    with running() as app:
        source = Random(1)
        made = call("one", NOW - HOUR)
        report = {**made.readings[0][1], "attendanceRecords": [record(PEOPLE[0], 5)]}
        app.calls.append(replace(made, readings=((NOW, report),)))
        consumer = Consumer(app, source)
        app.container.watch = consumer.watch
        app.run(days=3)
        before = app.manifest(FIRST)
        erase(app, PEOPLE[0])
        after = app.manifest(FIRST)
        (line,) = feed(app)
        assert (line["date"], line["revision"]) == (str(FIRST), before.revision + 1)
        assert (after.revision, after.reasons) == (line["revision"], (RevisionReason.ERASURE,))
        assert not before.tables.paths & set(app.container.blobs)
        assert PEOPLE[0] not in json.dumps(line)
        assert consumer.violations == []
