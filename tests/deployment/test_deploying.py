"""`scripts/deploy` against a recording `az`, and a server as SCM site and app."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployment import deploying, settingsfile
from deployment.azurecli import AUDIENCES
from shared import settings
from shared.cli import session
from tests.support.azure_doubles import (
    KEY,
    SECRET,
    SUBSCRIPTION,
    TOKEN,
    Azure,
    RecordingAz,
    SteppedClock,
    outputs,
    served,
)
from tests.support.bicep import bicep, compiler

ROOT = Path(__file__).resolve().parents[2]
APP = "func-attendance-abc123"
FORBIDDEN = (
    "BlobUploadFailedException: Response status code does not indicate success: 403 (This request is not …)"
)


@pytest.fixture
def azure() -> Iterator[Azure]:
    with served(Azure()) as it:
        yield it


@pytest.fixture
def az(tmp_path: Path, azure: Azure, monkeypatch: pytest.MonkeyPatch) -> RecordingAz:
    """An `az` that is signed in and knows a deployment."""
    fake = RecordingAz(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(fake.folder))
    fake.answer("account show", {"id": SUBSCRIPTION, "name": "Pilot", "environmentName": "AzureCloud"})
    fake.answer("account get-access-token", {"accessToken": TOKEN})
    fake.answer("bicep build-params", compiled())
    fake.answer("deployment sub create", None)
    fake.answer("deployment sub show", outputs(azure))
    fake.answer("rest post configreferences/appsettings/refresh", None)
    fake.answer("rest get configreferences/appsettings?", references("Resolved"))
    fake.answer("rest get sites/", site(azure.host))
    fake.answer("functionapp keys list", {"functionKeys": {"default": KEY}, "masterKey": "m"})
    fake.answer("functionapp config appsettings list", app_settings())
    return fake


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with a package."""
    folder = tmp_path / "checkout"
    for name in ("infra/main.bicep", "infra/main.bicepparam", ".local/package/app.zip"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"PK" + name.encode())
    return folder


def compiled(**values: str) -> dict[str, str]:
    given = {"environmentName": "attendance", "location": "westeurope", "graphCloud": "global"} | values
    parameters = {name: {"value": value} for name, value in given.items()}
    return {"parametersJson": json.dumps({"parameters": parameters}), "templateJson": "{}"}


def references(status: str) -> dict[str, Any]:
    return {"value": [{"name": "CLIENT_STATE", "properties": {"status": status, "activeVersion": "v1"}}]}


def site(host: str, state: str = "Running") -> dict[str, Any]:
    states = [
        {"hostType": "Standard", "name": f"{APP}.azurewebsites.net"},
        {"hostType": "Repository", "name": host},
    ]
    return {"properties": {"state": state, "hostNameSslStates": states}}


def app_settings() -> list[dict[str, Any]]:
    shown = {
        "APPLICATIONINSIGHTS_CONNECTION_STRING": f"InstrumentationKey={SECRET}",
        "AttendanceStorage__blobServiceUri": "https://stdata.blob.core.windows.net/",
        "AzureWebJobsStorage__queueServiceUri": f"https://sthost.queue.core.windows.net/?sv=1&sig={SECRET}",
        "CLIENT_STATE": "@Microsoft.KeyVault(SecretUri=https://kv-attendance.vault.azure.net/secrets/client-state)",
        "CLIENT_STATE_PREVIOUS": SECRET,
        "MY_OWN_SETTING": SECRET,
        "SIGNALS": "call-records",
        "TENANT_ID": "44444444-4444-4444-4444-444444444444",
    }
    return [{"name": name, "slotSetting": False, "value": value} for name, value in shown.items()]


class Done:
    """What a run of the program left."""

    def __init__(self, code: int, out: str, err: str, clock: SteppedClock) -> None:
        self.code, self.out, self.err, self.clock = code, out, err, clock


