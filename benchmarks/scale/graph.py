"""Microsoft Graph below the product's client, with latency, limits and outages."""

from __future__ import annotations

import bisect
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from random import Random
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from benchmarks.scale.assumptions import BEGIN, Assumptions
from benchmarks.scale.clock import Clock
from shared.bounded_http import Answer

ROOT = "https://graph.microsoft.com"
TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
LASTED = 1_800.0  # seconds, each meeting
OF_ONE_ORGANIZER = 20
BUCKET = 60.0  # seconds in which calls are counted together
PEOPLE = [
    {"id": f"0000000{number}", "emailAddress": f"person-{number}@contoso.com", "role": "Attendee"}
    for number in range(3)
]

RECORD, LIST, MEETING, REPORTS, REPORT = (
    "get call record",
    "list call records",
    "find meeting",
    "list reports",
    "get report",
)


@dataclass(frozen=True)
class Held:
    """The meetings held, by number, in order of their ends, in seconds of the clock."""

    ends: Sequence[float]
    readable: Sequence[float]  # from when on the call record can be read, which is when it is announced
    ready: Sequence[float]  # from when on there is a report


@dataclass(frozen=True)
class Trouble:
    """When Graph is down or scarce, and when calls are invented.

    It then grants only a share of its limits. The inventor knows the client state and a subscription of the app,
    and posts `invented` calls a second.
    """

    down: tuple[float, float] | None = None
    scarce: tuple[float, float] | None = None
    granted: float = 1.0
    leaked: tuple[float, float] | None = None
    invented: float = 20.0


