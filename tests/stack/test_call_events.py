"""Call events of watched meetings are archived; forged ones change nothing."""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from local.simulator.control.client import MeetingMade, SessionMade
from local.simulator.tenant.orders import NewCallEvent, NewMeeting, NewSession
from local.stack import ports
from local.stack.compose import Stack
from local.stack.functions import FunctionsHost
from local.stack.program import ROOT, Log
from shared.messages.signals import call_event_signal_id
from tests.support.front import Accounts, Front, eventually, hurried

TOKENS = [
    *(
        "forged",
        "unknownKid",
        "noKid",
        "otherIssuersKey",
        "algNone",
        "hs256",
        "expired",
        "notYetValid",
        "noExpiry",
    ),
    *(
        "wrongAudience",
        "wrongIssuer",
        "otherTenant",
        "mismatchedTenant",
        "wrongPublisher",
        "misplacedPublisher",
    ),
    *("unknownVersion", "garbage", "missing"),
]
CONTENTS = [
    *(
        "tamperedData",
        "tamperedSignature",
        "tamperedKey",
        "unknownCertificate",
        "pkcs1",
        "oaepSha256",
        "shortKey",
    ),
    *("swapped", "notUtf8", "notJson", "notAnObject", "noContent"),
]


def pem(bits: int = 2048) -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("keys") / "keys.pem"
    file.write_bytes(pem())
    return file


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, log: Log, key_file: Path, accounts: Accounts
) -> Iterator[Stack]:
    settings = {"SIGNALS": "call-records,call-events", "ENCRYPTION_KEY_ID": str(key_file)}
    with hurried(tmp_path_factory.mktemp("own"), log, settings, next(accounts)) as stack:
        yield stack


class Scene(Front):
    """The front, with a meeting that is watched."""

    def watch(self, order: NewMeeting | None = None) -> MeetingMade:
        (made,) = self.watch_all(order)
        return made

    def watch_all(self, *orders: NewMeeting | None) -> list[MeetingMade]:
        """Have meetings watched, with one run of maintenance."""
        meetings = [self.control.add_meeting(order) for order in orders]
        for each in meetings:
            name = hashlib.sha256(each.join_web_url.encode()).hexdigest()
            content = {"joinWebUrl": each.join_web_url, "organizerId": each.organizer_id, "until": None}
            self.apart.upload_blob(f"watch/{name}.json", json.dumps(content), overwrite=True)
        self.run("maintain_subscriptions")
        for each in meetings:
            eventually(partial(self.subscription, each), "a subscription to its call events")
        return meetings

    def subscription(self, meeting: MeetingMade) -> dict[str, Any]:
        encoded = quote(meeting.join_web_url, safe="")
        found = [each for each in self.control.subscriptions() if encoded in each["resource"]]
        assert len(found) <= 1
        return found[0] if found else {}

    def held(self, meeting: MeetingMade, **fields: Any) -> SessionMade:
        return self.control.add_session(
            NewSession(meeting_id=meeting.meeting_id, **({"announce": False} | fields))
        )

    def is_settled(self, join_url: str) -> bool:
        """Whether the meeting's call events all have stored outcomes."""
        told = [self.content(name) for name in self.events()]
        return {each["outcome"] for each in told if each.get("joinWebUrl") == join_url} == {"stored"}

    def events(self) -> list[str]:
        names = self.container.list_blob_names(name_starts_with="outcomes/")
        return [name for name in names if "/ce-" in name]


@pytest.fixture
def scene(stack: Stack) -> Scene:
    return Scene(stack)


@pytest.fixture(scope="module")
def watched(stack: Stack) -> MeetingMade:
    """A watched meeting whose past nothing depends on."""
    return Scene(stack).watch()


def stored(scene: Scene, made: SessionMade) -> None:
    eventually(lambda: scene.reports(made.report_id), "the report")


def test_a_watched_meeting_is_archived_when_its_call_ends(scene: Scene) -> None:
    meeting = scene.watch()
    there = scene.subscription(meeting)
    assert there["encryptionCertificateId"]
    before = scene.events()
    made = scene.held(meeting, participants=4)
    stored(scene, made)
    (name,) = eventually(lambda: set(scene.events()) - set(before), "an outcome")
    eventually(lambda: scene.content(name).get("outcome") == "stored", "stored")
    outcome = scene.content(name)
    assert outcome["organizerId"] == meeting.organizer_id
    assert outcome["joinWebUrl"] == meeting.join_web_url
    assert [each["id"] for each in outcome["reports"]] == [made.report_id]


@pytest.mark.parametrize("form", ["eventType", "callEventType", "both"])
@pytest.mark.parametrize("tokens", ["1.0", "2.0", "both"])
def test_both_forms_of_events_and_tokens_are_read(
    scene: Scene, watched: MeetingMade, form: str, tokens: str
) -> None:
    scene.control.change_settings(callEventName=form, validationTokens=tokens)
    stored(scene, scene.held(watched))


def test_a_short_link_needs_the_organizer_that_the_operator_told(scene: Scene) -> None:
    meeting = scene.watch(NewMeeting(kind="short"))
    stored(scene, scene.held(meeting))


