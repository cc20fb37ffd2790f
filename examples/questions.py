"""What the three examples of engines have in common: how they are called, and how they show what they found."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

type Rows = list[tuple[Any, ...]]
MOST = 10  # rows that are shown


def ask(
    arguments: Sequence[str],
    who_attended: Callable[[str, str], Rows],
    per_organizer_and_week: Callable[[str], Rows],
    late_joiners: Callable[[str], Rows],
) -> None:
    """Answer the three questions about the archive in a folder; the first one about its largest report."""
    if len(arguments) != 1:
        sys.exit(f"usage: python {sys.argv[0]} FOLDER")
    folder = arguments[0]
    largest = max(
        Path(folder).glob("reports/date=*/*.json"), key=lambda file: file.stat().st_size, default=None
    )
    if largest is None:
        sys.exit(f"There is no report below {folder}.")
    show("Who attended, and how long", ("record", "name", "seconds"), who_attended(folder, largest.stem))
    show(
        "Attendance per organizer and week",
        ("organizer", "week", "meetings", "participants"),
        per_organizer_and_week(folder),
    )
    show("Joined more than 10 minutes late", ("report", "record", "name", "seconds"), late_joiners(folder))


def table_files(folder: str, table: str) -> list[str]:
    """The files of a table in a copy: those that the manifests name, and no others that lie beside them."""
    files = []
    for file in sorted(Path(folder).glob("manifests/date=*/manifest.json")):
        tables = json.loads(file.read_bytes())["tables"]
        files += [str(Path(folder, each["path"])) for each in tables["files"].get(table, [])]
    if not files:
        sys.exit(f"No manifest below {folder} names files of {table}.")
    return files


def show(title: str, columns: Sequence[str], rows: Rows) -> None:
    """Rows on stdout, with tabs between their columns."""
    print(f"\n{title}\n" + "\t".join(columns))
    for row in rows[:MOST]:
        print("\t".join("" if value is None else str(value) for value in row))
    if len(rows) > MOST:
        print(f"and {len(rows) - MOST:,} more")
