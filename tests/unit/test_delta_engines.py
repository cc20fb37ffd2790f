"""Delta tables as deltalake and polars read them."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from shared import times
from shared.errors import DeltaRefused
from shared.tables import delta
from shared.tables.columns import COLUMNS, SCHEMA_VERSION, Table
from shared.tables.delta import CHECKPOINT_COMMITS, DataFile
from tests.support.delta import unpack
from tests.unit.test_delta import DAY, ROOT, Storage, paths_of, store, take_up

__all__ = ["store"]  # a fixture
deltalake = pytest.importorskip("deltalake", reason="installed for `make check`")
pl = pytest.importorskip("polars", reason="installed for `make check`")
pytestmark = pytest.mark.heavy("reads with engines of 330 MB")


def rows(folder: Path) -> list[tuple[date, str]]:
    """What both engines find, and the same."""
    found: list[tuple[date, str]] = (
        pl.scan_delta(str(folder)).select("date", "reportId").sort("date", "reportId").collect().rows()
    )
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
    take_up(store, folder)
    assert len(store.read().files) == 1
    files = [store.write(DAY, "a"), store.write(DAY, "b")]
    assert log.replace_day(DAY, 1, files) == 3
    assert rows(unpack(store.blobs.blobs, ROOT, tmp_path)) == [(DAY, "a"), (DAY, "b")]


def test_a_protocol_that_a_stranger_raised_is_refused(store: Storage, tmp_path: Path) -> None:
    log = store.log()
    log.replace_day(DAY, 1, [store.write(DAY, "a")])
    folder = unpack(store.blobs.blobs, ROOT, tmp_path)
    deltalake.DeltaTable(str(folder)).alter.add_feature(deltalake.TableFeatures.DeletionVectors, True)
    take_up(store, folder)
    with pytest.raises(DeltaRefused, match="raised its protocol"):
        log.replace_day(DAY, 2, [store.write(DAY, "b")])
