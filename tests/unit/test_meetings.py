"""From a call record to its online meeting."""

import contextlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import times
from shared.errors import AccessDenied, NotFound, Refused, Throttled, Unavailable
from shared.graph.client import Graph
from shared.graph.meetings import (
    MeetingCache,
    find_online_meeting,
    get_call_record,
    parse_call_record,
)

EVENTS = Path(__file__).parents[1] / "events"
TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
ORGANIZER = "f4ba7bd6-4df1-47b2-b8f7-5ad1ea9d2a0f"
IN_JOIN_URL = "821809f5-0000-0000-0000-3b5136c0e777"
CLASSIC = (
    "https://teams.microsoft.com/l/meetup-join/19%3ameeting_NDQ4M2RlYTMtYzAwNC00%40thread.v2/0"
    "?context=%7b%22Tid%22%3a%2272f988bf-86f1-41af-91ab-2d7cd011db47%22"
    "%2c%22Oid%22%3a%22821809f5-0000-0000-0000-3b5136c0e777%22%7d"
)
SHORT = "https://teams.microsoft.com/meet/2145678901234?p=aBcDeFgHiJkLmNoPqR"


def event(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((EVENTS / name).read_bytes())
    return content


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=5,
)


class Answers(Graph):
    """A Graph that gives prepared answers, in turn, and remembers what was asked for."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self.asked: list[str] = []
        self._answers = list(answers)

    def get(self, path: str, operation: str) -> dict[str, Any]:
        self.asked.append(path)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def refusal() -> Refused:
    return Refused("ask", "refused", status=400, code="BadRequest", hint="1026", request_id="r-1")


def test_organizer_v2_names_the_organizer_before_anything_else() -> None:
    record = parse_call_record(event("call-record-organizer-v2.json"), "o")
    assert (record.organizer_id, record.organizer_tenant, record.is_meeting) == (ORGANIZER, TENANT, True)
    assert record.start == datetime(2026, 11, 23, 9, 30, 12, 123456, UTC)
    assert record.end == datetime(2026, 11, 23, 10, 1, 45, 765432, UTC)


def test_organizer_names_it_in_the_clouds_that_still_fill_it() -> None:
    record = parse_call_record(event("call-record-organizer.json"), "o")
    assert (record.organizer_id, record.organizer_tenant) == (ORGANIZER, TENANT)


def test_organizer_v2_wins_over_organizer() -> None:
    both = event("call-record-organizer-v2.json") | {
        "organizer": {"user": {"id": IN_JOIN_URL, "tenantId": None}}
    }
    assert parse_call_record(both, "o").organizer_id == ORGANIZER


def test_a_meeting_that_a_phone_opened_is_the_organizers_of_its_join_url() -> None:
    record = parse_call_record(event("call-record-phone-organizer.json"), "o")
    assert (record.organizer_id, record.organizer_tenant) == (IN_JOIN_URL, TENANT)


def test_a_short_link_tells_no_organizer_so_the_call_record_must() -> None:
    content = event("call-record-short-link.json")
    record = parse_call_record(content, "o")
    assert (record.organizer_id, record.organizer_tenant, record.is_meeting) == (ORGANIZER, None, True)
    assert parse_call_record(content | {"organizer_v2": None}, "o").organizer_id is None


def test_the_tenant_of_the_join_url_counts_where_the_organizer_names_none() -> None:
    content = event("call-record-organizer-v2.json")
    content["organizer_v2"]["identity"]["user"]["tenantId"] = None
    assert parse_call_record(content, "o").organizer_tenant == TENANT


def test_a_call_between_two_is_no_meeting() -> None:
    record = parse_call_record(event("call-record-peer-to-peer.json"), "o")
    assert (record.is_meeting, record.join_url) == (False, None)


@pytest.mark.parametrize(
    "kind", ["groupCall", "GroupCall", "unknown", "unknownFutureValue", "new", None, 7, []]
)
def test_a_join_url_makes_a_meeting_whatever_the_type_says(kind: object) -> None:
    record = parse_call_record(event("call-record-organizer-v2.json") | {"type": kind}, "o")
    assert (record.is_meeting, record.is_between_people) == (True, False)


@pytest.mark.parametrize("kind", ["peerToPeer", "PeerToPeer", "peertopeer", "PEERTOPEER"])
@pytest.mark.parametrize("url", [CLASSIC, None])
def test_a_call_is_between_people_where_its_type_says_so_in_any_case(kind: str, url: str | None) -> None:
    content = event("call-record-organizer-v2.json") | {"type": kind, "joinWebUrl": url}
    record = parse_call_record(content, "o")
    assert (record.is_meeting, record.is_between_people) == (False, True)


@pytest.mark.parametrize("kind", ["groupCall", "unknown", None])
@pytest.mark.parametrize("url", [None, "", 7])
def test_a_call_record_without_a_join_url_is_neither(kind: object, url: object) -> None:
    content = event("call-record-organizer-v2.json") | {"type": kind, "joinWebUrl": url}
    record = parse_call_record(content, "o")
    assert (record.is_meeting, record.is_between_people) == (False, False)


@pytest.mark.parametrize("organizer", [7, "text", [], {"identity": 7}, {"identity": {"user": []}}])
def test_an_organizer_of_an_unknown_shape_is_passed_over(organizer: object) -> None:
    content = event("call-record-organizer-v2.json") | {"organizer_v2": organizer, "organizer": organizer}
    assert parse_call_record(content, "o").organizer_id == IN_JOIN_URL


@pytest.mark.parametrize("user_id", ["teamsvisitor:abc", "", None, 7, "../groups"])
def test_an_organizer_that_is_no_object_id_never_becomes_an_address(user_id: object) -> None:
    content = event("call-record-organizer-v2.json")
    content["organizer_v2"]["identity"]["user"]["id"] = user_id
    assert parse_call_record(content, "o").organizer_id == IN_JOIN_URL


# Not set, no time, or none that a call can have.
NO_TIMES: list[object] = [
    None, "", "0001-01-01T00:00:00Z", "soon", 7, [], "1999-12-31T00:00:00Z", "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-01:00",
]  # fmt: skip


@pytest.mark.parametrize("value", NO_TIMES)
def test_a_meeting_without_an_end_is_asked_for_again(value: object) -> None:
    with pytest.raises(Unavailable, match="has no end"):
        parse_call_record(event("call-record-organizer-v2.json") | {"endDateTime": value}, "o")


@pytest.mark.parametrize("value", [*NO_TIMES, "2026-11-24T00:00:00Z"])
def test_a_start_that_cannot_be_true_is_not_told(value: object) -> None:
    record = parse_call_record(event("call-record-organizer-v2.json") | {"startDateTime": value}, "o")
    assert (record.start, record.is_meeting) == (None, True)


@given(st.dictionaries(st.sampled_from(sorted(event("call-record-organizer-v2.json"))), JSON))
def test_no_call_record_is_an_error_of_ours(changes: dict[str, Any]) -> None:
    with contextlib.suppress(Unavailable):
        parse_call_record(event("call-record-organizer-v2.json") | changes, "o")


@pytest.mark.parametrize(
    "answer",
    [{}, {"error": {"code": "UnknownError", "message": ""}}, {"id": None}, {"id": 7}, {"id": "another"}],
)
def test_an_answer_that_is_not_the_call_record_asked_for_decides_nothing(answer: dict[str, Any]) -> None:
    with pytest.raises(Unavailable, match="call record"):
        get_call_record(Answers(event("call-record-peer-to-peer.json") | {"id": None} | answer), "asked-for")


def test_the_id_of_a_call_record_is_the_same_in_any_case_of_letters() -> None:
    content = event("call-record-organizer-v2.json")
    assert get_call_record(Answers(content | {"id": content["id"].upper()}), content["id"]).is_meeting


def test_a_call_record_is_asked_for_by_its_encoded_id() -> None:
    graph = Answers(event("call-record-organizer-v2.json") | {"id": "a/b?c"})
    assert get_call_record(graph, "a/b?c").organizer_id == ORGANIZER
    assert graph.asked == ["communications/callRecords/a%2Fb%3Fc"]


def test_a_meeting_is_found_by_its_join_url_encoded_once_more() -> None:
    graph = Answers({"value": [{"id": "MSpm"}]})
    assert find_online_meeting(graph, ORGANIZER, CLASSIC).id == "MSpm"
    [path] = graph.asked
    before, _, condition = path.partition("?$filter=")
    assert before == f"users/{ORGANIZER}/onlineMeetings"
    assert "19%253ameeting_NDQ4M2RlYTMtYzAwNC00%2540thread.v2" in condition
    assert unquote(condition) == f"JoinWebUrl eq '{CLASSIC}'"
    assert not set(condition) & set(" '?#&/:")


def test_a_quote_in_a_join_url_is_doubled() -> None:
    graph = Answers({"value": [{"id": "MSpm"}]})
    find_online_meeting(graph, ORGANIZER, "https://a.b/it's' or 1 eq 1")
    assert unquote(graph.asked[0]).endswith("JoinWebUrl eq 'https://a.b/it''s'' or 1 eq 1'")


def test_a_short_link_that_is_refused_is_found_by_its_digits() -> None:
    graph = Answers(refusal(), {"value": [{"id": "MSpm"}]})
    assert find_online_meeting(graph, ORGANIZER, SHORT).id == "MSpm"
    assert unquote(graph.asked[1]).endswith("$filter=joinMeetingIdSettings/joinMeetingId eq '2145678901234'")


@pytest.mark.parametrize("second", [{"value": []}, NotFound("ask", "no", status=404), refusal()])
def test_a_short_link_that_is_not_found_by_its_digits_is_not_asked_for_again(
    second: dict[str, Any] | Exception,
) -> None:
    graph = Answers(refusal(), second)
    with pytest.raises(Refused):
        find_online_meeting(graph, ORGANIZER, SHORT)
    assert len(graph.asked) == 2


def test_a_classic_join_url_that_is_refused_is_not_there_yet() -> None:
    graph = Answers(refusal())
    with pytest.raises(NotFound) as caught:
        find_online_meeting(graph, ORGANIZER, CLASSIC)
    assert (caught.value.status, caught.value.hint, caught.value.request_id) == (400, "1026", "r-1")
    assert len(graph.asked) == 1


def test_no_meeting_with_this_join_url_is_not_there_yet() -> None:
    with pytest.raises(NotFound):
        find_online_meeting(Answers({"value": []}), ORGANIZER, CLASSIC)


def test_a_short_link_that_nothing_knows_is_not_there_yet_but_one_that_is_refused_is_not_there() -> None:
    with pytest.raises(NotFound):
        find_online_meeting(Answers({"value": []}, {"value": []}), ORGANIZER, SHORT)
    with pytest.raises(Refused):
        find_online_meeting(Answers(refusal(), {"value": []}), ORGANIZER, SHORT)


def test_a_short_link_that_is_not_found_by_its_url_is_looked_up_by_its_digits() -> None:
    assert find_online_meeting(Answers({"value": []}, {"value": [{"id": "M"}]}), ORGANIZER, SHORT).id == "M"


def test_a_denial_is_passed_on_and_not_asked_around() -> None:
    graph = Answers(AccessDenied("ask", "no policy", status=403))
    with pytest.raises(AccessDenied):
        find_online_meeting(graph, ORGANIZER, SHORT)
    assert len(graph.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [{}, {"value": None}, {"value": {"id": "a"}}, {"value": [7]}, {"value": [{}]}, {"value": [{"id": ""}]}],
)
def test_an_answer_without_a_meetings_id_is_asked_for_again(answer: dict[str, Any]) -> None:
    with pytest.raises(Unavailable):
        find_online_meeting(Answers(answer), ORGANIZER, CLASSIC)


def found(meeting_id: str) -> dict[str, Any]:
    return {"value": [{"id": meeting_id}]}


def test_a_meeting_that_was_found_is_not_looked_up_again_until_it_is_forgotten() -> None:
    graph, ids = Answers(found("a"), found("b")), MeetingCache()
    assert [ids.find(graph, ORGANIZER, CLASSIC).id for _ in range(3)] == ["a"] * 3
    ids.forget(ORGANIZER, CLASSIC)
    assert ids.find(graph, ORGANIZER, CLASSIC).id == "b"
    assert len(graph.asked) == 2


def test_a_cached_meeting_is_looked_up_once_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    named = [{"value": [{"id": "a", "subject": each}]} for each in ("old", "new")]
    graph, known = Answers(named[0], Throttled("ask", "wait"), named[1]), MeetingCache()
    now = times.now()

    def subject(hours: int) -> str | None:
        monkeypatch.setattr(times, "now", lambda: now + timedelta(hours=hours))
        return known.find(graph, ORGANIZER, CLASSIC).details.subject

    assert [subject(hours) for hours in (0, 23, 24, 47, 48, 71)] == [*["old"] * 4, *["new"] * 2]
    assert len(graph.asked) == 3


def test_a_meeting_that_was_not_found_is_looked_up_again() -> None:
    graph, ids = Answers({"value": []}, found("a")), MeetingCache()
    with pytest.raises(NotFound):
        ids.find(graph, ORGANIZER, CLASSIC)
    assert ids.find(graph, ORGANIZER, CLASSIC).id == "a"


def test_of_many_meetings_the_last_are_known() -> None:
    graph, ids = Answers(*map(found, "abc"), found("a")), MeetingCache(2)
    for organizer in ("1", "2", "3", "1"):
        ids.find(graph, organizer, CLASSIC)
    assert len(graph.asked) == 4
