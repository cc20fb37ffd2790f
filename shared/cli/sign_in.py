"""Sign-in of a person at the command line to Microsoft Graph and storage.

The app itself uses managed identity only: see `graph.credentials`.

Source: https://learn.microsoft.com/python/api/overview/azure/identity-readme
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any

from azure.core.credentials import TokenCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    AzureCliCredential,
    AzureDeveloperCliCredential,
    ChainedTokenCredential,
    CredentialUnavailableError,
    DeviceCodeCredential,
    InteractiveBrowserCredential,
)

from ..errors import Unavailable
from ..graph.credentials import managed_identity
from ..settings import Settings

WAIT = 900  # seconds to enter a device code


class SignIn(StrEnum):
    """Values of `--sign-in`; `auto`: managed identity if present, else `az`, `azd`."""

    AUTO = "auto"
    AZURE_CLI = "azure-cli"
    DEVICE_CODE = "device-code"
    BROWSER = "browser"
    MANAGED_IDENTITY = "managed-identity"


def choose_credential(how: SignIn, settings: Settings, client_id: str | None) -> TokenCredential:
    """Return the credential for a way to sign in.

    `client_id` is that of a public client registration, for device code and browser.
    """
    options: dict[str, Any] = {"tenant_id": settings.tenant_id or None}
    if client_id:
        options["client_id"] = client_id
    interactive = options | {
        "authority": settings.login_root,
        "disable_instance_discovery": settings.login_root != settings.cloud.login_root,
        "timeout": WAIT,
    }
    match how:
        case SignIn.AUTO:
            return _default_credential(settings)
        case SignIn.AZURE_CLI:
            return AzureCliCredential(tenant_id=settings.tenant_id or "")
        case SignIn.DEVICE_CODE:
            return DeviceCodeCredential(prompt_callback=_prompt, **interactive)
        case SignIn.BROWSER:
            return InteractiveBrowserCredential(**interactive)
        case SignIn.MANAGED_IDENTITY:
            return managed_identity(settings.client_id)


def _default_credential(settings: Settings) -> TokenCredential:
    if "IDENTITY_ENDPOINT" in os.environ:  # App Service, Functions, the local stack
        return managed_identity(settings.client_id)
    tenant = settings.tenant_id or ""
    return ChainedTokenCredential(
        AzureCliCredential(tenant_id=tenant), AzureDeveloperCliCredential(tenant_id=tenant)
    )


def _prompt(address: str, code: str, _: datetime) -> None:
    """Print the device code on stderr, because results go to stdout."""
    print(f"To sign in, open {address} and enter the code {code}.", file=sys.stderr, flush=True)  # noqa: T201


def graph_token_source(source: TokenCredential, scope: str) -> Callable[[bool, str | None], str]:
    """Return a function that gets tokens for Graph.

    It raises Unavailable, which quotes nothing, if nobody is signed in.
    """

    def token(_: bool, claims: str | None) -> str:
        try:
            return source.get_token(scope, claims=claims).token
        except CredentialUnavailableError:
            problem = "this way to sign in is not set up here"
        except ClientAuthenticationError as failure:
            problem = f"sign-in failed ({type(failure).__name__})"
        raise Unavailable("sign in", problem)

    return token
