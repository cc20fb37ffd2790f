"""Tables of an export: their columns and files.

They have the columns of the app's tables (`shared/tables/columns.py`), without nested ones. A file holds one table of
one day, `<table>/date=YYYY-MM-DD/part-00000.<format>`. The date is in the folder's name only, so that no query engine
reads it twice.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import IO, Any

from ...graph.invitees import InviteeList
from ...tables import columns, rows

ROWS_AT_ONCE = 20_000

type Row = Mapping[str, Any]


class ExportTable(StrEnum):
    """One row per meeting, attendee, interval of attendance, engagement or invitee."""

    MEETINGS = "meetings"
    ATTENDEES = "attendees"
    INTERVALS = "intervals"
    ENGAGEMENTS = "engagements"
    INVITEES = "invitees"


class Format(StrEnum):
    """Format of a file, and its extension."""

    CSV = "csv"
    PARQUET = "parquet"


COLUMNS: dict[ExportTable, columns.Columns] = {
    ExportTable.MEETINGS: {**columns.MEETING, "records": columns.LONG},
    ExportTable.ATTENDEES: {**columns.MEETING, **columns.PERSON, **columns.ATTENDANCE},
    ExportTable.INTERVALS: {
        **columns.MEETING,
        **columns.PERSON,
        "interval": columns.LONG,
        **columns.INTERVAL,
    },
    ExportTable.ENGAGEMENTS: {**columns.MEETING, **columns.PERSON, **columns.ENGAGEMENT},
    ExportTable.INVITEES: {**columns.MEETING, **columns.INVITEE},
}
_ROWS: dict[ExportTable, Callable[[Row, Row, str], Iterator[Row]]] = {
    ExportTable.MEETINGS: lambda report, line, _: iter([rows.report_row(report, line)]),
    ExportTable.ATTENDEES: rows.attendee_rows,
    ExportTable.INTERVALS: rows.interval_rows,
    ExportTable.ENGAGEMENTS: rows.engagement_rows,
}
# A spreadsheet takes a cell for a formula by its first sign, of any width, and ignores what it does not show before it.
# Where the separator is a semicolon or a tab, one text can be several cells.
_SIGNS = r"=+\-@\u2212\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20"
_BLANKS = r"\s\x00-\x1f\x7f\"\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
_BREAK = re.compile(r"[;\t-\r\x1c-\x1e\x85\u2028\u2029]")
_FORMULA = re.compile(rf"[\t\r\n]|[{_BLANKS};]*+[{_SIGNS}]")
_BETWEEN = re.compile(rf"([{_BLANKS};]++)([{_SIGNS}])?")


def report_rows(
    table: ExportTable, report: Row, line: Row, invitees: InviteeList | None = None, tenant_id: str = ""
) -> Iterator[Row]:
    """Return the rows of one report; `line` is its line of the index."""
    if table is ExportTable.INVITEES:
        return rows.invitee_rows(report, line, invitees, tenant_id)
    return _ROWS[table](report, line, tenant_id)


def write_table(
    table: ExportTable, items: Iterable[Row], form: Format, file: IO[bytes], *, mark: bool = False
) -> int:
    """Write a table, as CSV with a byte order mark if `mark`.

    Return the number of rows.
    """
    if form is Format.CSV:
        return _write_csv(table, items, file, "utf-8-sig" if mark else "utf-8")
    return _write_parquet(table, items, file)


def _write_csv(table: ExportTable, items: Iterable[Row], file: IO[bytes], encoding: str) -> int:
    """Write RFC 4180 with a header.

    A text that a spreadsheet would read as a formula gets a `'`.
    """
    text = io.TextIOWrapper(file, encoding, errors="backslashreplace", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\r\n")
    names, count = COLUMNS[table], 0
    writer.writerow(names)
    for row in items:
        writer.writerow([csv_cell(row.get(name)) for name in names])
        count += 1
    text.detach()
    return count


def csv_cell(value: object) -> object:
    """Return a cell that no spreadsheet takes for a formula."""
    if not isinstance(value, str):
        return value
    text = _BETWEEN.sub(_quote_sign, value)
    return f"'{text}" if _FORMULA.match(value) else text


def _quote_sign(found: re.Match[str]) -> str:
    """A sign with a `'` in front where a cell begins, in a spreadsheet that separates by something else."""
    blanks, sign = found.groups()
    return f"{blanks}'{sign}" if sign and _BREAK.search(blanks) else found[0]


def _write_parquet(table: ExportTable, items: Iterable[Row], file: IO[bytes]) -> int:
    import pyarrow as pa  # half a second, only when needed
    from pyarrow import parquet

    kinds = {
        columns.STRING: pa.string(),
        columns.LONG: pa.int64(),
        columns.DOUBLE: pa.float64(),
        columns.BOOLEAN: pa.bool_(),
        columns.TIMESTAMP: pa.timestamp("ms", "UTC"),
    }
    types = {name: kinds[kind] for name, kind in COLUMNS[table].items()}
    schema, count = pa.schema(list(types.items())), 0
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in itertools.batched(items, ROWS_AT_ONCE, strict=False):
            arrays = [
                pa.array([_value(row, name, kind) for row in batch], types[name])
                for name, kind in COLUMNS[table].items()
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            count += len(batch)
    return count


def _value(row: Row, name: str, kind: str) -> object:
    value = row.get(name)
    return datetime.fromisoformat(value) if value and kind == columns.TIMESTAMP else value
