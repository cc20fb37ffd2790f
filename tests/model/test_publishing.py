"""Publishing in every order: concurrent writers that crash and come again.

The programs are the product's own `Ledger.update` and `Outcomes.publish`; `interleavings` tries every order of their
operations. Each rule of publishing is needed: with one left out, a history is found in which an outcome is doubled,
gone, or not the last.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
from azure.storage.blob import ContainerClient

from shared import times
from shared.archiving import redrive
from shared.errors import Contention
from shared.ledger import publish, store
from shared.ledger.journal import Journal
from shared.ledger.merge import merge_attempt
from shared.ledger.publish import Outcomes
from shared.ledger.record import (
    AttemptSeries,
    Cause,
    DeadLetter,
    Record,
    Result,
    dump_outcome,
    new_commit,
    outcome_metadata,
)
from shared.ledger.store import FOLDER, Ledger, StoredRecord
from shared.messages import codec
from shared.messages.signals import Meeting, Origin
from shared.services import Services
from shared.storage.blobs import delete_blob, get_properties
from shared.storage.clients import Queue
from tests.support.interleavings import Actor, Explorer, Storage, Stored, World

ID = "cr-one"
SEEN = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


# The programs


def end_on(number: int) -> datetime:
    return SEEN + timedelta(days=number)


def tell(old: Record | None, version: int, day: int, result: Result) -> Record | None:
    """The record after an attempt that learned this version; None if it was known."""
    if old is None:
        return None
    told = Meeting(end=end_on(day), version=version, origin=Origin.RECORD)
    new = merge_attempt(old, replace(old, result=result, attempt=old.attempt + 1, meeting=told), old.attempt)
    return None if new and (new.meeting, new.result) == (old.meeting, old.result) else new


def on(storage: Storage) -> tuple[Ledger, Outcomes]:
    container = cast(ContainerClient, storage)
    return Ledger(container), Outcomes(container)


def write(storage: Storage, version: int, day: int, result: Result = Result.PENDING) -> None:
    """Commit a change and publish it."""
    ledger, outcomes = on(storage)
    change = partial(tell, version=version, day=day, result=result)
    found, committed = ledger.update(ID, change, new_commit(f"version {version}"), ledger.read(ID))
    if found and committed:
        outcomes.publish(found, ledger)


def follow(storage: Storage, version: int, day: int, result: Result = Result.PENDING) -> None:
    """The redelivered message: publish the record, or do all of it."""
    ledger, outcomes = on(storage)
    found = ledger.read(ID)
    if found is None:
        return
    if tell(found.record, version, day, result) is not None:
        write(storage, version, day, result)
    else:
        outcomes.publish(found.record, ledger)


def begin(storage: Storage, seen: datetime = SEEN, day: int | None = None) -> None:
    """Record a signal of which nothing is known, or only its end."""
    ledger, outcomes = on(storage)
    meeting = Meeting() if day is None else Meeting(end=end_on(day), version=1, origin=Origin.RECORD)
    new = Record(ID, Result.PENDING, seen, 1, AttemptSeries(seen), meeting=meeting)
    found, _ = ledger.update(ID, lambda old: None if old else new, new_commit("begin"))
    assert found
    outcomes.publish(found, ledger)


def bury(storage: Storage, hour: int) -> None:
    """Record a message that cannot be read."""
    ledger, outcomes = on(storage)
    seen = SEEN + timedelta(hours=hour)
    message = replace(MESSAGE, text=f"text {hour}")
    new = replace(BURIED, first_seen=seen, series=AttemptSeries(seen), buried=message)
    found, _ = ledger.update(BURIED.signal_id, lambda old: None if old else new, new_commit("buried"))
    assert found
    outcomes.publish(found, ledger)


def send_again(storage: Storage) -> None:
    """Send it as it was and take it back, as a redrive does that finds its outcome."""
    ledger, outcomes = on(storage)
    name = Outcomes.name(BURIED.signal_id, BURIED.day)
    if get_properties(cast(ContainerClient, storage), name) is None:
        return
    journal = Journal(ledger, outcomes, cast(Queue, storage), lambda day: None)
    services = SimpleNamespace(journal=journal, tasks=storage)
    redrive.reopen_outcomes([name], Cause.REDRIVE, LATER, cast(Services, services))


def writer(name: str, version: int, day: int, *, crashes: int = 1, **more: Any) -> Actor:
    known = {"version": version, "day": day, **more}
    return Actor(name, (partial(write, **known), *[partial(follow, **known)] * crashes))


# What must hold


def at(known: Record, *commits: str) -> World:
    """The world in which a record is published."""
    for each in commits or ("begin",):
        known = known.with_commit(new_commit(each), known if known.revision else None)
    name, path = Outcomes.name(known.signal_id, known.day), f"{FOLDER}{known.signal_id}.json"
    told = outcome_metadata(known)
    copy = Stored(dump_outcome(known), tuple(sorted(told.items())), 1)
    found = Stored(codec.dumps(known).encode(), (), 1)
    counts = frozenset({(name, 1), (path, 1)})
    return World(frozenset({(name, copy), (path, found)}), counts, counts)


def recorded(world: World) -> Record | None:
    return next((codec.loads(Record, each.body) for each in world.of(FOLDER).values()), None)


def is_visible(world: World) -> None:
    """There is an outcome from the first publication on."""
    if any(name.startswith("outcomes/") for name, _ in world.written):
        assert world.of("outcomes/"), "the outcome is gone"


def is_one(world: World) -> None:
    """The last record has one copy, in its day."""
    known = recorded(world)
    copies = {name: dict(each.metadata)["revision"] for name, each in world.of("outcomes/").items()}
    assert copies == ({Outcomes.name(known.signal_id, known.day): str(known.revision)} if known else {}), (
        copies
    )
    for name, each in world.of("outcomes/").items():
        assert known
        assert json.loads(each.body) == json.loads(dump_outcome(known)), name


def is_stored(world: World) -> None:
    """And what was stored is still told of."""
    is_one(world)
    known = recorded(world)
    assert known is None or known.result is Result.STORED, known


def has_moved(world: World) -> None:
    """And the later end of the call counts."""
    is_stored(world)
    known = recorded(world)
    assert known
    assert known.day == end_on(1).date(), known


def none_is_lost(world: World) -> None:
    """Each message that was buried is so still, or was sent again."""
    is_one(world)
    buried = sum(count for name, count in world.created if name.startswith(FOLDER))
    assert buried <= len({*world.sent}) + len(world.of(FOLDER)), world.sent


PENDING = Record(ID, Result.PENDING, SEEN, 1, AttemptSeries(SEEN))
STORED = replace(
    PENDING,
    result=Result.STORED,
    meeting=Meeting(end=end_on(0), version=1, origin=Origin.RECORD),
)
MOVED = Meeting(end=end_on(1), version=2, origin=Origin.LIST)
LATER = SEEN + timedelta(days=1, hours=1)
MESSAGE = DeadLetter("meeting-signals", None, None, "hash", "text")
BURIED = Record(
    "msg-one",
    Result.FAILED,
    SEEN,
    0,
    AttemptSeries(SEEN),
    buried=MESSAGE,
)
OF_LATER = replace(PENDING, first_seen=LATER, series=AttemptSeries(LATER))


def look_at(storage: Storage, day: int) -> None:
    """Look at the outcome of a day, as the sweep does with both where there are two."""
    ledger, outcomes = on(storage)
    journal = Journal(ledger, outcomes, cast(Queue, storage), lambda day: None)
    services = SimpleNamespace(journal=journal, tasks=storage)
    redrive.reopen_outcomes(
        [Outcomes.name(ID, end_on(day).date())], Cause.LOOK, LATER, cast(Services, services)
    )


def look(storage: Storage) -> None:
    """Look at both outcomes of a signal that has two."""
    names = [Outcomes.name(ID, end_on(day).date()) for day in range(2)]
    if all(get_properties(cast(ContainerClient, storage), name) for name in names):
        for day in range(2):
            look_at(storage, day)


def nothing(storage: Storage) -> None:
    """Its message never comes again."""


@dataclass(frozen=True)
class Scenario:
    """Who does what from which beginning, and what must hold."""

    world: World
    actors: tuple[Actor, ...]
    check: Callable[[World], None] = is_visible
    check_end: Callable[[World], None] = is_one


def unreadable(world: World) -> World:
    """Its copy is damaged, its record gone."""
    copies = {name: replace(each, body=b"{}") for name, each in world.of("outcomes/").items()}
    return replace(world, blobs=frozenset(copies.items()))


def without_record(known: Record, *commits: str) -> World:
    world = at(known, *commits)
    return replace(world, blobs=frozenset(world.of("outcomes/").items()))


def with_outcomes_of(world: World, *others: World) -> World:
    """A world in which there are also the outcomes of other ones."""
    outcomes = [each for other in others for each in other.of("outcomes/").items()]
    return replace(world, blobs=world.blobs | frozenset(outcomes))


BURY = tuple(partial(bury, hour=hour) for hour in (1, 2))
MOVE = "a later version moves the end over midnight, and a still later one again"
SAME = "two attempts on one day"
BACK = "a later version moves the end back"
LOST = "a reply is lost beside a foreign write"
AGAIN = "a buried message is sent again while it is published"
QUIET = "a buried message is sent again while it is published, and nobody dies"
QUIET_LOST = "a buried message is sent again while it is published, nobody dies, and replies are lost"
AGAIN_TWICE = "a buried message is sent again, twice"
EXPIRED = "news comes again after the record has expired"
EXPIRED_LATER = "news comes again after the record has expired, and the end is found later"
RESTORED = "the record is restored from before its end moved over midnight"
REMOVED = "the record is removed, and the end of its call moves over midnight"
ALL_REMOVED = "the record is removed, and two outcomes are left"
LATER_REDRIVE = Actor("later redrive", (send_again,), after=("bury", "redrive"))
SCENARIOS = {
    MOVE: Scenario(at(PENDING), (writer("one", 1, 1), writer("two", 2, 2))),
    SAME: Scenario(at(PENDING), (writer("one", 1, 0), writer("two", 2, 0, result=Result.STORED))),
    BACK: Scenario(at(OF_LATER), (writer("one", 1, 0), writer("two", 2, 1))),
    LOST: Scenario(
        replace(at(PENDING), lost_replies=1), (writer("one", 1, 1), writer("two", 2, 2, crashes=0))
    ),
    "two replies are lost": Scenario(
        replace(at(PENDING), lost_replies=2), (writer("one", 1, 1, crashes=0), writer("two", 2, 0, crashes=0))
    ),
    "a writer's message never comes again, but another attempt is made": Scenario(
        at(PENDING),
        (
            Actor("one", (partial(write, version=1, day=1), nothing)),
            writer("two", 2, 1, crashes=0),
            Actor("next", (partial(write, version=3, day=1, result=Result.STORED),), after=("one", "two")),
        ),
    ),
    "two begin at once": Scenario(
        World(),
        (Actor("news", (begin, begin)), Actor("sweep", (partial(begin, day=1), partial(begin, day=1)))),
    ),
    AGAIN: Scenario(
        World(),
        (Actor("bury", BURY), Actor("redrive", (send_again,) * 2), LATER_REDRIVE),
        check=lambda world: None,
        check_end=none_is_lost,
    ),
    QUIET: Scenario(
        at(BURIED),
        (Actor("bury", BURY[:1]), Actor("redrive", (send_again,))),
        check=lambda world: None,
        check_end=none_is_lost,
    ),
    QUIET_LOST: Scenario(
        World(lost_replies=2),
        (Actor("bury", BURY[:1]), Actor("redrive", (send_again,))),
        check=lambda world: None,
        check_end=none_is_lost,
    ),
    "a buried message is sent again where a reply is lost": Scenario(
        replace(at(BURIED), lost_replies=1),
        (Actor("bury", BURY), Actor("redrive", (send_again,)), LATER_REDRIVE),
        check=lambda world: None,
        check_end=none_is_lost,
    ),
    AGAIN_TWICE: Scenario(
        at(BURIED),
        (
            Actor("bury", BURY[:1]),
            Actor("redrive", (send_again,) * 2),
            Actor("other", (send_again,)),
            replace(LATER_REDRIVE, after=("bury", "redrive", "other")),
        ),
        check=lambda world: None,
        check_end=none_is_lost,
    ),
    EXPIRED: Scenario(
        without_record(STORED),
        (Actor("news", (partial(begin, seen=LATER, day=0),) * 2),),
        check_end=is_stored,
    ),
    EXPIRED_LATER: Scenario(
        without_record(STORED),
        (
            Actor("news", (partial(begin, seen=LATER),) * 2),
            Actor(
                "attempt",
                (
                    partial(write, version=1, day=0, result=Result.NO_REPORT),
                    partial(follow, version=1, day=0, result=Result.NO_REPORT),
                ),
                after=("news",),
            ),
        ),
        check_end=is_stored,
    ),
    "a copy cannot be read": Scenario(
        unreadable(at(STORED, "begin", "attempt")),
        (Actor("news", (partial(begin, seen=LATER, day=0),) * 2),),
    ),
    "two adopt at once": Scenario(
        without_record(STORED, "begin", "attempt", "attempt"),
        (
            Actor("news", (partial(begin, seen=LATER, day=0),) * 2),
            Actor("sweep", (partial(begin, seen=LATER, day=0),)),
        ),
        check_end=is_stored,
    ),
    "the record is restored from an older copy": Scenario(
        replace(
            at(STORED, "begin", "attempt", "attempt"),
            blobs=frozenset(
                {
                    *at(STORED, "begin", "attempt", "attempt").of("outcomes/").items(),
                    *at(PENDING).of(FOLDER).items(),
                }
            ),
        ),
        (
            writer("one", 1, 0, result=Result.NO_REPORT),
            Actor("two", (partial(write, version=2, day=0),), after=("one",)),
        ),
        check_end=is_stored,
    ),
}


# No program of a scan's slice dies here without another one after it: the next scan looks again.
SCENARIOS |= {
    RESTORED: Scenario(
        with_outcomes_of(at(PENDING), at(replace(STORED, meeting=MOVED), "begin", "attempt", "attempt")),
        (
            writer("one", 1, 0, result=Result.NO_REPORT, crashes=0),
            Actor("look", (partial(look_at, day=1), nothing)),
            Actor("next", (look,), after=("one", "look")),
        ),
        check_end=has_moved,
    ),
    REMOVED: Scenario(
        without_record(replace(STORED, attempt=3), "begin", "attempt", "attempt"),
        (
            Actor("sweep", (partial(begin, seen=LATER, day=1),) * 2),
            Actor("look", (partial(look_at, day=0), nothing)),
            Actor("next", (look,), after=("sweep", "look")),
        ),
        check_end=is_stored,
    ),
    ALL_REMOVED: Scenario(
        with_outcomes_of(without_record(STORED), at(replace(PENDING, meeting=MOVED))),
        (
            Actor("look", (partial(look_at, day=0), nothing)),
            Actor("other", (partial(look_at, day=1),)),
            Actor("next", (look,), after=("look", "other")),
        ),
        check_end=has_moved,
    ),
}


def explore(scenario: Scenario, leave_out: Callable[[pytest.MonkeyPatch], None] | None = None) -> Explorer:
    explorer = Explorer(scenario.actors, scenario.check, scenario.check_end)
    logging.disable()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(times, "now", lambda: LATER)
        patch.setattr(secrets, "token_hex", explorer.new_id)
        if leave_out:
            leave_out(patch)
        try:
            explorer.explore(scenario.world)
        finally:
            logging.disable(logging.NOTSET)
    return explorer


@pytest.mark.parametrize("name", SCENARIOS)
def test_in_every_order_there_is_one_outcome_and_it_is_that_of_the_last_record(
    name: str, record_property: Callable[[str, object], None]
) -> None:
    explorer = explore(SCENARIOS[name])
    assert explorer.ends
    record_property("states", explorer.states)


# Each rule is needed


def careless_put(container: Any, name: str, body: bytes, *, etag: str | None, **more: Any) -> str:
    """A write without its condition."""
    del etag
    usual = {"length": len(body), "overwrite": True, "content_settings": None}
    return str(container.get_blob_client(name).upload_blob(body, **usual, **more)["etag"])


@dataclass(frozen=True)
class Blind:
    """A ledger that answers with the published record.

    `first` is called if only its absence is hidden.
    """

    record: Record
    first: Ledger | None = None

    def read(self, signal_id: str) -> StoredRecord:
        return (self.first and self.first.read(signal_id)) or StoredRecord(self.record, "")

    def update(self, *arguments: Any) -> Any:
        return self.first and self.first.update(*arguments)


def publish_blindly(patch: pytest.MonkeyPatch) -> None:
    real = Outcomes.publish
    patch.setattr(
        Outcomes, "publish", lambda self, record, _: real(self, record, cast(Ledger, Blind(record)))
    )


def publish_what_is_gone(patch: pytest.MonkeyPatch) -> None:
    real = Outcomes.publish
    patch.setattr(
        Outcomes,
        "publish",
        lambda self, record, ledger: real(self, record, cast(Ledger, Blind(record, ledger))),
    )


def forget_commits(patch: pytest.MonkeyPatch) -> None:
    real = Ledger.read

    def read(self: Ledger, signal_id: str) -> StoredRecord | None:
        stored = real(self, signal_id)
        return stored and replace(stored, record=replace(stored.record, commits=()))

    patch.setattr(Ledger, "read", read)


def delete_whatever_is_there(patch: pytest.MonkeyPatch) -> None:
    def delete_any(self: Any, name: str, _: Record) -> dict[str, str]:
        delete_blob(self._container, name)
        return {}

    patch.setattr(Outcomes, "_delete_older", delete_any)


def write_over_any(patch: pytest.MonkeyPatch) -> None:
    real = Outcomes._put

    def put(self: Outcomes, name: str, record: Record) -> Any:
        with pytest.MonkeyPatch.context() as within:
            within.setattr(publish, "_is_unknown", lambda told, record: False)
            return real(self, name, record)

    patch.setattr(Outcomes, "_put", put)


def forget_copies(patch: pytest.MonkeyPatch) -> None:
    real = Outcomes._put

    def put(self: Outcomes, name: str, record: Record) -> Any:
        written = real(self, name, record)
        return (None, written[1]) if written and written[1] else written

    patch.setattr(Outcomes, "_put", put)


def remove_whatever_is_there(patch: pytest.MonkeyPatch) -> None:
    def remove(self: Any, record: Record) -> None:
        for day in record.days:
            delete_blob(self._container, self.name(record.signal_id, day))

    patch.setattr(Outcomes, "remove", remove)


def remove_records_whatever_they_are(patch: pytest.MonkeyPatch) -> None:
    def remove(self: Any, stored: StoredRecord) -> None:
        delete_blob(self._container, f"{FOLDER}{stored.record.signal_id}.json")

    patch.setattr(Ledger, "remove", remove)


WITHOUT_REDELIVERY = Scenario(
    at(PENDING),
    (Actor("one", (partial(write, version=1, day=1), nothing)), writer("two", 2, 2, crashes=0)),
)
LEFT_OUT: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str]] = {
    "the record is read again after publishing": (publish_blindly, MOVE),
    "a copy that is newer is left": (write_over_any, SAME),
    "a copy is written on a condition": (
        lambda patch: patch.setattr(publish, "put_blob", careless_put),
        SAME,
    ),
    "a record is written on a condition": (
        lambda patch: patch.setattr(store, "put_blob", careless_put),
        LOST,
    ),
    "copies of earlier days are deleted": (
        lambda patch: patch.setattr(Outcomes, "_delete_older", lambda *_: {}),
        MOVE,
    ),
    "a newer copy in an earlier day is left": (delete_whatever_is_there, BACK),
    "a writer finds its commit": (forget_commits, LOST),
    "a message that comes again is followed": (lambda patch: None, ""),
    "a copy of another record is adopted": (
        lambda patch: patch.setattr(publish, "_is_unknown", lambda told, record: False),
        EXPIRED_LATER,
    ),
    "a copy is adopted whose revision is not greater": (
        lambda patch: patch.setattr(
            publish, "_is_unknown", lambda told, record: publish._revision(told) > record.revision
        ),
        EXPIRED,
    ),
    "what is adopted is merged": (
        lambda patch: patch.setattr(publish, "merge_attempt", lambda copy, record, attempt: record),
        EXPIRED_LATER,
    ),
    "a copy in an earlier day is adopted too": (delete_whatever_is_there, REMOVED),
    "a copy of a record that is gone is deleted": (publish_what_is_gone, QUIET),
    "a copy whose reply was lost is known": (forget_copies, QUIET_LOST),
    "a copy that was adopted is not removed": (remove_whatever_is_there, AGAIN),
    "a record that changed is not removed": (remove_records_whatever_they_are, AGAIN_TWICE),
}


@pytest.mark.parametrize("rule", LEFT_OUT)
def test_without_a_rule_there_is_a_history_that_breaks(rule: str) -> None:
    leave_out, name = LEFT_OUT[rule]
    scenario = SCENARIOS.get(name) or WITHOUT_REDELIVERY
    with pytest.raises((AssertionError, Contention)):
        explore(scenario, leave_out)
