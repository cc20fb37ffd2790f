"""The app settings: every one is named, read and checked here, and nowhere else.

Uses the standard library alone, because the webhook reads its settings before it answers. Where Azure
Functions has a name for a setting, that name is used (identity-based connections). A secret's value never
appears in an error, a log or on the health page.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from .errors import SettingError

DAY = 86_400
MAX_QUEUE_DELAY = 7 * DAY  # the longest that Queue storage hides a message
THREADS = 32  # of the runtime: PYTHON_THREADPOOL_THREAD_COUNT in `infra`
MAX_CLIENT_STATE = 128  # Graph v1.0
CALL_RECORDS, VIRTUAL_EVENTS, CALL_EVENTS = "call-records", "virtual-events", "call-events"
SIGNALS = (CALL_RECORDS, VIRTUAL_EVENTS, CALL_EVENTS)
STATE_SUFFIX = "-state"

GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_NCRONTAB = re.compile(r"(\S+ +){5}\S+\Z")
_CONTAINER = re.compile(r"[a-z0-9](-?[a-z0-9]){2,56}\Z")


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


@dataclass(frozen=True)
class Setting:
    """One app setting as documented: `default` None means that it is required."""

    name: str
    meaning: str
    default: str | None = ""
    secret: bool = False


TABLE = (
    Setting(
        "AzureWebJobsStorage__queueServiceUri",
        "Queue endpoint of the storage account; required unless `AzureWebJobsStorage__accountName` is set. "
        "Functions itself also needs `…__blobServiceUri`, `…__credential` = `managedidentity` and `…__clientId`.",
    ),
    Setting("AzureWebJobsStorage__accountName", "Name of the storage account; the endpoint follows from it."),
    Setting("AzureWebJobsStorage__clientId", "Identity for the queues. Empty: `AZURE_CLIENT_ID`."),
    Setting(
        "AttendanceStorage__blobServiceUri", "Blob endpoint that the reports are written to, https.", None
    ),
    Setting("AttendanceStorage__clientId", "Identity for the reports' storage. Empty: `AZURE_CLIENT_ID`."),
    Setting("ATTENDANCE_CONTAINER", "Container of reports and outcomes.", "attendance"),
    Setting("TENANT_ID", "Your Microsoft Entra tenant (GUID). Anything of another tenant is dropped.", None),
    Setting(
        "AZURE_CLIENT_ID",
        "Client id of the user-assigned managed identity. Empty: the system-assigned one.",
    ),
    Setting("GRAPH_CLOUD", "`global`, `usgov` (L4) or `usgovdod` (L5).", "global"),
    Setting("GRAPH_ROOT", "Address used instead of the cloud's Graph; for local use."),
    Setting(
        "GRAPH_CLIENT_ID",
        "Client id of an app registration that trusts the managed identity; used for Graph in its place. For tenants "
        "whose application access policy does not take an identity.",
    ),
    Setting("LOGIN_ROOT", "Address used instead of the cloud's sign-in; for local use."),
    Setting(
        "GRAPH_RATE",
        "Graph requests per second of one instance: the tenant's limit over the maximum of instances.",
        "10",
    ),
    Setting(
        "NOTIFICATION_BASE_URL",
        "Public address of the app's routes, https (http on a loopback address). Empty: "
        "`https://$WEBSITE_HOSTNAME/api`.",
    ),
    Setting(
        "CLIENT_STATE",
        "Secret that Graph sends back with each notification; 1 to 128 characters, random.",
        None,
        secret=True,
    ),
    Setting(
        "CLIENT_STATE_PREVIOUS", "The secret before; accepted too while you rotate.", secret=True
    ),
    Setting(
        "SIGNALS",
        "Where the news of an ended meeting comes from, comma-separated: `call-records`, `virtual-events` (webinars "
        "and town halls), `call-events` (chosen meetings, within seconds).",
        CALL_RECORDS,
    ),
    Setting(
        "ENCRYPTION_KEY_ID",
        "Key for `call-events`: the address of an RSA key in Key Vault, `https://…/keys/NAME`; locally the path of a "
        "PEM file. Required with `call-events`.",
    ),
    Setting("ORGANIZERS", "Object ids for a pilot, comma-separated. Empty: everyone."),
    Setting("RETRY_FIRST_DELAY", "Seconds until a report that is not ready is looked for again; doubles.", "60"),
    Setting("RETRY_WINDOW", "Seconds after which looking for a report ends.", "86400"),
    Setting("CONFIRM_AFTER", "Seconds after which a fresh report is read once more. 0: never.", "14400"),
    Setting("NOTIFICATION_MAX_BYTES", "Largest notification body that is read; larger ones get 413.", "1048576"),
    Setting(
        "MAINTAIN_SCHEDULE",
        "When subscriptions are checked, as a six-field NCRONTAB expression in UTC. `0 */15 * * * *` suits; "
        "used by the trigger, so it has no default.",
        None,
    ),
    Setting(
        "SWEEP_SCHEDULE",
        "When the app looks for what was never announced, in the same form. `0 10 * * * *` suits.",
        None,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """All settings, checked. Durations are in seconds, URLs have no trailing slash."""

    cloud: Cloud
    graph_root: str
    graph_rate: float
    tenant_id: str
    client_id: str
    graph_client_id: str
    login_root: str
    encryption_key_id: str
    notification_base_url: str
    client_state: str
    client_state_previous: str
    signals: frozenset[str]
    organizers: frozenset[str]
    blob_url: str
    blob_client_id: str
    queue_url: str
    queue_client_id: str
    container: str
    retry_first_delay: int
    retry_window: int
    confirm_after: int
    notification_max_bytes: int

    def __repr__(self) -> str:
        return "Settings(…)"  # a traceback that shows its locals must not show the client state

    @property
    def client_states(self) -> tuple[str, ...]:
        """The accepted client states, the current one first."""
        return tuple(state for state in (self.client_state, self.client_state_previous) if state)

    @property
    def graph_app_id(self) -> str:
        """The app that Graph sees, as far as the settings name it."""
        return self.graph_client_id or self.client_id

    @property
    def graph_scope(self) -> str:
        """What a token for Graph is asked for; the cloud's own root, also when GRAPH_ROOT is set."""
        return f"{self.cloud.graph_root}/.default"


