"""Where the reports of a signal lie: the organizer that counts, and links of which there are none."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest

import shared.settings
from shared.archiving.sources import EventSource, MeetingSource, is_channel
from shared.errors import AccessDenied, GraphError, NotFound, Refused, Throttled, Unavailable, Unsupported
from shared.graph.client import Graph
from shared.graph.meetings import MeetingCache
from shared.ledger.record import AttemptSeries, Record, Result
from shared.messages.signals import EventKind, EventSession, Meeting
from shared.settings import Settings
from shared.storage.watchlist import Watchlist
from tests.support.app_settings import ENVIRON, TENANT

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
SETTINGS = shared.settings.load(ENVIRON)
OF_RECORD = "aaaaaaaa-0000-4000-8000-000000000001"
OF_LINK = "bbbbbbbb-0000-4000-8000-000000000002"
SHORT = "https://teams.microsoft.com/meet/2145678901234?p=x"
SESSION = EventSession(EventKind.WEBINAR, "event", "session")
type Answer = dict[str, Any] | GraphError
FOUND: Answer = {"value": [{"id": "m"}]}
EVENT: Answer = {"id": "event", "createdBy": {"user": {"id": "of-event"}}}


def link(organizer: str = OF_LINK, tenant: str = TENANT) -> str:
    context = f"%7b%22Tid%22%3a%22{tenant}%22%2c%22Oid%22%3a%22{organizer}%22%7d"
    return f"https://teams.microsoft.com/l/meetup-join/19%3ameeting_A%40thread.v2/0?context={context}"


class Answers(Graph):
    """A Graph that answers the first name that the path holds, and remembers what was asked for."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        self.asked: list[str] = []
        self._answers = answers

    def get(self, path: str, operation: str) -> dict[str, Any]:
        self.asked.append(path)
        for name, answer in self._answers.items():
            if name in path.partition("?")[0]:
                if isinstance(answer, GraphError):
                    raise answer
                return answer
        raise NotFound(operation, "not there", status=404)


def users(record: Answer, of_link: Answer = FOUND) -> Answers:
    """A Graph with what it answers of the call record's organizer, and of the link's."""
    return Answers({OF_RECORD: record, OF_LINK: of_link})


def denied() -> AccessDenied:
    return AccessDenied("find", "no policy", status=403)


def unknown(hint: str = "") -> NotFound:
    return NotFound("find", "not there", status=404, hint=hint)


def located(
    graph: Graph, url: str, organizer: str | None = OF_RECORD, settings: Settings = SETTINGS
) -> Meeting:
    record = Record("cr-a", Result.PENDING, NOW, 0, AttemptSeries(NOW))
    source = MeetingSource(record, graph, settings, MeetingCache(), cast(Watchlist, None))
    meeting, where = source.locate_reports(Meeting(NOW, NOW, url, organizer))
    assert (where.organizer_id, where.meeting_id) == (meeting.organizer_id, meeting.meeting_id)
    return meeting


@pytest.mark.parametrize("refusal", [denied(), unknown(), unknown("3004")])
def test_where_the_records_organizer_is_refused_or_unknown_that_of_the_link_is_tried(refusal: Answer) -> None:
    graph = users(refusal)
    assert located(graph, link()).organizer_id == OF_LINK
    assert [OF_RECORD in graph.asked[0], OF_LINK in graph.asked[1]] == [True, True]
    assert len(graph.asked) == 2


def test_the_organizer_of_the_link_is_tried_once() -> None:
    graph = users(denied(), unknown())
    with pytest.raises(AccessDenied):
        located(graph, link())
    assert len(graph.asked) == 2


@pytest.mark.parametrize(
    ("first", "second", "raised", "refused"),
    [
        (denied(), denied(), AccessDenied, None),
        (unknown(), unknown(), NotFound, None),
        (unknown(), denied(), AccessDenied, OF_LINK),
        (denied(), Throttled("find", "wait"), Throttled, None),
        (unknown(), Unavailable("find", "no answer"), Unavailable, None),
    ],
)
def test_where_both_fail_the_one_is_told_who_can_be_given_access(
    first: GraphError, second: GraphError, raised: type[GraphError], refused: str | None
) -> None:
    with pytest.raises(raised) as caught:
        located(users(first, second), link())
    assert getattr(caught.value, "organizer_id", None) == refused


