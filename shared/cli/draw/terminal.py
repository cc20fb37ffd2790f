"""Picture of a report in a terminal: people over time, and a bar per person."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from .timeline import Participant, Timeline

ROWS = 40  # people shown by default
WIDTH = 100  # columns if the width is unknown
HEIGHT = 6  # lines of the curve
NAME, ROLE, MINUTES = 24, 9, 6  # columns
LEAST, MOST = 20, 240  # columns of the drawing
_COLOURS = {"Organizer": "blue", "Presenter": "yellow", "Attendee": "green"}
_STEPS, _STEPS_ASCII = " ▁▂▃▄▅▆▇█", "  ..::##"
_BAR, _BAR_ASCII = ("·", "▒", "█"), (".", "-", "#")


@dataclass(frozen=True)
class Drawing:
    """A drawing for a rich console, as wide as it; `rows` people, or with None all."""

    timeline: Timeline
    rows: int | None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines from top to bottom."""
        timeline, plain = self.timeline, not options.encoding.lower().startswith("utf")
        yield Text(f"Report {timeline.report_id}", "bold")
        yield Text(timeline.title)
        span = timeline.span
        if span is None or not timeline.people:
            yield Text(timeline.missing)
            return
        width = max(LEAST, min(MOST, options.max_width - NAME - ROLE - MINUTES - 3))
        yield Text()
        yield from _curve_lines(timeline, span, width, plain=plain)
        yield Text()
        people = timeline.people if self.rows is None else timeline.people[: self.rows]
        for each in people:
            yield _person_line(each, span, width, plain=plain)
        if len(people) < len(timeline.people):
            more = len(timeline.people) - len(people)
            yield Text(f"and {more:,} more who joined later: use --all to show everybody", "dim")


def _curve_lines(
    timeline: Timeline, span: tuple[datetime, datetime], width: int, *, plain: bool
) -> Iterator[Text]:
    """Yield the curve; a column is as high as the most people in its time."""
    counts, steps = _counts(timeline, span, width), _STEPS_ASCII if plain else _STEPS
    unit, indent = len(steps) - 1, NAME + ROLE + MINUTES + 3
    levels = [round(count * HEIGHT * unit / (timeline.peak or 1)) for count in counts]
    for line in reversed(range(HEIGHT)):
        label = f"{timeline.peak:,} " if line == HEIGHT - 1 else "0 " if line == 0 else ""
        cells = "".join(steps[max(0, min(unit, level - line * unit))] for level in levels)
        yield Text(f"{label:>{indent}}").append(cells, "cyan")
    first, last = f"{span[0]:%H:%M}", f"{span[1]:%H:%M}"
    yield Text(" " * indent + first + last.rjust(width - len(first)), "dim")


def _counts(timeline: Timeline, span: tuple[datetime, datetime], width: int) -> list[int]:
    times = [time for time, _ in timeline.curve]
    counts = []
    for begin, end in _cells(span, width):
        at = bisect_right(times, begin)
        inside = [count for time, count in timeline.curve[at:] if time < end] if at < len(times) else []
        before = timeline.curve[at - 1][1] if at else 0
        counts.append(max([before, *inside]))
    return counts


def _person_line(each: Participant, span: tuple[datetime, datetime], width: int, *, plain: bool) -> Text:
    nothing, part, full = _BAR_ASCII if plain else _BAR
    bar = ""
    for begin, end in _cells(span, width):
        present = sum(
            (max(timedelta(), min(stay.leave, end) - max(stay.join, begin)) for stay in each.stays),
            timedelta(),
        )
        bar += full if present * 2 >= end - begin else part if present else nothing
    minutes = "" if each.minutes is None else f"{each.minutes:,} m"
    name = each.name.encode("ascii", "replace").decode() if plain else each.name
    line = Text(f"{_fit(name, NAME)} {_fit(each.role, ROLE)} {minutes:>{MINUTES}} ")
    return line.append(bar, _COLOURS.get(each.role, "default"))


def _fit(text: str, width: int) -> str:
    """Fit a text to a number of columns, whatever the width of its letters."""
    return set_cell_size(text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…", width)


def _cells(span: tuple[datetime, datetime], width: int) -> Iterator[tuple[datetime, datetime]]:
    """Return the time span of each column."""
    step = (span[1] - span[0]) / width
    return ((span[0] + step * number, span[0] + step * (number + 1)) for number in range(width))
