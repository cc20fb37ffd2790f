"""Why a revision came, the feed of erasures, and the numbers of a meeting's sessions."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from azure.core.exceptions import ServiceRequestError
from hypothesis import given
from hypothesis import strategies as st

from shared.days.index import RevisionReason, compare_indexes, index_name
from shared.days.manifests import ERASURES, Manifest, manifest_name
from shared.ledger.publish import Outcomes
from shared.ledger.record import AttemptSeries, Record, Result, dump_outcome, outcome_metadata
from shared.messages.signals import Meeting, Origin
from tests.unit.test_day_tables import DAY, NOW, Day, day

__all__ = ["day"]  # the fixture


def refresh(day: Day) -> Manifest:
    return day.manifests.refresh(DAY, final=True)


def feed(day: Day) -> list[dict[str, Any]]:
    blob = day.blobs.blobs.get(ERASURES)
    return [json.loads(line) for line in blob.body.splitlines()] if blob else []


def late(day: Day) -> None:
    day.store("r9")


def correct(day: Day) -> None:
    day.store("r1", "someone else")


def delete(day: Day) -> None:
    day.blobs.delete_blob(f"reports/date={DAY}/r1.json")


def erase(day: Day) -> None:
    day.store("r1", "erased-1", erased="true")


def settle(day: Day, result: Result) -> None:
    seen, listed = NOW - timedelta(days=1.5), Meeting(origin=Origin.LIST)
    record = Record("cr-1", result, seen, 1, AttemptSeries(NOW), meeting=listed)
    name, metadata = Outcomes.name("cr-1", DAY), outcome_metadata(record)
    day.blobs.upload_blob(name, dump_outcome(record), overwrite=True, metadata=metadata)


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ([late], {RevisionReason.LATE_REPORT}),
        ([correct], {RevisionReason.CORRECTION}),
        ([delete], {RevisionReason.CORRECTION}),
        ([erase], {RevisionReason.ERASURE}),
        ([late, correct], {RevisionReason.LATE_REPORT, RevisionReason.CORRECTION}),
        ([lambda day: settle(day, Result.STORED)], {RevisionReason.OUTCOME}),
    ],
)
def test_a_revision_tells_why_it_came(
    day: Day, changes: list[Callable[[Day], None]], reasons: set[RevisionReason]
) -> None:
    assert refresh(day).reasons == (RevisionReason.SEALED,)
    for change in changes:
        change(day)
    assert set(refresh(day).reasons) == reasons
    assert set(refresh(day).reasons) == reasons
    day.store("r2", "another")
    assert refresh(day).reasons == (RevisionReason.CORRECTION,)


def test_what_changes_while_a_day_is_open_is_told_by_its_next_revision(day: Day) -> None:
    refresh(day)
    settle(day, Result.PENDING)
    assert refresh(day).reasons == (RevisionReason.OUTCOME,)
    late(day)
    assert not refresh(day).complete
    erase(day)
    opened = refresh(day)
    assert (opened.complete, opened.revision, opened.tables.paths) == (False, 1, set())
    settle(day, Result.STORED)
    closed = refresh(day)
    assert closed.revision == 2
    assert set(closed.reasons) == {RevisionReason.LATE_REPORT, RevisionReason.ERASURE, RevisionReason.OUTCOME}
    assert [each["revision"] for each in feed(day)] == [2]


def test_a_day_is_announced_in_the_feed_before_its_index_changes(day: Day) -> None:
    refresh(day)
    erase(day)
    seen: list[str] = []
    day.blobs.watch = lambda name, before, after: seen.append(name)
    refresh(day)
    assert seen == [ERASURES, index_name(DAY), manifest_name(DAY)]
    assert feed(day) == [{"date": str(DAY), "revision": 2, "version": 1, "at": "2026-11-25T00:00:00.000Z"}]
    day.store("r2", "erased-2", erased="true")
    refresh(day)
    assert [each["revision"] for each in feed(day)] == [2, 3]


@pytest.mark.parametrize("name", [ERASURES, index_name(DAY), manifest_name(DAY)])
def test_no_reason_is_lost_where_a_refresh_dies(day: Day, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refresh(day)
    erase(day)
    upload, broken = day.blobs.upload_blob, [name]

    def dies(blob: str, *arguments: Any, **more: Any) -> str:
        if blob in broken:
            broken.remove(blob)
            raise ServiceRequestError("not made")
        return upload(blob, *arguments, **more)

    monkeypatch.setattr(day.blobs, "upload_blob", dies)
    with pytest.raises(ServiceRequestError):
        refresh(day)
    late(day)  # and more has changed when it is repeated
    assert set(refresh(day).reasons) == {RevisionReason.ERASURE, RevisionReason.LATE_REPORT}
    assert [each["revision"] for each in feed(day)] == [2]


PATHS = st.lists(st.sampled_from("abcdef"), unique=True).map(sorted)


@given(PATHS, PATHS, st.sets(st.sampled_from("abcdef")), st.sets(st.sampled_from("abcdef")))
def test_two_indexes_differ_in_what_was_added_removed_and_changed(
    old: list[str], new: list[str], changed: set[str], erased: set[str]
) -> None:
    def line(path: str, number: int, is_erased: bool) -> bytes:
        return json.dumps({"path": path, "number": number, "erased": is_erased}).encode()

    before = [line(path, 0, False) for path in old]
    after = [line(path, int(path in changed), path in erased) for path in new]
    both = set(old) & set(new)
    wanted = {
        RevisionReason.LATE_REPORT: set(new) - set(old),
        RevisionReason.CORRECTION: (set(old) - set(new)) | (both & changed - erased),
        RevisionReason.ERASURE: both & erased,
    }
    assert compare_indexes(before, after) == {reason for reason, paths in wanted.items() if paths}


def test_a_late_report_is_found_whatever_its_name(day: Day) -> None:
    day.store("r0", stored="2026-11-23T10:00:00.000Z")
    refresh(day)
    day.store("a", stored="2026-11-23T11:00:00.000Z")
    assert refresh(day).reasons == (RevisionReason.LATE_REPORT,)
    lines = [json.loads(line) for line in day.blobs.blobs[index_name(DAY)].body.splitlines()]
    assert [line["id"] for line in lines] == ["r1", "r2", "r3", "r4", "r0", "a"]
    day.store("r0", "someone else", stored="2026-11-23T10:00:00.000Z", erased="true")
    assert refresh(day).reasons == (RevisionReason.ERASURE,)


def test_the_sessions_of_a_meeting_are_numbered_by_their_start(day: Day) -> None:
    for number, (series, start) in enumerate(
        [("a", "10:30"), ("b", "09:00"), ("a", "09:00"), ("a", "12:00"), ("b", "09:00")]
    ):
        day.store(f"r{number}", seriesid=series, start=f"{DAY}T{start}:00.000Z")
    day.store("r5", seriesid="c")
    day.store("r6", meetingid="m", start=f"{DAY}T09:00:00.000Z")
    refresh(day)
    lines = [json.loads(line) for line in day.blobs.blobs[index_name(DAY)].body.splitlines()]
    assert [line["sessionIndex"] for line in lines] == [2, 1, 1, 3, 1, None, 1]
    assert day.write()
    assert [row["sessionIndex"] for row in day.rows()] == [2, 1, 1, 3, 1, None, 1]
