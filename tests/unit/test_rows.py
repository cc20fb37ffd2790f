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
TYPE = "#microsoft.graph.communications"
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
        "engagements",
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
    assert (row["reportId"], row["meetingId"], row["organizerId"]) == ("r", "m", "o")
    assert (row["personId"], row["displayName"], row["emailAddress"]) == ("p", "P", None)
    assert row["identityType"] == "communicationsUserIdentity"


def test_the_first_join_and_the_last_leave_are_of_all_intervals() -> None:
    (row,) = rows.attendee_rows(report(record()), LINE)
    assert (row["firstJoin"], row["lastLeave"]) == ("2026-11-23T09:00:00.000Z", "2026-11-23T09:00:30.000Z")
    assert [each["seconds"] for each in row["intervals"]] == [60, 30]


def test_an_identity_within_a_set_of_identities_is_found() -> None:
    inner = {"user": None, "guest": {"id": "g", "displayName": "Guest"}}
    (row,) = rows.attendee_rows(report(record(identity=inner)), LINE)
    assert (row["personId"], row["displayName"]) == ("g", "Guest")


@pytest.mark.parametrize("nested", [None, "user", "phone", "guest", "applicationInstance", "acsUser"])
@pytest.mark.parametrize(
    ("identity", "person", "name"),
    [
        ({"@odata.type": f"{TYPE}PhoneIdentity", "id": "+14255550123"}, "+14255550123", "+14255550123"),
        ({"@odata.type": f"{TYPE}PhoneIdentity", "id": "0800"}, "0800", "0800"),
        ({"id": "+14255550123", "displayName": None}, "+14255550123", "+14255550123"),
        ({"id": "+14255550123", "displayName": "Reception"}, "+14255550123", "Reception"),
        ({"id": None, "displayName": "Anonymous Anna"}, None, "Anonymous Anna"),
        ({"id": "teamsvisitor:1", "displayName": "Guest"}, "teamsvisitor:1", "Guest"),
        ({"id": "a", "displayName": "Auto attendant", "hidden": False}, "a", "Auto attendant"),
        ({"id": "8:acs:1", "azureCommunicationServicesResourceId": "x"}, "8:acs:1", None),
        ({"id": "u", "displayName": "Fed", "tenantId": "t"}, "u", "Fed"),
        ({"id": None, "displayName": None, "tenantId": None}, None, None),
    ],
)  # fmt: skip
def test_a_participant_of_any_kind_is_a_row_with_the_name_or_number_that_graph_gives(
    identity: dict[str, object], person: str | None, name: str | None, nested: str | None
) -> None:
    written = {"application": None, "device": None, nested: identity} if nested else identity
    (row,) = rows.attendee_rows(report(record(identity=written)), LINE)
    wanted = name or (person if nested == "phone" else None)
    assert (row["personId"], row["displayName"]) == (person, wanted)
    told = str(identity.get("@odata.type", "")).rpartition(".")[2]
    assert row["identityType"] == (told or nested)


def test_of_several_identities_the_one_that_says_most_is_taken() -> None:
    several = {"device": {"id": None}, "user": {"id": None, "displayName": "U"}, "phone": {"id": "+1"}}
    (row,) = rows.attendee_rows(report(record(identity=several)), LINE)
    assert (row["personId"], row["displayName"], row["identityType"]) == ("+1", "+1", "phone")
    nameless = {"device": {"id": None}, "user": {"id": "", "displayName": "U"}}
    (row,) = rows.attendee_rows(report(record(identity=nameless)), LINE)
    assert (row["displayName"], row["identityType"]) == ("U", "user")


def test_a_record_of_which_every_field_is_null_is_a_row() -> None:
    whole = record()
    (row,) = rows.attendee_rows(report(dict.fromkeys(whole)), LINE)
    meeting = rows.meeting_row(report(None), LINE)
    assert {name: value for name, value in row.items() if name not in meeting} == {
        **dict.fromkeys(row.keys() - meeting.keys()),
        "recordNumber": 0,
        "intervals": [],
    }


def test_each_engagement_is_a_row_of_its_own() -> None:
    engagements = [
        {
            "engagementType": "reaction",
            "engagementSubType": "like",
            "dateTime": "2026-11-23T09:01:00.1234567Z",
        },
        {"engagementType": "hand", "engagementSubType": None, "dateTime": None},
        None,
    ]
    found = list(rows.engagement_rows(report(record(engagements=engagements), record()), LINE))
    assert [
        (row["recordId"], row["engagement"], row["engagementType"], row["engagementSubType"], row["dateTime"])
        for row in found
    ] == [
        ("rec", 0, "reaction", "like", "2026-11-23T09:01:00.123Z"),
        ("rec", 1, "hand", None, None),
        ("rec", 2, None, None, None),
    ]
    assert {row["displayName"] for row in found} == {"P"}


def test_the_series_of_a_meeting_is_that_of_its_index_line() -> None:
    assert rows.meeting_row(report(), {**LINE, "seriesId": "s"})["seriesId"] == "s"
    assert rows.meeting_row(report(), LINE)["seriesId"] is None


@given(st.lists(RECORDS, max_size=4))
def test_whatever_graph_sends_every_record_is_a_row_with_every_column(records: list[object]) -> None:
    (whole,) = rows.attendee_rows(report(record()), LINE)
    found = list(rows.attendee_rows(report(*records), LINE))
    assert [list(row) for row in found] == [list(whole)] * len(records)
    json.dumps([*found, *rows.engagement_rows(report(*records), LINE)], allow_nan=False)


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
    assert (row["meetingStart"], row["meetingEnd"]) == (None, None)
