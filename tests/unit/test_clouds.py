"""Each cloud has its addresses, and the app calls no others."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from local.stack.identity import CLIENT_ID, Identity
from shared import settings
from shared.errors import SettingError, Unavailable
from shared.graph import credentials
from shared.graph.client import Graph
from shared.limits import RateLimiter
from shared.settings import CLOUDS, Cloud, Settings, load
from shared.storage.clients import blob_service, queue_service
from tests.support.app_settings import ENVIRON

HOSTS = {
    "global": ("graph.microsoft.com", "login.microsoftonline.com", "core.windows.net", "vault.azure.net"),
    "usgov": (
        "graph.microsoft.us", "login.microsoftonline.us", "core.usgovcloudapi.net", "vault.usgovcloudapi.net",
    ),
    "usgovdod": (
        "dod-graph.microsoft.us", "login.microsoftonline.us", "core.usgovcloudapi.net", "vault.usgovcloudapi.net",
    ),
}  # fmt: skip
UNSET = ("GRAPH_ROOT", "LOGIN_ROOT", "AzureWebJobsStorage__accountName")


def environ(cloud: str, **changes: str) -> dict[str, str]:
    known = {name: value for name, value in ENVIRON.items() if name not in UNSET}
    suffix = HOSTS.get(cloud, HOSTS["global"])[2]
    host = {
        f"AzureWebJobsStorage__{service}ServiceUri": f"https://jobs.{service}.{suffix}"
        for service in ("blob", "queue")
    }
    return known | {"GRAPH_CLOUD": cloud} | host | changes


@pytest.fixture(params=sorted(CLOUDS))
def cloud(request: pytest.FixtureRequest) -> Cloud:
    return CLOUDS[request.param]


@pytest.fixture
def config(cloud: Cloud) -> Settings:
    return load(environ(cloud.name))


@contextmanager
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every request to another machine is noted, and fails."""
    asked: list[str] = []
    really = requests.Session.send

    def send(
        session: requests.Session, request: requests.PreparedRequest, **options: Any
    ) -> requests.Response:
        if urlsplit(str(request.url)).hostname == "127.0.0.1":
            return really(session, request, **options)
        asked.append(str(request.url))
        raise requests.ConnectionError("no network")

    with monkeypatch.context() as patch:
        patch.setattr(requests.Session, "send", send)
        yield asked


def test_every_row_has_its_hosts(cloud: Cloud) -> None:
    graph, login, storage, vault = HOSTS[cloud.name]
    assert (cloud.graph_root, cloud.login_root) == (f"https://{graph}", f"https://{login}")
    assert (cloud.storage_suffix, cloud.vault_suffix) == (storage, vault)


def test_a_call_goes_to_the_clouds_graph(
    config: Settings, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = Graph(config.graph_root, lambda *_: "token", RateLimiter(100), sleep=lambda _: None)
    with no_network(monkeypatch) as asked, pytest.raises(Unavailable):
        graph.get("communications/callRecords/1", "get call record")
    assert {urlsplit(url).hostname for url in asked} == {HOSTS[cloud.name][0]}


def test_a_token_is_for_the_clouds_graph(config: Settings, cloud: Cloud) -> None:
    assert config.graph_scope == f"{cloud.graph_root}/.default"


def test_a_registrations_token_comes_from_the_clouds_sign_in(
    cloud: Cloud, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", identity.endpoint)
    monkeypatch.setenv("IDENTITY_HEADER", identity.header)
    monkeypatch.setitem(credentials._OPTIONS, "retry_total", 0)
    registration = "5c000000-0000-4000-8000-000000000001"
    config = load(environ(cloud.name, GRAPH_CLIENT_ID=registration, AZURE_CLIENT_ID=CLIENT_ID))
    with no_network(monkeypatch) as asked, pytest.raises(Unavailable):
        credentials.graph_token(config)(False, None)
    assert {urlsplit(url).hostname for url in asked} == {HOSTS[cloud.name][1]}


def test_queues_and_blobs_are_in_the_clouds_storage(config: Settings, cloud: Cloud) -> None:
    identity, suffix = credentials.managed_identity(""), HOSTS[cloud.name][2]
    queues, state = queue_service(config.queue_url, identity), blob_service(config.state_url, identity)
    assert urlsplit(queues.url).hostname == f"jobs.queue.{suffix}"
    assert urlsplit(state.url).hostname == f"jobs.blob.{suffix}"
    assert blob_service(config.blob_url, identity).url.startswith(config.blob_url)


def test_a_key_is_in_a_vault_of_the_cloud(cloud: Cloud) -> None:
    ours = f"https://keys.{cloud.vault_suffix}/keys/reports"
    assert load(environ(cloud.name, ENCRYPTION_KEY_ID=ours)).encryption_key_id == ours
    for other in (*(each.vault_suffix for each in CLOUDS.values()), "example.com"):
        if other != cloud.vault_suffix:
            with pytest.raises(SettingError, match=re.escape(f"a vault of {cloud.vault_suffix}")):
                load(environ(cloud.name, ENCRYPTION_KEY_ID=f"https://keys.{other}/keys/reports"))


@pytest.mark.parametrize("signals", ["virtual-events", "call-events", "call-records,virtual-events"])
def test_events_are_in_the_global_cloud_only(cloud: Cloud, signals: str) -> None:
    told = environ(cloud.name, SIGNALS=signals, ENCRYPTION_KEY_ID="key.pem", AZURE_CLIENT_ID=CLIENT_ID)
    if cloud.name == "global":
        assert load(told).signals == frozenset(signals.split(","))
        return
    with pytest.raises(SettingError) as refused:
        load(told)
    assert str(refused.value) == (
        "App setting SIGNALS names virtual-events or call-events, which Microsoft Graph has in the global cloud only."
    )


def test_china_is_refused_with_the_reason() -> None:
    for complete in (True, False):
        with pytest.raises(SettingError) as refused:
            load(environ("china"), complete=complete)
        assert "GRAPH_CLOUD is china" in str(refused.value)
        assert "no attendance report API" in str(refused.value)


@pytest.mark.parametrize("name", ["bleu", "Global", "AzureCloud"])
def test_an_unknown_cloud_is_refused_with_the_names_of_those_that_are_known(name: str) -> None:
    for complete in (True, False):
        with pytest.raises(SettingError) as refused:
            load(environ(name), complete=complete)
        assert str(refused.value) == f"App setting GRAPH_CLOUD is '{name}'; allowed: global, usgov, usgovdod."


def test_the_audience_of_a_federated_token_is_the_clouds() -> None:
    audiences = {name: cloud.exchange_audience for name, cloud in settings.CLOUDS.items()}
    assert audiences == {
        "global": "api://AzureADTokenExchange",
        "usgov": "api://AzureADTokenExchangeUSGov",
        "usgovdod": "api://AzureADTokenExchangeUSGov",
    }
