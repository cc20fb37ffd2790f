"""No secret, e-mail address or name in logs, messages, outcomes or state.

Every place where one can come in holds a canary; then every path is driven, and all that came out is searched. Only
reports may hold what they are about, and only a buried message may hold the text of one that is not ours.
"""

import base64
import json
import re
import secrets
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from azure.core.exceptions import AzureError
from azure.storage.blob import BlobClient, LinearRetry

from local.simulator.faults.responses import Fault
from local.simulator.tenant.orders import NewMeeting, NewSession
from local.stack.identity import CLIENT_ID, Identity, _Handler
from shared.days.manifests import Manifests
from shared.graph.credentials import managed_identity
from shared.ledger.record import AttemptSeries, Record, Result, new_commit
from shared.ledger.store import Ledger
from shared.messages import tasks
from shared.messages.tasks import Task
from shared.tables.day_tables import DayTables
from tests.support.canaries import (
    CANARY,
    CLIENT_STATE,
    OF_EVENTS,
    PERSON,
    PREVIOUS,
    STRANGER,
    TROUBLED,
    TROUBLES,
    Scene,
    encoded,
)
from tests.support.front import eventually, hurried
from tests.support.heard import Heard
from tests.support.http_server import QuietHandler, serving

DOCUMENTED = set(
    re.findall(
        r"^\| `([a-z]+\.[a-zA-Z]+)` \|",
        (Path(__file__).parents[2] / "docs/operators.md").read_text(),
        re.MULTILINE,
    )
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A system whose secrets and unchecked tokens are canaries."""
    issue, answer = Identity.token, _Handler.do_GET
    trouble: list[Any] = [*TROUBLES[0]]

    def token(identity: Identity, resource: str) -> dict[str, str]:
        issued = issue(identity, resource)
        body = issued["access_token"].rpartition(".")[0]
        return issued | {"access_token": f"{body}.{CANARY * 4}"}

    def do_get(handler: Any) -> None:
        if TROUBLED in handler.path:
            status, body = trouble
            say(handler, status, body)
        else:
            answer(handler)

    heard, folder = Heard(), tmp_path_factory.mktemp("canaries")
    settings = {
        "CLIENT_STATE": CLIENT_STATE,
        "CLIENT_STATE_PREVIOUS": PREVIOUS,
        "RETRY_WINDOW": "4",
        "CONFIRM_AFTER": "1",
        "MEETING_DETAILS": "subject,schedule,invitees",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Identity, "token", token)
        patch.setattr(_Handler, "do_GET", do_get)
        with hurried(folder, heard, settings) as stack:
            scene = Scene(stack, folder, heard, trouble)
            yield scene
    assert not [text for text in heard.texts() if scene.holds(text)]


def say(handler: Any, status: int, body: str) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body.encode())


def a_report_is_stored(scene: Scene) -> None:
    meeting = scene.control.add_meeting(NewMeeting(subject=f"{CANARY} subject"))
    made = scene.control.add_session(NewSession(meeting.meeting_id, announce=False))
    now = datetime.now(UTC)
    span = {"startDateTime": (now - timedelta(minutes=9)).isoformat(), "endDateTime": now.isoformat()}
    known = {"id": made.call_id, "type": "groupCall", "joinWebUrl": meeting.join_web_url, **span}
    person = PERSON | {"id": meeting.organizer_id}
    record = {"organizer_v2": {"identity": {"user": person}}, "participants_v2": [{"identity": person}]}
    scene.fault(f"callRecords/{made.call_id}", body=known | record)
    someone = {"upn": f"{CANARY}@contoso.example", "identity": {"user": PERSON}}
    people = {"organizer": someone, "attendees": [someone]}
    found = {"id": meeting.meeting_id, "subject": f"{CANARY} subject", "participants": people}
    scene.fault(rf"{meeting.organizer_id}/onlineMeetings\?", body={"value": [found]})
    report = {
        "id": made.report_id,
        "meetingStartDateTime": span["startDateTime"],
        "meetingEndDateTime": span["endDateTime"],
        "attendanceRecords": [
            {"id": "1", "emailAddress": f"{CANARY}@contoso.example", "identity": PERSON},
        ],
    }
    scene.fault(f"attendanceReports/{made.report_id}", body=report, times=-1)
    scene.notify(made.call_id)
    scene.outcome(made.call_id, "stored", attempt=2)  # confirmed
    assert CANARY in scene.body(made.report_id).decode()
    assert scene.was_queued(made.call_id)
    scene.notify(made.call_id, scene.session(participants=30).call_id)
    scene.wait_for("signal.dropped", signal=f"cr-{made.call_id}")


def a_report_grew_past_midnight(scene: Scene) -> None:
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    made = scene.session(start=midnight - timedelta(minutes=30), end=midnight + timedelta(seconds=1))
    yesterday = (midnight - timedelta(days=1)).date()
    scene.container.upload_blob(f"reports/date={yesterday}/{made.report_id}.json", b"{}")
    scene.notify(made.call_id)
    scene.outcome(made.call_id, "stored")


def there_is_no_report(scene: Scene) -> None:
    made = scene.session(no_report=True)
    scene.notify(made.call_id)
    scene.outcome(made.call_id, "noReport")


def graph_refuses(scene: Scene) -> None:
    """At each call of an attempt, with every kind of status."""
    expected: dict[str, str] = {}
    results = {
        403: "accessDenied",
        404: "notFound",
        400: "failed",
        500: "failed",
        503: "failed",
        429: "failed",
    }
    for status, result in results.items():
        meeting = scene.control.add_meeting(NewMeeting(organizer=str(uuid4())))
        made = scene.control.add_session(NewSession(meeting.meeting_id, announce=False))
        scene.fault(made.call_id, status, times=-1, headers={"Retry-After": "1"} if status == 429 else {})
        expected[made.call_id] = result
    for call in (r"onlineMeetings\?", "attendanceReports$", r"attendanceReports/.*\?"):
        for status in (403, 404, 400):
            meeting = scene.control.add_meeting(NewMeeting(organizer=str(uuid4())))
            made = scene.control.add_session(NewSession(meeting.meeting_id, announce=False))
            scene.fault(f"{meeting.organizer_id}/{'.*' if 'Reports' in call else ''}{call}", status, times=-1)
            in_a_meeting = "notFound" if (status, call) == (400, r"onlineMeetings\?") else "failed"
            expected[made.call_id] = in_a_meeting if status == 400 else results[status]
    scene.notify(*expected)
    for call_id, result in expected.items():
        scene.outcome(call_id, result)
    scene.health()
    # Access is granted: what was denied is taken up again.
    scene.control.clear_faults()
    scene.redrive("accessDenied")


def another_session_of_the_meeting_is_refused(scene: Scene) -> None:
    series = scene.control.add_meeting(NewMeeting("recurring"))
    earlier = datetime.now(UTC) - timedelta(hours=5)
    refused = scene.control.add_session(NewSession(series.meeting_id, end=earlier, announce=False))
    made = scene.control.add_session(NewSession(series.meeting_id, announce=False))
    scene.fault(refused.report_id, 403)
    scene.notify(made.call_id)
    scene.outcome(made.call_id, "stored")


def a_channel_holds_two_meetings(scene: Scene) -> None:
    made = []
    for ago in (timedelta(), timedelta(minutes=20)):
        meeting = scene.control.add_meeting(NewMeeting("channel", channel="Two"))
        end = datetime.now(UTC) - ago
        made.append(scene.control.add_session(NewSession(meeting.meeting_id, end=end, announce=False)))
    scene.notify(made[0].call_id)
    scene.wait_for("report.stored", report=made[1].report_id)
    scene.notify(made[1].call_id)
    scene.outcome(made[1].call_id, "stored")


def graph_answers_with_something_else(scene: Scene) -> None:
    broken: list[dict[str, Any]] = [
        {"body": f'{{"displayName": "{CANARY}'},
        {"body": f"<html>{CANARY}</html>"},
        {"body": {"startDateTime": CANARY, "endDateTime": CANARY, "organizer_v2": PERSON}},
        {"body": {"type": "groupCall", "joinWebUrl": CANARY, "startDateTime": None, "organizer": PERSON}},
        {"body": [PERSON]},
        {"status": 401, "headers": {"WWW-Authenticate": f'Bearer error="{CANARY}"'}},
        {"status": 302, "headers": {"Location": f"https://{CANARY}.example"}},
        {"status": 403, "body": CANARY},
        {"status": 403, "body": {"error": CANARY}},
    ]
    made = [scene.session() for _ in broken]
    for each, answer in zip(made, broken, strict=True):
        scene.fault(each.call_id, times=-1, **answer)
    for action in ("cut", "garble", "reset"):
        made.append(scene.session(participants=30))
        path = f"attendanceReports/{made[-1].report_id}"
        scene.control.add_fault(Fault(path, action=action, times=-1))
    away = scene.session()
    link = {
        "id": away.report_id,
        "meetingEndDateTime": datetime.now(UTC).isoformat(),
        "attendanceRecords": [],
    }
    link["attendanceRecords@odata.nextLink"] = f"https://{CANARY}.example/"
    scene.fault(f"attendanceReports/{away.report_id}", body=link, times=-1)
    made.append(away)
    scene.notify(*(each.call_id for each in made))
    for each in made[:7] + made[9:]:
        scene.outcome(each.call_id, "failed")
    for each in made[7:9]:
        scene.outcome(each.call_id, "accessDenied")


def another_worker_knew_more(scene: Scene) -> None:
    meeting, now = scene.control.add_meeting(NewMeeting(organizer=str(uuid4()))), datetime.now(UTC)
    made = scene.control.add_session(NewSession(meeting.meeting_id, announce=False))
    scene.fault(f"attendanceReports/{made.report_id}", 403, action="delay", seconds=8.0)
    scene.notify(made.call_id)
    eventually(lambda: len(scene.calls(meeting.organizer_id)) == 2, "the last call to begin")
    better = Record(f"cr-{made.call_id}", Result.STORED, now, 9, AttemptSeries(now), settled=now)
    Ledger(scene.apart).update(better.signal_id, lambda _: better, new_commit("attempt"))
    scene.wait_for("outcome.kept", signal=better.signal_id)


def storage_refuses(scene: Scene) -> None:
    with scene.restarted(ATTENDANCE_CONTAINER="missing"):
        start = scene.mark()
        scene.notify(scene.session().call_id)
        eventually(
            lambda: any("ContainerNotFound" in text for text in scene.heard.texts(start)), "a failed attempt"
        )
        scene.run("maintain_subscriptions")
        scene.wait_for("heartbeat.failed", start)
        scene.health()


def there_is_no_token_for_graph(scene: Scene) -> None:
    storage = dict.fromkeys(("AttendanceStorage__clientId", "AzureWebJobsStorage__clientId"), CLIENT_ID)
    with scene.restarted(AZURE_CLIENT_ID=TROUBLED, **storage):
        for trouble in TROUBLES:
            scene.trouble[:] = trouble
            made = scene.session()
            scene.notify(made.call_id)
            scene.outcome(made.call_id, "failed")
        scene.health()


def messages_are_buried(scene: Scene) -> None:
    known = {"version": 2, "kind": "news", "firstSeen": datetime.now(UTC).isoformat()}
    scene.put("meeting-signals-poison", json.dumps(known | {"signalId": f"cr-{uuid4()}"}))
    strange = [f"{STRANGER} text", json.dumps({"version": 7, "name": STRANGER})]
    strange.append(json.dumps({"version": 2, "kind": STRANGER, "signalId": STRANGER}))
    strange.append(json.dumps(known | {"signalId": f"cr-{STRANGER}@{STRANGER}.example"}))
    for queue in ("meeting-signals", "meeting-signals-poison", "upkeep", "upkeep-poison"):
        for text in strange:
            scene.put(queue, f"{text}{' ' * len(queue)}")  # the same text would be buried once
    scene.put("upkeep-poison", f"{STRANGER} that is not base64", plain=True)
    scene.put("upkeep-poison", json.dumps({"version": 1, "kind": "sweep", "look": "full", "step": 0}))
    asked = {"version": 1, "kind": "backfill", "from": "2026-01-01", "to": "2026-01-02"}
    scene.put("upkeep-poison", json.dumps(asked))
    scene.run("sweep")
    scene.wait_for("task.dropped")
    eventually(lambda: count(scene, "message.buried") >= 4 * len(strange), "the burials")
    scene.redrive("failed")
    scene.wait_for("message.repeated")
    scene.health()


def an_operator_asks_for_an_examination(scene: Scene) -> None:
    """Self-checks of refused and unknown organizers, with wrong answers of Graph."""
    organizers = [scene.control.add_meeting(NewMeeting(denied=True)).organizer_id, str(uuid4())]
    for id_ in ("0" * 32, "1" * 32):
        scene.fault(r"/subscriptions|onlineMeetings", 400)
        scene.ask("examine", id=id_, organizers=organizers)
        eventually(partial(scene.state, f"doctor/{id_}.json"), "the findings")


def count(scene: Scene, event: str) -> int:
    return sum(line.event == event for line in scene.heard.lines())


def the_sweep_looks(scene: Scene) -> None:
    """Scans that are refused, overtaken, resumed, unreadable, and at last good."""
    start = scene.mark()
    eventually(lambda: not_under_way(scene), "the looks before to end")
    for look in ("recent", "full"):
        if look_of(scene, look):
            scene.apart.delete_blob(f"sweep/{look}.json")
    scene.fault(r"callRecords\?", 403, times=2)
    scene.run("sweep")
    for look in ("recent", "full"):
        scene.wait_for("sweep.failed", start, look=look)
    scene.health()
    scene.run("sweep")
    scene.wait_for("sweep.running", start, look="full")
    page = {"value": [PERSON | {"id": None}, CANARY, {"id": f"{CANARY}@contoso.example"}]}
    scene.fault(r"callRecords\?", body=page)
    for look in ("recent", "full"):
        overdue = look_of(scene, look) | {"next": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}
        scene.apart.upload_blob(f"sweep/{look}.json", json.dumps(overdue), overwrite=True)
    scene.run("sweep")
    for look in ("recent", "full"):
        scene.wait_for("sweep.finished", start, look=look)
    made = scene.session()
    scene.ask("sweep", look="full", step=99)
    scene.run("sweep")
    scene.wait_for("signal.found", signal=f"cr-{made.call_id}")
    scene.outcome(made.call_id, "stored")
    scene.run("sweep")
    scene.wait_for("manifest.written", start)
    scene.health()


def look_of(scene: Scene, look: str) -> dict[str, Any]:
    if not scene.apart.get_blob_client(f"sweep/{look}.json").exists():
        return {}
    content: dict[str, Any] = json.loads(scene.apart.download_blob(f"sweep/{look}.json").readall())
    return content


def not_under_way(scene: Scene) -> bool:
    looks = [look_of(scene, look) for look in ("recent", "full")]
    return all(not look or look.get("finished") for look in looks)


def a_day_gets_its_tables(scene: Scene) -> None:
    """A sealed day's tables, with an erasure, a part of another index, a missing report and one that is no object."""
    day = date(2026, 1, 5)
    someone = {"emailAddress": f"{CANARY}@contoso.example"}
    report = {"id": "r", "meetingEndDateTime": f"{day}T10:00:00Z", "attendanceRecords": [someone]}
    name = f"reports/date={day}/r.json"
    listed = {"inviteessha256": "3" * 64, "inviteesstate": "complete"}  # whose blob is gone
    scene.container.upload_blob(name, json.dumps(report), metadata={"sha256": "0" * 64} | listed)
    scene.container.upload_blob(f"reports/date={day}/s.json", b"[]", metadata={"sha256": "1" * 64})
    scene.apart.upload_blob("sweep/final.json", json.dumps({"days": [str(day)]}), overwrite=True)
    scene.ask("refreshDay", date=day)
    eventually(lambda: scene.has_tables(day), "tables")
    assert scene.holds(str(scene.rows(day)))
    told = {"sha256": "2" * 64, "erased": "true"}
    scene.container.upload_blob(name, json.dumps(report), overwrite=True, metadata=told)
    scene.ask("refreshDay", date=day)
    eventually(lambda: scene.manifest(day)["revision"] == 2 and scene.has_tables(day), "other tables")
    for path in scene.container.list_blob_names(name_starts_with="tables/"):
        if "/date=" in path:
            scene.container.delete_blob(path)
    manifests = Manifests(scene.container)
    manifest = manifests.read(day)
    assert manifest
    (part,) = DayTables(scene.container, manifests).plan_parts(manifest)
    scene.container.delete_blob(name)
    for each in (part, replace(part, index="0" * 64)):
        scene.put("upkeep", tasks.serialize_task(Task(each)))


def an_operator_asks_again(scene: Scene) -> None:
    made = scene.session(NewMeeting(subject=f"{CANARY} subject"))
    scene.notify(made.call_id)
    scene.outcome(made.call_id, "stored")
    today = datetime.now(UTC).date()
    span = {"start": today - timedelta(days=1), "end": today}
    scene.ask("backfill", **span)
    scene.wait_for("signal.repeated", signal=f"cr-{made.call_id}", task="sweep")
    scene.ask("backfill", start="2020-01-01", end="2020-01-02")
    unreadable = f"outcomes/date={today}/cr-{uuid4()}.json"
    scene.container.upload_blob(unreadable, b"of another version", metadata={"outcome": "stored"})
    scene.ask("redrive", outcomes=["stored"], **span)
    scene.wait_for("outcomes.redriven")


RENEWAL = {"lifecycleEvent": "reauthorizationRequired"}


def anyone_posts_anything(scene: Scene) -> None:
    with scene.restarted():  # so that nothing was counted within the last minute
        post_anything(scene)


def post_anything(scene: Scene) -> None:
    item, start = scene.item(str(uuid4())), scene.mark()
    scene.fault("subscriptions$", 403, method="GET")
    unknown = [item | {"subscriptionId": "of-nobody"}, item | {"subscriptionId": "of-nobody"} | RENEWAL]
    assert scene.post(*unknown).status_code == 202
    for event in ("registry.failed", "news.refused", "subscription.unknown"):
        scene.wait_for(event, start)
    items: list[object] = [
        item | {"clientState": f"{CANARY} wrong"},
        item | {"clientState": {"name": CANARY}},
        item | {"tenantId": CANARY},
        item | {"resource": f"users/{CANARY}@contoso.example"},
        item | {"lifecycleEvent": CANARY},
        item | {"lifecycleEvent": "reauthorizationRequired", "subscriptionId": f"{CANARY} Person"},
        item | {"lifecycleEvent": "missed", "organizationId": CANARY, "resourceData": PERSON},
        item | {"clientState": PREVIOUS, "encryptedContent": CANARY, "resourceData": PERSON},
        CANARY,
    ]
    headers = {"traceparent": CANARY, "tracestate": CANARY, "User-Agent": CANARY, "Authorization": CANARY}
    bodies = [json.dumps({"value": items}), f"{CANARY} is no JSON", json.dumps([CANARY]), CANARY * 200_000]
    for route in ("notifications", "lifecycle"):
        for body, status in zip(bodies, (202, 400, 400, 413), strict=True):
            reply = requests.post(f"{scene.url}/{route}", body, headers=headers, timeout=30)
            assert reply.status_code == status
            assert not scene.holds(reply.text)
        validation = {"validationToken": f"{CANARY} token"}
        assert requests.post(f"{scene.url}/{route}", params=validation, timeout=30).text == f"{CANARY} token"
    eventually(lambda: scene.apart.get_blob_client("heartbeat/refused.json").exists(), "the refusals")
    scene.health()


def subscriptions_are_kept(scene: Scene) -> None:
    def maintained(event: str, **fields: object) -> None:
        start = scene.mark()
        scene.run("maintain_subscriptions")
        scene.wait_for(event, start, **fields)

    for each in scene.control.subscriptions():
        scene.control.remove_subscription(each["id"])
    maintained("subscription.created")
    maintained("subscription.kept")
    (subscription,) = scene.control.subscriptions()
    scene.control.send_lifecycle(subscription["id"])
    scene.wait_for("subscription.renewed", subscription=subscription["id"])
    scene.fault(f"subscriptions/{subscription['id']}", 403, method="PATCH", times=2)
    scene.control.send_lifecycle(subscription["id"])
    scene.wait_for("task.postponed")
    scene.fault("subscriptions$", body={"value": []})
    maintained("subscription.adopted")
    address = subscription["notificationUrl"].partition("?")[0]
    scene.control.change_subscription(subscription["id"], notificationUrl=f"{address}?k=00000000")
    maintained("subscription.created")
    (subscription,) = scene.control.subscriptions()
    scene.control.remove_subscription(subscription["id"])
    for status in (400, 403, 500):
        scene.fault("subscriptions$", status, method="POST")
        maintained("subscription.failed")
    scene.fault("subscriptions$", 403, method="GET")
    scene.run("maintain_subscriptions")
    for address in ("http://127.0.0.1:9", scene.stack.graph):
        with scene.restarted(NOTIFICATION_BASE_URL=f"{address}/api"):
            maintained("subscription.failed")
            scene.health()


def settings_are_wrong(scene: Scene) -> None:
    with scene.restarted(CLIENT_STATE=f"{CANARY}\x07"):
        reply = scene.post(scene.item("1"))
        assert reply.status_code == 503
        assert not scene.holds(reply.text)
        scene.run("maintain_subscriptions")
        scene.run("sweep")
        scene.health()


PATHS: dict[Callable[[Scene], None], set[str]] = {
    a_report_is_stored: {
        "notification.received",
        "pack.opened",
        "report.stored",
        "signal.settled",
        "signal.dropped",
    },
    a_report_grew_past_midnight: {"report.moved"},
    there_is_no_report: {"signal.pending", "signal.settled"},
    graph_refuses: {"signal.pending", "signal.settled", "access.denied", "access.opened"},
    another_session_of_the_meeting_is_refused: {"report.skipped"},
    a_channel_holds_two_meetings: {"report.attributed"},
    graph_answers_with_something_else: {"signal.pending", "signal.settled"},
    another_worker_knew_more: {"outcome.kept"},
    storage_refuses: {"heartbeat.failed"},
    there_is_no_token_for_graph: {"signal.settled"},
    messages_are_buried: {"message.buried", "message.repeated", "signal.buried", "task.dropped"},
    the_sweep_looks: {
        *("sweep.due", "sweep.started", "sweep.running", "sweep.resumed", "sweep.dropped", "sweep.failed"),
        *("sweep.finished", "record.unreadable", "signal.found", "day.refreshed", "manifest.written"),
    },
    an_operator_asks_for_an_examination: {"doctor.answered"},
    an_operator_asks_again: {
        *("backfill.empty", "signal.repeated", "outcomes.redriven", "outcome.unreadable"),
    },
    a_day_gets_its_tables: {
        *("tables.written", "tables.named", "tables.dropped", "tables.outdated"),
        *("tables.unreadable", "tables.deleted", "invitees.unreadable", "delta.committed"),
    },
    anyone_posts_anything: {
        *("notification.dropped", "notification.refused", "handshake.answered", "registry.failed"),
        *("news.refused", "subscription.refused", "subscription.unknown"),
    },
    subscriptions_are_kept: {
        *("subscriptions.started", "subscription.created", "subscription.kept", "subscription.renewed"),
        *("subscription.adopted", "subscription.deleted", "subscription.failed", "task.postponed"),
        "handshake.failed",
    },
    settings_are_wrong: {"settings.wrong"},
}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.__name__)
def test_nothing_leaks_where(scene: Scene, path: Callable[[Scene], None]) -> None:
    scene.control.clear_faults()
    start = scene.mark()
    path(scene)
    for event in PATHS[path]:
        scene.wait_for(event, start)
    assert not scene.leaks()


