"""What is taken out of a report and of a record when a person is erased, and how a person is told."""

import hashlib
import json
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.errors import ErasureKeyError
from shared.ledger.record import AttemptSeries, DeadLetter, NextAttempt, Record, Result, dump_outcome
from shared.ledger.redaction import redact_meeting, redact_record
from shared.messages import codec
from shared.messages.signals import Meeting, MeetingDetails
from shared.privacy.erasures import ErasedPeople, ErasureKey, ErasureList, ErasureRecord
from shared.privacy.identifiers import id_token, name_token, names, tokens_of_record
from shared.privacy.person import Person
from shared.privacy.redact import find_roles, redact_line, redact_metadata, redact_report
from tests.support.app_settings import ERASURE_KEY

FRIDA = "8b081ef6-4792-4def-b2c9-c363a1bf41d5"
PERSON = Person(frozenset({FRIDA, "frida@contoso.example"}))
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
KEY = ErasureKey(ERASURE_KEY)
ERASURES = ErasureList(ERASURE_KEY, [KEY.record(PERSON.tokens, NOW)])
LINK = (
    "https://t/l/x?context=%7b%22Tid%22%3a%22t%22%2c%22Oid%22%3a%228B081EF6-4792-4def-b2c9-c363a1bf41d5%22%7d"
)


def people() -> ErasedPeople:
    found = ERASURES.people(NOW)
    assert found
    return found


def record(**changes: object) -> dict[str, Any]:
    return {
        "id": FRIDA,
        "emailAddress": "Frida@Contoso.Example",
        "totalAttendanceInSeconds": 60,
        "role": "Organizer",
        "registrationId": "reg",
        "identity": {"@odata.type": "#x", "id": FRIDA, "displayName": "Frida", "tenantId": "t"},
        "attendanceIntervals": [{"durationInSeconds": 60.0}],
        "engagements": [{"engagementType": "hand", "dateTime": "2026-11-23T09:01:00Z"}],
        "somethingNew": "Frida",
        **changes,
    }


def report(*records: object) -> dict[str, Any]:
    return {
        "@odata.context": f"…users('{FRIDA}')/…",
        "id": "r",
        "attendanceRecords@odata.context": f"…users('{FRIDA}')/…",
        "attendanceRecords": list(records),
        "totalParticipantCount": 2,
    }


@pytest.mark.parametrize(
    "written",
    [
        "FRIDA@contoso.example",
        " frida@contoso.example\n",
        "SMTP:Frida@contoso.example",
        "smtp: frida@contoso.example",
        "sip:frida@contoso.example",
        "mailto:frida@contoso.example",
        "\u200bfrida@contoso.example\u00a0",
    ],
)
def test_an_address_has_one_token_however_it_is_written(written: str) -> None:
    assert id_token(written) == "id:frida@contoso.example"


@pytest.mark.parametrize("prefix", ["8:orgid:", "8:gcch:", "8:dod:", ""])
def test_an_object_id_has_one_token_with_any_prefix(prefix: str) -> None:
    assert id_token(prefix + FRIDA.upper()) == f"id:{FRIDA}"


def test_a_telephone_number_has_one_token_however_it_is_spaced() -> None:
    assert {id_token(each) for each in ("+49 30 1234", "tel:+49301234", "4:+49301234")} == {"id:+49301234"}


def test_a_name_has_one_token_composed_or_not() -> None:
    name = "Frída  Ólsen "
    assert name_token(name) == name_token(unicodedata.normalize("NFD", name.upper())) == "name:frída ólsen"
    assert name_token(name) != id_token(name)


def test_what_is_nobodys_identifier_is_no_token() -> None:
    tokens = set(tokens_of_record(record(id=None, emailAddress=7, registrationId=None)))
    assert tokens == {f"id:{FRIDA}", "name:frida", "id:frida"}


def test_an_identifier_in_a_text_counts_whole() -> None:
    who = PERSON.tokens
    assert names(LINK, who)
    assert names(f"see {FRIDA.upper()}.", who)
    assert not names("https://contoso.example/frida", who)
    assert not names("xfrida@contoso.example", who)
    assert not names(None, who)


@pytest.mark.parametrize(
    ("changes", "is_theirs"),
    [
        ({}, True),
        ({"id": "other", "identity": {"id": FRIDA.upper()}, "emailAddress": None}, True),
        ({"id": "other", "identity": {"user": {"id": FRIDA}}, "emailAddress": ""}, True),
        ({"id": "other", "identity": None}, True),
        ({"id": "other", "identity": {"id": "x"}, "emailAddress": "frida@contoso.example.org"}, False),
        ({"id": 7, "identity": [], "emailAddress": 7}, False),
    ],
)
def test_a_person_is_told_by_id_or_address(changes: dict[str, object], is_theirs: bool) -> None:
    content = {"attendanceRecords": [record(**changes), "no record"]}
    assert find_roles(content, {}, PERSON.tokens) == (["attendee"] if is_theirs else [])


def test_of_a_record_only_role_and_times_stay() -> None:
    other = record(id="o", emailAddress="o@x", identity={"id": "o", "displayName": "Olaf"})
    content = {**report(other, record()), "@odata.context": "…"}
    new = redact_report(content, people())
    assert new
    written = json.loads(new.body)
    assert written["attendanceRecords"] == [
        other,
        {
            "id": people().record_id("r", FRIDA),
            "emailAddress": None,
            "identity": {"@odata.type": "#x", "id": None, "displayName": None},
            "registrationId": None,
            "role": "Organizer",
            "totalAttendanceInSeconds": 60,
            "attendanceIntervals": [{"durationInSeconds": 60.0}],
        },
    ]
    assert written["@odata.context"]
    assert redact_report(written, people()) is None


