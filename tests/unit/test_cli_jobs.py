"""Signals that `backfill` and `redrive` name to the app: in batches of their days, and no more than are needed."""

from datetime import UTC, datetime

from shared.cli.commands.jobs import _first_of_each, _name_signals
from shared.ledger.publish import OutcomeSummary
from shared.ledger.record import Result
from shared.messages.tasks import MAX_SIGNALS, Redrive, Task, parse_task, serialize_task

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def outcome(number: int, day: int, result: Result, meeting: str | None = None) -> OutcomeSummary:
    name = f"outcomes/date=2026-11-{day:02}/cr-{number:05}.json"
    return OutcomeSummary(name, result, 0, None, None, NOW, join_url_key=meeting)


def test_one_stored_signal_of_a_meeting_is_enough_and_none_beside_another() -> None:
    outcomes = [
        outcome(1, 1, Result.STORED, "weekly"),
        outcome(2, 8, Result.STORED, "weekly"),
        outcome(3, 2, Result.STORED, "once"),
        outcome(4, 3, Result.NO_REPORT, "once"),
        outcome(5, 4, Result.FAILED, "once"),
        outcome(6, 5, Result.STORED),
        outcome(7, 5, Result.STORED),
    ]
    chosen = _first_of_each(outcomes)
    assert [each.signal_id for each in chosen] == ["cr-00001", "cr-00004", "cr-00005", "cr-00006", "cr-00007"]


def test_a_message_names_as_many_signals_as_it_may_and_only_their_days() -> None:
    selected = [
        outcome(number, 1 + number // MAX_SIGNALS, Result.FAILED) for number in range(2 * MAX_SIGNALS + 1)
    ]
    wanted = (NOW.date(), NOW.date())
    jobs = list(_name_signals(list(reversed(selected)), frozenset(Result), wanted))
    assert [len(each.signals) for each in jobs] == [MAX_SIGNALS, MAX_SIGNALS, 1]
    assert [(each.first.day, each.last.day) for each in jobs] == [(1, 1), (2, 2), (3, 3)]
    for each in jobs:
        job = parse_task(serialize_task(Task(each))).job
        assert isinstance(job, Redrive)
        assert (job.outcomes, job.backfill) == (frozenset(Result), wanted)
