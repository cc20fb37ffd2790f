"""The Delta log: whole states only, whoever writes, fails or reads from which checkpoint."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, cast

import deltalake
import polars as pl
import pytest
from azure.core.exceptions import AzureError
from azure.storage.blob import ContainerClient

from shared import times
from shared.errors import DeltaRefused
from shared.tables import delta
from shared.tables.columns import COLUMNS, SCHEMA_VERSION, Table
from shared.tables.delta import CHECKPOINT_COMMITS, DataFile, DeltaLog
from shared.tables.parquet import write_parquet
from tests.support.delta import Snapshot, read_log, unpack
from tests.support.doubles import Container, Fault, Steps

DAY = date(2026, 11, 23)
NOW = datetime(2026, 11, 25, tzinfo=UTC)
ROOT = "tables/meetings"


class Storage:
    """A container with the log of one table, and files for it."""

    def __init__(self) -> None:
        self.steps = Steps(NOW)
        self.blobs = Container(self.steps)

    def log(self, retention_days: int = 0) -> DeltaLog:
        """The log, as another instance has it."""
        return DeltaLog(cast(ContainerClient, self.blobs), Table.MEETINGS, retention_days)

    def write(self, day: date, *reports: str) -> DataFile:
        """Write a file with these rows."""
        lines = [
            {
                "reportId": each,
                "meetingStart": f"{day}T10:00:00.123Z",
                "revision": 1,
                "writtenAt": f"{day}T11:00:00.000Z",
            }
            for each in reports
        ]
        packed = io.BytesIO()
        write_parquet(
            io.BytesIO(b"".join(json.dumps(each).encode() + b"\n" for each in lines)),
            COLUMNS[Table.MEETINGS],
            packed,
        )
        digest = hashlib.sha256(packed.getvalue()).hexdigest()[:16]
        name = f"{ROOT}/date={day}/part-00000-{digest}.parquet"
        self.blobs.upload_blob(name, packed.getvalue(), overwrite=True)
        bounds = {"meetingStart": [f"{day}T10:00:00.123Z"] * 2}
        return DataFile(name, len(lines), len(packed.getvalue()), self.steps.now, bounds)

    def name(self, day: date, number: int) -> DataFile:
        """A file that nobody reads."""
        return DataFile(f"{ROOT}/date={day}/part-{number:05}-{number:016x}.parquet", 1, 1, self.steps.now)

    def read(self, *, whole: bool = False, version: int | None = None) -> Snapshot:
        return read_log(self.body, ROOT, whole=whole, version=version)

    def body(self, name: str) -> bytes | None:
        blob = self.blobs.blobs.get(name)
        return blob.body if blob else None

    def entries(self) -> list[list[dict[str, Any]]]:
        return [
            [json.loads(line) for line in blob.body.splitlines()]
            for blob in self.blobs.below(f"{ROOT}/_delta_log/")
            if blob.name.endswith(".json")
        ]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Storage:
    made = Storage()
    monkeypatch.setattr(times, "now", lambda: made.steps.now)
    monkeypatch.setattr(delta, "THREADS", 1)  # many small reads
    return made


def paths_of(files: Iterable[DataFile]) -> set[str]:
    """Their paths as the log has them."""
    return {each.name.removeprefix(f"{ROOT}/") for each in files}


def rows(folder: Path) -> list[tuple[date, str]]:
    """What both engines find, and the same."""
    found = pl.scan_delta(str(folder)).select("date", "reportId").sort("date", "reportId").collect().rows()
    packed = deltalake.DeltaTable(str(folder)).to_pyarrow_table(columns=["date", "reportId"]).to_pylist()
    assert sorted((row["date"], row["reportId"]) for row in packed) == found
    return found


def test_engines_see_the_day_as_it_was_last_committed(store: Storage, tmp_path: Path) -> None:
    other, log = DAY + timedelta(days=1), store.log()
    assert log.replace_day(DAY, 1, [store.write(DAY, "a", "b")]) == 1
    assert log.replace_day(other, 1, [store.write(other, "c")]) == 2
    assert log.replace_day(DAY, 2, [store.write(DAY, "a", "d")]) == 3
    folder = unpack(store.blobs.blobs, ROOT, tmp_path)
    assert rows(folder) == [(DAY, "a"), (DAY, "d"), (other, "c")]
    table = deltalake.DeltaTable(str(folder))
    assert table.version() == 3
    assert (table.protocol().min_reader_version, table.protocol().min_writer_version) == (1, 2)
    assert table.metadata().partition_columns == ["date"]
    assert [each.name for each in table.schema().fields] == ["date", *COLUMNS[Table.MEETINGS]]
    assert all(each.nullable for each in table.schema().fields)
    types = pl.scan_delta(str(folder)).collect_schema()
    assert types["meetingStart"] == pl.Datetime("us", "UTC")
    assert types["date"] == pl.Date


def test_a_repetition_does_nothing_and_an_older_set_never_wins(store: Storage) -> None:
    old, new = store.name(DAY, 1), store.name(DAY, 2)
    log = store.log()
    assert log.replace_day(DAY, 1, [old]) == 1
    assert log.replace_day(DAY, 1, [old]) == 1
    assert log.replace_day(DAY, 3, [new]) == 2
    assert log.replace_day(DAY, 1, [old]) is None
    assert log.replace_day(DAY, 3, [new]) == 2
    assert len(store.entries()) == 3


def test_an_older_set_that_comes_after_an_erasure_is_not_committed(store: Storage) -> None:
    log = store.log()
    assert log.replace_day(DAY, 2, []) == 1, "an empty set is committed too, as it fences off older ones"
    assert log.replace_day(DAY, 1, [store.name(DAY, 1)]) is None
    assert not store.read().files


def test_files_that_stay_are_neither_removed_nor_added(store: Storage) -> None:
    stays, goes, comes = (store.name(DAY, number) for number in range(3))
    log = store.log()
    log.replace_day(DAY, 1, [stays, goes])
    log.replace_day(DAY, 2, [stays, comes])
    kinds = [kind for action in store.entries()[-1] for kind in action]
    assert kinds == ["commitInfo", "txn", "remove", "add"]
    assert store.read().paths(DAY) == paths_of((stays, comes))


def test_statistics_hold_counts_and_times_only(store: Storage) -> None:
    store.log().replace_day(DAY, 1, [store.write(DAY, "a", "b")])
    (add,) = (each["add"] for each in store.entries()[-1] if "add" in each)
    assert json.loads(add["stats"]) == {
        "numRecords": 2,
        "minValues": {"meetingStart": f"{DAY}T10:00:00.123Z"},
        "maxValues": {"meetingStart": f"{DAY}T10:00:00.123Z"},
    }


def test_a_row_is_found_by_its_time_though_statistics_skip_other_files(
    store: Storage, tmp_path: Path
) -> None:
    other = DAY + timedelta(days=1)
    store.log().replace_day(DAY, 1, [store.write(DAY, "a")])
    store.log().replace_day(other, 1, [store.write(other, "b")])
    folder = unpack(store.blobs.blobs, ROOT, tmp_path)
    start = datetime(2026, 11, 23, 10, 0, 0, 123_000, tzinfo=UTC)
    assert pl.scan_delta(str(folder)).filter(pl.col("meetingStart") == start).collect()[
        "reportId"
    ].to_list() == ["a"]
    found = deltalake.DeltaTable(str(folder)).to_pyarrow_table(filters=[("meetingStart", "<=", start)])
    assert found["reportId"].to_pylist() == ["a"]


def test_a_thousand_commits(store: Storage, tmp_path: Path) -> None:
    """What is read from the last checkpoint is what the whole log says, and few requests and bytes are needed."""
    source, days = Random(1), [DAY + timedelta(days=number) for number in range(30)]
    files: dict[date, list[DataFile]] = {}
    log = store.log(retention_days=400)
    for number in range(1_000):
        day = source.choice(days)
        files[day] = [
            *source.sample(files.get(day, []), len(files.get(day, [])) // 2),
            store.name(day, number),
        ]
        store.steps.now += timedelta(minutes=30)
        assert log.replace_day(day, number + 1, files[day]) == number + 1
    found, whole = store.read(), store.read(whole=True)
    assert found.entries <= CHECKPOINT_COMMITS
    assert (found.version, found.counters, found.files.keys()) == (1_000, whole.counters, whole.files.keys())
    assert found.metadata == whole.metadata
    assert found.protocol == whole.protocol
    for day in days:
        assert found.paths(day) == paths_of(files.get(day, []))
    table = deltalake.DeltaTable(str(unpack(store.blobs.blobs, ROOT, tmp_path)))
    assert table.version() == 1_000
    named = {path.split(f"{ROOT}/")[1] for path in table.file_uris()}
    assert named == found.files.keys()


def test_old_entries_go_when_a_checkpoint_as_old_is_there(store: Storage, tmp_path: Path) -> None:
    log = store.log()
    for number in range(1, 1_101):
        store.steps.now += timedelta(hours=1)
        log.replace_day(DAY + timedelta(days=number // 24), number, [store.name(DAY, number)])
    left = [
        int(blob.name[-25:-5])
        for blob in store.blobs.below(f"{ROOT}/_delta_log/")
        if blob.name.endswith(".json")
    ]
    assert left == list(range(300, 1_101)), "the checkpoint that is 30 days old, and all since"
    assert deltalake.DeltaTable(str(unpack(store.blobs.blobs, ROOT, tmp_path))).version() == 1_100
    assert deltalake.DeltaTable(str(tmp_path / ROOT), version=500).version() == 500


def test_a_tombstone_stays_a_day(store: Storage) -> None:
    log, day = store.log(), timedelta(days=1)
    log.replace_day(DAY, 1, [store.name(DAY, 1)])
    log.replace_day(DAY, 2, [store.name(DAY, 2)])
    store.steps.now += day * 2
    log.replace_day(DAY, 3, [store.name(DAY, 3)])
    for number in range(4, CHECKPOINT_COMMITS + 1):
        log.replace_day(DAY + day, number, [store.name(DAY + day, 4)])
    body = store.body(f"{ROOT}/_delta_log/{CHECKPOINT_COMMITS:020}.checkpoint.parquet")
    assert body
    removed = [
        row["path"] for row in pl.read_parquet(io.BytesIO(body))["remove"].to_list() if row and row["path"]
    ]
    assert removed == list(paths_of([store.name(DAY, 2)]))


def test_concurrent_commits_of_many_days_and_of_one(store: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every day ends with its newest set, whoever wins which version; each version has whole days only."""
    lock = threading.RLock()
    monkeypatch.setattr(store.blobs, "upload_blob", _locked(lock, store.blobs.upload_blob))
    days = [DAY + timedelta(days=number) for number in range(4)]
    sets = {
        (day, counter): [store.name(day, 10 * counter + n) for n in range(3)]
        for day in days
        for counter in range(1, 6)
    }
    errors: list[BaseException] = []

    def work(seed: int) -> None:
        chosen = list(sets)
        Random(seed).shuffle(chosen)
        try:
            for day, counter in chosen:
                store.log().replace_day(day, counter, sets[day, counter])
        except BaseException as error:  # noqa: BLE001 - told below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert errors == []
    whole = {day: [set(), *(paths_of(sets[day, counter]) for counter in range(1, 6))] for day in days}
    last = store.read().version
    for version in range(last + 1):
        found = store.read(version=version, whole=True)
        for day in days:
            assert found.paths(day) == whole[day][found.counters.get(f"date={day}", 0)]
    assert all(store.read().paths(day) == whole[day][5] for day in days)


