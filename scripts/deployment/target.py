"""The deployment to work on: from a parameter file, or azd's environment."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import infrastructure
from .azurecli import Account, AzureCli
from .errors import DeploymentError
from .infrastructure import Outputs, Parameters
from .waiting import say

PRINTED = {
    "RG": "AZURE_RESOURCE_GROUP",
    "APP": "AZURE_FUNCTION_APP_NAME",
    "BASE": "NOTIFICATION_BASE_URL",
    "CLIENT_ID": "IDENTITY_CLIENT_ID",
    "PRINCIPAL_ID": "IDENTITY_PRINCIPAL_ID",
    "STORAGE": "STORAGE_ACCOUNT",
    "HOST_STORAGE": "HOST_STORAGE_ACCOUNT",
    "VAULT": "KEY_VAULT_NAME",
    "TOPIC": "PARTNER_TOPIC_NAME",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name the deployment."""
    parser.add_argument(
        "parameters", nargs="?", type=Path, metavar="PARAMETERS",
        help="parameter file of infra/main.bicep, such as infra/main.bicepparam",
    )  # fmt: skip
    parser.add_argument(
        "--azd", action="store_true", help="work on what `azd provision` made, without PARAMETERS"
    )


@dataclass(frozen=True)
class Target:
    """The deployment, the signed-in account and the Azure CLI."""

    az: AzureCli
    account: Account
    parameters: Parameters | None  # None: azd has them
    _outputs: Outputs | None = None

    def outputs(self) -> Outputs:
        """Return the outputs of the infrastructure."""
        if self._outputs is not None:
            return self._outputs
        assert self.parameters  # noqa: S101 - azd gives the outputs
        return infrastructure.of_deployment(self.az, self.parameters)


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the arguments; exit with 2 unless they name one deployment."""
    add_arguments(parser)
    given = parser.parse_args(arguments)
    if given.azd == (given.parameters is not None):
        parser.error(
            "give PARAMETERS, such as infra/main.bicepparam, or --azd" + (", not both" if given.azd else "")
        )
    return given


def find(given: argparse.Namespace) -> Target:
    """Return the deployment that the arguments name. Raises DeploymentError."""
    if given.azd:
        outputs, subscription = infrastructure.of_azd()
        az = AzureCli(subscription)
        target = Target(az, az.account(), None, outputs)
    else:
        az = AzureCli()
        account = az.account()
        parameters = infrastructure.read(az, given.parameters)
        infrastructure.check_cloud(parameters, account)
        target = Target(az, account, parameters)
    say(f"Subscription {target.account.name} ({target.account.subscription}), {target.account.cloud}")
    return target


def run(program: str, action: Callable[[], int]) -> int:
    """Run a program's action and return its exit code.

    A failure is 1, with one sentence on stderr.
    """
    try:
        return action()
    except DeploymentError as failure:
        say(f"{program}: {failure}")
        return 1
    except KeyboardInterrupt:
        say(f"{program}: interrupted; run the same command again")
        return 130
