"""Verify and decrypt call-event notifications, and queue the calls that ended.

The validation tokens are checked before anything is decrypted. A rejected item is logged without its content. Its
meeting is not lost, because the call record arrives later.

Source: https://learn.microsoft.com/graph/changenotifications-for-onlinemeeting
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import logs, times
from ..crypto import decryption
from ..errors import NotGenuine, Undecipherable
from ..messages.resource_paths import extract_join_url
from ..messages.rich_notifications import EncryptedBatch, RichItem
from ..messages.signals import News, serialize_message
from ..services import Services
from ..storage.watchlist import Watchlist

ENDED = "callended"


def enqueue_ended_calls(encrypted: EncryptedBatch, services: Services) -> None:
    """Verify and decrypt the notifications of watched meetings, and queue each call that has ended.

    Raises Unavailable if the signing keys or the private key cannot be read; the queue then delivers the message again.
    """
    try:
        services.validator.verify(encrypted.tokens)
    except NotGenuine as refusal:
        logs.warning("notification.forged", items=len(encrypted.items), reason=str(refusal))
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


def _is_about(item: RichItem, data: Mapping[str, Any]) -> bool:
    """Whether the decrypted data names the item's own meeting, or none.

    An item can carry the content of another one.
    """
    address = data.get("@odata.id")
    return not isinstance(address, str) or extract_join_url(address) in (item.join_url, None)


def _parse_ended_call(
    item: RichItem, data: Mapping[str, Any], encrypted: EncryptedBatch, watchlist: Watchlist
) -> News | None:
    """Return the news of a call's end, or None for other events.

    Graph's resource type and its examples name the property differently.
    """
    kind = data.get("eventType") or data.get("callEventType")
    if not isinstance(kind, str) or kind.lower().rpartition(".")[2] != ENDED:
        return None
    try:
        at = times.parse(data.get("eventDateTime"))
    except ValueError:
        at = None
    watched = watchlist.find(item.join_url)
    return encrypted.news(item, at or encrypted.first_seen, watched.organizer_id if watched else None)