def _locked(lock: Any, function: Any) -> Any:
    def call(*args: Any, **more: Any) -> Any:
        with lock:
            return function(*args, **more)

    return call


class Killed(BaseException):
    """The process ends here."""


def _fail_at_zero(countdown: Iterator[int], fault: Fault | type[Killed]) -> Fault | None:
    if next(countdown):
        return None
    if isinstance(fault, Fault):
        return fault
    raise fault


@pytest.mark.parametrize("fault", [*Fault, Killed])
def test_after_a_fault_at_any_step_a_repetition_finishes(
    store: Storage, monkeypatch: pytest.MonkeyPatch, fault: Fault | type[Killed]
) -> None:
    """A commit with a checkpoint and a cleaning, which fails at its first, second, … request, then goes well."""
    monkeypatch.setattr(delta, "CHECKPOINT_COMMITS", 3)
    step = 0
    while True:
        store.blobs.blobs.clear()
        files = [store.name(DAY, number) for number in range(9)]
        for number in range(1, 6):
            store.log().replace_day(DAY, number, [files[number]])
            store.steps.now += timedelta(days=20)
        countdown = itertools.count(step, -1)
        store.steps.pause = partial(_fail_at_zero, countdown, fault)
        with contextlib.suppress(AzureError, Killed):
            store.log().replace_day(DAY, 6, [files[6]])
        store.steps.pause = lambda: None
        seen = store.read()
        assert seen.paths(DAY) == paths_of([files[seen.counters[f"date={DAY}"]]])
        version = store.log().replace_day(DAY, 6, [files[6]])
        assert version == store.read().version == 6, "one entry, not two"
        assert store.read().paths(DAY) == paths_of([files[6]])
        assert store.log().replace_day(DAY, 5, [files[5]]) is None
        if next(countdown) >= 0:
            break
        step += 1
    assert step > 8


