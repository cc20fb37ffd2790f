"""Compare Graph's subscriptions with the ones the app needs: pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from .. import times
from ..graph.delivery import door_of
from ..graph.subscriptions import Subscription
from ..settings import WEBHOOK, Settings
from ..storage import heartbeat
from ..storage.state import StateStore
from .desired import DesiredSubscription
from .plan import has_same_target, is_accepted, is_ours

OVERDUE = timedelta(hours=3)  # later than this, a renewal has been missed


class SubscriptionStatus(StrEnum):
    """The state of a subscription.

    `elsewhere`: it delivers to another address; `formerDelivery`: to this app, in another way than DELIVERY;
    `unwanted`: it is not needed.
    """

    ACTIVE = "active"
    RENEWAL_OVERDUE = "renewalOverdue"
    EXPIRED = "expired"
    NOT_ACCEPTED = "notAccepted"
    FORMER_DELIVERY = "formerDelivery"
    ELSEWHERE = "elsewhere"
    MISSING = "missing"
    UNWANTED = "unwanted"


DELIVERING = frozenset({SubscriptionStatus.ACTIVE, SubscriptionStatus.RENEWAL_OVERDUE})


@dataclass(frozen=True)
class SubscriptionView:
    """The state of a desired subscription, or of an additional one."""

    resource: str
    expires: datetime | None
    status: SubscriptionStatus
    id: str | None = None


@dataclass(frozen=True)
class Maintenance:
    """The last run of `maintain_subscriptions`: failed steps, subscriptions after it.

    `subscriptions` is None if Graph's list could not be read. `own_handshake` is why the app did not reach its own
    address, `validation` why Graph did not at its last try; each is "" if there was no failure. `created` is when the
    last subscription was created, `version` the app's. `left` are the resources that it had no time for.
    """

    at: datetime
    problems: tuple[str, ...] = ()
    subscriptions: tuple[SubscriptionView, ...] | None = None
    own_handshake: str = ""
    validation: str = ""
    version: str = ""
    delivery: str = WEBHOOK
    created: datetime | None = None
    left: tuple[str, ...] = ()


def statuses(
    existing: Sequence[Subscription],
    desired: Iterable[DesiredSubscription],
    settings: Settings,
    now: datetime,
) -> tuple[SubscriptionView, ...]:
    """Return the state of each desired subscription."""
    return tuple(_make_view(each, existing, settings, now) for each in desired)


def all_statuses(
    existing: Sequence[Subscription],
    desired: Iterable[DesiredSubscription],
    settings: Settings,
    now: datetime,
) -> tuple[SubscriptionView, ...]:
    """Return the state of each desired subscription, then of all others listed."""
    views = statuses(existing, desired, settings, now)
    ids = {each.id for each in views}
    return views + tuple(
        SubscriptionView(
            each.resource,
            each.expires,
            SubscriptionStatus.UNWANTED if is_ours(each, settings) else SubscriptionStatus.ELSEWHERE,
            each.id,
        )
        for each in existing
        if each.id not in ids
    )


def view_fields(view: SubscriptionView) -> dict[str, str | None]:
    """Return a subscription's state as JSON has it."""
    return {
        "id": view.id,
        "resource": view.resource,
        "expires": times.optional_text(view.expires),
        "state": view.status,
    }


def read_last_run(state: StateStore) -> Maintenance | None:
    """Read the last run, or None. Raises azure.core errors."""
    entry = state.read(heartbeat.MAINTENANCE)
    return parse_maintenance(entry.content) if entry else None


def parse_maintenance(content: Mapping[str, Any]) -> Maintenance | None:
    """Read a published run; None if it is malformed."""
    try:
        at, created = times.parse(content.get("at")), times.parse(content.get("created"))
        problems, subscriptions, left = map(content.get, ("problems", "subscriptions", "left"))
        views = tuple(map(_parse_view, subscriptions)) if isinstance(subscriptions, list) else None
    except (ValueError, KeyError, TypeError):
        return None
    if at is None:
        return None
    return Maintenance(
        at,
        tuple(map(str, problems)) if isinstance(problems, list) else (),
        views,
        str(content.get("ownHandshake") or ""),
        str(content.get("validation") or ""),
        str(content.get("version") or ""),
        str(content.get("delivery") or WEBHOOK),
        created,
        tuple(map(str, left)) if isinstance(left, list) else (),
    )


def _parse_view(content: Mapping[str, Any]) -> SubscriptionView:
    expires = times.parse(content["expires"])
    return SubscriptionView(content["resource"], expires, SubscriptionStatus(content["state"]), content["id"])


def _make_view(
    desired: DesiredSubscription, existing: Sequence[Subscription], settings: Settings, now: datetime
) -> SubscriptionView:
    same = [each for each in existing if has_same_target(each, desired)]
    ours = [each for each in same if is_ours(each, settings)]
    if not ours:
        missing = SubscriptionStatus.ELSEWHERE if same else SubscriptionStatus.MISSING
        return SubscriptionView(desired.resource, None, missing)
    best = max(ours, key=lambda each: (is_accepted(each, settings) and each.expires > now, each.expires))
    if best.expires <= now:
        status = SubscriptionStatus.EXPIRED
    elif door_of(best.notification_url) != settings.delivery:
        status = SubscriptionStatus.FORMER_DELIVERY
    elif not is_accepted(best, settings):
        status = SubscriptionStatus.NOT_ACCEPTED
    elif best.expires - now < desired.lifetime / 2 - OVERDUE:
        status = SubscriptionStatus.RENEWAL_OVERDUE
    else:
        status = SubscriptionStatus.ACTIVE
    return SubscriptionView(desired.resource, best.expires, status, best.id)
