"""Concurrent writers of reports, records and outcomes, and faulty storage."""

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import ContainerClient

from local.stack import storage
from local.stack.azurite import Azurite
from local.stack.identity import Identity
from shared import times
from shared.archive.reports import Archive, StoreResult
from shared.errors import Contention, StorageRefused
from shared.graph.reports import MeetingReports, Report
from shared.ledger import store
from shared.ledger.publish import Outcomes
from shared.ledger.record import AttemptSeries, Record, Result, new_commit
from shared.ledger.store import Ledger, StoredRecord
from shared.messages.signals import Meeting
from shared.storage import blobs
from tests.support.blobs import coded

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
WHERE = MeetingReports("0a0b0c0d-0000-4000-8000-000000000001", "MSo+/w==")


@pytest.fixture
def container(azurite: Azurite, identity: Identity) -> ContainerClient:
    """A container of this test's own, not made yet."""
    return storage.blob_service(azurite, identity).get_container_client(f"test-{uuid4()}")


def report(body: bytes, end: datetime = NOW, start: datetime | None = None) -> Report:
    return Report(
        "r/1",
        start or end,
        end,
        participants=1,
        records=1,
        is_partial=False,
        sha256=body.hex()[:64],
        body=io.BytesIO(body),
        size=len(body),
        read_at=datetime.now(UTC),
    )


def record(**changes: Any) -> Record:
    return replace(Record("cr-1", Result.PENDING, NOW, 1, AttemptSeries(NOW)), **changes)


def wrote(ledger: Ledger, new: Record, over: StoredRecord | None = None) -> Record:
    """The record after `new` was committed."""
    written, is_written = ledger.update(new.signal_id, lambda _: new, new_commit("attempt"), over)
    stored = ledger.read(new.signal_id)
    assert is_written
    assert stored
    assert written
    assert [each.id for each in written.commits] == [each.id for each in stored.record.commits]
    return stored.record


def test_a_container_that_is_missing_is_a_fault_and_not_a_race(container: ContainerClient) -> None:
    with pytest.raises(ResourceNotFoundError):
        Archive(container).store(report(b"{}"), WHERE)
    with pytest.raises(ResourceNotFoundError):
        Ledger(container).read("cr-1")
    with pytest.raises(ResourceNotFoundError):
        Ledger(container).update("cr-1", lambda _: record(), new_commit("attempt"))
    with pytest.raises(ResourceNotFoundError):
        Outcomes(container).publish(record().with_commit(new_commit("attempt"), None), Ledger(container))
    with pytest.raises(ResourceNotFoundError):
        Outcomes(container).read("outcomes/date=2026-11-23/cr-1.json")


def test_a_report_is_written_once_and_replaced_only_by_a_change(container: ContainerClient) -> None:
    container.create_container()
    archive = Archive(container)
    assert archive.store(report(b"{}"), WHERE).result is StoreResult.CREATED
    assert archive.store(report(b"{}"), WHERE).result is StoreResult.UNCHANGED
    assert archive.store(report(b'{"a":1}'), WHERE).result is StoreResult.REPLACED
    assert archive.store(report(b"{}"), WHERE).result is StoreResult.WAITING
    (blob,) = container.list_blobs(include=["metadata"])
    assert blob.name == "reports/date=2026-11-23/r%2F1.json"
    assert blob.metadata["meetingid"] == "MSo+/w=="
    assert container.download_blob(blob.name).readall() == b'{"a":1}'
    assert archive.store(report(b"{}"), WHERE, is_confirmed=True).result is StoreResult.REPLACED
    assert container.download_blob(blob.name).readall() == b"{}"


