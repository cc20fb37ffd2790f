"""Ten thousand meetings while Graph, storage and the Functions host fail.

As `tests.storm.recovery`, whose parts it uses. Call records are announced three times and shuffled, by webhook and
event hub in turn; a tenth never. All the while Graph answers with faults and by a wrong clock, a proxy before storage
loses requests, replies and messages, and the host is killed, also at chosen steps. In the middle a redrive and an
erasure run, Graph drops the subscription, storage is dark, and the way of delivery changes. When the first sweep is
through and days are sealed, more meetings come to light, reports move to another day, a second person is erased,
foreign messages lie on the queues, and old notifications come again. Then the weather clears and days pass: what the
app looks at again by itself, it looks at now. At last all that lies in storage is compared with what Graph has. Exits
with 1 when anything is lost, doubled, wrong or worse than before.
"""

import argparse
import base64
import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random

import requests
from azure.core.exceptions import AzureError

from local.simulator.control.client import Control
from local.stack import compose
from local.stack.compose import Stack
from local.stack.program import Log
from shared.errors import AttendanceError
from shared.settings import EVENT_HUBS, WEBHOOK
from tests.storm import (
    broken,
    ended_meetings,
    erased,
    faulty_graph,
    faulty_storage,
    findings,
    recovery,
    tables,
)
from tests.storm.ended_meetings import CHANGING, KINDS, end_late
from tests.storm.erased import Person
from tests.storm.faulty_storage import Chances
from tests.storm.recovery import QUEUES, Happening, Recovery
from tests.storm.recovery_result import Result
from tests.storm.steps import Strikes
from tests.support.measured import Page, machine

WINDOW = timedelta(seconds=90)  # longer than faults in a row last
UNANNOUNCED = 0.1
SHARE = 0.01  # of the requests to storage that fail
AT_STEPS = 0.6  # of the kills
SHOWN_LATE = 0.02  # of the meetings
REPLAYED = 0.2
DARK_SECONDS, LEAST_DARK = 300.0, 4.0  # of ten thousand meetings; in proportion of fewer
WHOLE = 10_000
ERASED = 2
REDRIVEN = 20  # signals, beside those of reports that moved; a task names 200 at most
SECONDS_OF_REFRESH = 20.0  # for a day, while the storm goes on
SECONDS_OF_SILENCE = 3.0  # until the next maintenance
ERASURE_RUNS = 3
SECONDS_TO_SUBSCRIBE = 180.0
SECONDS_TO_SEAL = 60.0  # at least, and more for many meetings
SECONDS_PER_ROW = 0.03  # of a table of meetings
HOURS = 4  # sweeps until every day has its tables
ALL_OUTCOMES = ["stored", "noReport", "notFound", "failed", "notAMeeting"]
FOREIGN = (  # messages that no version of the app has sent
    '{"version":99,"kind":"news","signalId":"cr-x"}',
    '{"version":2,"kind":"telegram"}',
    "no JSON at all",
)
POISONED = '{"version":99,"kind":"nudge","signalId":"cr-y","attempt":1}'


@dataclass(frozen=True)
class Storm:
    """A run: what recovery found, and what happened meanwhile."""

    result: Result
    graph_faults: Mapping[str, int]
    storage_faults: Mapping[str, int]
    looked_at_again: int
    strikes: Mapping[str, int] = field(default_factory=dict)
    happened: Mapping[str, str] = field(default_factory=dict)
    rows: int = 0
    found: list[str] = field(default_factory=list)
    lags: findings.Lags | None = None

    @property
    def problems(self) -> list[str]:
        """Everything that must not be."""
        return [*self.result.problems, *(f"{each}." for each in self.found)]


def settings(window: timedelta = WINDOW) -> dict[str, str]:
    """The app settings of a stack for a storm."""
    return recovery.SETTINGS | {
        "RETRY_WINDOW": str(int(window.total_seconds())),
        "DELIVERY": f"{WEBHOOK},{EVENT_HUBS}",
        "LOCAL_RETRY_SCALE": "20",
    }


