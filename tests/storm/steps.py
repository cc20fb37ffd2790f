"""Steps of the app, as its requests to storage show them, and kills at chosen ones.

The proxy before storage sees every request. A strike is due at the n-th request of its step: the functions host is
killed before that request is passed on, or after it was done and before the reply leaves.
"""

import base64
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from urllib.parse import unquote

BEFORE, AFTER = "before", "after"


@dataclass(frozen=True)
class Request:
    """A request to storage; `headers` in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def name(self) -> str:
        """The path as it is read, decoded."""
        return unquote(self.path)

    @property
    def message(self) -> str:
        """The text of the queue message that it sends."""
        found = re.search(rb"<MessageText>([^<]*)</MessageText>", self.body)
        try:
            return base64.b64decode(found[1], validate=True).decode(errors="replace") if found else ""
        except ValueError:
            return ""

    @property
    def is_nudge(self) -> bool:
        """Whether it sends the message for the next attempt of one signal."""
        return self.method == "POST" and "/meeting-signals/" in self.path and '"kind":"nudge"' in self.message


type Predicate = Callable[[Request], bool]


def _to(method: str, pattern: str) -> Predicate:
    found = re.compile(pattern)
    return lambda request: request.method == method and bool(found.search(request.name))


def _sends(queue: str, part: str) -> Predicate:
    is_post = _to("POST", f"/{queue}/messages")
    return lambda request: is_post(request) and part in request.message


def _manifest(*, names_tables: bool) -> Predicate:
    is_manifest = _to("PUT", r"/manifests/date=[^/]+/manifest\.json")
    return lambda request: (
        is_manifest(request) and (request.headers.get("x-ms-meta-tables") == "true") is names_tables
    )


REPORT, SWAP, PUBLISH, CLEAN = "report", "swap of the record", "publish", "deletion of the older copy"
SEND, NEWS, DONE, CHECKPOINT = "send", "news on the queue", "message done", "checkpoint of the hub"
INDEX, MANIFEST, NAMING, TASK = "index of a day", "manifest", "naming of tables", "task for a table's part"
ENGAGEMENTS, ATTENDEES, MEETINGS = "file of engagements", "file of attendees", "file of meetings"

STEPS: dict[str, Predicate] = {
    REPORT: _to("PUT", "/reports/date="),
    SWAP: _to("PUT", "-state/signals/"),
    PUBLISH: _to("PUT", "/outcomes/date="),
    CLEAN: _to("DELETE", "/outcomes/date="),
    SEND: lambda request: request.is_nudge,
    NEWS: _sends("meeting-signals", '"kind":"news"'),
    DONE: _to("DELETE", "/meeting-signals/messages/"),
    CHECKPOINT: _to("PUT", "/azure-webjobs-eventhub/"),
    INDEX: _to("PUT", r"/manifests/date=[^/]+/reports\.jsonl"),
    MANIFEST: _manifest(names_tables=False),
    NAMING: _manifest(names_tables=True),
    TASK: _sends("upkeep", '"kind":"writeDaily"'),
    ENGAGEMENTS: _to("PUT", "/tables/engagements/"),
    ATTENDEES: _to("PUT", "/tables/attendees/"),
    MEETINGS: _to("PUT", "/tables/meetings/"),
}
OF_TABLES = {INDEX, MANIFEST, NAMING, TASK, ENGAGEMENTS, ATTENDEES, MEETINGS}
MEETINGS_PER = {SEND: 20, NEWS: 40, CHECKPOINT: 1_000}  # for one request, of what is rarer than meetings
# In this order, so that the first few are of every kind.
CHOSEN = (
    (SWAP, AFTER), (ATTENDEES, AFTER), (SEND, BEFORE), (NAMING, BEFORE), (PUBLISH, BEFORE), (INDEX, AFTER),
    (SWAP, BEFORE), (MEETINGS, AFTER), (REPORT, AFTER), (DONE, BEFORE), (SEND, AFTER), (SWAP, AFTER),
    (TASK, AFTER), (PUBLISH, AFTER), (SWAP, AFTER), (ENGAGEMENTS, AFTER), (NEWS, AFTER), (CHECKPOINT, BEFORE),
    (SEND, BEFORE), (PUBLISH, BEFORE), (NAMING, AFTER), (REPORT, BEFORE), (DONE, BEFORE), (SWAP, AFTER),
    (MANIFEST, AFTER), (SEND, BEFORE),
)  # fmt: skip


@dataclass
class Strike:
    """A kill that is due at a request of a step, after `left` others."""

    step: str
    side: str
    left: int

    @property
    def name(self) -> str:
        """Where it strikes."""
        return f"{self.side} the {self.step}"


class Strikes:
    """The kills of a run at chosen steps; `done` counts them by name."""

    def __init__(self, count: int, requests: int, source: Random) -> None:
        """Plan `count` kills, each after at most `requests` requests of its step.

        Tables are few: those strikes are at the first or second one.
        """
        chosen = (CHOSEN * (count // len(CHOSEN) + 1))[:count]
        self._waiting = [
            Strike(
                step, side, source.randrange(2) if step in OF_TABLES else source.randrange(max(1, requests))
            )
            for step, side in chosen
        ]
        self._lock = threading.Lock()
        self.is_held = True
        self.done: Counter[str] = Counter()

    @property
    def missed(self) -> list[str]:
        """The strikes that were not reached."""
        return [each.name for each in self._waiting]

    def due(self, request: Request) -> Strike | None:
        """The strike that this request meets; it is not met again."""
        if self.is_held or not self._waiting:
            return None
        with self._lock:
            met = [each for each in self._waiting if STEPS[each.step](request)]
            for each in met:
                if each.left == 0:
                    self._waiting.remove(each)
                    self.done[each.name] += 1
                    return each
                each.left -= 1
        return None
