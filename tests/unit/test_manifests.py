"""Manifests and indexes: they match storage, and count final versions."""

import contextlib
import functools
import hashlib
import io
import json
import logging
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobClient, ContainerClient
from hypothesis import given
from hypothesis import strategies as st

from local.stack import storage
from local.stack.azurite import Azurite
from local.stack.identity import Identity
from shared.archive.reports import Archive, StoreResult
from shared.days.delays import Delays, Percentiles
from shared.days.index import RevisionReason
from shared.days.manifests import Manifest, Manifests, TableFile, Tables, next_manifest, serialize_manifest
from shared.errors import AttendanceError
from shared.graph.join_urls import join_url_key, series_id
from shared.graph.reports import MeetingReports, Report
from shared.ledger.publish import Outcomes
from shared.ledger.record import AttemptSeries, Record, Result, dump_outcome, outcome_metadata
from shared.messages import codec
from shared.messages.signals import Meeting, Origin
from shared.storage.blobs import MAX_RACES
from shared.storage.names import day_blob_name

DAY = date(2026, 11, 23)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
URL = (
    "https://teams.microsoft.com/l/meetup-join/19%3ameeting_A%40thread.v2/0?context=%7B%22Tid%22%3A%22t%22%7D"
)
WHERE = MeetingReports("0a0b0c0d-0000-4000-8000-000000000001", "MSo+/w==", URL)
FOLDER = "manifests/date=2026-11-23/"
NAMES = [f"{FOLDER}manifest.json", f"{FOLDER}reports.jsonl"]


@pytest.fixture
def container(azurite: Azurite, identity: Identity) -> ContainerClient:
    """A container of this test's own."""
    container = storage.blob_service(azurite, identity).get_container_client(f"test-{uuid4()}")
    container.create_container()
    return container


@pytest.fixture
def manifests(container: ContainerClient) -> Manifests:
    return Manifests(container)


def store(
    container: ContainerClient,
    report_id: str,
    body: bytes = b"{}",
    where: MeetingReports = WHERE,
    **changes: Any,
) -> StoreResult:
    known = Report(
        report_id,
        NOON - timedelta(hours=1),
        NOON,
        participants=2,
        records=2,
        is_partial=False,
        sha256=hashlib.sha256(body).hexdigest(),
        body=io.BytesIO(body),
        size=len(body),
        read_at=datetime.now(UTC),
    )
    return Archive(container).store(replace(known, **changes), where).result


def settle(
    container: ContainerClient, signal_id: str, result: Result, later: int = 0, *, invented: bool = False
) -> None:
    """Publish an outcome, whatever is there."""
    seen, meeting = NOON + timedelta(days=later), Meeting(origin=Origin.NEWS if invented else Origin.RECORD)
    known = Record(signal_id, result, seen, 1, AttemptSeries(NOON), meeting=meeting)
    name = Outcomes.name(signal_id, known.day)
    container.upload_blob(name, dump_outcome(known), overwrite=True, metadata=outcome_metadata(known))


def lines(container: ContainerClient) -> list[dict[str, Any]]:
    body = container.download_blob(f"{FOLDER}reports.jsonl").readall()
    assert not body or body.endswith(b"\n")
    return [json.loads(line) for line in body.splitlines()]


def etags(container: ContainerClient) -> list[str]:
    return [container.get_blob_client(name).get_blob_properties().etag for name in NAMES]


def assert_consistent(container: ContainerClient) -> Manifest:
    """What lies in storage is told by the index, and the manifest tells of this index."""
    manifest = Manifests(container).read(DAY)
    assert manifest is not None
    paths = list(container.list_blob_names(name_starts_with="reports/date=2026-11-23/"))
    assert sorted(line["path"] for line in lines(container)) == sorted(paths)
    assert lines(container) == sorted(lines(container), key=lambda line: (line["stored"], line["path"]))
    assert manifest.reports == len(paths)
    index = container.download_blob(f"{FOLDER}reports.jsonl")
    digest = hashlib.sha256(index.readall()).hexdigest()
    assert index.properties.metadata["sha256"] == digest
    assert container.get_blob_client(f"{FOLDER}manifest.json").get_blob_properties().metadata == {
        "complete": "true" if manifest.complete else "false",
        "tables": "true" if manifest.complete and not manifest.reports else "false",
        "revision": str(manifest.revision),
        "tablesversion": "0",
        "reportssha256": digest,
    }
    return manifest