def test_a_day_leaves_before_retention_deletes_its_first_file(store: Storage) -> None:
    log = store.log(retention_days=31)
    first, later = store.name(DAY, 1), DAY + timedelta(days=20)
    log.replace_day(DAY, 1, [first])
    store.steps.now += timedelta(days=20)
    log.replace_day(DAY, 2, [first, store.name(DAY, 2)])
    log.replace_day(later, 1, [store.name(later, 3)])
    store.steps.now += timedelta(days=8, hours=23)
    log.retire()
    assert len(store.read().paths(DAY)) == 2
    store.steps.now += timedelta(hours=2)
    log.retire()
    assert (len(store.read().paths(DAY)), len(store.read().paths(later))) == (0, 1)
    version = store.read().version
    log.retire()
    log.replace_day(DAY, 2, [first, store.name(DAY, 2)])
    assert store.read().version == version, "it does not come back"
    assert log.replace_day(DAY, 1, [store.name(DAY, 4)]), "but for a manifest that begins anew"


def test_each_commit_retires_what_is_due(store: Storage) -> None:
    log = store.log(retention_days=31)
    log.replace_day(DAY, 1, [store.name(DAY, 1)])
    store.steps.now += timedelta(days=30)
    today = store.steps.now.date()
    log.replace_day(today, 1, [store.name(today, 2)])
    assert [path[5:15] for path in store.read().files] == [str(today)]


