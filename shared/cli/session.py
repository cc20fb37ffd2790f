"""Session of one command: settings, sign-in, and connections made when needed.

The app's settings come from a file, from the local stack, or from the environment. The file is the output of `az
functionapp config appsettings list`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError
from azure.storage.blob import BlobServiceClient, ContainerClient
from azure.storage.blob import ExponentialRetry as BlobRetry
from azure.storage.queue import ExponentialRetry as QueueRetry
from azure.storage.queue import QueueServiceClient

from .. import settings
from ..errors import AttendanceError
from ..graph.client import Graph
from ..health import readings
from ..health.readings import Sources
from ..limits import RateLimiter
from ..settings import Settings
from ..storage import clients
from ..storage.clients import Queue
from ..storage.state import StateStore
from ..subscriptions import status
from . import addresses, sign_in, vault
from .sign_in import SignIn

LOCAL_SETTINGS = Path(".local", "state", "settings.json")  # in the folder of a checkout
CHECKOUT = Path(__file__).resolve().parents[2]  # where the command is run from one
ERASURE_KEY = "ERASURE_KEY"
GRAPH_RATE = 5.0  # Graph requests per second
MAX_BYTES = 1024 * 1024  # of a settings file
# Somebody waits: what storage does not answer within half a minute is an error. Errors of HTTP are retried three times.
_LIMITS: dict[str, Any] = {"connection_timeout": 4, "read_timeout": 12}
_RETRY: dict[str, Any] = {"initial_backoff": 1, "increment_base": 2, "retry_connect": 1, "retry_read": 1}
_BLOB_LIMITS: dict[str, Any] = {"retry_policy": BlobRetry(**_RETRY), **_LIMITS}
_QUEUE_LIMITS: dict[str, Any] = {"retry_policy": QueueRetry(**_RETRY), **_LIMITS}


class Source(Enum):
    """Origin of the app's settings, which decides to whom a token may go."""

    ENVIRONMENT = "environment"  # the operator's own: any address
    FILE = "file"  # perhaps a stranger's: addresses of the chosen cloud
    LOCAL = "local"  # the local stack's: addresses of this machine too


class OutputFormat(StrEnum):
    """Values of `--output`."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    TSV = "tsv"


@dataclass(frozen=True)
class Session:
    """The session of one command.

    Raises AttendanceError if a setting is missing or wrong.
    """

    environ: Mapping[str, str]
    sign_in: SignIn | None
    client_id: str | None
    format: OutputFormat = OutputFormat.TABLE
    source: Source = Source.ENVIRONMENT

    @property
    def as_json(self) -> bool:
        """Whether the output is JSON."""
        return self.format is OutputFormat.JSON

    @cached_property
    def settings(self) -> Settings:
        """The app's settings, as far as they are known here.

        Those of a file only with addresses that are trusted.
        """
        loaded = settings.load(self.environ, complete=False)
        if self.source is not Source.ENVIRONMENT:
            addresses.check_addresses(loaded, local=self.source is Source.LOCAL)
        return loaded

    @cached_property
    def credential(self) -> TokenCredential:
        """The credential for storage, signed in.

        Raises SignInNeeded before anything else is tried.
        """
        credential = sign_in.choose_credential(self.sign_in or SignIn.AUTO, self.settings, self.client_id)
        credential.get_token(sign_in.STORAGE_SCOPE)
        return credential

    @cached_property
    def data_blobs(self) -> BlobServiceClient:
        """The data account."""
        return clients.blob_service(self._data_url, self.credential, **_BLOB_LIMITS)

    @cached_property
    def host_blobs(self) -> BlobServiceClient:
        """The host account's blobs."""
        return clients.blob_service(self._state_url, self.credential, **_BLOB_LIMITS)

    @cached_property
    def queues(self) -> QueueServiceClient:
        """The host account's queues."""
        return clients.queue_service(self._queue_url, self.credential, **_QUEUE_LIMITS)

    @cached_property
    def health_sources(self) -> Sources:
        """Return the connections of `status` and `doctor`.

        They wait for none longer than the health page does.
        """
        data, state, queue = self._data_url, self._state_url, self._queue_url
        return readings.build_sources(
            self.settings,
            clients.blob_service(data, self.credential, **readings.BLOB_LIMITS),
            clients.blob_service(state, self.credential, **readings.BLOB_LIMITS),
            clients.queue_service(queue, self.credential, **readings.QUEUE_LIMITS),
        )

    @property
    def _data_url(self) -> str:
        return self.settings.blob_url or _missing("AttendanceStorage__blobServiceUri")

    @property
    def _state_url(self) -> str:
        return self.settings.state_url or _missing("AzureWebJobsStorage__blobServiceUri")

    @property
    def _queue_url(self) -> str:
        return self.settings.queue_url or _missing("AzureWebJobsStorage__queueServiceUri")

    @property
    def container(self) -> ContainerClient:
        """The container of the reports."""
        return self.data_blobs.get_container_client(self.settings.container)

    @property
    def state_container(self) -> ContainerClient:
        """The container of operational state."""
        return self.host_blobs.get_container_client(self.settings.state_container)

    @property
    def state(self) -> StateStore:
        """The operational state."""
        return StateStore(self.state_container)

    @property
    def upkeep(self) -> Queue:
        """The queue of tasks for the app."""
        return Queue(self.queues, clients.UPKEEP_QUEUE)

    def app_version(self) -> str:
        """Return the version of the app, as it last published it.

        "" if this command did not read its state.
        """
        if "host_blobs" not in self.__dict__:
            return ""
        try:
            run = status.read_last_run(self.state)
        except AzureError:
            return ""
        return run.version if run else ""

    def erasure_key(self) -> str:
        """The secret ERASURE_KEY, from Key Vault where the settings refer to it.

        Raises AttendanceError.
        """
        text, declared = self.environ.get(ERASURE_KEY, "").strip(), self.settings.erasure_key
        if text.startswith(settings.REFERENCE):
            return vault.read_reference(ERASURE_KEY, text, self.credential, self.settings.cloud)
        return declared or _missing(ERASURE_KEY)

    def graph(self, usual: SignIn = SignIn.AUTO) -> Graph:
        """Return Graph for the signed-in user; `usual` is the default way to sign in."""
        source = sign_in.choose_credential(self.sign_in or usual, self.settings, self.client_id)
        token = sign_in.graph_token_source(source, self.settings.graph_scope)
        return Graph(self.settings.graph_root, token, RateLimiter(GRAPH_RATE))


