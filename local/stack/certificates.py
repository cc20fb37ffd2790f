"""The certificate of the stack's HTTPS servers, and the roots to trust.

Azurite takes OAuth over HTTPS only, and the identity library takes no other login endpoint. The key of the
authority is forgotten once it has issued the one certificate, which is good for the loopback address alone.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
import trustme
from cryptography import x509

from local.stack import ports, state


@dataclass(frozen=True)
class Certificates:
    """Files of a server's certificate and of the roots that clients trust."""

    server: Path
    roots: Path


def ensure_certificates(folder: Path, *, usual_roots: bool = True) -> Certificates:
    """The certificates of a state folder, issued anew if missing or about to expire.

    Without the usual roots nothing but the stack itself is trusted, and a new connection costs 20 ms less.
    """
    folder.mkdir(parents=True, exist_ok=True)
    root, server, bundle = folder / "root.pem", folder / "server.pem", folder / "ca.pem"
    if not (server.exists() and root.exists() and _is_valid(server)):
        authority = trustme.CA()
        issued = authority.issue_cert(ports.LOOPBACK, "localhost")
        state.write(root, authority.cert_pem.bytes().decode())
        state.write(server, issued.private_key_and_cert_chain_pem.bytes().decode())
    files = [root]
    if usual_roots:  # the whole process trusts this one file, so it keeps every root that was trusted before
        before = {os.environ.get(name, "") for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")} - {
            str(bundle)
        }
        files += [Path(certifi.where()), *(Path(name) for name in sorted(before) if Path(name).is_file())]
    state.write(bundle, "\n".join(file.read_text() for file in files))
    return Certificates(server, bundle)


def _is_valid(server: Path) -> bool:
    # Reads the first certificate and passes over the key before it.
    expires = x509.load_pem_x509_certificates(server.read_bytes())[0].not_valid_after_utc
    return expires > datetime.now(UTC) + timedelta(days=1)