def test_a_report_that_is_replaced_keeps_the_time_when_it_was_first_stored(
    container: ContainerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    container.create_container()
    archive, moments = Archive(container), []
    for number, body in enumerate((b"{}", b"{}", b'{"a":1}', b'{"a":12}')):
        monkeypatch.setattr(times, "now", lambda: datetime(2026, 11, 23, 10 + number, tzinfo=UTC))  # noqa: B023
        archive.store(report(body), WHERE, is_confirmed=True)
        (blob,) = container.list_blobs(include=["metadata"])
        moments.append(blob.metadata["stored"])
    assert moments == ["2026-11-23T10:00:00.000Z"] * 4


def test_a_reading_that_is_older_than_what_is_stored_does_not_undo_it(container: ContainerClient) -> None:
    container.create_container()
    archive = Archive(container)
    archive.store(report(b'{"newer":1}'), WHERE)
    older = replace(report(b"{}"), read_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert archive.store(older, WHERE).result is StoreResult.KEPT
    (name,) = container.list_blob_names()
    assert container.download_blob(name).readall() == b'{"newer":1}'


def test_a_report_larger_than_a_block_keeps_the_same_conditions(container: ContainerClient) -> None:
    container.create_container()
    archive, large = Archive(container), b"[" + b" " * 9_000_000 + b"]"
    assert archive.store(report(large), WHERE).result is StoreResult.CREATED
    assert archive.store(report(large), WHERE).result is StoreResult.UNCHANGED
    assert archive.store(report(b"{" + large[1:]), WHERE).result is StoreResult.REPLACED


def test_a_report_that_grew_past_midnight_leaves_no_copy_in_the_day_before(
    container: ContainerClient,
) -> None:
    container.create_container()
    archive, start = Archive(container), datetime(2026, 11, 22, 23, tzinfo=UTC)
    archive.store(report(b"{}", datetime(2026, 11, 22, 23, 30, tzinfo=UTC), start), WHERE)
    archive.store(report(b'{"a":1}', datetime(2026, 11, 23, 0, 30, tzinfo=UTC), start), WHERE)
    assert list(container.list_blob_names()) == ["reports/date=2026-11-23/r%2F1.json"]


def test_a_record_is_written_over_what_was_read_and_what_another_wrote_is_read_again(
    container: ContainerClient,
) -> None:
    container.create_container()
    ledger = Ledger(container)
    first = wrote(ledger, record())
    (blob,) = container.list_blob_names()
    assert blob == "signals/cr-1.json"
    stored = ledger.read("cr-1")
    assert stored
    assert stored.record == first
    second = wrote(ledger, record(attempt=2), stored)
    seen: list[Record | None] = []

    def change(old: Record | None) -> Record | None:
        seen.append(old)
        return record(attempt=3)

    third, _ = ledger.update(
        "cr-1", change, new_commit("attempt"), stored
    )  # read before the second was written
    assert seen == [first, second]
    assert third
    assert (third.revision, len(third.commits)) == (3, 3)


def test_a_change_that_leaves_the_record_writes_nothing(container: ContainerClient) -> None:
    container.create_container()
    ledger = Ledger(container)
    assert ledger.update("cr-1", lambda _: None, new_commit("attempt")) == (None, False)
    assert list(container.list_blob_names()) == []
    first = wrote(ledger, record())
    assert ledger.update("cr-1", lambda _: None, new_commit("attempt"), ledger.read("cr-1")) == (first, False)


def test_a_writer_whose_reply_was_lost_finds_its_own_commit_beside_a_foreign_one(
    container: ContainerClient, azurite: Azurite, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PUT without reply is repeated; meanwhile another writer came."""
    container.create_container()
    other = Ledger(storage.blob_service(azurite, identity).get_container_client(container.container_name))
    put = blobs.put_blob

    def put_twice(to: ContainerClient, *args: Any, **known: Any) -> str | None:
        if to is container:
            assert put(to, *args, **known)
            wrote(other, record(attempt=2, last_error="another's"), other.read("cr-1"))
        return put(to, *args, **known)

    monkeypatch.setattr(store, "put_blob", put_twice)
    now, is_written = Ledger(container).update("cr-1", lambda _: record(), new_commit("attempt"))
    assert is_written
    assert now
    assert (now.attempt, now.last_error, now.revision) == (2, "another's", 2)


def test_a_writer_whom_others_always_overtake_gives_up(
    container: ContainerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    container.create_container()
    monkeypatch.setattr(store, "put_blob", lambda *_, **__: None)
    with pytest.raises(Contention, match="cr-1"):
        Ledger(container).update("cr-1", lambda _: record(), new_commit("attempt"))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"signalId":7}', b"null"])
def test_a_record_that_this_product_did_not_write_is_failed_and_written_over(
    container: ContainerClient, body: bytes
) -> None:
    container.create_container()
    container.upload_blob("signals/cr-1.json", body)
    ledger = Ledger(container)
    stored = ledger.read("cr-1")
    assert stored
    assert (stored.record.result, stored.record.attempt) == (Result.FAILED, 0)
    assert wrote(ledger, record(attempt=3), stored).attempt == 3


def test_an_outcome_moves_to_its_day_when_that_is_known(container: ContainerClient) -> None:
    container.create_container()
    ledger, outcomes = Ledger(container), Outcomes(container)
    first = outcomes.publish(wrote(ledger, record()), ledger)
    assert names(container) == ["outcomes/date=2026-11-23/cr-1.json"]
    moved = record(meeting=Meeting(end=datetime(2026, 11, 20, 12, tzinfo=UTC)))
    second = wrote(ledger, moved, ledger.read("cr-1"))
    outcomes.publish(second, ledger)
    assert names(container) == ["outcomes/date=2026-11-20/cr-1.json"]
    assert outcomes.publish(first, ledger) == second  # by one who is late
    assert names(container) == ["outcomes/date=2026-11-20/cr-1.json"]


def remove(ledger: Ledger) -> None:
    stored = ledger.read("cr-1")
    assert stored
    ledger.remove(stored)


def test_a_copy_of_a_record_that_is_gone_is_taken_away_by_its_publisher(container: ContainerClient) -> None:
    container.create_container()
    ledger, outcomes = Ledger(container), Outcomes(container)
    first = wrote(ledger, record())
    remove(ledger)
    outcomes.publish(first, ledger)
    assert list(container.list_blob_names()) == []


def test_a_copy_of_a_greater_revision_is_adopted_by_a_record_that_is_new(container: ContainerClient) -> None:
    """Retention or a restore took the record away, and the copy is still there."""
    container.create_container()
    ledger, outcomes = Ledger(container), Outcomes(container)
    before = wrote(ledger, record())
    for _ in range(3):
        before = wrote(
            ledger, replace(before, result=Result.STORED, attempt=before.attempt + 1), ledger.read("cr-1")
        )
    outcomes.publish(before, ledger)
    remove(ledger)
    adopted = outcomes.publish(wrote(ledger, record()), ledger)
    assert (adopted.result, adopted.attempt, adopted.revision) == (Result.STORED, 1, before.revision + 1)
    (name,) = names(container)
    copy = outcomes.read(name)
    assert copy
    assert (copy.result, copy.revision) == (Result.STORED, adopted.revision)


def names(container: ContainerClient) -> list[str]:
    """The outcomes in a container."""
    return list(container.list_blob_names(name_starts_with="outcomes/"))


CODES = ["BlobImmutableDueToPolicy", "BlobArchived", "BlobBeingRehydrated", "PendingCopyOperation", None]


def refusing(container: ContainerClient, code: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have storage answer each write over a blob that exists with a 409 of this code."""
    client = container.get_blob_client("x").__class__
    upload = client.upload_blob

    def refused(self: Any, *args: Any, **options: Any) -> Any:
        if options.get("etag") or self.exists():
            raise coded(ResourceExistsError("409"), code)  # type: ignore[arg-type]
        return upload(self, *args, **options)

    def locked(*args: Any, **options: Any) -> Any:
        raise coded(ResourceExistsError("409"), code)  # type: ignore[arg-type]

    monkeypatch.setattr(client, "upload_blob", refused)
    monkeypatch.setattr(container.__class__, "delete_blob", locked)


@pytest.mark.parametrize("code", CODES)
def test_a_conflict_that_is_no_race_is_said_as_what_it_is(
    container: ContainerClient, code: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    container.create_container()
    wrote(Ledger(container), record())
    refusing(container, code, monkeypatch)
    said = f"Storage refuses to change signals/cr-1.json \\({code or 'no error code'}\\)"
    with pytest.raises(StorageRefused, match=said):
        Ledger(container).update("cr-1", lambda _: record(attempt=2), new_commit("attempt"))


@pytest.mark.parametrize("code", CODES)
def test_a_report_that_nobody_may_replace_stays_and_is_told(
    container: ContainerClient,
    code: str | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    container.create_container()
    archive = Archive(container)
    archive.store(report(b"{}"), WHERE)
    refusing(container, code, monkeypatch)
    assert archive.store(report(b'{"a":1}'), WHERE).result is StoreResult.KEPT
    assert "report.locked" in caplog.text
    assert code is None or code in caplog.text


@pytest.mark.parametrize("end", [NOW, NOW - timedelta(days=1)])
@pytest.mark.parametrize("code", CODES)
def test_a_report_whose_facts_nobody_may_complete_stays_and_is_told(
    container: ContainerClient,
    code: str | None,
    end: datetime,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    container.create_container()
    archive = Archive(container)
    archive.store(replace(report(b"{}{}", end), participants=2, records=2), WHERE.unattributed())

    def locked(*args: Any, **options: Any) -> Any:
        raise coded(ResourceExistsError("409"), code)  # type: ignore[arg-type]

    monkeypatch.setattr(container.get_blob_client("x").__class__, "set_blob_metadata", locked)
    writing = archive.store(report(b"{}", NOW, start=end), WHERE)
    assert (writing.result, writing.end) == (StoreResult.WAITING, end)
    assert caplog.text.count("report.locked") == 1
    assert "report.attributed" not in caplog.text


def test_a_copy_of_the_day_before_that_nobody_may_delete_is_left_and_told(
    container: ContainerClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    container.create_container()
    archive, day_before = Archive(container), NOW - timedelta(days=1)
    left = archive.store(report(b"{}", day_before), WHERE).name
    refusing(container, "BlobImmutableDueToPolicy", monkeypatch)
    assert archive.store(report(b'{"a":1}', start=day_before), WHERE).result is StoreResult.CREATED
    assert "report.locked" in caplog.text
    assert left in caplog.text


def test_cleaning_goes_on_beyond_a_blob_that_nobody_may_delete(
    container: ContainerClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    container.create_container()
    names = [f"invitees/date=2026-11-23/{each}.json" for each in "abc"]
    for name in names:
        container.upload_blob(name, b"{}")
    delete = container.__class__.delete_blob

    def refused(self: Any, name: str, **options: Any) -> Any:
        if name == names[1]:
            raise coded(ResourceExistsError("409"), "BlobImmutableDueToPolicy")
        return delete(self, name, **options)

    with monkeypatch.context() as patch:
        patch.setattr(container.__class__, "delete_blob", refused)
        before = datetime.now(UTC) + timedelta(hours=1)
        assert not Archive(container).clean_invitees(NOW.date(), before)
    assert list(container.list_blob_names()) == names[1:2]
    assert caplog.text.count("blob.locked") == 1
    assert Archive(container).clean_invitees(NOW.date(), before)


@pytest.mark.parametrize("body", [b"{}", b'{"a":1}', b""])
def test_a_report_that_came_back_without_metadata_is_healed_by_the_next_write(
    container: ContainerClient, body: bytes
) -> None:
    container.create_container()
    archive, name = Archive(container), "reports/date=2026-11-23/r%2F1.json"
    container.upload_blob(name, body)
    assert not archive.has_report("r/1", NOW)
    assert list(archive.list_reports(NOW.date())) == []
    read_before = replace(report(b"{}"), read_at=NOW)
    assert archive.store(read_before, WHERE).result is StoreResult.REPLACED
    assert archive.has_report("r/1", NOW)
    assert [each.id for each in archive.list_reports(NOW.date())] == ["r/1"]