def test_an_empty_day_has_a_manifest_and_an_empty_index(
    container: ContainerClient, manifests: Manifests
) -> None:
    assert manifests.read(DAY) is None
    written = manifests.refresh(DAY, final=True)
    assert manifests.read(DAY) == written
    assert json.loads(container.download_blob(f"{FOLDER}manifest.json").readall()) == {
        "date": "2026-11-23",
        "complete": True,
        "revision": 1,
        "outcomes": {},
        "reports": 0,
        "partial": 0,
        "unconfirmed": 0,
        "delays": None,
        "unknownProperties": [],
        "reasons": ["sealed"],
        "index": hashlib.sha256(b"").hexdigest(),
        "tables": {
            "version": 0,
            "revision": 1,
            "index": hashlib.sha256(b"").hexdigest(),
            "files": {},
            "deltaVersion": {},
        },
        "oldestPending": None,
        "updated": written.updated.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
    }
    assert lines(container) == []
    types = {blob.name: blob.content_settings.content_type for blob in container.list_blobs()}
    assert types == dict(zip(NAMES, ["application/json", "application/x-ndjson"], strict=True))
    assert_consistent(container)


def test_outcomes_are_counted_and_the_oldest_pending_one_is_told(
    container: ContainerClient, manifests: Manifests
) -> None:
    for number, result in enumerate([Result.STORED, Result.STORED, Result.PENDING, Result.NO_REPORT]):
        settle(container, f"cr-{number}", result)
    settle(container, "cr-next", Result.FAILED, later=1)
    manifest = manifests.refresh(DAY, final=False)
    assert manifest.outcomes == {"noReport": 1, "pending": 1, "stored": 2}
    pending = container.get_blob_client(day_blob_name("outcomes", DAY, "cr-2")).get_blob_properties()
    assert manifest.oldest_pending == pending.creation_time
    assert manifests.read(DAY) == manifest


def test_a_day_is_complete_when_it_is_final_and_nothing_is_pending(
    container: ContainerClient, manifests: Manifests
) -> None:
    settle(container, "cr-1", Result.PENDING)
    pending = manifests.refresh(DAY, final=True)
    assert (pending.complete, pending.revision) == (False, 0)
    settle(container, "cr-1", Result.STORED)
    settled = manifests.refresh(DAY, final=False)
    assert (settled.complete, settled.revision, settled.oldest_pending) == (False, 0, None)
    sealed = manifests.refresh(DAY, final=True)
    assert (sealed.complete, sealed.revision) == (True, 1)


def test_what_graph_does_not_know_counts_neither_for_a_complete_day_nor_against_it(
    container: ContainerClient, manifests: Manifests
) -> None:
    for number, result in enumerate((Result.PENDING, Result.NOT_FOUND)):
        settle(container, f"cr-{number}", result, invented=True)
    settle(container, "cr-known", Result.NOT_FOUND)
    sealed = manifests.refresh(DAY, final=True)
    assert (sealed.complete, sealed.revision, sealed.outcomes) == (True, 1, {"notFound": 1})
    assert (sealed.unconfirmed, sealed.oldest_pending) == (2, None)
    settle(container, "cr-2", Result.NOT_FOUND, invented=True)
    later = manifests.refresh(DAY, final=True)
    assert (later.complete, later.revision, later.unconfirmed) == (True, 1, 3)
    settle(container, "cr-2", Result.PENDING)  # Graph has listed it
    assert not manifests.refresh(DAY, final=True).complete


def stored_after(container: ContainerClient, signal_id: str, seen: int, stored: int | None) -> None:
    """Publish an outcome of a call that ended at NOON, with minutes from there."""
    moments = [None if each is None else NOON + timedelta(minutes=each) for each in (seen, stored)]
    result = Result.PENDING if stored is None else Result.STORED
    known = Record(signal_id, result, cast(datetime, moments[0]), 1, AttemptSeries(NOON), stored=moments[1])
    known = replace(known, meeting=Meeting(end=NOON, origin=Origin.RECORD))
    name = Outcomes.name(signal_id, known.day)
    container.upload_blob(name, dump_outcome(known), overwrite=True, metadata=outcome_metadata(known))


