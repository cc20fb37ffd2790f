"""OpenID configuration and instance discovery documents.

The issuers are the cloud's own, because tokens carry those; the addresses are this endpoint's. `common` and its like
stand for any tenant. Source: OpenID Connect on the Microsoft identity platform.
"""

from __future__ import annotations

AUTHORITIES = {
    "global": "https://login.microsoftonline.com",
    "usgov": "https://login.microsoftonline.us",
    "usgovdod": "https://login.microsoftonline.us",
}
SHARED = frozenset({"common", "organizations", "consumers"})


def issuer(authority: str, tenant: str, version: str) -> str:
    """The issuer of a tenant's tokens of that version, `1.0` or `2.0`."""
    if version == "1.0":
        return f"https://sts.windows.net/{tenant}/"
    return f"{authority}/{tenant}/v2.0"


def openid_configuration(root: str, authority: str, tenant: str, version: str) -> dict[str, object]:
    """The OpenID configuration of a tenant (or of `common`), served below `root`."""
    named = "{tenantid}" if tenant in SHARED else tenant
    base, suffix = f"{root}/{tenant}", "" if version == "1.0" else "/v2.0"
    return {
        "token_endpoint": f"{base}/oauth2{suffix}/token",
        "token_endpoint_auth_methods_supported": [
            "client_secret_post",
            "private_key_jwt",
            "client_secret_basic",
        ],
        "jwks_uri": f"{base}/discovery{suffix}/keys",
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": issuer(authority, named, version),
        "authorization_endpoint": f"{base}/oauth2{suffix}/authorize",
        "device_authorization_endpoint": f"{base}/oauth2{suffix}/devicecode",
        "cloud_instance_name": authority.partition("//login.")[2],
    }


def instance_discovery(root: str, host: str, tenant: str) -> dict[str, object]:
    """The instance discovery document: configuration address, and hosts of one cloud."""
    return {
        "tenant_discovery_endpoint": f"{root}/{tenant}/v2.0/.well-known/openid-configuration",
        "api-version": "1.1",
        "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
    }
