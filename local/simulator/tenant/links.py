"""Identifiers of an online meeting: thread, meeting id and join URLs.

A classic link names tenant and organizer; a `/meet/` link neither. Meeting ids are Base64 of text in which some
threads hold characters that yield `+` and `/`: ids must be escaped in a path, and are case-sensitive.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from random import Random
from string import ascii_letters, digits
from urllib.parse import quote

from local.simulator.tenant.orders import NewMeeting

GUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_MEETING_ID = re.compile(rf"1\*({GUID})\*\d+\*\*19:[^*]+@thread\.[a-z0-9]+")
_PATTERNS = ("https://teams.microsoft.com/l/meetup-join/19%3a", "https://teams.microsoft.com/meet/")
_AWKWARD = ("", "", "???", "~~~")  # three in a row reach the position where Base64 writes / and +


def thread(source: Random, order: NewMeeting, seed: int) -> tuple[str, str]:
    """Chat thread and message id of a meeting; those of a channel share its thread."""
    if order.kind == "channel":
        of_channel = Random(f"{seed}:channel:{order.channel}")
        message = str(1_600_000_000_000 + source.randrange(10**11))
        if order.old:
            return f"19:{of_channel.getrandbits(128):032x}@thread.skype", message
        return f"19:{_token(of_channel, 32)}@thread.tacv2", message
    token = _token(source, source.randint(46, 48)) + source.choice(_AWKWARD)
    return f"19:meeting_{token}@thread.{'skype' if order.old else 'v2'}", "0"


def meeting_id(organizer: str, thread_id: str, message: str) -> str:
    """The opaque id of a meeting."""
    return base64.b64encode(f"1*{organizer}*{message}**{thread_id}".encode()).decode()


def organizer_in(meeting: str) -> str | None:
    """The organizer that a meeting id names, None if it is no meeting id."""
    try:
        text = base64.b64decode(meeting, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    match = _MEETING_ID.fullmatch(text)
    return match[1] if match else None


def join_meeting_id(source: Random) -> str:
    """The number with which people join; digits only."""
    return str(source.randrange(2 * 10**12, 5 * 10**12))


def classic_url(thread_id: str, message: str, tenant: str, organizer: str) -> str:
    """A classic join link, escaped as Teams does: lower-case hex."""
    context = json.dumps({"Tid": tenant, "Oid": organizer}, separators=(",", ":"))
    return f"https://teams.microsoft.com/l/meetup-join/{_escaped(thread_id)}/{message}?context={_escaped(context)}"


def short_url(source: Random, join_id: str, *, personal: bool = False) -> str:
    """A short join link."""
    host = "teams.live.com" if personal else "teams.microsoft.com"
    return f"https://{host}/meet/{join_id}?p={_token(source, 18)}"


def looks_like_a_join_url(text: str) -> bool:
    """Whether Graph would search for this link rather than refuse it as malformed."""
    return text.startswith(_PATTERNS)


def _escaped(text: str) -> str:
    return re.sub("%..", lambda match: match[0].lower(), quote(text, safe=""))


def _token(source: Random, length: int) -> str:
    return "".join(source.choices(ascii_letters + digits + "_-", k=length))