class StormRun(Recovery):
    """A recovery with all that happens in a storm."""

    seconds_per_meeting = 0.2  # as slowly as the app works then
    kinds = (*KINDS, *CHANGING)

    def __init__(
        self,
        running: Stack,
        kills: int,
        seed: int,
        *,
        window: timedelta,
        meetings: int,
        chances: Chances,
        addresses: Mapping[str, str],
        clear: Callable[[], None],
    ) -> None:
        super().__init__(running, kills, seed, unannounced=UNANNOUNCED, window=window)
        self._meetings, self._chances, self._addresses, self._clear = meetings, chances, addresses, clear
        self._gone: list[Person] = []
        self._persons: list[Person] = []
        self._erasing: threading.Thread | None = None
        self._unfinished: list[Person] = []
        self.happened: dict[str, str] = {}
        self.looked_at_again = 0
        self.rows = 0
        self.found: list[str] = []
        self.lags: findings.Lags | None = None

    def _happenings(self) -> Iterable[tuple[float, Happening]]:
        """What happens in the middle."""
        self._chances.losable = {call.signal_id for call in self._calls if call.is_fresh}
        self._persons = erased.choose(self._control.true_reports(), ERASED)
        self._subscribe()
        if self._chances.strikes:
            self._chances.strikes.is_held = False
        return (
            (0.05, self._lose_channel),
            (0.3, self._redrive_all),
            (0.45, self._darken),
            (0.55, self._begin_erasure),
            (0.65, self._change_delivery),
            (0.75, self._revise),
        )

    def _before_end(self) -> None:
        """What happens when days are sealed; then all becomes quiet."""
        self._seal()
        late = end_late(self._control, max(2, round(SHOWN_LATE * self._meetings)), self._seed)
        self._calls += late
        self._put_foreign()
        self._redrive_moved()
        self._announce(late, 1.0)
        self._replay()
        self._settled("old news again", self._signals)
        self.lags = findings.lags(self._container, self._calls)  # before an erasure and days that pass
        self._finish_erasure()
        for person in self._persons[1:]:
            self._erase(person, patience=recovery.SECONDS_WITHOUT_PROGRESS)
        if self._chances.strikes:
            self._chances.strikes.is_held = True
        self._clear()
        self.looked_at_again = self.pass_days()
        self.sweep("days later")
        self._settled("looked at again", self._signals)
        self._seal()

    @property
    def _erased(self) -> Collection[Person]:
        """The persons who were erased."""
        return self._gone

    @property
    def _far(self) -> int:
        """How many messages of signals are hidden for longer than the run."""
        return self._chances.far

    def check(self) -> None:
        """Compare the tables with the reports, and look for those who were erased."""
        self.rows, self.found = tables.problems(self._container)
        self.found += [f"The tables of {day} are behind" for day in tables.behind(self._container)]
        self.found += erased.problems((self._container, self._state), self._gone)
        self.found += [f"Worse than before: {each}" for each in self._chances.worsening.found]
        self.found += self._unkept()
        self.found += [f"An erasure was not finished in {ERASURE_RUNS} runs" for _ in self._unfinished]
        if self._chances.strikes:
            self.found += [f"No kill came {each}" for each in self._chances.strikes.missed]

    def _note(self, what: str, told: object) -> None:
        self.happened[what] = str(told)
        self._tell(f"{what}: {told}")

    def _redrive_all(self) -> None:
        """Redrive the outcomes of two days, whatever they are."""
        self._redrive(days=1)
        self._note("redrive of two days", f"with {len(findings.outcomes(self._container)):,} outcomes there")

    def _redrive_moved(self) -> None:
        """Have early reports get their end, which is on another day, and redrive these signals and others."""
        moved = self._change(ended_meetings.MOVES)
        signals = [*moved, *self._source.sample(self._signals, REDRIVEN)]
        self._redrive(days=10, signals=signals)
        self._note("redrive of chosen signals", f"{len(signals):,}, {len(moved):,} of them of moved reports")

    def _redrive(self, days: int, **more: list[str]) -> None:
        last = findings.today()
        window = {"from": str(last - timedelta(days)), "to": str(last)}
        task = {"version": 1, "kind": "redrive", "outcomes": ALL_OUTCOMES, **window, **more}
        self._put("upkeep", json.dumps(task))

    def _put(self, queue: str, text: str) -> None:
        self._queues.get_queue_client(queue).send_message(base64.b64encode(text.encode()).decode())

    def _lose_channel(self) -> None:
        """Have Graph drop the subscription; what is due until the next maintenance is never told."""
        for each in self._control.subscriptions():
            self._control.remove_subscription(each["id"])
        self._announcer.subscription = ""
        _wait_for(lambda: self._announcer.lost > 0, SECONDS_OF_SILENCE)
        self._subscribe()
        self._note(
            "subscription that Graph dropped", f"{self._announcer.lost:,} notifications were never sent"
        )

    def _change_delivery(self) -> None:
        """Move from the webhook to the event hub."""
        former = self._announcer.subscription
        self._restart({"DELIVERY": f"{EVENT_HUBS},{WEBHOOK}"})
        self._subscribe(but=former)
        self._note("move from webhook to event hub", "a new subscription")

    def _restart(self, more: Mapping[str, str]) -> None:
        with self._restarting:
            self._running.restart_functions({**self._addresses, **more})

    def strike(self) -> None:
        """Kill the host at a chosen step; it is started again at once."""
        with self._restarting:
            self._running.kill_functions()

    def _subscribe(self, but: str = "") -> None:
        """Run the maintenance until Graph has a subscription, and announce by that.

        Raises TimeoutError.
        """
        deadline = time.monotonic() + SECONDS_TO_SUBSCRIBE
        while time.monotonic() < deadline:
            with suppress(requests.RequestException):
                url = f"{self._running.functions.url}/admin/functions/maintain_subscriptions"
                requests.post(url, json={"input": ""}, timeout=10)
            for _ in range(20):
                ids = {
                    each["id"] for each in self._control.subscriptions() if "created" in each["changeType"]
                }
                if new := ids - {but}:
                    self._announcer.subscription = min(new)
                    return
                time.sleep(0.5)
        raise TimeoutError("the app does not subscribe")

    def _darken(self) -> None:
        """Keep storage dark for a while."""
        seconds = max(LEAST_DARK, DARK_SECONDS * self._meetings / WHOLE)
        self._chances.is_dark = True
        time.sleep(seconds)
        self._chances.is_dark = False
        self._note("seconds of dark storage", f"{seconds:.0f}")

    def _begin_erasure(self) -> None:
        """Erase the first person while the storm goes on."""
        person = self._persons[0]
        self._gone.append(person)
        self._erasing = threading.Thread(target=self._erase, args=(person, SECONDS_OF_REFRESH), daemon=True)
        self._erasing.start()

    def _finish_erasure(self) -> None:
        """Run the same command again where an erasure could not be finished."""
        if self._erasing:
            self._erasing.join()
        for _ in range(ERASURE_RUNS):
            if self._unfinished:
                self._erase(self._unfinished.pop(), recovery.SECONDS_WITHOUT_PROGRESS)

    def _erase(self, person: Person, patience: float) -> None:
        """Erase a person; `patience` for the app to write a day anew."""
        if person not in self._gone:
            self._gone.append(person)
        number = self._persons.index(person) + 1
        erasure = erased.erasure_of(self._running, person)
        try:
            erasure.begin()
            erasure.run(self._kill, lambda look: _wait_for(look, patience))
        except (AttendanceError, AzureError):
            self._unfinished.append(person)
            self._note(f"erasure of person {number}", "to be finished by the same command")
            return
        told = erasure.summary
        self._note(
            f"erasure of person {number}",
            f"{told.reports:,} reports and {told.outcomes:,} outcomes of {len(told.days)} days in its last run",
        )

    def _revise(self) -> None:
        """Have Graph tell the ends of calls that it kept, and show reports."""
        self._note("call records revised", len(self._change(ended_meetings.END_LATE)))
        self._note("reports that Graph did not show before", len(self._change(ended_meetings.WAITS)))

    def _change(self, kind: str) -> list[str]:
        """Change the sessions of a kind. Return their signals."""
        calls = [call for call in self._calls if call.kind == kind]
        for call in calls:
            self._control.change_session(call.call_id, **ended_meetings.CHANGES[kind])
        return [call.signal_id for call in calls]

    def _seal(self) -> None:
        """Sweep, as every hour, until all days that can be sealed have their tables; 4 times at most."""
        for hour in range(HOURS):
            if hour:
                self.sweep(f"hour {hour}")
            self._settled("sealed", [])
            deadline = time.monotonic() + SECONDS_TO_SEAL + SECONDS_PER_ROW * self._meetings
            while tables.behind(self._container) and time.monotonic() < deadline:
                time.sleep(1)
            if not tables.behind(self._container) and not findings.unsealed(self._container, self._window):
                return

    def _put_foreign(self) -> None:
        """Put messages on the queues that the app cannot know."""
        for text in FOREIGN:
            for queue in QUEUES:
                self._put(queue, text)
        self._put(f"{QUEUES[0]}-poison", POISONED)
        self._note("messages that nobody knows", len(FOREIGN) * len(QUEUES) + 1)

    def _unkept(self) -> list[str]:
        """The foreign messages of which nothing was kept; equal texts are kept once."""
        kept = findings.outcomes(self._container)
        ids = {f"msg-{hashlib.sha256(text.encode()).hexdigest()[:32]}": text for text in (*FOREIGN, POISONED)}
        return [f"The message {text!r} is not kept" for each, text in ids.items() if each not in kept]

    def _replay(self) -> None:
        """Announce calls of before once more, as Graph may days later."""
        told = sorted(self._announcer.told)
        again = self._source.sample(told, round(REPLAYED * len(told)))
        self._announcer.announce(again, 1.0, self._source)
        self._note("calls of which old notifications came again", f"{len(again):,}")


