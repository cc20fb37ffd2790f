"""A reader of encrypted notifications, with OpenSSL's command line alone.

Neither the product's code nor the simulator's is behind it, so that it judges both.
"""

import base64
import hmac
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import requests

OAEP = ("-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha1", "-pkeyopt", "rsa_mgf1_md:sha1")


def openssl(*arguments: str, data: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True).stdout


@dataclass(frozen=True)
class Reader:
    """A key pair with a certificate, as a subscriber has."""

    key: Path
    certificate: str

    def opened(self, content: dict[str, str]) -> bytes:
        """The text of an `encryptedContent`, with every documented check.

        Raises ValueError.
        """
        data, signature, wrapped = (
            base64.b64decode(content[name], validate=True) for name in ("data", "dataSignature", "dataKey")
        )
        key = openssl("pkeyutl", "-decrypt", "-inkey", str(self.key), *OAEP, data=wrapped)
        if len(key) != 32:
            raise ValueError("the key is too short")
        if not hmac.compare_digest(hmac.digest(key, data, "sha256"), signature):
            raise ValueError("the signature is wrong")
        return openssl("enc", "-d", "-aes-256-cbc", "-K", key.hex(), "-iv", key[:16].hex(), data=data)


def reader(folder: Path, kind: str = "rsa:2048", name: str = "key") -> Reader:
    """A new key pair in `folder`; `kind` as OpenSSL names it."""
    key, certificate = folder / f"{name}.pem", folder / f"{name}.der"
    options = ["-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ec" else []
    openssl(
        "req", "-x509", "-newkey", kind, *options, "-nodes", "-days", "2", "-subj", "/CN=reader",
        "-keyout", str(key), "-outform", "DER", "-out", str(certificate),
    )  # fmt: skip
    return Reader(key, base64.b64encode(certificate.read_bytes()).decode())


def key_set(login: str, ca: Path | None = None, tenant: str = "common") -> list[dict[str, Any]]:
    """The published keys."""
    options: dict[str, Any] = {"timeout": 10, "verify": str(ca) if ca else True}
    document = requests.get(f"{login}/{tenant}/.well-known/openid-configuration", **options).json()
    keys: list[dict[str, Any]] = requests.get(document["jwks_uri"], **options).json()["keys"]
    return keys


def proven(token: str, keys: list[dict[str, Any]], audience: str) -> dict[str, Any]:
    """The claims of a validation token whose signature, audience and times are right."""
    kid = jwt.get_unverified_header(token)["kid"]
    key = jwt.PyJWK(next(each for each in keys if each["kid"] == kid))
    claims: dict[str, Any] = jwt.decode(
        token, key, algorithms=["RS256"], audience=audience, options={"require": ["exp", "aud", "iss"]}
    )
    return claims


def text(item: dict[str, Any], reader: Reader) -> dict[str, Any]:
    """The resource data of an encrypted item."""
    data: dict[str, Any] = json.loads(reader.opened(item["encryptedContent"]))
    return data