@pytest.fixture
def deploy(az: RecordingAz, root: Path, capfd: pytest.CaptureFixture[str]) -> Any:
    """Run the program in that checkout, on a clock that goes on only when it waits."""

    def run(*arguments: str) -> Done:
        clock = SteppedClock()
        try:
            code = deploying.main(
                [*arguments] or [str(root / "infra/main.bicepparam")], clock=clock, root=root
            )
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capfd.readouterr()
        for secret in (TOKEN, KEY, SECRET):
            assert secret not in out + err
        return Done(code, out, err, clock)

    return run


def test_a_whole_deployment(deploy: Any, az: RecordingAz, azure: Azure, root: Path) -> None:
    done = deploy()
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        "RG=rg-attendance",
        f"APP={APP}",
        f"BASE=http://{azure.host}/api",
        "CLIENT_ID=22222222-2222-2222-2222-222222222222",
        "PRINCIPAL_ID=33333333-3333-3333-3333-333333333333",
        "STORAGE=stdata",
        "HOST_STORAGE=sthost",
        "VAULT=kv-attendance",
    ]
    created = next(each for each in az.calls if each.startswith("deployment sub create"))
    assert "--name attendance-attendance-westeurope --location westeurope" in created
    refreshed = next(n for n, each in enumerate(az.calls) if "appsettings/refresh" in each)
    token = next(n for n, each in enumerate(az.calls) if "get-access-token" in each)
    assert refreshed < token
    assert f"--resource {AUDIENCES['AzureCloud']}" in az.calls[token]
    method, path, headers, body = azure.requests[0]
    assert (method, path) == ("POST", "/api/publish?RemoteBuild=false&Deployer=teams-attendance-reports")
    assert headers["Content-Type"] == "application/zip"
    assert body == (root / ".local/package/app.zip").read_bytes()
    assert "Health: healthy" in done.err


def test_the_infrastructure_alone_publishes_nothing(
    deploy: Any, az: RecordingAz, azure: Azure, root: Path
) -> None:
    (root / ".local/package/app.zip").unlink()
    done = deploy(str(root / "infra/main.bicepparam"), "--only", "infrastructure")
    assert done.code == 0, done.err
    assert "CLIENT_ID=22222222" in done.out
    assert not azure.requests
    assert not [each for each in az.calls if "get-access-token" in each]


def test_the_package_alone_makes_nothing_in_azure(
    deploy: Any, az: RecordingAz, azure: Azure, root: Path
) -> None:
    done = deploy(str(root / "infra/main.bicepparam"), "--only", "package")
    assert done.code == 0, done.err
    assert not [each for each in az.calls if "deployment sub create" in each]
    assert azure.count("/api/publish") == 1


def test_names_alone_ask_only_for_the_deployment(deploy: Any, azure: Azure, root: Path) -> None:
    done = deploy(str(root / "infra/main.bicepparam"), "--only", "names")
    assert (done.code, done.out.count("\n")) == (0, 8)
    assert not azure.requests


def test_outputs_are_found_whatever_their_letter_case(deploy: Any, az: RecordingAz, azure: Azure) -> None:
    az.answer(
        "deployment sub show",
        outputs(azure, ["azurE_RESOURCE_GROUP", "azure_function_app_name", "Key_Vault_Name"]),
    )
    done = deploy()
    assert done.code == 0, done.err
    assert f"APP={APP}\n" in done.out
    assert "VAULT=kv-attendance\n" in done.out


def test_an_output_that_is_missing_is_named(deploy: Any, az: RecordingAz) -> None:
    az.answer("deployment sub show", {"properties": {"outputs": None}})
    done = deploy()
    assert done.code == 1
    assert "attendance-attendance-westeurope has no output AZURE_RESOURCE_GROUP" in done.err


