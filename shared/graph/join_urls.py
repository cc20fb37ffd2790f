"""Parse join URLs, and make the key that is equal for all copies of a link.

A classic link names tenant, organizer and thread; a short one (`/meet/`) has only the meeting's digits. The same link
comes percent-encoded once, twice or not at all, and in any letter case.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from ..messages.resource_paths import MAX_DECODING
from ..settings import GUID

PERSONAL_HOST = "teams.live.com"
SERIES_LENGTH = 32  # hex digits: no two links of a tenant share them
_SHORT_LINK = re.compile(r"/meet/([0-9]+)/?\Z")
# The thread of a channel, of today and of teams made before 2021. A meeting's own thread is 19:meeting_….
_CHANNEL = re.compile(r"/19:(?:[^/]+@thread\.tacv2|[0-9a-f]+@thread\.skype)(?:/|\Z)")


@dataclass(frozen=True)
class JoinUrl:
    """The parts of a join URL. `is_personal`: a meeting of a personal account."""

    tenant_id: str | None
    organizer_id: str | None
    join_meeting_id: str | None
    is_channel: bool
    is_personal: bool


def parse_join_url(url: str) -> JoinUrl:
    """Parse a join URL; missing parts are None. Never raises."""
    key, context, digits = join_url_key(url), None, None
    try:
        parts = urlsplit(url)
        digits = _SHORT_LINK.search(parts.path)
        context = json.loads(parse_qs(parts.query).get("context", ["{}"])[0])
    except (ValueError, RecursionError):
        pass
    context = context if isinstance(context, dict) else {}
    return JoinUrl(
        tenant_id=parse_guid(context.get("Tid")),
        organizer_id=parse_guid(context.get("Oid")),
        join_meeting_id=digits[1] if digits else None,
        is_channel=bool(_CHANNEL.search(key.partition("?")[0])),
        is_personal=key.startswith(f"https://{PERSONAL_HOST}/"),
    )


def join_url_key(url: str) -> str:
    """Return the link decoded and in lower case, which is equal for all its copies."""
    for _ in range(MAX_DECODING):
        decoded = unquote(url)
        if decoded == url:
            break
        url = decoded
    return url.strip("<>\"' \t\r\n").lower()


def series_id(url: str) -> str:
    """Return a hash of the link's key, shared by a series, that identifies nobody."""
    return hashlib.sha256(join_url_key(url).encode("utf-8", "surrogatepass")).hexdigest()[:SERIES_LENGTH]


def parse_guid(value: object) -> str | None:
    """Return a GUID as it is written, or None for anything else."""
    return value if isinstance(value, str) and GUID.match(value) else None
