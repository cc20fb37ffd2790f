"""App settings: errors name the setting, what it holds unless that may be a secret, and what is allowed."""

import re
import secrets
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import SettingError
from shared.health import findings
from shared.health.findings import Severity
from shared.settings import TABLE, Settings, fingerprint, load, public_values

TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
CURRENT, PREVIOUS = "current-secret-0123456789abcdefgh", "previous-secret-0123456789abcdefg"
HOST = ("AzureWebJobsStorage__blobServiceUri", "AzureWebJobsStorage__queueServiceUri")
ENVIRON = {
    "AttendanceStorage__blobServiceUri": "https://reports.blob.core.windows.net",
    "AzureWebJobsStorage__blobServiceUri": "https://app.blob.core.windows.net/",
    "AzureWebJobsStorage__queueServiceUri": "https://app.queue.core.windows.net/",
    "TENANT_ID": TENANT,
    "CLIENT_STATE": CURRENT,
    "CLIENT_STATE_PREVIOUS": PREVIOUS,
    "WEBSITE_HOSTNAME": "app.azurewebsites.net",
    "MAINTAIN_SCHEDULE": "0 */15 * * * *",
    "SWEEP_SCHEDULE": "0 10 * * * *",
}


class Noting(Mapping[str, str]):
    """An environment that remembers which names were asked for."""

    def __init__(self, content: Mapping[str, str]) -> None:
        self._content = content
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self._content[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def __len__(self) -> int:
        return len(self._content)


def without(*names: str) -> dict[str, str]:
    return {name: value for name, value in ENVIRON.items() if name not in names}


def test_what_is_not_set_has_the_default_that_the_table_names() -> None:
    settings = load(ENVIRON)
    assert (settings.container, settings.cloud.name) == ("attendance", "global")
    assert (settings.retry_first_delay, settings.retry_window, settings.confirm_after) == (60, 86_400, 14_400)
    assert (settings.graph_rate, settings.notification_max_bytes) == (10.0, 262_144)
    assert settings.signals == {"call-records"}
    assert settings.organizers == frozenset()
    assert settings.retention_days == 0


@pytest.mark.parametrize(
    "name",
    ["AttendanceStorage__blobServiceUri", "TENANT_ID", "CLIENT_STATE", "MAINTAIN_SCHEDULE", "SWEEP_SCHEDULE"],
)
@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_required_setting_that_is_missing_or_blank_is_named(name: str, value: str | None) -> None:
    environ = without(name) if value is None else ENVIRON | {name: value}
    with pytest.raises(SettingError, match="is missing") as caught:
        load(environ)
    assert caught.value.name == name
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AttendanceStorage__blobServiceUri", "reports.blob.core.windows.net"),
        ("AttendanceStorage__blobServiceUri", "http://reports.blob.core.windows.net"),
        ("AttendanceStorage__blobServiceUri", "http://127.0.0.1:10000/devstoreaccount1"),
        ("AttendanceStorage__blobServiceUri", "https://reports.blob.core.windows.net/?sv=2024&sig=leaked"),
        ("AttendanceStorage__blobServiceUri", "https://user:leaked@reports.blob.core.windows.net"),
        ("AzureWebJobsStorage__queueServiceUri", "ftp://app.queue.core.windows.net"),
        ("AzureWebJobsStorage__blobServiceUri", "http://app.blob.core.windows.net"),
        ("TENANT_ID", "contoso.onmicrosoft.com"),
        ("TENANT_ID", f"{TENANT}\n{TENANT}"),
        ("CLIENT_STATE", "leaked-" * 20),
        ("CLIENT_STATE", "leaked\x07bell-0123456789abcdefghijkl"),
        ("CLIENT_STATE", "leaked-secret-of-31-characters!"),
        ("CLIENT_STATE_PREVIOUS", "leaked-" * 20),
        ("CLIENT_STATE_PREVIOUS", "leaked"),
        ("GRAPH_CLOUD", "moon"),
        ("GRAPH_ROOT", "http://graph.example"),
        ("GRAPH_RATE", "many"),
        ("GRAPH_RATE", "-77"),
        ("GRAPH_RATE", "0.0"),
        ("GRAPH_RATE", "nan"),
        ("NOTIFICATION_BASE_URL", "http://app.azurewebsites.net/api"),
        ("NOTIFICATION_BASE_URL", "https://app.azurewebsites.net:99999/api"),
        ("NOTIFICATION_BASE_URL", "https://[::1/api"),
        ("NOTIFICATION_BASE_URL", "https://app.azurewebsites.net/api?code=leaked"),
        ("SIGNALS", "call-records, smoke"),
        ("SIGNALS", ","),
        ("ORGANIZERS", f"{TENANT}, megan@contoso.com"),
        ("MEETING_DETAILS", "subject, guests"),
        ("MEETING_DETAILS", "none, invitees"),
        ("MEETING_DETAILS", ","),
        ("ATTENDANCE_CONTAINER", "Attendance"),
        ("ATTENDANCE_CONTAINER", "two--dashes"),
        ("ATTENDANCE_CONTAINER", "x" * 58),
        ("RETRY_FIRST_DELAY", "0"),
        ("RETRY_FIRST_DELAY", "60.5"),
        ("RETRY_WINDOW", "٦٠"),
        ("RETRY_WINDOW", "2592001"),
        ("CONFIRM_AFTER", "604801"),
        ("RETENTION_DAYS", "30"),
        ("RETENTION_DAYS", "36501"),
        ("RETENTION_DAYS", "-1"),
        ("NOTIFICATION_MAX_BYTES", "1000"),
        ("MAINTAIN_SCHEDULE", "*/15 * * * *"),
        ("MAINTAIN_SCHEDULE", "00:15:00"),
    ],
)
def test_a_wrong_setting_is_named_and_what_may_be_a_secret_is_not_shown(name: str, value: str) -> None:
    with pytest.raises(SettingError) as caught:
        load(ENVIRON | {name: value})
    assert caught.value.name == name
    said = str(caught.value)
    assert said.startswith(f"App setting {name} ")
    assert "leaked" not in said
    assert said.isprintable()


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("SIGNALS", "bogus", "is 'bogus'; allowed: call-records, virtual-events, call-events."),
        (
            "MEETING_DETAILS",
            "subject,weather",
            "is 'subject,weather'; allowed: subject, schedule, invitees, comma-separated; or none.",
        ),
        ("GRAPH_CLOUD", "moon", "is 'moon'; allowed: global, usgov, usgovdod."),
        ("GRAPH_RATE", "fast", "is 'fast'; allowed: a number above 0."),
        ("RETENTION_DAYS", "30", "is '30'; allowed: 0, or a whole number from 31 to 36500."),
        ("TENANT_ID", "contoso", "is 'contoso'; allowed: a GUID."),
        ("ORGANIZERS", f"{TENANT}, frida", "is 'frida'; allowed: object ids (GUIDs), comma-separated."),
        (
            "MAINTAIN_SCHEDULE",
            "*/15 * * * *",
            "is '*/15 * * * *'; allowed: an NCRONTAB expression of six fields.",
        ),
        (
            "GRAPH_ROOT",
            "http://graph.example",
            "is 'http://graph.example'; allowed: an https URL without user, query, fragment and white space.",
        ),
        ("TENANT_ID", "8c53a1f2" * 8, "is wrong; allowed: a GUID."),
        ("TENANT_ID", "abcdefghijklmnopqrstuvwxy", "is wrong; allowed: a GUID."),
        ("TENANT_ID", "AccountName=a;AccountKey=leaked==", "is wrong; allowed: a GUID."),
    ],
)
def test_a_wrong_value_is_shown_with_what_is_allowed(name: str, value: str, sentence: str) -> None:
    with pytest.raises(SettingError) as caught:
        load(ENVIRON | {name: value})
    assert str(caught.value) == f"App setting {name} {sentence}"


