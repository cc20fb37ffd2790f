"""Recovery: a fifth of the meetings is not announced, and the host is killed.

The whole local stack runs. Four fifths of the call records are announced three times, shuffled; the host is killed
again and again while it works. Then the function `sweep` runs, and all that lies in storage is compared with what
Graph has. A second sweep shows what it costs when nothing is missing. Exits with 1 when anything is lost, doubled
or wrong.
"""

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from random import Random

import requests
from azure.core.exceptions import ResourceNotFoundError

from local.simulator.control.client import Control
from local.stack import compose
from local.stack.compose import Stack
from local.stack.program import Log
from shared.settings import EVENT_HUBS, WEBHOOK
from shared.storage.clients import SIGNALS_QUEUE, UPKEEP_QUEUE
from tests.storm import findings
from tests.storm.announcements import Announcer
from tests.storm.ended_meetings import KINDS, Call, Kind, end_meetings
from tests.storm.erased import Person
from tests.storm.findings import Outcomes
from tests.storm.recovery_result import Result, operations, shown

WINDOW = timedelta(seconds=20)  # longer than anything is late here
NEVER = "0 0 0 29 2 *"  # the run itself says when a timer's function runs
SETTINGS = {
    "RETRY_FIRST_DELAY": "1",
    "RETRY_WINDOW": str(int(WINDOW.total_seconds())),
    "CONFIRM_AFTER": "15",
    "LOCAL_LEASE_SECONDS": "4",
    "AzureFunctionsJobHost__extensions__queues__visibilityTimeout": "00:00:08",
    "MAINTAIN_SCHEDULE": NEVER,
    "SWEEP_SCHEDULE": NEVER,
}
UNANNOUNCED = 0.2
SECONDS_WITHOUT_PROGRESS = 300.0
SECONDS_INVISIBLE = 12.0  # a message that failed, and a little more
SECONDS_BETWEEN_LOOKS = 1.0
LOOKS_SHARE = 3
LONGEST_REST = 15.0
SECONDS_TO_BEGIN = 30.0
TIMER_RUNS = 5
QUEUES = SIGNALS_QUEUE, UPKEEP_QUEUE
LOOKS = "sweep/recent.json", "sweep/full.json"

type Happening = Callable[[], None]


