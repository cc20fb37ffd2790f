"""Every interleaving of programs on shared blobs and a queue, with crashes.

A program's next operation follows from the replies that it got before. So it is run from its beginning with those,
until it asks for one more: no thread has to wait, and what follows from a state that was met before is not tried again.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import IO, Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

from tests.support.blobs import Exists, coded


@dataclass(frozen=True)
class Stored:
    """A stored blob; `written` counts writes of its name, and is its ETag."""

    body: bytes
    metadata: tuple[tuple[str, str], ...]
    written: int


@dataclass(frozen=True)
class World:
    """All blobs, their write counts, messages, and lost replies."""

    blobs: frozenset[tuple[str, Stored]] = frozenset()
    written: frozenset[tuple[str, int]] = frozenset()
    created: frozenset[tuple[str, int]] = frozenset()
    sent: tuple[str, ...] = ()
    lost_replies: int = 0

    def of(self, prefix: str) -> dict[str, Stored]:
        """The blobs whose names begin so."""
        return {name: blob for name, blob in self.blobs if name.startswith(prefix)}


@dataclass(frozen=True)
class Operation:
    """A storage request; `condition` is None, "missing", or an ETag."""

    kind: str
    name: str
    body: bytes = b""
    metadata: tuple[tuple[str, str], ...] = ()
    condition: str | None = None

    def __str__(self) -> str:
        told = dict(self.metadata)
        details = [told[key] for key in ("outcome", "revision") if key in told]
        return " ".join(
            [self.kind, self.name, *details, *([f"if {self.condition}"] if self.condition else [])]
        )


type Reply = Stored | int | str | None  # a blob, an ETag, an error code


def apply(world: World, operation: Operation) -> tuple[World, Reply]:
    """Make one operation."""
    name = operation.name
    if operation.kind == "send":
        return replace(world, sent=(*world.sent, operation.body.decode())), None
    blobs, counts = dict(world.blobs), dict(world.written)
    there = blobs.get(name)
    if operation.kind in ("get", "head"):
        return world, there or "BlobNotFound"
    if operation.condition == "missing" and there:
        return world, "BlobAlreadyExists"
    if operation.condition not in (None, "missing") and (
        there is None or str(there.written) != operation.condition
    ):
        return world, "BlobNotFound" if there is None and operation.kind == "delete" else "ConditionNotMet"
    if operation.kind == "delete":
        if there is None:
            return world, "BlobNotFound"
        del blobs[name]
        return replace(world, blobs=frozenset(blobs.items())), None
    counts[name] = counts.get(name, 0) + 1
    blobs[name] = Stored(operation.body, operation.metadata, counts[name])
    world = replace(world, blobs=frozenset(blobs.items()), written=frozenset(counts.items()))
    if there is None:
        created = dict(world.created)
        world = replace(world, created=frozenset({**created, name: created.get(name, 0) + 1}.items()))
    return world, counts[name]


class Suspended(BaseException):
    """The program has asked for one more operation."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation


@dataclass(frozen=True)
class Found:
    """A blob as a client of it sees it."""

    stored: Stored

    @property
    def etag(self) -> str:
        return str(self.stored.written)

    @property
    def metadata(self) -> dict[str, str]:
        return dict(self.stored.metadata)

    @property
    def properties(self) -> Found:
        return self

    def readall(self) -> bytes:
        return self.stored.body


@dataclass
class Storage:
    """Container and queue for the programs, with replies of earlier operations."""

    replies: tuple[Reply, ...]
    made: int = 0

    def _ask(self, operation: Operation) -> Reply:
        if self.made == len(self.replies):
            raise Suspended(operation)
        reply = self.replies[self.made]
        self.made += 1
        match reply:
            case "BlobNotFound":
                raise coded(ResourceNotFoundError("404"), reply)
            case "BlobAlreadyExists":
                raise Exists
            case "ConditionNotMet":
                raise coded(ResourceModifiedError("412"), reply)
        return reply

    def download_blob(self, name: str, kind: str = "get") -> Found:
        reply = self._ask(Operation(kind, name))
        assert isinstance(reply, Stored)
        return Found(reply)

    def delete_blob(self, name: str, **condition: Any) -> None:
        self._ask(Operation("delete", name, condition=_condition(**condition)))

    def get_blob_client(self, name: str) -> BlobClient:
        return BlobClient(self, name)

    def send(self, text: str, delay: int = 0) -> None:
        self._ask(Operation("send", "queue", text.encode()))

    def upload(self, name: str, data: bytes | IO[bytes], told: dict[str, str], **condition: Any) -> str:
        assert isinstance(data, bytes)
        metadata = tuple(sorted(told.items()))
        return str(self._ask(Operation("put", name, data, metadata, _condition(**condition))))


