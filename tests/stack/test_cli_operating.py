"""Operators' commands: state of the app, and jobs for it."""

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import MagicMock
from uuid import uuid4

import pytest
from azure.core.exceptions import HttpResponseError

import local.stack.identity
from local.simulator.faults.responses import Fault
from local.simulator.tenant.orders import NewMeeting, NewSession
from local.stack import app_settings
from shared import __version__
from shared.cli import main
from shared.cli.commands import doctor
from shared.health.findings import Finding
from tests.support.command_line import command, environment, run, start, told
from tests.support.front import Front, eventually, noon, own_stack, today

stack = own_stack()
STORAGE = (
    "AttendanceStorage__blobServiceUri",
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__queueServiceUri",
)
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
    assert run(front, "doctor", "--organizer", "frida").returncode == 2


def test_a_403_shows_at_once_although_its_outcome_is_pending(front: Front) -> None:
    front.subscribe()
    made = front.session(NewMeeting(denied=True))
    front.notify(made.call_id)
    organizer = front.outcome(made.call_id, "pending")["organizerId"]
    (shown,) = [
        each for each in told(front, "status")["denied"]["organizers"] if each["organizerId"] == organizer
    ]
    assert datetime.fromisoformat(shown["retryAt"]) - datetime.fromisoformat(shown["since"]) > timedelta(
        minutes=34
    )
    sentence = "It is asked once more at "
    assert sentence in run(front, "status").stdout
    (warning,) = [each for each in found(told(front, "doctor"), "warning") if organizer in each]
    assert sentence in warning
    assert "Grant-CsApplicationAccessPolicy" in warning
    asked = told(front, "doctor", "--organizer", organizer, code=3)
    assert [each["check"] for each in asked if organizer in each["check"]] == [f"app: access to {organizer}"]


