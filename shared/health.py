"""Health: whether the app's settings are right and its storage answers, for people and for probes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from azure.core.exceptions import AzureError

from shared import __version__, storage
from shared import settings as app_settings
from shared.credentials import credential
from shared.errors import SettingError

ANSWERS = "answers"


def report(environ: Mapping[str, str]) -> tuple[bool, dict[str, Any]]:
    """Whether the app is healthy, and the JSON that says why: version, settings that are not secret, checks.

    Costs one request for each of the four queues and each of the two containers.
    """
    try:
        settings = app_settings.load(environ)
    except SettingError as failure:
        return False, {"healthy": False, "version": __version__, "problem": str(failure)}
    checks = _checks(settings)
    healthy = all(answer == ANSWERS for answer in checks.values())
    return healthy, {
        "healthy": healthy,
        "version": __version__,
        "settings": app_settings.shown(environ),
        "checks": checks,
    }


def _checks(settings: app_settings.Settings) -> dict[str, str]:
    blobs = storage.blob_service(settings, credential(settings.blob_client_id))
    queues = storage.queue_service(settings, credential(settings.queue_client_id))
    checks = {}
    for name in storage.QUEUES:
        checks[f"queue {name}"] = _check(queues.get_queue_client(name).get_queue_properties)
    for container in storage.containers(settings, blobs):
        checks[f"container {container.container_name}"] = _check(container.get_container_properties)
    return checks


def _check(ask: Callable[[], object]) -> str:
    try:
        ask()
    except AzureError as failure:
        code = getattr(failure, "error_code", None)
        return f"does not answer: {code or type(failure).__name__}"
    return ANSWERS
