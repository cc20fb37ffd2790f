"""The Bicep deployment: parameters, deployment and outputs."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .azurecli import Account, AzureCli
from .errors import DeploymentError

GOVERNMENT = ("usgov", "usgovdod")


@dataclass(frozen=True)
class Parameters:
    """The values of a parameter file that identify a deployment."""

    file: Path
    environment: str
    location: str
    graph_cloud: str

    @property
    def deployment(self) -> str:
        """The deployment's name: Azure refuses one name in two regions."""
        return f"attendance-{self.environment}-{self.location}"


class Outputs:
    """Outputs of infra/main.bicep, by name in any letter case.

    Azure Resource Manager may change the case.
    """

    def __init__(self, values: Mapping[str, str], source: str) -> None:
        self._values = {name.upper(): value for name, value in values.items() if value}
        self._source = source

    def __getitem__(self, name: str) -> str:
        try:
            return self._values[name]
        except KeyError:
            raise DeploymentError(
                f"{self._source} has no output {name}: deploy infra/main.bicep again."
            ) from None

    def get(self, name: str) -> str:
        """The output, or "" where there is none."""
        return self._values.get(name, "")


def read(az: AzureCli, file: Path) -> Parameters:
    """Read a parameter file with the Bicep compiler, for defaults and environment."""
    if not file.is_file():
        raise DeploymentError(f"The parameter file {file} does not exist.")
    if file.suffix != ".bicepparam":
        raise DeploymentError(f"{file} is not a Bicep parameter file (.bicepparam).")
    compiled = az.compile(str(file))
    try:
        values = json.loads(compiled["parametersJson"])["parameters"]
        defaults = json.loads(compiled.get("templateJson") or "{}").get("parameters", {})
    except (KeyError, TypeError, ValueError):
        raise DeploymentError(f"`az bicep build-params` did not return the parameters of {file}.") from None

    def value(name: str) -> str:
        return str(values.get(name, {}).get("value") or defaults.get(name, {}).get("defaultValue") or "")

    environment, location = value("environmentName"), value("location")
    if not environment or not location:
        raise DeploymentError(f"{file} sets no environmentName or no location.")
    return Parameters(file, environment, location, value("graphCloud"))


def check_cloud(parameters: Parameters, account: Account) -> None:
    """Refuse a parameter file of another cloud than the signed-in one."""
    if (parameters.graph_cloud in GOVERNMENT) != (account.cloud == "AzureUSGovernment"):
        raise DeploymentError(
            f"graphCloud is {parameters.graph_cloud} in {parameters.file}, and the Azure CLI is signed in to "
            f"{account.cloud}: {' and '.join(GOVERNMENT)} go with AzureUSGovernment, global with AzureCloud. "
            "Choose with `az cloud set --name NAME`."
        )


def deploy(az: AzureCli, parameters: Parameters) -> None:
    """Create or change the Azure resources."""
    try:
        az.show(
            *("deployment", "sub", "create"),
            *("--name", parameters.deployment, "--location", parameters.location),
            *("--parameters", str(parameters.file)),
        )
    except DeploymentError as failure:
        raise DeploymentError(
            f"{failure} Where it says that a vault of this name was deleted, set recoverVault: docs/deployers.md."
        ) from None


def of_deployment(az: AzureCli, parameters: Parameters) -> Outputs:
    """Return the outputs of the last deployment with these parameters.

    Raises DeploymentError if there is none.
    """
    name = parameters.deployment
    try:
        shown = az.read("deployment", "sub", "show", "--name", name)
    except DeploymentError as failure:
        raise DeploymentError(
            f"{failure} Run `scripts/deploy {parameters.file.as_posix()}` first; what azd made is named by --azd."
        ) from None
    outputs: dict[str, Any] = (shown.get("properties") or {}).get("outputs") or {}
    return Outputs(
        {key: str(each.get("value") or "") for key, each in outputs.items()}, f"The deployment {name}"
    )


def of_azd() -> tuple[Outputs, str]:
    """Return the outputs in azd's environment, and its subscription."""
    program = shutil.which("azd")
    if not program:
        raise DeploymentError("The Azure Developer CLI (azd) is not on PATH.")
    done = subprocess.run(
        [program, "env", "get-values", "--output", "json"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=60,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )
    try:
        values = json.loads(done.stdout) if not done.returncode else None
    except ValueError:
        values = None
    if not isinstance(values, dict):
        words = " ".join(done.stderr.split())[:500]
        raise DeploymentError(f"`azd env get-values` failed; run `azd provision` first. {words}".rstrip())
    found = {str(name): str(value) for name, value in values.items()}
    return Outputs(found, "The azd environment"), found.get("AZURE_SUBSCRIPTION_ID", "")
