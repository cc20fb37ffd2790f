"""App settings: each is declared, parsed and checked once, as a `Settings` field.

Standard library only, because the webhook reads its settings before it answers. If Azure Functions has a name for a
setting, that name is used (identity-based connections). A secret's value never appears in an error, a log or on the
health page; nor does the value of another setting that looks like one.
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
MIN_CLIENT_STATE, MAX_CLIENT_STATE = 32, 128  # the maximum is that of Graph v1.0
MIN_VARIETY = 8  # distinct characters of a random secret, and distinct steps between them
MIN_RETENTION = 31  # days; Graph lists calls for 30, so calls deleted earlier would be archived again
SUBJECT, SCHEDULE, INVITEES, NOTHING = "subject", "schedule", "invitees", "none"
DETAILS = (SUBJECT, SCHEDULE, INVITEES)
CALL_RECORDS, VIRTUAL_EVENTS, CALL_EVENTS = "call-records", "virtual-events", "call-events"
SIGNALS = (CALL_RECORDS, VIRTUAL_EVENTS, CALL_EVENTS)
WEBHOOK, EVENT_HUBS, EVENT_GRID = "webhook", "event-hubs", "event-grid"
DELIVERIES = (WEBHOOK, EVENT_HUBS, EVENT_GRID)
STATE_SUFFIX = "-state"

GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_NCRONTAB = re.compile(r"(\S+ +){5}\S+\Z")
_CONTAINER = re.compile(r"[a-z0-9](-?[a-z0-9]){2,56}\Z")
_NAMESPACE = re.compile(r"[a-z][a-z0-9-]{4,48}[a-z0-9](\.[a-z0-9-]+){3}\Z")
_TOPIC = re.compile(
    r"EventGrid:\?azuresubscriptionid=[0-9a-fA-F-]{36}&resourcegroup=[^&?#\s]{1,90}"
    r"&partnertopic=[0-9A-Za-z-]{3,50}&location=[0-9a-z]{1,50}\Z"
)
_PLAIN = re.compile(r"[A-Za-z0-9._~-]+\Z")
REFERENCE = "@Microsoft.KeyVault("
_HOST = "WEBSITE_HOSTNAME"  # set by the platform


@dataclass(frozen=True)
class Cloud:
    """A national cloud and its endpoints.

    Source: https://learn.microsoft.com/graph/deployments
    """

    name: str
    graph_root: str
    login_root: str
    storage_suffix: str
    vault_suffix: str
    hub_suffix: str
    exchange_audience: str  # of a managed identity's token that stands for an app registration
    has_events: bool  # virtual events, and the events of calls


# fmt: off
CLOUDS = {cloud.name: cloud for cloud in (
    Cloud("global", "https://graph.microsoft.com", "https://login.microsoftonline.com",
        "core.windows.net", "vault.azure.net", "servicebus.windows.net",
        "api://AzureADTokenExchange", has_events=True),
    Cloud("usgov", "https://graph.microsoft.us", "https://login.microsoftonline.us",
        "core.usgovcloudapi.net", "vault.usgovcloudapi.net", "servicebus.usgovcloudapi.net",
        "api://AzureADTokenExchangeUSGov", has_events=False),
    Cloud("usgovdod", "https://dod-graph.microsoft.us", "https://login.microsoftonline.us",
        "core.usgovcloudapi.net", "vault.usgovcloudapi.net", "servicebus.usgovcloudapi.net",
        "api://AzureADTokenExchangeUSGov", has_events=False),
)}
# fmt: on


# Parsers of a value: they take the setting's name and text, and raise SettingError.

_MAX_SHOWN = 60  # characters of a wrong value that an error shows
_HARMLESS = re.compile(r"[A-Za-z0-9 .,:;/*_-]+\Z")  # no sign that passwords, keys and signatures in URLs need
_RANDOM = re.compile(r"[A-Za-z0-9]{25}")  # in a row, as in a key or a secret


def _not_allowed(name: str, text: str, allowed: str) -> SettingError:
    """Return the error about a wrong value.

    It shows the value unless that may be a secret in the wrong place.
    """
    is_shown = len(text) <= _MAX_SHOWN and _HARMLESS.match(text) and not _RANDOM.search(text)
    return SettingError(name, f"is {f"'{text}'" if is_shown else 'wrong'}; allowed: {allowed}")


def _text(_: str, text: str) -> str:
    return text


def _guid(name: str, text: str) -> str:
    if not GUID.match(text):
        raise _not_allowed(name, text, "a GUID")
    return text.lower()


def _whole_number(least: int, most: int, *, or_zero: bool = False) -> Callable[[str, str], int]:
    allowed = f"{'0, or ' if or_zero else ''}a whole number from {least} to {most}"

    def read(name: str, text: str) -> int:
        value = int(text) if re.fullmatch(r"[0-9]{1,12}", text) else -1
        if not (least <= value <= most or (or_zero and value == 0)):
            raise _not_allowed(name, text, allowed)
        return value

    return read


def _rate(name: str, text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) or float(text) <= 0:
        raise _not_allowed(name, text, "a number above 0")
    return float(text)


def _schedule(name: str, text: str) -> str:
    """Check the shape of a schedule, so that the health page can name a wrong one.

    Functions itself parses it.
    """
    if not _NCRONTAB.match(text):
        raise _not_allowed(name, text, "an NCRONTAB expression of six fields")
    return text


def _secret(name: str, text: str) -> str:
    if len(text) < MIN_CLIENT_STATE:
        raise SettingError(name, f"has fewer than {MIN_CLIENT_STATE} characters")
    if len(text) > MAX_CLIENT_STATE or not text.isprintable():
        raise SettingError(name, f"has more than {MAX_CLIENT_STATE} characters or unprintable ones")
    steps = {ord(after) - ord(before) for before, after in pairwise(text)}
    if min(len(set(text)), len(steps)) < MIN_VARIETY:
        raise SettingError(name, "is not random: create one with `openssl rand -hex 32`")
    return text


def _https(name: str, text: str, *, loopback: bool = False) -> str:
    """Parse an https URL without query and trailing slash.

    With `loopback`, also an http URL on this machine.
    """
    wrong = _not_allowed(name, text, "an https URL without user, query, fragment and white space")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    local = loopback and host in {"127.0.0.1", "localhost", "::1"}
    if not host or parts.username is not None or re.search(r"[\s?#]", text):
        raise wrong
    if parts.scheme != "https" and not (local and parts.scheme == "http"):
        raise wrong
    return text.rstrip("/")


def _address(name: str, text: str) -> str:
    return _https(name, text, loopback=True)


def _account(name: str, text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]{3,24}", text):
        raise _not_allowed(name, text, "the name of a storage account, of 3 to 24 small letters and digits")
    return text


def _container(name: str, text: str) -> str:
    if not _CONTAINER.match(text):
        allowed = f"3 to 57 small letters, digits and single hyphens, which leave room for {STATE_SUFFIX}"
        raise _not_allowed(name, text, allowed)
    return text


def _cloud(name: str, text: str) -> Cloud:
    if text == "china":
        raise SettingError(name, "is china, where Microsoft Graph (21Vianet) has no attendance report API")
    if text not in CLOUDS:
        raise _not_allowed(name, text, ", ".join(CLOUDS))
    return CLOUDS[text]


def _signals(name: str, text: str) -> frozenset[str]:
    names = frozenset(_split(text))
    if not names or not names <= set(SIGNALS):
        raise _not_allowed(name, text, ", ".join(SIGNALS))
    return names


def _deliveries(name: str, text: str) -> tuple[str, ...]:
    """Parse the way of delivery, and perhaps the one that it replaces."""
    ways = tuple(text.split(","))
    if not set(ways) <= set(DELIVERIES) or len(set(ways)) != len(ways):
        raise SettingError(
            name, f"is not one of {', '.join(DELIVERIES)}, or two of them separated by a comma"
        )
    if len(ways) > 2:
        raise SettingError(name, "names more than two ways of delivery")
    return ways


def _namespace(name: str, text: str) -> str:
    if not _NAMESPACE.match(text.lower()):
        raise SettingError(name, "is not the host name of an Event Hubs namespace")
    return text.lower()


def _topic(name: str, text: str) -> str:
    if not _TOPIC.match(text):
        raise SettingError(
            name,
            "is not of the form EventGrid:?azuresubscriptionid=…&resourcegroup=…&partnertopic=…&location=…",
        )
    return text


def _details(name: str, text: str) -> frozenset[str]:
    names = frozenset(_split(text))
    if names != {NOTHING} and (not names or not names <= set(DETAILS)):
        raise SettingError(name, f"is not {NOTHING}, and contains something other than {', '.join(DETAILS)}")
    return names - {NOTHING}


def _object_ids(name: str, text: str) -> frozenset[str]:
    for each in _split(text):
        if not GUID.match(each):
            raise _not_allowed(name, each, "object ids (GUIDs), comma-separated")
    return frozenset(each.lower() for each in _split(text))


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


# Values of settings that are not set: functions of the values parsed before.

type _Values = Mapping[str, Any]


def _host_endpoint(service: str) -> Callable[[_Values], str]:
    """Return a function that derives an endpoint from the account's name.

    Functions itself does so too, but only with the global cloud's suffix.
    """

    def endpoint(values: _Values) -> str:
        account, cloud = values["host_account"], values["cloud"]
        is_global = cloud.name == "global"
        return f"https://{account}.{service}.{cloud.storage_suffix}" if account and is_global else ""

    return endpoint


def _webhooks(values: _Values) -> str:
    host = values[_HOST]
    return _https("NOTIFICATION_BASE_URL", f"https://{host}/api") if host else ""


@dataclass(frozen=True)
class Setting:
    """An app setting as declared; a `default` of None makes it required.

    `read` parses a text. `unset` derives the value of a setting that is neither set nor has a default. `missing` is the
    problem if that gives "" too; without one, "" is valid. The webhooks do without a setting that is `for_workers`: an
    unresolved reference counts as not set.
    """

    name: str
    read: Callable[[str, str], Any]
    default: str | None
    meaning: str
    secret: bool = False
    unset: Callable[[_Values], Any] = lambda _: ""
    missing: str = ""
    for_workers: bool = False

    def value(self, text: str | None, values: _Values, *, complete: bool) -> Any:
        """Return the checked value.

        Unless `complete`, it is "" if a value is missing, or a secret is in Key Vault.
        """
        text = (text or "").strip() or self.default or ""
        if text.startswith(REFERENCE):
            if not self.secret or (complete and not self.for_workers):
                raise SettingError(self.name, _UNRESOLVED)
            text = ""
        value = self.read(self.name, text) if text else self.unset(values)
        missing = "is missing" if self.default is None else self.missing
        if complete and missing and value == "":
            raise SettingError(self.name, missing)
        return value


_UNRESOLVED = (
    "is a Key Vault reference that the platform has not resolved (yet): check that the secret exists, that the app's "
    "identity has the role Key Vault Secrets User on it and that the vault's firewall allows the app; then refresh the "
    "app's references, or change a setting"
)


_NO_ENDPOINT = "is missing; it follows from AzureWebJobsStorage__accountName in the global cloud only"


def _field[**P](declare: Callable[P, Setting]) -> Callable[P, Any]:
    """Return a function with these arguments that declares a field of `Settings`."""
    return lambda *args, **kwargs: field(metadata={"setting": declare(*args, **kwargs)})


REQUIRED = None  # as a default
setting = _field(Setting)


@dataclass(frozen=True)
class Settings:
    """All settings, checked; durations in seconds, URLs without a trailing slash."""

    # fmt: off
    tenant_id: str = setting("TENANT_ID", _guid, REQUIRED,
        "Your Microsoft Entra tenant (GUID). Anything of another tenant is dropped.")
    cloud: Cloud = setting("GRAPH_CLOUD", _cloud, "global",  # noqa: RUF009 - makes a field
        "`global`, `usgov` (L4) or `usgovdod` (L5).")
    client_id: str = setting("AZURE_CLIENT_ID", _text, "",
        "Client id of the user-assigned managed identity. Empty: the system-assigned one.")
    graph_client_id: str = setting("GRAPH_CLIENT_ID", _guid, "",
        "Client id of an app registration that trusts the managed identity and is used for Graph instead of it. For "
        "tenants whose application access policies do not accept a managed identity.")
    blob_url: str = setting("AttendanceStorage__blobServiceUri", _https, REQUIRED,
        "Blob endpoint of the data account, which holds reports, outcomes and tables; https.")
    blob_client_id: str = setting("AttendanceStorage__clientId", _text, "",
        "Identity for the data account. Empty: `AZURE_CLIENT_ID`.", unset=lambda values: values["client_id"])
    container: str = setting("ATTENDANCE_CONTAINER", _container, "attendance",
        "Container of reports and outcomes in the data account. Operational state is in the host account, in the "
        "container of this name with `-state`.")
    retention_days: int = setting("RETENTION_DAYS", _whole_number(MIN_RETENTION, 36_500, or_zero=True), "0",
        "Days after which storage deletes archived blobs, as in its lifecycle rule: 0 (never), or at least 31. Deploy "
        "both with the parameter `retentionDays`.")
    host_account: str = setting("AzureWebJobsStorage__accountName", _account, "",
        "Name of the host account, which holds the queues, the operational state and the data of Azure Functions. "
        "Functions itself also needs `…__credential` = `managedidentity` and `…__clientId`.")
    state_url: str = setting("AzureWebJobsStorage__blobServiceUri", _https, "",
        "Blob endpoint of the host account, https. Empty: derived from `AzureWebJobsStorage__accountName`, in the "
        "global cloud only.",
        unset=_host_endpoint("blob"), missing=_NO_ENDPOINT)
    queue_url: str = setting("AzureWebJobsStorage__queueServiceUri", _https, "",
        "Queue endpoint of the host account, https. Empty: as above.",
        unset=_host_endpoint("queue"), missing=_NO_ENDPOINT)
    host_client_id: str = setting("AzureWebJobsStorage__clientId", _text, "",
        "Identity for the host account. Empty: `AZURE_CLIENT_ID`.", unset=lambda values: values["client_id"])
    notification_base_url: str = setting("NOTIFICATION_BASE_URL", _address, "",
        "Public address of the app's routes, https (http on a loopback address). Empty: "
        "`https://$WEBSITE_HOSTNAME/api`.", unset=_webhooks, missing=f"is missing, and {_HOST} is not set either")
    deliveries: tuple[str, ...] = setting("DELIVERY", _deliveries, WEBHOOK,
        "How Graph delivers: `webhook`, `event-hubs`, or `event-grid` (call records only). For a day after a move, "
        "followed by a comma and the former way, which is then still received: `event-hubs,webhook`. No spaces.")
    hub_namespace: str = setting("GraphEventHub__fullyQualifiedNamespace", _namespace, "",
        "Host name of the Event Hubs namespace. Required with `event-hubs`, as are `…__credential` = `managedidentity` "
        "and `…__clientId` for Functions itself.")
    partner_topic: str = setting("PARTNER_TOPIC", _topic, "",
        "The Event Grid partner topic as Graph addresses it: `EventGrid:?azuresubscriptionid=…&resourcegroup=…"
        "&partnertopic=…&location=…`. Required with `event-grid`.")
    client_state: str = setting("CLIENT_STATE", _secret, REQUIRED,
        "Secret that Graph sends back with each notification; 32 to 128 random characters.", secret=True)
    client_state_previous: str = setting("CLIENT_STATE_PREVIOUS", _secret, "",
        "A second accepted secret: the old one during a rotation, otherwise a random one that nobody knows.",
        secret=True)
    erasure_key: str = setting("ERASURE_KEY", _secret, "",
        "Secret behind the hashes of erased persons; 32 to 128 random characters. Never change it: while persons are "
        "erased with another one, nothing is archived. Empty: nobody can be erased.", secret=True, for_workers=True)
    signals: frozenset[str] = setting("SIGNALS", _signals, CALL_RECORDS,
        "Notification sources to subscribe to, comma-separated: `call-records`, `virtual-events` (webinars and town "
        "halls), `call-events` (chosen meetings, within seconds).")
    encryption_key_id: str = setting("ENCRYPTION_KEY_ID", _text, "",
        "Key for `call-events`: the URL of an RSA key in Key Vault, `https://…/keys/NAME`, or locally the path of a "
        "PEM file. Required with `call-events`.")
    organizers: frozenset[str] = setting("ORGANIZERS", _object_ids, "",
        "Object ids of the organizers in a pilot, comma-separated. Empty: everyone.", unset=lambda _: frozenset())
    meeting_details: frozenset[str] = setting("MEETING_DETAILS", _details, f"{SUBJECT},{SCHEDULE}",
        "Details of a meeting that are kept with its reports, comma-separated: `subject`, `schedule` (scheduled start "
        "and end, chat thread, type), `invitees` (who was invited, or registered for a webinar or town hall, as a "
        "table of its own); or `none`.")
    retry_first_delay: int = setting("RETRY_FIRST_DELAY", _whole_number(1, DAY), "60",
        "Initial retry delay in seconds for a report that is not ready; doubles after each attempt.")
    retry_window: int = setting("RETRY_WINDOW", _whole_number(1, 30 * DAY), "86400",
        "Seconds after which retries for a report end; at most 30 days.")
    confirm_after: int = setting("CONFIRM_AFTER", _whole_number(0, MAX_QUEUE_DELAY), "14400",
        "Seconds after which a report read soon after its end is read again. 0: never.")
    notification_max_bytes: int = setting("NOTIFICATION_MAX_BYTES", _whole_number(1024, 100 * 1024 * 1024), "",
        "Largest notification body in bytes; larger ones get 413. If not set: 262144, or 1048576 if SIGNALS names"
        " `call-events`, whose notifications carry ciphertext.",
        unset=lambda values: 1_048_576 if CALL_EVENTS in values["signals"] else 262_144)
    graph_rate: float = setting("GRAPH_RATE", _rate, "10",
        "Graph requests per second of one instance: the tenant's limit divided by the instances of all function groups"
        " that call Graph.")
    maintain_schedule: str = setting("MAINTAIN_SCHEDULE", _schedule, REQUIRED,
        "Schedule of subscription maintenance: a six-field NCRONTAB expression in UTC, such as `0 */15 * * * *`. The "
        "trigger reads it, so it has no default.")
    sweep_schedule: str = setting("SWEEP_SCHEDULE", _schedule, REQUIRED,
        "Schedule of reconciliation, in the same form, such as `0 10 * * * *`.")
    graph_root: str = setting("GRAPH_ROOT", _address, "",
        "Address used instead of the cloud's Graph; for local use.", unset=lambda values: values["cloud"].graph_root)
    login_root: str = setting("LOGIN_ROOT", _address, "",
        "Address used instead of the cloud's sign-in; for local use.", unset=lambda values: values["cloud"].login_root)
    # fmt: on

    def __repr__(self) -> str:
        return "Settings(…)"  # a traceback that shows its locals must not show the client state

    @property
    def client_states(self) -> tuple[str, ...]:
        """The accepted client states, the current one first."""
        return tuple(state for state in (self.client_state, self.client_state_previous) if state)

    @property
    def delivery(self) -> str:
        """The way by which Graph delivers, or is to deliver after the next maintenance."""
        return self.deliveries[0]

    @property
    def has_plain_states(self) -> bool:
        """Whether JSON writes each accepted client state in one way only.

        A body can then be searched for it.
        """
        return all(map(_PLAIN.match, self.client_states))

    @property
    def state_container(self) -> str:
        """The container of operational state, in the host account."""
        return self.container + STATE_SUFFIX

    @property
    def graph_app_id(self) -> str:
        """The client id that Graph sees, as far as the settings contain it."""
        return self.graph_client_id or self.client_id

    @property
    def graph_scope(self) -> str:
        """The scope of a token for Graph: the cloud's root, even if GRAPH_ROOT is set."""
        return f"{self.cloud.graph_root}/.default"


