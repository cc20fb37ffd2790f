"""Compare Graph's subscriptions with those that the app needs. Nothing here asks Graph or changes anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from .. import times
from ..graph.subscriptions import Subscription
from ..settings import Settings
from ..storage import heartbeat
from ..storage.state import StateStore
from .desired import DesiredSubscription
from .plan import has_same_target, is_accepted, is_ours

OVERDUE = timedelta(hours=3)  # a renewal that is later than this was missed and not only due


class SubscriptionStatus(StrEnum):
    """How a subscription is.

    `elsewhere`: this identity has it, but at another address; `unwanted`: nobody asks for it.
    """

    ACTIVE = "active"
    RENEWAL_OVERDUE = "renewalOverdue"
    EXPIRED = "expired"
    NOT_ACCEPTED = "notAccepted"
    ELSEWHERE = "elsewhere"
    MISSING = "missing"
    UNWANTED = "unwanted"


DELIVERING = frozenset({SubscriptionStatus.ACTIVE, SubscriptionStatus.RENEWAL_OVERDUE})


@dataclass(frozen=True)
class SubscriptionView:
    """A desired subscription, as the best one in Graph's list has it, or one that exists besides."""

    resource: str
    expires: datetime | None
    status: SubscriptionStatus
    id: str | None = None


@dataclass(frozen=True)
class Maintenance:
    """The last run of `maintain_subscriptions`: the steps that failed, and the subscriptions after it.

    `subscriptions` is None where Graph's list could not be read. `own_handshake` says how the app failed to reach its
    own address, `validation` how Graph did when it last tried; each is "" where there was no failure.
    """

    at: datetime
    problems: tuple[str, ...] = ()
    subscriptions: tuple[SubscriptionView, ...] | None = None
    own_handshake: str = ""
    validation: str = ""


def statuses(
    existing: Sequence[Subscription],
    desired: Iterable[DesiredSubscription],
    settings: Settings,
    now: datetime,
) -> tuple[SubscriptionView, ...]:
    """Each desired subscription as Graph's list has it."""
    return tuple(_view(each, existing, settings, now) for each in desired)


def all_statuses(
    existing: Sequence[Subscription],
    desired: Iterable[DesiredSubscription],
    settings: Settings,
    now: datetime,
) -> tuple[SubscriptionView, ...]:
    """As `statuses`, and then all others of the list."""
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
    """A subscription as JSON has it."""
    return {
        "id": view.id,
        "resource": view.resource,
        "expires": times.optional_text(view.expires),
        "state": view.status,
    }


def read_last_run(state: StateStore) -> Maintenance | None:
    """The last run, or None where there was none. Raises azure.core errors."""
    entry = state.read(heartbeat.MAINTENANCE)
    return parse_maintenance(entry.content) if entry else None


def parse_maintenance(content: Mapping[str, Any]) -> Maintenance | None:
    """A run as it was published; None for what is none."""
    try:
        at = times.parse(content.get("at"))
        problems, listed = content.get("problems"), content.get("subscriptions")
        views = tuple(map(_parse_view, listed)) if isinstance(listed, list) else None
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
    )


def _parse_view(content: Mapping[str, Any]) -> SubscriptionView:
    expires = times.parse(content["expires"])
    return SubscriptionView(content["resource"], expires, SubscriptionStatus(content["state"]), content["id"])


def _view(
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
    elif not is_accepted(best, settings):
        status = SubscriptionStatus.NOT_ACCEPTED
    elif best.expires - now < desired.lifetime / 2 - OVERDUE:
        status = SubscriptionStatus.RENEWAL_OVERDUE
    else:
        status = SubscriptionStatus.ACTIVE
    return SubscriptionView(desired.resource, best.expires, status, best.id)
