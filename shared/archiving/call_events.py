"""Verify and decrypt call-event notifications; each "call ended" event becomes news.

The validation tokens are checked first, then each item is decrypted. A refused item leaves a log line that quotes
nothing; the meeting is not lost, because its call record comes later. Source:
https://learn.microsoft.com/graph/changenotifications-for-onlinemeeting
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import logs, times
from ..crypto import decryption
from ..errors import NotGenuine, Undecipherable
from ..messages.resource_paths import join_url
from ..messages.rich_notifications import Encrypted, Item
from ..messages.signals import News, message
from ..services import Services
from ..storage.watchlist import Watch

ENDED = "callended"


def enqueue_ended_calls(encrypted: Encrypted, services: Services) -> None:
    """Verify and decrypt, and enqueue a signal for each call that has ended.

    Raises Unavailable when signing keys or the private key cannot be had: the message then comes back.
    """
    try:
        services.validator.check(encrypted.tokens)
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
            logs.warning("notification.undecipherable", reason="its data is of another meeting")
            continue
        if news := _parse_ended_call(item, data, encrypted, services.watch):
            ended[news.signal_id] = news
    for news in ended.values():
        services.journal.queue.send(message(news))
    logs.info("events.opened", items=len(encrypted.items), signals=[*ended])


def _is_about(item: Item, data: Mapping[str, Any]) -> bool:
    """Whether what was decrypted names the item's own meeting, or none: an item can carry another one's content."""
    address = data.get("@odata.id")
    return not isinstance(address, str) or join_url(address) in (item.join_url, None)


def _parse_ended_call(
    item: Item, data: Mapping[str, Any], encrypted: Encrypted, watchlist: Watch
) -> News | None:
    """News of a call's end. Resource type and examples name the property differently."""
    kind = data.get("eventType") or data.get("callEventType")
    if not isinstance(kind, str) or kind.lower().rpartition(".")[2] != ENDED:
        return None
    try:
        at = times.parse(data.get("eventDateTime"))
    except ValueError:
        at = None
    watched = watchlist.find(item.join_url)
    return encrypted.news(item, at or encrypted.first_seen, watched.organizer_id if watched else None)
