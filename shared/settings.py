"""The app settings: each is declared once, as a field of `Settings`, and read and checked nowhere else.

Uses the standard library alone, because the webhook reads its settings before it answers. Where Azure
Functions has a name for a setting, that name is used (identity-based connections). A secret's value never
appears in an error, a log or on the health page.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from .errors import SettingError

DAY = 86_400
MAX_QUEUE_DELAY = 7 * DAY  # the longest that Queue storage hides a message
THREADS = 32  # of the runtime: PYTHON_THREADPOOL_THREAD_COUNT in `infra`
MIN_CLIENT_STATE, MAX_CLIENT_STATE = 32, 128  # the most is that of Graph v1.0
MIN_VARIETY = 8  # of the characters of a random secret, and of the steps from one to the next
MIN_RETENTION = 31  # days; Graph lists calls for 30, and what is deleted earlier would be archived again
CALL_RECORDS, VIRTUAL_EVENTS, CALL_EVENTS = "call-records", "virtual-events", "call-events"
SIGNALS = (CALL_RECORDS, VIRTUAL_EVENTS, CALL_EVENTS)
STATE_SUFFIX = "-state"

GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_NCRONTAB = re.compile(r"(\S+ +){5}\S+\Z")
_CONTAINER = re.compile(r"[a-z0-9](-?[a-z0-9]){2,56}\Z")
REFERENCE = "@Microsoft.KeyVault("
_HOST = "WEBSITE_HOSTNAME"  # set by the platform


@dataclass(frozen=True)
class Cloud:
    """One row of https://learn.microsoft.com/graph/deployments: where a national cloud answers."""

    name: str
    graph_root: str
    login_root: str
    storage_suffix: str
    vault_suffix: str
    exchange_audience: str  # of a managed identity's token that stands for an app registration
    has_events: bool  # virtual events, and the events of calls


CLOUDS = {
    cloud.name: cloud
    for cloud in (
        Cloud(
            "global",
            "https://graph.microsoft.com",
            "https://login.microsoftonline.com",
            "core.windows.net",
            "vault.azure.net",
            "api://AzureADTokenExchange",
            has_events=True,
        ),
        Cloud(
            "usgov",
            "https://graph.microsoft.us",
            "https://login.microsoftonline.us",
            "core.usgovcloudapi.net",
            "vault.usgovcloudapi.net",
            "api://AzureADTokenExchangeUSGov",
            has_events=False,
        ),
        Cloud(
            "usgovdod",
            "https://dod-graph.microsoft.us",
            "https://login.microsoftonline.us",
            "core.usgovcloudapi.net",
            "vault.usgovcloudapi.net",
            "api://AzureADTokenExchangeUSGov",
            has_events=False,
        ),
    )
}


# What a value must be: functions of the setting's name and its text, which raise SettingError.


def _text(_: str, text: str) -> str:
    return text


def _guid(name: str, text: str) -> str:
    if not GUID.match(text):
        raise SettingError(name, "is not a GUID")
    return text.lower()


def _whole_number(least: int, most: int, *, or_zero: bool = False) -> Callable[[str, str], int]:
    words = f"is {'neither 0 nor' if or_zero else 'not'} a whole number from {least} to {most}"

    def read(name: str, text: str) -> int:
        value = int(text) if re.fullmatch(r"[0-9]{1,12}", text) else -1
        if not (least <= value <= most or (or_zero and value == 0)):
            raise SettingError(name, words)
        return value

    return read


def _rate(name: str, text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) or float(text) <= 0:
        raise SettingError(name, "is not a number above 0")
    return float(text)


def _schedule(name: str, text: str) -> str:
    """Functions itself reads it; checked, so that the health page can name it."""
    if not _NCRONTAB.match(text):
        raise SettingError(name, "is not an NCRONTAB expression of six fields")
    return text


def _secret(name: str, text: str) -> str:
    if len(text) < MIN_CLIENT_STATE:
        raise SettingError(name, f"has fewer than {MIN_CLIENT_STATE} characters")
    if len(text) > MAX_CLIENT_STATE or not text.isprintable():
        raise SettingError(name, f"has more than {MAX_CLIENT_STATE} characters or unprintable ones")
    steps = {ord(after) - ord(before) for before, after in pairwise(text)}
    if min(len(set(text)), len(steps)) < MIN_VARIETY:
        raise SettingError(name, "is not random: make one with `openssl rand -hex 32`")
    return text


