"""A million hostile bodies at each door of the core, and twenty thousand over HTTP.

The doors are the webhook, the event hub, and the app's queues. Fewer bodies go to what reads the answers of Graph. What
reaches a branch that nothing reached before is mutated further. Exits with 1 when anything was not handled, was
enqueued that should not be, or was answered otherwise than the contract says.
"""

import argparse
import json
import logging
import os
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

from tests.fuzz import guided, over_http
from tests.fuzz.branches import Branches
from tests.fuzz.guided import Guided
from tests.fuzz.mutations import mutated
from tests.fuzz.targets import CORE, Target, Wrong, all_targets
from tests.support.measured import Page, machine, resident

EVENTS = Path(__file__).resolve().parents[1] / "events"
MILLION = 1_000_000
MOST_TOLD = 20
EXHAUSTIVE = "a `match` over every kind that there is has no other way"
NO_OTHER = {
    "signals._subject": EXHAUSTIVE,
    **dict.fromkeys(
        ("missing.listed", "webhook.RefusalCounter.add"), "the other way is an error that nothing raises"
    ),
    "reports._record_pages": "the end of a loop that the interpreter does not report",
}
MOST_KNOWN = 400  # documents of a target that reached something new
TRACED = 100  # of so many bodies, what one takes in memory is measured


@dataclass
class Core:
    """What a million bodies at the core came to."""

    bodies: int = 0
    seconds: float = 0.0
    branches: int = 0
    taken: int = 0
    untaken: list[str] = field(default_factory=list)
    by_target: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    resident: list[float] = field(default_factory=list)  # MiB, after a tenth, half and all of the bodies
    most_taken: float = 0.0  # MiB that the core allocated at most for one body
    curve: list[tuple[int, int]] = field(default_factory=list)


