"""Validation tokens: any that is not for this app and tenant is refused."""

import base64
import gzip
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from shared.crypto import signing_keys
from shared.crypto.signing_keys import FAILED_AFTER, MAX_BYTES, REFRESH_AFTER, RETRY_AFTER, SigningKeys
from shared.crypto.validation_tokens import LEEWAY, MAX_TOKENS, PUBLISHER, TokenValidator
from shared.errors import NotGenuine, Unavailable
from tests.support import http_server, openssl
from tests.support.http_server import QuietHandler
from tests.support.raw_http import DRIPS, Pieces, serving, whole

APP = "2d000000-0000-4000-8000-00000000000a"
TENANT = "7f1d3c52-0a86-4be4-9c1e-5b2f8f7a6d10"
OTHER = "84841066-274d-4ec0-a5c1-276be684bdd3"
AUTHORITY = "https://login.microsoftonline.com"
ISSUERS = {"1.0": f"https://sts.windows.net/{TENANT}/", "2.0": f"{AUTHORITY}/{TENANT}/v2.0"}
ANY_TENANT = f"{AUTHORITY}/{{tenantid}}/v2.0"


@cache
def key(name: str) -> rsa.RSAPrivateKey:
    assert name
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def published(name: str, issuer: str | None = ANY_TENANT) -> dict[str, Any]:
    jwk: dict[str, Any] = RSAAlgorithm.to_jwk(key(name).public_key(), as_dict=True)
    return jwk | {"kid": name, "use": "sig"} | ({"issuer": issuer} if issuer else {})


