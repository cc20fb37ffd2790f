"""The settings file of the command line, private and without secrets."""

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

NAMES = {
    "ATTENDANCE_CONTAINER", "AZURE_CLIENT_ID", "CONFIRM_AFTER", "DELIVERY", "ENCRYPTION_KEY_ID", "GRAPH_CLIENT_ID",
    "GRAPH_CLOUD", "GRAPH_RATE", "GRAPH_ROOT", "LOGIN_ROOT", "MAINTAIN_SCHEDULE", "MEETING_DETAILS",
    "NOTIFICATION_BASE_URL", "NOTIFICATION_MAX_BYTES", "ORGANIZERS", "PARTNER_TOPIC", "RETENTION_DAYS",
    "RETRY_FIRST_DELAY", "RETRY_WINDOW", "SIGNALS", "SWEEP_SCHEDULE", "TENANT_ID",
}  # fmt: skip
_CONNECTION = re.compile(
    r"(AzureWebJobsStorage|AttendanceStorage|GraphEventHub)"
    r"__(\w+ServiceUri|accountName|clientId|credential|fullyQualifiedNamespace)\Z"
)
_REFERENCE = "@Microsoft.KeyVault("
_SIGNED = re.compile(r"[?&]sig=", re.IGNORECASE)  # a shared access signature


def without_secrets(settings: Iterable[dict[str, Any]]) -> list[dict[str, str]]:
    """Keep known settings that are not secrets, and references to Key Vault.

    A setting that is not known here may hold anything, so it is left out.
    """
    kept = []
    for each in settings:
        name, value = str(each.get("name")), str(each.get("value") or "")
        known = name in NAMES or _CONNECTION.match(name)
        if value.startswith(_REFERENCE) or (known and not _SIGNED.search(value)):
            kept.append({"name": name, "value": value})
    return sorted(kept, key=lambda each: each["name"])


def write(file: Path, settings: Iterable[dict[str, Any]]) -> None:
    """Write the file atomically."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(
        os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
    ) as stream:
        json.dump(without_secrets(settings), stream, indent=2)
        stream.write("\n")
    new.replace(file)