def test_every_documented_log_event_is_written_on_one_of_these_paths() -> None:
    elsewhere = {"sweep.skipped", "message.waiting"}  # need hours, a wrong key
    elsewhere |= {"report.locked", "blob.locked"}  # need a policy of the storage account
    elsewhere |= {"invitees.deleted"}  # needs a day
    elsewhere |= {"properties.unknown"}  # says names of properties alone
    elsewhere |= {
        "delta.checkpoint",
        "delta.retired",
        "delta.overtaken",
        "delta.refused",
    }  # need much time, or others
    elsewhere |= {
        "attempt.crashed",
        "scope.changed",
        "signal.revised",
    }  # say no more than the type of an error
    assert set().union(*PATHS.values()) | elsewhere | OF_EVENTS == DOCUMENTED


def test_a_text_in_a_base64_message_is_found_wherever_it_stands() -> None:
    for before in range(6):
        message = base64.b64encode(b"x" * before + CANARY.encode() + secrets.token_bytes(5))
        assert any(form in message for form in encoded(CANARY))


@pytest.mark.parametrize(("status", "body"), TROUBLES)
def test_no_answer_of_the_identity_endpoint_gets_into_the_error_of_a_storage_call(
    monkeypatch: pytest.MonkeyPatch, status: int, body: str
) -> None:
    """Such an error fails the function, and the platform logs its text."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:  # noqa: N802 - the name http.server looks for
            self.answer(status, body.encode())

    with serving(Handler) as url:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{url}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", f"{CANARY}-header")
        once = LinearRetry(backoff=0, retry_total=0)
        blob = BlobClient(
            "https://127.0.0.1:9/a", "c", "b", credential=managed_identity("x"), retry_policy=once
        )
        with pytest.raises((AzureError, ValueError)) as failed:
            blob.exists()
    assert CANARY not in "".join(traceback.format_exception(failed.value))