def test_doctor_names_what_is_wrong_with_a_setting(front: Front) -> None:
    findings = told(front, "doctor", code=3, GRAPH_RATE="fast")
    assert found(findings, "problem")[0].startswith(
        "settings: App setting GRAPH_RATE is 'fast'; allowed: a number above 0."
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


def test_an_app_that_does_not_run_is_one_finding(front: Front) -> None:
    front.subscribe()
    eventually(lambda: front.state("heartbeat/maintenance.json"), "the end of a run")
    front.stack.functions.stop()
    try:
        findings = told(front, "doctor", "--wait", "2", code=3)
    finally:
        front.stack.restart_functions()
    (problem,) = found(findings, "problem")
    assert problem.startswith(f"app: The app seems not to run: {front.url}/notifications cannot be reached")
    assert "handled no task of the queue" in problem
    assert not [each for each in findings if each["check"] in ("endpoint", "queue")]


def test_an_app_that_hangs_is_found_within_the_time_that_doctor_takes(front: Front) -> None:
    os.kill(front.stack.functions.pid, signal.SIGSTOP)
    began = time.monotonic()
    try:
        findings = told(front, "doctor", "--wait", "3", code=3)
    finally:
        os.kill(front.stack.functions.pid, signal.SIGCONT)
    assert time.monotonic() - began < 20
    (problem,) = found(findings, "problem")
    assert problem.startswith("app: The app seems not to run:")


def test_a_graph_that_does_not_answer_is_one_finding_of_the_app(front: Front) -> None:
    front.subscribe()
    front.control.add_fault(Fault(".", action="hang", times=-1))
    try:
        findings = told(front, "doctor", "--organizer", DENIED, code=3)
    finally:
        front.control.clear_faults()
    (problem,) = found(findings, "problem")
    assert problem.startswith(
        "app: subscriptions: The list of subscriptions cannot be read (list subscriptions: Graph did"
    )
    assert found(findings, "unknown") == []


def test_storage_that_does_not_answer_is_one_finding_and_nobody_else_is_blamed(front: Front) -> None:
    closed = dict.fromkeys(STORAGE, "https://127.0.0.1:9/x")
    began = time.monotonic()
    status = told(front, "status", code=3, **closed)
    assert time.monotonic() - began < 20
    (problem,) = status["problems"]
    assert problem.startswith(
        "Storage does not answer (no connection): https://127.0.0.1:9/x. Check that the storage"
    )
    assert (status["warnings"], status["subscriptions"], status["denied"]) == ([], None, None)
    page = run(front, "status", **closed).stdout
    assert "never" not in page
    assert "Last notification  unknown" in page
    findings = told(front, "doctor", code=3, **closed)
    (same,) = found(findings, "problem")
    assert same == f"storage: {problem}"
    assert [each["state"] for each in findings] == ["ok", "problem", "unknown"]


def test_status_tells_what_health_knows(front: Front) -> None:
    front.subscribe()
    eventually(lambda: front.state("heartbeat/maintenance.json").get("subscriptions"), "what was put down")
    status = told(front, "status")
    assert status["healthy"] is True
    (subscription,) = status["subscriptions"]
    assert (subscription["resource"], subscription["state"]) == ("communications/callRecords", "active")
    assert len(status["days"]) == 14
    day, page = today(), run(front, "status")
    assert page.stdout.startswith("healthy\n")
    assert str(day) in page.stdout
    assert "Yesterday's delay  none" in page.stdout


def test_status_ends_with_3_when_something_is_not_well(front: Front) -> None:
    front.put("upkeep-poison", "{}")
    try:
        status = told(front, "status", code=3)
        assert "upkeep-poison holds 1 message" in " ".join(status["problems"])
        page = run(front, "status").stdout
        assert page.startswith("needs attention\nProblem: ")
        assert "Queue upkeep-poison            1 waiting\n" in page
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
    end = noon(2)
    old = front.session(start=end - timedelta(minutes=30), end=end)
    window = ("--from", str(end.date()), "--to", str(end.date()))
    (look,) = told(front, "backfill", *window, "--wait")
    assert (look["missing"], look["error"]) == (1, None)
    front.outcome(old.call_id, "stored")
    assert run(front, "redrive", "--outcome", "accessDenied", "--outcome", "failed").returncode == 0


def test_a_redrive_of_one_organizer_is_counted_first_and_waited_for(front: Front) -> None:
    day = today()
    front.subscribe()
    made = [front.control.add_meeting(NewMeeting(organizer=str(uuid4()))) for _ in range(2)]
    sessions = [
        front.control.add_session(NewSession(meeting_id=each.meeting_id, announce=False)) for each in made
    ]
    front.notify(*[each.call_id for each in sessions])
    for each in sessions:
        front.outcome(each.call_id, "stored")
    chosen = ("redrive", "--organizer", made[0].organizer_id, "--outcome", "stored")
    (row,) = told(front, *chosen, "--dry-run")
    assert (row["day"], row["outcome"], row["signals"]) == (str(day), "stored", 1)
    attempts = [front.state(f"signals/cr-{each.call_id}.json")["attempt"] for each in sessions]
    assert told(front, *chosen, "--wait") == [{"outcome": "stored", "signals": 1}]
    after = [front.state(f"signals/cr-{each.call_id}.json")["attempt"] for each in sessions]
    assert (after[0] > attempts[0], after[1]) == (True, attempts[1])
    named = sessions[1].call_id
    for selection in (
        ("--signal", named),
        ("--signal", named.upper()),
        ("--meeting", made[1].join_web_url),
    ):
        (row,) = told(front, "redrive", *selection, "--outcome", "stored", "--dry-run")
        assert row["signals"] == 1


def test_a_backfill_of_one_organizer_or_meeting_is_counted_first_and_waited_for(front: Front) -> None:
    day = today()
    front.subscribe()
    made = front.control.add_meeting(NewMeeting(organizer=str(uuid4())))
    sessions = [
        front.control.add_session(NewSession(meeting_id=made.meeting_id, announce=False)) for _ in range(2)
    ]
    front.notify(sessions[0].call_id)
    front.outcome(sessions[0].call_id, "stored")
    window = ("--from", str(day), "--to", str(day))
    for selection in (("--organizer", made.organizer_id.upper()), ("--meeting", made.join_web_url)):
        (row,) = told(front, "backfill", *window, *selection, "--dry-run")
        assert (row["day"], row["outcome"], row["signals"]) == (str(day), "stored", 1)
        assert told(front, "backfill", *window, *selection, "--wait") == [{"outcome": "stored", "signals": 1}]
    assert front.state(f"signals/cr-{sessions[0].call_id}.json")["series"]["cause"] == "backfill"
    nobody = run(front, "backfill", *window, "--organizer", "c0ffee00-0000-4000-8000-000000000003")
    assert (nobody.returncode, nobody.stdout) == (0, "")
    assert nobody.stderr == (
        f"Nothing to backfill: the app knows no such call on {day}. To look for calls that it does not know yet: "
        f"attendance backfill --from {day} --to {day}\n"
    )


def test_nothing_is_said_to_be_done_when_nothing_was(front: Front) -> None:
    front.subscribe()
    day = today()
    nothing = run(front, "redrive", "--outcome", "notSupported")
    month = f"from {day - timedelta(days=30)} to {day}"
    assert (nothing.returncode, nothing.stderr) == (
        0,
        f"Nothing to redrive: no signal {month} is notSupported.\n",
    )
    for command_ in ("renew", "delete"):
        done = run(front, "subscriptions", command_, "c0ffee00-0000-4000-8000-000000000003")
        assert done.returncode == 1
        assert "The app has no subscription c0ffee00-" in done.stderr
    unknown = run(front, "redrive", "--signal", "nobody")
    assert (unknown.returncode, unknown.stderr) == (
        1,
        "attendance: The app knows no signal nobody; to see what that can mean: attendance explain nobody\n",
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("backfill", "--from", "2026-02-02", "--to", "2026-02-01"), "--to 2026-02-01 is before --from"),
        (
            ("backfill", "--from", "2020-01-01", "--to", "2020-01-02"),
            "Graph lists the calls of the last 30 days",
        ),
        (("backfill", "--from", "2999-01-01", "--to", "2999-01-02"), "--from 2999-01-01 is in the future"),
        (("redrive", "--from", "2999-01-01", "--to", "2999-01-02"), "--from 2999-01-01 is in the future"),
        (("reports", "list", "--from", "2999-01-01", "--to", "2999-01-02"), "2999-01-01 is in the future"),
        (("reports", "download", "x", "--from", "2999-01-01", "--to", "2999-01-02"), "is in the future"),
        (("person", "find", "xyz", "--from", "2999-01-01", "--to", "2999-01-02"), "is in the future"),
        (("redrive", "--outcome", "pending"), "Pending signals cannot be redriven"),
        (("reports", "list", "--from", "2000-01-01", "--to", "2026-01-01"), "is more than 3,700 days."),
        (("person", "find", "x", "--from", "2026-01-01", "--to", "2026-01-02"), "at least 3 characters"),
        (("status", "--output", "csv"), "status is not one table"),
        (("watch", "add", "teams"), "The join URL is not an https address."),
        (
            ("watch", "add", "https://t.example/x", "--until", "tomorrow"),
            "'tomorrow' is not a time of the form 2026-12-31",
        ),
        (
            ("watch", "add", "https://t.example/x", "--until", "2026-01-31"),
            "--until 2026-01-31 00:00 UTC has passed.",
        ),
        (
            ("export", "--from", "2026-01-01", "--to", "2026-01-02"),
            "Give either --output PATH or --into-container.",
        ),
    ],
)
def test_what_makes_no_sense_is_one_sentence(front: Front, arguments: tuple[str, ...], sentence: str) -> None:
    done = run(front, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("attendance: ")
    assert sentence in done.stderr


def test_an_empty_list_names_its_days_and_its_filter(front: Front) -> None:
    none = run(front, "reports", "list", "--from", "2026-01-01", "--to", "2026-01-02", "--organizer", DENIED)
    assert none.stderr == f"No report is stored from 2026-01-01 to 2026-01-02 of organizer {DENIED}.\n"
    person = run(front, "person", "find", "frida", "--from", "2026-01-01", "--to", "2026-01-01")
    assert person.stderr == "The person appears in no report stored on 2026-01-01.\n"


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
        (["watch", "list", "--output", "csv"], ["--output", "csv", "watch", "list"]),
        (["watch", "list", "--output=csv"], ["--output=csv", "watch", "list"]),
        (["reports", "show", "x", "--output", "a.html"], ["reports", "show", "x", "--output", "a.html"]),
        (
            ["--output", "json", "fetch", "a", "--output", "f"],
            ["--output", "json", "fetch", "a", "--output", "f"],
        ),
        (["export", "--json", "--output", "csv"], ["--json", "export", "--output", "csv"]),
    ],
)
def test_common_options_are_taken_anywhere(given: list[str], first: list[str]) -> None:
    assert main.move_options_first(given) == first


