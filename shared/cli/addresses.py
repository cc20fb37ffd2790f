"""The addresses that may get a token, where the app's settings come from a file.

A file may come from anybody, and a token that goes to a stranger's address can be used by the stranger for an hour.
Source: https://learn.microsoft.com/azure/azure-government/compare-azure-government-global-azure#guidance-for-developers
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from ..errors import SettingError
from ..settings import Settings

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def check_addresses(settings: Settings, *, local: bool) -> None:
    """Check that each address is one of the chosen cloud.

    With `local`, one of this machine. Raises SettingError, which names the setting.
    """
    cloud = settings.cloud
    blob, queue = (
        rf"https://[a-z0-9]{{3,24}}\.{service}\.{re.escape(cloud.storage_suffix)}"
        for service in ("blob", "queue")
    )
    for name, address, of_cloud in (
        ("GRAPH_ROOT", settings.graph_root, re.escape(cloud.graph_root)),
        ("LOGIN_ROOT", settings.login_root, re.escape(cloud.login_root)),
        ("AttendanceStorage__blobServiceUri", settings.blob_url, blob),
        ("AzureWebJobsStorage__blobServiceUri", settings.state_url, blob),
        ("AzureWebJobsStorage__queueServiceUri", settings.queue_url, queue),
    ):
        if address and not (re.fullmatch(of_cloud, address) or (local and is_loopback(address))):
            machine = " or of this machine" if local else ""
            raise SettingError(
                name,
                f"is not an address of the cloud {cloud.name}{machine}, and no other address gets a token",
            )


def is_loopback(address: str) -> bool:
    """Whether a URL leads to this machine."""
    try:
        return urlsplit(address).hostname in _LOOPBACK and "\\" not in address and "@" not in address
    except ValueError:
        return False