_DECLARED: dict[str, Setting] = {each.name: each.metadata["setting"] for each in fields(Settings)}
TABLE = tuple(_DECLARED.values())
NAMES = (*(each.name for each in TABLE), _HOST)


def load(environ: Mapping[str, str], *, complete: bool = True) -> Settings:
    """Read and check all settings. Raises SettingError for the first wrong one.

    Unless `complete`, missing values and secrets in Key Vault are "", which is enough for the command line.
    """
    return _load(tuple(map(environ.get, NAMES)), complete=complete)


@lru_cache(maxsize=2)  # called for each notification, with settings that hardly change
def _load(texts: tuple[str | None, ...], *, complete: bool) -> Settings:
    values: dict[str, Any] = {_HOST: texts[-1]}
    for (name, declared), text in zip(_DECLARED.items(), texts, strict=False):
        values[name] = declared.value(text, values, complete=complete)
    settings = Settings(**{name: values[name] for name in _DECLARED})
    if complete:
        _check_together(settings)
    return settings


def _check_together(settings: Settings) -> None:
    """Check rules about more than one setting."""
    cloud, key = settings.cloud, settings.encryption_key_id
    if settings.signals & {VIRTUAL_EVENTS, CALL_EVENTS} and not cloud.has_events:
        raise SettingError(
            "SIGNALS",
            f"names {VIRTUAL_EVENTS} or {CALL_EVENTS}, which Microsoft Graph has in the global cloud only",
        )
    _check_delivery(settings)
    if CALL_EVENTS in settings.signals:
        for name, value in (("AZURE_CLIENT_ID", settings.graph_app_id), ("ENCRYPTION_KEY_ID", key)):
            if not value:
                raise SettingError(name, f"is missing, and SIGNALS names {CALL_EVENTS}")
    vault = rf"https://[0-9A-Za-z-]{{3,24}}\.{re.escape(cloud.vault_suffix)}"
    if "://" in key and not re.fullmatch(rf"{vault}/keys/[0-9A-Za-z-]{{1,127}}(/[0-9a-f]{{32}})?", key):
        raise SettingError(
            "ENCRYPTION_KEY_ID", f"is not the address of a key in a vault of {cloud.vault_suffix}"
        )


