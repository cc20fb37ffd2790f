"""The key of erasures, read from Key Vault with the operator's sign-in.

The app's settings name the secret: `@Microsoft.KeyVault(SecretUri=https://…/secrets/…)`. A token goes to a vault of the
chosen cloud and nowhere else. Source: https://learn.microsoft.com/rest/api/keyvault/secrets/get-secret/get-secret
"""

from __future__ import annotations

import re

import requests
from azure.core.credentials import TokenCredential
from azure.core.exceptions import ClientAuthenticationError

from ..bounded_http import keep_headers
from ..errors import AttendanceError
from ..settings import Cloud

API_VERSION = "7.4"
TIMEOUT = (10, 30)  # seconds to connect, and to read
_REFERENCE = re.compile(
    r"@Microsoft\.KeyVault\(SecretUri=(https://([0-9A-Za-z-]{3,24})\.([a-z.]+)/secrets/[0-9A-Za-z-]{1,127}(/[0-9a-f]{32})?)/?\)\Z"
)


def read_reference(name: str, reference: str, credential: TokenCredential, cloud: Cloud) -> str:
    """The secret to which the setting `name` refers.

    Raises AttendanceError, which quotes nothing of it.
    """
    found = _REFERENCE.match(reference)
    if found is None or found[3] != cloud.vault_suffix:
        raise AttendanceError(f"{name} does not refer to a secret in a vault of {cloud.vault_suffix}.")
    try:
        token = credential.get_token(f"https://{cloud.vault_suffix}/.default").token
        answer = requests.get(
            found[1],
            params={"api-version": API_VERSION},
            headers={"Authorization": f"Bearer {token}"},
            auth=keep_headers,
            timeout=TIMEOUT,
            allow_redirects=False,
        )
        value = answer.json().get("value") if answer.ok else None
    except ClientAuthenticationError:
        raise AttendanceError(f"Signing in to read {name} from Key Vault failed.") from None
    except (requests.RequestException, ValueError, AttributeError):
        raise AttendanceError(f"Key Vault gave no usable answer for {name}.") from None
    if not isinstance(value, str) or not value:
        raise AttendanceError(
            f"Key Vault did not return {name} (status {answer.status_code}): you need the role Key Vault Secrets User "
            "on its secret, and a way through the vault's firewall."
        )
    return value
