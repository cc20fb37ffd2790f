"""Verify and decrypt call-event notifications, and queue the calls that ended.

The validation tokens are checked before anything is decrypted. Graph sends none to an event hub: there the role that
lets only Graph send vouches, and the trigger, not the body, says that a notification came that way. A rejected item is
logged without its content. Its meeting is not lost, because the call record arrives later.

Source: https://learn.microsoft.com/graph/changenotifications-for-onlinemeeting
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .. import logs, times
from ..crypto import decryption
from ..crypto.signing_keys import RETRY_AFTER
from ..errors import NotGenuine, Unavailable, Undecipherable, UnknownKey
from ..messages.resource_paths import extract_join_url
from ..messages.rich_notifications import EncryptedBatch, RichItem
from ..messages.signals import Door, News, call_event_signal_id, serialize_message
from ..services import Services
from ..storage.watchlist import Watchlist
from . import admission
from .admission import MAX_WAITS

ENDED = "callended"
KEY_WAITS = 2  # for a signing key that may be published soon
KEY_WAIT = round(RETRY_AFTER) + 1  # seconds, after which keys are fetched again


def enqueue_ended_calls(encrypted: EncryptedBatch, services: Services) -> None:
    """Verify and decrypt notifications of watched meetings, and queue ended calls.

    They are sent again if the signing keys cannot be read, or lack a token's key. Raises Unavailable if that does not
    help, or if the private key cannot be read; the queue then delivers the message again.
    """
    if not _is_vouched_for(encrypted, services):
        return
    ended: dict[str, News] = {}
    for item in encrypted.items:
        try:
            data = decryption.decrypt(item.content, services.keys)
        except Undecipherable as refusal:
            logs.warning("notification.undecipherable", reason=str(refusal))
            continue
        if not _is_about(item, data):
            logs.warning("notification.undecipherable", reason="the decrypted data names another meeting")
            continue
        if news := _parse_ended_call(item, data, encrypted, services.watch):
            ended[news.signal_id] = news
    for news in ended.values():
        services.journal.queue.send(serialize_message(news))
    logs.info("events.opened", items=len(encrypted.items), signals=[*ended])


def _is_vouched_for(encrypted: EncryptedBatch, services: Services) -> bool:
    """Whether Graph sent these items.

    Known by their tokens, or by the role that lets it send to the hub. If that cannot be said yet, they are sent
    again. Raises Unavailable if that does not help.
    """
    if encrypted.door is Door.EVENT_HUBS:
        return True
    try:
        services.validator.verify(encrypted.tokens)
    except (UnknownKey, Unavailable) as refusal:
        if encrypted.waits < (KEY_WAITS if isinstance(refusal, UnknownKey) else MAX_WAITS):
            admission.send_later(encrypted, KEY_WAIT, services)
        elif isinstance(refusal, Unavailable):
            raise
        else:
            logs.warning("notification.forged", items=len(encrypted.items), reason=str(refusal))
        return False
    except NotGenuine as refusal:
        logs.warning("notification.forged", items=len(encrypted.items), reason=str(refusal))
        return False
    return True


def _is_about(item: RichItem, data: Mapping[str, Any]) -> bool:
    """Whether the decrypted data names the item's own meeting, or none.

    An item can carry the content of another one.
    """
    address = data.get("@odata.id")
    return not isinstance(address, str) or extract_join_url(address) in (item.join_url, None)


def _parse_ended_call(
    item: RichItem, data: Mapping[str, Any], encrypted: EncryptedBatch, watchlist: Watchlist
) -> News | None:
    """Return the news of a call's end, or None.

    None for other events, and for meetings that are not watched. Graph's resource type and its examples name the
    property differently.
    """
    kind = data.get("eventType") or data.get("callEventType")
    if not isinstance(kind, str) or kind.lower().rpartition(".")[2] != ENDED:
        return None
    watched = watchlist.find(item.join_url)
    if watched is None:
        logs.warning("notification.unwatched", subscription=item.subscription_id)
        return None
    at = times.plausible(data.get("eventDateTime"))
    news = encrypted.news(item, at or encrypted.first_seen, watched.organizer_id)
    # The time of arrival differs each time that an event is delivered, its content does not.
    return news if at else replace(news, signal_id=call_event_signal_id(item.join_url, _content_hash(data)))


def _content_hash(data: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
