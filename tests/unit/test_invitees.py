"""Who was invited or registered: what Graph tells, what is kept of it, and who of them came."""

from __future__ import annotations

import io
import itertools
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import pytest
from azure.storage.blob import ContainerClient
from hypothesis import given
from hypothesis import strategies as st

from shared.archive import invitees as lists
from shared.archive.attribution import merge_facts
from shared.archive.invitees import ListFile, invitees_name, read_invitees, report_of
from shared.archive.reports import Archive, report_name
from shared.errors import AccessDenied, NotFound, Refused, Throttled
from shared.graph import invitees, meetings
from shared.graph.client import Graph
from shared.graph.invitees import Invitee, InviteeKind, InviteeList, ListState
from shared.graph.meetings import MeetingCache
from shared.graph.reports import EventReports, MeetingReports, Report, ReportLocation
from shared.messages import codec
from shared.messages.signals import EventKind, EventSession
from shared.privacy.identifiers import id_token, name_token
from shared.privacy.redact import find_roles, redact_invitees
from shared.tables import rows
from shared.tables.columns import COLUMNS, Table
from shared.tables.day_tables import INVITEE_BYTES, PART_BYTES, cut_parts
from tests.support.doubles import Container, Steps

FRIDA = "8b081ef6-4792-4def-b2c9-c363a1bf41d5"
OLAF = "01af0000-0000-4000-8000-000000000001"
TENANT = "7f1d3c52-0a86-4be4-9c1e-5b2f8f7a6d10"
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SESSION = EventSession(EventKind.TOWNHALL, "event@tenant", "session")
MEETING = MeetingReports("organizer", "meeting")
EVENT = EventReports(SESSION)
NAME = report_name("r-1", NOW)


def invited(person: str | None, upn: str | None, role: str | None = "attendee") -> dict[str, Any]:
    """An entry as Graph has it."""
    user = {"id": person, "displayName": None, "tenantId": None, "identityProvider": "AAD"}
    return {"upn": upn, "role": role, "identity": {"phone": None, "guest": None, "user": user}}


def participants(*attendees: object, organizer: object = None) -> InviteeList:
    return invitees.parse_participants(
        {"participants": {"organizer": organizer, "attendees": attendees and [*attendees]}}
    )


def listed(*found: Invitee, state: ListState = ListState.COMPLETE) -> InviteeList:
    return InviteeList(state, found)


def somebody(person: str | None = FRIDA, address: str | None = None, **changes: Any) -> Invitee:
    return Invitee(InviteeKind.INVITED, person, address, **changes)


def registered(**changes: Any) -> Invitee:
    return Invitee(InviteeKind.REGISTERED, **changes)


def test_the_organizer_and_the_attendees_are_invited() -> None:
    found = participants(
        invited(FRIDA, "frida@contoso.example"),
        invited(OLAF, "olaf@contoso.example", "coorganizer"),
        organizer=invited("o", "boss@contoso.example", "presenter"),
    )
    assert found.state is ListState.COMPLETE
    assert {(each.person_id, each.email_address, each.role) for each in found.invitees} == {
        ("o", "boss@contoso.example", "organizer"),
        (FRIDA, "frida@contoso.example", "attendee"),
        (OLAF, "olaf@contoso.example", "coorganizer"),
    }


@pytest.mark.parametrize(
    "meeting",
    [
        {},
        {"participants": None},
        {"participants": []},
        {"participants": {}},
        {"participants": {"attendees": None}},
    ],
)
def test_a_meeting_without_participants_has_no_list(meeting: dict[str, Any]) -> None:
    assert invitees.parse_participants(meeting) == InviteeList(ListState.NOT_SUPPORTED)


def test_a_meeting_to_which_nobody_was_invited_has_an_empty_list() -> None:
    found = invitees.parse_participants({"participants": {"attendees": []}})
    assert found == InviteeList(ListState.COMPLETE)