def _https(name: str, text: str, *, loopback: bool = False) -> str:
    """An https address without query and trailing slash; with `loopback` also an http one on this machine."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise SettingError(name, "is not a URL") from None
    local = loopback and host in {"127.0.0.1", "localhost", "::1"}
    if not host or parts.username is not None or re.search(r"[\s?#]", text):
        raise SettingError(name, "is not a URL without user, query, fragment and white space")
    if parts.scheme != "https" and not (local and parts.scheme == "http"):
        raise SettingError(name, "is not an https URL")
    return text.rstrip("/")


def _address(name: str, text: str) -> str:
    return _https(name, text, loopback=True)


def _account(name: str, text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]{3,24}", text):
        raise SettingError(name, "is not the name of a storage account")
    return text


def _container(name: str, text: str) -> str:
    if not _CONTAINER.match(text):
        raise SettingError(name, f"is not a container name that leaves room for {STATE_SUFFIX}")
    return text


def _cloud(name: str, text: str) -> Cloud:
    if text == "china":
        raise SettingError(name, "is china, where Microsoft Graph (21Vianet) has no attendance report API")
    if text not in CLOUDS:
        raise SettingError(name, f"is none of {', '.join(CLOUDS)}")
    return CLOUDS[text]


def _signals(name: str, text: str) -> frozenset[str]:
    names = frozenset(_split(text))
    if not names or not names <= set(SIGNALS):
        raise SettingError(name, f"names something else than {', '.join(SIGNALS)}")
    return names


def _object_ids(name: str, text: str) -> frozenset[str]:
    if not all(GUID.match(each) for each in _split(text)):
        raise SettingError(name, "holds something that is not an object id (GUID)")
    return frozenset(each.lower() for each in _split(text))


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


# What stands for a setting that is not set: functions of the values read before it.

type _Known = Mapping[str, Any]


def _host_endpoint(service: str) -> Callable[[_Known], str]:
    """Follows from the account's name where Functions itself makes it: it knows the global cloud's suffix alone."""

    def endpoint(known: _Known) -> str:
        account, cloud = known["host_account"], known["cloud"]
        is_global = cloud.name == "global"
        return f"https://{account}.{service}.{cloud.storage_suffix}" if account and is_global else ""

    return endpoint


def _webhooks(known: _Known) -> str:
    host = known[_HOST]
    return _https("NOTIFICATION_BASE_URL", f"https://{host}/api") if host else ""


@dataclass(frozen=True)
class Setting:
    """One app setting as declared; `default` None means that it is required.

    `read` checks a text; `unset` gives what stands for one that is neither set nor has a default.
    """

    name: str
    read: Callable[[str, str], Any]
    meaning: str
    default: str | None
    secret: bool
    unset: Callable[[_Known], Any]
    missing: str  # the problem with a value that is not set and does not follow from others; "" for none
    for_workers: bool  # the webhooks do without: a reference that is not resolved counts as not set

    def value(self, text: str | None, known: _Known, *, complete: bool) -> Any:
        """The checked value. Unless `complete`, "" stands for what is missing, and for a secret in Key Vault."""
        text = (text or "").strip() or self.default or ""
        if text.startswith(REFERENCE):
            if not self.secret or (complete and not self.for_workers):
                raise SettingError(self.name, _UNRESOLVED)
            text = ""
        value = self.read(self.name, text) if text else self.unset(known)
        if complete and self.missing and value == "":
            raise SettingError(self.name, self.missing)
        return value


_UNRESOLVED = (
    "is a Key Vault reference that the platform has not resolved (yet): see whether the secret is there, whether the "
    "app's identity is Key Vault Secrets User on it and whether the vault's firewall lets the app in; then refresh the "
    "app's references, or change a setting"
)


def setting(
    name: str,
    read: Callable[[str, str], Any],
    meaning: str,
    default: str = "",
    *,
    required: bool = False,
    secret: bool = False,
    unset: Callable[[_Known], Any] = lambda _: "",
    missing: str = "",
    for_workers: bool = False,
) -> Any:
    """Declare a setting as a field of `Settings`; see `Setting`."""
    missing = "is missing" if required else missing
    declared = Setting(
        name, read, meaning, None if required else default, secret, unset, missing, for_workers
    )
    return field(metadata={"setting": declared})


@dataclass(frozen=True)
class Settings:
    """All settings, checked. Durations are in seconds, URLs have no trailing slash."""

    # fmt: off
    tenant_id: str = setting(
        "TENANT_ID", _guid,
        "Your Microsoft Entra tenant (GUID). Anything of another tenant is dropped.",
        required=True
    )
    cloud: Cloud = setting(  # noqa: RUF009 - makes a field
        "GRAPH_CLOUD", _cloud, "`global`, `usgov` (L4) or `usgovdod` (L5).", "global"
    )
    client_id: str = setting(
        "AZURE_CLIENT_ID", _text,
        "Client id of the user-assigned managed identity. Empty: the system-assigned one."
    )
    graph_client_id: str = setting(
        "GRAPH_CLIENT_ID", _guid,
        "Client id of an app registration that trusts the managed identity; used for Graph in its place. "
        "For tenants whose application access policy does not take an identity."
    )
    blob_url: str = setting(
        "AttendanceStorage__blobServiceUri", _https,
        "Blob endpoint of the data account, which holds reports, outcomes and tables; https.",
        required=True
    )
    blob_client_id: str = setting(
        "AttendanceStorage__clientId", _text,
        "Identity for the data account. Empty: `AZURE_CLIENT_ID`.",
        unset=lambda known: known["client_id"]
    )
    container: str = setting(
        "ATTENDANCE_CONTAINER", _container,
        "Container of reports and outcomes in the data account. Operational state is in the host account, "
        "in the container of this name with `-state`.",
        "attendance"
    )
    retention_days: int = setting(
        "RETENTION_DAYS", _whole_number(MIN_RETENTION, 36_500, or_zero=True),
        "Days after which storage deletes what is archived, as its lifecycle rule has it: 0 (never), or 31 "
        "and more. Deploy both from the parameter `retentionDays`.",
        "0"
    )
    host_account: str = setting(
        "AzureWebJobsStorage__accountName", _account,
        "Name of the host account, which holds the queues, the operational state and what Functions keeps. "
        "Functions itself also needs `…__credential` = `managedidentity` and `…__clientId`."
    )
    state_url: str = setting(
        "AzureWebJobsStorage__blobServiceUri", _https,
        "Blob endpoint of the host account, https. Empty: follows from `AzureWebJobsStorage__accountName`, "
        "in the global cloud only.",
        unset=_host_endpoint("blob"),
        missing="is missing; it follows from AzureWebJobsStorage__accountName in the global cloud only"
    )
    queue_url: str = setting(
        "AzureWebJobsStorage__queueServiceUri", _https,
        "Queue endpoint of the host account, https. Empty: as above.",
        unset=_host_endpoint("queue"),
        missing="is missing; it follows from AzureWebJobsStorage__accountName in the global cloud only"
    )
    host_client_id: str = setting(
        "AzureWebJobsStorage__clientId", _text,
        "Identity for the host account. Empty: `AZURE_CLIENT_ID`.",
        unset=lambda known: known["client_id"]
    )
    notification_base_url: str = setting(
        "NOTIFICATION_BASE_URL", _address,
        "Public address of the app's routes, https (http on a loopback address). Empty: "
        "`https://$WEBSITE_HOSTNAME/api`.",
        unset=_webhooks, missing=f"is missing, and {_HOST} is not set either"
    )
    client_state: str = setting(
        "CLIENT_STATE", _secret,
        "Secret that Graph sends back with each notification; 32 to 128 random characters.",
        required=True, secret=True
    )
    client_state_previous: str = setting(
        "CLIENT_STATE_PREVIOUS", _secret,
        "A second secret that is accepted: the former one while you rotate, else any that nobody knows.",
        secret=True
    )
    erasure_key: str = setting(
        "ERASURE_KEY", _secret,
        "Secret behind the hashes of erased persons; 32 to 128 random characters. Never change it: while persons are "
        "erased with another one, nothing is archived. Empty: nobody can be erased.",
        secret=True, for_workers=True
    )
    signals: frozenset[str] = setting(
        "SIGNALS", _signals,
        "Where the news of an ended meeting comes from, comma-separated: `call-records`, `virtual-events` "
        "(webinars and town halls), `call-events` (chosen meetings, within seconds).",
        CALL_RECORDS
    )
    encryption_key_id: str = setting(
        "ENCRYPTION_KEY_ID", _text,
        "Key for `call-events`: the address of an RSA key in Key Vault, `https://…/keys/NAME`; locally the "
        "path of a PEM file. Required with `call-events`."
    )
    organizers: frozenset[str] = setting(
        "ORGANIZERS", _object_ids,
        "Object ids for a pilot, comma-separated. Empty: everyone.",
        unset=lambda _: frozenset()
    )
    retry_first_delay: int = setting(
        "RETRY_FIRST_DELAY", _whole_number(1, DAY),
        "Initial retry delay in seconds of a report that is not ready; doubles after each attempt.",
        "60"
    )
    retry_window: int = setting(
        "RETRY_WINDOW", _whole_number(1, 30 * DAY),
        "Seconds after which looking for a report ends; at most 30 days.",
        "86400"
    )
    confirm_after: int = setting(
        "CONFIRM_AFTER", _whole_number(0, MAX_QUEUE_DELAY),
        "Seconds after which a fresh report is read once more. 0: never.",
        "14400"
    )
    notification_max_bytes: int = setting(
        "NOTIFICATION_MAX_BYTES", _whole_number(1024, 100 * 1024 * 1024),
        "Largest notification body that is read; larger ones get 413.",
        "1048576"
    )
    graph_rate: float = setting(
        "GRAPH_RATE", _rate,
        "Graph requests per second of one instance: the tenant's limit over the instances of all function "
        "groups that call Graph.",
        "10"
    )
    maintain_schedule: str = setting(
        "MAINTAIN_SCHEDULE", _schedule,
        "When subscriptions are checked, as a six-field NCRONTAB expression in UTC. `0 */15 * * * *` suits; "
        "used by the trigger, so it has no default.",
        required=True
    )
    sweep_schedule: str = setting(
        "SWEEP_SCHEDULE", _schedule,
        "When the app looks for what was never announced, in the same form. `0 10 * * * *` suits.",
        required=True
    )
    graph_root: str = setting(
        "GRAPH_ROOT", _address,
        "Address used instead of the cloud's Graph; for local use.",
        unset=lambda known: known["cloud"].graph_root
    )
    login_root: str = setting(
        "LOGIN_ROOT", _address,
        "Address used instead of the cloud's sign-in; for local use.",
        unset=lambda known: known["cloud"].login_root
    )
    # fmt: on

    def __repr__(self) -> str:
        return "Settings(…)"  # a traceback that shows its locals must not show the client state

    @property
    def client_states(self) -> tuple[str, ...]:
        """The accepted client states, the current one first."""
        return tuple(state for state in (self.client_state, self.client_state_previous) if state)

    @property
    def state_container(self) -> str:
        """The container of operational state, in the host account."""
        return self.container + STATE_SUFFIX

    @property
    def graph_app_id(self) -> str:
        """The app that Graph sees, as far as the settings name it."""
        return self.graph_client_id or self.client_id

    @property
    def graph_scope(self) -> str:
        """What a token for Graph is asked for; the cloud's own root, also when GRAPH_ROOT is set."""
        return f"{self.cloud.graph_root}/.default"


