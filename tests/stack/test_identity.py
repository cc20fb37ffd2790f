"""The identity endpoint has App Service's protocol."""

import time
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlencode

import jwt
import pytest
import requests
from azure.identity import ClientAssertionCredential, ManagedIdentityCredential

from local.stack import compose
from local.stack.compose import Stack
from local.stack.identity import EXCHANGE, OBJECT_ID, Identity, serve
from local.stack.program import Log

STORAGE = "https://storage.azure.com"


def ask(identity: Identity, header: str | None = None, **query: str) -> requests.Response:
    query = {"api-version": "2019-08-01", "resource": STORAGE, "client_id": identity.client_id, **query}
    present = {name: value for name, value in query.items() if value}
    headers = {"X-IDENTITY-HEADER": identity.header if header is None else header}
    return requests.get(f"{identity.endpoint}?{urlencode(present)}", headers=headers, timeout=10)


def test_a_token_names_the_tenant_the_app_and_one_audience(identity: Identity) -> None:
    answer = ask(identity).json()
    claims = jwt.decode(answer["access_token"], options={"verify_signature": False})
    assert claims["iss"] == f"https://sts.windows.net/{identity.tenant}/"
    assert (claims["aud"], claims["appid"], claims["tid"]) == (STORAGE, identity.client_id, identity.tenant)
    assert claims["nbf"] <= time.time() < claims["exp"]
    assert answer["expires_on"] == str(claims["exp"])
    assert (answer["resource"], answer["token_type"]) == (STORAGE, "Bearer")


def test_the_products_credential_gets_its_token_here(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", identity.endpoint)
    monkeypatch.setenv("IDENTITY_HEADER", identity.header)
    with ManagedIdentityCredential(client_id=identity.client_id) as credential:
        token = credential.get_token("https://graph.microsoft.com/.default")
    claims = jwt.decode(token.token, options={"verify_signature": False})
    assert claims["aud"] == "https://graph.microsoft.com"


@pytest.mark.parametrize("header", ["", "wrong", "völlig falsch".encode().decode("latin-1")])
def test_without_the_right_header_there_is_no_token(identity: Identity, header: str) -> None:
    response = ask(identity, header=header)
    assert response.status_code == HTTPStatus.UNAUTHORIZED
    assert "access_token" not in response.json()


@pytest.mark.parametrize(
    "query",
    [{"client_id": "somebody-else"}, {"client_id": ""}, {"resource": ""}, {"api-version": "2018-02-01"}],
)
def test_a_request_outside_the_protocol_is_refused(identity: Identity, query: dict[str, str]) -> None:
    response = ask(identity, **query)
    assert response.status_code == HTTPStatus.BAD_REQUEST
    assert "access_token" not in response.json()


def test_the_secret_is_not_in_what_a_log_would_show(identity: Identity) -> None:
    assert identity.header not in repr(identity)


def test_a_token_for_the_exchange_is_one_that_a_federated_credential_takes(identity: Identity) -> None:
    answer = ask(identity, resource=EXCHANGE).json()
    claims = jwt.decode(answer["access_token"], identity.key, algorithms=["HS256"], audience=EXCHANGE)
    assert claims["iss"] == f"https://login.microsoftonline.com/{identity.tenant}/v2.0"
    assert (claims["sub"], claims["azp"], claims["ver"]) == (OBJECT_ID, identity.client_id, "2.0")
    assert "appid" not in claims


def test_another_cloud_has_another_issuer() -> None:
    with serve(issuer="https://login.microsoftonline.us") as identity:
        token = identity.token(EXCHANGE)["access_token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["iss"].startswith("https://login.microsoftonline.us/")


def test_the_key_of_the_tokens_is_not_in_what_a_log_would_show(identity: Identity) -> None:
    assert str(identity.key) not in repr(identity)
    assert identity.key.hex() not in repr(identity)


def test_the_stack_has_a_login_endpoint_that_its_app_knows_and_trusts(stack: Stack) -> None:
    assert stack.login is not None
    assert stack.announcement()["login"] == stack.settings["LOGIN_ROOT"] == stack.login
    url = f"{stack.login}/common/v2.0/.well-known/openid-configuration"
    answer = requests.get(url, verify=stack.settings["REQUESTS_CA_BUNDLE"], timeout=10)
    assert answer.json()["jwks_uri"].startswith(stack.login)


def test_the_stacks_identity_stands_for_the_registration_of_graph_client_id(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    registration = "99999999-aaaa-4bbb-8ccc-dddddddddddd"
    with compose.up(
        tmp_path, settings={"GRAPH_CLIENT_ID": registration}, log=log, usual_roots=False
    ) as stack:
        monkeypatch.setenv("IDENTITY_ENDPOINT", stack.identity.endpoint)
        monkeypatch.setenv("IDENTITY_HEADER", stack.identity.header)
        with (
            ManagedIdentityCredential(client_id=stack.identity.client_id) as own,
            ClientAssertionCredential(
                stack.identity.tenant,
                registration,
                lambda: own.get_token(f"{EXCHANGE}/.default").token,
                authority=stack.login,
                connection_verify=str(stack.azurite.ca),
            ) as credential,
        ):
            token = credential.get_token("https://graph.microsoft.com/.default").token
    assert jwt.decode(token, options={"verify_signature": False})["appid"] == registration
