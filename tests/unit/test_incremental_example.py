"""The example of an incremental reader, on an archive whose days change and go."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from shared import times
from shared.days.manifests import manifest_name
from tests.support.archive_days import ArchiveDays, Meeting
from tests.support.examples import example
from tests.support.parquet import rows_of

MONDAY, TUESDAY, EMPTY = date(2026, 11, 23), date(2026, 11, 24), date(2026, 11, 28)
WEEKLY = Meeting("w1", {"ann": [(0, 60)], "bob": [(0, 30)]})
NOBODY = Meeting("n1", series="void")


@pytest.fixture
def incremental() -> ModuleType:
    return example("incremental")


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> ArchiveDays:
    made = ArchiveDays(datetime(2026, 11, 30, 6, tzinfo=UTC))
    monkeypatch.setattr(times, "now", made.now)
    made.store(MONDAY, WEEKLY)
    made.store(TUESDAY, NOBODY)
    for day in (MONDAY, TUESDAY, EMPTY):
        made.seal(day)
    return made


class Reader:
    """The copy of an archive, brought up to date when asked."""

    def __init__(self, module: ModuleType, archive: ArchiveDays, folder: Path) -> None:
        self._module, self._archive, self.folder = module, archive, folder

    def run(self) -> tuple[dict[str, int], list[str], dict[str, str]]:
        done = self._module.run(self._archive.container, self.folder)
        return done.loaded, done.removed, done.skipped

    def attended(self, day: date = MONDAY) -> list[str | None]:
        files = self.folder.glob(f"attendees/date={day}/*.parquet")
        return [row["displayName"] for file in sorted(files) for row in rows_of(file.read_bytes())]

    @property
    def cursor(self) -> dict[str, int]:
        cursor: dict[str, int] = json.loads((self.folder / "cursor.json").read_text())
        return cursor


@pytest.fixture
def reader(incremental: ModuleType, archive: ArchiveDays, tmp_path: Path) -> Reader:
    made = Reader(incremental, archive, tmp_path / "copy")
    assert made.run() == ({str(MONDAY): 1, str(TUESDAY): 1, str(EMPTY): 1}, [], {})
    return made


NOTHING: tuple[dict[str, int], list[str], dict[str, str]] = ({}, [], {})


def test_a_day_without_meetings_and_a_meeting_without_attendees_are_loaded(reader: Reader) -> None:
    assert reader.attended() == ["Ann", "Bob"]
    assert reader.attended(TUESDAY) == []
    assert len(list(reader.folder.glob(f"meetings/date={TUESDAY}/*"))) == 1
    assert list(reader.folder.glob(f"*/date={EMPTY}")) == []
    assert reader.run() == NOTHING


def test_a_day_that_is_open_again_keeps_its_last_final_revision(reader: Reader, archive: ArchiveDays) -> None:
    archive.set_pending(MONDAY, is_pending=True)
    archive.store(MONDAY, Meeting("w1", {"ann": [(0, 60)]}))
    assert not archive.seal(MONDAY).complete
    assert reader.run() == NOTHING
    assert reader.attended() == ["Ann", "Bob"]
    archive.set_pending(MONDAY, is_pending=False)
    archive.seal(MONDAY)
    assert reader.run() == ({str(MONDAY): 2}, [], {})
    assert reader.attended() == ["Ann"]


def test_a_day_that_is_gone_goes_from_the_copy(reader: Reader, archive: ArchiveDays) -> None:
    archive.expire(MONDAY)
    assert reader.run() == ({}, [str(MONDAY)], {})
    assert list(reader.folder.glob(f"*/date={MONDAY}")) == []
    assert str(MONDAY) not in reader.cursor
    assert reader.run() == NOTHING


def test_files_that_retention_deleted_before_the_manifest_stay_in_the_copy(
    reader: Reader, archive: ArchiveDays
) -> None:
    archive.expire(MONDAY, is_kept=lambda name: name.startswith("manifests/"))
    assert reader.run() == NOTHING
    assert reader.attended() == ["Ann", "Bob"]


def test_an_archive_without_manifests_empties_no_copy(reader: Reader, archive: ArchiveDays) -> None:
    archive.blobs.blobs.clear()
    with pytest.raises(SystemExit, match="no manifests"):
        reader.run()
    assert reader.attended() == ["Ann", "Bob"]


def spoil(archive: ArchiveDays, day: date) -> None:
    archive.spoil(day)


def lose_a_file(archive: ArchiveDays, day: date) -> None:
    archive.expire(day, is_kept=lambda name: "attendees" not in name)


def change_a_file(archive: ArchiveDays, day: date) -> None:
    (blob,) = archive.blobs.below(f"tables/attendees/date={day}/")
    archive.blobs.upload_blob(blob.name, b"other bytes", overwrite=True, metadata=blob.metadata)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (spoil, "its manifest cannot be read"),
        (lose_a_file, "a blob is gone"),
        (change_a_file, "is not what its manifest says"),
    ],
)
def test_a_day_that_cannot_be_read_is_passed_over_and_stops_no_other(
    harm: Callable[[ArchiveDays, date], None],
    reason: str,
    incremental: ModuleType,
    archive: ArchiveDays,
    tmp_path: Path,
) -> None:
    harm(archive, MONDAY)
    reader = Reader(incremental, archive, tmp_path / "other")
    loaded, removed, skipped = reader.run()
    assert (set(loaded), removed, set(skipped)) == ({str(TUESDAY), str(EMPTY)}, [], {str(MONDAY)})
    assert reason in skipped[str(MONDAY)]
    assert [each.name for each in reader.folder.rglob("*") if str(MONDAY) in each.name] == []
    archive.store(MONDAY, Meeting("w1", {"bob": [(0, 30)]}))
    archive.seal(MONDAY)
    loaded, _, skipped = reader.run()
    assert (set(loaded), skipped) == ({str(MONDAY)}, {})


def test_a_manifest_of_another_shape_is_passed_over(reader: Reader, archive: ArchiveDays) -> None:
    blob = archive.blobs.blobs[manifest_name(MONDAY)]
    told: Any = json.loads(blob.body) | {"tables": {"revision": 1}}
    metadata = blob.metadata | {"revision": "2"}
    body = json.dumps(told | {"revision": 2}).encode()
    archive.blobs.upload_blob(blob.name, body, overwrite=True, metadata=metadata)
    assert reader.run() == ({}, [], {str(MONDAY): "it has just changed"})
    body = json.dumps(told | {"revision": 2, "tables": {"revision": 2}}).encode()
    archive.blobs.upload_blob(blob.name, body, overwrite=True, metadata=metadata)
    assert reader.run() == ({}, [], {str(MONDAY): "its manifest cannot be read"})
    assert reader.attended() == ["Ann", "Bob"]


def test_a_day_goes_when_an_erasure_is_announced_and_comes_back_without_the_person(
    reader: Reader, archive: ArchiveDays, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = archive.blobs.blobs[manifest_name(MONDAY)]
    archive.erase(MONDAY, "bob")
    archive.refresh(MONDAY)
    after = archive.blobs.blobs[manifest_name(MONDAY)]

    archive.blobs.blobs[manifest_name(MONDAY)] = before  # the feed comes before the manifest
    assert reader.run() == ({}, [str(MONDAY)], {str(MONDAY): "a revision without an erased person comes"})
    assert list(reader.folder.glob(f"*/*{MONDAY}")) == []

    archive.blobs.blobs[manifest_name(MONDAY)] = after
    assert reader.run() == NOTHING  # its tables are not written
    archive.clean(MONDAY, at_once=True)
    archive.seal(MONDAY)
    assert reader.run() == ({str(MONDAY): 2}, [], {})
    assert reader.attended() == ["Ann", None]
    assert reader.run() == NOTHING
    assert b"Bob" not in b"".join(each.read_bytes() for each in reader.folder.rglob("*") if each.is_file())


def test_a_run_that_was_ended_is_made_up_for(reader: Reader, archive: ArchiveDays) -> None:
    archive.store(MONDAY, Meeting("w1", {"eve": [(0, 60)]}))
    archive.seal(MONDAY)
    draft = reader.folder / "attendees" / f".date={MONDAY}"
    draft.mkdir()
    (draft / "part-half.parquet").write_bytes(b"half")
    (kept,) = reader.folder.glob(f"attendees/date={MONDAY}/*")
    kept.unlink()
    assert reader.run() == ({str(MONDAY): 2}, [], {})
    assert reader.attended() == ["Eve"]
    assert list(reader.folder.rglob(".*")) == []