SPREADING = [
    pytest.param((403, "<html>Ip Forbidden</html>"), id="403"),
    pytest.param((400, f"InaccessibleStorageException: {FORBIDDEN}"), id="400 with an inner 403"),
    pytest.param((409, "another deployment"), id="409"),
    pytest.param((503, "starting"), id="503"),
]


@pytest.mark.parametrize("refusal", SPREADING)
def test_what_azure_refuses_at_first_is_tried_again(
    deploy: Any, azure: Azure, refusal: tuple[Any, ...]
) -> None:
    azure.publishes = [refusal, refusal, (202, "d-1")]
    done = deploy()
    assert done.code == 0, done.err
    assert azure.count("/api/publish") == 3
    assert "not yet" in done.err
    assert "<html>" not in done.err


@pytest.mark.parametrize("refusal", SPREADING)
def test_and_given_up_after_ten_minutes(deploy: Any, azure: Azure, refusal: tuple[Any, ...]) -> None:
    azure.publishes = [refusal]
    done = deploy()
    assert done.code == 1
    assert "not accepted within 10 minutes" in done.err
    assert done.clock.time == pytest.approx(600, abs=15)


def test_a_refusal_that_will_not_pass_ends_it_at_once(deploy: Any, azure: Azure) -> None:
    azure.publishes = [(413, "too large")]
    done = deploy()
    assert (done.code, azure.count("/api/publish")) == (1, 1)
    assert "HTTP 413: too large" in done.err


def test_a_token_that_has_expired_is_replaced(deploy: Any, az: RecordingAz, azure: Azure) -> None:
    az.answer("account get-access-token", {"accessToken": "old"}, {"accessToken": TOKEN})
    azure.tokens = ["old", TOKEN]
    azure.publishes = [(403, "no"), (202, "d-1")]
    done = deploy()
    assert done.code == 0, done.err
    assert len([each for each in az.calls if "get-access-token" in each]) == 2


def test_a_token_that_azure_does_not_take_ends_it(deploy: Any, azure: Azure) -> None:
    azure.tokens = ["another"]
    done = deploy()
    assert (done.code, azure.count("/api/publish")) == (1, 1)
    assert "refused the package with HTTP 401" in done.err


def test_a_deployment_is_followed_through_all_that_is_normal(deploy: Any, azure: Azure) -> None:
    azure.looks = [
        *[(404, "not yet")] * 4,
        (202, {"status": 0}),
        (200, {"status": 1}, {"Retry-After": "7"}),
        (503, "recycling"),
        (200, {"status": 2}),
        (200, {"status": 4}),
    ]
    done = deploy()
    assert done.code == 0, done.err
    assert [word for word in done.err.split() if word in ("pending", "building", "deploying", "done")] == [
        "pending", "building", "deploying", "done",
    ]  # fmt: skip
    assert done.clock.time == 7 + 7  # a second each, and seven after the look that said so


def test_a_record_that_goes_after_a_status_means_that_it_is_over(deploy: Any, azure: Azure) -> None:
    azure.looks = [(200, {"status": 2}), (404, "gone")]
    done = deploy()
    assert done.code == 0, done.err
    assert "its record is gone" in done.err


def test_a_record_that_never_comes_is_a_failure(deploy: Any, azure: Azure) -> None:
    azure.looks = [(404, "what")]
    done = deploy()
    assert done.code == 1
    assert "does not know the deployment d-1" in done.err


@pytest.mark.parametrize(
    ("status", "word"),
    [(3, "failed"), (-1, "cancelled"), (5, "another deployment"), (6, "in part"), (9, "unknown")],
)
def test_every_other_end_is_a_failure_with_its_log(deploy: Any, azure: Azure, status: int, word: str) -> None:
    azure.looks = [(200, {"status": 1}), (200, {"status": status, "status_text": "words"})]
    azure.log = [{"message": "Validating", "details_url": f"http://{azure.host}/api/deployments/d-1/log/1"}]
    azure.details = [{"message": "No such runtime"}]
    done = deploy()
    assert done.code == 1
    assert word in done.err
    assert "words\nValidating\n  No such runtime" in done.err
    assert azure.count("/api/publish") == 1