_DECLARED: dict[str, Setting] = {each.name: each.metadata["setting"] for each in fields(Settings)}
TABLE = tuple(_DECLARED.values())
_READ = (*(each.name for each in TABLE), _HOST)


def load(environ: Mapping[str, str], *, complete: bool = True) -> Settings:
    """Read and check all settings. Raises SettingError for the first one that is missing or wrong.

    Unless `complete`, "" stands for what is missing and for secrets in Key Vault: the command line does without.
    """
    return _load(tuple(map(environ.get, _READ)), complete=complete)


@lru_cache(maxsize=2)  # each notification asks, and the settings of a process hardly change
def _load(texts: tuple[str | None, ...], *, complete: bool) -> Settings:
    known: dict[str, Any] = {_HOST: texts[-1]}
    for (name, declared), text in zip(_DECLARED.items(), texts, strict=False):
        known[name] = declared.value(text, known, complete=complete)
    settings = Settings(**{name: known[name] for name in _DECLARED})
    if complete:
        _check_together(settings)
    return settings


def _check_together(settings: Settings) -> None:
    """Check what depends on more than one setting."""
    cloud, key = settings.cloud, settings.encryption_key_id
    if settings.signals & {VIRTUAL_EVENTS, CALL_EVENTS} and not cloud.has_events:
        raise SettingError(
            "SIGNALS",
            f"names {VIRTUAL_EVENTS} or {CALL_EVENTS}, which Microsoft Graph has in the global cloud only",
        )
    if CALL_EVENTS in settings.signals:
        for name, value in (("AZURE_CLIENT_ID", settings.graph_app_id), ("ENCRYPTION_KEY_ID", key)):
            if not value:
                raise SettingError(name, f"is missing, and SIGNALS names {CALL_EVENTS}")
    vault = rf"https://[0-9A-Za-z-]{{3,24}}\.{re.escape(cloud.vault_suffix)}"
    if "://" in key and not re.fullmatch(rf"{vault}/keys/[0-9A-Za-z-]{{1,127}}(/[0-9a-f]{{32}})?", key):
        raise SettingError(
            "ENCRYPTION_KEY_ID", f"is not the address of a key in a vault of {cloud.vault_suffix}"
        )


def public_values(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings' values for people: defaults filled in, secrets left out."""
    return {each.name: environ.get(each.name) or each.default or "" for each in TABLE if not each.secret}


def fingerprint(client_state: str) -> str:
    """The first eight hex digits of its SHA-256: tells client states apart without showing them."""
    return hashlib.sha256(client_state.encode()).hexdigest()[:8]
