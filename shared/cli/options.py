"""Options `--from` and `--to`: a range of days (UTC), both included."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import typer

from .. import times
from ..errors import WrongUsage

MAX_DAYS = 3_700  # days in one command
WEEK, MONTH = 7, 30  # days back from today, where a range begins by default
DAY = "YYYY-MM-DD"


def parse_day(text: str) -> datetime:
    """Parse a day. Raises BadParameter, which says the form."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a day of the form {DAY}, such as 2026-11-30.") from None


FirstDay = Annotated[datetime, typer.Option("--from", parser=parse_day, metavar=DAY, help="First day (UTC).")]
LastDay = Annotated[
    datetime, typer.Option("--to", parser=parse_day, metavar=DAY, help="Last day (UTC), included.")
]
OptionalFirstDay = Annotated[
    datetime | None,
    typer.Option(
        "--from", parser=parse_day, metavar=DAY, help="First day (UTC). Default: a week before --to."
    ),
]
MonthAgo = Annotated[
    datetime | None,
    typer.Option(
        "--from", parser=parse_day, metavar=DAY, help=f"First day (UTC). Default: {MONTH} days before --to."
    ),
]
OptionalLastDay = Annotated[
    datetime | None,
    typer.Option("--to", parser=parse_day, metavar=DAY, help="Last day (UTC), included. Default: today."),
]


def days_between(first: datetime | None, last: datetime | None, back: int = WEEK) -> list[date]:
    """Return the days from `first` to `last`; by default, the last days.

    Without `last` the range ends today, without `first` it begins `back` days before. Raises WrongUsage, also if the
    range has not begun.
    """
    today = times.now().date()
    end = last.date() if last else today
    start = first.date() if first else end - min(timedelta(days=back), end - date.min)
    if start > end:
        raise WrongUsage(f"--to {end} is before --from {start}.")
    if start > today:
        raise WrongUsage(f"--from {start} is in the future: today is {today} (UTC).")
    if (end - start).days >= MAX_DAYS:
        raise WrongUsage(f"From {start} to {end} is more than {MAX_DAYS:,} days.")
    return [start + timedelta(days=number) for number in range((end - start).days + 1)]


def format_days(days: Sequence[date]) -> str:
    """Format a range of days for a sentence."""
    return f"on {days[0]}" if days[0] == days[-1] else f"from {days[0]} to {days[-1]}"
