"""All benchmarks with a ratio or a goal, on one page.

Each is measured beside what it is compared with, in the same minutes on the same machine.
"""

import argparse
import sys
from pathlib import Path

from benchmarks import acknowledge, archiving, crowd, flood, imports, size, tables
from tests.support.measured import Page, machine

COLUMNS = "What", "Measured", "Goal"


def page(*, small: bool) -> Page:
    """Measure everything; `small` in a minute, for a look at whether it works."""
    made = Page("Benchmarks", f"`make bench`. {machine()}")
    _begin(made, "Archiving")
    cost = archiving.run(6 if small else 200)
    made.table(COLUMNS, archiving.lines(cost))
    made.bars("benchmarks-cpu", "CPU milliseconds of a report", archiving.cpu(cost))
    _begin(made, "Acknowledging")
    replies = acknowledge.run(10, 64) if small else acknowledge.run(300, 10_000)
    made.table(COLUMNS, acknowledge.lines(replies))
    made.plot("benchmarks-replies", "How long a reply takes", acknowledge.figure(replies))
    _begin(made, "Flooded by strangers")
    made.text(
        f"The longest handshake, the longest notification; {flood.RATE:g} bodies a second come besides."
    )
    made.table(COLUMNS, flood.lines(flood.run(seconds=0.5) if small else flood.run()))
    _begin(made, "Memory")
    peaks = crowd.run(2, 200, 20) if small else crowd.run()
    made.table(COLUMNS, crowd.lines(peaks))
    made.bars("benchmarks-memory", "Peak memory in MiB", crowd.peaks(peaks))
    _begin(made, "Tables of a day")
    made.table(COLUMNS, list(tables.lines(300 if small else 100_000)))
    _begin(made, "Import")
    made.table(COLUMNS, imports.lines(imports.run(1 if small else imports.RUNS)))
    if not small:
        _begin(made, "Size")
        made.table(COLUMNS, size.lines(size.run()))
    return made


def _begin(made: Page, heading: str) -> None:
    print(f"{heading}...", file=sys.stderr)
    made.text(f"## {heading}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=__doc__)
    parser.add_argument("--small", action="store_true", help="in a minute; the figures then say little")
    parser.add_argument("--page", type=Path, metavar="FOLDER", help="write the page here")
    options = parser.parse_args()
    print(page(small=options.small).written(options.page, "benchmarks"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
