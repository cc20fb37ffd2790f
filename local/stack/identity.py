"""App Service's managed-identity endpoint.

Speaks the protocol of 'How to use managed identities for App Service': GET with `resource` and `client_id`,
the secret in X-IDENTITY-HEADER. The tokens have the claims that Azurite and the Graph simulator check, who do not check
the signature. The login endpoint does: a token for the exchange stands for an app registration that trusts this
identity. Tokens and secrets are never logged.
"""

import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import jwt

TENANT = "7f1d3c52-0a86-4be4-9c1e-5b2f8f7a6d10"
CLIENT_ID = "c2b7a9e4-6d35-4f0b-8a71-3e9d5c1f4b68"
OBJECT_ID = "41e8d6b0-92fc-4a3d-b5c7-0d6f2a8e7193"
API_VERSION = "2019-08-01"
EXCHANGE = "api://AzureADTokenExchange"
GRAPH_ROLES = (  # the application permissions that are granted
    "CallRecords.Read.All",
    "OnlineMeetingArtifact.Read.All",
    "OnlineMeetings.Read.All",
    "VirtualEvent.Read.All",
)
ISSUER = "https://login.microsoftonline.com"


@dataclass(frozen=True)
class Identity:
    """One user-assigned identity and its endpoint; `issuer` is the cloud's authority."""

    endpoint: str
    tenant: str
    client_id: str
    lifetime: int
    header: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    issuer: str = ISSUER

    def token(self, resource: str) -> dict[str, str]:
        """The endpoint's answer with a token for an audience, valid `lifetime` seconds."""
        now = int(time.time())
        claims = {
            "aud": resource,
            "iat": now,
            "nbf": now - 300,  # tolerates a clock that is set back a little, as the real issuer does
            "exp": now + self.lifetime,
            "idtyp": "app",
            "oid": OBJECT_ID,
            "sub": OBJECT_ID,
            "tid": self.tenant,
            **self._of_version(resource),
            **({"roles": list(GRAPH_ROLES)} if "graph.microsoft." in resource else {}),
        }
        return {
            "access_token": jwt.encode(claims, self.key, algorithm="HS256"),
            "expires_on": str(claims["exp"]),
            "resource": resource,
            "token_type": "Bearer",
            "client_id": self.client_id,
        }

    def _of_version(self, resource: str) -> dict[str, str]:
        """The claims that differ by version: 2 for the exchange, otherwise 1."""
        if resource == EXCHANGE:
            return {"iss": f"{self.issuer}/{self.tenant}/v2.0", "azp": self.client_id, "ver": "2.0"}
        return {"iss": f"https://sts.windows.net/{self.tenant}/", "appid": self.client_id, "ver": "1.0"}

    def answer(self, target: str, header: str) -> tuple[HTTPStatus, dict[str, str]]:
        """Status and body for a request target such as `/msi/token?resource=…`."""
        address = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        if address.path != "/msi/token":
            return HTTPStatus.NOT_FOUND, _error("no such address")
        if not secrets.compare_digest(header.encode(), self.header.encode()):
            return HTTPStatus.UNAUTHORIZED, _error("X-IDENTITY-HEADER is missing or wrong")
        if query.get("api-version") != API_VERSION:
            return HTTPStatus.BAD_REQUEST, _error(f"api-version must be {API_VERSION}")
        if "resource" not in query:
            return HTTPStatus.BAD_REQUEST, _error("resource is missing")
        if query.get("client_id") != self.client_id:
            return HTTPStatus.BAD_REQUEST, _error("no identity with this client_id is assigned to this app")
        return HTTPStatus.OK, self.token(query["resource"])


def _error(message: str) -> dict[str, str]:
    return {"error": "invalid_request", "error_description": message}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # every thread of the app may ask at once; the default of 5 drops connections
    identity: Identity


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        status, answer = self.server.identity.answer(self.path, self.headers.get("X-IDENTITY-HEADER", ""))
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it overrides
        """Say nothing: a request line tells nothing worth reading here."""


@contextmanager
def serve(
    port: int = 0,
    *,
    tenant: str = TENANT,
    client_id: str = CLIENT_ID,
    lifetime: int = 86_400,
    issuer: str = ISSUER,
) -> Iterator[Identity]:
    """Serve the endpoint on threads of this process, on any free port by default."""
    with _Server(("127.0.0.1", port), _Handler) as server:
        endpoint = f"http://127.0.0.1:{server.server_port}/msi/token"
        server.identity = Identity(endpoint, tenant, client_id, lifetime, issuer=issuer)
        # A short poll so that stopping does not wait for the half second that is the default.
        serving = threading.Thread(target=server.serve_forever, args=(0.05,), name="identity", daemon=True)
        serving.start()
        try:
            yield server.identity
        finally:
            server.shutdown()
            serving.join()
