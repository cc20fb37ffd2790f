"""The simulated call records and online meetings answer as documented."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote

import pytest

from local.simulator.tenant.orders import NewMeeting, NewSession
from tests.support.simulator_process import Graph
from tests.support.simulator_process import graph as graph
from tests.support.simulator_process import simulator as simulator

FOREIGN = "99999999-2222-4333-8444-555555555555"


def lookup(organizer: str, url: str) -> str:
    return f"/users/{organizer}/onlineMeetings?$filter=JoinWebUrl eq '{quote(url, safe='')}'"


def test_a_call_record_names_the_organizer_in_organizer_v2_only(graph: Graph) -> None:
    meeting = graph.control.add_meeting()
    call = graph.control.add_session(NewSession(meeting_id=meeting.meeting_id)).call_id
    record = graph.json(f"/communications/callRecords/{call}")
    assert record["organizer"] is None
    assert record["organizer_v2"]["identity"]["user"]["id"] == meeting.organizer_id
    assert (record["type"], record["joinWebUrl"]) == ("groupCall", meeting.join_web_url)


def test_a_call_record_of_a_phone_organizer_has_no_user(graph: Graph) -> None:
    meeting = graph.control.add_meeting()
    call = graph.control.add_session(NewSession(meeting_id=meeting.meeting_id, phone_organizer=True)).call_id
    assert graph.json(f"/communications/callRecords/{call}")["organizer_v2"]["identity"]["user"] is None


@pytest.mark.parametrize("named", ["guest", "8b081ef6-4792-4def-b2c9-c363a1bf41d5"])
def test_a_call_record_can_name_another_organizer_than_the_meetings(graph: Graph, named: str) -> None:
    meeting = graph.control.add_meeting()
    made = graph.control.add_session(NewSession(meeting_id=meeting.meeting_id, record_organizer=named))
    identity = graph.json(f"/communications/callRecords/{made.call_id}")["organizer_v2"]["identity"]
    told = {key: value["id"] for key, value in identity.items() if value}
    assert told == ({"guest": f"teamsvisitor:{made.call_id}"} if named == "guest" else {"user": named})


def test_a_deleted_organizer_is_no_user_any_more(graph: Graph) -> None:
    meeting = graph.control.add_meeting(NewMeeting(organizer="00000000-0000-4000-8000-00000000de1e"))
    assert graph.get(lookup(meeting.organizer_id, meeting.join_web_url)).ok
    graph.control.delete_user(meeting.organizer_id)
    assert graph.refusal(lookup(meeting.organizer_id, meeting.join_web_url))[0] == 404


def test_a_personal_meeting_has_a_link_of_its_own_that_is_refused(graph: Graph) -> None:
    meeting = graph.control.add_meeting(NewMeeting(kind="personal"))
    assert meeting.join_web_url.startswith("https://teams.live.com/meet/")
    anybody = graph.control.add_meeting().organizer_id
    assert graph.refusal(lookup(anybody, meeting.join_web_url))[0] == 400


def test_a_call_of_another_tenants_organizer_says_so(graph: Graph) -> None:
    meeting = graph.control.add_meeting(NewMeeting(tenant=FOREIGN))
    call = graph.control.add_session(NewSession(meeting_id=meeting.meeting_id)).call_id
    record = graph.json(f"/communications/callRecords/{call}")
    assert record["organizer_v2"]["identity"]["user"]["tenantId"] == FOREIGN
    assert FOREIGN in unquote(record["joinWebUrl"])
    assert graph.refusal(lookup(meeting.organizer_id, meeting.join_web_url))[0] == 404


def test_a_peer_to_peer_call_has_no_join_url(graph: Graph) -> None:
    call = graph.control.add_session(NewSession(type="peerToPeer")).call_id
    assert "joinWebUrl" not in graph.json(f"/communications/callRecords/{call}")


def test_a_call_record_is_404_before_it_exists_and_after_30_days(graph: Graph) -> None:
    late = graph.control.add_session(NewSession(record_delay=3600))
    old = graph.control.add_session(NewSession(end=datetime.now(UTC) - timedelta(days=31)))
    for session in (late, old):
        assert graph.refusal(f"/communications/callRecords/{session.call_id}")[0] == 404


def test_a_call_record_gets_what_its_first_version_lacks(graph: Graph) -> None:
    meeting = graph.control.add_meeting()
    lacks = ("joinWebUrl", "type", "endDateTime")
    made = graph.control.add_session(
        NewSession(meeting.meeting_id, first_version_lacks=lacks, revised_after=3600)
    )
    first = graph.json(f"/communications/callRecords/{made.call_id}")
    assert (first["version"], first.keys() & set(lacks)) == (1, set())
    graph.control.change_session(made.call_id, revisedAfter=0)
    second = graph.json(f"/communications/callRecords/{made.call_id}")
    assert (second["version"], second["joinWebUrl"]) == (2, meeting.join_web_url)


def test_the_list_of_call_records_gives_whole_seconds(graph: Graph) -> None:
    end = datetime.now(UTC).replace(microsecond=765_432) - timedelta(days=19)
    made = graph.control.add_session(NewSession(end=end))
    low = (end - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    high = end.strftime("%Y-%m-%dT%H:%M:%SZ")
    path = f"/communications/callRecords?$filter=startDateTime ge {low} and startDateTime lt {high}"
    (listed,) = [each for each in graph.json(path)["value"] if each["id"] == made.call_id]
    assert listed["endDateTime"] == high
    assert graph.json(f"/communications/callRecords/{made.call_id}")["endDateTime"].startswith(
        f"{high[:-1]}.765432"
    )


def test_call_records_are_listed_by_start_in_pages(graph: Graph) -> None:
    end = datetime.now(UTC) - timedelta(days=20)
    calls = {graph.control.add_session(NewSession(end=end + timedelta(seconds=n))).call_id for n in range(65)}
    low = (end - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    high = (end + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    path = f"/communications/callRecords?$filter=startDateTime ge {low} and startDateTime lt {high}"
    pages = graph.pages(path)
    assert [len(page) for page in pages] == [60, 5]
    assert {record["id"] for page in pages for record in page} == calls
    small = graph.pages(path, headers={"Prefer": "odata.maxpagesize=40"})
    assert [len(page) for page in small] == [40, 25]
    assert graph.json(path + "&$select=id")["value"][0].keys() == {"id"}


@pytest.mark.parametrize(
    "query",
    [
        "$filter=endDateTime ge 2026-01-01T00:00:00Z",
        "$filter=startDateTime eq 2026-01-01T00:00:00Z",
        "$filter=startDateTime ge 2026-01-01",
        "$filter=startDateTime ge 2026-01-01T00:00:00Z or startDateTime lt 2026-01-01T00:00:00Z",
        "$expand=sessions",
        "$skiptoken=nonsense",
    ],
)
def test_what_the_list_of_call_records_cannot_do_is_a_bad_request(graph: Graph, query: str) -> None:
    assert graph.refusal(f"/communications/callRecords?{query}")[0] == 400


def test_a_join_url_is_found_when_escaped_once_more(graph: Graph) -> None:
    meeting = graph.control.add_meeting()
    found = graph.json(lookup(meeting.organizer_id, meeting.join_web_url))["value"]
    assert [each["id"] for each in found] == [meeting.meeting_id]
    assert found[0]["participants"]["organizer"]["identity"]["user"]["id"] == meeting.organizer_id


def test_a_join_url_that_was_decoded_is_refused(graph: Graph) -> None:
    meeting = graph.control.add_meeting()
    refusal = graph.refusal(lookup(meeting.organizer_id, unquote(meeting.join_web_url)))
    assert refusal == (400, "BadRequest", "1026: An error has occurred.")


def test_an_unknown_join_url_is_3004(graph: Graph) -> None:
    meeting = graph.control.add_meeting()
    refusal = graph.refusal(lookup(meeting.organizer_id, meeting.join_web_url + "x"))
    assert refusal == (404, "NotFound", "3004: Specified meeting is not found.")


def test_somebody_elses_meeting_is_3003(graph: Graph) -> None:
    meeting, other = graph.control.add_meeting(), graph.control.add_meeting()
    assert meeting.organizer_id != other.organizer_id
    status, code, message = graph.refusal(lookup(other.organizer_id, meeting.join_web_url))
    assert (status, code, message[:5]) == (403, "Forbidden", "3003:")


def test_a_missing_access_policy_is_forbidden_until_it_is_granted(graph: Graph) -> None:
    organizer = "12345678-0000-4000-8000-000000000001"
    meeting = graph.control.add_meeting(NewMeeting(organizer=organizer, denied=True))
    path = lookup(organizer, meeting.join_web_url)
    status, code, message = graph.refusal(path)
    assert (status, code) == (403, "Forbidden")
    assert message.startswith("No application access policy found for this app ")
    graph.control.deny(organizer, denied=False)
    assert graph.get(path).ok


def test_a_short_link_is_refused_but_its_number_is_found(graph: Graph) -> None:
    meeting = graph.control.add_meeting(NewMeeting(kind="short"))
    assert meeting.join_web_url.startswith(f"https://teams.microsoft.com/meet/{meeting.join_meeting_id}?p=")
    assert graph.refusal(lookup(meeting.organizer_id, meeting.join_web_url))[0] == 400
    users = f"/users/{meeting.organizer_id}/onlineMeetings?$filter=joinMeetingIdSettings/joinMeetingId eq "
    assert graph.json(f"{users}'{meeting.join_meeting_id}'")["value"][0]["id"] == meeting.meeting_id
    assert graph.refusal(f"{users}'204 938'")[0] == 400


def test_a_short_link_of_meet_now_is_found(graph: Graph) -> None:
    meeting = graph.control.add_meeting(NewMeeting(kind="meetNow"))
    assert "/meet/" in meeting.join_web_url
    assert graph.get(lookup(meeting.organizer_id, meeting.join_web_url)).ok


def test_only_object_ids_name_a_user(graph: Graph) -> None:
    meeting = graph.control.add_meeting()
    assert graph.refusal(lookup("adele@contoso.example", meeting.join_web_url))[0] == 400


def test_a_meeting_id_must_be_escaped_and_keep_its_case(graph: Graph) -> None:
    made = (graph.control.add_meeting() for _ in range(60))
    meeting = next(each for each in made if "/" in each.meeting_id)
    users = f"/users/{meeting.organizer_id}/onlineMeetings/"
    assert graph.json(users + quote(meeting.meeting_id, safe=""))["joinWebUrl"] == meeting.join_web_url
    assert graph.refusal(users + meeting.meeting_id)[0] == 400
    changed = quote(meeting.meeting_id.swapcase(), safe="")
    assert graph.refusal(users + changed) == (400, "BadRequest", "Meeting Id is corrupted.")
