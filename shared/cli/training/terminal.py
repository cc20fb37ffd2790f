"""A training in a terminal.

Rules, dates, a table of the people, and notes. Of several dates, the totals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.text import Text

from .. import output
from . import results, sentences
from .matching import Participation
from .results import Account

WHO = "Who"
_IN_FILES = frozenset({"Late (min)", "Early (min)"})  # and not here: a table should fit 80 columns


def print_account(account: Account) -> None:
    """Print it on stdout."""
    console = output.stdout()
    lines = [account.title, *sentences.describe_rules(account)]
    for each in account.occasions:
        lines.append(f"{each.day}: {sentences.describe_occasion(account, each)}")
        lines.append(f"{each.day}: {sentences.describe_counts(account, each)}")
    for line in lines:
        console.print(Text(output.single_line(line)), soft_wrap=True)
    for heading, rows in _tables(account):
        console.print(Text(f"\n{heading}"))
        names = [name for name in rows[0] if name not in _IN_FILES and any(row[name] for row in rows)]
        output.print_table(rows, names)
    similar = [each for each in account.training.people if each.possible]
    if similar:
        console.print()
    for person in similar:
        may_be = output.single_line("; ".join(person.possible))
        console.print(Text(f"{results.who(person)} is perhaps: {may_be}"), soft_wrap=True)
    if account.notes:
        console.print()
    for note in account.notes:
        console.print(Text(f"Note: {output.single_line(note)}"), soft_wrap=True)


def _tables(account: Account) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Yield the tables that are not empty, each with its heading."""
    training = account.training
    people = "Expected" if training.has_expected else "Attendees"
    unrecognized = [
        {
            WHO: results.who(each),
            "Kind": each.kind,
            "Date": str(each.day) if len(account.occasions) > 1 else "",
            **results.date_cells(account, each.attended),
        }
        for each in training.unrecognized
    ]
    for heading, rows in (
        (people, _rows(account, training.people)),
        ("Not expected", _rows(account, training.others)),
        ("Not recognized", unrecognized),
    ):
        if rows:
            yield heading, rows


def _rows(account: Account, people: Sequence[Participation]) -> list[dict[str, str]]:
    if len(account.occasions) > 1:
        cells = [(each, results.total_cells(account, each)) for each in people]
    else:
        day = account.occasions[0].day
        cells = [
            (each, results.date_cells(account, attended)) for each, attended in results.people_of(people, day)
        ]
    same = Counter(results.who(each) for each in people)
    return [
        {WHO: f"{name} <{each.address}>" if same[name] > 1 and each.address else name, **known}
        for each, known in cells
        for name in [results.who(each)]
    ]
