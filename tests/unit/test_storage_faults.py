"""What the writers do when storage is not as the deployment left it."""

import io
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import ContainerClient

from local.stack import storage
from local.stack.azurite import Azurite
from local.stack.identity import Identity
from shared.archive.reports import Archive, Stored
from shared.graph.reports import MeetingReports, Report
from shared.ledger.outcome import Outcome, Result
from shared.ledger.publish import Outcomes, Superseded
from shared.messages.signals import Meeting

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
WHERE = MeetingReports("0a0b0c0d-0000-4000-8000-000000000001", "MSo+/w==")


@pytest.fixture
def container(azurite: Azurite, identity: Identity) -> ContainerClient:
    """A container of this test's own, not made yet."""
    return storage.blob_service(azurite, identity).get_container_client(f"test-{uuid4()}")


def report(body: bytes, end: datetime = NOW, start: datetime | None = None) -> Report:
    return Report(
        "r/1", start or end, end, 1, body.hex()[:64], io.BytesIO(body), len(body), datetime.now(UTC)
    )


def outcome(**changes: object) -> Outcome:
    fields: dict[str, object] = {
        "signal_id": "cr-1",
        "result": Result.PENDING,
        "first_seen": NOW,
        "attempt": 1,
    }
    return Outcome(**fields | changes)  # type: ignore[arg-type]


def test_a_container_that_is_missing_is_a_fault_and_not_a_race(container: ContainerClient) -> None:
    with pytest.raises(ResourceNotFoundError):
        Archive(container).store(report(b"{}"), WHERE)
    with pytest.raises(ResourceNotFoundError):
        Outcomes(container).write(outcome(), None)
    with pytest.raises(ResourceNotFoundError):
        Outcomes(container).find("cr-1", [NOW.date()])


def test_a_report_is_written_once_and_replaced_only_by_a_change(container: ContainerClient) -> None:
    container.create_container()
    archive = Archive(container)
    assert archive.store(report(b"{}"), WHERE) is Stored.CREATED
    assert archive.store(report(b"{}"), WHERE) is Stored.UNCHANGED
    assert archive.store(report(b'{"a":1}'), WHERE) is Stored.REPLACED
    assert archive.store(report(b"{}"), WHERE, only_grown=True) is Stored.KEPT
    (blob,) = container.list_blobs(include=["metadata"])
    assert blob.name == "reports/date=2026-11-23/r%2F1.json"
    assert blob.metadata["meetingid"] == "MSo+/w=="
    assert container.download_blob(blob.name).readall() == b'{"a":1}'


def test_a_reading_that_is_older_than_what_is_stored_does_not_undo_it(container: ContainerClient) -> None:
    container.create_container()
    archive = Archive(container)
    archive.store(report(b'{"newer":1}'), WHERE)
    older = replace(report(b"{}"), read_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert archive.store(older, WHERE) is Stored.KEPT
    (name,) = container.list_blob_names()
    assert container.download_blob(name).readall() == b'{"newer":1}'


def test_a_report_larger_than_a_block_keeps_the_same_conditions(container: ContainerClient) -> None:
    container.create_container()
    archive, large = Archive(container), b"[" + b" " * 9_000_000 + b"]"
    assert archive.store(report(large), WHERE) is Stored.CREATED
    assert archive.store(report(large), WHERE) is Stored.UNCHANGED
    assert archive.store(report(b"{" + large[1:]), WHERE) is Stored.REPLACED


def test_a_report_that_grew_past_midnight_leaves_no_copy_in_the_day_before(
    container: ContainerClient,
) -> None:
    container.create_container()
    archive, start = Archive(container), datetime(2026, 11, 22, 23, tzinfo=UTC)
    archive.store(report(b"{}", datetime(2026, 11, 22, 23, 30, tzinfo=UTC), start), WHERE)
    archive.store(report(b'{"a":1}', datetime(2026, 11, 23, 0, 30, tzinfo=UTC), start), WHERE)
    assert list(container.list_blob_names()) == ["reports/date=2026-11-23/r%2F1.json"]


def test_an_outcome_is_written_over_what_was_read_and_nothing_else(container: ContainerClient) -> None:
    container.create_container()
    outcomes = Outcomes(container)
    outcomes.write(outcome(), None)
    with pytest.raises(Superseded):
        outcomes.write(outcome(), None)
    found = outcomes.find("cr-1", [NOW.date()])
    assert found is not None
    assert found.outcome == outcome()
    outcomes.write(outcome(attempt=2), found)
    with pytest.raises(Superseded):
        outcomes.write(outcome(attempt=2), found)


def test_an_outcome_moves_to_its_day_when_that_is_known(container: ContainerClient) -> None:
    container.create_container()
    outcomes = Outcomes(container)
    outcomes.write(outcome(), None)
    known = outcome(meeting=Meeting(end=datetime(2026, 11, 20, 12, tzinfo=UTC)))
    outcomes.write(known, outcomes.find("cr-1", [NOW.date()]))
    assert list(container.list_blob_names()) == ["outcomes/date=2026-11-20/cr-1.json"]