@pytest.mark.parametrize(
    "url", [link(OF_RECORD.upper()), link(tenant="99999999-2222-4333-8444-555555555555"), SHORT]
)
def test_a_link_that_names_the_same_another_tenants_or_no_organizer_leads_nowhere(url: str) -> None:
    graph = users(denied())
    with pytest.raises(AccessDenied):
        located(graph, url)
    assert len(graph.asked) == 1


def test_an_organizer_out_of_scope_is_not_tried() -> None:
    graph = users(denied())
    with pytest.raises(AccessDenied):
        located(graph, link(), settings=shared.settings.load(ENVIRON | {"ORGANIZERS": OF_RECORD}))
    assert len(graph.asked) == 1


def test_a_refusal_of_the_request_itself_is_told_as_it_is() -> None:
    with pytest.raises(Refused):
        located(users(Refused("find", "1026", status=400)), SHORT)


@pytest.mark.parametrize("organizer", [OF_RECORD, None])
def test_a_link_at_teams_live_com_is_not_supported_and_costs_no_call(organizer: str | None) -> None:
    graph = users(FOUND)
    with pytest.raises(Unsupported, match=r"teams\.live\.com"):
        located(graph, "https://teams.live.com/meet/9312345678901?p=x", organizer)
    assert not graph.asked


def test_the_reason_why_nothing_is_found_is_told() -> None:
    with pytest.raises(NotFound, match="no such organizer; the account may be deleted"):
        located(users(unknown()), link(OF_RECORD))
    with pytest.raises(NotFound, match="finds no such meeting"):
        located(users(unknown("3004")), link(OF_RECORD))
    with pytest.raises(NotFound, match="names an organizer of this tenant"):
        located(users(FOUND), SHORT, None)


@pytest.mark.parametrize(
    ("thread", "is_one"),
    [
        ("19%3ax%40thread.tacv2", True),
        (f"19%3a{'0f' * 16}%40thread.skype", True),
        ("19%3ameeting_x%40thread.skype", False),
    ],
)
def test_a_channel_is_told_by_its_thread(thread: str, is_one: bool) -> None:
    url = f"https://teams.microsoft.com/l/meetup-join/{thread}/1600000000000?context=%7b%7d"
    assert is_channel(Meeting(join_url=url)) is is_one


def resolved(graph: Graph) -> Meeting:
    record = Record("ve-r", Result.PENDING, NOW, 0, AttemptSeries(NOW))
    meeting, decision = EventSource(record, graph, SETTINGS).resolve_meeting(Meeting(event=SESSION))
    assert decision is None
    return meeting


def session(**changes: object) -> dict[str, Any]:
    people = {"organizer": {"identity": {"user": {"id": "of-session"}}}}
    return {"id": "session", "joinWebUrl": link(), "participants": people} | changes


def test_a_session_tells_its_link_and_organizer_in_one_call() -> None:
    graph = Answers({"sessions": session()})
    meeting = resolved(graph)
    assert (meeting.organizer_id, meeting.join_url) == ("of-session", link())
    assert graph.asked == ["solutions/virtualEvents/webinars/event/sessions/session"]


@pytest.mark.parametrize(
    "people", [None, {}, {"organizer": None}, {"organizer": {"identity": {"user": None}}}, 7]
)
def test_a_session_without_people_tells_the_organizer_of_its_link(people: object) -> None:
    assert resolved(Answers({"sessions": session(participants=people)})).organizer_id == OF_LINK


@pytest.mark.parametrize(
    "answer",
    [
        NotFound("get session", "no", status=404),
        Refused("get session", "no", status=400),
        session(participants=None, joinWebUrl=SHORT),
        session(participants=None, joinWebUrl=None),
        session(participants=None, joinWebUrl=7),
        session(participants=None, joinWebUrl="x" * 3_000),
    ],
)
def test_where_the_session_does_not_tell_the_organizer_the_event_does(answer: Answer) -> None:
    graph = Answers({"sessions": answer, "webinars": EVENT})
    assert resolved(graph).organizer_id == "of-event"
    assert graph.asked[-1] == "solutions/virtualEvents/webinars/event"


def test_an_event_whose_organizer_gave_no_access_is_denied() -> None:
    with pytest.raises(AccessDenied):
        resolved(Answers({"sessions": denied(), "webinars": EVENT}))