@given(name=st.sampled_from([setting.name for setting in TABLE]), value=st.text())
def test_whatever_a_setting_holds_nothing_but_a_setting_error_is_raised(name: str, value: str) -> None:
    for text in (value, f"https://{value}", f"{ENVIRON.get(name, '')}{value}"):
        try:
            assert isinstance(load(ENVIRON | {name: text}), Settings)
        except SettingError as failure:
            assert failure.name in {name, *HOST}  # noqa: PT017 - or none at all


def test_a_required_address_of_slashes_alone_is_refused() -> None:
    with pytest.raises(SettingError, match="AttendanceStorage__blobServiceUri"):
        load(ENVIRON | {"AttendanceStorage__blobServiceUri": "/"})


@pytest.mark.parametrize(
    "value", ["https://a.b/api?", "https://a.b/api#", "https://a b/api", "https://a.b\t/api"]
)
def test_an_address_that_cannot_be_extended_by_a_route_is_refused(value: str) -> None:
    with pytest.raises(SettingError, match="NOTIFICATION_BASE_URL"):
        load(ENVIRON | {"NOTIFICATION_BASE_URL": value})


@pytest.mark.parametrize(
    ("cloud", "graph"),
    [
        ("global", "https://graph.microsoft.com"),
        ("usgov", "https://graph.microsoft.us"),
        ("usgovdod", "https://dod-graph.microsoft.us"),
    ],
)
def test_a_cloud_brings_its_own_graph_address(cloud: str, graph: str) -> None:
    settings = load(ENVIRON | {"GRAPH_CLOUD": cloud})
    assert (settings.graph_root, settings.graph_scope) == (graph, f"{graph}/.default")


