"""Admit news of known subscriptions only, and no more than Graph can answer.

Whoever learns the client state can announce calls that do not exist. News of an unknown subscription makes no record.
The sweep finds real call records without it; other news waits first, because its subscription may be new. The news of a
pack is spread over time: a real meeting, which comes alone, is not behind a thousand invented ones. After so many ids
in an hour that Graph does not know, news makes no record either, and a scan looks for the calls behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from .. import logs, times
from ..limits import SCAN_INTERVAL, Budget
from ..messages import rich_notifications, signals, tasks
from ..messages.rich_notifications import EncryptedBatch, RichItem
from ..messages.signals import Message, News, SignalKind, kind_of
from ..messages.tasks import Backfill, Task
from ..services import Services
from ..storage.subscription_registry import SubscriptionRegistry

WAIT = 60  # seconds
MAX_WAITS = 10
SCANNED = timedelta(hours=6)  # before the news; call records come 2½ hours after the call at the latest


def open_pack(messages: Sequence[Message], services: Services) -> None:
    """Send the messages of a pack one by one.

    Nudges go at once, news at the rate at which Graph can be asked about them.
    """
    queue, dropped = services.journal.queue, 0
    known = _known_ids([each for each in messages if isinstance(each, News)], services.subscriptions)
    for each in messages:
        if not isinstance(each, News):
            queue.send(signals.serialize_message(each))
        elif each.subscription_id in known or _can_wait(each):
            text = signals.serialize_message(replace(each, packed=True))
            queue.send(text, services.news.pacer.delay())
        else:
            dropped += 1
    _refuse("subscription", services, dropped)
    logs.info("pack.opened", signals=len(messages) - dropped)


def admits(message: Message, services: Services) -> bool:
    """Tell whether a message is handled now.

    News of an unknown subscription is sent again later, or dropped.
    """
    if not isinstance(message, News) or _known_ids([message], services.subscriptions):
        return True
    if _can_wait(message):
        services.journal.queue.send(
            signals.serialize_message(replace(message, waits=message.waits + 1)), WAIT
        )
    else:
        _refuse("subscription", services)
    return False


def is_left_to_sweep(message: Message, services: Services) -> bool:
    """Tell whether news of a new signal is refused.

    It is when Graph did not know too many ids before it. What a scan cannot find is always let in: a call event is
    signed by Microsoft.
    """
    if not isinstance(message, News) or kind_of(message.signal_id) is SignalKind.CALL_EVENT:
        return False
    if not unknown_ids(message, services).is_spent:
        return False
    _refuse("unknownId", services)
    if services.news.scans.allows("missing"):
        now, delay = times.now(), round(SCAN_INTERVAL)  # after which the scan finds all that was left to it
        window = Backfill(now - SCANNED, now + timedelta(seconds=delay), missing_only=True)
        services.tasks.send(tasks.serialize_task(Task(window)), delay)
    return True


def unknown_ids(news: News, services: Services) -> Budget:
    """The allowance for news whose id Graph does not know."""
    return services.news.of_packs if news.packed else services.news.alone


def _refuse(reason: str, services: Services, count: int = 1) -> None:
    if due := services.news.refused.add({reason: count}):
        logs.warning("news.refused", count=due.counts.total(), **due.counts)


def admitted(encrypted: EncryptedBatch, services: Services) -> EncryptedBatch:
    """Return the rich items of known subscriptions; resend or drop the others."""
    known = _known_ids(encrypted.items, services.subscriptions)
    unknown = tuple(each for each in encrypted.items if each.subscription_id not in known)
    if unknown and encrypted.waits < MAX_WAITS:
        send_later(replace(encrypted, items=unknown), WAIT, services)
    elif unknown:
        _refuse("subscription", services, len(unknown))
    return replace(encrypted, items=tuple(each for each in encrypted.items if each.subscription_id in known))


def send_later(encrypted: EncryptedBatch, seconds: int, services: Services) -> None:
    """Send rich items again after a wait, which is counted."""
    for text in rich_notifications.pack_batch(replace(encrypted, waits=encrypted.waits + 1))[0]:
        services.journal.queue.send(text, seconds)


def _known_ids(news: Sequence[News | RichItem], registry: SubscriptionRegistry) -> set[str | None]:
    """The subscriptions of which news may be handled; each is looked up once.

    The doors let no news in that names no subscription: such comes from the app.
    """
    ids = dict.fromkeys(each.subscription_id for each in news)
    return {each for each in ids if each is None or registry.is_known(each)}


def _can_wait(news: News) -> bool:
    """Tell whether news of an unknown subscription waits.

    News of call records need not: the sweep finds them.
    """
    return kind_of(news.signal_id) is not SignalKind.CALL_RECORD and news.waits < MAX_WAITS