@dataclass(frozen=True)
class BlobClient:
    """One blob."""

    storage: Storage
    name: str

    def get_blob_properties(self) -> Found:
        return self.storage.download_blob(self.name, "head")

    def upload_blob(
        self,
        data: bytes,
        *,
        length: int,
        overwrite: bool,
        content_settings: object,
        metadata: dict[str, str] | None = None,
        **condition: Any,
    ) -> dict[str, str]:
        assert overwrite
        return {"etag": self.storage.upload(self.name, data, metadata or {}, **condition)}


def _condition(match_condition: MatchConditions | None = None, etag: str | None = None) -> str | None:
    return "missing" if match_condition is MatchConditions.IfMissing else etag


type Program = Callable[[Storage], object]


@dataclass(frozen=True, eq=False)
class Actor:
    """A runner of the first program, and of the next after each crash."""

    name: str
    lives: tuple[Program, ...]
    after: tuple[str, ...] = ()  # actors that must have ended before this one begins


@dataclass(frozen=True)
class Progress:
    """An actor's life and replies; None once it has ended."""

    life: int = 0
    replies: tuple[Reply, ...] | None = ()


@dataclass
class Explorer:
    """All histories of some actors, checked in each state and at each end."""

    actors: tuple[Actor, ...]
    check: Callable[[World], None] = lambda world: None
    check_end: Callable[[World], None] = lambda world: None
    _next: dict[Any, Operation | None] = field(default_factory=dict)
    states: int = 0
    ends: int = 0
    _ids: Iterator[str] = field(default_factory=lambda: iter(()))

    def new_id(self, _: int = 0) -> str:
        """A random id of the program that runs, and the same each time that it is run."""
        return next(self._ids)

    def explore(self, world: World) -> None:
        """Try everything. Raises AssertionError with the history that led to it."""
        begin = (world, tuple(Progress() for _ in self.actors))
        came_from: dict[Any, Any] = {begin: None}
        stack = [begin]
        while stack:
            state = stack.pop()
            self.states += 1
            following = list(self._following(*state))
            try:
                self.check(state[0])
                if all(each.replies is None for each in state[1]):
                    self.ends += 1
                    self.check_end(state[0])
            except AssertionError as wrong:
                wrong.add_note(_history(came_from, state))
                raise
            for step, after in following:
                if after not in came_from:
                    came_from[after] = (step, state)
                    stack.append(after)

    def _following(self, world: World, progress: tuple[Progress, ...]) -> Any:
        ended = {
            actor.name for actor, each in zip(self.actors, progress, strict=True) if each.replies is None
        }
        for number, (actor, each) in enumerate(zip(self.actors, progress, strict=True)):
            if each.replies is None or not ended.issuperset(actor.after):
                continue

            def moved(
                step: object,
                changed: World,
                now: Progress,
                number: int = number,
                name: str = actor.name,
            ) -> Any:
                return f"{name}: {step}", (changed, (*progress[:number], now, *progress[number + 1 :]))

            operation = self._operation(actor, each)
            begun = each.replies or operation is None
            if each.life + 1 < len(actor.lives) and begun:
                yield moved("dies", world, Progress(each.life + 1))
            if operation is None:
                yield moved("ends", world, Progress(0, None))
                continue
            changed, reply = apply(world, operation)
            yield moved(operation, changed, replace(each, replies=(*each.replies, reply)))
            if world.lost_replies and operation.kind in ("put", "delete"):
                twice, again = apply(replace(changed, lost_replies=world.lost_replies - 1), operation)
                yield moved(f"{operation}, twice", twice, replace(each, replies=(*each.replies, again)))

    def _operation(self, actor: Actor, progress: Progress) -> Operation | None:
        """The next operation of an actor; None where its program ends."""
        key = (actor.name, progress)
        if key not in self._next:
            assert progress.replies is not None
            self._ids = (f"{actor.name}-{progress.life}-{number}" for number in itertools.count())
            try:
                actor.lives[progress.life](Storage(progress.replies))
                self._next[key] = None
            except Suspended as suspended:
                self._next[key] = suspended.operation
        return self._next[key]


def _history(came_from: Any, state: Any) -> str:
    steps = []
    while came_from[state]:
        step, state = came_from[state]
        steps.append(step)
    return "\n".join(reversed(steps))