@dataclass
class Limit:
    """So many requests in each window of so many seconds; refused ones count too."""

    requests: int
    seconds: float
    most: int = 0  # met in one window
    _window: int = -1
    _count: int = 0

    def refuses_for(self, now: float, share: float) -> int | None:
        """Seconds to come back in, or None where there is room."""
        window = int(now // self.seconds)
        if window != self._window:
            self._window, self._count = window, 0
        self._count += 1
        self.most = max(self.most, self._count)
        if self._count <= self.requests * share:
            return None
        return math.ceil((window + 1) * self.seconds - now)


class Tenant:
    """A tenant in place of the client's HTTP session, which counts calls and refusals."""

    def __init__(self, clock: Clock, held: Held, trouble: Trouble, assumed: Assumptions, seed: int) -> None:
        self._clock, self._held, self._trouble, self._assumed = clock, held, trouble, assumed
        self._draw = Random(seed)
        records, meetings = Limit(*assumed.record_limit), Limit(*assumed.meeting_limit)
        self.limits = {
            RECORD: records,
            LIST: Limit(*assumed.list_limit),
            MEETING: meetings,
            REPORTS: meetings,
            REPORT: meetings,
        }
        self.calls: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.invented = 0  # calls for call records that do not exist
        self.series: dict[str, Counter[int]] = defaultdict(Counter)

    def ask(self, method: str, url: str, **_: object) -> Answer:
        """One call."""
        assert method == "GET", method
        kind, number, query = _parsed(url)
        median = self._assumed.list_latency if kind == LIST else self._assumed.latency
        self._clock.sleep(median * math.exp(self._draw.gauss(0, self._assumed.latency_spread)))
        now, trouble = self._clock.now, self._trouble
        self.calls[kind] += 1
        self.series[kind][int(now // BUCKET)] += 1
        if trouble.down and trouble.down[0] <= now < trouble.down[1]:
            self.refused["down"] += 1
            return _refusal(503)
        share = trouble.granted if trouble.scarce and trouble.scarce[0] <= now < trouble.scarce[1] else 1.0
        wait = self.limits[kind].refuses_for(now, share)
        if wait is not None:
            self.refused[kind] += 1
            return _refusal(429, {"Retry-After": str(wait)})
        answer = self._page(query) if kind == LIST else self._one(kind, number)
        self.answered[kind] += answer.status == 200
        return answer

    def _one(self, kind: str, number: int) -> Answer:
        now, held = self._clock.now, self._held
        if number >= len(held.ends):
            self.invented += 1
            return _refusal(404)
        if kind == RECORD:
            return _found(record(number, held)) if held.readable[number] <= now else _refusal(404)
        if kind == MEETING:
            return _found({"value": [{"id": f"meeting-{number}"}]})
        is_ready = held.ready[number] <= now
        if kind == REPORTS:
            return _found({"value": [report(number, held)] if is_ready else []})
        return _found(report(number, held) | {"attendanceRecords": PEOPLE}) if is_ready else _refusal(404)

    def _page(self, query: dict[str, str]) -> Answer:
        first, last = (moment(text) for text in re.findall(r"\d{4}-\S+?Z", query["$filter"]))
        begin = bisect.bisect_left(self._held.ends, first + LASTED) + int(query.get("$skip", "0"))
        end = bisect.bisect_left(self._held.ends, last + LASTED)
        numbers = range(begin, min(begin + self._assumed.page_size, end))
        now = self._clock.now
        value = [record(number, self._held) for number in numbers if self._held.readable[number] <= now]
        if numbers and numbers[-1] + 1 < end:
            done = int(query.get("$skip", "0")) + len(numbers)
            address = f"{ROOT}/v1.0/communications/callRecords?$filter={query['$filter']}&$skip={done}"
            return _found({"value": value, "@odata.nextLink": address.replace(" ", "%20")})
        return _found({"value": value})


def record(number: int, held: Held) -> dict[str, Any]:
    """The call record of a meeting."""
    organizer = f"{number // OF_ONE_ORGANIZER:08d}-0000-4000-8000-000000000000"
    return {
        "id": call_id(number),
        "type": "groupCall",
        "joinWebUrl": f"https://teams.microsoft.com/l/meetup-join/{number}/0",
        "startDateTime": text(held.ends[number] - LASTED),
        "endDateTime": text(held.ends[number]),
        "organizer_v2": {"identity": {"user": {"id": organizer, "tenantId": TENANT}}},
    }


def report(number: int, held: Held) -> dict[str, Any]:
    """The report of a meeting, without its records."""
    return {
        "id": f"report-{number}",
        "meetingStartDateTime": text(held.ends[number] - LASTED),
        "meetingEndDateTime": text(held.ends[number]),
        "totalParticipantCount": len(PEOPLE),
    }


def call_id(number: int) -> str:
    """The id of a meeting's call record. Not in the order of time, as Graph's are not."""
    return f"{number * 2_654_435_761 % 2**32:08x}-{number:012d}"


@lru_cache(maxsize=20_000)
def text(moment: float) -> str:
    """A moment as Graph writes it."""
    return (BEGIN + timedelta(seconds=moment)).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> float:
    """A moment that the app wrote."""
    return (datetime.fromisoformat(text) - BEGIN).total_seconds()


def _parsed(url: str) -> tuple[str, int, dict[str, str]]:
    """The kind of a call, the number of the meeting that it is about, and its query."""
    parts = urlsplit(url)
    names = parts.path.split("/")[2:]
    if names[0] == "communications":
        if len(names) == 3:
            return RECORD, int(names[2].rpartition("-")[2]), {}
        return LIST, 0, {name: values[0] for name, values in parse_qs(parts.query).items()}
    if len(names) == 3:
        return MEETING, int(unquote(parts.query).split("/")[-2]), {}
    return (REPORT if len(names) == 6 else REPORTS), int(names[3].rpartition("-")[2]), {}


def _found(content: dict[str, Any]) -> Answer:
    return Answer(200, {}, json.dumps(content).encode())


def _refusal(status: int, headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, headers or {}, b'{"error":{"code":"Refused"}}')


def series(counts: Counter[int]) -> Iterator[tuple[float, float]]:
    """Hours and calls a second, for a plot; minutes without a call are zero."""
    minutes = range(min(counts), max(counts) + 2)
    for minute, _ in pairwise(minutes):
        yield minute * BUCKET / 3_600, counts[minute] / BUCKET