def _wait_for(look: Callable[[], bool | None], seconds: float) -> bool | None:
    """The first true thing that `look` sees; None after so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(1)
    return None


def run(
    running: Stack,
    meetings: int,
    kills: int,
    seed: int,
    often: int = 1,
    window: timedelta = WINDOW,
) -> Storm:
    """Do everything.

    `often`: faults come so many times as often; `window`: the app's RETRY_WINDOW.

    Raises what `Recovery.run` raises.
    """
    at_steps = round(kills * AT_STEPS)
    strikes = Strikes(at_steps, meetings, Random(seed))
    chances = Chances(SHARE * often, seed, strikes)
    control = Control(running.graph)
    with (
        faulty_storage.before(running, chances) as addresses,
        faulty_graph.weather(control, often) as weather,
    ):
        running.restart_functions(addresses)

        def clear() -> None:
            weather.clear()
            chances.share = 0.0

        storm = StormRun(
            running,
            kills - at_steps,
            seed,
            window=window,
            meetings=meetings,
            chances=chances,
            addresses=addresses,
            clear=clear,
        )
        chances.kill = storm.strike
        result = storm.run(meetings)
        storm.check()
    return Storm(
        result,
        dict(weather.counts),
        dict(chances.counts),
        storm.looked_at_again,
        dict(strikes.done),
        storm.happened | {"events of the hub": f"{storm.by_hub:,}"},
        storm.rows,
        storm.found,
        storm.lags,
    )


def page(storm: Storm, seed: int, proof: str = "") -> Page:
    """The page of a run, as docs/measured/ has it; `proof` is its part about faults put into the app."""
    result, found = storm.result, storm.result.found
    made = Page("Storm", f"`make storm`, seed {seed}. {machine()}")
    made.table(
        ("What", "Count", "Goal"),
        [
            ("meetings that ended", f"{result.meetings:,}"),
            ("never announced", f"{result.unannounced:,}"),
            (
                "announced three times, shuffled, by webhook and event hub",
                f"{result.meetings - result.unannounced:,}",
            ),
            ("kills of the functions host", f"{result.kills + sum(storm.strikes.values()):,}"),
            ("of them at chosen steps", f"{sum(storm.strikes.values()):,}"),
            ("faults of Graph", f"{sum(storm.graph_faults.values()):,}"),
            ("faults of storage", f"{sum(storm.storage_faults.values()):,}"),
            ("POSTs that Graph had to repeat", f"{result.posts_repeated:,}"),
            ("reports missing before the sweep", f"{result.missing_before_sweep:,}"),
            ("outcomes looked at again days later", f"{storm.looked_at_again:,}"),
            ("reports stored", f"{found.stored:,}"),
            ("reports lost", f"{len(found.missing):,}", "0"),
            ("reports or outcomes doubled", f"{len(found.doubled):,}", "0"),
            ("reports that are not what Graph has", f"{len(found.wrong):,}", "0"),
            ("outcomes that are not as they must be", f"{len(found.unexpected):,}", "0"),
            ("manifests that are wrong", f"{len(result.manifest_problems):,}", "0"),
            ("messages left in poison queues", f"{result.poison:,}", "0"),
            ("rows of tables, read and compared", f"{storm.rows:,}"),
            (
                "worse than before, unlike the reports in tables, naming the erased, not kept",
                f"{len(storm.found):,}",
                "0",
            ),
            (
                "calls to Graph for a stored report",
                f"{sum(result.calls.values()) / max(1, found.stored):.2f}",
            ),
            ("minutes", f"{result.seconds / 60:.0f}"),
        ],
    )
    if lags := storm.lags:
        made.text("## Until a report was stored")
        made.text(
            "In seconds, all faults and the dark storage included. Calls that had just ended all did so at the "
            "beginning, and their news came over the whole time of announcing."
        )
        spans = (
            ("the news", lags.from_news),
            ("the sweep saw a call that was never announced", lags.from_sight),
            ("the end, of calls that had just ended", lags.from_end),
        )
        made.table(
            ("Since", "Median", "99 of 100", "Last"),
            [(what, *(f"{each:,.1f}" for each in astuple(times))) for what, times in spans],
        )
    made.text("## What happened in the middle")
    made.table(("What", "How much"), list(storm.happened.items()))
    made.text("## Kills at chosen steps")
    made.table(("The host was killed", "Times"), list(storm.strikes.items()))
    made.text("## Faults")
    faults = {f"Graph: {kind}": count for kind, count in storm.graph_faults.items()}
    faults |= {f"storage, {kind}": count for kind, count in storm.storage_faults.items()}
    made.table(("Fault", "Times"), [(kind, f"{count:,}") for kind, count in sorted(faults.items())])
    made.text("## Outcomes by kind of meeting")
    rows = [
        (kind, name, f"{count:,}") for kind, seen in found.outcomes.items() for name, count in seen.items()
    ]
    made.table(("Meeting", "Outcome", "Count"), rows)
    made.bars("storm-faults", "Faults met, by kind", faults)
    if proof:
        made.text(proof)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.storm.storm", description=__doc__)
    parser.add_argument("--meetings", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--often", type=int, default=1, help="faults come so many times as often")
    parser.add_argument("--window", type=int, default=int(WINDOW.total_seconds()), help="RETRY_WINDOW")
    parser.add_argument("--json", action="store_true", help="the result as JSON instead of a page")
    parser.add_argument("--log", default=os.devnull, metavar="FILE", help="where the stack is heard")
    parser.add_argument("--page", type=Path, metavar="FOLDER", help="write the page and its plot here")
    options = parser.parse_args()
    descriptor = os.open(options.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    window = timedelta(seconds=options.window)
    with compose.up(settings=settings(window), seed=options.seed, log=Log(descriptor)) as running:
        storm = run(running, options.meetings, options.kills, options.seed, options.often, window)
    if options.json:
        print(json.dumps(asdict(storm), indent=2))
    else:
        proof = broken.kept_section(options.page / "storm.md") if options.page else ""
        print(page(storm, options.seed, proof).written(options.page, "storm"))
    for problem in storm.problems:
        print(problem, file=sys.stderr)
    return 1 if storm.problems else 0


if __name__ == "__main__":
    sys.exit(main())
