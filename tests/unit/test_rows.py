"""Rows of a report: every column is present, whatever Graph omitted."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.tables import rows

LINE = {
    "id": "r",
    "source": "onlineMeeting",
    "meetingId": "m",
    "organizerId": "o",
    "joinWebUrl": "https://t/1",
}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    [
        "id",
        "emailAddress",
        "role",
        "identity",
        "attendanceIntervals",
        "totalAttendanceInSeconds",
        "displayName",
    ]
)
RECORDS = st.dictionaries(NAMES, ANYTHING, max_size=6) | ANYTHING


def record(**changes: object) -> dict[str, object]:
    return {
        "id": "rec",
        "emailAddress": "",
        "totalAttendanceInSeconds": 90,
        "role": "Attendee",
        "identity": {
            "@odata.type": "#microsoft.graph.communicationsUserIdentity",
            "id": "p",
            "displayName": "P",
        },
        "attendanceIntervals": [
            {"joinDateTime": "2026-11-23T09:10:00.1234567Z", "leaveDateTime": None, "durationInSeconds": 60},
            {
                "joinDateTime": "2026-11-23T10:00:00+01:00",
                "leaveDateTime": "2026-11-23T09:00:30Z",
                "durationInSeconds": 30.0,
            },
        ],
    } | changes


def report(*records: object) -> dict[str, object]:
    return {
        "id": "r",
        "meetingStartDateTime": "2026-11-23T09:00:00Z",
        "meetingEndDateTime": "2026-11-24T00:00:00.0000001Z",
        "totalParticipantCount": len(records),
        "attendanceRecords": list(records),
    }


def test_an_attendee_is_joined_with_the_meeting() -> None:
    (row,) = rows.attendee_rows(report(record()), LINE)
    assert (row["date"], row["reportId"], row["meetingId"], row["organizerId"]) == (
        "2026-11-24",
        "r",
        "m",
        "o",
    )
    assert (row["personId"], row["displayName"], row["emailAddress"]) == ("p", "P", None)
    assert row["identityType"] == "communicationsUserIdentity"


def test_the_first_join_and_the_last_leave_are_of_all_intervals() -> None:
    (row,) = rows.attendee_rows(report(record()), LINE)
    assert (row["firstJoin"], row["lastLeave"]) == ("2026-11-23T09:00:00.000Z", "2026-11-23T09:00:30.000Z")
    assert [each["seconds"] for each in row["intervals"]] == [60, 30]


def test_each_interval_is_a_row_of_its_own() -> None:
    found = list(rows.interval_rows(report(record(), record(id="other")), LINE))
    assert [(row["recordId"], row["interval"], row["seconds"]) for row in found] == [
        ("rec", 0, 60), ("rec", 1, 30), ("other", 0, 60), ("other", 1, 30),
    ]  # fmt: skip


def test_an_identity_within_a_set_of_identities_is_found() -> None:
    inner = {"user": None, "guest": {"id": "g", "displayName": "Guest"}}
    (row,) = rows.attendee_rows(report(record(identity=inner)), LINE)
    assert (row["personId"], row["displayName"]) == ("g", "Guest")


@given(st.lists(RECORDS, max_size=4))
def test_whatever_graph_sends_every_record_is_a_row_with_every_column(records: list[object]) -> None:
    (whole,) = rows.attendee_rows(report(record()), LINE)
    found = list(rows.attendee_rows(report(*records), LINE))
    assert [list(row) for row in found] == [list(whole)] * len(records)
    json.dumps(found, allow_nan=False)


@given(ANYTHING)
def test_a_report_without_a_list_of_records_has_no_attendees(records: object) -> None:
    if not isinstance(records, list):
        assert list(rows.attendee_rows({"id": "r", "attendanceRecords": records}, LINE)) == []


@pytest.mark.parametrize("value", [1 << 63, -(1 << 70), 10**4_000, 1e308, 1.5, True, "7"])
def test_a_number_that_no_engine_reads_is_null(value: object) -> None:
    row = rows.meeting_row({"totalParticipantCount": value}, {})
    assert row["meetingParticipants"] is None


@pytest.mark.parametrize("value", ["1601-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "3000-01-01T00:00:00Z"])
def test_a_time_that_cannot_be_true_is_null(value: str) -> None:
    row = rows.meeting_row({"meetingStartDateTime": value, "meetingEndDateTime": value}, {})
    assert (row["meetingStart"], row["meetingEnd"], row["date"]) == (None, None, None)