def test_engagements_go_with_the_person_and_those_of_others_stay() -> None:
    other = record(id="o", emailAddress="o@x", identity={"id": "o", "displayName": "Olaf"})
    new = redact_report(report(other, record()), people())
    assert new
    records = json.loads(new.body)["attendanceRecords"]
    assert [each.get("engagements") for each in records] == [other["engagements"], None]


def test_the_annotations_that_quote_an_organizer_go() -> None:
    new = redact_report(report(), people())
    assert new
    assert json.loads(new.body) == {"id": "r", "attendanceRecords": [], "totalParticipantCount": 2}


@pytest.mark.parametrize("known", [{"organizerid": FRIDA.upper()}, {"joinweburl": LINK.replace("%", "%25")}])
def test_of_an_organizer_what_names_the_meeting_goes_and_the_series_stays(known: dict[str, str]) -> None:
    told = {"meetingid": "MSo4YjA4", "joinurlkey": "https://…", "seriesid": "s", "end": "e", **known}
    assert redact_metadata(told, people()) == {"seriesid": "s", "end": "e", "erased": "true"}
    line = {"organizerId": FRIDA, "meetingId": "m", "joinWebUrl": LINK, "seriesId": "s"}
    assert redact_line(line, people()) == {
        "organizerId": None,
        "meetingId": None,
        "joinWebUrl": None,
        "seriesId": "s",
    }


def test_metadata_of_somebody_else_stay() -> None:
    told = {"organizerid": "somebody", "meetingid": "m"}
    assert redact_metadata(told, people()) == told


def test_the_sha256_is_that_of_what_is_left() -> None:
    new = redact_report(report(record()), people())
    assert new
    content = {name: value for name, value in json.loads(new.body).items() if "@odata." not in name}
    del content["attendanceRecords"][0]["identity"]["@odata.type"]
    form = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert new.sha256 == hashlib.sha256(form.encode()).hexdigest()


def signal(result: Result = Result.FAILED, **changes: Any) -> Record:
    meeting = Meeting(NOW, NOW, LINK, FRIDA.upper(), "m")
    return Record("cr-a", result, NOW, 1, AttemptSeries(NOW), NextAttempt(1, NOW), meeting=meeting, **changes)


def buried(text: str) -> DeadLetter:
    return DeadLetter("q", "news", 1, "0" * 64, text)


@pytest.mark.parametrize("result", [Result.FAILED, Result.PENDING])
def test_a_record_loses_its_organizer_and_its_attempts_go_on(result: Result) -> None:
    redacted = redact_record(signal(result, buried=buried(f"…{FRIDA}…"), last_error=f"x {FRIDA}"), ERASURES)
    assert redacted == replace(signal(result), meeting=Meeting(NOW, NOW))
    for kept in (codec.dumps(redacted).encode(), dump_outcome(redacted)):
        assert FRIDA.encode() not in kept.lower()


def test_a_record_of_somebody_else_or_of_a_later_meeting_stays() -> None:
    later = replace(signal().meeting, end=NOW + timedelta(seconds=1))
    assert redact_meeting(later, ERASURES) is later
    other = Record("cr-a", Result.STORED, NOW, 1, AttemptSeries(NOW), buried=buried("somebody else"))
    assert redact_record(other, ERASURES) == other


@pytest.mark.parametrize("subject", ["Planning", f"Ask {FRIDA}"])
@pytest.mark.parametrize("organizer", [FRIDA, "somebody else"])
def test_while_no_end_is_known_all_erasures_apply_and_a_pending_signal_asks_again(
    subject: str, organizer: str
) -> None:
    known = Meeting(organizer_id=organizer, details=MeetingDetails(subject=subject))
    is_named = FRIDA in organizer + subject
    late = replace(signal(Result.PENDING), first_seen=NOW + timedelta(days=400), meeting=known)
    redacted = redact_record(late, ERASURES)
    assert FRIDA not in codec.dumps(redacted)
    assert (redacted == late) is not is_named
    assert (redacted.meeting.organizer_id is None) is is_named
    settled = redact_record(replace(late, result=Result.ACCESS_DENIED), ERASURES)
    assert FRIDA not in codec.dumps(settled)
    assert settled.meeting.organizer_id == (None if organizer == FRIDA else organizer)


# The records of erasures


def test_a_list_tells_who_is_erased_by_the_end_of_the_meeting() -> None:
    assert id_token(FRIDA) in people()
    assert id_token("somebody") not in people()
    assert ERASURES.people(NOW + timedelta(seconds=1)) is None
    known = ERASURES.people(None)
    assert known
    assert id_token(FRIDA) in known
    assert ErasureList("", []).people(NOW) is None


def test_a_record_reads_as_it_was_written_and_quotes_nobody() -> None:
    made = KEY.record(PERSON.tokens, NOW)
    text = codec.dumps(made)
    assert codec.loads(ErasureRecord, text) == made
    assert "frida" not in text
    assert FRIDA not in text


@pytest.mark.parametrize("secret", ["", "another-erasure-key-for-tests-987654"])
def test_records_of_another_key_are_refused(secret: str) -> None:
    with pytest.raises(ErasureKeyError, match="ERASURE_KEY is not"):
        ErasureList(secret, [KEY.record(PERSON.tokens, NOW)])
