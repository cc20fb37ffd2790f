"""Sign-in of a person at the command line to Microsoft Graph and storage.

The app itself uses managed identity only: see `graph.credentials`.

Source: https://learn.microsoft.com/python/api/overview/azure/identity-readme
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any

from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    AzureCliCredential,
    AzureDeveloperCliCredential,
    ChainedTokenCredential,
    DeviceCodeCredential,
    InteractiveBrowserCredential,
)

from ..errors import SignInNeeded
from ..graph.credentials import managed_identity
from ..settings import Settings

STORAGE_SCOPE = "https://storage.azure.com/.default"  # in every cloud
WAIT = 900  # seconds to enter a device code
PROGRAM_SECONDS = 8  # for az or azd to answer; it takes one
RENEW_BEFORE = 300  # seconds before the end of a token
_ENTRA_CODE = re.compile(r"\bAADSTS[0-9]{4,8}\b")


class SignIn(StrEnum):
    """Values of `--sign-in`; `auto`: managed identity if present, else `az`, `azd`."""

    AUTO = "auto"
    AZURE_CLI = "azure-cli"
    DEVICE_CODE = "device-code"
    BROWSER = "browser"
    MANAGED_IDENTITY = "managed-identity"


class UserCredential:
    """Credential that is asked once per scope.

    Its failure is one sentence. The Azure SDK would start `az` for each request, retry it for minutes, and report
    what Azure CLI wrote.
    """

    def __init__(self, source: TokenCredential, remedy: str) -> None:
        self._source, self._remedy = source, remedy
        self._tokens: dict[tuple[str, ...], AccessToken] = {}
        self._lock = threading.Lock()

    def get_token(self, *scopes: str, claims: str | None = None, **options: Any) -> AccessToken:
        """Return a token for these scopes, possibly cached.

        Raises SignInNeeded, which quotes no more than a code.
        """
        with self._lock:
            token = self._tokens.get(scopes)
            if token is None or claims or token.expires_on < time.time() + RENEW_BEFORE:
                token = self._tokens[scopes] = self._ask(scopes, claims, options)
        return token

    def _ask(self, scopes: tuple[str, ...], claims: str | None, options: dict[str, Any]) -> AccessToken:
        try:
            return self._source.get_token(*scopes, claims=claims, **options)
        except ClientAuthenticationError as failure:
            code = _ENTRA_CODE.search(failure.message or "")
        raise SignInNeeded(f"{self._remedy} (Microsoft Entra: {code[0]})" if code else self._remedy)


def choose_credential(how: SignIn, settings: Settings, client_id: str | None) -> UserCredential:
    """Return the credential for a way to sign in.

    `client_id` is that of a public client registration, for device code and browser. Raises SignInNeeded if the program
    that signs in is not installed.
    """
    if how is SignIn.MANAGED_IDENTITY or (how is SignIn.AUTO and "IDENTITY_ENDPOINT" in os.environ):
        remedy = (
            "The managed identity gives no token: check AZURE_CLIENT_ID, or sign in yourself, see --sign-in."
        )
        return UserCredential(managed_identity(settings.client_id), remedy)
    if how in (SignIn.AUTO, SignIn.AZURE_CLI):
        return _from_programs(settings.tenant_id, with_azd=how is SignIn.AUTO)
    options: dict[str, Any] = {
        "tenant_id": settings.tenant_id or None,
        "authority": settings.login_root,
        "disable_instance_discovery": settings.login_root != settings.cloud.login_root,
        "timeout": WAIT,
    }
    if client_id:
        options["client_id"] = client_id
    source = (
        DeviceCodeCredential(prompt_callback=_prompt, **options)
        if how is SignIn.DEVICE_CODE
        else InteractiveBrowserCredential(**options)
    )
    return UserCredential(source, "Signing in did not succeed: run the command again.")


def _from_programs(tenant: str, *, with_azd: bool) -> UserCredential:
    """Return the credential of whoever is signed in with `az`, or else with `azd`."""
    az = f"az login --tenant {tenant}" if tenant else "az login"
    azd = f"azd auth login --tenant-id {tenant}" if tenant else "azd auth login"
    limits: dict[str, Any] = {"tenant_id": tenant, "process_timeout": PROGRAM_SECONDS}
    sources: list[Any] = []
    if shutil.which("az"):
        sources.append((AzureCliCredential(**limits), az))
    if with_azd and shutil.which("azd"):
        sources.append((AzureDeveloperCliCredential(**limits), azd))
    if not sources:
        raise SignInNeeded(
            f"az is not installed here: install the Azure CLI (https://aka.ms/azure-cli), then: {az} "
            "(without it: --sign-in device-code)"
        )
    return UserCredential(ChainedTokenCredential(*(each for each, _ in sources)), f"Sign in: {sources[0][1]}")


def _prompt(address: str, code: str, _: datetime) -> None:
    """Print the device code on stderr, because results go to stdout."""
    print(f"To sign in, open {address} and enter the code {code}.", file=sys.stderr, flush=True)  # noqa: T201


def graph_token_source(source: TokenCredential, scope: str) -> Callable[[bool, str | None], str]:
    """Return a function that gets tokens for Graph.

    It raises SignInNeeded if nobody is signed in.
    """
    return lambda _, claims: source.get_token(scope, claims=claims).token