def test_each_is_listed_once_and_those_whom_nothing_identifies_all() -> None:
    frida, nobody = invited(FRIDA, "frida@contoso.example"), invited(None, None)
    found = participants(
        frida,
        nobody,
        invited(FRIDA.upper(), "other@x"),
        nobody,
        invited(None, "Frida@contoso.example"),
        "x",
        None,
    )
    assert [each.person_id for each in found.invitees].count(FRIDA) == 1
    assert [(each.person_id, each.email_address) for each in found.invitees].count((None, None)) == 2
    assert len(found.invitees) == 3


def test_another_order_is_no_other_list() -> None:
    entries = [invited(f"p{number}", None) for number in range(9)] + [{"upn": "group@x", "identity": None}]
    assert participants(*entries) == participants(*reversed(entries))


OF_FRIDA = [
    invited(FRIDA, "frida@contoso.example"),
    invited(FRIDA.upper(), "f.olsen@contoso.example", "presenter"),
    invited(FRIDA, None),
    invited(None, "Frida@contoso.example"),
    invited(None, "F.Olsen@contoso.example"),
]


@pytest.mark.parametrize("organizer", [None, OF_FRIDA[0]])
def test_entries_of_one_person_are_one_in_any_order(organizer: object) -> None:
    (found,) = {participants(*each, organizer=organizer) for each in itertools.permutations(OF_FRIDA)}
    (frida,) = found.invitees
    assert (frida.person_id or "").lower() == FRIDA
    assert (frida.role == "organizer") is (organizer is not None)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_any_entries_make_the_same_list_in_any_order(count: int) -> None:
    entries = [*OF_FRIDA, invited(OLAF, "frida@contoso.example"), invited(None, None)]
    for some in itertools.combinations(entries, count):
        (found,) = {participants(*each) for each in itertools.permutations(some)}
        assert [each.person_id for each in found.invitees].count(OLAF) == (entries[5] in some)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["participants", "attendees", "organizer", "identity", "user", "id", "upn"]),
                inner,
            )
        ),
        max_leaves=12,
    )
)
def test_anything_makes_a_list_that_comes_back(anything: Any) -> None:
    for meeting in ({"participants": anything}, {"participants": {"attendees": anything}}):
        found = invitees.parse_participants(meeting)
        assert codec.loads(InviteeList, codec.dumps(found)) == found
        list(rows.invitee_rows({}, {"id": "r"}, found))


def test_a_registration_has_its_status_and_times() -> None:
    class Pages(Graph):
        def __init__(self) -> None:
            self.asked: list[str] = []

        def get(self, path: str, operation: str) -> dict[str, Any]:
            self.asked.append(path)
            entry = {
                "id": "1", "userId": FRIDA, "firstName": "Frida", "lastName": "Olsen", "email": "f@x",
                "status": "waitlisted", "registrationDateTime": "2026-11-20T22:04:17",
                "cancelationDateTime": None, "registrationQuestionAnswers": [{"value": "private"}],
            }  # fmt: skip
            if "skip" in path:
                return {"value": [entry, {"id": "2", "status": 7}, "odd"]}
            return {"value": [entry], "@odata.nextLink": "https://graph/v1.0/x?$skip=1"}

        @property
        def request_id(self) -> str | None:
            return None

    graph = Pages()
    found = invitees.list_registrations(graph, SESSION)
    assert graph.asked[0] == "solutions/virtualEvents/townhalls/event%40tenant/registrations"
    frida = registered(
        person_id=FRIDA, email_address="f@x", display_name="Frida Olsen", registration_id="1",
        status="waitlisted", registered_at=datetime(2026, 11, 20, 22, 4, 17, tzinfo=UTC),
    )  # fmt: skip
    assert set(found.invitees) == {frida, registered(registration_id="2")}
    assert "private" not in codec.dumps(found)


def test_a_list_is_cut_at_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invitees, "MAX_INVITEES", 3)
    exact, over = (participants(*(invited(f"p{n}", None) for n in range(count))) for count in (3, 4))
    assert (exact.state, len(exact.invitees)) == (ListState.COMPLETE, 3)
    assert (over.state, len(over.invitees)) == (ListState.TRUNCATED, 3)


