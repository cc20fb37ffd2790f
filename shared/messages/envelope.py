"""Envelope of every queue message: JSON with `version` and `kind`, at most 40 KB.

Messages carry no attendance data. Reading is strict: a message this version cannot read raises NotOurMessage and is
stored as a dead letter instead of being retried. Standard library only: the webhook loads this module.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

from ..errors import NotOurMessage

MAX_MESSAGE_BYTES = 40 * 1024

# An id goes into addresses and blob names: it begins with a letter or digit, so it is never `.` or `..`.
OPAQUE_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._~=-]{0,127}\Z")
OpaqueId = Annotated[str, OPAQUE_ID]
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")


def dumps(content: Mapping[str, Any]) -> str:
    """Write compact ASCII JSON without the values that are None."""
    present = {key: value for key, value in content.items() if value is not None}
    return json.dumps(present, separators=(",", ":"))


def loads(text: str, version: int) -> dict[str, Any]:
    """Read a message of this version. Raises NotOurMessage."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise NotOurMessage("A queue message is not JSON.") from None
    if not isinstance(content, dict):
        raise NotOurMessage("A queue message is not a JSON object.")
    if content.get("version") != version:
        raise NotOurMessage(f"A queue message does not have version {version}.")
    return content


def parse_trace_parent(value: object) -> str | None:
    """Return `value` if it is a W3C traceparent, else None."""
    return value if isinstance(value, str) and _TRACE_PARENT.match(value) else None


TraceParent = Annotated[str | None, parse_trace_parent]
