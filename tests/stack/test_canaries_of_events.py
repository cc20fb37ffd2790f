"""No secret, name or address of virtual events and call events leaks."""

import hashlib
import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from local.simulator.control.client import MeetingMade
from local.simulator.faults.responses import Fault
from local.simulator.tenant.orders import NewCallEvent, NewEvent, NewMeeting, NewSession
from tests.support.canaries import (
    CANARY,
    CLIENT_STATE,
    OF_EVENTS,
    PERSON,
    PREVIOUS,
    STRANGER,
    SUBJECT,
    Scene,
)
from tests.support.front import eventually, hurried
from tests.support.heard import Heard


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    heard, folder = Heard(), tmp_path_factory.mktemp("canaries")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "keys.pem").write_bytes(pem)
    settings = {
        "CLIENT_STATE": CLIENT_STATE,
        "CLIENT_STATE_PREVIOUS": PREVIOUS,
        "SIGNALS": "virtual-events,call-events",
        "MEETING_DETAILS": "subject,schedule,invitees",
        "ENCRYPTION_KEY_ID": str(folder / "keys.pem"),
    }
    with hurried(folder, heard, settings) as stack:
        yield Scene(stack, folder, heard, [])


def watched(scene: Scene) -> MeetingMade:
    meeting = scene.control.add_meeting(NewMeeting(subject=f"{CANARY} subject"))
    name = sha256(meeting.join_web_url.encode()).hexdigest()
    content = {"joinWebUrl": meeting.join_web_url, "organizerId": meeting.organizer_id, "until": None}
    scene.apart.upload_blob(f"watch/{name}.json", json.dumps(content), overwrite=True)
    scene.run("maintain_subscriptions")
    url = quote(meeting.join_web_url, safe="")
    eventually(lambda: [each for each in scene.control.subscriptions() if url in each["resource"]], "it")
    return meeting


def posted(scene: Scene, meeting: MeetingMade, forgery: str | None = None, **changes: Any) -> None:
    (body,) = scene.control.written(NewCallEvent(meeting.join_web_url, send=False), forgery)
    reply = requests.post(f"{scene.url}/notifications", json=body | changes, timeout=30)
    assert reply.status_code == 202


def keys_cannot_be_had(scene: Scene) -> None:
    meeting = watched(scene)
    said = json.dumps({"error": f"{CANARY}", "error_description": PERSON})
    unreadable = json.dumps({"keys": [{"kty": "RSA", "kid": CANARY, "n": f"{CANARY}!", "e": CANARY}]})
    faults = {
        "keys.unavailable": Fault("openid-configuration|keys", status=500, body=said),
        "key.unusable": Fault("keys", status=200, body=unreadable),
    }
    for event, fault in faults.items():
        with scene.restarted():  # so that no keys are known, and no failure
            scene.control.add_login_fault(fault)
            start = scene.mark()
            posted(scene, meeting)
            scene.wait_for(event, start)
            scene.control.clear_login_faults()
    posted(scene, meeting)


def an_event_is_denied_and_one_is_over(scene: Scene) -> None:
    scene.run("maintain_subscriptions")
    eventually(
        lambda: [
            each for each in scene.control.subscriptions() if "virtualEvents/events" in each["resource"]
        ],
        "the subscription to events",
    )
    scene.control.add_event(NewEvent(name=f"{CANARY} event", denied=True))
    scene.control.add_event(NewEvent(name=f"{CANARY} event", status="canceled"))


def a_report_is_announced(scene: Scene) -> None:
    event = scene.control.add_event(NewEvent(name=SUBJECT))
    wanted = f"{event.path}/getAttendanceReports"
    eventually(
        lambda: wanted in [each["resource"].strip("/") for each in scene.control.subscriptions()], wanted
    )
    someone = {"id": "1", "email": f"{CANARY}@contoso.example", "firstName": CANARY, "lastName": "Person"}
    scene.fault("/registrations", 403)
    for listed in (False, True):
        made = scene.control.add_session(NewSession(event.sessions[0].meeting_id))
        scene.outcome(made.report_id, "stored", prefix="ve-")
        scene.fault("/registrations", body={"value": [someone]})
        assert bool(list(scene.container.list_blob_names(name_starts_with="invitees/"))) is listed


def call_events_come_and_are_forged(scene: Scene) -> None:
    meeting = watched(scene)
    posted(scene, meeting)
    for forgery in ("tamperedData", "notUtf8", "wrongPublisher", "garbage"):
        posted(scene, meeting, forgery)
    posted(scene, meeting, validationTokens=[f"{STRANGER}.token.{STRANGER}"])
    scene.apart.delete_blob(f"watch/{hashlib.sha256(meeting.join_web_url.encode()).hexdigest()}.json")
    posted(scene, meeting)


def another_hand_wrote_what_is_watched(scene: Scene) -> None:
    content = {"joinWebUrl": f"https://{CANARY}@contoso.example", "organizerId": f"{CANARY}@contoso.example"}
    scene.apart.upload_blob("watch/0.json", json.dumps(content), overwrite=True)
    scene.run("maintain_subscriptions")


PATHS: dict[Callable[[Scene], None], set[str]] = {
    keys_cannot_be_had: {"keys.unavailable", "key.unusable", "events.opened"},
    an_event_is_denied_and_one_is_over: {"event.denied", "event.passed"},
    a_report_is_announced: {"report.stored", "invitees.unread"},
    call_events_come_and_are_forged: {
        *("events.opened", "notification.forged", "notification.undecipherable", "notification.unwatched"),
    },
    another_hand_wrote_what_is_watched: {"watch.unreadable"},
}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.__name__)
def test_nothing_leaks_where(scene: Scene, path: Callable[[Scene], None]) -> None:
    start = scene.mark()
    path(scene)
    for event in PATHS[path]:
        scene.wait_for(event, start)
    if scene.apart.get_blob_client("watch/0.json").exists():
        scene.apart.delete_blob("watch/0.json")  # it holds what another hand wrote
    assert not [
        leak for leak in scene.leaks() if f"{CANARY}.token" not in leak or not leak.startswith("queue")
    ]


def test_every_log_event_of_theirs_is_written_on_one_of_these_paths() -> None:
    assert set().union(*PATHS.values()) >= OF_EVENTS