def test_delays_are_counted_from_the_listing(container: ContainerClient, manifests: Manifests) -> None:
    stored_after(container, "cr-1", 10, 11)
    stored_after(container, "cr-2", 30, 32)
    stored_after(container, "cr-waits", 90, None)
    delays = manifests.refresh(DAY, final=True).delays
    assert delays
    assert (delays.signals, delays.end_to_first_seen.p50, delays.end_to_first_seen.p95) == (2, 600, 1_800)
    assert (delays.first_seen_to_stored.p99, delays.end_to_stored.p99) == (120, 1_920)
    assert assert_consistent(container).delays == delays


def test_other_delays_and_unknown_properties_alone_make_no_revision(
    container: ContainerClient, manifests: Manifests
) -> None:
    store(container, "1")
    stored_after(container, "cr-1", 10, 11)
    sealed = manifests.refresh(DAY, final=True)
    stored_after(container, "cr-1", 10, 14)
    (name,) = container.list_blob_names(name_starts_with="reports/")
    blob = container.get_blob_client(name)
    blob.set_blob_metadata(blob.get_blob_properties().metadata | {"unknownproperties": "weather"})
    later = manifests.refresh(DAY, final=True)
    assert later.delays != sealed.delays
    assert later.unknown_properties == ("weather",)
    assert replace(later, delays=sealed.delays, unknown_properties=(), updated=sealed.updated) == sealed


def test_unknown_properties_of_a_days_reports_are_named_once_and_are_not_too_many(
    container: ContainerClient, manifests: Manifests
) -> None:
    store(container, "1", unknown=frozenset({"weather", "attendanceRecords/mood"}))
    store(container, "2", unknown=frozenset({"weather"}))
    store(container, "3")
    assert manifests.refresh(DAY, final=False).unknown_properties == ("attendanceRecords/mood", "weather")
    for number in range(7):
        store(container, f"hostile-{number}", unknown=frozenset(f"p{number}n{each:02}" for each in range(30)))
    names = manifests.refresh(DAY, final=False).unknown_properties
    assert len(names) == 50
    assert {"attendanceRecords/mood", "weather", "p0n09"} <= set(names)
    assert "p0n10" not in names


@pytest.mark.parametrize("final", [False, True])
def test_a_refresh_without_a_change_writes_nothing(
    container: ContainerClient, manifests: Manifests, final: bool
) -> None:
    store(container, "1")
    settle(container, "cr-1", Result.STORED)
    written, before = manifests.refresh(DAY, final=final), etags(container)
    assert manifests.refresh(DAY, final=final) == written
    assert manifests.refresh(DAY, final=False) == written
    assert etags(container) == before


def test_each_later_change_of_a_complete_day_is_a_revision(
    container: ContainerClient, manifests: Manifests
) -> None:
    manifests.refresh(DAY, final=True)
    store(container, "1")
    assert manifests.refresh(DAY, final=False).revision == 2
    assert store(container, "1", b'{"grown":1}') is StoreResult.REPLACED
    replaced = manifests.refresh(DAY, final=True)
    assert (replaced.complete, replaced.revision, replaced.reports) == (True, 3, 1)
    assert_consistent(container)


def test_what_is_taken_up_again_opens_the_day_and_its_end_is_a_revision(
    container: ContainerClient, manifests: Manifests
) -> None:
    settle(container, "cr-1", Result.FAILED)
    assert manifests.refresh(DAY, final=True).revision == 1
    settle(container, "cr-1", Result.PENDING)
    opened = manifests.refresh(DAY, final=True)
    assert (opened.complete, opened.revision) == (False, 1)
    settle(container, "cr-1", Result.FAILED)
    closed = manifests.refresh(DAY, final=False)  # known to be final, even when the day is long past
    assert (closed.complete, closed.revision) == (True, 2)