@dataclass(frozen=True)
class Operator:
    """What the command line needs of the settings; "" for what is not set."""

    cloud: Cloud
    graph_root: str
    login_root: str
    tenant_id: str
    client_id: str
    notification_base_url: str
    blob_url: str
    queue_url: str
    container: str
    retry_window: int

    @property
    def graph_scope(self) -> str:
        """What a token for Graph is asked for."""
        return f"{self.cloud.graph_root}/.default"


def fingerprint(client_state: str) -> str:
    """The first eight hex digits of its SHA-256: tells client states apart without showing them."""
    return hashlib.sha256(client_state.encode()).hexdigest()[:8]


def load(environ: Mapping[str, str]) -> Settings:
    """Read and check all settings. Raises SettingError for the first one that is missing or wrong."""
    read = _Reader(environ)
    read.schedule("MAINTAIN_SCHEDULE")
    read.schedule("SWEEP_SCHEDULE")
    cloud = _cloud(read.text("GRAPH_CLOUD"))
    client_id = read.text("AZURE_CLIENT_ID")
    signals = _signals(read.text("SIGNALS"), cloud)
    if CALL_EVENTS in signals and not (client_id or read.text("GRAPH_CLIENT_ID")):
        raise SettingError("AZURE_CLIENT_ID", f"is missing, and SIGNALS names {CALL_EVENTS}")
    return Settings(
        cloud=cloud,
        graph_root=read.url("GRAPH_ROOT") or cloud.graph_root,
        graph_rate=read.rate("GRAPH_RATE"),
        tenant_id=read.guid("TENANT_ID"),
        client_id=client_id,
        graph_client_id=read.optional_guid("GRAPH_CLIENT_ID"),
        login_root=read.url("LOGIN_ROOT") or cloud.login_root,
        encryption_key_id=_encryption_key(read, cloud, signals),
        notification_base_url=_notification_base_url(read, environ),
        client_state=read.client_state("CLIENT_STATE"),
        client_state_previous=read.client_state("CLIENT_STATE_PREVIOUS"),
        signals=signals,
        organizers=_organizers(read.text("ORGANIZERS")),
        blob_url=read.url("AttendanceStorage__blobServiceUri", loopback=False),
        blob_client_id=read.text("AttendanceStorage__clientId") or client_id,
        queue_url=_queue_url(read, cloud),
        queue_client_id=read.text("AzureWebJobsStorage__clientId") or client_id,
        container=_container(read.text("ATTENDANCE_CONTAINER")),
        retry_first_delay=read.whole("RETRY_FIRST_DELAY", 1, DAY),
        retry_window=read.whole("RETRY_WINDOW", 1, 30 * DAY),
        confirm_after=read.whole("CONFIRM_AFTER", 0, MAX_QUEUE_DELAY),
        notification_max_bytes=read.whole("NOTIFICATION_MAX_BYTES", 1024, 100 * 1024 * 1024),
    )


