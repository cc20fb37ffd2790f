"""CSV files and Excel workbooks whose texts no spreadsheet takes for formulas.

In a workbook, a text is typed as one, and marked so that it stays a text when somebody edits the cell. CSV has no
types: there a `'` stands before a sign by which a formula could begin. Only this module uses XlsxWriter, which holds
one row in memory.
"""

from __future__ import annotations

import csv
import io
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import IO, TYPE_CHECKING

from ... import times
from ...errors import AttendanceError

if TYPE_CHECKING:
    from xlsxwriter.format import Format
    from xlsxwriter.worksheet import Worksheet

COLUMN_WIDTH = 20  # characters
MOST_ROWS = 1_048_575  # of a sheet, below its header
MOST_CHARACTERS = 32_767  # of a cell
# A spreadsheet takes a cell for a formula by its first sign, of any width, and ignores what it does not show before it.
# Where the separator is a semicolon or a tab, one text can be several cells.
_SIGNS = r"=+\-@\u2212\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20"
_BLANKS = r"\s\x00-\x1f\x7f\"\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
_BREAK = re.compile(r"[;\t-\r\x1c-\x1e\x85\u2028\u2029]")
_FORMULA = re.compile(rf"[\t\r\n]|[{_BLANKS};]*+[{_SIGNS}]")
_BETWEEN = re.compile(rf"([{_BLANKS};]++)([{_SIGNS}])?")

type Cell = str | int | float | bool | date | datetime | None


@dataclass(frozen=True)
class Sheet:
    """A sheet of a workbook; each row has a cell for each column."""

    name: str
    columns: Sequence[str]
    rows: Iterable[Sequence[Cell]]


def write_csv(
    columns: Sequence[str], rows: Iterable[Sequence[Cell]], file: IO[bytes], *, mark: bool = False
) -> int:
    """Write RFC 4180 with a header, and a byte order mark if `mark`.

    Return the number of rows.
    """
    encoding = "utf-8-sig" if mark else "utf-8"
    text = io.TextIOWrapper(file, encoding, errors="backslashreplace", newline="", write_through=True)
    writer, count = csv.writer(text, lineterminator="\r\n"), 0
    writer.writerow(map(csv_cell, columns))
    for row in rows:
        writer.writerow(map(csv_cell, row))
        count += 1
    text.detach()
    return count


def csv_cell(value: object) -> object:
    """Return a cell that no spreadsheet takes for a formula; times are in UTC."""
    if isinstance(value, str):
        return _csv_text(value)
    return times.text(value) if isinstance(value, datetime) else value


@lru_cache(4_096)  # the rows of a meeting have many texts in common
def _csv_text(value: str) -> str:
    text = _BETWEEN.sub(_quote_sign, value)
    return f"'{text}" if _FORMULA.match(value) else text


def _quote_sign(found: re.Match[str]) -> str:
    """A sign with a `'` in front, where another separator would begin a cell."""
    blanks, sign = found.groups()
    return f"{blanks}'{sign}" if sign and _BREAK.search(blanks) else found[0]


def write_workbook(sheets: Iterable[Sheet], file: IO[bytes]) -> dict[str, int]:
    """Write a workbook, in which times are in UTC. Return the number of rows by sheet.

    Raises AttendanceError for more rows than a sheet can hold.
    """
    import xlsxwriter  # only when needed

    with (
        tempfile.TemporaryDirectory() as folder,  # for its drafts, which it leaves behind if it fails
        xlsxwriter.Workbook(file, {"constant_memory": True, "tmpdir": folder}) as workbook,
    ):
        bold, quoted = {"bold": True}, {"quote_prefix": True}  # quoted, it is no formula when it is edited
        heading, quoted_heading = workbook.add_format(bold), workbook.add_format(bold | quoted)
        formats = {
            str: workbook.add_format(quoted),
            datetime: workbook.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
            date: workbook.add_format({"num_format": "yyyy-mm-dd"}),
        }
        counts = {}
        for each in sheets:
            sheet, count = workbook.add_worksheet(each.name), 0
            sheet.freeze_panes(1, 0)
            sheet.set_column(0, len(each.columns) - 1, COLUMN_WIDTH)
            for column, name in enumerate(each.columns):
                sheet.write_string(0, column, _fit(name), quoted_heading if _FORMULA.match(name) else heading)
            for count, row in enumerate(each.rows, start=1):
                if count > MOST_ROWS:
                    raise AttendanceError(
                        f"{each.name} has more than {MOST_ROWS:,} rows, which is all that a sheet holds: "
                        "choose fewer days or another format."
                    )
                for column, value in enumerate(row):
                    _write_cell(sheet, count, column, value, formats)
            sheet.autofilter(0, 0, count, len(each.columns) - 1)
            counts[each.name] = count
    return counts


def _write_cell(sheet: Worksheet, row: int, column: int, value: Cell, formats: Mapping[type, Format]) -> None:
    """Write a cell as the type that it has: nothing is guessed from a text."""
    match value:
        case None | "":
            pass
        case str():
            sheet.write_string(row, column, _fit(value), formats[str] if _FORMULA.match(value) else None)
        case bool():
            sheet.write_boolean(row, column, value)
        case datetime():
            sheet.write_datetime(row, column, value.astimezone(UTC).replace(tzinfo=None), formats[datetime])
        case date():
            sheet.write_datetime(row, column, value, formats[date])
        case _:
            sheet.write_number(row, column, value)


def _fit(text: str) -> str:
    """A text as long as a cell can be, in valid Unicode."""
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"
