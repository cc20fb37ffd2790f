"""All benchmarks that are a ratio or have a goal, on one page.

Each is measured beside what it is compared with, in the same minutes on the same machine.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import acknowledge, archiving, crowd, imports, size
from benchmarks.measured import Page, machine

ROWS = list[tuple[str, str, str]]


def page(*, small: bool) -> Page:
    """Measure everything; `small` in a minute, for a look at whether it works."""
    parts: dict[str, Callable[[], ROWS]] = {
        "Archiving": lambda: archiving.lines(archiving.run(6 if small else 200)),
        "Acknowledging": lambda: acknowledge.lines(
            acknowledge.run(10, 64) if small else acknowledge.run(300, 10_000)
        ),
        "Memory": lambda: crowd.lines(crowd.run(2, 200, 20) if small else crowd.run()),
        "Import": lambda: imports.lines(imports.run(1 if small else imports.RUNS)),
    }
    if not small:
        parts["Size"] = lambda: size.lines(size.run())
    made = Page("Benchmarks", f"`make bench`. {machine()}")
    for heading, measured in parts.items():
        print(f"{heading}...", file=sys.stderr)
        made.text(f"## {heading}")
        made.table(("What", "Measured", "Goal"), measured())
    return made


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=__doc__)
    parser.add_argument("--small", action="store_true", help="in a minute; the figures then say little")
    parser.add_argument("--page", type=Path, metavar="FOLDER", help="write the page here")
    options = parser.parse_args()
    print(page(small=options.small).written(options.page, "benchmarks"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