def for_operator(environ: Mapping[str, str]) -> Operator:
    """Read and check those settings that the command line needs. Raises SettingError for one that is wrong.

    None is required here: a command that needs one says so.
    """
    read = _Reader(environ, required=False)
    cloud = _cloud(read.text("GRAPH_CLOUD"))
    return Operator(
        cloud=cloud,
        graph_root=read.url("GRAPH_ROOT") or cloud.graph_root,
        login_root=read.url("LOGIN_ROOT") or cloud.login_root,
        tenant_id=read.optional_guid("TENANT_ID"),
        client_id=read.text("AZURE_CLIENT_ID"),
        notification_base_url=_notification_base_url(read, environ),
        blob_url=read.url("AttendanceStorage__blobServiceUri", loopback=False),
        queue_url=_queue_url(read, cloud),
        container=_container(read.text("ATTENDANCE_CONTAINER")),
        retry_window=read.whole("RETRY_WINDOW", 1, 30 * DAY),
    )


def shown(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings' values for people: defaults filled in, secrets left out."""
    return {
        setting.name: environ.get(setting.name) or setting.default or ""
        for setting in TABLE
        if not setting.secret
    }


class _Reader:
    """Reads single settings; the kind of value decides what is checked."""

    def __init__(self, environ: Mapping[str, str], *, required: bool = True) -> None:
        self._environ = environ
        self._required = required

    def text(self, name: str) -> str:
        setting = next(setting for setting in TABLE if setting.name == name)
        value = self._environ.get(name, "").strip() or setting.default
        if value is None:
            return self.missing(name, "is missing")
        if value.startswith("@Microsoft.KeyVault("):
            raise SettingError(name, "is a Key Vault reference that the platform could not resolve")
        return value

    def missing(self, name: str, problem: str) -> str:
        """What stands for a required setting that is not set: nothing, where none is required."""
        if self._required:
            raise SettingError(name, problem)
        return ""

    def guid(self, name: str) -> str:
        value = self.text(name)
        if not GUID.match(value):
            raise SettingError(name, "is not a GUID")
        return value.lower()

    def optional_guid(self, name: str) -> str:
        """A GUID, or "" where it is not set."""
        return self.guid(name) if self.text(name) else ""

    def whole(self, name: str, least: int, most: int) -> int:
        value = self.text(name)
        if not re.fullmatch(r"[0-9]{1,12}", value) or not least <= int(value) <= most:
            raise SettingError(name, f"is not a whole number from {least} to {most}")
        return int(value)

    def rate(self, name: str) -> float:
        value = self.text(name)
        if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", value) or float(value) <= 0:
            raise SettingError(name, "is not a number above 0")
        return float(value)

    def schedule(self, name: str) -> None:
        """Checks a setting that Functions itself reads, so that the health page can name it."""
        if not _NCRONTAB.match(self.text(name)):
            raise SettingError(name, "is not an NCRONTAB expression of six fields")

    def client_state(self, name: str) -> str:
        value = self.text(name)
        if len(value) > MAX_CLIENT_STATE or not value.isprintable():
            raise SettingError(name, f"has more than {MAX_CLIENT_STATE} characters or unprintable ones")
        return value

    def url(self, name: str, *, loopback: bool = True) -> str:
        """An https address, or with `loopback` also an http one on this machine; no trailing slash."""
        value = self.text(name)
        return value and checked_url(name, value, loopback=loopback).rstrip("/")


def checked_url(name: str, value: str, *, loopback: bool) -> str:
    """`value` if it is an https address without query (http only on a loopback one)."""
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise SettingError(name, "is not a URL") from None
    local = loopback and host in {"127.0.0.1", "localhost", "::1"}
    if not host or parts.username is not None or re.search(r"[\s?#]", value):
        raise SettingError(name, "is not a URL without user, query, fragment and white space")
    if parts.scheme != "https" and not (local and parts.scheme == "http"):
        raise SettingError(name, "is not an https URL")
    return value


def _cloud(name: str) -> Cloud:
    if name == "china":
        raise SettingError(
            "GRAPH_CLOUD", "is china, where Microsoft Graph (21Vianet) has no attendance report API"
        )
    if name not in CLOUDS:
        raise SettingError("GRAPH_CLOUD", f"is none of {', '.join(CLOUDS)}")
    return CLOUDS[name]


def _signals(value: str, cloud: Cloud) -> frozenset[str]:
    names = frozenset(name.strip() for name in value.split(",") if name.strip())
    if not names or not names <= set(SIGNALS):
        raise SettingError("SIGNALS", f"names something else than {', '.join(SIGNALS)}")
    if names & {VIRTUAL_EVENTS, CALL_EVENTS} and not cloud.has_events:
        raise SettingError(
            "SIGNALS",
            f"names {VIRTUAL_EVENTS} or {CALL_EVENTS}, which Microsoft Graph has in the global cloud only",
        )
    return names


def _encryption_key(read: _Reader, cloud: Cloud, signals: frozenset[str]) -> str:
    value = read.text("ENCRYPTION_KEY_ID")
    if not value and CALL_EVENTS in signals:
        raise SettingError("ENCRYPTION_KEY_ID", f"is missing, and SIGNALS names {CALL_EVENTS}")
    if not value or "://" not in value:
        return value
    shape = rf"https://[0-9A-Za-z-]{{3,24}}\.{re.escape(cloud.vault_suffix)}/keys/[0-9A-Za-z-]{{1,127}}(/[0-9a-f]{{32}})?"
    if not re.fullmatch(shape, value):
        raise SettingError(
            "ENCRYPTION_KEY_ID", f"is not the address of a key in a vault of {cloud.vault_suffix}"
        )
    return value


def _organizers(value: str) -> frozenset[str]:
    ids = [part.strip() for part in value.split(",") if part.strip()]
    if not all(GUID.match(each) for each in ids):
        raise SettingError("ORGANIZERS", "holds something that is not an object id (GUID)")
    return frozenset(each.lower() for each in ids)


def _container(value: str) -> str:
    if not _CONTAINER.match(value):
        raise SettingError("ATTENDANCE_CONTAINER", "is not a container name that leaves room for -state")
    return value


def _queue_url(read: _Reader, cloud: Cloud) -> str:
    if url := read.url("AzureWebJobsStorage__queueServiceUri", loopback=False):
        return url
    account = read.text("AzureWebJobsStorage__accountName")
    if not account:
        return read.missing("AzureWebJobsStorage__queueServiceUri", "is missing")
    if not re.fullmatch(r"[a-z0-9]{3,24}", account):
        raise SettingError("AzureWebJobsStorage__accountName", "is not the name of a storage account")
    return f"https://{account}.queue.{cloud.storage_suffix}"


def _notification_base_url(read: _Reader, environ: Mapping[str, str]) -> str:
    if url := read.url("NOTIFICATION_BASE_URL"):
        return url
    if host := environ.get("WEBSITE_HOSTNAME"):
        return checked_url("NOTIFICATION_BASE_URL", f"https://{host}/api", loopback=False)
    return read.missing("NOTIFICATION_BASE_URL", "is missing, and WEBSITE_HOSTNAME is not set either")
