"""Options `--from` and `--to`: a range of days (UTC), both included."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated

import typer

from .. import times
from ..errors import AttendanceError

MAX_DAYS = 3_700  # days in one command
_DAY = ["%Y-%m-%d"]

FirstDay = Annotated[
    datetime, typer.Option("--from", formats=_DAY, metavar="YYYY-MM-DD", help="First day (UTC).")
]
LastDay = Annotated[
    datetime, typer.Option("--to", formats=_DAY, metavar="YYYY-MM-DD", help="Last day (UTC), included.")
]
OptionalFirstDay = Annotated[
    datetime | None,
    typer.Option("--from", formats=_DAY, metavar="YYYY-MM-DD", help="First day (UTC). Default: a week ago."),
]
OptionalLastDay = Annotated[
    datetime | None,
    typer.Option(
        "--to", formats=_DAY, metavar="YYYY-MM-DD", help="Last day (UTC), included. Default: today."
    ),
]


def days_between(first: datetime | None, last: datetime | None, back: int = 7) -> list[date]:
    """Return the days from `first` to `last`; by default, the last days.

    Without `last` the range ends today, without `first` it begins `back` days before. Raises AttendanceError.
    """
    end = last.date() if last else times.now().date()
    start = first.date() if first else end - timedelta(days=back)
    if start > end:
        raise AttendanceError(f"--to {end} is before --from {start}.")
    if (end - start).days >= MAX_DAYS:
        raise AttendanceError(f"From {start} to {end} is more than {MAX_DAYS:,} days.")
    return [start + timedelta(days=number) for number in range((end - start).days + 1)]
