"""Spans of time.

How long somebody was there, by definitions that tables and trainings share.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

type Span = tuple[datetime, datetime]


def parse_span(start: str | None, end: str | None) -> Span | None:
    """Return two times of a row as a span.

    None for a missing one, or for an end that is not after the start.
    """
    if start is None or end is None:
        return None
    span = datetime.fromisoformat(start), datetime.fromisoformat(end)
    return span if span[0] < span[1] else None


def merge_spans(spans: Sequence[Span]) -> list[Span]:
    """Merge overlapping stays, as of somebody who joined with two devices."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def clip_spans(spans: Iterable[Span], within: Sequence[Span]) -> list[Span]:
    """Return the parts of disjoint spans that are within others; all in order."""
    parts = [(max(start, first), min(end, last)) for start, end in spans for first, last in within]
    return [(start, end) for start, end in parts if start < end]


def length_of(spans: Sequence[Span]) -> timedelta:
    """Add up spans that do not overlap."""
    return sum((end - start for start, end in spans), timedelta())
