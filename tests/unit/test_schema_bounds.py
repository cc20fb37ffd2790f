"""What the schemas promise: kept by what the code writes, and refused in documents that break it."""

import copy
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest

from shared import times
from tests.support.archive_days import ArchiveDays, Meeting
from tests.support.published import documents, problems, problems_of

DAY, EMPTY, OPEN = date(2026, 11, 23), date(2026, 11, 24), date(2026, 11, 25)
SESSION = Meeting("r1", {"ann": [(-5, 40), (20, 60)], "bob": [(30, 90)]}, engagements=1)
UNPLANNED = Meeting("r2", {"eve": [(0, 60)]}, "adhoc", planned=None)
NOBODY = Meeting("r3", series="void")


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> ArchiveDays:
    made = ArchiveDays(datetime(2026, 11, 30, 6, tzinfo=UTC))
    monkeypatch.setattr(times, "now", made.now)
    made.store(DAY, SESSION, UNPLANNED, NOBODY)
    made.store(OPEN, SESSION)
    made.seal(DAY)
    made.seal(EMPTY)
    made.set_pending(OPEN, is_pending=True)
    made.seal(OPEN, final=False)
    return made


def check(archive: ArchiveDays, *others: str) -> None:
    """All that lies there is as published, but the outcomes, which stand for others, and what `others` begin."""
    blobs = [
        blob for blob in archive.blobs.blobs.values() if not blob.name.startswith(("outcomes/", *others))
    ]
    assert [each for blob in blobs for each in problems_of(blob.name, blob.body, blob.metadata)] == []


def test_what_becomes_of_days_is_as_published(archive: ArchiveDays) -> None:
    check(archive)
    archive.set_pending(DAY, is_pending=True)
    assert not archive.refresh(DAY).complete
    check(archive)
    archive.set_pending(DAY, is_pending=False)
    archive.store(DAY, Meeting("r1", {"ann": [(0, 60)]}))
    archive.refresh(DAY)
    check(archive)
    archive.seal(DAY)
    archive.erase(DAY, "ann")
    archive.refresh(DAY)
    check(archive)
    archive.seal(DAY)
    for blob in archive.blobs.below(f"reports/date={DAY}/"):
        del archive.blobs.blobs[blob.name]
    assert not archive.seal(DAY).tables.paths
    check(archive)


def test_rows_and_manifests_keep_what_json_schema_cannot_say(archive: ArchiveDays) -> None:
    seconds = 0
    for blob in archive.blobs.blobs.values():
        for kind, content in (
            [] if "outcomes/" in blob.name else documents(blob.name, blob.body, blob.metadata)
        ):
            if kind.endswith("-row") and content["scheduledStart"]:
                assert content["scheduledStart"] < content["scheduledEnd"]
            if kind == "attendees-row":
                first, last = (datetime.fromisoformat(content[name]) for name in ("firstJoin", "lastLeave"))
                assert content["netSeconds"] <= (last - first).total_seconds()
                seconds += content["netSeconds"]
            if kind == "manifest":
                assert content["partial"] <= content["reports"]
                assert content["tables"]["revision"] <= content["revision"]
    assert seconds