def _check_delivery(settings: Settings) -> None:
    suffix = settings.cloud.hub_suffix
    if EVENT_HUBS in settings.deliveries:
        name, value = "GraphEventHub__fullyQualifiedNamespace", settings.hub_namespace
        if not value:
            raise SettingError(name, f"is missing, and DELIVERY names {EVENT_HUBS}")
        if not value.endswith(f".{suffix}"):
            raise SettingError(name, f"is not a namespace of {suffix}")
    if EVENT_GRID in settings.deliveries and not settings.partner_topic:
        raise SettingError("PARTNER_TOPIC", f"is missing, and DELIVERY names {EVENT_GRID}")
    others = sorted(settings.signals - {CALL_RECORDS})
    if settings.delivery == EVENT_GRID and others:
        raise SettingError(
            "SIGNALS",
            f"names {' and '.join(others)}, and DELIVERY is {EVENT_GRID}: Event Grid has call records only",
        )


def public_values(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the values for people, with defaults and without secrets."""
    return {each.name: environ.get(each.name) or each.default or "" for each in TABLE if not each.secret}


def fingerprint(client_state: str) -> str:
    """Return eight hex digits of the SHA-256, to compare secrets unseen."""
    return hashlib.sha256(client_state.encode()).hexdigest()[:8]
