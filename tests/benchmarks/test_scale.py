"""The model of the deployed app, and its calls compared with the real stack's."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks import simulate
from benchmarks.scale import check, results
from benchmarks.scale.app import Deployment
from benchmarks.scale.assumptions import HOUR, Assumptions
from benchmarks.scale.azure import Queue
from benchmarks.scale.clock import Clock
from benchmarks.scale.graph import LIST, RECORD, Limit, Trouble
from benchmarks.scale.results import Result
from benchmarks.scale.scenarios import Day, Scenario

pytestmark = pytest.mark.heavy("each test simulates days")

MEETINGS = 150
ASSUMED = replace(Assumptions(), lost=0.05)


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime(2026, 11, 24, tzinfo=UTC))


def day(trouble: Trouble | None = None, hours: float = 30.0, deployment: Deployment | None = None) -> Result:
    scenario = Scenario("a day", deployment or Deployment(), trouble or Trouble(), MEETINGS, hours)
    made = Day(scenario, ASSUMED)
    made.run()
    return results.result(made)


# Virtual time


def test_whoever_sleeps_goes_on_when_it_is_time(clock: Clock) -> None:
    seen: list[tuple[str, float]] = []

    def sleeper(name: str, seconds: float) -> None:
        for _ in range(2):
            clock.sleep(seconds)
            seen.append((name, clock.now))

    clock.spawn(lambda: sleeper("slow", 3))
    clock.spawn(lambda: sleeper("fast", 2), after=0.5)
    clock.run(100)
    assert seen == [("fast", 2.5), ("slow", 3), ("fast", 4.5), ("slow", 6)]
    assert clock.now == 100


def test_those_who_work_together_are_waited_for_and_their_failure_is_raised(clock: Clock) -> None:
    seen: list[object] = []

    def fail() -> None:
        clock.sleep(1)
        raise ValueError("no luck")

    def leader() -> None:
        clock.together([lambda: clock.sleep(5), lambda: clock.sleep(2)])
        seen.append(clock.now)
        with pytest.raises(ValueError, match="no luck"):
            clock.together([fail, lambda: clock.sleep(3)])
        seen.append(clock.now)

    clock.spawn(leader)
    clock.run(100)
    assert seen == [5, 8]


def test_a_lock_lets_one_in_at_a_time(clock: Clock) -> None:
    lock, seen = clock.lock(), list[float]()

    def work() -> None:
        with lock:
            clock.sleep(2)
            seen.append(clock.now)

    for _ in range(3):
        clock.spawn(work)
    clock.run(10)
    assert seen == [2, 4, 6]


def test_a_message_is_seen_when_its_delay_is_over(clock: Clock) -> None:
    queue, seen = Queue(clock, Assumptions()), list[list[str]]()

    def worker() -> None:
        queue.send("later", 60)
        queue.send("now")
        seen.append([each.text for each in queue.take(8)])
        clock.sleep(60)
        seen.append([each.text for each in queue.take(8)])

    clock.spawn(worker)
    clock.run(100)
    assert seen == [["now"], ["later"]]
    assert queue.waiting == 0


def test_a_limit_refuses_what_is_too_much_in_a_window() -> None:
    limit = Limit(3, 20)
    assert [limit.refuses_for(moment, 1.0) for moment in (41, 42, 43, 44.5, 60)] == [
        None,
        None,
        None,
        16,
        None,
    ]
    assert limit.most == 4
    assert [limit.refuses_for(moment, 0.3) for moment in (80, 81)] == [20, 19]


# Days


def test_every_report_of_an_ordinary_day_is_stored_and_the_day_is_sealed() -> None:
    found = day(hours=54)
    assert found.stored == MEETINGS
    assert found.outcomes == {"stored": MEETINGS}
    assert 4 <= found.calls_of_report <= 7  # with the second reading, which lists and reads
    assert not found.refused
    assert found.since_announced.median < 60
    assert 0 < found.unannounced.last < 4 * HOUR
    assert found.full_look
    assert found.full_look.records == MEETINGS
    assert found.cost > 0


def test_the_same_day_is_the_same_again() -> None:
    assert day(hours=12) == day(hours=12)


def test_nothing_is_lost_in_an_outage_of_graph() -> None:
    found = day(Trouble(down=simulate.DOWN))
    assert found.stored == MEETINGS
    assert found.refused["down"] > 100
    assert found.since_possible.last > HOUR


def test_what_graph_throttles_is_asked_for_again_later() -> None:
    scarce = Trouble(scarce=(0.0, 24 * HOUR), granted=1 / 1_500)  # one record in 20 s, no page of the list
    found = day(scarce, hours=48)
    assert found.stored == MEETINGS
    assert found.refused[RECORD] + found.refused[LIST] > 0


def test_invented_calls_delay_no_meeting_and_cost_few_calls_each() -> None:
    found = day(Trouble(leaked=simulate.LEAKED, invented=0.5))
    assert (found.stored, found.outcomes) == (MEETINGS, {"stored": MEETINGS})
    assert 0 < found.unconfirmed <= 1_800
    assert found.invented <= 4 * 1_800
    assert found.since_possible.median < 2 * day().since_possible.median


def test_a_small_deployment_is_slower() -> None:
    slow = day(deployment=Deployment(instances=1, graph_rate=0.5))
    assert slow.stored == MEETINGS
    assert slow.since_possible.median > 2 * day().since_possible.median
    assert slow.instances == 1


# The real thing


def test_the_model_makes_the_calls_that_the_real_stack_makes() -> None:
    trace = check.Trace("a few", 12, 0.05, 100.0)
    (compared,) = check.run([trace])
    assert compared.measured.calls == compared.modelled.calls == dict.fromkeys(check.KINDS, 12)
    assert compared.modelled.times.last < check.GIVE_UP_AFTER
    for side in (compared.measured, compared.modelled):
        assert side.since_end.median == pytest.approx(side.times.median + check.AFTER_END, abs=3.0)
    assert len(check.rows([compared])) == 7


def test_the_page_shows_every_day_and_what_was_taken_for_granted(tmp_path: Path) -> None:
    text = simulate.page([day()], []).written(tmp_path, "scale")
    assert f"| reports stored | {MEETINGS} |" in text
    assert text.count("| assumed |") > 5
    assert (tmp_path / "scale-1.svg").exists()
