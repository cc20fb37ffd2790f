"""The expected answer to a body and its signals, written from the contract."""

import json
import re
from dataclasses import dataclass
from typing import Any

CALL = re.compile(r"/?communications/callrecords(?:/([^/?#()']+)|\('([^/?#()']+)'\)|())/?", re.IGNORECASE)
ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._~=-]{0,127}")  # what may stand in an address and in a blob's name
GUID = re.compile(
    r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
)  # in any case of letters it is one id
UNCHECKED = 16 * 1024  # bytes, up to which every body is parsed


@dataclass(frozen=True)
class Verdict:
    """The status, the ids of the calls, and the number of items that authenticate."""

    status: int
    calls: frozenset[str] = frozenset()
    authentic: int = 0


def verdict(
    body: bytes, state: str, tenant: str, most: int, *, rich: bool = True, checked: bool = True
) -> Verdict:
    """What must become of a POST with this body; `rich`: call events are subscribed to.

    Unless `checked`, it is an event, whose size the service limits.
    """
    if len(body) > most:
        return Verdict(413)
    if checked and len(body) > UNCHECKED:
        if b"\\u" in body or b"\0" in body:
            if not rich:
                return Verdict(413)
        elif not _names_state(body, state):
            return Verdict(202)
    try:
        content = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return Verdict(400)
    items = content.get("value") if isinstance(content, dict) else None
    if not isinstance(items, list):
        return Verdict(400)
    good = [item for item in items if isinstance(item, dict) and _is_authentic(item, state, tenant)]
    good = [item for item in good if _names_subscription(item)]
    calls = {call for item in good if item.get("lifecycleEvent") is None and (call := _call(item))}
    return Verdict(202, frozenset(calls), len(good))


def _names_state(body: bytes, state: str) -> bool:
    return re.search(rb'"clientState"\s*:\s*"%s"' % re.escape(state).encode(), body) is not None


def _is_authentic(item: dict[str, Any], state: str, tenant: str) -> bool:
    owner = item.get("tenantId")
    return item.get("clientState") == state and (
        owner is None or (isinstance(owner, str) and owner.lower() == tenant)
    )


def _names_subscription(item: dict[str, Any]) -> bool:
    named = item.get("subscriptionId")
    return isinstance(named, str) and ID.fullmatch(named) is not None


def _call(item: dict[str, Any]) -> str:
    resource = item.get("resource")
    match = CALL.fullmatch(resource) if isinstance(resource, str) else None
    if not match:
        return ""
    data = item.get("resourceData")
    named = data.get("id") if isinstance(data, dict) else None
    found = match[1] or match[2] or (named if isinstance(named, str) else "")
    return found.lower() if GUID.fullmatch(found) else ""
