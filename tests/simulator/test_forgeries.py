"""Forged notifications have exactly the requested fault."""

import base64
import hmac
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests

from local.simulator.control.client import APP_ID, TENANT
from local.simulator.tenant.orders import NewCallEvent
from tests.simulator.test_call_events import OTHER_APP, bodies, subscribe, watched
from tests.simulator.test_call_events import mine as mine
from tests.support.simulator_process import Endpoint, Graph, token, until
from tests.support.simulator_process import endpoint as endpoint
from tests.support.simulator_process import graph as graph
from tests.support.simulator_process import simulator as simulator
from tests.support.simulator_reader import Reader, key_set, openssl, proven, reader, text

STRANGER = "0badc0de-0000-4000-8000-0badc0de0bad"


@pytest.fixture
def join_url(graph: Graph, endpoint: Endpoint, mine: Reader) -> str:
    return watched(graph, endpoint, mine)[1]


def sent(graph: Graph, join_url: str, kind: str) -> str:
    """A validation token with that fault."""
    (body,) = graph.control.written(NewCallEvent(join_url), forgery=kind)
    (token,) = body["validationTokens"]
    return str(token)


def content(graph: Graph, join_url: str, kind: str) -> dict[str, str]:
    """Encrypted content with that fault."""
    (body,) = graph.control.written(NewCallEvent(join_url), forgery=kind)
    found: dict[str, str] = body["value"][0]["encryptedContent"]
    return found


def claims(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


@pytest.mark.parametrize(
    ("kind", "refusal"),
    [
        ("forged", jwt.InvalidSignatureError),
        ("expired", jwt.ExpiredSignatureError),
        ("notYetValid", jwt.ImmatureSignatureError),
        ("noExpiry", jwt.MissingRequiredClaimError),
        ("wrongAudience", jwt.InvalidAudienceError),
        ("algNone", jwt.InvalidAlgorithmError),
        ("hs256", jwt.InvalidAlgorithmError),
    ],
)
def test_a_token_is_refused_for_the_reason_that_was_asked_for(
    graph: Graph, join_url: str, kind: str, refusal: type[Exception]
) -> None:
    keys = key_set(graph.control.login)
    with pytest.raises(refusal):
        proven(sent(graph, join_url, kind), keys, APP_ID)
    assert proven(sent(graph, join_url, "wrongPublisher"), keys, APP_ID)


def test_hs256_is_signed_with_the_public_key(graph: Graph, join_url: str) -> None:
    token = sent(graph, join_url, "hs256")
    kid = jwt.get_unverified_header(token)["kid"]
    (entry,) = [each for each in key_set(graph.control.login) if each["kid"] == kid]
    certificate = base64.b64decode(entry["x5c"][0])
    public = openssl("x509", "-inform", "DER", "-pubkey", "-noout", data=certificate)
    message, _, signature = token.rpartition(".")
    expected = hmac.digest(public, message.encode(), "sha256")
    assert base64.urlsafe_b64decode(signature + "=") == expected


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("wrongIssuer", {"iss": f"https://login.example.com/{TENANT}/v2.0"}),
        ("otherTenant", {"tid": STRANGER, "iss": f"https://login.microsoftonline.com/{STRANGER}/v2.0"}),
        ("mismatchedTenant", {"tid": STRANGER, "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0"}),
        ("wrongPublisher", {"azp": STRANGER}),
        ("misplacedPublisher", {"appid": "0bf30f3b-4a52-48df-9a82-234910c4a086", "azp": None}),
        ("unknownVersion", {"ver": "3.0"}),
    ],
)
def test_a_rightly_signed_token_says_what_was_asked_for(
    graph: Graph, join_url: str, kind: str, wrong: dict[str, object]
) -> None:
    seen = proven(sent(graph, join_url, kind), key_set(graph.control.login), APP_ID)
    assert {name: seen.get(name) for name in wrong} == wrong


def test_keys_that_are_unknown_unnamed_or_of_another_issuer(graph: Graph, join_url: str) -> None:
    published = {each["kid"]: each["issuer"] for each in key_set(graph.control.login)}
    unknown = jwt.get_unverified_header(sent(graph, join_url, "unknownKid"))["kid"]
    assert unknown not in published
    assert "kid" not in jwt.get_unverified_header(sent(graph, join_url, "noKid"))
    token = sent(graph, join_url, "otherIssuersKey")
    assert "9188040d" in published[jwt.get_unverified_header(token)["kid"]]
    assert TENANT in proven(token, key_set(graph.control.login), APP_ID)["iss"]


def test_no_tokens_or_one_that_is_none(graph: Graph, join_url: str) -> None:
    assert sent(graph, join_url, "garbage") == "not.a.token"
    (body,) = graph.control.written(NewCallEvent(join_url), forgery="missing")
    assert body["validationTokens"] is None


