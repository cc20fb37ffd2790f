"""The simulated call events: subscriptions, encrypted content and tokens."""

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from local.simulator.control.client import APP_ID, TENANT
from local.simulator.tenant.orders import NewCallEvent, NewMeeting, NewSession
from tests.support.simulator_process import Endpoint, Graph, token, until
from tests.support.simulator_process import endpoint as endpoint
from tests.support.simulator_process import graph as graph
from tests.support.simulator_process import simulator as simulator
from tests.support.simulator_reader import Reader, key_set, proven, reader, text

PUBLISHER = "0bf30f3b-4a52-48df-9a82-234910c4a086"
OTHER_APP = "00000000-1111-4222-8333-444444444444"


@pytest.fixture(scope="session")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return reader(tmp_path_factory.mktemp("reader"))


def later(minutes: float) -> str:
    return (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()


def resource(join_url: str) -> str:
    return f"communications/onlineMeetings(joinWebUrl='{quote(join_url, safe='')}')/meetingCallEvents"


def order(endpoint: Endpoint, join_url: str, mine: Reader, **fields: Any) -> dict[str, object]:
    return {
        "changeType": "updated",
        "notificationUrl": endpoint.url,
        "lifecycleNotificationUrl": endpoint.url,
        "resource": resource(join_url),
        "includeResourceData": True,
        "encryptionCertificate": mine.certificate,
        "encryptionCertificateId": "key-1",
        "expirationDateTime": later(4229),
        "clientState": "secret",
    } | fields


def subscribe(
    graph: Graph, endpoint: Endpoint, join_url: str, mine: Reader, version: str = "beta", **fields: Any
) -> requests.Response:
    url = f"{graph.control.url}/{version}/subscriptions"
    return graph.send("POST", url, json=order(endpoint, join_url, mine, **fields))


def watched(graph: Graph, endpoint: Endpoint, mine: Reader, **fields: Any) -> tuple[str, str]:
    """The id and the join link of a new meeting whose call events are subscribed to."""
    meeting = graph.control.add_meeting()
    response = subscribe(graph, endpoint, meeting.join_web_url, mine, **fields)
    assert response.status_code == 201, response.text
    return meeting.meeting_id, meeting.join_web_url


def bodies(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [json.loads(each.body) for each in endpoint.notifications()]


def items(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [item for body in bodies(endpoint) for item in body["value"]]


def test_an_ended_call_is_told_in_encrypted_form(graph: Graph, endpoint: Endpoint, mine: Reader) -> None:
    graph.control.change_settings(oddForms=False)
    meeting, join_url = watched(graph, endpoint, mine)
    end = datetime(2026, 5, 4, 10, 0, 0, 123456, tzinfo=UTC)
    graph.control.add_session(NewSession(meeting_id=meeting, end=end, call_events=("callEnded",)))
    (item,) = until(lambda: items(endpoint))
    content = item.pop("encryptedContent")
    told = json.loads(mine.opened(content))
    assert told.pop("eventDateTime").startswith("2026-05-04T10:00:00.123456")
    assert told == {
        "@odata.type": "#microsoft.graph.callevent",
        "@odata.id": resource(join_url),
        "id": item["resourceData"]["id"],
        "eventType": "callEnded",
    }
    assert item["resourceData"].items() >= {
        "@odata.type": "#microsoft.graph.callevent", "@odata.id": resource(join_url)
    }.items()  # fmt: skip
    assert (item["changeType"], item["tenantId"], item["organizationId"]) == ("updated", TENANT, TENANT)
    assert (item["resource"], item["clientState"]) == (resource(join_url), "secret")
    assert content["encryptionCertificateId"] == "key-1"
    thumbprint = hashlib.sha1(b64decode(mine.certificate)).hexdigest().upper()
    assert content["encryptionCertificateThumbprint"] == thumbprint


def test_start_roster_and_end_are_told_each_with_a_key_of_its_own(
    graph: Graph, endpoint: Endpoint, mine: Reader
) -> None:
    meeting, _ = watched(graph, endpoint, mine)
    graph.control.add_session(NewSession(meeting_id=meeting, participants=2))
    until(lambda: len(items(endpoint)) == 4)
    told = [text(item, mine) for item in items(endpoint)]
    assert sorted(each["eventType"] for each in told) == ["callEnded", "callStarted", *["rosterUpdated"] * 2]
    rosters = [each["participants@delta"] for each in told if each["eventType"] == "rosterUpdated"]
    assert [len(roster) for roster in rosters] == [2, 2]
    assert {"removedState" in person for roster in rosters for person in roster} == {True, False}
    assert rosters[0][0]["info"]["identity"]["user"].keys() == {"id", "displayName", "tenantId"}
    assert len({item["encryptedContent"]["dataKey"] for item in items(endpoint)}) == 4
    assert len({each["id"] for each in told}) == 4


@pytest.mark.parametrize(
    ("name", "names"),
    [("callEventType", ["callEventType"]), ("both", ["eventType", "callEventType"])],
)
def test_the_other_spelling_of_the_documentation_can_be_chosen(
    graph: Graph, endpoint: Endpoint, mine: Reader, name: str, names: list[str]
) -> None:
    graph.control.change_settings(callEventName=name, rosterName="participants")
    _, join_url = watched(graph, endpoint, mine)
    graph.control.tell(NewCallEvent(join_url, "rosterUpdated", participants=5))
    told = text(until(lambda: items(endpoint))[0], mine)
    assert [each for each in ("eventType", "callEventType") if each in told] == names
    assert len(told["participants"]) == 5
    assert "participants@delta" not in told


def test_events_come_when_their_time_comes(graph: Graph, endpoint: Endpoint, mine: Reader) -> None:
    meeting, _ = watched(graph, endpoint, mine)
    now = datetime.now(UTC)
    session = NewSession(
        meeting_id=meeting,
        start=now - timedelta(minutes=5),
        end=now + timedelta(seconds=0.3),
        call_events=("callStarted", "callEnded"),
        call_event_delay=0.4,
    )
    graph.control.add_session(session)
    until(lambda: len(items(endpoint)) == 2)
    started, ended = endpoint.notifications()
    assert text(json.loads(ended.body)["value"][0], mine)["eventType"] == "callEnded"
    assert ended.at - started.at > 0.3
    assert ended.at >= now.timestamp() + 0.7


def test_a_basic_notification_does_not_say_what_happened(
    graph: Graph, endpoint: Endpoint, mine: Reader
) -> None:
    fields = {"includeResourceData": False, "encryptionCertificate": None, "encryptionCertificateId": None}
    _, join_url = watched(graph, endpoint, mine, **fields)
    graph.control.tell(NewCallEvent(join_url))
    (body,) = until(lambda: bodies(endpoint))
    assert body.keys() == {"value"}
    assert "encryptedContent" not in body["value"][0]
    assert "callEnded" not in json.dumps(body)


@pytest.mark.parametrize(
    ("version", "issuer", "claim"),
    [
        ("1.0", f"https://sts.windows.net/{TENANT}/", "appid"),
        ("2.0", f"https://login.microsoftonline.com/{TENANT}/v2.0", "azp"),
    ],
)
def test_a_token_proves_the_publisher(
    graph: Graph, endpoint: Endpoint, mine: Reader, version: str, issuer: str, claim: str
) -> None:
    graph.control.change_settings(validationTokens=version)
    _, join_url = watched(graph, endpoint, mine)
    graph.control.tell(NewCallEvent(join_url))
    (token_sent,) = until(lambda: bodies(endpoint))[0]["validationTokens"]
    claims = proven(token_sent, key_set(graph.control.login), APP_ID)
    assert (claims["ver"], claims["iss"], claims["tid"], claims[claim]) == (
        version,
        issuer,
        TENANT,
        PUBLISHER,
    )
    assert {"appid", "azp"} & claims.keys() == {claim}


def test_a_post_carries_one_token_for_each_application_or_both_versions(
    graph: Graph, endpoint: Endpoint, mine: Reader
) -> None:
    graph.control.change_settings(batchSeconds=0.3, validationTokens="both")
    meeting = graph.control.add_meeting()
    other = replace(graph, token=token(appid=OTHER_APP))
    for each in (graph, other):
        assert subscribe(each, endpoint, meeting.join_web_url, mine).status_code == 201
    graph.control.tell(NewCallEvent(meeting.join_web_url, times=2))
    until(lambda: len(items(endpoint)) == 4)
    keys = key_set(graph.control.login)
    for body in bodies(endpoint):
        applications = {APP_ID, OTHER_APP} if len(body["value"]) == 4 else None
        assert applications, "the items travel together"
        seen = [
            (audience, proven(each, keys, audience)["ver"])
            for each in body["validationTokens"]
            for audience in applications
            if audience in str(b64decode(each.split(".")[1] + "=="))
        ]
        assert sorted(seen) == sorted((app, version) for app in applications for version in ("1.0", "2.0"))


@contextmanager
def refused(graph: Graph, endpoint: Endpoint) -> Iterator[None]:
    yield
    assert endpoint.received == []
    assert graph.control.subscriptions() == []


def test_only_the_beta_version_takes_it_and_both_show_it(
    graph: Graph, endpoint: Endpoint, mine: Reader
) -> None:
    meeting = graph.control.add_meeting()
    with refused(graph, endpoint):
        assert subscribe(graph, endpoint, meeting.join_web_url, mine, version="v1.0").status_code == 400
    made = subscribe(graph, endpoint, meeting.join_web_url, mine).json()
    for version in ("v1.0", "beta"):
        (listed,) = graph.json(f"{graph.control.url}/{version}/subscriptions")["value"]
        assert (listed["id"], listed["includeResourceData"]) == (made["id"], True)
        assert listed["encryptionCertificateId"] == "key-1"
        assert listed["encryptionCertificate"] is None
        assert "clientState" not in listed


@pytest.mark.parametrize(
    "fields",
    [
        {"encryptionCertificate": None},
        {"encryptionCertificate": "not base64!"},
        {"encryptionCertificate": b64encode(b"no certificate").decode()},
        {"encryptionCertificateId": None},
        {"encryptionCertificateId": "x" * 129},
        {"changeType": "created"},
        {"lifecycleNotificationUrl": None},
    ],
)
def test_a_subscription_that_cannot_be_is_a_bad_request(
    graph: Graph, endpoint: Endpoint, mine: Reader, fields: dict[str, Any]
) -> None:
    meeting = graph.control.add_meeting()
    with refused(graph, endpoint):
        assert subscribe(graph, endpoint, meeting.join_web_url, mine, **fields).status_code == 400


def test_a_subscription_that_ends_too_late_is_a_bad_request(
    graph: Graph, endpoint: Endpoint, mine: Reader
) -> None:
    url = graph.control.add_meeting().join_web_url
    with refused(graph, endpoint):
        assert subscribe(graph, endpoint, url, mine, expirationDateTime=later(4240)).status_code == 400


@pytest.mark.parametrize(("kind", "status"), [("rsa:1024", 400), ("rsa:4096", 201), ("ec", 400)])
def test_the_key_must_be_rsa_of_2048_to_4096_bits(
    graph: Graph, endpoint: Endpoint, tmp_path: Path, kind: str, status: int
) -> None:
    meeting = graph.control.add_meeting()
    key = reader(tmp_path, kind)
    assert subscribe(graph, endpoint, meeting.join_web_url, key).status_code == status


def test_an_hour_needs_no_lifecycle_url(graph: Graph, endpoint: Endpoint, mine: Reader) -> None:
    watched(graph, endpoint, mine, lifecycleNotificationUrl=None, expirationDateTime=later(59))


def test_the_join_link_must_be_escaped_once_as_a_whole(
    graph: Graph, endpoint: Endpoint, mine: Reader
) -> None:
    join_url = graph.control.add_meeting().join_web_url
    for wrong in (
        join_url,
        quote(join_url),
        quote(join_url, safe="%"),
        quote(quote(join_url, safe=""), safe=""),
    ):
        where = f"communications/onlineMeetings(joinWebUrl='{wrong}')/meetingCallEvents"
        with refused(graph, endpoint):
            assert subscribe(graph, endpoint, join_url, mine, resource=where).status_code == 400
    lower = resource(join_url).replace("%3A", "%3a")
    assert subscribe(graph, endpoint, join_url, mine, resource=f"/{lower}").status_code == 201


def test_one_subscription_for_each_application_and_meeting(
    graph: Graph, endpoint: Endpoint, mine: Reader
) -> None:
    _, join_url = watched(graph, endpoint, mine)
    assert subscribe(graph, endpoint, join_url, mine).status_code == 409
    other = replace(graph, token=token(appid=OTHER_APP))
    assert subscribe(other, endpoint, join_url, mine).status_code == 201
    watched(graph, endpoint, mine)
    graph.control.change_settings(callEventQuota=3)
    meeting = graph.control.add_meeting()
    full = subscribe(graph, endpoint, meeting.join_web_url, mine)
    assert (full.status_code, "3 subscriptions" in full.text) == (403, True)


def test_the_meeting_must_exist_and_a_policy_cover_its_organizer(
    graph: Graph, endpoint: Endpoint, mine: Reader
) -> None:
    denied = graph.control.add_meeting(NewMeeting(denied=True))
    with refused(graph, endpoint):
        assert subscribe(graph, endpoint, denied.join_web_url, mine).status_code == 403
        unknown = "https://teams.microsoft.com/meet/123?p=abc"
        assert subscribe(graph, endpoint, unknown, mine).status_code == 404


def test_a_renewal_may_bring_another_certificate(
    graph: Graph, endpoint: Endpoint, mine: Reader, tmp_path: Path
) -> None:
    _, join_url = watched(graph, endpoint, mine)
    path = f"/subscriptions/{graph.control.subscriptions()[0]['id']}"
    other = reader(tmp_path)
    wrong = {"encryptionCertificate": "AAAA", "encryptionCertificateId": "key-2"}
    assert graph.send("PATCH", path, json=wrong).status_code == 400
    change = {"encryptionCertificate": other.certificate, "encryptionCertificateId": "key-2"}
    assert graph.send("PATCH", path, json=change | {"expirationDateTime": later(4000)}).ok
    graph.control.tell(NewCallEvent(join_url))
    (item,) = until(lambda: items(endpoint))
    assert item["encryptedContent"]["encryptionCertificateId"] == "key-2"
    assert text(item, other)["eventType"] == "callEnded"


def test_a_body_can_be_had_without_being_sent(graph: Graph, endpoint: Endpoint, mine: Reader) -> None:
    _, join_url = watched(graph, endpoint, mine)
    (body,) = graph.control.written(NewCallEvent(join_url, at=datetime(2026, 1, 2, tzinfo=UTC)))
    assert text(body["value"][0], mine)["eventDateTime"].startswith("2026-01-02T00:00:00")
    assert proven(body["validationTokens"][0], key_set(graph.control.login), APP_ID)
    assert endpoint.notifications() == []


def test_a_misspelt_event_is_refused(graph: Graph) -> None:
    body = {"joinWebUrl": "https://teams.microsoft.com/meet/1", "eventType": "callEnding"}
    answer = requests.post(f"{graph.control.url}/_control/call-events", json=body, timeout=10)
    assert (answer.status_code, "known: callStarted" in answer.text) == (400, True)
    with pytest.raises(ValueError, match="known: callStarted"):
        NewSession(call_events=("ended",))
