"""The form that all queue messages have: JSON with `version` and `kind`, at most 40 KB, no attendance data.

Reading is strict: a message that this version cannot read raises NotOurMessage, and is buried with its text instead
of being tried again. Standard library only: the webhook loads this module.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any

from .. import times
from ..errors import NotOurMessage

VERSION = 1
MAX_MESSAGE_BYTES = 40 * 1024

# An id goes into addresses and blob names: it begins with a letter or digit, so it is never `.` or `..`.
OPAQUE_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._~=-]{0,127}\Z")
OpaqueId = Annotated[str, OPAQUE_ID]
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")


def dumps(content: Mapping[str, Any]) -> str:
    """Compact ASCII JSON without the values that are None."""
    known = {key: value for key, value in content.items() if value is not None}
    return json.dumps(known, separators=(",", ":"))


def loads(text: str) -> dict[str, Any]:
    """The content of a message of our version. Raises NotOurMessage."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise NotOurMessage("A queue message is not JSON.") from None
    if not isinstance(content, dict):
        raise NotOurMessage("A queue message is not a JSON object.")
    if content.get("version") != VERSION:
        raise NotOurMessage(f"A queue message is not of version {VERSION}.")
    return content


def trace_parent(value: object) -> str | None:
    """`value` if it is a W3C traceparent, else None."""
    return value if isinstance(value, str) and _TRACE_PARENT.match(value) else None


TraceParent = Annotated[str | None, trace_parent]


def whole(content: Mapping[str, Any], name: str) -> int:
    """A whole number from 0 on; 0 where it is absent."""
    value = content.get(name, 0)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise NotOurMessage(f"{name} of a message is not a whole number.")
    return value


def string(content: Mapping[str, Any], name: str) -> str | None:
    """A string, or None where it is absent."""
    value = content.get(name)
    if value is not None and not isinstance(value, str):
        raise NotOurMessage(f"{name} of a message is not a string.")
    return value


def opaque_id(content: Mapping[str, Any], name: str) -> str:
    """An id that may go into addresses and names."""
    value = content.get(name)
    if not isinstance(value, str) or not OPAQUE_ID.match(value):
        raise NotOurMessage(f"{name} of a message is missing or not an id.")
    return value


def moment(content: Mapping[str, Any], name: str) -> datetime | None:
    """A point in time, or None where it is absent."""
    try:
        value = times.parse(content.get(name))
    except ValueError:
        raise NotOurMessage(f"{name} of a message is not a time.") from None
    if value and not _is_plausible(value):
        raise NotOurMessage(f"{name} of a message is before 2000 or after 2999.")
    return value


def day(content: Mapping[str, Any], name: str) -> date | None:
    """A date, or None where it is absent."""
    value = content.get(name)
    try:
        found = None if value is None else date.fromisoformat(value)
    except (ValueError, TypeError):
        raise NotOurMessage(f"{name} of a message is not a date.") from None
    if found and not _is_plausible(found):
        raise NotOurMessage(f"{name} of a message is before 2000 or after 2999.")
    return found


def _is_plausible(value: date) -> bool:
    """Whether days can be added to it, and looked through, without end."""
    return 2000 <= value.year < 3000