@pytest.mark.parametrize("kind", ["tamperedData", "tamperedSignature"])
def test_tampered_content_has_a_wrong_signature(graph: Graph, join_url: str, mine: Reader, kind: str) -> None:
    with pytest.raises(ValueError, match="signature"):
        mine.opened(content(graph, join_url, kind))


@pytest.mark.parametrize("kind", ["tamperedKey", "oaepSha256", "pkcs1"])
def test_a_key_that_was_wrapped_otherwise_cannot_be_unwrapped(
    graph: Graph, join_url: str, mine: Reader, kind: str
) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        mine.opened(content(graph, join_url, kind))


def test_the_other_wraps_are_what_they_are_called(graph: Graph, join_url: str, mine: Reader) -> None:
    wraps = {
        "oaepSha256": ("rsa_padding_mode:oaep", "rsa_oaep_md:sha256", "rsa_mgf1_md:sha256"),
        "pkcs1": ("rsa_padding_mode:pkcs1",),
    }
    for kind, options in wraps.items():
        wrapped = base64.b64decode(content(graph, join_url, kind)["dataKey"])
        arguments = [part for option in options for part in ("-pkeyopt", option)]
        key = openssl("pkeyutl", "-decrypt", "-inkey", str(mine.key), *arguments, data=wrapped)
        assert len(key) == 32


def test_a_key_may_be_too_short(graph: Graph, join_url: str, mine: Reader) -> None:
    with pytest.raises(ValueError, match="too short"):
        mine.opened(content(graph, join_url, "shortKey"))


def test_text_that_is_not_what_it_should_be(graph: Graph, join_url: str, mine: Reader) -> None:
    with pytest.raises(UnicodeDecodeError):
        mine.opened(content(graph, join_url, "notUtf8")).decode()
    with pytest.raises(json.JSONDecodeError):
        json.loads(mine.opened(content(graph, join_url, "notJson")))
    assert isinstance(json.loads(mine.opened(content(graph, join_url, "notAnObject"))), list)


def test_a_certificate_that_nobody_knows_and_no_content_at_all(
    graph: Graph, join_url: str, mine: Reader
) -> None:
    assert content(graph, join_url, "unknownCertificate")["encryptionCertificateId"] == "unknown"
    (body,) = graph.control.written(NewCallEvent(join_url), forgery="noContent")
    assert "encryptedContent" not in body["value"][0]
    assert body["validationTokens"]


def test_the_contents_of_two_items_are_swapped(
    graph: Graph, endpoint: Endpoint, mine: Reader, tmp_path: Path
) -> None:
    graph.control.change_settings(batchSeconds=0.3)
    join_url = watched(graph, endpoint, mine)[1]
    other = replace(graph, token=token(appid=OTHER_APP))
    theirs = reader(tmp_path)
    assert subscribe(other, endpoint, join_url, theirs, encryptionCertificateId="key-2").status_code == 201
    graph.control.forge("swapped")
    graph.control.tell(NewCallEvent(join_url))
    (body,) = until(lambda: bodies(endpoint))
    first, second = (item["encryptedContent"]["encryptionCertificateId"] for item in body["value"])
    keys = {each["id"]: each["encryptionCertificateId"] for each in graph.control.subscriptions()}
    assert [second, first] == [keys[item["subscriptionId"]] for item in body["value"]]


def test_a_lone_item_has_the_content_of_another_meeting(graph: Graph, join_url: str, mine: Reader) -> None:
    (body,) = graph.control.written(NewCallEvent(join_url), forgery="swapped")
    told = text(body["value"][0], mine)
    assert told["@odata.id"] != body["value"][0]["resource"]
    assert told["eventType"] == "callEnded"


def test_a_forgery_is_used_up_by_posts_with_encrypted_items_only(
    graph: Graph, endpoint: Endpoint, join_url: str
) -> None:
    graph.control.forge("missing")
    graph.control.add_session()
    for number in (1, 2):
        graph.control.tell(NewCallEvent(join_url))
        until(lambda: len(bodies(endpoint)) == number)  # noqa: B023 - it is awaited here
    assert [body["validationTokens"] is None for body in bodies(endpoint)] == [True, False]
    graph.control.forge("missing", times=-1)
    graph.control.clear_forgeries()
    graph.control.tell(NewCallEvent(join_url))
    assert until(lambda: bodies(endpoint)[2:])[0]["validationTokens"]


def test_a_forgery_that_does_not_exist_is_refused(graph: Graph) -> None:
    with pytest.raises(requests.HTTPError, match="kind cannot be"):
        graph.control.forge("cracked")
