"""Subject and schedule of a meeting: read from Graph, carried in a header, and redacted."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.graph import windows_zones
from shared.graph.meeting_details import (
    MAX_SUBJECT,
    NO_DETAILS,
    decode_details,
    encode_details,
    parse_details,
    select_details,
)
from shared.messages.signals import MeetingDetails
from shared.privacy.identifiers import id_token, name_token, quotes
from shared.privacy.redact import MARK, redact_details, redact_line, redact_metadata
from shared.storage.names import MAX_HEADER

START, END = datetime(2026, 11, 23, 9, tzinfo=UTC), datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
THREAD = "19:meeting_NTg0YjQ3@thread.v2"
MEETING = {
    "id": "m",
    "subject": "Fire safety",
    "startDateTime": "2026-11-23T09:00:00Z",
    "endDateTime": "2026-11-23T09:30:00.1234567Z",
    "chatInfo": {"threadId": THREAD},
    "meetingType": "recurring",
}
DETAILS = MeetingDetails("Fire safety", START, END, THREAD, "recurring")
FRIDA = "8b081ef6-4792-4def-b2c9-c363a1bf41d5"
PEOPLE = {
    id_token(FRIDA),
    id_token("frida@contoso.example"),
    name_token("Frída Ólsen"),
    name_token("אנה 👩🏽‍🚀"),
}


def test_what_graph_tells_of_a_meeting() -> None:
    assert parse_details(MEETING) == DETAILS


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": None, "startDateTime": None, "endDateTime": None, "chatInfo": None, "meetingType": None},
        {
            "subject": 7,
            "startDateTime": 7,
            "endDateTime": [],
            "chatInfo": {"threadId": {}},
            "meetingType": "",
        },
        {"subject": " \n", "startDateTime": "0001-01-01T00:00:00Z", "chatInfo": [], "meetingType": {}},
        {"subject": "\u200e", "startDateTime": "x", "endDateTime": "y", "chatInfo": {}, "meetingType": 1},
    ],
)
def test_what_has_another_shape_is_not_known(changes: dict[str, Any]) -> None:
    assert parse_details(MEETING | changes) == NO_DETAILS


def test_a_meeting_that_ends_before_it_starts_has_no_schedule() -> None:
    turned = MEETING | {"startDateTime": MEETING["endDateTime"], "endDateTime": MEETING["startDateTime"]}
    assert parse_details(turned) == MeetingDetails("Fire safety", None, None, THREAD, "recurring")


@pytest.mark.parametrize(
    ("zone", "start"),
    [
        ("UTC", START),
        ("Etc/GMT", START),
        ("Europe/Berlin", START - timedelta(hours=1)),
        ("W. Europe Standard Time", START - timedelta(hours=1)),
        ("India Standard Time", START - timedelta(hours=5, minutes=30)),
        ("pacific standard time", START + timedelta(hours=8)),
        ("Customized Time Zone", None),
        ("../../etc/passwd", None),
        ("Europe", None),
        ("", None),
        (7, None),
        (None, None),
    ],
)
def test_the_schedule_of_a_session_counts_in_its_zone_if_that_is_known(
    zone: object, start: datetime | None
) -> None:
    times = {
        name: {"dateTime": f"2026-11-23T09:{minute}:00.0000000", "timeZone": zone}
        for name, minute in (("startDateTime", "00"), ("endDateTime", "30"))
    }
    assert parse_details(MEETING | times).scheduled_start == start


def test_every_windows_name_is_of_a_zone_that_there_is() -> None:
    assert [name for name in windows_zones.IANA if windows_zones.find_zone(name) is None] == []


def test_of_an_hour_that_comes_twice_the_first_is_meant() -> None:
    times = {
        "startDateTime": {"dateTime": "2026-10-25T02:30:00", "timeZone": "W. Europe Standard Time"},
        "endDateTime": {"dateTime": "2026-10-25T04:00:00", "timeZone": "W. Europe Standard Time"},
    }
    details = parse_details(MEETING | times)
    assert details.scheduled_start == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert details.scheduled_end == datetime(2026, 10, 25, 3, 0, tzinfo=UTC)


def test_the_setting_says_what_is_kept() -> None:
    assert select_details(DETAILS, {"subject", "schedule"}) == DETAILS
    assert select_details(DETAILS, {"subject"}) == MeetingDetails("Fire safety")
    assert select_details(DETAILS, {"schedule"}) == MeetingDetails(None, START, END, THREAD, "recurring")
    assert select_details(DETAILS, set()) == NO_DETAILS


@given(st.text(alphabet=st.characters(codec=None)), st.text(max_size=900))
def test_any_subject_fits_a_header_and_comes_back(subject: str, thread: str) -> None:
    details = parse_details(MEETING | {"subject": subject * 40, "chatInfo": {"threadId": thread}})
    value = encode_details(details)
    assert value.isascii()
    assert len(value) <= MAX_HEADER
    assert decode_details(value) == details
    assert len((details.subject or "").encode()) <= MAX_SUBJECT


@pytest.mark.parametrize(
    "value", [None, "", "%", "e30", "e30=", "W10=", "bm90IGpzb24=", "eyJzdWJqZWN0Ijo3fQ=="]
)
def test_a_damaged_value_tells_nothing(value: str | None) -> None:
    assert decode_details(value) == NO_DETAILS


def test_nothing_known_is_no_metadata() -> None:
    assert encode_details(None) == encode_details(NO_DETAILS) == ""


@pytest.mark.parametrize(
    "subject",
    [
        "1:1 Frída Ólsen",
        "FRI\u0301DA  O\u0301LSEN",
        "Anton/Frída Ólsen: review",
        "(Frída Ólsen's talk)",
        "with frida@contoso.example, please",
        f"about {FRIDA}",
        "אנה 👩🏽‍🚀 and others",
    ],
)
def test_a_subject_that_quotes_a_person_is_taken_out(subject: str) -> None:
    assert quotes(subject, PEOPLE)
    details = MeetingDetails(subject, START, END, THREAD)
    left = MeetingDetails(None, START, END, THREAD)
    assert redact_details(details, PEOPLE) == left
    metadata = {"details": encode_details(details), "sha256": "x"}
    assert redact_metadata(metadata, PEOPLE) == {"details": encode_details(left), "sha256": "x"} | MARK
    assert redact_line({"subject": subject, "id": "r"}, PEOPLE) == {"subject": None, "id": "r"}


@pytest.mark.parametrize("subject", [None, "", "Fire safety", "Frída and Ólsen", "Ólsen", "Frída Ólsens"])
def test_another_subject_stays(subject: str | None) -> None:
    details = MeetingDetails(subject, START, END, THREAD)
    assert redact_details(details, PEOPLE) is details
    metadata = {"details": encode_details(details)}
    assert redact_metadata(metadata, PEOPLE) == metadata


def test_a_chat_of_two_names_both() -> None:
    other = "1d7a41c2-0b5e-4a39-9c85-6f3e2b7d9a10"
    for pair in (f"{other}_{FRIDA}", f"{FRIDA}_{other}"):
        details = MeetingDetails("x", thread_id=f"19:{pair}@unq.gbl.spaces")
        assert redact_details(details, PEOPLE) == MeetingDetails("x")