def test_the_token_goes_to_no_other_host_than_the_scm_site(deploy: Any, azure: Azure) -> None:
    with served(Azure()) as other:
        azure.looks = [(200, {"status": 3})]
        azure.log = [
            {"message": "See there", "details_url": f"http://{other.host}/api/deployments/d-1/log/1"}
        ]
        azure.publishes = [(202, "d-1")]
        assert deploy().code == 1
        azure.publishes = [(307, "there", {"Location": f"http://{other.host}/api/publish"})]
        assert deploy().code == 1
        assert not other.requests


def test_a_failure_whose_log_says_that_storage_refused_is_tried_again(deploy: Any, azure: Azure) -> None:
    azure.looks = [(200, {"status": 3}), (200, {"status": 4})]
    azure.log = [{"message": f"StorageAccessibleCheck: InaccessibleStorageException: {FORBIDDEN}"}]
    done = deploy()
    assert done.code == 0, done.err
    assert azure.count("/api/publish") == 2


def test_a_deployment_that_does_not_end_is_given_up(deploy: Any, azure: Azure) -> None:
    azure.looks = [(200, {"status": 2}, {"Retry-After": "60"})]
    done = deploy()
    assert done.code == 1
    assert "did not end within 30 minutes" in done.err


def test_a_server_that_refuses_before_it_has_the_body_is_heard(
    deploy: Any, az: RecordingAz, root: Path
) -> None:
    (root / ".local/package/app.zip").write_bytes(os.urandom(8_000_000))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        az.answer("rest get sites/", site(f"127.0.0.1:{listener.getsockname()[1]}"))

        def refuse() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1_000)
                    connection.sendall(
                        b"HTTP/1.1 403 Ip Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                    )

        thread = threading.Thread(target=refuse)
        thread.start()
        done = deploy()
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    assert done.code == 1
    assert "not accepted within 10 minutes" in done.err


def test_references_are_refreshed_and_waited_for(deploy: Any, az: RecordingAz, azure: Azure) -> None:
    waiting = references("AccessToKeyVaultDenied")
    az.answer("rest get configreferences/appsettings?", *[waiting] * 7, references("Resolved"))
    done = deploy()
    assert done.code == 0, done.err
    assert len([each for each in az.calls if "appsettings/refresh" in each]) == 2
    assert "CLIENT_STATE: AccessToKeyVaultDenied" in done.err


def test_a_reference_that_is_never_resolved_is_named(deploy: Any, az: RecordingAz, azure: Azure) -> None:
    az.answer("rest get configreferences/appsettings?", references("SecretNotFound"))
    done = deploy()
    assert done.code == 1
    assert "CLIENT_STATE (SecretNotFound)" in done.err
    assert not azure.requests


def test_an_app_that_is_stopped_is_named(deploy: Any, az: RecordingAz, azure: Azure) -> None:
    az.answer("rest get sites/", site(azure.host, "Stopped"))
    done = deploy()
    assert done.code == 1
    assert "is Stopped: `az functionapp start --resource-group rg-attendance" in done.err


def test_an_app_closed_to_this_machine_is_not_a_failure(deploy: Any, azure: Azure) -> None:
    azure.handshakes = [403]
    done = deploy()
    assert done.code == 0, done.err
    assert "closed to this machine: it answered HTTP 403" in done.err
    assert "only its answer to the subscription shows that" in done.err
    assert azure.count("/api/health") == 0


def test_an_app_without_webhooks_is_not_asked_for_a_handshake(
    deploy: Any, az: RecordingAz, azure: Azure
) -> None:
    azure.handshakes = [404]
    shown = outputs(azure)
    shown["properties"]["outputs"] |= {
        "DELIVERY": {"value": "event-grid"},
        "PARTNER_TOPIC_NAME": {"value": "graph-attendance"},
    }
    az.answer("deployment sub show", shown)
    done = deploy()
    assert done.code == 0, done.err
    assert "There is no webhook to try" in done.err
    assert azure.count("/api/health") == 1
    assert "TOPIC=graph-attendance" in done.out


def test_an_app_that_cannot_be_reached_is_not_a_failure_either(
    deploy: Any, az: RecordingAz, azure: Azure
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    shown = outputs(azure)
    shown["properties"]["outputs"]["NOTIFICATION_BASE_URL"]["value"] = f"http://127.0.0.1:{port}/api"
    az.answer("deployment sub show", shown)
    done = deploy()
    assert done.code == 0, done.err
    assert "closed to this machine: it cannot be reached" in done.err


def test_an_app_that_answers_wrongly_is_a_failure(deploy: Any, azure: Azure) -> None:
    azure.handshakes = [404]
    done = deploy()
    assert done.code == 1
    assert "does not answer Graph's handshake" in done.err
    assert "HTTP 404" in done.err


def test_an_app_that_starts_slowly_is_waited_for(deploy: Any, az: RecordingAz, azure: Azure) -> None:
    azure.handshakes = [503, 404, 200]
    az.answer("functionapp keys list", ValueError("host is starting"), {"functionKeys": {"default": KEY}})
    azure.health = {"healthy": False, "problems": ["A subscription is missing."]}
    done = deploy()
    assert done.code == 0, done.err
    assert "- A subscription is missing." in done.err


def test_the_settings_file_is_private_and_holds_no_secret(deploy: Any, root: Path) -> None:
    file = root / ".local" / f"{APP}.json"
    file.write_text("older")
    file.chmod(0o644)
    done = deploy()
    assert done.code == 0, done.err
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text()
    assert SECRET not in text
    assert [each["name"] for each in json.loads(text)] == [
        "AttendanceStorage__blobServiceUri", "CLIENT_STATE", "SIGNALS", "TENANT_ID",
    ]  # fmt: skip
    assert session.read_settings_file(file)["SIGNALS"] == "call-records"
    assert f"make cli && .venv/bin/attendance doctor --settings {file}" in done.err


def test_every_setting_that_is_no_secret_is_known_to_the_settings_file() -> None:
    kept = settingsfile.without_secrets({"name": each.name, "value": "x"} for each in settings.TABLE)
    assert {each["name"] for each in kept} == {each.name for each in settings.TABLE if not each.secret}


@pytest.mark.parametrize(("code", "ends"), [(0, 0), (3, 3)])
def test_doctor_is_run_where_the_command_line_is_installed(
    deploy: Any, az: RecordingAz, root: Path, code: int, ends: int
) -> None:
    program = az.folder / "attendance"
    program.write_text(f'#!/bin/sh\necho "$@"\nexit {code}\n')
    program.chmod(0o755)
    done = deploy()
    assert done.code == ends
    assert f"--settings {root}/.local/{APP}.json doctor" in done.err
    assert all("=" in line for line in done.out.splitlines())


def test_azd_names_what_it_made(deploy: Any, az: RecordingAz, azure: Azure) -> None:
    values = {name: each["value"] for name, each in outputs(azure)["properties"]["outputs"].items()}
    program = az.folder / "azd"
    values["AZURE_SUBSCRIPTION_ID"] = SUBSCRIPTION
    program.write_text(f"#!{sys.executable}\nprint({json.dumps(values)!r})\n")
    program.chmod(0o755)
    done = deploy("--azd", "--only", "check")
    assert done.code == 0, done.err
    assert f"APP={APP}\n" in done.out
    assert not [each for each in az.calls if "deployment sub" in each or "bicep" in each]
    assert all(f"--subscription {SUBSCRIPTION}" in each for each in az.calls)


@pytest.mark.parametrize("cloud", ["AzureChinaCloud", "AzureGermanCloud"])
def test_other_clouds_are_refused_by_name(deploy: Any, az: RecordingAz, cloud: str) -> None:
    az.answer("account show", {"id": SUBSCRIPTION, "name": "n", "environmentName": cloud})
    done = deploy()
    assert done.code == 1
    assert cloud in done.err


def test_us_government_has_an_audience_of_its_own(deploy: Any, az: RecordingAz) -> None:
    az.answer("account show", {"id": SUBSCRIPTION, "name": "n", "environmentName": "AzureUSGovernment"})
    az.answer("bicep build-params", compiled(graphCloud="usgov", location="usgovvirginia"))
    done = deploy()
    assert done.code == 0, done.err
    assert [each for each in az.calls if "--resource https://management.core.usgovcloudapi.net/" in each]


def test_a_parameter_file_of_another_cloud_is_refused(deploy: Any, az: RecordingAz) -> None:
    az.answer("bicep build-params", compiled(graphCloud="usgov"))
    done = deploy()
    assert done.code == 1
    assert "graphCloud is usgov" in done.err
    assert "az cloud set" in done.err


def test_nobody_signed_in_is_said(deploy: Any, az: RecordingAz) -> None:
    az.answer("account show", ValueError("ERROR: Please run 'az login' to setup account."))
    done = deploy()
    assert done.code == 1
    assert "run `az login`" in done.err


def test_a_missing_az_is_said(deploy: Any, az: RecordingAz) -> None:
    (az.folder / "az").unlink()
    done = deploy()
    assert done.code == 1
    assert "The Azure CLI (az) is not on PATH" in done.err


def test_a_missing_package_is_said_before_anything_is_made(deploy: Any, az: RecordingAz, root: Path) -> None:
    (root / ".local/package/app.zip").unlink()
    done = deploy()
    assert done.code == 1
    assert "run `make package` first" in done.err
    assert not az.calls


@pytest.mark.parametrize("name", ["infra/none.bicepparam", "infra/main.bicep"])
def test_a_wrong_parameter_file_is_said(deploy: Any, root: Path, name: str) -> None:
    done = deploy(str(root / name))
    assert done.code == 1
    assert name in done.err


@pytest.mark.skipif(compiler() is None, reason="Bicep is not installed: see docs/deployers.md")
def test_the_deployment_is_named_as_the_compiler_reads_the_parameters(
    deploy: Any, az: RecordingAz, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_ENV_NAME", "pilot-2")
    monkeypatch.setenv("AZURE_LOCATION", "northeurope")
    done = bicep("build-params", ROOT / "infra/main.bicepparam", "--stdout")
    az.answer("bicep build-params", json.loads(done.stdout))
    assert deploy().code == 0
    created = next(each for each in az.calls if each.startswith("deployment sub create"))
    assert "--name attendance-pilot-2-northeurope --location northeurope" in created


def test_a_failed_deployment_of_the_infrastructure_ends_it(
    deploy: Any, az: RecordingAz, azure: Azure
) -> None:
    az.answer("deployment sub create", ValueError("Conflict: a vault with this name was deleted"))
    done = deploy()
    assert done.code == 1
    assert "a vault with this name was deleted" in done.err
    assert "recoverVault" in done.err
    assert not azure.requests


@pytest.mark.parametrize("program", ["deploy", "rotate"])
def test_it_runs_as_a_program_without_any_package(tmp_path: Path, program: str) -> None:
    """Also as Windows runs it: a Python and the file's name."""
    command = [sys.executable, "-S", "-E", f"scripts/{program}"]
    shown = subprocess.run(
        [*command, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert "PARAMETERS" in shown.stdout
    for wrong in ([], ["--azd", "infra/main.bicepparam"], ["--nonsense"]):
        done = subprocess.run(
            [*command, *wrong], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert "PARAMETERS" in done.stderr
