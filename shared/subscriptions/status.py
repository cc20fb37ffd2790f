"""How the subscriptions stand that the settings ask for, and the sentences about those that do not stand well.

Nothing here asks Graph or changes anything: `subscriptions` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from .. import times
from ..settings import Settings
from ..times import shown
from .desired import Wanted
from .plan import Subscription, answers, is_accepted, is_ours

OVERDUE = timedelta(hours=3)  # a renewal that is later than this was missed and not only due


class Standing(StrEnum):
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


@dataclass(frozen=True)
class Watched:
    """A subscription that is asked for, as the best one in Graph's list has it, or one that is there besides."""

    resource: str
    expires: datetime | None
    standing: Standing
    id: str | None = None


@dataclass(frozen=True)
class Maintenance:
    """The last run of `maintain_subscriptions`: what it could not do, and how the subscriptions stood after it.

    `subscriptions` is None where Graph did not tell.
    """

    at: datetime
    problems: tuple[str, ...] = ()
    subscriptions: tuple[Watched, ...] | None = None


def standings(
    listed: Sequence[Subscription], wants: Iterable[Wanted], settings: Settings, now: datetime
) -> tuple[Watched, ...]:
    """How each wanted subscription stands in Graph's list."""
    return tuple(_watched(want, listed, settings, now) for want in wants)


def overview(
    listed: Sequence[Subscription], wants: Iterable[Wanted], settings: Settings, now: datetime
) -> tuple[Watched, ...]:
    """As `standings`, and then all others of the list."""
    found = standings(listed, wants, settings, now)
    known = {each.id for each in found}
    others = [each for each in listed if each.id not in known]
    return found + tuple(
        Watched(
            each.resource,
            each.expires,
            Standing.UNWANTED if is_ours(each, settings) else Standing.ELSEWHERE,
            each.id,
        )
        for each in others
    )


def fields(each: Watched) -> dict[str, str | None]:
    """A subscription as JSON has it."""
    return {
        "id": each.id,
        "resource": each.resource,
        "expires": times.optional_text(each.expires),
        "state": each.standing,
    }


def maintenance(content: Mapping[str, Any]) -> Maintenance | None:
    """The last run as it was put down; None where nothing was."""
    try:
        at = times.parse(content.get("at"))
        told, listed = content.get("problems"), content.get("subscriptions")
        problems = tuple(str(problem) for problem in told) if isinstance(told, list) else ()
        found = tuple(map(_read, listed)) if isinstance(listed, list) else None
    except (ValueError, KeyError, TypeError):
        return None
    return Maintenance(at, problems, found) if at else None


def _read(content: Mapping[str, Any]) -> Watched:
    expires = times.parse(content["expires"])
    return Watched(content["resource"], expires, Standing(content["state"]), content["id"])


def problems(watched: Sequence[Watched], run: Maintenance | None) -> Iterator[str]:
    """A sentence and its cure for each through which Graph announces nothing that the app takes."""
    for each in watched:
        match each.standing:
            case Standing.MISSING | Standing.ELSEWHERE:
                what = "is missing, so Graph announces no meeting"
            case Standing.EXPIRED:
                what = f"expired at {shown(each.expires)}, so Graph announces no meeting"
            case Standing.NOT_ACCEPTED:
                what = "carries a clientState or a lifecycle address that the app does not take"
            case _:
                continue
        yield f"The subscription to {each.resource} {what}. {_cure(each, run)}"


def warnings(watched: Sequence[Watched], run: Maintenance | None) -> Iterator[str]:
    """A sentence for each that still delivers, but was not renewed or not seen to."""
    told = " ".join(run.problems) if run else ""
    for each in watched:
        if each.standing is Standing.RENEWAL_OVERDUE:
            why = (
                f"Its last run, at {shown(run.at)}, said: {told}"
                if run and told
                else "See why it does not run."
            )
            yield (
                f"The subscription to {each.resource} should have been renewed; it expires at "
                f"{shown(each.expires)}. maintain_subscriptions renews it. {why}"
            )
        elif each.standing is Standing.ACTIVE and run and told:
            yield f"The last run of maintain_subscriptions, at {shown(run.at)}, had problems: {told}"


def _watched(want: Wanted, listed: Sequence[Subscription], settings: Settings, now: datetime) -> Watched:
    same = [each for each in listed if answers(each, want)]
    ours = [each for each in same if is_ours(each, settings)]
    if not ours:
        return Watched(want.resource, None, Standing.ELSEWHERE if same else Standing.MISSING)
    best = max(ours, key=lambda each: (is_accepted(each, settings) and each.expires > now, each.expires))
    if best.expires <= now:
        standing = Standing.EXPIRED
    elif not is_accepted(best, settings):
        standing = Standing.NOT_ACCEPTED
    elif best.expires - now < want.lifetime / 2 - OVERDUE:
        standing = Standing.RENEWAL_OVERDUE
    else:
        standing = Standing.ACTIVE
    return Watched(want.resource, best.expires, standing, best.id)


def _cure(each: Watched, run: Maintenance | None) -> str:
    if each.standing is Standing.ELSEWHERE:
        return (
            "The app's identity has one at another address, which is in the way: delete that one, or give this "
            "deployment an identity of its own."
        )
    if run is None:
        return (
            "maintain_subscriptions makes it, but no run is known yet: MAINTAIN_SCHEDULE says when it runs."
        )
    if run.problems:
        return f"maintain_subscriptions tried to make it at {shown(run.at)}: {' '.join(run.problems)}"
    return (
        f"maintain_subscriptions makes it; its last run was at {shown(run.at)}. Run it now, or see why it does "
        "not run."
    )