def test_the_host_accounts_addresses_follow_from_its_name() -> None:
    settings = load(without(*HOST) | {"AzureWebJobsStorage__accountName": "jobs"})
    assert settings.state_url == "https://jobs.blob.core.windows.net"
    assert settings.queue_url == "https://jobs.queue.core.windows.net"


def test_the_host_accounts_own_addresses_win_over_its_name() -> None:
    settings = load(ENVIRON | {"AzureWebJobsStorage__accountName": "jobs"})
    assert settings.state_url == "https://app.blob.core.windows.net"
    assert settings.queue_url == "https://app.queue.core.windows.net"


@pytest.mark.parametrize("cloud", ["usgov", "usgovdod"])
@pytest.mark.parametrize("name", HOST)
def test_functions_makes_addresses_of_the_global_cloud_alone_so_elsewhere_they_are_required(
    cloud: str, name: str
) -> None:
    environ = without(name) | {"AzureWebJobsStorage__accountName": "jobs", "GRAPH_CLOUD": cloud}
    with pytest.raises(SettingError, match=rf"{name} is missing; .* in the global cloud only"):
        load(environ)


def test_china_is_refused_with_the_reason() -> None:
    with pytest.raises(SettingError, match=r"21Vianet.* has no attendance report API"):
        load(ENVIRON | {"GRAPH_CLOUD": "china"})


def test_a_graph_root_for_local_use_changes_the_address_and_not_the_scope() -> None:
    settings = load(ENVIRON | {"GRAPH_ROOT": "http://127.0.0.1:8080/"})
    assert settings.graph_root == "http://127.0.0.1:8080"
    assert settings.graph_scope == "https://graph.microsoft.com/.default"


@pytest.mark.parametrize("name", ["CLIENT_STATE", "CLIENT_STATE_PREVIOUS", "GRAPH_ROOT", "ORGANIZERS"])
def test_a_key_vault_reference_that_was_not_resolved_is_no_value(name: str) -> None:
    reference = "@Microsoft.KeyVault(SecretUri=https://vault.vault.azure.net/secrets/state)"
    with pytest.raises(SettingError, match=f"{name} is a Key Vault reference .* not resolved") as caught:
        load(ENVIRON | {name: reference})
    assert "Key Vault Secrets User" in str(caught.value)
    assert "vault.azure.net" not in str(caught.value)


def test_the_command_line_does_without_what_only_the_app_has() -> None:
    reference = "@Microsoft.KeyVault(SecretUri=https://vault.vault.azure.net/secrets/state)"
    settings = load({"CLIENT_STATE": reference, "CLIENT_STATE_PREVIOUS": reference}, complete=False)
    assert (settings.tenant_id, settings.blob_url, settings.state_url, settings.queue_url) == ("",) * 4
    assert (settings.notification_base_url, settings.client_states) == ("", ())
    assert settings.graph_root == "https://graph.microsoft.com"
    for name, value in {"TENANT_ID": "contoso", "GRAPH_ROOT": reference}.items():
        with pytest.raises(SettingError, match=f"{name} is"):
            load({name: value}, complete=False)