def test_a_line_of_the_index_tells_where_a_report_comes_from(
    container: ContainerClient, manifests: Manifests
) -> None:
    store(container, "r/1 é%", b'{"a":1}', participants=250)
    ((stored, blob),) = [
        (blob.metadata["stored"], blob) for blob in container.list_blobs("reports/", include=["metadata"])
    ]
    assert abs(datetime.fromisoformat(stored) - blob.creation_time) < timedelta(minutes=1)
    manifests.refresh(DAY, final=False)
    assert lines(container) == [
        {
            "id": "r/1 é%",
            "path": "reports/date=2026-11-23/r%2F1%20%C3%A9%25.json",
            "sha256": hashlib.sha256(b'{"a":1}').hexdigest(),
            "bytes": 7,
            "source": "onlineMeeting",
            "meetingId": "MSo+/w==",
            "organizerId": "0a0b0c0d-0000-4000-8000-000000000001",
            "eventId": None,
            "sessionId": None,
            "joinWebUrl": URL,
            "joinUrlKey": join_url_key(URL),
            "seriesId": series_id(URL),
            "start": "2026-11-23T11:00:00.000Z",
            "end": "2026-11-23T12:00:00.000Z",
            "stored": stored,
            "participants": 250,
            "partial": False,
            **dict.fromkeys(("subject", "scheduledStart", "scheduledEnd", "threadId", "meetingType")),
            **dict.fromkeys(("invitees", "inviteesState", "inviteesSha256")),
            "erased": False,
            "sessionIndex": 1,
        }
    ]


def test_a_line_names_event_and_session_of_a_webinar(
    container: ContainerClient, manifests: Manifests
) -> None:
    outcome_metadata = {"source": "webinar", "eventid": "ev%25@t", "sessionid": "s 1", "sha256": "0" * 64}
    container.upload_blob("reports/date=2026-11-23/w.json", b"{}", metadata=outcome_metadata)
    manifests.refresh(DAY, final=False)
    (line,) = lines(container)
    assert (line["source"], line["eventId"], line["sessionId"]) == ("webinar", "ev%@t", "s 1")
    unknown = {"meetingId", "organizerId", "joinWebUrl", "joinUrlKey", "seriesId", "stored"}
    unknown |= {"start", "end", "participants", "subject", "scheduledStart", "scheduledEnd"}
    unknown |= {"threadId", "meetingType", "sessionIndex", "invitees", "inviteesState", "inviteesSha256"}
    assert {name for name, value in line.items() if value is None} == unknown


@pytest.mark.parametrize("url", ["", "https://x.example/?" + "ä" * 2_000])
def test_a_join_url_that_metadata_cannot_hold_does_not_cost_the_report(
    container: ContainerClient, manifests: Manifests, url: str
) -> None:
    assert store(container, "1", where=replace(WHERE, join_url=url), start=None) is StoreResult.CREATED
    manifests.refresh(DAY, final=False)
    (line,) = lines(container)
    assert (line["joinWebUrl"], line["start"], line["meetingId"]) == (None, None, "MSo+/w==")


def test_odd_ids_and_urls_come_back_as_they_were(container: ContainerClient, manifests: Manifests) -> None:
    odd = [" lead", "ends ", "100%25", "a+b&c=d", "ümläut", "\ud800", "line\nbreak", '"\\', "a/../b", "😀"]
    for text in odd:
        store(container, text, where=MeetingReports(text, text, text))
    assert manifests.refresh(DAY, final=False).reports == len(odd)
    told = {
        tuple(line[name] for name in ("id", "organizerId", "meetingId", "joinWebUrl"))
        for line in lines(container)
    }
    assert told == {(text,) * 4 for text in odd}
    assert_consistent(container)


def test_blobs_of_others_are_passed_over(container: ContainerClient, manifests: Manifests) -> None:
    container.upload_blob("reports/date=2026-11-23/notes%ff.txt", b"", metadata={"x": "%ff"})
    container.upload_blob("outcomes/date=2026-11-23/notes.txt", b"")
    store(container, "1")
    manifest = manifests.refresh(DAY, final=True)
    assert (manifest.reports, manifest.outcomes, manifest.complete) == (1, {}, True)
    assert [line["id"] for line in lines(container)] == ["1"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"updated":null}', b"\xff", b'{"updated":7}'])
def test_a_manifest_that_cannot_be_read_is_written_over(
    container: ContainerClient, manifests: Manifests, body: bytes
) -> None:
    container.upload_blob(f"{FOLDER}manifest.json", body)
    assert manifests.read(DAY) is None
    assert manifests.refresh(DAY, final=True).revision == 1
    assert_consistent(container)


