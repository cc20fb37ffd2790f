"""The goals that the pages of docs/measured state, missed ones first.

A goal is a row of a table with the column `Goal`: `≤ 75 MB`, `< 250 ms`, `≥ 0.9 x`, or a number alone that must be met.
All figures of the row are held against it; where it has several, each against its own. An indented row is a part of the
one above.
"""

import argparse
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.measured import Page

FOLDER = Path(__file__).parents[1] / "docs" / "measured"
NAME = "goals"
HOLDS: dict[str, Callable[[float, float], bool]] = {
    "≤": operator.le,
    "≥": operator.ge,
    "<": operator.lt,
    "": operator.eq,
}
NUMBER = r"\d[\d,]*(?:\.\d+)?"
LIMIT = re.compile(rf"([≤≥<]?) ?({NUMBER})")


@dataclass(frozen=True)
class Goal:
    """A row of a page: what, where, its figures as written, and their limit."""

    what: str
    page: str
    measured: str
    limit: str

    @property
    def is_met(self) -> bool:
        """Whether every figure is within the limit.

        Raises:
            ValueError: the numbers of figures and limits do not fit each other.
        """
        figures = [_number(each) for each in re.findall(NUMBER, self.measured)]
        limits = [(HOLDS[sign], _number(number)) for sign, number in LIMIT.findall(self.limit)]
        if not figures or len(limits) not in (1, len(figures)):
            raise ValueError(
                f"{self.page}: {self.what}: {self.measured!r} cannot be held against {self.limit!r}"
            )
        limits *= len(figures) // len(limits)
        return all(holds(figure, most) for figure, (holds, most) in zip(figures, limits, strict=True))


def read_goals(folder: Path) -> list[Goal]:
    """The goals of all pages in a folder, missed ones first."""
    pages = sorted(each for each in folder.glob("*.md") if each.stem != NAME)
    found = [goal for page in pages for goal in _goals_of(page)]
    return sorted(found, key=lambda goal: goal.is_met)


def _goals_of(page: Path) -> Iterator[Goal]:
    has_goals, parent = False, ""
    for line in page.read_text().splitlines():
        if not line.startswith("| "):
            has_goals = False
            continue
        what, *figures, limit = line.removeprefix("| ").removesuffix(" |").split(" | ")
        is_part = what.startswith(" ")
        parent = parent if is_part else what
        if limit == "Goal":
            has_goals = True
        elif has_goals and limit.strip(" -"):
            name = f"{parent}: {what.strip()}" if is_part else what
            yield Goal(name, page.name, ", ".join(filter(None, figures)), limit)


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def page(goals: list[Goal]) -> Page:
    """The list, as docs/measured/ has it."""
    made = Page("Goals", "`.venv/bin/python -m benchmarks.goals`, from the pages beside it.")
    for heading, is_met in (("Missed", False), ("Met", True)):
        rows = [
            (each.what, each.measured, each.limit, f"[{each.page.removesuffix('.md')}]({each.page})")
            for each in goals
            if each.is_met is is_met
        ]
        made.text(f"## {heading}")
        if rows:
            made.table(("What", "Measured", "Goal", "Page"), rows)
        else:
            made.text("None.")
    return made


def main() -> None:
    argparse.ArgumentParser(prog="python -m benchmarks.goals", description=__doc__).parse_args()
    print(page(read_goals(FOLDER)).written(FOLDER, NAME))


if __name__ == "__main__":
    main()
