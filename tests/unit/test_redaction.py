"""What is taken out of a report and of a record when a person is erased."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.cli.erasure.erase import remove_organizer
from shared.ledger.record import AttemptSeries, DeadLetter, NextAttempt, Record, Result, dump_outcome
from shared.messages import codec
from shared.messages.signals import Meeting
from shared.privacy.redact import ERASED, Person, find_roles, redact_report

WHO = Person(frozenset({"8b081ef6", "frida@contoso.example"}))
WHEN = "2026-11-24T00:00:00.000Z"
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)


def record(**changes: object) -> dict[str, Any]:
    return {
        "id": "8b081ef6",
        "emailAddress": "Frida@Contoso.Example",
        "totalAttendanceInSeconds": 60,
        "role": "Organizer",
        "registrationId": "reg",
        "identity": {"@odata.type": "#x", "id": "8b081ef6", "displayName": "Frida", "tenantId": "t"},
        "attendanceIntervals": [{"durationInSeconds": 60.0}],
        "engagements": [{"engagementType": "hand", "dateTime": "2026-11-23T09:01:00Z"}],
        "somethingNew": "Frida",
        **changes,
    }


def report(*records: object) -> dict[str, Any]:
    return {
        "@odata.context": "…users('8b081ef6')/…",
        "id": "r",
        "attendanceRecords@odata.context": "…users('8b081ef6')/…",
        "attendanceRecords": list(records),
        "totalParticipantCount": 2,
    }


@pytest.mark.parametrize(
    ("changes", "is_theirs"),
    [
        ({}, True),
        ({"id": "other", "identity": {"id": "8B081EF6"}, "emailAddress": None}, True),
        ({"id": "other", "identity": {"user": {"id": "8b081ef6"}}, "emailAddress": ""}, True),
        ({"id": "other", "identity": None}, True),
        ({"id": "other", "identity": {"id": "x"}, "emailAddress": "frida@contoso.example.org"}, False),
        ({"id": 7, "identity": [], "emailAddress": 7}, False),
    ],
)
def test_a_person_is_told_by_id_or_address(changes: dict[str, object], is_theirs: bool) -> None:
    found = find_roles(report(record(**changes), "no record"), {}, WHO)
    assert found == (["attendee"] if is_theirs else [])


def test_of_a_record_only_role_and_times_stay() -> None:
    other = record(id="o", emailAddress="o@x", identity={"id": "o", "displayName": "Olaf"})
    new = redact_report(report(other, record()), {"sha256": "old", "organizerid": "somebody"}, WHO, WHEN)
    content = json.loads(new.body)
    assert content["attendanceRecords"] == [
        other,
        {
            "id": "erased-1",
            "emailAddress": None,
            "identity": {"@odata.type": "#x", "id": None, "displayName": None},
            "registrationId": None,
            "role": "Organizer",
            "totalAttendanceInSeconds": 60,
            "attendanceIntervals": [{"durationInSeconds": 60.0}],
        },
    ]
    assert content["@odata.context"]
    assert list(content) == list(report())
    assert new.metadata[ERASED] == WHEN
    assert new.metadata["organizerid"] == "somebody"


def test_of_an_organizer_what_names_the_meeting_goes_too_and_the_series_stays() -> None:
    told = {
        "organizerid": "8B081EF6",
        "meetingid": "MSo4YjA4",
        "joinweburl": "https://…",
        "joinurlkey": "https://…8b081ef6…",
        "seriesid": "0" * 32,
        "sha256": "old",
        "end": "e",
    }
    new = redact_report(report(), told, WHO, WHEN)
    assert json.loads(new.body) == {"id": "r", "attendanceRecords": [], "totalParticipantCount": 2}
    assert set(new.metadata) == {"sha256", "end", "seriesid", ERASED}


def test_engagements_go_with_the_person_and_those_of_others_stay() -> None:
    other = record(id="o", emailAddress="o@x", identity={"id": "o", "displayName": "Olaf"})
    content = json.loads(redact_report(report(other, record()), {}, WHO, WHEN).body)
    assert [each.get("engagements") for each in content["attendanceRecords"]] == [other["engagements"], None]


def test_the_sha256_is_that_of_what_is_left() -> None:
    new = redact_report(report(record()), {}, WHO, WHEN)
    content = {name: value for name, value in json.loads(new.body).items() if "@odata." not in name}
    del content["attendanceRecords"][0]["identity"]["@odata.type"]
    form = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert new.metadata["sha256"] == hashlib.sha256(form.encode()).hexdigest()


def signal(result: Result = Result.FAILED, **changes: Any) -> Record:
    meeting = Meeting(NOW, NOW, "https://t/?Oid=8B081EF6", "8b081ef6", "m")
    return Record("cr-a", result, NOW, 1, AttemptSeries(NOW), NextAttempt(1, NOW), meeting=meeting, **changes)


def buried(text: str) -> DeadLetter:
    return DeadLetter("q", "news", 1, "0" * 64, text)


def test_a_record_loses_its_organizer_and_no_attempt_follows_it() -> None:
    redacted = remove_organizer(signal(buried=buried("…8b081ef6…"), last_error="x"), WHO)
    assert redacted == Record(
        "cr-a", Result.FAILED, NOW, 1, AttemptSeries(NOW), meeting=Meeting(NOW, NOW), is_erased=True
    )
    assert redacted
    for kept in (codec.dumps(redacted).encode(), dump_outcome(redacted)):
        assert b"8b081ef6" not in kept.lower()


def test_a_record_of_somebody_else_or_pending_stays() -> None:
    assert remove_organizer(signal(Result.PENDING), WHO) is None
    assert remove_organizer(Record("cr-a", Result.STORED, NOW, 1, AttemptSeries(NOW)), WHO) is None


def test_a_buried_message_that_names_the_person_is_taken_out() -> None:
    known = Record(
        "msg-a", Result.FAILED, NOW, 1, AttemptSeries(NOW), buried=buried('{"organizerId":"8b081ef6"}')
    )
    assert remove_organizer(known, WHO) == replace(known, buried=None, is_erased=True)
    assert remove_organizer(replace(known, buried=buried("somebody else")), WHO) is None
