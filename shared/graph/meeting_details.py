"""Read a meeting's details from Graph's JSON, write them into metadata.

In metadata they are JSON in base64url, because a header has printable ASCII only. Sources:
https://learn.microsoft.com/graph/api/resources/onlinemeeting and .../virtualeventsession
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from .. import times
from ..errors import NotOurMessage
from ..messages import codec
from ..messages.signals import MeetingDetails
from ..settings import SCHEDULE, SUBJECT
from .windows_zones import find_zone

MAX_SUBJECT = 1_200  # bytes of UTF-8; Teams takes 255 characters
MAX_ID = 400
MAX_TYPE = 64
NO_DETAILS = MeetingDetails()


def parse_details(item: Mapping[str, Any]) -> MeetingDetails:
    """Return the details of an online meeting or a session.

    A value of another shape counts as missing. `meetingType` exists in beta only.
    """
    chat = item.get("chatInfo")
    start, end = _moment(item.get("startDateTime")), _moment(item.get("endDateTime"))
    is_plausible = start is not None and end is not None and start < end
    return MeetingDetails(
        _text(item.get("subject"), MAX_SUBJECT),
        start if is_plausible else None,
        end if is_plausible else None,
        _text(chat.get("threadId") if isinstance(chat, dict) else None, MAX_ID),
        _text(item.get("meetingType"), MAX_TYPE),
    )


def select_details(details: MeetingDetails, kept: Collection[str]) -> MeetingDetails:
    """Return the details that MEETING_DETAILS has kept."""
    details = details if SUBJECT in kept else replace(details, subject=None)
    return details if SCHEDULE in kept else MeetingDetails(details.subject)


def encode_details(details: MeetingDetails | None) -> str:
    """Return details as a value of metadata; "" if nothing is known."""
    content = codec.encode(details) if details else {}
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return base64.urlsafe_b64encode(text).decode() if content else ""


def decode_details(value: str | None) -> MeetingDetails:
    """Return the details in a value of metadata.

    Empty ones if it is missing or damaged; it may lack its padding.
    """
    text = value or ""
    try:
        return codec.loads(MeetingDetails, base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, NotOurMessage, ValueError):
        return NO_DETAILS


def _text(value: object, most: int) -> str | None:
    """A text on one line, with at most so many bytes; None for an empty one."""
    if not isinstance(value, str):
        return None
    text = " ".join("".join(each if each.isprintable() else " " for each in value[:most]).split())
    return text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore") or None


def _moment(value: object) -> datetime | None:
    """A time, also as dateTimeTimeZone in a zone that is known.

    Of an hour that comes twice, when clocks are set back, the first is meant.
    """
    if isinstance(value, dict):
        name, value = value.get("timeZone"), value.get("dateTime")
        zone = find_zone(name) if isinstance(name, str) else None
        if zone is None or not isinstance(value, str):
            return None
        try:
            there = datetime.fromisoformat(value)
            value = (there if there.tzinfo else there.replace(tzinfo=zone)).isoformat()
        except ValueError:
            return None
    moment = times.possible(value)
    return moment.replace(microsecond=0) if moment else None