class Authority:
    """A sign-in address that publishes keys; `asked` counts how often."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = [published("k1")]
        self.status = 200
        self.jwks_root: str | None = None
        self.padding = 0
        self.asked = 0
        self.now = 1_000.0
        self.url = ""

    def body(self, path: str) -> dict[str, Any]:
        if path.endswith("openid-configuration"):
            self.asked += 1
            return {"jwks_uri": f"{self.jwks_root or self.url}/common/discovery/keys"}
        return {"keys": self.keys, "padding": "x" * self.padding}

    @property
    def validator(self) -> TokenValidator:
        if not hasattr(self, "_validator"):
            keys = SigningKeys(self.url, clock=lambda: self.now)
            self._validator = TokenValidator(keys, APP, TENANT, AUTHORITY)
        return self._validator


@contextmanager
def served() -> Iterator[Authority]:
    authority = Authority()

    class Handler(QuietHandler):
        def do_GET(self) -> None:  # noqa: N802 - the name http.server looks for
            body = json.dumps(authority.body(self.path)).encode()
            self.answer(authority.status, body)

    with http_server.serving(Handler) as authority.url:
        yield authority


@pytest.fixture
def authority() -> Iterator[Authority]:
    with served() as authority:
        yield authority


def claims(version: str = "2.0", **changes: Any) -> dict[str, Any]:
    now = int(time.time())
    content = {
        "aud": APP,
        "iss": ISSUERS[version],
        "iat": now,
        "nbf": now,
        "exp": now + 86_400,
        "tid": TENANT,
        "ver": version,
        "appid" if version == "1.0" else "azp": PUBLISHER,
    } | changes
    return {name: value for name, value in content.items() if value is not None}


def token(version: str = "2.0", *, by: str = "k1", kid: str | None = "k1", **changes: Any) -> str:
    return jwt.encode(claims(version, **changes), key(by), "RS256", headers={"kid": kid} if kid else None)


def refusal(authority: Authority, *tokens: str) -> str:
    with pytest.raises(NotGenuine) as refused:
        authority.validator.verify(tokens)
    assert not any(part in str(refused.value) for each in tokens for part in each.split(".") if len(part) > 8)
    return str(refused.value)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_a_genuine_token_vouches(authority: Authority, version: str) -> None:
    authority.validator.verify([token(version)])


def test_a_batch_may_hold_tokens_of_both_versions(authority: Authority) -> None:
    authority.validator.verify([token("1.0"), token("2.0")])


@pytest.mark.skipif(not openssl.found(), reason="OpenSSL's command line is not installed")
def test_a_token_that_openssl_signed_vouches(authority: Authority) -> None:
    pem = openssl.private_key()
    authority.keys = [openssl.public_jwk(pem, "by-openssl", ANY_TENANT)]
    authority.validator.verify([openssl.signed(pem, {"alg": "RS256", "kid": "by-openssl"}, claims())])


def test_a_genuine_token_for_another_app_says_nothing_of_ours(authority: Authority) -> None:
    authority.validator.verify([token(aud=OTHER), token()])
    assert refusal(authority, token(aud=OTHER)) == "no token is for this app and tenant"


def test_a_genuine_token_for_another_tenant_says_nothing_of_ours(authority: Authority) -> None:
    foreign = token(tid=OTHER, iss=f"{AUTHORITY}/{OTHER}/v2.0")
    authority.validator.verify([foreign, token()])
    assert refusal(authority, foreign) == "no token is for this app and tenant"


def test_without_a_token_nothing_vouches(authority: Authority) -> None:
    refusal(authority)
    assert authority.asked == 0


def test_too_many_tokens_are_refused(authority: Authority) -> None:
    refusal(authority, *[token()] * (MAX_TOKENS + 1))
    assert authority.asked == 0


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"by": "another"}, id="forged"),
        pytest.param({"exp": None}, id="without an end"),
        pytest.param({"aud": OTHER}, id="wrong audience"),
        pytest.param({"aud": None}, id="no audience"),
        pytest.param({"iss": f"{AUTHORITY}/{OTHER}/v2.0"}, id="issuer of another tenant"),
        pytest.param({"iss": f"https://login.example.com/{TENANT}/v2.0"}, id="another authority"),
        pytest.param({"iss": ISSUERS["1.0"]}, id="issuer of another version"),
        pytest.param({"azp": OTHER}, id="wrong publisher"),
        pytest.param({"azp": None, "appid": PUBLISHER}, id="publisher in the other version's claim"),
        pytest.param({"azp": None}, id="no publisher"),
        pytest.param({"tid": OTHER}, id="mismatched tenant"),
        pytest.param({"tid": None}, id="no tenant"),
        pytest.param({"ver": "3.0"}, id="unknown version"),
        pytest.param({"ver": None}, id="no version"),
        pytest.param({"kid": "unpublished"}, id="unknown key"),
        pytest.param({"kid": None}, id="no key"),
    ],
)
def test_what_is_not_genuine_or_not_for_us_is_refused(authority: Authority, bad: dict[str, Any]) -> None:
    refusal(authority, token(**bad))


def test_a_token_is_refused_after_and_before_its_time(authority: Authority) -> None:
    refusal(authority, token(exp=int(time.time() - LEEWAY) - 60))
    refusal(authority, token(nbf=int(time.time() + LEEWAY) + 600))


@pytest.mark.parametrize("bad", [{"by": "another"}, {"azp": OTHER}, {"exp": 1}, {"kid": "unpublished"}])
def test_one_that_is_not_genuine_refuses_the_whole_batch(authority: Authority, bad: dict[str, Any]) -> None:
    refusal(authority, token(), token(**bad))


def test_a_publisher_in_azp_of_a_version_1_token_is_refused(authority: Authority) -> None:
    refusal(authority, token("1.0", appid=None, azp=PUBLISHER))


def test_a_token_without_a_signature_is_refused(authority: Authority) -> None:
    refusal(authority, jwt.encode(claims(), "", "none", headers={"kid": "k1"}))


def test_the_public_key_as_a_password_is_refused(authority: Authority) -> None:
    public = (
        key("k1")
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    head, body = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"alg": "HS256", "kid": "k1"}, claims())
    )
    signature = hmac.digest(public, head + b"." + body, hashlib.sha256)
    forged = b".".join((head, body, base64.urlsafe_b64encode(signature).rstrip(b"=")))
    assert refusal(authority, forged.decode()) == "a token is not signed with RS256"


@pytest.mark.parametrize("text", ["", "a", "a.b", "a.b.c", "..", "é.é.é", "{}", "e30.e30.e30", "\ud800"])
def test_what_is_no_token_is_refused(authority: Authority, text: str) -> None:
    refusal(authority, text)


def test_clocks_may_differ_by_some_minutes(authority: Authority) -> None:
    now = int(time.time())
    authority.validator.verify([token(exp=now - int(LEEWAY) + 60), token(nbf=now + int(LEEWAY) - 60)])


def test_a_key_of_one_tenant_signs_for_no_other(authority: Authority) -> None:
    authority.keys = [published("k1", f"{AUTHORITY}/{OTHER}/v2.0")]
    assert refusal(authority, token()) == "a token was signed with another issuer's key"


@pytest.mark.parametrize("issuer", [None, ANY_TENANT, ISSUERS["2.0"], ISSUERS["1.0"]])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_a_key_of_our_issuer_signs_both_versions(
    authority: Authority, issuer: str | None, version: str
) -> None:
    authority.keys = [published("k1", issuer)]
    authority.validator.verify([token(version)])


# The signing keys


def test_keys_are_asked_for_once(authority: Authority) -> None:
    for _ in range(3):
        authority.validator.verify([token()])
    assert authority.asked == 1


def test_an_unknown_key_has_them_asked_for_again_at_most_once_in_a_while(authority: Authority) -> None:
    authority.validator.verify([token()])
    authority.keys.append(published("k2"))
    refusal(authority, token(by="k2", kid="k2"))
    assert authority.asked == 1
    authority.now += RETRY_AFTER + 1
    authority.validator.verify([token(by="k2", kid="k2")])
    for _ in range(3):
        refusal(authority, token(kid="k3"))
    assert authority.asked == 2


def test_keys_are_used_for_a_day_and_a_withdrawn_one_no_longer(authority: Authority) -> None:
    authority.validator.verify([token()])
    authority.keys = [published("k2")]
    authority.now += REFRESH_AFTER + 1
    refusal(authority, token())
    assert authority.asked == 2


def test_known_keys_are_used_on_while_none_can_be_had(authority: Authority) -> None:
    authority.validator.verify([token()])
    authority.status = 503
    authority.now += REFRESH_AFTER + 1
    authority.validator.verify([token()])


@pytest.mark.parametrize("trouble", ["status", "elsewhere", "too large", "no keys"])
def test_without_keys_the_message_comes_again(authority: Authority, trouble: str) -> None:
    match trouble:
        case "status":
            authority.status = 500
        case "elsewhere":
            authority.jwks_root = "http://127.0.0.1:9"
        case "too large":
            authority.padding = MAX_BYTES
        case _:
            authority.keys = []
    with pytest.raises(Unavailable):
        authority.validator.verify([token()])


def test_an_outage_of_the_sign_in_costs_a_fetch_a_minute(authority: Authority) -> None:
    authority.status = 500
    for asked in (1, 2):
        for _ in range(50):
            with pytest.raises(Unavailable):
                authority.validator.verify([token()])
        assert authority.asked == asked
        authority.now += FAILED_AFTER + 1
    authority.status = 200
    authority.validator.verify([token()])


@pytest.mark.parametrize("drip", DRIPS.values(), ids=DRIPS)
def test_an_authority_that_drips_is_left_at_the_deadline(
    drip: Pieces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(signing_keys, "SECONDS", 0.3)
    with serving(drip) as server, pytest.raises(Unavailable, match="takes too long"):
        SigningKeys(server.root).find("k1")


def test_keys_that_unpack_to_gigabytes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    bomb = gzip.compress(b" " * 50 * MAX_BYTES)
    for encoding, body in (("gzip", bomb), ("gzip, gzip", gzip.compress(bomb))):
        with serving(whole(body, Content_Encoding=encoding)) as server, pytest.raises(Unavailable):
            SigningKeys(server.root).find("k1")


UNUSABLE: list[dict[str, Any]] = [
    {"n": "AQAB"},
    {"n": "!", "e": "?"},
    {"n": None, "e": None},
    {"n": 7, "e": []},
    {"n": "", "e": ""},
    {"e": "AQAB", "n": "AA"},
    {"d": "AQAB", "n": "AQAB", "e": "AQAB"},
]


@pytest.mark.parametrize("broken", UNUSABLE, ids=repr)
def test_one_unusable_key_does_not_discard_the_others(authority: Authority, broken: dict[str, Any]) -> None:
    bad: list[Any] = [{"kty": "RSA", "kid": "bad"} | broken, {"kty": "EC", "kid": "x"}, {"kid": 7}, None, "k"]
    authority.keys = [*bad, published("k1"), *bad]
    authority.validator.verify([token()])
    refusal(authority, token(kid="bad"))
