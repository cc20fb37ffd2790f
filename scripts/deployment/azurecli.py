"""The Azure CLI as a program: `az` on PATH, `az.cmd` on Windows.

Arguments avoid JMESPath and characters that Windows' command interpreter would read itself.
"""

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import DeploymentError

READ_SECONDS = 300.0
DEPLOY_SECONDS = 3_600.0
INSTALL = "https://learn.microsoft.com/cli/azure/install-azure-cli"

AUDIENCES: Mapping[str, str] = {
    "AzureCloud": "https://management.core.windows.net/",
    "AzureUSGovernment": "https://management.core.usgovcloudapi.net/",
}


@dataclass(frozen=True)
class Account:
    """The subscription that `az` works on, and its cloud."""

    subscription: str
    name: str
    cloud: str

    @property
    def audience(self) -> str:
        """The audience of tokens for Azure Resource Manager and the SCM site."""
        return AUDIENCES[self.cloud]


class AzureCli:
    """Calls of `az`, all on one subscription."""

    def __init__(self, subscription: str = "") -> None:
        program = shutil.which("az")
        if not program:
            raise DeploymentError(f"The Azure CLI (az) is not on PATH. Install it: {INSTALL}")
        self._program = program
        self._subscription = ["--subscription", subscription] if subscription else []

    def account(self) -> Account:
        """Return the signed-in account.

        Raises DeploymentError for nobody, and for a cloud without Graph.
        """
        try:
            shown = self.read("account", "show")
        except DeploymentError:
            raise DeploymentError(
                "Nobody is signed in to Azure, or not to this subscription: run `az login`, then "
                "`az account set --subscription SUBSCRIPTION`."
            ) from None
        account = Account(shown["id"], shown["name"], shown["environmentName"])
        if account.cloud not in AUDIENCES:
            why = (
                "Microsoft Graph has no attendance reports in China (21Vianet)"
                if account.cloud == "AzureChinaCloud"
                else f"only {' and '.join(AUDIENCES)} are supported"
            )
            raise DeploymentError(
                f"The Azure CLI is signed in to the cloud {account.cloud}: {why}. Choose another with `az cloud set`."
            )
        return account

    def token(self, account: Account) -> str:
        """Return a token for Azure Resource Manager and the SCM site. It is never printed."""
        reply = self.read("account", "get-access-token", "--resource", account.audience)
        return str(reply["accessToken"])

    def read(self, *arguments: str) -> Any:
        """Return what a command prints as JSON; None when it prints nothing."""
        done = self._call([*arguments, *self._subscription, "--output", "json", "--only-show-errors"])
        return self._parse(arguments, done)

    def compile(self, file: str) -> Any:
        """Return a compiled parameter file: its parameters and its template."""
        arguments = ("bicep", "build-params", "--file", file, "--stdout")
        return self._parse(arguments, self._call([*arguments, "--only-show-errors"]))

    def show(self, *arguments: str) -> None:
        """Run a long command, showing its progress and errors."""
        command = [self._program, *arguments, *self._subscription, "--output", "none"]
        try:
            subprocess.run(command, stdin=subprocess.DEVNULL, timeout=DEPLOY_SECONDS, check=True)
        except subprocess.CalledProcessError:
            raise DeploymentError(f"`{_named(arguments)}` failed; its error is above.") from None
        except subprocess.TimeoutExpired:
            raise DeploymentError(
                f"`{_named(arguments)}` did not end within {DEPLOY_SECONDS / 60:.0f} minutes."
            ) from None

    def _call(self, arguments: list[str]) -> str:
        try:
            done = subprocess.run(
                [self._program, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=READ_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DeploymentError(f"`{_named(arguments)}` did not end within {READ_SECONDS:.0f} s.") from None
        if done.returncode:
            words = " ".join(done.stderr.split())[:1_000] or f"exit code {done.returncode}"
            raise DeploymentError(f"`{_named(arguments)}` failed: {words}")
        return done.stdout

    def _parse(self, arguments: tuple[str, ...], text: str) -> Any:
        try:
            return json.loads(text) if text.strip() else None
        except ValueError:
            raise DeploymentError(f"`{_named(arguments)}` did not print JSON.") from None


def _named(arguments: list[str] | tuple[str, ...]) -> str:
    """A command without its options, whose values may be long."""
    words = []
    for argument in arguments:
        if argument.startswith("-"):
            break
        words.append(argument)
    return " ".join(["az", *words])
