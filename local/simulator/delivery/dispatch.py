"""Delivery of notifications, with Graph's deadlines and retries.

First try 3 s, later ones 10 s; back-off doubles, for 4 hours in all; then the notification is lost. Neither order nor
uniqueness is promised. A paused subscription's notifications wait, at most as long.
Source: Receive change notifications through webhooks; Microsoft Graph lifecycle notifications.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from local.simulator import moments, odata
from local.simulator.delivery import outbound
from local.simulator.delivery.bodies import Bodies, Parcel
from local.simulator.delivery.carriers import Carriers
from local.simulator.delivery.endpoints import Endpoint
from local.simulator.delivery.notifications import Announcement, DeliveryAttempt, Kind, Notification, Outcome
from local.simulator.delivery.subscriptions import Subscription, Subscriptions
from local.simulator.settings import SimulatorSettings

FIRST_DEADLINE = 3.0
LATER_DEADLINE = 10.0
FIRST_WAIT = 10.0  # undocumented; only "exponential" and the 4 hours are
LONGEST_WAIT = 1800.0
GIVE_UP_AFTER = 4 * 3600.0
SLOW_DELAY = 600.0
WARN_BEFORE = timedelta(minutes=30)
WARN_AGAIN = timedelta(minutes=15)
AT_ONCE = 64
LARGEST_BATCH = 50
IDLE = 1.0


class Delivery:
    """The queue of notifications and the loop that sends them."""

    def __init__(
        self,
        kept: Subscriptions,
        settings: SimulatorSettings,
        bodies: Bodies,
        carriers: Carriers,
        changed: Callable[[], None],
    ) -> None:
        self._kept = kept
        self._carriers = carriers
        self._bodies = bodies
        self._settings = settings
        self._changed = changed
        self._endpoints: dict[str, Endpoint] = {}
        self._waiting: dict[int, Notification] = {}
        self._due: list[tuple[float, int]] = []
        self._held: defaultdict[str, list[int]] = defaultdict(list)
        self._announcements: list[Announcement] = []
        self._counter = 0
        self._wake = asyncio.Event()
        self._free = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self.attempts: deque[DeliveryAttempt] = deque(maxlen=20_000)

    def announce(self, news: Announcement) -> None:
        """Announce something to every subscription to its topic at that time."""
        if news.times > 0:
            heapq.heappush(self._announcements, news)
            self._wake.set()

    def lifecycle(self, subscription: Subscription, event: str) -> None:
        """Send a lifecycle event; a request to reauthorize pauses the subscription."""
        if subscription.lifecycle_notification_url is None:
            return
        if event == "reauthorizationRequired":
            self._kept.put(replace(subscription, paused=True, warned=moments.now()))
        self._enqueue(subscription.id, event, "lifecycle", "")

    def resume(self, subscription_id: str) -> None:
        """Release the notifications that waited for reauthorization."""
        for number in self._held.pop(subscription_id, []):
            heapq.heappush(self._due, (time.time(), number))
        self._wake.set()

    def pending(self) -> tuple[list[Notification], list[Announcement]]:
        """Unsettled notifications, and planned announcements."""
        return list(self._waiting.values()), list(self._announcements)

    def restore(self, waiting: list[Notification], announcements: list[Announcement]) -> None:
        """Continue with what `pending` returned before a restart."""
        self._waiting = {each.id: each for each in waiting}
        self._due = sorted((each.due, each.id) for each in waiting)
        self._counter = max(self._waiting, default=0)
        self._announcements = sorted(announcements)

    async def run(self) -> None:
        """Deliver until cancelled."""
        try:
            while True:
                self._wake.clear()
                self._step(time.time())
                heads = [self._due[0][0]] if self._due else []
                heads += [self._announcements[0].at] if self._announcements else []
                wait = max(0.0, min(heads, default=math.inf) - time.time())
                try:
                    async with asyncio.timeout(min(wait, IDLE)):
                        await self._wake.wait()
                except TimeoutError:
                    continue
        finally:
            for task in self._tasks:
                task.cancel()

    def _step(self, at: float) -> None:
        while self._announcements and self._announcements[0].at <= at:
            news = heapq.heappop(self._announcements)
            for each in self._kept.to(news.topic):
                for change in sorted(each.change_types) * news.times:
                    self._enqueue(each.id, change, news.kind, news.subject, news.detail)
        self._warn()
        for subscription_id in [held for held in self._held if self._kept.find(held) is None]:
            self.resume(subscription_id)
        parcels: defaultdict[tuple[str, int, int], Parcel] = defaultdict(list)
        while self._due and self._due[0][0] <= at:
            _, number = heapq.heappop(self._due)
            notification = self._waiting[number]
            subscription = self._kept.find(notification.subscription_id)
            url = self._target(notification, subscription, at)
            if subscription is not None and url is not None:
                alone = 0 if self._settings.batch_seconds else number
                parcels[url, notification.attempt, alone].append((notification, subscription))
        for (url, _, _), parcel in parcels.items():
            for start in range(0, len(parcel), LARGEST_BATCH):
                task = asyncio.create_task(self._send(url, parcel[start : start + LARGEST_BATCH]))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _target(self, notification: Notification, subscription: Subscription | None, at: float) -> str | None:
        """The URL to send to now; None if the notification is settled or must wait."""
        url = None
        if subscription is not None:
            lifecycle = subscription.lifecycle_notification_url
            url = lifecycle if notification.is_lifecycle else subscription.notification_url
        late = at - notification.first > GIVE_UP_AFTER / self._settings.time_scale
        if subscription is None or url is None or late:
            self._settle(notification, url, "lost" if late else "gone")
            return None
        if subscription.paused and not notification.is_lifecycle:
            self._held[subscription.id].append(notification.id)
            return None
        first_try = notification.attempt == 1 and not notification.is_lifecycle
        state = self._endpoint(url).state(at) if first_try else "normal"
        if state == "drop":
            self._settle(notification, url, "dropped")
            return None
        sent_late = notification.first + SLOW_DELAY / self._settings.time_scale
        if state == "slow" and at < sent_late:
            self._queue(replace(notification, due=sent_late))
            return None
        return url

    async def _send(self, url: str, parcel: Parcel) -> None:
        attempt = parcel[0][0].attempt
        scale = self._settings.deadline_scale
        deadline = (FIRST_DEADLINE if attempt == 1 else LATER_DEADLINE) / scale
        body = self._bodies.body(parcel)
        carried = self._carriers.takes(url)
        status, error = None, None
        async with self._free:
            at, started = moments.now(), time.monotonic()
            try:
                status = await (self._carriers.carry(url, body) if carried else _post(url, body, deadline))
            except TimeoutError:
                error = f"no reply within {deadline:g} s"
            except (OSError, ValueError) as problem:
                error = f"{type(problem).__name__}: {problem}"
            seconds = time.monotonic() - started
        if not carried:
            self._endpoint(url).note(time.time(), seconds * scale)
        delivered = status is not None and 200 <= status < 300
        wait = min(FIRST_WAIT * 2 ** (attempt - 1), LONGEST_WAIT) / self._settings.time_scale
        for notification, _ in parcel:
            if delivered:
                self._waiting.pop(notification.id, None)
            else:
                self._queue(replace(notification, attempt=attempt + 1, due=time.time() + wait))
        sent = [notification for notification, _ in parcel]
        self._note(sent, url, "delivered" if delivered else "retry", at, status, seconds, error)
        self._changed()

    def _warn(self) -> None:
        at = moments.now()
        for each in self._kept.living():
            if each.expiration - at < WARN_BEFORE and (each.warned is None or at - each.warned > WARN_AGAIN):
                self.lifecycle(each, "reauthorizationRequired")

    def _enqueue(
        self, subscription_id: str, change_type: str, kind: Kind, subject: str, detail: str = ""
    ) -> None:
        self._counter += 1
        at, span = time.time(), self._settings.batch_seconds
        due = math.ceil(at / span) * span if span else at
        self._queue(
            Notification(self._counter, subscription_id, change_type, kind, subject, due, at, detail=detail)
        )

    def _queue(self, notification: Notification) -> None:
        self._waiting[notification.id] = notification
        heapq.heappush(self._due, (notification.due, notification.id))
        self._wake.set()
        self._changed()

    def _settle(self, notification: Notification, url: str | None, outcome: Outcome) -> None:
        del self._waiting[notification.id]
        self._note([notification], url, outcome, moments.now())
        self._changed()

    def _note(
        self,
        sent: list[Notification],
        url: str | None,
        outcome: Outcome,
        at: datetime,
        status: int | None = None,
        seconds: float = 0.0,
        error: str | None = None,
    ) -> None:
        self.attempts.append(
            DeliveryAttempt(
                at=at,
                url=url or "",
                call_ids=tuple(each.subject for each in sent if each.kind == "callRecord"),
                subjects=tuple(each.subject for each in sent),
                subscription_ids=tuple(each.subscription_id for each in sent),
                change_types=tuple(each.change_type for each in sent),
                attempt=sent[0].attempt,
                status=status,
                seconds=round(seconds, 3),
                error=error,
                outcome=outcome,
            )
        )

    def _endpoint(self, url: str) -> Endpoint:
        """The state of the endpoint behind `url`, under the settings of now."""
        host = urlsplit(url).netloc
        endpoint = self._endpoints.setdefault(host, Endpoint())
        endpoint.scale, endpoint.evaluate_after = self._settings.time_scale, self._settings.evaluate_after
        return endpoint


async def _post(url: str, body: Mapping[str, object], deadline: float) -> int:
    text = odata.text(body).encode()
    return (await outbound.post(url, text, "application/json; charset=utf-8", deadline)).status
