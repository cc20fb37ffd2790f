"""The key in Key Vault: the real client on a double of the vault's REST API."""

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from azure.core.credentials import TokenCredential
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils

from local.stack.identity import CLIENT_ID, Identity
from shared.crypto.decryption import decrypt
from shared.crypto.key_vault import VaultKeys
from shared.errors import Unavailable, Undecipherable
from shared.graph.credentials import managed_identity
from tests.support import openssl

OLD, NEW = "0" * 31 + "1", "0" * 31 + "2"
ALGORITHMS = {"RSA-OAEP": hashes.SHA1}


class Vault:
    """A vault with one key in two versions, which unwraps and signs."""

    def __init__(self) -> None:
        self.pems = {OLD: openssl.private_key(), NEW: openssl.private_key()}
        self.url = ""
        self.status = 200
        self.asked: list[str] = []
        self.algorithms: list[str] = []

    def key(self, version: str) -> rsa.RSAPrivateKey:
        key = serialization.load_pem_private_key(self.pems[version].encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        return key

    def shown(self, version: str) -> dict[str, Any]:
        numbers = self.key(version).public_key().public_numbers()
        return {
            "key": {
                "kid": f"{self.url}/keys/reports/{version}",
                "kty": "RSA",
                "key_ops": ["sign", "decrypt", "unwrapKey"],
                "n": text64(numbers.n.to_bytes(256)),
                "e": text64(numbers.e.to_bytes(3)),
            },
            "attributes": {"enabled": True, "created": 1, "updated": 1, "exportable": False},
        }

    def done(self, version: str, operation: str, body: dict[str, str]) -> tuple[int, dict[str, Any]]:
        value = base64.urlsafe_b64decode(body["value"] + "==")
        self.algorithms.append(body["alg"])
        if operation == "sign":
            assert body["alg"] == "RS256"
            result = self.key(version).sign(value, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))
        else:
            algorithm = ALGORITHMS[body["alg"]]()
            try:
                result = self.key(version).decrypt(
                    value, padding.OAEP(padding.MGF1(algorithm), algorithm, None)
                )
            except ValueError:
                return 400, {"error": {"code": "BadParameter", "message": "canary"}}
        return 200, {"kid": f"{self.url}/keys/reports/{version}", "value": text64(result)}


def text64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def handler(vault: Vault) -> type[BaseHTTPRequestHandler]:
    """Answer the requests of the vault's REST API."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer({})

        def do_POST(self) -> None:
            self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"])) or "{}"))

        def answer(self, body: dict[str, str]) -> None:
            path = self.path.partition("?")[0].strip("/").split("/")
            vault.asked.append("/".join(path))
            if not self.headers.get("Authorization", "").startswith("Bearer "):
                self.say(
                    401,
                    {},
                    'Bearer authorization="https://login.example/t", resource="https://vault.azure.net"',
                )
            elif vault.status != 200 or path[:2] != ["keys", "reports"]:
                code = vault.status if vault.status != 200 else 404
                self.say(code, {"error": {"code": "KeyNotFound", "message": "canary"}})
            elif len(path) == 4:
                self.say(*vault.done(path[2], path[3], body))
            else:
                self.say(200, vault.shown(path[2] if len(path) == 3 else NEW))

        def say(self, status: int, content: dict[str, Any], challenge: str = "") -> None:
            text = json.dumps(content).encode()
            self.send_response(status)
            if challenge:
                self.send_header("WWW-Authenticate", challenge)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None: ...

    return Handler


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    if not openssl.found():
        pytest.skip("OpenSSL's command line is not installed")
    vault = Vault()

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    ca = tmp_path_factory.mktemp("vault") / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(vault)) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        vault.url = f"https://localhost:{server.server_port}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("REQUESTS_CA_BUNDLE", str(ca))
            yield vault
        server.shutdown()


@pytest.fixture
def identified(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> TokenCredential:
    monkeypatch.setenv("IDENTITY_ENDPOINT", identity.endpoint)
    monkeypatch.setenv("IDENTITY_HEADER", identity.header)
    return managed_identity(CLIENT_ID)


@pytest.fixture
def keys(vault: Vault, identified: TokenCredential) -> Iterator[VaultKeys]:
    vault.status = 200
    vault.asked.clear()
    yield VaultKeys(f"{vault.url}/keys/reports", identified, verify_challenge=False)
    vault.status = 200


def content(vault: Vault, version: str) -> dict[str, str]:
    return openssl.sealed(vault.pems[version]).content | {"encryptionCertificateId": f"reports/{version}"}


@pytest.mark.parametrize("version", [OLD, NEW])
def test_the_vault_unwraps_for_any_version_of_its_key(vault: Vault, keys: VaultKeys, version: str) -> None:
    assert decrypt(content(vault, version), keys) == openssl.EVENT
    assert f"keys/reports/{version}/decrypt" in vault.asked
    assert vault.algorithms[-1] == "RSA-OAEP"


@pytest.mark.usefixtures("netrc")
def test_no_password_of_this_machine_replaces_the_token(vault: Vault, keys: VaultKeys) -> None:
    assert decrypt(content(vault, NEW), keys) == openssl.EVENT


def test_the_newest_version_is_current_unless_one_is_set(
    vault: Vault, keys: VaultKeys, identified: TokenCredential
) -> None:
    assert keys.current().id == f"reports/{NEW}"
    pinned = VaultKeys(f"{vault.url}/keys/reports/{OLD}", identified, verify_challenge=False)
    assert pinned.current().id == f"reports/{OLD}"


def test_the_vault_signs_the_certificate_around_its_key(
    vault: Vault, keys: VaultKeys, tmp_path: Path
) -> None:
    certificate = keys.current()
    file = tmp_path / "own.pem"
    file.write_bytes(openssl.openssl("x509", "-inform", "DER", "-outform", "PEM", data=certificate.der))
    told = openssl.openssl("verify", "-check_ss_sig", "-partial_chain", "-CAfile", str(file), str(file))
    assert told.decode().strip().endswith("OK")
    public = openssl.openssl("x509", "-noout", "-pubkey", data=file.read_bytes())
    assert public == openssl.openssl("pkey", "-pubout", data=vault.pems[NEW].encode())
    vault.asked.clear()
    assert keys.current() == certificate
    assert f"keys/reports/{NEW}/sign" not in vault.asked  # it is made once


@pytest.mark.parametrize(
    "certificate_id",
    [
        "",
        "reports",
        "reports/",
        f"other/{NEW}",
        f"reports/{NEW}/x",
        "reports/../../secrets/a",
        f"https://x/keys/reports/{NEW}",
    ],
)
def test_no_other_id_becomes_an_address(vault: Vault, keys: VaultKeys, certificate_id: str) -> None:
    with pytest.raises(Undecipherable, match="not ours"):
        decrypt(content(vault, NEW) | {"encryptionCertificateId": certificate_id}, keys)
    assert vault.asked == []


def test_what_was_wrapped_for_another_version_is_refused(vault: Vault, keys: VaultKeys) -> None:
    other = content(vault, OLD) | {"encryptionCertificateId": f"reports/{NEW}"}
    with pytest.raises(Undecipherable, match="was not wrapped for this certificate"):
        decrypt(other, keys)


@pytest.mark.parametrize("status", [403, 404])
def test_a_vault_that_refuses_is_named_without_its_words(vault: Vault, keys: VaultKeys, status: int) -> None:
    vault.status = status
    for attempt in (keys.current, lambda: decrypt(content(vault, NEW), keys)):
        with pytest.raises(Unavailable) as failed:
            attempt()
        assert "canary" not in str(failed.value)
