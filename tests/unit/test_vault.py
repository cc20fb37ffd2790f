"""The key of erasures is read from a vault of the chosen cloud, and a token goes nowhere else."""

from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import MagicMock

import pytest
import requests
from azure.core.credentials import TokenCredential

from shared.cli import vault
from shared.errors import AttendanceError
from shared.settings import CLOUDS

ADDRESS = "https://kv-a.vault.azure.net/secrets/erasure-key"


def read(
    address: str, monkeypatch: pytest.MonkeyPatch, status: int = 200
) -> tuple[str, MagicMock, MagicMock]:
    credential, get = MagicMock(), MagicMock()
    credential.get_token.return_value = SimpleNamespace(token="t")
    content: dict[str, Any] = {"value": "secret"} if status == 200 else {"error": {}}
    get.return_value = SimpleNamespace(ok=status == 200, status_code=status, json=lambda: content)
    monkeypatch.setattr(requests, "get", get)
    reference = f"@Microsoft.KeyVault(SecretUri={address})"
    value = vault.read_reference(
        "ERASURE_KEY", reference, cast(TokenCredential, credential), CLOUDS["global"]
    )
    return value, credential, get


def test_the_secret_is_read_with_a_token_for_the_cloud_s_vaults(monkeypatch: pytest.MonkeyPatch) -> None:
    value, credential, get = read(ADDRESS, monkeypatch)
    assert value == "secret"
    credential.get_token.assert_called_once_with("https://vault.azure.net/.default")
    assert get.call_args.args == (ADDRESS,)
    assert get.call_args.kwargs["allow_redirects"] is False


@pytest.mark.parametrize(
    "address",
    [
        "https://kv-a.vault.usgovcloudapi.net/secrets/erasure-key",
        "https://kv-a.vault.azure.net.example/secrets/erasure-key",
        "https://stranger.example/secrets/erasure-key",
        "http://kv-a.vault.azure.net/secrets/erasure-key",
        "https://kv-a.vault.azure.net/secrets/../keys/x",
    ],
)
def test_an_address_outside_of_the_cloud_gets_no_token(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = MagicMock()
    monkeypatch.setattr(requests, "get", asked)
    with pytest.raises(AttendanceError, match="does not refer to a secret in a vault"):
        read(address, monkeypatch)
    asked.assert_not_called()


@pytest.mark.usefixtures("netrc")
def test_no_password_of_this_machine_replaces_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = MagicMock(return_value=SimpleNamespace(ok=True, status_code=200, json=lambda: {"value": "secret"}))
    monkeypatch.setattr(requests.Session, "send", lambda self, request, **more: sent(request))
    reference, credential = "@Microsoft.KeyVault(SecretUri={})", MagicMock()
    credential.get_token.return_value = SimpleNamespace(token="t")
    vault.read_reference("ERASURE_KEY", reference.format(ADDRESS), credential, CLOUDS["global"])
    assert sent.call_args.args[0].headers["Authorization"] == "Bearer t"


def test_a_refusal_names_the_role(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AttendanceError, match=r"status 403.*Key Vault Secrets User"):
        read(ADDRESS, monkeypatch, 403)
