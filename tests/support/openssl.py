"""Encrypted content and tokens, made with OpenSSL's command line alone.

`python -m tests.support.openssl` writes the vectors in tests/vectors anew.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parents[1] / "vectors"
OAEP_SHA1 = (
    "-pkeyopt",
    "rsa_padding_mode:oaep",
    "-pkeyopt",
    "rsa_oaep_md:sha1",
    "-pkeyopt",
    "rsa_mgf1_md:sha1",
)
OAEP_SHA256 = ("-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256")
PKCS1 = ("-pkeyopt", "rsa_padding_mode:pkcs1")
EVENT = {"@odata.type": "#microsoft.graph.callevent", "eventType": "callEnded"}


def found() -> bool:
    """Whether the machine has OpenSSL's command line."""
    return shutil.which("openssl") is not None


def openssl(*arguments: str, data: bytes = b"") -> bytes:
    return subprocess.run(
        ["openssl", *arguments], input=data, capture_output=True, check=True, timeout=60
    ).stdout


def private_key(bits: int = 2048) -> str:
    """A new RSA key in PEM form."""
    return openssl("genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}").decode()


def certificate_id(pem: str) -> str:
    """The id that the product gives to a key: the SHA-256 of its public part."""
    public = openssl("pkey", "-pubout", "-outform", "DER", data=pem.encode())
    return openssl("dgst", "-sha256", "-hex", "-r", data=public).decode().split()[0]


@dataclass(frozen=True)
class Sealed:
    """A symmetric key, and what was encrypted with it."""

    key: bytes
    content: dict[str, str]


def sealed(
    pem: str, text: bytes = json.dumps(EVENT).encode(), *, wrap: tuple[str, ...] = OAEP_SHA1, length: int = 32
) -> Sealed:
    """`text` encrypted as by Graph for the key in `pem`."""
    key = openssl("rand", str(length))
    aes = key.ljust(32, b"\0")
    data = openssl("enc", "-aes-256-cbc", "-K", aes.hex(), "-iv", aes[:16].hex(), data=text)
    signature = openssl(
        "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key.hex()}", "-binary", data=data
    )
    with tempfile.NamedTemporaryFile("w") as public:
        public.write(openssl("pkey", "-pubout", data=pem.encode()).decode())
        public.flush()
        wrapped = openssl("pkeyutl", "-encrypt", "-pubin", "-inkey", public.name, *wrap, data=key)
    return Sealed(
        key,
        {
            "data": text64(data),
            "dataKey": text64(wrapped),
            "dataSignature": text64(signature),
            "encryptionCertificateId": certificate_id(pem),
            "encryptionCertificateThumbprint": "00" * 20,
        },
    )


def text64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def signed(pem: str, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """A JWT, signed with RS256."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    text = b".".join(parts)
    with tempfile.NamedTemporaryFile("w") as key:
        key.write(pem)
        key.flush()
        signature = openssl("dgst", "-sha256", "-sign", key.name, data=text)
    return (text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def public_jwk(pem: str, key_id: str, issuer: str | None = None) -> dict[str, str]:
    """The public part as Microsoft Entra publishes keys."""
    modulus = (
        openssl("rsa", "-modulus", "-noout", data=pem.encode()).decode().strip().removeprefix("Modulus=")
    )
    number = base64.urlsafe_b64encode(bytes.fromhex(modulus)).rstrip(b"=").decode()
    key = {"kty": "RSA", "use": "sig", "kid": key_id, "n": number, "e": "AQAB"}
    return key | {"issuer": issuer} if issuer else key


def write_vectors() -> None:
    """Make the vectors anew: a private key, and content that was encrypted for it."""
    pem = private_key()
    made = sealed(pem)
    vector = {"made": time.strftime("%Y-%m-%d"), "with": openssl("version").decode().strip()}
    vector |= {"privateKey": pem, "content": made.content, "plain": EVENT}  # type: ignore[dict-item]
    (VECTORS / "encrypted-content.json").write_text(json.dumps(vector, indent=2) + "\n")


if __name__ == "__main__":
    write_vectors()
