"""Admission of news: only of subscriptions that Graph has listed, and of many no more at once than can be asked for.

Whoever learns the client state can announce calls that do not exist. News of an unknown subscription makes no record:
the sweep finds real call records and reports without it. Call events cannot be found later, so they wait for a
subscription that was created a moment ago. What a pack holds is spread over time, so that a real meeting, which comes
alone, is not behind a thousand invented ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .. import logs
from ..messages import rich_notifications, signals
from ..messages.rich_notifications import EncryptedBatch
from ..messages.signals import Message, News, SignalKind, kind_of
from ..services import Services
from ..storage.subscription_registry import SubscriptionRegistry

WAIT = 60  # seconds
MAX_WAITS = 10


def open_pack(messages: Sequence[Message], services: Services) -> None:
    """Send the messages of a pack one by one: nudges at once, news as Graph can be asked about them."""
    queue, dropped = services.journal.queue, 0
    for each in messages:
        if isinstance(each, News):
            if _is_known(each.subscription_id, services.subscriptions) or _can_wait(each):
                queue.send(signals.serialize_message(each), services.pacer.delay())
            else:
                dropped += 1
        else:
            queue.send(signals.serialize_message(each))
    if dropped:
        logs.warning("news.refused", count=dropped)
    logs.info("pack.opened", signals=len(messages) - dropped)


def admits(message: Message, services: Services) -> bool:
    """Whether a message is to be handled now. News of an unknown subscription is sent again later, or dropped."""
    if not isinstance(message, News) or _is_known(message.subscription_id, services.subscriptions):
        return True
    if _can_wait(message):
        services.journal.queue.send(
            signals.serialize_message(replace(message, waits=message.waits + 1)), WAIT
        )
    else:
        logs.warning("news.refused", count=1, subscription=message.subscription_id)
    return False


def admitted(encrypted: EncryptedBatch, services: Services) -> EncryptedBatch:
    """The rich items of known subscriptions. The others are sent again later, or dropped."""
    unknown = tuple(
        each for each in encrypted.items if not _is_known(each.subscription_id, services.subscriptions)
    )
    if unknown and encrypted.waits < MAX_WAITS:
        again = replace(encrypted, items=unknown, waits=encrypted.waits + 1)
        for text in rich_notifications.pack_batch(again)[0]:
            services.journal.queue.send(text, WAIT)
    elif unknown:
        logs.warning("news.refused", count=len(unknown), subscription=unknown[0].subscription_id)
    return replace(encrypted, items=tuple(each for each in encrypted.items if each not in unknown))


def _is_known(subscription_id: str | None, registry: SubscriptionRegistry) -> bool:
    """Whether news may be handled. The doors let no news in that names no subscription: such comes from the app."""
    return subscription_id is None or registry.is_known(subscription_id)


def _can_wait(news: News) -> bool:
    return kind_of(news.signal_id) is SignalKind.CALL_EVENT and news.waits < MAX_WAITS
