"""Operators' commands: state of the app, and jobs for it."""

import json
import signal
import subprocess
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import MagicMock

import pytest
from azure.core.exceptions import HttpResponseError

import local.stack.identity
from local.simulator.faults.responses import Fault
from local.simulator.tenant.orders import NewMeeting
from local.stack import app_settings
from shared import __version__
from shared.cli import main
from shared.cli.commands import doctor
from tests.support.command_line import command, environment, run, told
from tests.support.front import Front, eventually, own_stack

stack = own_stack()
TODAY = datetime.now(UTC).date()
DENIED = "d0d0d0d0-0000-4000-8000-000000000001"


def found(findings: list[dict[str, Any]], state: str) -> list[str]:
    return [f"{each['check']}: {each['says']} {each['cure']}" for each in findings if each["state"] == state]


def test_doctor_finds_a_sound_system_sound(front: Front) -> None:
    front.subscribe()
    done = run(front, "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "problem" not in done.stdout
    for what in (
        "settings",
        "container attendance",
        "queue upkeep",
        "endpoint",
        "handled a task of the queue",
        "app: storage",
        "app: graph permissions",
        "app: subscriptions",
    ):
        assert what in done.stdout
    assert not list(front.apart.list_blob_names(name_starts_with="doctor/"))


def test_doctor_names_an_organizer_without_access_and_the_cure(front: Front) -> None:
    front.subscribe()
    allowed = front.control.add_meeting().organizer_id
    front.control.add_meeting(NewMeeting(organizer=DENIED, denied=True))
    findings = told(front, "doctor", "--organizer", DENIED, "--organizer", allowed, code=3)
    (problem,) = found(findings, "problem")
    assert problem.startswith(f"app: access to {DENIED}: ")
    assert "Grant-CsApplicationAccessPolicy" in problem
    assert f"app: access to {allowed}" in " ".join(found(findings, "ok"))
    assert run(front, "doctor", "--organizer", "frida").returncode == 1


def test_doctor_names_what_is_wrong_with_a_setting(front: Front) -> None:
    findings = told(front, "doctor", code=3, GRAPH_RATE="fast")
    assert found(findings, "problem")[0].startswith(
        "settings: App setting GRAPH_RATE is not a number above 0."
    )
    assert [each["state"] for each in findings] == ["problem", "unknown"]
    unseen = told(front, "doctor", CLIENT_STATE="@Microsoft.KeyVault(SecretUri=https://v/secrets/s)")
    assert "settings" in {each["check"] for each in unseen if each["state"] == "ok"}


def test_doctor_names_the_permission_that_the_apps_token_has_not(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    front.subscribe()
    monkeypatch.setattr(
        local.stack.identity, "GRAPH_ROLES", ("CallRecords.Read.All", "OnlineMeetings.Read.All")
    )
    (problem,) = found(told(front, "doctor", code=3), "problem")
    name = "OnlineMeetingArtifact.Read.All"
    assert problem.startswith(
        f"app: graph permissions: {name} is missing from the app's token. Grant the application permission {name} "
    )


def test_doctor_says_that_an_app_that_does_not_run_does_not_answer(front: Front) -> None:
    front.subscribe()
    eventually(lambda: front.state("heartbeat/maintenance.json"), "the end of a run")
    front.stack.functions.stop()
    try:
        findings = told(front, "doctor", "--wait", "1", code=3)
    finally:
        front.stack.restart_functions()
    problems = " ".join(found(findings, "problem"))
    (endpoint,) = (each for each in findings if each["check"] == "endpoint")
    assert endpoint["state"] == "warning"  # for Graph has accepted the address
    assert endpoint["says"].startswith(f"The webhooks are closed to this machine: {front.url}/notifications ")
    assert "queue: The app has not answered within 1 s." in problems


def test_status_tells_what_health_knows(front: Front) -> None:
    front.subscribe()
    eventually(lambda: front.state("heartbeat/maintenance.json").get("subscriptions"), "what was put down")
    status = told(front, "status")
    assert status["healthy"] is True
    (subscription,) = status["subscriptions"]
    assert (subscription["resource"], subscription["state"]) == ("communications/callRecords", "active")
    assert len(status["days"]) == 14
    page = run(front, "status")
    assert page.stdout.startswith("healthy\n")
    assert str(TODAY) in page.stdout


def test_status_ends_with_3_when_something_is_not_well(front: Front) -> None:
    front.put("upkeep-poison", "{}")
    try:
        status = told(front, "status", code=3)
        assert "upkeep-poison holds 1 message" in " ".join(status["problems"])
        assert run(front, "status").stdout.startswith("needs attention\nProblem: ")
    finally:
        front.stack.queue_service().get_queue_client("upkeep-poison").clear_messages()


def test_subscriptions_are_listed_renewed_and_deleted_by_the_app(front: Front) -> None:
    front.subscribe()
    soon = (datetime.now(UTC) + timedelta(hours=40)).isoformat()
    (made,) = front.control.subscriptions()
    front.control.change_subscription(made["id"], expiration=soon)
    (renewed,) = told(front, "subscriptions", "renew")
    assert (renewed["id"], renewed["state"]) == (made["id"], "active")
    assert renewed["expires"] > soon
    assert told(front, "subscriptions", "list") == [renewed]
    (anew,) = told(front, "subscriptions", "delete", made["id"])
    assert anew["id"] != made["id"]
    assert [each["id"] for each in front.control.subscriptions()] == [anew["id"]]
    assert len([call for call in front.calls(made["id"]) if call.startswith("DELETE")]) == 1


def test_what_a_run_of_maintenance_could_not_do_is_shown(front: Front) -> None:
    front.subscribe()
    front.control.add_fault(Fault("/subscriptions", method="PATCH", status=403, times=-1))
    (made,) = front.control.subscriptions()
    soon = (datetime.now(UTC) + timedelta(hours=3)).isoformat()
    front.control.change_subscription(made["id"], expiration=soon)
    done = run(front, "subscriptions", "renew")
    front.control.clear_faults()
    assert (done.returncode, "was not renewed" in done.stderr) == (0, True)
    assert "renewalOverdue" in done.stdout


def test_an_app_of_another_version_is_a_warning(front: Front) -> None:
    before = front.state("heartbeat/maintenance.json")
    front.run("maintain_subscriptions")
    eventually(lambda: front.state("heartbeat/maintenance.json") != before, "maintenance")
    published = front.state("heartbeat/maintenance.json")
    assert published["version"] == __version__
    assert "Warning" not in run(front, "subscriptions", "list").stderr
    other = json.dumps(published | {"version": "9.8.7"})
    front.apart.upload_blob("heartbeat/maintenance.json", other, overwrite=True)
    done = run(front, "subscriptions", "list")
    assert done.returncode == 0
    assert f"this is version {__version__}, but the app has version 9.8.7" in done.stderr
    assert "Warning" not in run(front, "reports", "list").stderr, "it does not read the app's state"
    front.apart.upload_blob("heartbeat/maintenance.json", json.dumps(published), overwrite=True)


def test_a_backfill_and_a_redrive_are_done_by_the_app(front: Front) -> None:
    end = datetime.now(UTC) - timedelta(days=2)
    old = front.session(start=end - timedelta(minutes=30), end=end)
    window = ("--from", str(end.date()), "--to", str(end.date()))
    (look,) = told(front, "backfill", *window, "--wait")
    assert (look["missing"], look["error"]) == (1, None)
    front.outcome(old.call_id, "stored")
    assert run(front, "redrive", "--outcome", "accessDenied", "--outcome", "failed").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("backfill", "--from", "2026-02-02", "--to", "2026-02-01"), "--to 2026-02-01 is before --from"),
        (
            ("backfill", "--from", "2020-01-01", "--to", "2020-01-02"),
            "Graph lists the calls of the last 30 days",
        ),
        (("redrive", "--outcome", "pending"), "Pending signals cannot be redriven"),
        (("reports", "list", "--from", "2000-01-01", "--to", "2026-01-01"), "is more than 3,700 days."),
        (("person", "find", "x", "--from", "2026-01-01", "--to", "2026-01-02"), "at least 3 characters"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(front: Front, arguments: tuple[str, ...], sentence: str) -> None:
    done = run(front, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("attendance: ")
    assert sentence in done.stderr


def test_no_secret_is_in_the_settings_of_the_local_stack(front: Front) -> None:
    text = json.dumps(app_settings.for_people(front.stack.settings))
    assert front.stack.settings["CLIENT_STATE"] not in text


@pytest.mark.parametrize(
    ("given", "first"),
    [
        (["status", "--json"], ["--json", "status"]),
        (["fetch", "a", "--sign-in", "browser"], ["--sign-in", "browser", "fetch", "a"]),
        (["watch", "add", "--", "--json"], ["watch", "add", "--", "--json"]),
        (["me", "list", "u", "--client-id=1"], ["--client-id=1", "me", "list", "u"]),
        (["status", "--sign-in"], ["--sign-in", "status"]),
    ],
)
def test_common_options_are_taken_anywhere(given: list[str], first: list[str]) -> None:
    assert main.move_options_first(given) == first


def test_who_may_not_read_storage_is_told_so(front: Front) -> None:
    done = run(front, "watch", "list", AzureWebJobsStorage__blobServiceUri="https://127.0.0.1:1/x")
    assert (done.returncode, done.stderr.startswith("attendance: The storage request failed (")) == (1, True)


def test_an_interrupted_wait_ends_with_130(front: Front) -> None:
    front.stack.functions.stop()
    try:
        with subprocess.Popen(
            command("doctor", "--wait", "100"),
            env=environment(front),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            while "endpoint" not in process.stdout.readline():
                continue
            for _ in range(5):  # as a person would, where the first one came at a moment that swallows it
                process.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    _, err = process.communicate(timeout=20)
                    break
    finally:
        front.stack.restart_functions()
    assert (process.returncode, "Traceback" in err) == (130, False)
    assert "Interrupted" in err


def test_doctor_names_the_role_without_which_it_cannot_ask_the_app() -> None:
    refusal = HttpResponseError(response=MagicMock(status_code=403))
    session_ = MagicMock(**{"upkeep.send.side_effect": refusal})
    (finding,) = doctor._check_app(session_, (), 1)
    assert finding.severity == "problem"
    assert "Storage Queue Data Message Sender" in finding.remedy
