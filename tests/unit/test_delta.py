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

import pytest
from azure.core.exceptions import AzureError
from azure.storage.blob import ContainerClient

from shared import times
from shared.errors import DeltaRefused
from shared.tables import delta
from shared.tables.columns import COLUMNS, Table
from shared.tables.delta import DataFile, DeltaLog
from shared.tables.parquet import write_parquet
from tests.support.delta import Snapshot, read_log
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


def take_up(store: Storage, folder: Path) -> None:
    """Bring what somebody wrote into the container."""
    for path in folder.rglob("*"):
        name = f"{ROOT}/{path.relative_to(folder)}"
        if (path.is_file() and name not in store.blobs.blobs) or name.endswith("_last_checkpoint"):
            store.blobs.upload_blob(name, path.read_bytes(), overwrite=True)