def test_storage_that_does_not_answer_a_command_is_said_in_words(front: Front) -> None:
    done = run(front, "watch", "list", AzureWebJobsStorage__blobServiceUri="https://127.0.0.1:1/x")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "attendance: Storage does not answer (no connection). Check that the storage account"
    )


def test_an_interrupted_wait_ends_with_130(front: Front) -> None:
    front.stack.functions.stop()
    try:
        with start(front, "doctor", "--wait", "100") as process:
            assert process.stdout is not None
            assert any("queue upkeep-poison" in line for line in process.stdout)
            for _ in range(5):  # as a person would, where the first one came at a moment that swallows it
                process.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    _, err = process.communicate(timeout=20)
                    break
    finally:
        front.stack.restart_functions()
    assert (process.returncode, "Traceback" in err) == (130, False), err
    assert "Interrupted" in err


@pytest.mark.parametrize("module", ["shared.errors", "typer", "shared.cli.main"])
def test_an_early_interrupt_leaves_no_traceback(front: Front, module: str) -> None:
    """Interrupt the program when it has just imported a module, which Python itself tells."""

    def interrupted() -> int:
        with start(front, "status", python=("-X", "importtime")) as process:
            assert process.stderr is not None
            assert any(line.rpartition("|")[2].strip() == module for line in process.stderr)
            process.send_signal(signal.SIGINT)
            err = process.stderr.read()
        assert "Traceback" not in err
        return process.returncode

    # Where the machine is busy, the command may have come to its end before the signal.
    assert any(interrupted() == 130 for _ in range(5))


def test_a_reader_that_leaves_causes_no_message(front: Front) -> None:
    with subprocess.Popen(
        command("status", "--json"), env=environment(front), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (141, b"")


def test_doctor_names_the_role_without_which_it_cannot_ask_the_app() -> None:
    refusal = HttpResponseError(response=MagicMock(status_code=403))
    session_ = MagicMock(
        **{"health_sources.queues.get_queue_client.return_value.send_message.side_effect": refusal}
    )
    finding = doctor._ask_app(session_, (), time.monotonic() + 1)
    assert isinstance(finding, Finding)
    assert finding.severity == "problem"
    assert "Storage Queue Data Message Sender" in finding.remedy
