"""The result of a recovery run: figures, problems and their table."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

import requests

from local.simulator.calls import Call
from tests.storm.announcements import TIMES
from tests.storm.ended_meetings import DENIED_ORGANIZER
from tests.storm.findings import Findings

# What a sweep may call when nothing is missing: pages of the list, and one probe of an organizer without access.
EXPECTED = re.compile(r"GET /communications/callRecords\?|GET /users/\{denied\}/")


@dataclass(frozen=True)
class Result:
    """One run: work, findings, and Graph's answered calls by operation."""

    seconds: float
    meetings: int
    unannounced: int
    posts_repeated: int
    kills: int
    missing_before_sweep: int
    found: Findings
    calls: dict[str, int]
    second_sweep: dict[str, int]
    past_days: int
    manifest_problems: list[str]
    poison: int

    @property
    def problems(self) -> list[str]:
        """Everything that must not be, one sentence each."""
        found = self.found
        return [
            *(f"Missing: {each}." for each in found.missing),
            *(f"Doubled: {each}." for each in found.doubled),
            *(f"Wrong: {each}." for each in found.wrong),
            *(f"Unexpected: {each}." for each in found.unexpected),
            *(f"The second sweep called {call}." for call in self.second_sweep if not EXPECTED.match(call)),
            *([] if self.second_sweep else ["The second sweep made no call."]),
            *(f"{each}." for each in self.manifest_problems),
            *([f"{self.poison} messages are poison."] if self.poison else []),
        ]


def operations(calls: Iterable[Call]) -> dict[str, int]:
    """Calls by operation, without ids and values of queries."""
    return dict(Counter(_operation(call) for call in calls).most_common())


def _operation(call: Call) -> str:
    parts = urlsplit(call.path)
    path = parts.path.replace(DENIED_ORGANIZER, "{denied}")
    path = re.sub(r"(callRecords|users|onlineMeetings|attendanceReports)/[^/{]+", r"\1/{id}", path)
    names = sorted(name for name, _ in parse_qsl(parts.query) if name != "$select")
    digits = "joinMeetingId" in parts.query
    query = "&".join(names) + (" by digits" if digits else "")
    refused = " (429)" if call.status == requests.codes.too_many_requests else ""
    return f"{call.method} {path.removeprefix('/v1.0')}" + (f"?{query}" if query else "") + refused


def shown(result: Result) -> str:
    """The result as a table."""
    found = result.found
    announced = result.meetings - result.unannounced
    rows: list[tuple[str, object]] = [
        ("meetings that ended", result.meetings),
        ("  never announced", result.unannounced),
        (f"  announced {TIMES} times, shuffled", announced),
        ("kills of the functions host", result.kills),
        ("POSTs that had to be repeated", result.posts_repeated),
        ("reports missing before the sweep", result.missing_before_sweep),
        ("reports stored", found.stored),
        ("reports missing", len(found.missing)),
        ("reports or outcomes doubled", len(found.doubled)),
        ("reports wrong", len(found.wrong)),
        ("outcomes not as expected", len(found.unexpected)),
        ("poison messages", result.poison),
    ]
    for kind, counts in found.outcomes.items():
        rows += [(f"outcome of {kind}: {outcome}", count) for outcome, count in counts.items()]
    total = sum(result.calls.values())
    rows += [("calls to Graph", total), ("  for a stored report", f"{total / max(1, found.stored):.2f}")]
    rows += [(f"  {call}", count) for call, count in result.calls.items()]
    rows += [("calls of a second sweep", sum(result.second_sweep.values()))]
    rows += [(f"  {call}", count) for call, count in result.second_sweep.items()]
    rows += [
        ("past days", result.past_days),
        ("manifests of theirs that are wrong", len(result.manifest_problems)),
        ("seconds", f"{result.seconds:.0f}"),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value:>7}" for name, value in rows)