def test_the_notification_address_follows_from_the_platforms_host_name() -> None:
    assert load(ENVIRON).notification_base_url == "https://app.azurewebsites.net/api"


def test_a_notification_address_of_ones_own_wins_over_the_platforms() -> None:
    own = ENVIRON | {"NOTIFICATION_BASE_URL": "https://front.example.com/teams/"}
    assert load(own).notification_base_url == "https://front.example.com/teams"


@pytest.mark.parametrize("host", ["127.0.0.1:7071", "localhost:7071", "[::1]:7071"])
def test_a_notification_address_on_this_machine_needs_no_tls(host: str) -> None:
    settings = load(ENVIRON | {"NOTIFICATION_BASE_URL": f"http://{host}/api"})
    assert settings.notification_base_url == f"http://{host}/api"


def test_without_any_notification_address_the_setting_to_make_is_named() -> None:
    with pytest.raises(SettingError, match="NOTIFICATION_BASE_URL is missing"):
        load(without("WEBSITE_HOSTNAME"))


@pytest.mark.parametrize("name", HOST)
def test_the_host_account_needs_addresses_or_a_name(name: str) -> None:
    environ = without(name)
    with pytest.raises(SettingError, match=f"{name} is missing"):
        load(environ)
    with pytest.raises(
        SettingError,
        match=r"AzureWebJobsStorage__accountName is 'evil\.example/'; allowed: the name of a storage account",
    ):
        load(environ | {"AzureWebJobsStorage__accountName": "evil.example/"})


def test_storage_uses_the_apps_identity_unless_it_has_its_own() -> None:
    shared_one = load(ENVIRON | {"AZURE_CLIENT_ID": "app-id"})
    assert (shared_one.client_id, shared_one.blob_client_id, shared_one.host_client_id) == ("app-id",) * 3
    apart = {"AttendanceStorage__clientId": "data", "AzureWebJobsStorage__clientId": "host"}
    own = load(ENVIRON | {"AZURE_CLIENT_ID": "app-id"} | apart)
    assert (own.client_id, own.blob_client_id, own.host_client_id) == ("app-id", "data", "host")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", {"subject", "schedule"}),
        ("none", set()),
        ("invitees", {"invitees"}),
        (" subject,schedule , invitees", {"subject", "schedule", "invitees"}),
    ],
)
def test_details_that_are_kept_are_told_one_by_one(text: str, kept: set[str]) -> None:
    assert load(ENVIRON | {"MEETING_DETAILS": text}).meeting_details == kept


def test_ids_are_compared_in_lower_case_so_they_are_read_so() -> None:
    settings = load(ENVIRON | {"TENANT_ID": TENANT.upper(), "ORGANIZERS": f" {TENANT.upper()} ,"})
    assert settings.tenant_id == TENANT
    assert settings.organizers == {TENANT}


def test_a_key_of_erasures_that_is_not_resolved_stops_no_webhook() -> None:
    """Without it the worker stops only where persons are erased, and the doors never."""
    reference = "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/erasure-key)"
    assert load(ENVIRON | {"ERASURE_KEY": reference}).erasure_key == ""
    with pytest.raises(SettingError, match="ERASURE_KEY has fewer than 32"):
        load(ENVIRON | {"ERASURE_KEY": "short"})


def test_both_client_states_are_accepted_and_the_current_one_comes_first() -> None:
    assert load(ENVIRON).client_states == (CURRENT, PREVIOUS)
    assert load(without("CLIENT_STATE_PREVIOUS")).client_states == (CURRENT,)


@pytest.mark.parametrize("name", ["CLIENT_STATE", "CLIENT_STATE_PREVIOUS"])
@pytest.mark.parametrize(
    "weak",
    [
        "leaked" * 6,
        "correct-horse-battery-staple",
        "0123456789" * 4,
        "0123456789abcdef" * 4,
        "aB3" + "x" * 40,
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ",
        "01" * 30,
    ],
)
def test_a_client_state_that_can_be_guessed_is_refused(name: str, weak: str) -> None:
    with pytest.raises(SettingError, match=rf"{name} (has fewer than 32 characters|is not random)") as caught:
        load(ENVIRON | {name: weak})
    assert weak not in str(caught.value)