def test_an_index_that_was_changed_by_others_is_mended(
    container: ContainerClient, manifests: Manifests
) -> None:
    store(container, "1")
    manifests.refresh(DAY, final=True)
    container.upload_blob(f"{FOLDER}reports.jsonl", b"", overwrite=True)
    manifests.refresh(DAY, final=False)
    assert_consistent(container)


def test_a_crash_between_index_and_manifest_is_made_good_by_the_next_refresh(
    container: ContainerClient, manifests: Manifests, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests.refresh(DAY, final=True)
    store(container, "1")

    def crash(name: str) -> None:
        if name.endswith("manifest.json"):
            raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(container, "get_blob_client", before_upload(container, crash))
        with pytest.raises(ConnectionError):
            manifests.refresh(DAY, final=False)
    assert len(lines(container)) == 1
    assert manifests.refresh(DAY, final=False).revision == 2
    assert_consistent(container)


def test_listings_are_followed_to_their_last_page(container: ContainerClient, manifests: Manifests) -> None:
    for number in range(11):
        store(container, str(number))
        settle(container, f"cr-{number}", Result.STORED)
        manifests.refresh(date(2026, 11, 10 + number), final=number % 2 == 0)
    small = functools.partial(container.list_blobs, results_per_page=2)
    container.list_blobs = small  # type: ignore[method-assign]
    manifest = manifests.refresh(DAY, final=True)
    assert (manifest.outcomes, manifest.reports) == ({"stored": 11}, 11)
    assert [line["id"] for line in lines(container)] == list(map(str, range(11)))
    days = manifests.complete_days(date(2026, 11, 1), date(2026, 11, 30))
    assert days == {date(2026, 11, day) for day in (10, 12, 14, 16, 18, 20, 23)}


def test_complete_days_are_those_of_the_range(container: ContainerClient, manifests: Manifests) -> None:
    sealed = [date(2026, 9, 30), date(2026, 10, 1), date(2026, 10, 31), date(2026, 12, 1), date(2027, 1, 1)]
    for day in sealed:
        manifests.refresh(day, final=True)
    manifests.refresh(date(2026, 11, 1), final=False)
    for name in ("manifests/date=2026-11-31/manifest.json", "manifests/date=2026-11-02/other.json"):
        container.upload_blob(name, b"", metadata={"complete": "true"})
    assert manifests.complete_days(date(2026, 10, 1), date(2027, 1, 1)) == set(sealed[1:])
    assert manifests.complete_days(date(2026, 10, 2), date(2026, 12, 31)) == set(sealed[2:4])
    assert manifests.complete_days(date(2026, 10, 31), date(2026, 10, 31)) == {date(2026, 10, 31)}
    assert manifests.complete_days(date(2026, 10, 31), date(2026, 10, 1)) == set()


def before_upload(container: ContainerClient, hook: Callable[[str], None]) -> Callable[[str], BlobClient]:
    """A `get_blob_client` whose clients call `hook` before they upload."""
    get = container.get_blob_client

    def get_blob_client(name: str) -> BlobClient:
        client = get(name)
        upload = client.upload_blob

        def hooked(*args: Any, **kwargs: Any) -> Any:
            hook(name)
            return upload(*args, **kwargs)

        client.upload_blob = hooked  # type: ignore[method-assign]
        return client

    return get_blob_client


def interrupted(container: ContainerClient, name: str, times: int, rival: Callable[[], object]) -> Manifests:
    """Manifests that `rival` overtakes the first `times`."""
    listing, left = container.list_blobs, iter(range(times))

    def after_rival(blob: str) -> None:
        if blob.endswith(name) and next(left, None) is not None:
            rival()

    def before_rival(name_starts_with: str, **options: Any) -> Iterator[object]:
        yield from listing(name_starts_with, **options)
        if name_starts_with.startswith(name) and next(left, None) is not None:
            rival()

    container.get_blob_client = before_upload(container, after_rival)  # type: ignore[method-assign, assignment]
    container.list_blobs = before_rival  # type: ignore[method-assign, assignment]
    return Manifests(container)


def another(container: ContainerClient, azurite: Azurite, identity: Identity) -> ContainerClient:
    """Another instance's client of the same container."""
    return storage.blob_service(azurite, identity).get_container_client(container.container_name)


@pytest.mark.parametrize("name", ["reports/", "reports.jsonl", "manifest.json"])
@pytest.mark.parametrize("first", [True, False])
def test_an_older_listing_does_not_stay_over_a_newer_one(
    container: ContainerClient, azurite: Azurite, identity: Identity, name: str, first: bool
) -> None:
    other = another(container, azurite, identity)
    if not first:
        Manifests(other).refresh(DAY, final=True)
    store(container, "old")
    settle(container, "cr-old", Result.PENDING)

    def rival() -> None:
        store(other, "new")
        settle(other, "cr-old", Result.STORED)
        Manifests(other).refresh(DAY, final=True)

    slow = interrupted(container, name, 1, rival)
    assert slow.refresh(DAY, final=True) == assert_consistent(other)
    manifest = assert_consistent(other)
    assert (manifest.outcomes, manifest.reports, manifest.complete) == ({"stored": 1}, 2, True)


def test_no_report_is_missing_that_a_counted_outcome_promised(
    container: ContainerClient, azurite: Azurite, identity: Identity
) -> None:
    other = another(container, azurite, identity)

    def rival() -> None:
        store(other, "1")
        settle(other, "cr-1", Result.STORED)

    between_the_listings = interrupted(container, "", 1, rival)
    manifest = between_the_listings.refresh(DAY, final=True)
    assert manifest.outcomes.get("stored", 0) <= manifest.reports == 1


def test_one_that_was_overtaken_and_dies_leaves_no_older_index(
    container: ContainerClient, azurite: Azurite, identity: Identity
) -> None:
    other = another(container, azurite, identity)
    store(container, "old")

    def rival() -> None:
        store(other, "new")
        Manifests(other).refresh(DAY, final=True)

    def die() -> None:
        raise ConnectionError

    with contextlib.suppress(ConnectionError):
        interrupted(container, "manifest.json", 1, die)
        interrupted(container, "reports.jsonl", 1, rival).refresh(DAY, final=True)
    assert assert_consistent(other).reports == 2


def test_a_refresh_gives_up_when_others_never_rest(
    container: ContainerClient, azurite: Azurite, identity: Identity
) -> None:
    other, numbers = another(container, azurite, identity), iter(range(100))

    def rival() -> None:
        Manifests(other).refresh(DAY, final=True)
        store(other, f"new-{next(numbers)}")

    store(container, "old")
    slow = interrupted(container, "manifest.json", MAX_RACES, rival)
    with pytest.raises(AttendanceError, match="2026-11-23"):
        slow.refresh(DAY, final=True)
    assert next(numbers) == MAX_RACES
    slow.refresh(DAY, final=True)
    assert assert_consistent(other).reports == MAX_RACES + 1


def test_refreshes_at_once_end_with_all_that_was_stored(
    container: ContainerClient, azurite: Azurite, identity: Identity
) -> None:
    rounds, barrier = 6, threading.Barrier(2, timeout=60)

    def work(worker: str) -> list[int]:
        mine = another(container, azurite, identity)
        manifests, revisions = Manifests(mine), []
        for number in range(rounds):
            barrier.wait()
            store(mine, f"{worker}-{number}")
            settle(mine, f"cr-{worker}-{number}", Result.STORED)
            revisions.append(manifests.refresh(DAY, final=True).revision)
        return revisions

    with ThreadPoolExecutor(2) as pool:
        seen = list(pool.map(work, ("a", "b")))
    manifest = assert_consistent(container)
    assert (manifest.reports, manifest.outcomes) == (2 * rounds, {"stored": 2 * rounds})
    assert rounds <= manifest.revision <= 2 * rounds
    assert all(revisions == sorted(revisions) for revisions in seen)


def test_a_container_that_is_missing_is_a_fault(azurite: Azurite, identity: Identity) -> None:
    missing = Manifests(storage.blob_service(azurite, identity).get_container_client(f"test-{uuid4()}"))
    with pytest.raises(ResourceNotFoundError):
        missing.read(DAY)
    with pytest.raises(ResourceNotFoundError):
        missing.refresh(DAY, final=True)
    with pytest.raises(ResourceNotFoundError):
        missing.complete_days(DAY, DAY)


def test_what_was_written_is_logged(manifests: Manifests, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "attendance")
    manifests.refresh(DAY, final=True)
    manifests.refresh(DAY, final=True)
    assert [json.loads(record.message) for record in caplog.records if "manifest" in record.message] == [
        {
            "event": "manifest.written",
            "date": "2026-11-23",
            "complete": True,
            "revision": 1,
            "reports": 0,
            "pending": 0,
        }
    ]


class Crowded:
    """A container whose day has 20,000 reports, made as they are listed."""

    reports = 20_000

    def __init__(self) -> None:
        self.written: dict[str, int] = {}

    def get_blob_client(self, name: str) -> Any:
        return SimpleNamespace(
            get_blob_properties=self._missing, upload_blob=functools.partial(self._upload, name)
        )

    def _missing(self) -> Any:
        raise ResourceNotFoundError

    def download_blob(self, name: str) -> Any:
        raise ResourceNotFoundError

    def list_blobs(self, name_starts_with: str, **_options: object) -> Iterator[Any]:
        if name_starts_with.startswith("reports/"):
            for number in range(self.reports):
                outcome_metadata = {"sha256": "0" * 64, "joinweburl": "x" * 300, "participants": "7"}
                yield SimpleNamespace(
                    name=f"{name_starts_with}{number:08d}.json", size=1, metadata=outcome_metadata
                )

    def _upload(self, name: str, body: Any, length: int, **_options: object) -> dict[str, str]:
        self.written[name] = length
        return {"etag": "0"}


def test_the_memory_for_a_day_of_20_000_reports_does_not_follow_their_number() -> None:
    container = Crowded()
    tracemalloc.start()
    try:
        manifest = Manifests(cast(ContainerClient, container)).refresh(DAY, final=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert manifest.reports == Crowded.reports
    size = container.written[f"{FOLDER}reports.jsonl"]
    assert size > 10_000_000
    assert peak < size / 3, f"{peak:,} bytes for an index of {size:,}"


MOMENTS = st.integers(0, 10**8).map(
    lambda number: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
)
SEEN = st.builds(
    Manifest,
    day=st.just(DAY),
    complete=st.just(False),
    revision=st.just(0),
    outcomes=st.dictionaries(st.sampled_from(sorted(Result)), st.integers(1, 2), max_size=2),
    reports=st.integers(0, 2),
    oldest_pending=st.none(),
    updated=MOMENTS,
    index=st.sampled_from(("", "a", "b")),
)
MANIFESTS = st.builds(
    replace,
    SEEN,
    complete=st.booleans(),
    revision=st.integers(0, 9),
    reasons=st.lists(st.sampled_from(RevisionReason), max_size=2).map(tuple),
    tables=st.builds(
        Tables,
        st.integers(0, 9),
        st.integers(0, 9),
        st.text(),
        st.dictionaries(
            st.text(),
            st.lists(
                st.builds(TableFile, st.text(), *[st.integers(0, 9)] * 2, st.text(), st.integers(0, 9)),
                max_size=2,
            ).map(tuple),
            max_size=2,
        ),
    ),
    oldest_pending=st.none() | MOMENTS,
    delays=st.none()
    | st.builds(Delays, st.integers(1, 9), *[st.builds(Percentiles, *[st.integers(0, 9)] * 3)] * 3),
    unknown_properties=st.lists(st.text(), max_size=2).map(tuple),
)


@given(MANIFESTS)
def test_a_manifest_survives_its_blob(manifest: Manifest) -> None:
    body = serialize_manifest(manifest)
    assert b"\n" not in body
    assert codec.loads(Manifest, body) == manifest


@given(st.lists(st.tuples(SEEN, st.booleans()), max_size=12))
def test_the_revision_counts_the_versions_that_were_published_as_complete(
    looks: list[tuple[Manifest, bool]],
) -> None:
    manifest, published = None, 0
    for seen, final in looks:
        before, manifest = (
            manifest,
            next_manifest(manifest, seen, final=final),
        )
        if manifest is not before:
            published += manifest.complete
            assert manifest.updated == seen.updated
        assert manifest.revision == published
        assert not (manifest.complete and "pending" in manifest.outcomes)
        assert manifest.outcomes == seen.outcomes
