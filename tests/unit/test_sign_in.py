"""Sign-in at the command line: once, before anything else, and one sentence if it fails."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shared.cli import main
from shared.cli.sign_in import SignIn, choose_credential
from shared.errors import SignInNeeded
from shared.settings import load
from tests.support.app_settings import TENANT

SCOPE = "https://storage.azure.com/.default"
APP = {
    "TENANT_ID": TENANT,
    "AttendanceStorage__blobServiceUri": "https://data0.blob.core.windows.net",
    "AzureWebJobsStorage__blobServiceUri": "https://host0.blob.core.windows.net",
    "AzureWebJobsStorage__queueServiceUri": "https://host0.queue.core.windows.net",
    "NOTIFICATION_BASE_URL": "http://127.0.0.1:9/api",
    "MAINTAIN_SCHEDULE": "0 */15 * * * *",
    "SWEEP_SCHEDULE": "0 10 * * * *",
}
SIGNED_OUT = "ERROR: Please run 'az login' to setup account."
EXPIRED = "ERROR: AADSTS700082: The refresh token has expired for megan@contoso.com. Run: az login"
COMMANDS = (
    ["status"],
    ["doctor"],
    ["reports", "list"],
    ["redrive"],
    ["watch", "list"],
    ["subscriptions", "list"],
    ["fetch", "/me/onlineMeetings/a/attendanceReports/b"],
    ["person", "find", "megan", "--from", "2026-11-01", "--to", "2026-11-02"],
)

type Programs = Callable[..., Path]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """Programs to sign in with: what each says on stderr, or the token it gives; they note each call."""
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "ATTENDANCE_SETTINGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    calls = tmp_path / "calls"
    calls.touch()

    def install(**said: str) -> Path:
        for name, text in said.items():
            (tmp_path / f"{name}.txt").write_text(f"{text}\n")
            answer = f'while read -r line; do echo "$line"; done < {tmp_path}/{name}.txt'
            answer += "" if text.startswith("{") else " >&2; exit 1"
            program = tmp_path / name
            program.write_text(f"#!/bin/sh\necho {name} >> {calls}\n{answer}\n")
            program.chmod(0o755)
        return calls

    return install


def token(text: str = "secret") -> str:
    return json.dumps({"accessToken": text, "expires_on": int(time.time()) + 3600})


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"az": SIGNED_OUT}, f"Sign in: az login --tenant {TENANT}"),
        ({"az": EXPIRED}, f"Sign in: az login --tenant {TENANT} (Microsoft Entra: AADSTS700082)"),
        (
            {"azd": "ERROR: not logged in, run `azd auth login`"},
            f"Sign in: azd auth login --tenant-id {TENANT}",
        ),
        ({}, "az is not installed here: install the Azure CLI (https://aka.ms/azure-cli), then: az login"),
    ],
    ids=["signed out", "expired", "azd", "no program"],
)
def test_who_is_not_signed_in_reads_how_and_nothing_after_it(
    programs: Programs, arguments: list[str], said: dict[str, str], sentence: str
) -> None:
    calls = programs(**said)
    began = time.monotonic()
    done = CliRunner().invoke(main.app, arguments, env=APP)
    assert done.exit_code == 4, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"attendance: {sentence}")
    assert "megan@" not in line
    assert len(calls.read_text().split()) == len(said)  # asked once
    assert time.monotonic() - began < 5
    assert "problem" not in done.stdout


def test_a_token_is_asked_for_once_for_each_scope(programs: Programs) -> None:
    calls = programs(az=token())
    credential = choose_credential(SignIn.AZURE_CLI, load(APP, complete=False), None)
    for _ in range(3):
        assert credential.get_token(SCOPE).token == "secret"
        assert credential.get_token("https://graph.microsoft.com/.default").token == "secret"
    assert len(calls.read_text().split()) == 2


def test_a_token_that_ends_soon_is_renewed(programs: Programs) -> None:
    calls = programs(az=json.dumps({"accessToken": "x", "expires_on": int(time.time()) + 60}))
    credential = choose_credential(SignIn.AZURE_CLI, load(APP, complete=False), None)
    credential.get_token(SCOPE)
    credential.get_token(SCOPE)
    assert len(calls.read_text().split()) == 2


def test_an_identity_endpoint_that_is_empty_is_none(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", "")
    programs(az=token())
    assert choose_credential(SignIn.AUTO, load(APP, complete=False), None).get_token(SCOPE).token == "secret"


def test_without_a_tenant_the_sentence_names_none(programs: Programs) -> None:
    programs(az=SIGNED_OUT)
    credential = choose_credential(SignIn.AUTO, load({}, complete=False), None)
    with pytest.raises(SignInNeeded, match=r"\ASign in: az login\Z"):
        credential.get_token(SCOPE)
