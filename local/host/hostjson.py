"""host.json, with the platform's overrides from the environment.

An app setting `AzureFunctionsJobHost__extensions__queues__batchSize` wins over the same path in the file; paths
are compared without case, as .NET configuration does. What the file leaves out has the platform's default.
Source of the names and ranges: the host.json reference and the queue extension's own options.
"""

import json
import logging
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

OVERRIDE = "azurefunctionsjobhost__"
LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "information": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "none": logging.CRITICAL + 10,
}


@dataclass(frozen=True)
class QueueOptions:
    """`extensions.queues`: polling and message encoding of all queue triggers."""

    batch_size: int = 16
    new_batch_threshold: int = 8
    max_polling_interval: float = 60.0
    visibility_timeout: int = 0
    max_dequeue_count: int = 5
    base64: bool = True


@dataclass(frozen=True)
class HostJson:
    """The settings of host.json that this host obeys; times in seconds."""

    route_prefix: str = "api"
    function_timeout: float = 1800.0
    log_level: int = logging.INFO
    queues: QueueOptions = QueueOptions()
    event_batch_size: int = 100


def load(path: Path, environment: Mapping[str, str]) -> HostJson:
    """The host's configuration; a ValueError names what is wrong in it."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path.name} is missing") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path.name} is not JSON: {error}") from error
    values = dict(_flat(document))
    for name, value in environment.items():
        if name.lower().startswith(OVERRIDE):
            values[name[len(OVERRIDE) :].lower().replace("__", ":")] = value

    def read[T](key: str, convert: Callable[[str], T], default: T) -> T:
        text = values.get(key.lower())
        if text is None:
            return default
        try:
            return convert(text)
        except ValueError as error:
            raise ValueError(f"host.json: {key.replace(':', '.')} = {text!r}: {error}") from error

    batch_size = read("extensions:queues:batchSize", _integer(1, 32), 16)
    return HostJson(
        route_prefix=read("extensions:http:routePrefix", str, "api").strip("/"),
        function_timeout=read("functionTimeout", _limit, 1800.0),
        log_level=read("logging:logLevel:default", _level, logging.INFO),
        queues=QueueOptions(
            batch_size=batch_size,
            new_batch_threshold=read(
                "extensions:queues:newBatchThreshold", _integer(0, 1000), batch_size // 2
            ),
            max_polling_interval=max(0.1, read("extensions:queues:maxPollingInterval", seconds, 60.0)),
            visibility_timeout=int(read("extensions:queues:visibilityTimeout", seconds, 0.0)),
            max_dequeue_count=read("extensions:queues:maxDequeueCount", _integer(1, 1_000_000), 5),
            base64=read("extensions:queues:messageEncoding", _is_base64, True),
        ),
        event_batch_size=read("extensions:eventHubs:maxEventBatchSize", _integer(1, 10_000), 100),
    )


def seconds(text: str) -> float:
    """Parse a .NET TimeSpan, `[d.]hh:mm:ss[.fraction]`.

    Raises ValueError for anything else.
    """
    match = re.fullmatch(r"(?:(\d+)\.)?(\d{1,2}):(\d{1,2}):(\d{1,2}(?:\.\d{1,7})?)", text)
    if not match:
        raise ValueError("not a time span like 00:00:30")
    days, hours, minutes, rest = match.groups(default="0")
    return timedelta(
        days=int(days), hours=int(hours), minutes=int(minutes), seconds=float(rest)
    ).total_seconds()


def _flat(node: Any, path: str = "") -> list[tuple[str, str]]:
    """Every leaf as (lower-case path joined by colons, text)."""
    if isinstance(node, dict):
        return [
            leaf
            for name, child in node.items()
            for leaf in _flat(child, f"{path}:{name.lower()}" if path else name.lower())
        ]
    return [] if node is None or isinstance(node, list) else [(path, str(node))]


def _integer(low: int, high: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if not low <= int(text) <= high:
            raise ValueError(f"not from {low} to {high}")
        return int(text)

    return convert


def _limit(text: str) -> float:
    return math.inf if text == "-1" else seconds(text)


def _level(text: str) -> int:
    try:
        return LEVELS[text.lower()]
    except KeyError:
        raise ValueError(f"not one of {', '.join(LEVELS)}") from None


def _is_base64(text: str) -> bool:
    if text.lower() not in ("base64", "none"):
        raise ValueError("neither base64 nor none")
    return text.lower() == "base64"