def test_told_by_call_event_call_record_and_sweep_on_two_instances_it_is_one_report(
    scene: Scene, log: Log
) -> None:
    """Three of each at once give one report, and every outcome is stored."""
    second = FunctionsHost(ROOT, ports.pick(0), log)
    second.start(scene.stack.settings)
    try:
        apps = (scene.stack.functions.url, second.url)
        made = {
            meeting.join_web_url: scene.held(meeting, announce=3)
            for meeting in (scene.watch(), scene.watch())
        }
        posts = [
            (f"{app}/api/notifications", body)
            for url, session in made.items()
            for body in (
                {"value": [scene.item(session.call_id)]},
                *scene.control.written(NewCallEvent(url, send=False)),
            )
            for app in apps
        ]
        with ThreadPoolExecutor(8) as threads:
            for app in apps:
                requests.post(f"{app}/admin/functions/sweep", json={"input": ""}, timeout=10)
            replies = threads.map(lambda post: requests.post(post[0], json=post[1], timeout=30), posts)
            assert {reply.status_code for reply in replies} == {202}
        for url, session in made.items():
            scene.outcome(session.call_id, "stored")
            assert len(scene.reports(session.report_id)) == 1
            eventually(partial(scene.is_settled, url), "every call event's outcome")
    finally:
        second.stop()


@dataclass(frozen=True)
class Forged:
    """A watched meeting, its session that nobody may find, and the reply to the forged event."""

    join_url: str
    report_id: str
    reply: requests.Response


@pytest.fixture(scope="module")
def forged(stack: Stack) -> dict[str, Forged]:
    """Every forgery, each posted for a meeting of its own, and then an event that is handled."""
    scene = Scene(stack)
    forgeries = (*TOKENS, *CONTENTS)
    *meetings, last = scene.watch_all(*[None] * (len(forgeries) + 1))
    found = {}
    for forgery, meeting in zip(forgeries, meetings, strict=True):
        made = scene.held(meeting, call_events=(), record_delay=3600.0)  # the sweep must not find it
        (body,) = scene.control.written(NewCallEvent(meeting.join_web_url, send=False), forgery)
        reply = requests.post(f"{scene.url}/notifications", json=body, timeout=30)
        scene.control.clear_forgeries()
        found[forgery] = Forged(meeting.join_web_url, made.report_id, reply)
    stored(scene, scene.held(last))
    return found


@pytest.mark.parametrize("forgery", [*TOKENS, *CONTENTS])
def test_nothing_comes_of_what_was_forged(scene: Scene, forged: dict[str, Forged], forgery: str) -> None:
    """The reply reveals nothing, and no report is read or stored."""
    each = forged[forgery]
    assert (each.reply.status_code, each.reply.text) == (202, "")
    if forgery == "noContent":
        return  # a meeting that is to be looked at
    told = [scene.content(name) for name in scene.events()]
    assert [outcome for outcome in told if outcome["joinWebUrl"] == each.join_url] == []
    assert scene.reports(each.report_id) == []


def test_an_old_key_is_used_until_its_subscriptions_have_the_new_one(scene: Scene, key_file: Path) -> None:
    meeting = scene.watch()
    old = scene.subscription(meeting)["encryptionCertificateId"]
    key_file.write_bytes(pem() + key_file.read_bytes())
    stored(scene, scene.held(meeting))
    soon = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    scene.control.change_subscription(scene.subscription(meeting)["id"], expiration=soon)
    scene.run("maintain_subscriptions")
    eventually(lambda: scene.subscription(meeting)["encryptionCertificateId"] != old, "the new certificate")
    stored(scene, scene.held(meeting))


def test_a_meeting_that_is_watched_no_more_loses_its_subscription(scene: Scene) -> None:
    meeting = scene.watch()
    scene.apart.delete_blob(f"watch/{hashlib.sha256(meeting.join_web_url.encode()).hexdigest()}.json")
    scene.run("maintain_subscriptions")
    eventually(lambda: not scene.subscription(meeting), "its subscription to go")


def test_what_is_encrypted_for_nobody_is_in_no_log_and_no_blob(scene: Scene) -> None:
    """Refused and unreadable messages leave neither ciphertext nor tokens."""
    meeting = scene.watch()
    (body,) = scene.control.written(NewCallEvent(meeting.join_web_url, send=False))
    sealed = body["value"][0]["encryptedContent"]
    message = {
        "version": 2,
        "kind": "encryptedCallEvents",
        "firstSeen": "2026-11-27T10:00:00Z",
        "validationTokens": body["validationTokens"],
        "items": [{"joinWebUrl": meeting.join_web_url, "encryptedContent": sealed}],
    }
    scene.put("meeting-signals-poison", json.dumps(message))
    seen = datetime(2026, 11, 27, 10, tzinfo=UTC)
    signal_id = call_event_signal_id(meeting.join_web_url, seen)
    outcome = eventually(lambda: scene.content(f"outcomes/date=2026-11-27/{signal_id}.json"), "its outcome")
    record = scene.state(f"signals/{signal_id}.json")
    assert (outcome["outcome"], record["outcome"]) == ("failed", "failed")
    for secret in (sealed["data"][:40], body["validationTokens"][0][:40]):
        assert secret not in json.dumps([outcome, record])