@pytest.mark.parametrize(
    ("failure", "state", "may_end"),
    [
        (AccessDenied("list", "no", status=403), ListState.ACCESS_DENIED, False),
        (NotFound("list", "no", status=404), ListState.NOT_SUPPORTED, False),
        (Refused("list", "no", status=400), ListState.NOT_SUPPORTED, False),
        (Throttled("list", "wait", status=429), ListState.FAILED, True),
    ],
)
def test_why_there_is_no_list(failure: Exception, state: ListState, may_end: bool) -> None:
    def read() -> InviteeList:
        raise failure

    found, again = invitees.read_list(read)
    assert (found, again is not None) == (InviteeList(state), may_end)


def test_lists_are_remembered_only_if_they_are_wanted_and_not_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Meetings(Graph):
        def __init__(self) -> None:
            self.asked = 0

        def get(self, path: str, operation: str) -> dict[str, Any]:
            self.asked += 1
            attendees = [invited(f"p{number}", None) for number in range(4)]
            return {"value": [{"id": "m", "participants": {"attendees": attendees}}]}

    monkeypatch.setattr(meetings, "MAX_CACHED_INVITEES", 9)
    plain, graph = MeetingCache(), Meetings()
    assert plain.find(graph, "o", "https://x").invitees is None
    cache = MeetingCache(with_invitees=True)
    for organizer in "abcb":
        found = cache.find(graph, organizer, "https://x").invitees
        assert found
        assert len(found.invitees) == 4
    assert graph.asked == 1 + 3
    cache.find(graph, "a", "https://x")  # which made room for the third
    assert graph.asked == 1 + 4
    cache.forget("a", "https://x")
    cache.forget("b", "https://x")
    assert cache._invitees == 0


def store(
    container: Container, found: InviteeList | None, where: ReportLocation = MEETING, **changes: Any
) -> None:
    body = b'{"id":"r-1"}'
    report = Report(
        "r-1", NOW - timedelta(hours=1), NOW, 1, 1, is_partial=False, sha256="1", body=io.BytesIO(body),
        size=len(body), read_at=NOW + timedelta(hours=1),
    )  # fmt: skip
    archive = Archive(cast(ContainerClient, container))
    archive.store(replace(report, **changes), where, invitees=found)


def named(container: Container) -> InviteeList | None:
    (report,) = container.below("reports/")
    return read_invitees(cast(ContainerClient, container), report.name, report.metadata)


def test_a_list_lies_on_the_day_of_its_report_which_names_it() -> None:
    container, found = Container(Steps(NOW)), listed(somebody())
    store(container, found)
    (report,), (blob,) = container.below("reports/"), container.below("invitees/")
    assert blob.name.startswith("invitees/date=2026-11-24/r-1-")
    assert report_of(blob.name) == report.name
    assert (report.metadata["invitees"], report.metadata["inviteesstate"]) == ("1", "complete")
    assert named(container) == found
    assert report.body == b'{"id":"r-1"}'


def test_a_report_without_a_list_says_why_and_one_that_is_not_asked_for_says_nothing() -> None:
    container = Container(Steps(NOW))
    store(container, InviteeList(ListState.ACCESS_DENIED))
    (report,) = container.below("reports/")
    assert report.metadata["inviteesstate"] == "accessDenied"
    assert not container.below("invitees/")
    container = Container(Steps(NOW))
    store(container, None)
    (report,) = container.below("reports/")
    assert not [name for name in report.metadata if "invitees" in name]


def test_the_newest_list_counts_and_a_failure_leaves_it() -> None:
    container = Container(Steps(NOW))
    for found in (listed(somebody()), listed(somebody(OLAF)), InviteeList(ListState.FAILED), None):
        store(container, found)
    assert named(container) == listed(somebody(OLAF))
    assert len(container.below("invitees/")) == 2


