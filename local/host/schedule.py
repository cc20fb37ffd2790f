"""When a timer is due: NCRONTAB schedules and the status of missed runs.

Pure decisions. Source: the timer trigger reference, and the schedule monitor of Microsoft's timer extension.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from croniter import CroniterError, croniter

NEVER = datetime(1, 1, 1, tzinfo=UTC)


class Schedule:
    """An NCRONTAB expression of six fields, seconds first, in UTC.

    Raises ValueError for anything else.
    """

    def __init__(self, expression: str) -> None:
        if len(expression.split()) != 6:
            raise ValueError(f"schedule '{expression}' does not have six fields")
        self._expression = expression
        try:
            self.after(datetime(2000, 1, 1, tzinfo=UTC))
        except CroniterError as error:
            raise ValueError(f"schedule '{expression}': {error}") from error

    def after(self, moment: datetime) -> datetime:
        """The first occurrence later than `moment`."""
        # NCRONTAB wants both the day of the month and the day of the week to fit; cron wants either.
        ticks = croniter(self._expression, moment, second_at_beginning=True, day_or=False)
        occurrence: datetime = ticks.get_next(datetime)
        return occurrence


@dataclass(frozen=True)
class Status:
    """The last run (NEVER if none), the next occurrence, and when this was written."""

    last: datetime
    next: datetime
    updated: datetime

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `as_json` wrote; ValueError or KeyError if it is something else."""
        fields = json.loads(text)
        return cls(*(datetime.fromisoformat(fields[name]) for name in ("Last", "Next", "LastUpdated")))

    def as_json(self) -> dict[str, str]:
        """The status in the platform's form, also as a function sees it."""
        return {
            "Last": self.last.isoformat(),
            "Next": self.next.isoformat(),
            "LastUpdated": self.updated.isoformat(),
        }


def is_current(status: Status, schedule: Schedule) -> bool:
    """Whether the status is for this schedule; another says nothing of missed runs."""
    return status.next == schedule.after(status.updated if status.last == NEVER else status.last)
