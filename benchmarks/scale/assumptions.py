"""Assumptions of the model, each with its source.

A source is a document, a measurement here, or an assumption.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

BEGIN = datetime(2026, 11, 24, tzinfo=UTC)  # a midnight
HOUR = 3_600.0

DOCUMENTED, MEASURED, ASSUMED = "documented", "measured", "assumed"


def given(value: Any, source: str, what: str) -> Any:
    """A field whose value has a source."""
    return field(default=value, metadata={"source": source, "what": what})


@dataclass(frozen=True)
class Assumptions:
    """Times are in seconds. Limits are pairs: so many requests in so many seconds."""

    # Microsoft Graph
    record_limit: tuple[int, float] = given(
        (1_500, 20.0), DOCUMENTED, "limit of single call records, requests in seconds"
    )
    list_limit: tuple[int, float] = given((40, 20.0), DOCUMENTED, "limit of lists of call records")
    meeting_limit: tuple[int, float] = given(
        (5_000, 10.0), ASSUMED, "limit of meetings and their reports (published in 2021, not today)"
    )
    page_size: int = given(60, DOCUMENTED, "call records on a page of their list")
    latency: float = given(0.15, ASSUMED, "median time of an answer of Graph, log-normal")
    latency_spread: float = given(
        0.6, ASSUMED, "sigma of that, which puts one answer in a hundred at four times it"
    )
    list_latency: float = given(0.6, ASSUMED, "median time of a page of call records")
    delay_spread: float = given(0.6, ASSUMED, "sigma of the times until a notification, and until a report")
    announced_after: float = given(
        900.0, ASSUMED, "median time from a meeting's end to its notification, log-normal"
    )
    announced_at_most: float = given(
        9_000.0, DOCUMENTED, "longest time from a meeting's end to its notification"
    )
    ready_after: float = given(300.0, ASSUMED, "median time from a meeting's end to its report, log-normal")
    ready_at_most: float = given(6 * HOUR, ASSUMED, "longest time from a meeting's end to its report")
    repeated: float = given(0.05, ASSUMED, "share of notifications that come twice")
    lost: float = given(0.001, ASSUMED, "share of notifications that never come")
    # Azure Storage
    storage_time: float = given(0.012, ASSUMED, "time of one request to storage")
    list_time: float = given(0.4, ASSUMED, "time to list 5,000 blobs")
    queue_limit: float = given(2_000.0, DOCUMENTED, "messages a second of one queue")
    # Azure Functions
    scaled_every: float = given(10.0, ASSUMED, "time between decisions to scale")
    added_at_once: int = given(4, DOCUMENTED, "instances that one decision adds at most")
    starts_in: float = given(6.0, ASSUMED, "time until a new instance works")
    leaves_after: float = given(60.0, ASSUMED, "time without work after which an instance goes")
    cpu_of_report: float = given(
        0.0155, MEASURED, "CPU of one execution that archives, on a core of this machine"
    )
    cpu_of_answer: float = given(0.006, MEASURED, "CPU of one notification, on a core of this machine")
    cores: float = given(1.0, ASSUMED, "cores of an instance of 2,048 MB")
    http_concurrency: int = given(
        16, DOCUMENTED, "notifications that one instance takes at once (main.bicep)"
    )

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """What, value and source of each."""
        for each in fields(self):
            value = getattr(self, each.name)
            shown = f"{value[0]:,} in {value[1]:g} s" if isinstance(value, tuple) else f"{value:,g}"
            yield each.metadata["what"], shown, each.metadata["source"]
