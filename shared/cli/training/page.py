"""Page of a training for printing and filing.

HTML without a script, which loads nothing. On paper, the head of a table is on each sheet, no row is cut, and
colours are those of light mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element

from ...health import html
from ...health.html import element
from ..draw.document import render_document
from ..draw.timeline import sanitize
from . import results, sentences
from .attendance import AttendanceResult, Attended, Occasion
from .matching import Participation, Unrecognized
from .results import Account

MOST_UPRIGHT = 5  # dates; more need paper across
_SHEET = """
body { max-width: 84rem; } thead th { white-space: nowrap; }
h1 { margin-bottom: 0; } h2 { margin: 2rem 0 .5rem; } h3 { margin: 1.5rem 0 .25rem; } p { margin: .25rem 0; }
tbody tr { border-left: .3rem solid transparent; } th:first-child { padding-left: .5rem; }
.absent { border-left-color: #c33; } .short { border-left-color: #d80; } .attended { border-left-color: #294; }
tr.absent .result, tr.short .result { font-weight: 600; }
tbody th { overflow-wrap: break-word; min-width: 8em; } .address { overflow-wrap: anywhere; min-width: 13em; }
.result, .possible { min-width: 7em; }
.number, .time { white-space: nowrap; } .time { font-variant-numeric: tabular-nums; padding-left: .5rem; }
.scroll { overflow-x: auto; } .scroll:focus-visible { outline: 2px solid; }
@page { margin: 15mm; }
@media print {
  :root { color-scheme: light; } body { max-width: none; padding: 0; font-size: 9pt; line-height: 1.3; }
  thead { display: table-header-group; } tr, h2, h3 { break-inside: avoid; } h2, h3 { break-after: avoid; }
  .scroll { overflow: visible; } .date { break-before: page; } .date:first-of-type { break-before: auto; }
  th, td { padding: .1rem .4rem .1rem 0; } .address { min-width: 9em; }
  .result, .possible { min-width: 5.5em; } tbody th { min-width: 6em; }
}
"""
_ACROSS = "@page { size: landscape; }\n"
_CLASSES = {
    AttendanceResult.ABSENT: "absent",
    AttendanceResult.NOT_ENOUGH: "short",
    AttendanceResult.UNKNOWN: "short",
    AttendanceResult.ATTENDED: "attended",
}
_CELLS = {"Address": "address", "Result": "result", "Possibly": "possible", "Joined": "time", "Left": "time"}
_NUMBERS = frozenset({"Minutes", "Share", "Late (min)", "Early (min)", "Dates"})


def render_page(account: Account) -> str:
    """Render the page."""
    occasions = account.occasions
    return render_document(
        f"Attendance, {account.title}",
        _SHEET + (_ACROSS if len(occasions) > MOST_UPRIGHT else ""),
        element("h1", "Attendance"),
        element("p", account.title),
        *[element("p", each) for each in sentences.describe_rules(account)],
        *([_total(account)] if len(occasions) > 1 else []),
        *[_date(account, each) for each in occasions],
        *_notes(account),
    )


def _notes(account: Account) -> list[Element]:
    if not account.notes:
        return []
    items = [element("li", each) for each in account.notes]
    return [html.section("Notes", element("ul", *items))]


def _total(account: Account) -> Element:
    training = account.training
    parts = [_total_table(account, training.people, "All dates")]
    if training.others:
        parts += [
            element("h3", "Not expected"),
            _total_table(account, training.others, "All dates: not expected"),
        ]
    return html.section("All dates", *parts)


def _total_table(account: Account, people: Sequence[Participation], label: str) -> Element:
    rows = [(_person_cells(account, each) | results.total_cells(account, each), "") for each in people]
    return _table(rows, label)


def _date(account: Account, occasion: Occasion) -> Element:
    """Return the section of a date.

    Those who were expected, others, and those who were not recognized.
    """
    training, day = account.training, occasion.day
    section = html.section(
        f"{day:%A}, {day}",
        element("p", sentences.describe_occasion(account, occasion)),
        element("p", sentences.describe_counts(account, occasion)),
        _date_table(account, results.people_of(training.people, day), str(day)),
    )
    section.set("class", "date")
    others = results.people_of(training.others, day)
    nobody = [(each, each.attended) for each in training.unrecognized if each.day == day]
    for heading, people in (("Not expected", others), ("Not recognized", nobody)):
        if people:
            section.append(element("h3", heading))
            section.append(_date_table(account, people, f"{day}: {heading.lower()}"))
    return section


def _date_table(
    account: Account, people: Iterable[tuple[Participation | Unrecognized, Attended]], label: str
) -> Element:
    rows = [
        (_person_cells(account, each) | results.date_cells(account, attended), _CLASSES[attended.verdict])
        for each, attended in people
    ]
    if len(account.occasions) > 1:  # the table of all dates has it
        rows = [(cells | {"Possibly": ""}, style) for cells, style in rows]
    return _table(rows, label)


def _person_cells(account: Account, person: Participation | Unrecognized) -> dict[str, str]:
    """Return the cells about a person; the roster's columns have its headings."""
    if isinstance(person, Unrecognized):
        return {"Who": results.who(person), "Kind": sanitize(person.kind)}
    address = sanitize(person.address or "", 120)
    return {
        "Who": results.who(person),
        "Address": "" if address == results.who(person) else address,
        **{sanitize(name): sanitize(person.more.get(name, ""), 120) for name in account.more},
        "Possibly": sanitize("; ".join(person.possible), 400),
    }


def _table(rows: Sequence[tuple[dict[str, str], str]], label: str) -> Element:
    """Return a table of the columns that are not empty; each row has a class, or none."""
    names = list(dict.fromkeys(name for cells, _ in rows for name in cells))
    shown = [name for name in names if any(cells.get(name) for cells, _ in rows)]
    if not rows:
        return element("p", "Nobody.")
    if "Possibly" in shown:  # last, because it is long
        shown = [*(name for name in shown if name != "Possibly"), "Possibly"]
    numbers = [column for column, name in enumerate(shown) if name in _NUMBERS]
    table = html.table(shown, [[cells.get(name, "") for name in shown] for cells, _ in rows], numbers)
    for line, (_, style) in zip(table.iterfind("tbody/tr"), rows, strict=True):
        for name in _CELLS.keys() & set(shown):
            line[shown.index(name)].set("class", _CELLS[name])
        if style:
            line.set("class", style)
    return element("div", table, class_="scroll", role="region", tabindex="0", aria_label=label)