def test_the_events_list_is_not_replaced_by_that_of_the_meeting_behind_its_session() -> None:
    mine, theirs = listed(registered(registration_id="1")), listed(somebody())
    for order in ((EVENT, MEETING), (MEETING, EVENT)):
        container = Container(Steps(NOW))
        for where in order:
            store(container, mine if where is EVENT else theirs, where)
        assert named(container) == mine


def test_a_report_that_moves_past_midnight_takes_its_list_along() -> None:
    container, later = Container(Steps(NOW)), NOW + timedelta(hours=14)
    long: dict[str, Any] = {
        "start": NOW,
        "sha256": "2",
        "records": 2,
        "end": later,
        "read_at": later + timedelta(hours=1),
    }
    store(container, listed(somebody()))
    store(container, listed(somebody()), **long)
    (report,) = container.below("reports/")
    assert report.name.startswith("reports/date=2026-11-25/")
    assert named(container) == listed(somebody())


def test_lists_that_no_report_names_go_after_a_day() -> None:
    steps = Steps(NOW)
    container = Container(steps)
    for person in (FRIDA, OLAF):
        store(container, listed(somebody(person)))
    archive = Archive(cast(ContainerClient, container))
    assert not archive.clean_invitees(NOW.date(), NOW - timedelta(seconds=1))
    assert len(container.below("invitees/")) == 2
    assert archive.clean_invitees(NOW.date(), NOW)
    assert len(container.below("invitees/")) == 1
    assert named(container) == listed(somebody(OLAF))
    assert archive.clean_invitees(date(2026, 11, 23), NOW)


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"state":"complete"}', None])
def test_a_list_that_is_gone_or_damaged_is_none(damage: bytes | None) -> None:
    container = Container(Steps(NOW))
    store(container, listed(somebody()))
    (blob,) = container.below("invitees/")
    del container.blobs[blob.name]
    if damage is not None:
        container.blobs[blob.name] = replace(blob, body=damage)
    assert named(container) is None


def test_facts_of_another_meeting_take_its_list_along() -> None:
    first, second = (
        {
            "source": "onlineMeeting",
            "meetingid": each,
            "organizerid": each,
            **ListFile.of(listed(somebody(each))).metadata,
        }
        for each in "ab"
    )
    assert merge_facts(first, second, ["b"])["inviteessha256"] == second["inviteessha256"]
    assert merge_facts(first, second, ["a"])["inviteessha256"] == first["inviteessha256"]


def test_a_name_follows_from_the_report_and_the_list() -> None:
    assert invitees_name(NAME, {"inviteessha256": "0123456789abcdef01"}) == (
        "invitees/date=2026-11-24/r-1-0123456789abcdef.json"
    )
    assert invitees_name(NAME, {}) == ""
    assert lists.FOLDER == "invitees"


def report(*records: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "r",
        "meetingStartDateTime": "2026-11-24T09:00:00Z",
        "meetingEndDateTime": "2026-11-24T10:00:00Z",
        "attendanceRecords": list(records),
    }


def record(
    person: str | None = None, address: str | None = None, registration: str | None = None
) -> dict[str, Any]:
    return {
        "identity": {"id": person, "displayName": "X"},
        "emailAddress": address,
        "registrationId": registration,
        "attendanceIntervals": [
            {
                "joinDateTime": "2026-11-24T09:00:00Z",
                "leaveDateTime": "2026-11-24T09:30:00Z",
                "durationInSeconds": 1800,
            }
        ],
    }


LINE = {"id": "r", "source": "onlineMeeting", "partial": False}


def rows_of(found: InviteeList, *records: dict[str, Any], **line: Any) -> list[dict[str, Any]]:
    return list(rows.invitee_rows(report(*records), LINE | line, found, TENANT))


