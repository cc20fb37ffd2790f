"""Decryption: OpenSSL's content is read, changed content is refused."""

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.crypto.decryption import NoKeys, PemKeys, decrypt
from shared.errors import SettingError, Undecipherable
from tests.support import openssl

VECTOR = json.loads((openssl.VECTORS / "encrypted-content.json").read_text())
CONTENT: dict[str, str] = VECTOR["content"]
NAMES = ("data", "dataKey", "dataSignature")

by_openssl = pytest.mark.skipif(not openssl.found(), reason="OpenSSL's command line is not installed")


def keys_of(tmp_path: Path, *pems: str) -> PemKeys:
    file = tmp_path / "keys.pem"
    file.write_text("".join(pems))
    return PemKeys(str(file))


@pytest.fixture
def keys(tmp_path: Path) -> PemKeys:
    return keys_of(tmp_path, VECTOR["privateKey"])


def refusal(content: dict[str, str], keys: PemKeys) -> str:
    with pytest.raises(Undecipherable) as refused:
        decrypt(content, keys)
    return str(refused.value)


def changed(name: str) -> dict[str, str]:
    """The vector with one bit of one of its parts turned."""
    raw = bytearray(base64.b64decode(CONTENT[name]))
    raw[len(raw) // 2] ^= 1
    return CONTENT | {name: base64.b64encode(raw).decode()}


def test_what_openssl_encrypted_is_decrypted(keys: PemKeys) -> None:
    assert decrypt(CONTENT, keys) == VECTOR["plain"]


@by_openssl
def test_what_openssl_encrypts_now_is_decrypted(tmp_path: Path) -> None:
    pem = openssl.private_key()
    for text in (b"{}", json.dumps({"name": "Åsa \U0001f600" * 500}).encode()):
        assert decrypt(openssl.sealed(pem, text).content, keys_of(tmp_path, pem)) == json.loads(text)


def test_tampered_data_is_refused(keys: PemKeys) -> None:
    assert refusal(changed("data"), keys) == "the signature does not match the data"


def test_a_tampered_signature_is_refused(keys: PemKeys) -> None:
    assert refusal(changed("dataSignature"), keys) == "the signature does not match the data"


def test_a_tampered_key_is_refused(keys: PemKeys) -> None:
    refusal(changed("dataKey"), keys)


@by_openssl
@pytest.mark.parametrize("wrap", [openssl.OAEP_SHA256, openssl.PKCS1], ids=["oaep-sha256", "pkcs1"])
def test_a_key_that_was_wrapped_otherwise_is_refused(keys: PemKeys, wrap: tuple[str, ...]) -> None:
    refusal(openssl.sealed(VECTOR["privateKey"], wrap=wrap).content, keys)


@by_openssl
@pytest.mark.parametrize("length", [16, 24, 31, 33, 64])
def test_a_key_of_another_length_is_refused(keys: PemKeys, length: int) -> None:
    if length <= 32:
        content = openssl.sealed(VECTOR["privateKey"], length=length).content
        assert refusal(content, keys) == "the key does not have 32 bytes"


@by_openssl
def test_the_content_of_another_key_is_refused(keys: PemKeys) -> None:
    other = openssl.sealed(openssl.private_key()).content
    assert refusal(other, keys) == "the certificate is not ours"
    refusal(other | {"encryptionCertificateId": CONTENT["encryptionCertificateId"]}, keys)


@by_openssl
def test_swapped_parts_of_two_items_are_refused(keys: PemKeys) -> None:
    other = openssl.sealed(VECTOR["privateKey"]).content
    for name in NAMES:
        refusal(CONTENT | {name: other[name]}, keys)


@by_openssl
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"\xff{}", "the data is not JSON in UTF-8"),
        (b"{", "the data is not JSON in UTF-8"),
        (b"", "the data is not JSON in UTF-8"),
        (b"[" * 100_000, "the data is not JSON in UTF-8"),
        (b"[]", "the data is not a JSON object"),
        (b'"callEnded"', "the data is not a JSON object"),
        (b"null", "the data is not a JSON object"),
    ],
    ids=repr,
)
def test_what_is_no_json_object_is_refused(keys: PemKeys, text: bytes, reason: str) -> None:
    assert refusal(openssl.sealed(VECTOR["privateKey"], text).content, keys) == reason


