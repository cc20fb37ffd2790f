"""Structured log lines: one line of JSON per event, `event` first.

A line never holds a token, clientState, key, e-mail address or name. Its fields are ids, counts, states and Graph's
request-id. Every line about a signal has `signal` and, if known, the notification's `traceparent`. docs/operators.md
lists the events.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import datetime
from types import MappingProxyType

_LOGGER = logging.getLogger("attendance")
_NOTHING: Mapping[str, object] = MappingProxyType({})
_ABOUT: ContextVar[Mapping[str, object]] = ContextVar("about", default=_NOTHING)

# At INFO the SDKs write several lines per request, which would be most of the logging cost.
for _name in ("azure.core", "azure.storage"):
    logging.getLogger(_name).setLevel(logging.WARNING)
# It quotes answers that it cannot parse, and they may hold a token.
logging.getLogger("azure.identity").setLevel(logging.CRITICAL)


def info(event: str, **fields: object) -> None:
    """Log a normal event."""
    _log(logging.INFO, event, fields)


def warning(event: str, **fields: object) -> None:
    """Log an event that an operator may want to look at."""
    _log(logging.WARNING, event, fields)


def error(event: str, **fields: object) -> None:
    """Log an event that an operator must act on."""
    _log(logging.ERROR, event, fields)


@contextlib.contextmanager
def about(**fields: object) -> Iterator[None]:
    """Add fields to every line of this thread in the block; a line's own fields win."""
    token = _ABOUT.set({**_ABOUT.get(), **fields})
    try:
        yield
    finally:
        _ABOUT.reset(token)


def _log(level: int, event: str, fields: dict[str, object]) -> None:
    values = {name: value for name, value in {**_ABOUT.get(), **fields}.items() if value is not None}
    _LOGGER.log(level, "%s", json.dumps({"event": event, **values}, default=_plain))


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