_CURRENT: ContextVar[Session] = ContextVar("session")


def set_current(session: Session) -> None:
    """Set the session of the command that follows."""
    _CURRENT.set(session)


def current() -> Session:
    """Return the session of the running command."""
    return _CURRENT.get()


def load_environment(file: Path | None, *, local: bool) -> tuple[dict[str, str], Source]:
    """Load the app's settings and this process's environment.

    Of a file only the app's own settings are taken: no proxy, no certificates and no identity endpoint. The local stack
    sets those in this process, because the SDKs read them there. Raises AttendanceError for a file without settings.
    """
    if not local:
        if file is None:
            return dict(os.environ), Source.ENVIRONMENT
        given = read_settings_file(file)
        return {**os.environ, **{name: given[name] for name in settings.NAMES if name in given}}, Source.FILE
    found = next((each for each in _local_files() if each.exists()), None)
    if found is None:
        raise AttendanceError(
            "No local stack is running: start one with `make up`, and run this command in the same folder."
        )
    given = read_settings_file(found)
    if not addresses.is_loopback(given.get("IDENTITY_ENDPOINT", "")):
        raise AttendanceError(f"{found} names no identity endpoint on this machine.")
    os.environ.update({name: given[name] for name in _FOR_SDKS if name in given})
    return {**os.environ, **given}, Source.LOCAL


def _local_files() -> tuple[Path, ...]:
    """Return where the local stack writes its settings.

    In this checkout, or in the current folder.
    """
    return CHECKOUT / LOCAL_SETTINGS, Path.cwd() / LOCAL_SETTINGS


_FOR_SDKS = ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "REQUESTS_CA_BUNDLE", "NO_PROXY", "no_proxy")


def read_settings_file(file: Path) -> dict[str, str]:
    """Read settings from a list of objects with `name` and `value`.

    Raises AttendanceError.
    """
    try:
        with file.open("rb") as stream:
            content = json.loads(stream.read(MAX_BYTES))
    except OSError as failure:
        raise AttendanceError(f"The settings in {file} cannot be read ({failure.strerror}).") from None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, list) or not all(isinstance(each, dict) for each in content):
        raise AttendanceError(f"{file} is not the output of `az functionapp config appsettings list`.")
    values = {str(each.get("name")): each.get("value") for each in content}
    return {name: "" if value is None else str(value) for name, value in values.items()}


def _missing(name: str) -> NoReturn:
    raise AttendanceError(
        f"{name} is not set: give the app's settings with --settings FILE, or in the environment, "
        "or work on the local stack with --local."
    )