def test_new_columns_come_with_the_next_commit(
    store: Storage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store.log().replace_day(DAY, 1, [store.write(DAY, "a")])
    before = store.read()
    monkeypatch.setitem(COLUMNS, Table.MEETINGS, COLUMNS[Table.MEETINGS] | {"added": "string"})
    monkeypatch.setattr(delta, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    other = DAY + timedelta(days=1)
    store.log().replace_day(other, 1, [store.write(other, "b")])
    after = store.read()
    assert after.schema == before.schema | {"added": "string"}
    assert after.metadata["id"] == before.metadata["id"]
    found = pl.read_delta(str(unpack(store.blobs.blobs, ROOT, tmp_path)))
    assert found["added"].to_list() == [None, None]
    monkeypatch.undo()
    monkeypatch.setattr(times, "now", lambda: store.steps.now)
    store.log().replace_day(DAY, 2, [store.write(DAY, "c")])
    assert store.read().schema == after.schema, "an instance that knows fewer columns leaves them"


def test_a_stranger_who_compacts_or_appends_is_undone_with_the_day(store: Storage, tmp_path: Path) -> None:
    log = store.log()
    log.replace_day(DAY, 1, [store.write(DAY, "a"), store.write(DAY, "b")])
    folder = unpack(store.blobs.blobs, ROOT, tmp_path)
    table = deltalake.DeltaTable(str(folder))
    table.optimize.compact()
    table.create_checkpoint()
    _take_up(store, folder)
    assert len(store.read().files) == 1
    files = [store.write(DAY, "a"), store.write(DAY, "b")]
    assert log.replace_day(DAY, 1, files) == 3
    assert rows(unpack(store.blobs.blobs, ROOT, tmp_path)) == [(DAY, "a"), (DAY, "b")]


def test_a_protocol_that_a_stranger_raised_is_refused(store: Storage, tmp_path: Path) -> None:
    log = store.log()
    log.replace_day(DAY, 1, [store.write(DAY, "a")])
    folder = unpack(store.blobs.blobs, ROOT, tmp_path)
    deltalake.DeltaTable(str(folder)).alter.add_feature(deltalake.TableFeatures.DeletionVectors, True)
    _take_up(store, folder)
    with pytest.raises(DeltaRefused, match="raised its protocol"):
        log.replace_day(DAY, 2, [store.write(DAY, "b")])


def test_a_log_without_beginning_is_refused_and_not_begun_anew(store: Storage) -> None:
    log = store.log()
    log.replace_day(DAY, 1, [store.name(DAY, 1)])
    del store.blobs.blobs[f"{ROOT}/_delta_log/{0:020}.json"]
    with pytest.raises(DeltaRefused, match="beginning"):
        log.replace_day(DAY, 2, [store.name(DAY, 2)])


def test_a_lost_pointer_to_the_checkpoint_is_found_again(
    store: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta, "CHECKPOINT_COMMITS", 3)
    for number in range(1, 6):
        store.log().replace_day(DAY, number, [store.name(DAY, number)])
    del store.blobs.blobs[f"{ROOT}/_delta_log/_last_checkpoint"]
    for version in range(3):
        del store.blobs.blobs[f"{ROOT}/_delta_log/{version:020}.json"]
    assert store.log().replace_day(DAY, 6, [store.name(DAY, 6)]) == 6
    assert store.read().files.keys() == paths_of([store.name(DAY, 6)])


def _take_up(store: Storage, folder: Path) -> None:
    """Bring what somebody wrote into the container."""
    for path in folder.rglob("*"):
        name = f"{ROOT}/{path.relative_to(folder)}"
        if (path.is_file() and name not in store.blobs.blobs) or name.endswith("_last_checkpoint"):
            store.blobs.upload_blob(name, path.read_bytes(), overwrite=True)