class Recovery:
    """One run on a stack of its own, whose simulated Graph is empty."""

    seconds_per_meeting = 0.05  # over which the announcements are spread
    kinds: Sequence[Kind] = KINDS

    def __init__(
        self,
        running: Stack,
        kills: int,
        seed: int,
        *,
        unannounced: float = UNANNOUNCED,
        window: timedelta = WINDOW,
    ) -> None:
        """Prepare a run."""
        self._unannounced, self._window = unannounced, window
        self._running = running
        self._control = Control(running.graph)
        self._container = running.blob_service().get_container_client(running.container)
        self._state = running.state_service().get_container_client(f"{running.container}-state")
        self._queues = running.queue_service()
        self._source = Random(seed)
        self._seed = seed
        self._kills = kills
        self._killed = 0
        self._announcer = Announcer(running)
        self._calls: list[Call] = []
        self._due: list[tuple[float, Happening]] = []
        self._restarting = threading.RLock()  # a host that is being started with other settings is not killed
        self._began = time.monotonic()

    def run(self, meetings: int) -> Result:
        """Do everything.

        Raises TimeoutError, requests or azure.core errors when the stack itself does not answer.
        """
        self._calls = end_meetings(self._control, meetings, self._unannounced, self._seed, self.kinds)
        # Moments of progress rather than of time, one in each stretch, so that they fall into the work on any machine.
        stretch = meetings / max(1, self._kills)
        self._due = [
            ((number + self._source.random()) * stretch, self._kill) for number in range(self._kills)
        ]
        self._due += [(share * meetings, happening) for share, happening in self._happenings()]
        self._due.sort(key=lambda each: each[0])
        self._announce([call for call in self._calls if call.announced], meetings * self.seconds_per_meeting)
        missing = findings.wanted(self._calls).keys() - findings.reports(self._container).keys()
        self.sweep("first sweep")
        self._settled("swept", self._signals)
        self._before_end()
        found = findings.compare(self._container, self._calls, self._control.true_reports(), self._erased)
        total = operations(self._control.calls())
        self._control.clear_calls()
        self.sweep("second sweep")
        self._settled("after it", [], quiet=SECONDS_INVISIBLE)
        past_days, manifest_problems = findings.manifest_problems(self._container, self._window)
        return Result(
            seconds=time.monotonic() - self._began,
            meetings=len(self._calls),
            unannounced=sum(not call.announced for call in self._calls),
            posts_repeated=self._announcer.repeated,
            kills=self._killed,
            missing_before_sweep=len(missing),
            found=found,
            calls=total,
            second_sweep=operations(self._control.calls()),
            past_days=past_days,
            manifest_problems=manifest_problems,
            poison=sum(self._waiting(f"{queue}-poison") for queue in QUEUES),
        )

    @property
    def by_hub(self) -> int:
        """How many events went through the hub."""
        return self._announcer.by_hub

    def _happenings(self) -> Iterable[tuple[float, Happening]]:
        """What else happens, each at a share of the progress."""
        return ()

    def _before_end(self) -> None:
        """What comes after the first sweep."""

    @property
    def _erased(self) -> Collection[Person]:
        """The persons who were erased."""
        return ()

    @property
    def _signals(self) -> list[str]:
        return [call.signal_id for call in self._calls]

    def _announce(self, calls: Sequence[Call], seconds: float) -> None:
        """Announce these calls, and wait until those are settled of which the app was told."""
        with ThreadPoolExecutor(1) as apart:
            posts = apart.submit(
                self._announcer.announce, [call.call_id for call in calls], seconds, self._source
            )
            self._until("announcing", lambda _: posts.done())
            posts.result()
        told = self._announcer.told
        self._settled("announced", [call.signal_id for call in calls if call.call_id in told])

    def pass_days(self) -> int:
        """As if the days had passed until each outcome is looked at again. How many are."""
        filed = findings.outcomes(self._container).values()
        return findings.make_due(self._container, self._state, [each for found in filed for each in found])

    def _settled(self, stage: str, signals: Iterable[str], quiet: float = 0.0) -> None:
        """Wait until nothing is under way for these signals, nor in the queues for so many seconds.

        Signals whose message the queue has lost are left to the sweep of two hours later.
        """
        wanted, busy = set(signals), time.monotonic()

        def over(outcomes: Outcomes) -> bool:
            nonlocal busy
            if any(self._waiting(queue) for queue in QUEUES) or self._announcer.unread:
                busy = time.monotonic()
                return False
            closed = {each for each, filed in outcomes.items() if not all(one.is_open for one in filed)}
            return time.monotonic() - busy >= (quiet if wanted <= closed else max(quiet, SECONDS_INVISIBLE))

        self._until(stage, over)

    def sweep(self, stage: str) -> None:
        """Run the function now, and wait until its looks are over."""
        # As if a day had passed: without it a second sweep would look at the last hours alone.
        for name in LOOKS:
            with suppress(ResourceNotFoundError):
                self._state.delete_blob(name)
        # No kill before both have begun: a timer's run that fails comes again in an hour, for which nobody waits here.
        for _ in range(TIMER_RUNS):
            self._run_timer()
            if all(self._look(name) for name in LOOKS):
                break
        else:
            raise TimeoutError("the sweep did not begin its looks")

        def over(_: Outcomes) -> bool:
            return all(self._look(name).get("finished") for name in LOOKS) and not self._waiting("upkeep")

        self._until(stage, over)

    def _run_timer(self) -> None:
        """Run the timer's function, and wait until its scans begin."""
        url = f"{self._running.functions.url}/admin/functions/sweep"
        requests.post(url, json={"input": ""}, timeout=10).raise_for_status()
        deadline = time.monotonic() + SECONDS_TO_BEGIN
        while not all(self._look(name) for name in LOOKS) and time.monotonic() < deadline:
            time.sleep(SECONDS_BETWEEN_LOOKS / 5)

    def _look(self, name: str) -> dict[str, str]:
        try:
            found: dict[str, str] = json.loads(self._state.download_blob(name).readall())
        except ResourceNotFoundError:
            return {}
        return found

    def _until(self, stage: str, over: Callable[[Outcomes], bool]) -> None:
        """Poll, killing the host on time, until the end or no progress."""
        before, since, told = None, time.monotonic(), 0.0
        while True:
            looked = time.monotonic()
            outcomes = findings.outcomes(self._container)
            while self._due and len(outcomes) >= self._due[0][0]:
                self._due.pop(0)[1]()
            seen = {each for filed in outcomes.values() for each in filed}
            moved = (seen, *(self._look(name) for name in LOOKS))
            now = time.monotonic()
            if moved != before:
                before, since = moved, now
            if over(outcomes):
                self._tell(f"{stage}: over, with {len(outcomes)} outcomes")
                return
            if now - since > SECONDS_WITHOUT_PROGRESS:
                self._tell(f"{stage}: given up, nothing has moved for {now - since:.0f} s")
                return
            if now - told > 5:
                told = now
                under_way = sum(each.is_open for each in seen)
                self._tell(f"{stage}: {len(outcomes)} outcomes, {under_way} open, {self._killed} kills")
            # A listing of thousands of blobs costs Azurite much: most of its time is left to the app.
            rest = LOOKS_SHARE * (time.monotonic() - looked)
            time.sleep(min(max(SECONDS_BETWEEN_LOOKS, rest), LONGEST_REST))

    def _kill(self) -> None:
        with self._restarting:
            self._running.kill_functions()
            self._running.await_functions()
            self._killed += 1

    def _waiting(self, queue: str) -> int:
        """The messages in a queue that keep it from being done.

        Of `upkeep` only the visible ones count, because the cleaning of tables waits there for a day.
        """
        client = self._queues.get_queue_client(queue)
        if queue == UPKEEP_QUEUE:
            return len(client.peek_messages(1))
        far = self._far if queue == SIGNALS_QUEUE else 0
        return (client.get_queue_properties().approximate_message_count or 0) - far

    @property
    def _far(self) -> int:
        """How many messages of signals are hidden for longer than the run."""
        return 0

    def _tell(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:5.0f} s  {text}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.storm.recovery", description=__doc__)
    parser.add_argument("--meetings", type=int, default=1_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--delivery", choices=(WEBHOOK, EVENT_HUBS), default=WEBHOOK)
    parser.add_argument("--json", action="store_true", help="the result as JSON instead of a table")
    parser.add_argument("--log", default=os.devnull, metavar="FILE", help="where the stack is heard")
    options = parser.parse_args()
    descriptor = os.open(options.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    settings = SETTINGS | {"DELIVERY": options.delivery}
    with compose.up(settings=settings, seed=options.seed, log=Log(descriptor)) as running:
        result = Recovery(running, options.kills, options.seed).run(options.meetings)
    print(json.dumps(asdict(result), indent=2) if options.json else shown(result))
    for problem in result.problems:
        print(problem, file=sys.stderr)
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main())