@pytest.mark.parametrize(
    "made",
    [
        lambda: secrets.token_hex(16),
        lambda: secrets.token_hex(64),
        lambda: secrets.token_urlsafe(32),
        lambda: f"{uuid.uuid4()}{uuid.uuid4()}",
    ],
)
def test_a_random_client_state_is_taken(made: Callable[[], str]) -> None:
    for _ in range(200):
        state = made()
        assert load(ENVIRON | {"CLIENT_STATE": state, "CLIENT_STATE_PREVIOUS": state}).client_state == state


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RETENTION_DAYS", 0),
        ("RETENTION_DAYS", 31),
        ("RETENTION_DAYS", 36_500),
        ("RETRY_WINDOW", 30 * 86_400),
    ],
)
def test_the_bounds_of_a_setting_are_taken(name: str, value: int) -> None:
    loaded = load(ENVIRON | {name: str(value)})
    assert value in (loaded.retention_days, loaded.retry_window)


def test_settings_that_changed_are_read_again() -> None:
    assert load(ENVIRON) is load(dict(ENVIRON))
    assert load(ENVIRON | {"RETRY_WINDOW": "7"}).retry_window == 7
    assert load(ENVIRON).retry_window == 86_400


def test_a_fingerprint_is_the_start_of_the_sha256() -> None:
    assert fingerprint("abc") == "ba7816bf"


def test_secrets_are_neither_shown_nor_in_the_repr() -> None:
    values = public_values(ENVIRON)
    assert not {"CLIENT_STATE", "CLIENT_STATE_PREVIOUS"} & values.keys()
    for text in (repr(load(ENVIRON)), f"{load(ENVIRON)}", str(values)):
        assert CURRENT not in text
        assert PREVIOUS not in text


def test_settings_are_shown_with_their_defaults_filled_in() -> None:
    values = public_values(ENVIRON)
    assert values["RETRY_WINDOW"] == "86400"
    assert values["TENANT_ID"] == TENANT
    assert values["ORGANIZERS"] == ""


def test_every_setting_of_the_table_is_used_and_every_used_one_is_in_the_table() -> None:
    environ = Noting(ENVIRON)
    load(environ)
    assert environ.asked - {"WEBSITE_HOSTNAME"} == {each.name for each in TABLE}  # the platform sets that one
    triggers = (Path(__file__).parents[2] / "function_app.py").read_text()
    assert set(re.findall(r'"%(\w+)%"', triggers)) <= environ.asked


def test_the_documented_defaults_are_themselves_accepted() -> None:
    defaults = {setting.name: setting.default for setting in TABLE if setting.default}
    assert load(ENVIRON | defaults) == load(ENVIRON)


def test_call_events_need_to_know_the_app_that_graph_sees() -> None:
    told = ENVIRON | {"SIGNALS": "call-events", "ENCRYPTION_KEY_ID": "key.pem"}
    with pytest.raises(SettingError, match="AZURE_CLIENT_ID is missing, and SIGNALS names call-events"):
        load(told)
    assert load(told | {"GRAPH_CLIENT_ID": "5c000000-0000-4000-8000-000000000001"}).signals == {"call-events"}


def test_call_events_need_a_key() -> None:
    with pytest.raises(SettingError, match="ENCRYPTION_KEY_ID is missing, and SIGNALS names call-events"):
        load(ENVIRON | {"SIGNALS": "call-events", "AZURE_CLIENT_ID": "c2b7a9e4-6d35-4f0b-8a71-3e9d5c1f4b68"})


@pytest.mark.parametrize("name", ["CLIENT_STATE", "CLIENT_STATE_PREVIOUS"])
def test_a_client_state_that_json_may_write_in_several_ways_is_told(name: str) -> None:
    state = "q7Zt0pXa93LmVw5RkYc2HdSe8GuBnJ14"
    assert load(ENVIRON | {name: f"{state}._~-Z9"}).has_plain_states
    for odd in '"\\/+=é &':
        settings = load(ENVIRON | {name: f"{state}{odd}Z"})
        assert not settings.has_plain_states
        finding = findings.client_state(is_plain=settings.has_plain_states)
        assert (finding.severity, state in finding.text) == (Severity.WARNING, False)