@pytest.mark.parametrize(
    ("invitee", "records", "attended"),
    [
        (somebody(), [record(FRIDA.upper())], True),
        (somebody(None, "Frida@contoso.example"), [record(OLAF, " frida@Contoso.example")], True),
        (somebody(), [record(OLAF)], False),
        (somebody(), [], False),
        (somebody(None, "all@contoso.example"), [record(OLAF)], None),
        (somebody(None, None), [record(None)], None),
        (registered(registration_id="R1"), [record(None, None, "r1")], True),
        (registered(registration_id="R1", person_id=FRIDA), [record(FRIDA)], True),
        (registered(registration_id="R1", email_address="x@y"), [record(OLAF)], False),
        (registered(), [record(None)], None),
    ],
)
def test_an_invitee_came_did_not_or_it_is_not_known(
    invitee: Invitee, records: list[dict[str, Any]], attended: bool | None
) -> None:
    (row,) = rows_of(listed(invitee), *records)
    assert row["attended"] is attended
    assert (row["netSeconds"], row["recordNumber"]) == ((1800, 0) if attended else (None, None))


def test_nobody_was_absent_of_whom_records_may_be_missing() -> None:
    found = listed(somebody(), somebody(OLAF))
    assert [row["attended"] for row in rows_of(found, record(OLAF), partial=True)] == [None, True]
    (row,) = rows.invitee_rows({"id": "r"}, LINE, listed(somebody()))  # a report that is none
    assert row["attended"] is None


def test_two_records_of_one_person_are_one_stay() -> None:
    (row,) = rows_of(listed(somebody()), record(OLAF), record(FRIDA), record(FRIDA))
    assert (row["recordNumber"], row["netSeconds"]) == (1, 1800)


def test_every_row_has_every_column() -> None:
    plain = listed(
        somebody(None, "x@y", role="presenter", tenant_id=TENANT.upper()),
        registered(
            registration_id="1",
            display_name="\ud83d",
            status="canceled",
            registered_at=NOW,
            canceled_at=NOW,
        ),
        state=ListState.TRUNCATED,
    )
    for number, row in enumerate(rows_of(plain, record())):
        assert [*row, "revision", "writtenAt"] == list(COLUMNS[Table.INVITEES])
        assert row["inviteeNumber"] == number
        assert row["listComplete"] is False
        json.dumps(row).encode()
    first, second = rows_of(plain)
    assert (first["personKey"], first["isExternal"], first["role"]) == ("x@y", False, "presenter")
    assert (second["registrationStatus"], second["canceledAt"]) == (
        "canceled",
        "2026-11-24T12:00:00.000Z",
    )


def test_a_person_has_the_same_key_as_in_the_attendees() -> None:
    attendee = next(rows.attendee_rows(report(record(FRIDA.upper())), LINE))
    (row,) = rows_of(listed(somebody(FRIDA.upper(), "frida@x")))
    assert row["personKey"] == attendee["personKey"] == FRIDA


def test_a_list_counts_for_the_size_of_a_part() -> None:
    large = PART_BYTES // INVITEE_BYTES // 2 + 1
    line = b'{"path":"p","bytes":1,"invitees":%d}\n'
    sizes = [cut.length for cut in cut_parts([line % large] * 4)]
    assert len(sizes) == 4


PERSON = frozenset({id_token(FRIDA), id_token("frida@x"), name_token("Frida Olsen")})


@pytest.mark.parametrize(
    "invitee",
    [
        somebody(FRIDA.upper(), role="attendee"),
        somebody(None, "SMTP:Frida@X", role="attendee"),
        registered(display_name="frida  olsen", registration_id="1", status="registered", registered_at=NOW),
    ],
)
def test_a_person_is_found_and_nothing_but_role_and_status_stays(invitee: Invitee) -> None:
    found = listed(somebody(OLAF), invitee)
    left = redact_invitees(found, PERSON)
    assert left.invitees == (
        somebody(OLAF),
        Invitee(invitee.kind, role=invitee.role, status=invitee.status),
    )
    assert redact_invitees(left, PERSON) is left
    assert find_roles({}, {}, PERSON, found) == [str(invitee.kind)]
    assert [row["attended"] for row in rows_of(left, record(FRIDA))] == [False, None]


def test_others_are_left_as_they_are() -> None:
    found = listed(somebody(OLAF, "olaf@x"), somebody(None, None))
    assert redact_invitees(found, PERSON) is found
    assert find_roles({}, {}, PERSON, found) == []