def at_core(each_door: int, each_reader: int, seed: int) -> Core:
    """Feed so many bodies to each door, and so many to each of the others, in turn."""
    source, targets, core, told = Random(seed), all_targets(EVENTS), Core(), Counter[str]()
    turns = [each for each in targets for _ in range(each_door if each.is_door else each_reader)]
    source.shuffle(turns)
    count = len(turns)
    milestones = (count // 10, count // 2, count - 1)
    began = time.monotonic()
    with Branches(CORE) as branches:
        for target in targets:
            for seed_document in target.seeds:
                _fed(target, seed_document.encode(), source, core, told)
        for number, target in enumerate(turns):
            branches.new = False
            body = mutated(source, target.seeds, target.known)
            with _traced(core) if number % TRACED == 0 else nullcontext():
                _fed(target, body, source, core, told)
            if branches.new and len(target.known) < MOST_KNOWN:
                _remember(target, body)
            if branches.new or number in (0, count - 1):
                core.curve.append((number + 1, branches.reached))
            if number in milestones:
                core.resident.append(resident(os.getpid()))
    core.bodies, core.seconds = count, time.monotonic() - began
    core.branches, core.taken, core.untaken = branches.total, branches.reached, branches.untaken()
    return core


def _fed(target: Target, body: bytes, source: Random, core: Core, told: Counter[str]) -> None:
    core.by_target[target.name] = core.by_target.get(target.name, 0) + 1
    try:
        target.feed(body, source)
    except Wrong as wrong:
        problem = f"{target.name}: {wrong}"
    except Exception as failure:  # noqa: BLE001 - whatever the core lets through is what is looked for
        problem = f"{target.name}: {type(failure).__name__} is not handled: {failure!s:.120}"
    else:
        return
    told[problem[:60]] += 1
    if told[problem[:60]] == 1 and len(core.problems) < MOST_TOLD:
        core.problems.append(f"{problem}, by {body[:300]!r}")


def _remember(target: Target, body: bytes) -> None:
    try:
        target.known.append(json.dumps(json.loads(body)))
    except (ValueError, RecursionError):
        return


@contextmanager
def _traced(core: Core) -> Iterator[None]:
    tracemalloc.start()
    yield
    core.most_taken = max(core.most_taken, tracemalloc.get_traced_memory()[1] / 2**20)
    tracemalloc.stop()


def page(core: Core, followed: Guided | None, http: over_http.Result | None, seed: int) -> Page:
    """The page of a run."""
    made = Page("Hostile bodies", f"`make fuzz`, seed {seed}. {machine()}")
    made.text("## At the core")
    made.table(
        ("What", "Count", "Goal"),
        [
            ("bodies", f"{core.bodies:,}"),
            ("bodies a second", f"{core.bodies / core.seconds:,.0f}"),
            ("not handled, or wrong", f"{len(core.problems)}", "0"),
            ("branches of the core", f"{core.branches:,}"),
            ("branches that were taken", f"{core.taken:,}"),
            (
                "memory of the process after a tenth, half, all",
                ", ".join(f"{each:.0f} MiB" for each in core.resident),
            ),
            (f"memory for one body at most, of every {TRACED}th", f"{core.most_taken:.1f} MiB"),
        ],
    )
    doors = {each.name for each in all_targets(EVENTS) if each.is_door}
    made.table(
        ("Door", "Bodies", "Goal"),
        [(name, f"{count:,}", f"≥ {MILLION:,}") for name, count in core.by_target.items() if name in doors],
    )
    made.table(
        ("Reader", "Bodies"),
        [(name, f"{count:,}") for name, count in core.by_target.items() if name not in doors],
    )
    if core.untaken:
        made.text("Forks that went one way only, and why:")
        reasons = [
            (each, NO_OTHER.get(each.partition(",")[0], "not reached by this run")) for each in core.untaken
        ]
        made.text("\n".join(f"- `{each}`: {why}" for each, why in reasons))
    if followed:
        made.text("## Guided by coverage")
        made.text("The same targets under atheris; half of its mutations are the grammar's.")
        made.table(
            ("What", "Count", "Goal"),
            [
                ("bodies", f"{followed.bodies:,}"),
                ("not handled, or wrong", f"{len(followed.problems)}", "0"),
                ("edges covered", f"{followed.edges:,}"),
                ("bodies that covered something new", f"{followed.kept:,}"),
            ],
        )
    if http:
        made.text("## Over HTTP")
        made.table(
            ("What", "Count", "Goal"),
            [
                ("requests", f"{http.requests:,}"),
                ("replies outside of the contract", f"{len(http.problems)}", "0"),
                ("signals that should not be on the queue, or are missing", f"{len(http.strays)}", "0"),
                (
                    "memory of the functions host, before and after",
                    f"{http.before:.0f} MiB, {http.after:.0f} MiB",
                ),
                *((f"replies {status}", f"{count:,}") for status, count in sorted(http.statuses.items())),
            ],
        )
    from tests.support.measured import new_figure

    figure = new_figure(height=3)
    axes = figure.subplots()
    axes.plot(*zip(*core.curve, strict=True), color="#0072B2", drawstyle="steps-post", label="taken")
    axes.axhline(core.branches, color="#737373", linestyle=":", label="all that there are")
    axes.set(xlabel="bodies", ylabel="branches", xscale="log", ylim=(None, core.branches * 1.02))
    axes.legend(loc="lower right")
    made.plot("fuzz-branches", "Branches taken, of all that there are", figure)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.fuzz", description=__doc__)
    parser.add_argument("--bodies", type=int, default=MILLION, help="at each door")
    parser.add_argument("--answers", type=int, default=100_000, help="at each reader of Graph's answers")
    parser.add_argument("--guided", type=int, default=500_000, help="under atheris, where it is installed")
    parser.add_argument("--requests", type=int, default=20_000, help="over HTTP; 0 for none")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="the result as JSON instead of a page")
    parser.add_argument("--page", type=Path, metavar="FOLDER", help="write the page and its plot here")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    core = at_core(options.bodies, options.answers, options.seed)
    followed = guided.run(options.guided, options.seed) if guided.is_there() and options.guided else None
    http = over_http.run(options.requests, options.seed) if options.requests else None
    if options.json:
        found = {
            "core": asdict(core),
            "guided": followed and asdict(followed),
            "http": http and asdict(http),
        }
        print(json.dumps(found, indent=2))
    else:
        print(page(core, followed, http, options.seed).written(options.page, "fuzz"))
    problems = [
        *core.problems,
        *(followed.problems if followed else []),
        *(http.problems + http.strays if http else []),
    ]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    os.environ.setdefault("NO_COLOR", "1")
    sys.exit(main())