@pytest.mark.parametrize(
    "stay",
    [
        {"joinDateTime": None, "leaveDateTime": None, "durationInSeconds": -5},
        {
            "joinDateTime": "2026-11-23T10:00:00Z",
            "leaveDateTime": "2026-11-23T09:00:00Z",
            "durationInSeconds": -3600,
        },
        {"joinDateTime": "2026-11-23T10:00:00Z", "leaveDateTime": None, "durationInSeconds": 1.5},
        {},
    ],
)
def test_what_graph_should_not_send_breaks_no_promise(
    stay: dict[str, Any], archive: ArchiveDays, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = SESSION.report(DAY)
    odd["totalParticipantCount"] = -1
    odd["attendanceRecords"][0] |= {"attendanceIntervals": [stay], "totalAttendanceInSeconds": -1}
    monkeypatch.setattr(Meeting, "report", lambda self, day: copy.deepcopy(odd))
    archive.store(DAY, SESSION)
    archive.seal(DAY)
    check(archive, "reports/")  # which are as Graph sends them


Change = Callable[[dict[str, Any]], object]


def put(**values: object) -> Change:
    return lambda document: document.update(values)


def put_in(name: str, **values: object) -> Change:
    return lambda document: document[name].update(values)


FILE = {"path": f"tables/meetings/date={DAY}/part-00000-0123456789abcdef.parquet", "rows": 1, "bytes": 1}
FILE |= {"sha256": "0" * 64, "schemaVersion": 1}
REFUSED: list[tuple[str, str, Change]] = [
    ("manifest", "a complete day has no pending outcome", put_in("outcomes", pending=1)),
    (
        "manifest",
        "a complete day has no oldest pending outcome",
        put(oldestPending="2026-11-25T00:00:00.000Z"),
    ),
    ("manifest", "a complete day has a revision", put(revision=0)),
    ("manifest", "a revision has a reason", put(reasons=[])),
    ("manifest", "a reason is told once", put(reasons=["sealed", "sealed"])),
    ("manifest", "no outcome is counted without one", put_in("outcomes", stored=0)),
    ("manifest", "counts are not negative", put(reports=-1)),
    ("manifest", "counts are whole", put(partial=0.5)),
    ("manifest", "a day without reports has no tables", put(reports=0)),
    ("manifest", "a date is one", put(date="2026-02-30")),
    ("manifest", "times are told with a zone", put(updated="2026-11-25T03:20:11")),
    ("manifest", "what is pending has a time", put(complete=False, outcomes={"pending": 1})),
    ("manifest", "nothing else has that time", put(complete=False, oldestPending="2026-11-25T00:00:00.000Z")),
    ("manifest", "tables have the index of which they are made", put_in("tables", index="")),
    ("manifest", "tables have a version", put_in("tables", version=0)),
    ("manifest", "a file has rows", put_in("tables", files={"meetings": [{**FILE, "rows": 0}]})),
    (
        "manifest",
        "a file lies in its day",
        put_in("tables", files={"meetings": [{**FILE, "path": "../x.parquet"}]}),
    ),
    ("manifest", "a file has a checksum", put_in("tables", files={"meetings": [{**FILE, "sha256": "0"}]})),
    ("manifest", "every property is there", lambda document: document.pop("unconfirmed")),
    ("index-line", "a schedule has both times", put(scheduledEnd=None)),
    ("index-line", "participants are not negative", put(participants=-1)),
    ("index-line", "the first session is 1", put(sessionIndex=0)),
    ("index-line", "a report is not empty", put(bytes=0)),
    ("index-line", "a report lies in its day", put(path="r1.json")),
    ("index-line", "a series is a hash", put(seriesId="Weekly")),
    ("attendees-row", "attended seconds are not negative", put(attendedSeconds=-1)),
    ("attendees-row", "net seconds are not negative", put(netSeconds=-1)),
    ("attendees-row", "nobody is late before the start", put(lateSeconds=-1)),
    ("attendees-row", "nobody leaves early after the end", put(leftEarlySeconds=-1)),
    ("attendees-row", "a share is at most 1", put(attendedShare=1.1)),
    ("attendees-row", "a share is at least 0", put(attendedShareOfSchedule=-0.1)),
    ("attendees-row", "a stay is not negative", lambda document: document["intervals"][0].update(seconds=-1)),
    ("attendees-row", "without a join there is no presence", put(firstJoin=None)),
    ("attendees-row", "without a leave there is no presence", put(lastLeave=None)),
    ("attendees-row", "without a schedule nobody is late", put(scheduledStart=None, scheduledEnd=None)),
    ("attendees-row", "a schedule has both times", put(scheduledStart=None)),
    ("attendees-row", "a key is not null", put(recordNumber=None)),
    ("attendees-row", "a row tells whether records may be missing", put(partial=None)),
    ("meetings-row", "records are not negative", put(records=-1)),
    ("meetings-row", "participants are not negative", put(meetingParticipants=-1)),
    ("meetings-row", "a key is not null", put(reportId=None)),
    ("engagements-row", "a key is not null", put(engagement=None)),
    ("manifest-metadata", "a complete day has a revision", put(revision="0")),
    ("manifest-metadata", "tables of a revision need a complete day", put(complete="false")),
    ("manifest-metadata", "values are text", put(complete=True)),
    ("report-metadata", "counts are whole numbers", put(participants="1.0")),
    ("report-metadata", "counts are not negative", put(records="-1")),
    ("report-metadata", "a mark is true or missing", put(partial="false")),
    ("report-metadata", "values are printable ASCII", put(meetingid="Frida Lindström")),
    ("report-metadata", "keys are in lower case", put(meetingId="x")),
    ("report-metadata", "the checksum is there", lambda document: document.pop("sha256")),
    ("index-metadata", "the checksum is one", put(sha256="0")),
    ("table-file-metadata", "a file has rows", put(rows="0")),
    ("table-file-metadata", "a file tells its index", lambda document: document.pop("index")),
]
OUTCOME: dict[str, Any] = {
    "signalId": "cr-1",
    "outcome": "stored",
    "reports": [
        {"id": "r", "end": "2026-11-23T10:00:00.000Z", "path": f"reports/date={DAY}/r.json", "partial": False}
    ],
    **dict.fromkeys(
        ("organizerId", "meetingId", "source", "eventId", "sessionId", "joinWebUrl", "start", "end")
    ),
    "firstSeen": "2026-11-23T10:00:00.000Z",
    "settled": "2026-11-23T10:00:00.000Z",
    "attempt": 1,
    **dict.fromkeys(("nextAttempt", "lastError", "buried")),
}
OUTCOME_METADATA = {"outcome": "pending", "revision": "1", "firstseen": "2026-11-23T10:00:00.000Z"}
BURIED = {"queue": "upkeep", "kind": None, "version": None, "sha256": "0" * 64}
REFUSED_OTHERS: list[tuple[str, dict[str, Any], str, Change]] = [
    ("outcome", OUTCOME, "a stored outcome has a report", put(reports=[])),
    ("outcome", OUTCOME, "a settled outcome has the time", put(settled=None)),
    ("outcome", OUTCOME, "a pending outcome is not settled", put(outcome="pending")),
    ("outcome", OUTCOME, "a session of an event has its ids", put(source="webinar")),
    ("outcome", OUTCOME, "ids of an event have its kind", put(eventId="e")),
    ("outcome", OUTCOME, "only a message is buried", put(buried=BURIED)),
    ("outcome", OUTCOME, "attempts are not negative", put(attempt=-1)),
    ("outcome", OUTCOME, "a signal has its kind", put(signalId="r1")),
    (
        "outcome-metadata",
        OUTCOME_METADATA,
        "what is stored is confirmed",
        put(outcome="stored", unconfirmed="true"),
    ),
    ("outcome-metadata", OUTCOME_METADATA, "an organizer is told when denied", put(organizerid="o")),
    ("outcome-metadata", OUTCOME_METADATA, "a time is one", put(nextattempt="tomorrow")),
    (
        "erasure-line",
        {"date": "2026-11-23", "revision": 2, "version": 3, "at": "2026-12-04T09:12:44.105Z"},
        "a revision is one",
        put(revision=0),
    ),
]


def written(name: str, archive: ArchiveDays) -> dict[str, Any]:
    """A document of this kind, as the code writes it."""
    for blob in archive.blobs.blobs.values():
        if str(DAY) in blob.name and not blob.name.startswith("outcomes/"):
            for kind, content in documents(blob.name, blob.body, blob.metadata):
                if kind == name:
                    return copy.deepcopy(dict(content))
    raise AssertionError(name)


@pytest.mark.parametrize(
    ("name", "reason", "change"), REFUSED, ids=[f"{each[0]}: {each[1]}" for each in REFUSED]
)
def test_a_document_that_breaks_a_promise_is_refused(
    name: str, reason: str, change: Change, archive: ArchiveDays
) -> None:
    document = written(name, archive)
    assert problems(name, document) == []
    change(document)
    assert problems(name, document)


@pytest.mark.parametrize(
    ("name", "document", "reason", "change"),
    REFUSED_OTHERS,
    ids=[f"{each[0]}: {each[2]}" for each in REFUSED_OTHERS],
)
def test_another_document_that_breaks_a_promise_is_refused(
    name: str, document: dict[str, Any], reason: str, change: Change
) -> None:
    assert problems(name, document) == []
    broken = copy.deepcopy(document)
    change(broken)
    assert problems(name, broken)


ADDED: list[tuple[str, Change]] = [
    ("manifest", put(reasons=["somethingNew"], somethingNew=1)),
    ("manifest", put_in("outcomes", somethingNew=1)),
    ("index-line", put(source="somethingNew", somethingNew={})),
    ("attendees-row", put(source="somethingNew", role="somethingNew", somethingNew=[])),
    ("report-metadata", put(source="somethingNew", somethingnew="1")),
    ("manifest-metadata", put(somethingnew="1")),
    ("table-file-metadata", put(somethingnew="1")),
]


@pytest.mark.parametrize(("name", "change"), ADDED)
def test_what_may_be_added_is_accepted(name: str, change: Change, archive: ArchiveDays) -> None:
    document = written(name, archive)
    change(document)
    assert problems(name, document) == []


def test_an_outcome_of_a_new_kind_is_accepted() -> None:
    assert problems("outcome", OUTCOME | {"outcome": "somethingNew", "somethingNew": None}) == []
