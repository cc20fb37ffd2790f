"""Settings of the command line: where they come from, and which addresses get a token."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from shared.cli import main, session, sign_in
from shared.cli.session import OutputFormat, Session, Source
from shared.errors import AttendanceError, SettingError
from tests.support.app_settings import TENANT

CLOUD = {
    "TENANT_ID": TENANT,
    "GRAPH_CLOUD": "global",
    "AttendanceStorage__blobServiceUri": "https://data0.blob.core.windows.net/",
    "AzureWebJobsStorage__blobServiceUri": "https://host0.blob.core.windows.net",
    "AzureWebJobsStorage__queueServiceUri": "https://host0.queue.core.windows.net",
}
BLOB, STATE, QUEUE = list(CLOUD)[2:]
MACHINE = ("HTTPS_PROXY", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "IDENTITY_ENDPOINT", "IDENTITY_HEADER")
REPORT = "/users/8b081ef6-4792-4def-b2c9-c363a1bf41d5/onlineMeetings/m/attendanceReports/r"

type Given = Callable[..., Path]


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Given:
    """Write settings as Azure prints them; this machine's environment has none."""
    for name in (*CLOUD, *MACHINE, "GRAPH_ROOT", "LOGIN_ROOT", "ATTENDANCE_SETTINGS"):
        monkeypatch.delenv(name, raising=False)

    def write(**settings: str) -> Path:
        file = tmp_path / "app.json"
        file.write_text(json.dumps([{"name": name, "value": value} for name, value in settings.items()]))
        return file

    return write


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The scopes for which a token was asked."""
    scopes: list[str] = []

    def get_token(scope: str, **_: Any) -> Any:
        scopes.append(scope)
        return SimpleNamespace(token="t", expires_on=1 << 40)

    monkeypatch.setattr(sign_in, "choose_credential", lambda *_: SimpleNamespace(get_token=get_token))
    return scopes


def test_a_value_that_is_no_text_is_the_text_of_it(tmp_path: Path) -> None:
    file = tmp_path / "app.json"
    file.write_text(
        '[{"name": "a", "value": 0}, {"name": "b", "value": false}, {"name": "c", "value": null}]'
    )
    assert session.read_settings_file(file) == {"a": "0", "b": "False", "c": ""}


def test_a_file_of_many_brackets_is_no_settings(tmp_path: Path) -> None:
    file = tmp_path / "app.json"
    file.write_text("[" * 200_000)
    with pytest.raises(AttendanceError, match="is not the output of `az functionapp"):
        session.read_settings_file(file)


def opened(file: Path | None, *, local: bool = False) -> Session:
    environ, source = session.load_environment(file, local=local)
    return Session(environ, None, None, OutputFormat.TABLE, source)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("GRAPH_ROOT", "https://graph.example"),
        ("GRAPH_ROOT", "http://127.0.0.1:1"),
        ("GRAPH_ROOT", "https://graph.microsoft.us"),
        ("GRAPH_ROOT", "https://graph.microsoft.com.example"),
        ("LOGIN_ROOT", "https://login.example"),
        (BLOB, "https://data.example"),
        (BLOB, "https://data0.blob.core.windows.net.example"),
        (BLOB, "https://data.example/data0.blob.core.windows.net"),
        (BLOB, "https://data.example\\.blob.core.windows.net"),
        (BLOB, "https://a.data0.blob.core.windows.net"),
        (BLOB, "https://data0.blob.core.windows.net:8443"),
        (BLOB, "https://data0.queue.core.windows.net"),
        (BLOB, "https://data0.blob.core.usgovcloudapi.net"),
        (STATE, "https://host.example"),
        (QUEUE, "https://127.0.0.1:10001/devstoreaccount1"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        ["fetch", REPORT],
        ["me", "list", "https://teams.microsoft.com/l/meetup-join/x"],
        ["reports", "list"],
        ["watch", "list"],
        ["backfill", "--from", "2026-11-01", "--to", "2026-11-02"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_settings_that_lead_out_of_the_cloud_get_no_token(
    given: Given,
    asked: list[str],
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    name: str,
    address: str,
) -> None:
    file = given(**CLOUD | {name: address})
    with pytest.raises(SystemExit) as done:
        main.main(["--settings", str(file), *command])
    assert done.value.code == 1
    assert asked == []
    assert f"App setting {name} is not an address of the cloud" in capsys.readouterr().err


def test_doctor_names_a_setting_that_leads_out_of_the_cloud(
    given: Given, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as done:
        main.main(["--settings", str(given(**CLOUD | {BLOB: "https://data.example"})), "doctor"])
    assert done.value.code == 3
    assert asked == []
    assert BLOB in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cloud", "graph", "suffix"),
    [
        ("global", "https://graph.microsoft.com", "core.windows.net"),
        ("usgov", "https://graph.microsoft.us", "core.usgovcloudapi.net"),
        ("usgovdod", "https://dod-graph.microsoft.us", "core.usgovcloudapi.net"),
    ],
)
def test_addresses_of_the_chosen_cloud_are_used(given: Given, cloud: str, graph: str, suffix: str) -> None:
    addresses = {name: value.replace("core.windows.net", suffix) for name, value in CLOUD.items()}
    settings = opened(given(**addresses | {"GRAPH_CLOUD": cloud, "GRAPH_ROOT": graph})).settings
    assert settings.graph_root == graph
    assert settings.blob_url == f"https://data0.blob.{suffix}"


def test_a_file_sets_no_proxy_no_certificates_and_no_identity_endpoint(given: Given) -> None:
    before = dict(os.environ)
    found = opened(given(**CLOUD | dict.fromkeys(MACHINE, "https://stranger.example")))
    assert os.environ == before
    assert not {name for name in MACHINE if "stranger" in found.environ.get(name, "")}


def test_the_environment_is_the_operators_own(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPH_ROOT", "http://127.0.0.1:1")
    monkeypatch.setenv("TENANT_ID", TENANT)
    assert opened(None).settings.graph_root == "http://127.0.0.1:1"


def test_local_settings_lead_to_this_machine(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    local = CLOUD | {
        "GRAPH_ROOT": "http://127.0.0.1:1",
        BLOB: "https://127.0.0.1:2/devstoreaccount1",
        "IDENTITY_ENDPOINT": "http://127.0.0.1:3/token",
        "REQUESTS_CA_BUNDLE": "/ca.pem",
    }
    monkeypatch.setattr(session, "LOCAL_SETTINGS", given(**local))
    assert opened(None, local=True).settings.graph_root == "http://127.0.0.1:1"
    assert os.environ["REQUESTS_CA_BUNDLE"] == "/ca.pem"
    for address in ("https://graph.example", "http://127.0.0.1@graph.example", "http://127.0.0.1.example"):
        given(**local | {"GRAPH_ROOT": address})
        with pytest.raises(SettingError, match="GRAPH_ROOT"):
            _ = opened(None, local=True).settings


@pytest.mark.parametrize("endpoint", ["https://identity.example/token", ""])
def test_local_settings_name_an_identity_endpoint_of_this_machine(
    given: Given, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setattr(session, "LOCAL_SETTINGS", given(**CLOUD | {"IDENTITY_ENDPOINT": endpoint}))
    with pytest.raises(AttendanceError, match="no identity endpoint"):
        opened(None, local=True)


@pytest.mark.parametrize("content", ["", "{}", "[1]", "nothing"])
def test_a_file_that_holds_no_settings_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "app.json"
    file.write_text(content)
    with pytest.raises(AttendanceError, match="is not the output of"):
        session.load_environment(file, local=False)
    with pytest.raises(AttendanceError, match="cannot be read"):
        session.load_environment(tmp_path / "none.json", local=False)


def test_without_a_local_stack_local_says_how_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "CHECKOUT", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AttendanceError, match="make up"):
        session.load_environment(None, local=True)


def test_an_installed_command_finds_the_stack_of_the_current_folder(
    given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(session, "CHECKOUT", tmp_path / "site-packages")
    file = given(**CLOUD | {"IDENTITY_ENDPOINT": "http://127.0.0.1:3/token"})
    folder = tmp_path / "checkout"
    (folder / session.LOCAL_SETTINGS).parent.mkdir(parents=True)
    file.rename(folder / session.LOCAL_SETTINGS)
    monkeypatch.chdir(folder)
    environ, source = session.load_environment(None, local=True)
    assert source is session.Source.LOCAL
    assert environ["IDENTITY_ENDPOINT"] == "http://127.0.0.1:3/token"


@pytest.mark.parametrize("place", ["before", "after", "joined", "environment"])
def test_the_file_of_settings_is_taken_wherever_the_option_stands(
    given: Given, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    file = str(given(**CLOUD))
    seen: list[Session] = []

    def keep(found: Session) -> None:
        seen.append(found)
        raise typer.Exit

    monkeypatch.setattr(session, "set_current", keep)
    arguments = {
        "before": ["--settings", file, "watch", "list"],
        "after": ["watch", "--json", "list", "--settings", file],
        "joined": ["watch", "list", f"--settings={file}"],
        "environment": ["watch", "list"],
    }
    if place == "environment":
        monkeypatch.setenv("ATTENDANCE_SETTINGS", file)
    with pytest.raises(SystemExit):
        main.main(arguments[place])
    assert [(each.settings.tenant_id, each.source) for each in seen] == [(TENANT, Source.FILE)]
