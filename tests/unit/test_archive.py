"""A stored report after any readings in any order: never smaller, unless two complete readings say so."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from azure.storage.blob import ContainerClient
from hypothesis import given
from hypothesis import strategies as st

from shared.archive.reports import Archive, StoreResult
from shared.graph.reports import EventReports, MeetingReports, Report, ReportLocation
from shared.messages.signals import EventKind, EventSession
from tests.support.blobs import Blob
from tests.support.doubles import Container, Steps

NOW = datetime(2026, 11, 24, 0, 30, tzinfo=UTC)
START = NOW - timedelta(hours=2)
MEETING = MeetingReports("organizer", "meeting")
EVENT = EventReports(EventSession(EventKind.WEBINAR, "event", "session"))


def reading(records: int, counted: int | None = None, size: int = 100, **changes: Any) -> Report:
    """A reading with so many records of a report that counts so many, of so many bytes beside those of records."""
    participants = records if counted is None else counted
    body = b"x" * (size + records)
    known = Report(
        "r",
        START,
        NOW,
        participants,
        records,
        is_partial=participants != records,
        sha256=f"{records}-of-{participants}",
        body=io.BytesIO(body),
        size=len(body),
        read_at=NOW + timedelta(hours=1),
    )
    return replace(known, **changes)


def archive(container: Container) -> Archive:
    return Archive(cast(ContainerClient, container))


def stored(*readings: Report, where: ReportLocation = MEETING) -> tuple[list[StoreResult], Blob]:
    """What becomes of each reading, and the one blob in the end."""
    container = Container(Steps(NOW))
    results = [archive(container).store(each, where).result for each in readings]
    (blob,) = container.blobs.values()
    return results, blob


CREATED, REPLACED, KEPT = StoreResult.CREATED, StoreResult.REPLACED, StoreResult.KEPT
WAITING, UNCHANGED = StoreResult.WAITING, StoreResult.UNCHANGED


@pytest.mark.parametrize(
    ("first", "second", "result"),
    [
        (reading(3), reading(5), REPLACED),
        (reading(5), reading(3), WAITING),
        (reading(5), reading(3, 5), KEPT),
        (reading(5), reading(5, 7), KEPT),
        (reading(5), reading(6, 7), REPLACED),
        (reading(2, 5), reading(5), REPLACED),
        (reading(2, 5), reading(2), WAITING),
        (reading(2, 5), reading(1, 5), KEPT),
        (reading(2, 5), reading(3, 5), REPLACED),
        (reading(2, 5), reading(2, 6), REPLACED),
        (reading(2, 5), reading(2, 5), UNCHANGED),
        (reading(5), reading(5, sha256="longer", size=900), REPLACED),
        (reading(5), reading(5, sha256="shorter", size=9), WAITING),
        (reading(5), reading(5, sha256="later", end=NOW + timedelta(minutes=1), size=9), REPLACED),
        (reading(5), reading(5, sha256="earlier", end=NOW - timedelta(minutes=1), size=900), WAITING),
    ],
    ids=lambda value: value.sha256 if isinstance(value, Report) else value,
)
def test_a_reading_replaces_what_says_no_more(first: Report, second: Report, result: StoreResult) -> None:
    results, blob = stored(first, second)
    assert results == [CREATED, result]
    left = first if result.is_left else second
    assert (blob.metadata["sha256"], "partial" in blob.metadata) == (left.sha256, left.is_partial)


READINGS = st.builds(
    lambda records, missing, size, minutes: reading(
        records,
        records + missing,
        sha256=f"{records}-{missing}-{size}-{minutes}",
        size=size,
        end=NOW + timedelta(minutes=minutes),
    ),
    st.integers(0, 4),
    st.sampled_from([0, 0, 1, 2]),
    st.integers(10, 12),
    st.sampled_from([0, 1, -60]),  # an hour before is the day before
)


@given(st.lists(st.tuples(READINGS, st.sampled_from([MEETING, EVENT])), min_size=1, max_size=8))
def test_no_readings_make_a_report_smaller(readings: list[tuple[Report, ReportLocation]]) -> None:
    container = Container(Steps(NOW))
    most, path = -1, None
    for each, where in readings:
        writing = archive(container).store(each, where, earlier=path)
        path = writing.name
        (blob,) = container.blobs.values()
        assert blob.name == path
        assert int(blob.metadata["records"]) >= most
        most = int(blob.metadata["records"])
        assert ("partial" in blob.metadata) == writing.is_partial


@given(READINGS, READINGS)
def test_a_confirmed_reading_replaces_all_but_a_partial_one(first: Report, second: Report) -> None:
    container = Container(Steps(NOW))
    before = archive(container).store(first, MEETING)
    after = archive(container).store(second, MEETING, earlier=before.name, is_confirmed=True)
    if not second.is_partial:
        assert after.result in (REPLACED, UNCHANGED, CREATED)
    (blob,) = container.blobs.values()
    assert blob.name == after.name


@pytest.mark.parametrize("records", [0, 4])
def test_an_events_own_report_is_not_replaced_by_its_meetings_view(records: int) -> None:
    container = Container(Steps(NOW))
    archive(container).store(reading(2), EVENT)
    assert archive(container).store(reading(records), MEETING).result is KEPT


def test_an_events_own_report_replaces_its_meetings_view_unless_it_has_fewer_records() -> None:
    container = Container(Steps(NOW))
    archive(container).store(reading(2), MEETING)
    assert archive(container).store(reading(1), EVENT).result is WAITING
    assert archive(container).store(reading(2, size=1), EVENT).result is REPLACED


def test_metadata_of_others_say_nothing_and_keep_a_partial_reading_from_replacing() -> None:
    container = Container(Steps(NOW))
    name = archive(container).store(reading(3), MEETING).name
    container.blobs[name].metadata.clear()
    assert archive(container).store(reading(2, 3), MEETING).result is KEPT
    assert archive(container).store(reading(2), MEETING).result is REPLACED
