"""The simulated login endpoint: metadata, key sets, app registration, users."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import msal  # type: ignore[import-untyped]
import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ClientAssertionCredential, DeviceCodeCredential, InteractiveBrowserCredential

from local.simulator.control.client import APP_ID, TENANT, Control, running
from local.simulator.faults.responses import Fault
from local.simulator.tenant.orders import NewMeeting
from local.stack import certificates
from local.stack.identity import EXCHANGE, OBJECT_ID, Identity, serve
from tests.support.simulator_process import AUDIENCE
from tests.support.simulator_reader import key_set, proven

APP = "99999999-aaaa-4bbb-8ccc-dddddddddddd"
STRANGER = "0badc0de-0000-4000-8000-0badc0de0bad"
SCOPE = f"{AUDIENCE}/.default"


@pytest.fixture(scope="module")
def principal() -> Iterator[Identity]:
    with serve(tenant=TENANT) as principal:
        yield principal


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory, principal: Identity) -> Iterator[Control]:
    issued = certificates.ensure_certificates(tmp_path_factory.mktemp("login"))
    with running(certificates=issued, identity=principal) as control:
        yield control


@pytest.fixture
def login(endpoint: Control) -> Iterator[Control]:
    endpoint.add_app(APP, OBJECT_ID)
    endpoint.clear_login_calls()
    yield endpoint
    endpoint.clear_login_faults()
    endpoint.change_login(signInAs=None, deviceCodeInterval=5, tokenLifetime=3599, keysNameIssuer=True)


@pytest.fixture
def user(login: Control) -> str:
    return login.add_meeting(NewMeeting()).organizer_id


def get(login: Control, path: str) -> dict[str, Any]:
    answer = requests.get(f"{login.login}{path}", verify=str(login.ca), timeout=10)
    assert answer.ok, answer.text
    document: dict[str, Any] = answer.json()
    return document


def post(login: Control, path: str, **form: str) -> requests.Response:
    return requests.post(f"{login.login}{path}", data=form, verify=str(login.ca), timeout=10)


def code(answer: requests.Response) -> tuple[int, str, int]:
    body = answer.json()
    return answer.status_code, body["error"], body["error_codes"][0]


def claims(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


def assertion(principal: Identity, resource: str = EXCHANGE) -> str:
    return principal.token(resource)["access_token"]


def exchanged(login: Control, client_assertion: str, **changes: str) -> requests.Response:
    form = {
        "grant_type": "client_credentials",
        "client_id": APP,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": client_assertion,
        "scope": SCOPE,
    }
    return post(login, f"/{TENANT}/oauth2/v2.0/token", **form | changes)


@pytest.mark.parametrize(
    ("path", "issuer"),
    [
        ("/common", "https://sts.windows.net/{tenantid}/"),
        ("/common/v2.0", "https://login.microsoftonline.com/{tenantid}/v2.0"),
        (f"/{TENANT}", f"https://sts.windows.net/{TENANT}/"),
        (f"/{TENANT}/v2.0", f"https://login.microsoftonline.com/{TENANT}/v2.0"),
    ],
)
def test_the_configuration_names_the_issuer_and_addresses_that_answer(
    login: Control, path: str, issuer: str
) -> None:
    document = get(login, f"{path}/.well-known/openid-configuration")
    assert document["issuer"] == issuer
    for name in ("jwks_uri", "token_endpoint", "device_authorization_endpoint"):
        assert document[name].startswith(f"{login.login}/")
    assert requests.get(document["jwks_uri"], verify=str(login.ca), timeout=10).ok


def test_each_key_names_its_issuer_and_has_a_certificate(login: Control) -> None:
    keys = key_set(login.login, login.ca)
    assert len(keys) >= 3
    issuers = {key["issuer"] for key in keys}
    assert "https://login.microsoftonline.com/{tenantid}/v2.0" in issuers
    assert "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0" in issuers
    for key in keys:
        assert key.keys() >= {"kty", "use", "kid", "x5t", "n", "e", "x5c"}
    login.change_login(keysNameIssuer=False)
    assert not any("issuer" in key for key in key_set(login.login, login.ca))


def test_keys_are_rotated_on_demand(login: Control, principal: Identity) -> None:
    before = {key["kid"] for key in key_set(login.login, login.ca)}
    first = login.rotate_keys()
    assert {key["kid"] for key in key_set(login.login, login.ca)} == before | {first}
    hidden = login.rotate_keys(publish=False)
    token = exchanged(login, assertion(principal)).json()["access_token"]
    assert jwt.get_unverified_header(token)["kid"] == hidden
    assert hidden not in {key["kid"] for key in key_set(login.login, login.ca)}
    login.publish_keys()
    assert proven(token, key_set(login.login, login.ca), AUDIENCE)
    last = login.rotate_keys(keep=False)
    assert last in (kept := {key["kid"] for key in key_set(login.login, login.ca)})
    assert first not in kept


def test_the_identity_stands_for_an_app_registration_that_trusts_it(
    login: Control, principal: Identity
) -> None:
    answer = exchanged(login, assertion(principal)).json()
    seen = proven(answer["access_token"], key_set(login.login, login.ca), AUDIENCE)
    assert (seen["appid"], seen["tid"], seen["idtyp"]) == (APP, TENANT, "app")
    assert answer["token_type"] == "Bearer"
    assert 0 < answer["expires_in"] <= 3600


def test_azures_own_credential_gets_its_token_here(login: Control, principal: Identity) -> None:
    with ClientAssertionCredential(
        TENANT, APP, lambda: assertion(principal), authority=login.login, connection_verify=str(login.ca)
    ) as credential:
        token = credential.get_token(SCOPE).token
    assert claims(token)["appid"] == APP
    answer = requests.get(
        f"{login.url}/v1.0/subscriptions", headers={"Authorization": f"Bearer {token}"}, timeout=10
    )
    assert answer.ok


def spoilt(principal: Identity, **changes: object) -> str:
    return jwt.encode(claims(assertion(principal)) | changes, principal.key, algorithm="HS256")


def test_an_assertion_that_does_not_fit_is_refused(login: Control, principal: Identity) -> None:
    with serve(tenant=TENANT) as other:
        forged = assertion(other)
    for wrong, answer in (
        (assertion(principal, AUDIENCE), 700212),
        (spoilt(principal, exp=1), 700024),
        (spoilt(principal, iss="https://login.example.com"), 700211),
        (spoilt(principal, sub=STRANGER), 700213),
        (forged, 50027),
        ("not.a.token", 50027),
    ):
        assert code(exchanged(login, wrong)) == (401, "invalid_client", answer)


def test_an_application_that_is_not_registered_or_trusts_nobody(login: Control, principal: Identity) -> None:
    good = assertion(principal)
    assert code(exchanged(login, good, client_id=STRANGER)) == (400, "unauthorized_client", 700016)
    login.add_app(APP)
    assert code(exchanged(login, good)) == (401, "invalid_client", 700213)


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"scope": "https://storage.azure.com/.default"}, (400, "invalid_resource", 500011)),
        ({"scope": f"{AUDIENCE}/User.Read"}, (400, "invalid_scope", 1002012)),
        ({"client_assertion_type": ""}, (401, "invalid_client", 7000216)),
        ({"grant_type": "password"}, (400, "unsupported_grant_type", 70003)),
        ({"grant_type": ""}, (400, "invalid_request", 900144)),
    ],
)
def test_a_request_outside_the_protocol_is_refused(
    login: Control, principal: Identity, changes: dict[str, str], answer: tuple[int, str, int]
) -> None:
    assert code(exchanged(login, assertion(principal), **changes)) == answer


def test_another_tenant_is_not_found(login: Control) -> None:
    answer = requests.get(
        f"{login.login}/{STRANGER}/.well-known/openid-configuration", verify=str(login.ca), timeout=10
    )
    assert code(answer) == (400, "invalid_request", 90002)


def test_graph_sees_the_registration_and_keys_access_policies_to_it(
    login: Control, principal: Identity
) -> None:
    meeting = login.add_meeting()
    of_app = exchanged(login, assertion(principal)).json()["access_token"]
    of_identity = assertion(principal, AUDIENCE)
    login.allow(meeting.organizer_id, APP)
    path = f"{login.url}/v1.0/users/{meeting.organizer_id}/onlineMeetings"
    filter_ = {"$filter": f"JoinWebUrl eq '{meeting.join_web_url}'"}

    def status(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return requests.get(path, params=filter_, headers=headers, timeout=10).status_code

    assert (status(of_app), status(of_identity)) == (200, 403)
    login.deny(meeting.organizer_id, denied=False)
    login.allow_everyone(principal.client_id)
    assert (status(of_app), status(of_identity)) == (403, 200)
    login.allow_everyone()
    assert (status(of_app), status(of_identity)) == (200, 200)


def test_a_device_signs_a_user_in(login: Control, user: str) -> None:
    """As the identity library does it, the user answering while it waits."""
    login.change_login(deviceCodeInterval=1)

    def prompt(_: str, user_code: str, __: object) -> None:
        threading.Timer(0.2, login.sign_in, (user_code, user)).start()

    with DeviceCodeCredential(
        APP_ID,
        tenant_id=TENANT,
        authority=login.login,
        disable_instance_discovery=True,
        connection_verify=str(login.ca),
        prompt_callback=prompt,
    ) as credential:
        seen = claims(credential.get_token(f"{AUDIENCE}/OnlineMeetingArtifact.Read.All").token)
    assert (seen["oid"], seen["scp"], seen["idtyp"]) == (user, "OnlineMeetingArtifact.Read.All", "user")


def test_a_device_waits_and_may_be_declined(login: Control) -> None:
    begun = post(login, "/organizations/oauth2/v2.0/devicecode", client_id=APP_ID, scope=SCOPE).json()
    assert begun["user_code"] in begun["message"]
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "client_id": APP_ID,
        "device_code": begun["device_code"],
    }

    def asked(**changes: str) -> requests.Response:
        return post(login, "/organizations/oauth2/v2.0/token", **form | changes)

    assert code(asked()) == (400, "authorization_pending", 70016)
    assert code(asked(client_id=STRANGER)) == (400, "invalid_grant", 70008)
    assert begun["user_code"] in {each["userCode"] for each in login.device_codes()}
    login.sign_in(begun["user_code"], None)
    assert code(asked()) == (400, "authorization_declined", 70018)


def test_msal_signs_in_with_its_own_discovery_and_goes_on_without_the_user(login: Control, user: str) -> None:
    login.change_login(signInAs=user)
    session = requests.Session()
    session.verify, session.trust_env = str(login.ca), False
    app = msal.PublicClientApplication(
        APP_ID,
        authority=f"{login.login}/{TENANT}",
        instance_discovery=f"{login.login}/common/discovery/instance",
        http_client=session,
    )
    flow = app.initiate_device_flow([f"{AUDIENCE}/.default"])
    result = app.acquire_token_by_device_flow(flow)
    assert claims(result["access_token"])["oid"] == user
    assert result["id_token_claims"]["aud"] == APP_ID
    (account,) = app.get_accounts()
    silent = app.acquire_token_silent([f"{AUDIENCE}/.default"], account, force_refresh=True)
    assert claims(silent["access_token"])["oid"] == user
    session.close()


def test_a_browser_signs_a_user_in(login: Control, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    login.change_login(signInAs=user)

    def browse(url: str, *_: object, **__: object) -> bool:
        page = requests.get(url, verify=str(login.ca), timeout=10).text
        target = re.search("action='([^']+)'", page)
        fields = dict(re.findall("name=(\\w+) value='([^']*)'", page))
        assert target
        threading.Thread(target=requests.post, args=(target[1], fields), kwargs={"timeout": 10}).start()
        return True

    monkeypatch.setattr("webbrowser.open", browse)
    with InteractiveBrowserCredential(
        client_id=APP_ID,
        tenant_id=TENANT,
        authority=login.login,
        disable_instance_discovery=True,
        connection_verify=str(login.ca),
        timeout=20,
    ) as credential:
        assert claims(credential.get_token(SCOPE).token)["oid"] == user


def test_a_browsers_code_needs_its_verifier(login: Control) -> None:
    query = {
        "client_id": APP_ID,
        "response_type": "code",
        "redirect_uri": "http://localhost:8400",
        "scope": SCOPE,
        "state": "mine",
        "code_challenge": "x" * 43,
        "code_challenge_method": "S256",
    }

    def authorize(**changes: str) -> requests.Response:
        url = f"{login.login}/{TENANT}/oauth2/v2.0/authorize?{urlencode(query | changes)}"
        return requests.get(url, verify=str(login.ca), allow_redirects=False, timeout=10)

    sent = parse_qs(urlsplit(authorize().headers["Location"]).query)
    assert sent["state"] == ["mine"]
    form = {"grant_type": "authorization_code", "client_id": APP_ID, "code_verifier": "wrong"}
    answer = post(login, f"/{TENANT}/oauth2/v2.0/token", **form, code=sent["code"][0])
    assert code(answer) == (400, "invalid_grant", 501481)
    assert code(authorize(redirect_uri="https://elsewhere.example")) == (400, "invalid_request", 50011)
    assert code(authorize(code_challenge_method="plain"))[1] == "unsupported_response_type"


def test_people_can_sign_in_on_a_page(login: Control, user: str) -> None:
    begun = post(login, "/common/oauth2/v2.0/devicecode", client_id=APP_ID, scope="openid User.Read").json()
    page = requests.get(begun["verification_uri"], verify=str(login.ca), timeout=10)
    assert page.headers["Content-Type"].startswith("text/html")
    assert "<input name=user" in page.text
    done = post(login, "/devicelogin", user_code=begun["user_code"].lower(), user=user)
    assert "close this page" in done.text
    assert code(post(login, "/devicelogin", user_code="WRONG", user=user))[2] == 70008
    assert code(post(login, "/devicelogin", user_code="WRONG", user=STRANGER))[2] == 50034


def test_scopes_that_graph_does_not_have_are_refused(login: Control) -> None:
    for scope, number in (("Mail.Read", 650053), ("https://storage.azure.com/x", 500011)):
        answer = post(login, "/common/oauth2/v2.0/devicecode", client_id=APP_ID, scope=scope)
        assert code(answer)[2] == number


def test_calls_are_kept_and_faults_act(login: Control) -> None:
    path = "/common/discovery/v2.0/keys"
    login.add_login_fault(Fault(path="discovery", status=503, headers={"Retry-After": "7"}))
    login.add_login_fault(Fault(path="discovery", action="garble"))
    login.add_login_fault(Fault(path="discovery", action="reset"))
    login.add_login_fault(Fault(path="discovery", action="cut"))
    url = login.login + path
    refused = requests.get(url, verify=str(login.ca), timeout=10)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "7")
    with pytest.raises(requests.exceptions.JSONDecodeError):
        requests.get(url, verify=str(login.ca), timeout=10).json()
    for _ in range(2):
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            requests.get(url, verify=str(login.ca), timeout=10)
    assert get(login, path)["keys"]
    seen = [(call.method, call.path, call.status) for call in login.login_calls()]
    assert seen == [("GET", path, status) for status in (503, 200, 0, 200, 200)]


def test_another_cloud_has_another_authority(tmp_path: Path) -> None:
    with serve(tenant=TENANT, issuer="https://login.microsoftonline.us") as principal:
        issued = certificates.ensure_certificates(tmp_path)
        with running(certificates=issued, identity=principal, cloud="usgov") as control:
            control.add_app(APP, OBJECT_ID)
            document = get(control, "/common/v2.0/.well-known/openid-configuration")
            assert document["issuer"] == "https://login.microsoftonline.us/{tenantid}/v2.0"
            assert exchanged(control, assertion(principal)).ok
            answer = requests.get(
                f"{control.url}/v1.0/solutions/virtualEvents/webinars",
                headers={"Authorization": f"Bearer {assertion(principal, AUDIENCE)}"},
                timeout=10,
            )
            assert answer.status_code == 400


def test_a_credential_for_a_registration_without_trust_says_why(login: Control, principal: Identity) -> None:
    login.add_app(APP)
    with (
        ClientAssertionCredential(
            TENANT, APP, lambda: assertion(principal), authority=login.login, connection_verify=str(login.ca)
        ) as credential,
        pytest.raises(ClientAuthenticationError, match="AADSTS700213"),
    ):
        credential.get_token(SCOPE)