@pytest.mark.parametrize("value", ["", "%", "A", "AAAA\n", "ÄÄÄÄ"])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_base64_is_refused(keys: PemKeys, name: str, value: str) -> None:
    refusal(CONTENT | {name: value}, keys)


@pytest.mark.parametrize(
    "certificate_id", ["", "unknown", "../keys", CONTENT["encryptionCertificateId"].upper()]
)
def test_an_unknown_certificate_is_refused(keys: PemKeys, certificate_id: str) -> None:
    content = CONTENT | {"encryptionCertificateId": certificate_id}
    assert refusal(content, keys) == "the certificate is not ours"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_mutation_is_accepted_with_other_content(keys: PemKeys, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    raw = bytearray(base64.b64decode(CONTENT[name]))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    raw = raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw
    content = CONTENT | {name: base64.b64encode(raw).decode()}
    try:
        found: Any = decrypt(content, keys)
    except Undecipherable:
        return
    assert found == VECTOR["plain"]


# The keys


@by_openssl
def test_the_first_key_is_current_and_the_others_still_decrypt(tmp_path: Path) -> None:
    new = openssl.private_key()
    keys = keys_of(tmp_path, new, VECTOR["privateKey"])
    assert keys.current().id == openssl.certificate_id(new)
    assert decrypt(CONTENT, keys) == VECTOR["plain"]


@by_openssl
def test_the_certificate_is_one_that_openssl_takes(keys: PemKeys) -> None:
    certificate = keys.current()
    assert certificate == keys.current()
    assert certificate.id == CONTENT["encryptionCertificateId"]
    pem = openssl.openssl("x509", "-inform", "DER", "-outform", "PEM", data=certificate.der)
    text = openssl.openssl("x509", "-noout", "-text", data=pem).decode()
    assert "CN = Teams attendance reports" in text.replace("CN=", "CN = ")
    assert "Public-Key: (2048 bit)" in text


@by_openssl
def test_the_certificate_is_signed_with_its_own_key(keys: PemKeys, tmp_path: Path) -> None:
    file = tmp_path / "own.pem"
    file.write_bytes(openssl.openssl("x509", "-inform", "DER", "-outform", "PEM", data=keys.current().der))
    done = subprocess.run(
        ["openssl", "verify", "-check_ss_sig", "-partial_chain", "-CAfile", file, file], capture_output=True
    )
    assert done.returncode == 0, done.stderr


@by_openssl
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "names a file without a private key"),
        ("no key", "names a file without a private key"),
        (
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "names a file that contains more than private keys",
        ),
        (
            openssl.private_key(1024) if openssl.found() else "",
            "names a file with a key that is not RSA of 2048 to 4096 bits",
        ),
        (
            openssl.openssl(
                "genpkey", "-quiet", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"
            ).decode()
            if openssl.found()
            else "",
            "names a file with a key that is not RSA of 2048 to 4096 bits",
        ),
    ],
    ids=["empty", "no key", "broken", "small", "elliptic"],
)
def test_a_file_that_is_of_no_use_is_a_wrong_setting(tmp_path: Path, content: str, problem: str) -> None:
    with pytest.raises(SettingError, match=f"App setting ENCRYPTION_KEY_ID {problem}"):
        keys_of(tmp_path, content).current()


def test_a_file_that_is_not_there_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot be read"):
        PemKeys(str(tmp_path / "none.pem")).unwrap("a", b"")


def test_without_a_key_nothing_is_decrypted() -> None:
    with pytest.raises(SettingError, match="ENCRYPTION_KEY_ID is missing"):
        NoKeys().current()
    with pytest.raises(Undecipherable):
        decrypt(CONTENT, NoKeys())
