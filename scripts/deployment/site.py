"""The function app in Azure Resource Manager: SCM host, Key Vault references, key."""

from typing import Any

from .azurecli import Account, AzureCli
from .errors import DeploymentError
from .infrastructure import Outputs
from .waiting import Clock, attempts, say

SITE_API = "2023-12-01"  # the first with Flex Consumption, and US Government has it
REFERENCES_API = "2022-03-01"
REFERENCE_SECONDS = 600.0
REFERENCE_POLL = 10.0
RESOLVED = "resolved"


class Site:
    """One function app."""

    def __init__(self, az: AzureCli, account: Account, outputs: Outputs) -> None:
        self._az = az
        self.group = outputs["AZURE_RESOURCE_GROUP"]
        self.name = outputs["AZURE_FUNCTION_APP_NAME"]
        self._id = (
            f"/subscriptions/{account.subscription}/resourceGroups/{self.group}"
            f"/providers/Microsoft.Web/sites/{self.name}"
        )

    def scm_host(self) -> str:
        """Return the host of the deployment site. Its name does not follow from the app's."""
        properties = self._arm("get", "", SITE_API)["properties"]
        if str(properties.get("state", "Running")).lower() != "running":
            command = f"az functionapp start --resource-group {self.group} --name {self.name}"
            raise DeploymentError(f"{self.name} is {properties['state']}: `{command}`.")
        for each in properties.get("hostNameSslStates") or []:
            if str(each.get("hostType")).lower() == "repository" and each.get("name"):
                return str(each["name"])
        raise DeploymentError(f"Azure names no SCM host of {self.name} (hostNameSslStates).")

    def refresh_references(self, clock: Clock, versions: dict[str, str] | None = None) -> None:
        """Reload the Key Vault references, and wait until each is resolved.

        `versions` says for settings which version of the secret must be in use. A reference that failed when the app
        was made stays its literal text until then, or for a day. Raises DeploymentError.
        """
        path = "/config/configreferences/appsettings"
        waiting: dict[str, str] = {}
        for number, _ in enumerate(attempts(clock, every=REFERENCE_POLL, within=REFERENCE_SECONDS)):
            if number % 6 == 0:  # once a minute
                self._arm("post", f"{path}/refresh", REFERENCES_API)
            reply = self._arm("get", path, REFERENCES_API)
            found = reply.get("value") if isinstance(reply, dict) else None
            if not isinstance(found, list):
                say(
                    "  Azure does not tell the state of the references; health names a secret that is missing"
                )
                return
            now = _unresolved(found, versions or {})
            if not now:
                return
            if now != waiting:
                say("  " + "; ".join(f"{name}: {status}" for name, status in now.items()))
            waiting = now
        names = "; ".join(f"{name} ({status})" for name, status in waiting.items())
        raise DeploymentError(
            f"Key Vault references were not resolved within {REFERENCE_SECONDS / 60:.0f} minutes: {names}. Check "
            "whether the app's identity has the role Key Vault Secrets User on the secret, and can reach the vault."
        )

    def settings(self) -> list[dict[str, Any]]:
        """Return the app's settings, as `az` prints them."""
        listed = self._az.read("functionapp", "config", "appsettings", "list", *self._named())
        return [each for each in listed or [] if isinstance(each, dict)]

    def function_key(self) -> str:
        """Return the key that the health page asks for. It is never printed."""
        keys = self._az.read("functionapp", "keys", "list", *self._named())
        return str((keys or {}).get("functionKeys", {}).get("default") or "")

    def _named(self) -> tuple[str, ...]:
        return ("--resource-group", self.group, "--name", self.name)

    def _arm(self, method: str, path: str, version: str) -> Any:
        return self._az.read("rest", "--method", method, "--url", f"{self._id}{path}?api-version={version}")


def _unresolved(found: list[Any], versions: dict[str, str]) -> dict[str, str]:
    """The settings with an unresolved or outdated reference, and Azure's reason."""
    waiting = {}
    for each in found:
        properties = each.get("properties") or {}
        name, status = str(each.get("name")), str(properties.get("status"))
        active = properties.get("activeVersion")
        if status.lower() != RESOLVED:
            waiting[name] = status
        elif active and name in versions and active != versions[name]:
            waiting[name] = "still the version before"
    return waiting
