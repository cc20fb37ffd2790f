"""The tables of an export: their columns, and files of them.

Columns stay: new ones are added at the end. A file holds one table of one day,
`<table>/date=YYYY-MM-DD/part-00000.<format>`; the folder says the date, so that no engine meets it twice.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import IO, Any

import pyarrow as pa
from pyarrow import parquet

from shared import rows

ROWS_AT_ONCE = 20_000

type Row = Mapping[str, Any]


class Table(StrEnum):
    """One row a meeting, an attendee, or an interval of attendance."""

    MEETINGS = "meetings"
    ATTENDEES = "attendees"
    INTERVALS = "intervals"


class Format(StrEnum):
    """How a file is written, and its ending."""

    CSV = "csv"
    PARQUET = "parquet"


_TIME, _COUNT = pa.timestamp("ms", "UTC"), pa.int64()
_OTHER_TYPES = {
    "meetingStart": _TIME,
    "meetingEnd": _TIME,
    "firstJoin": _TIME,
    "lastLeave": _TIME,
    "join": _TIME,
    "leave": _TIME,
    "meetingParticipants": _COUNT,
    "attendedSeconds": _COUNT,
    "interval": _COUNT,
    "seconds": _COUNT,
}
_MEETING = (
    "reportId",
    "source",
    "meetingId",
    "organizerId",
    "eventId",
    "sessionId",
    "joinWebUrl",
    "meetingStart",
    "meetingEnd",
    "meetingParticipants",
)
_PERSON = (
    "recordId",
    "personId",
    "displayName",
    "tenantId",
    "identityType",
    "emailAddress",
    "role",
    "registrationId",
)
COLUMNS = {
    Table.MEETINGS: _MEETING,
    Table.ATTENDEES: (*_MEETING, *_PERSON, "attendedSeconds", "firstJoin", "lastLeave"),
    Table.INTERVALS: (*_MEETING, *_PERSON, "interval", "join", "leave", "seconds"),
}
_ROWS: dict[Table, Callable[[Row, Row], Iterator[Row]]] = {
    Table.MEETINGS: lambda report, line: iter([rows.meeting(report, line)]),
    Table.ATTENDEES: rows.attendees,
    Table.INTERVALS: rows.intervals,
}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def rows_of(table: Table, report: Row, line: Row) -> Iterator[Row]:
    """The rows of one report; `line` is its line of the index."""
    return _ROWS[table](report, line)


def write(table: Table, found: Iterable[Row], form: Format, file: IO[bytes]) -> int:
    """Write a table; how many rows it has."""
    return (_csv if form is Format.CSV else _parquet)(table, found, file)


def _csv(table: Table, found: Iterable[Row], file: IO[bytes]) -> int:
    """RFC 4180 in UTF-8, with a header. Text that a spreadsheet would take for a formula gets a `'` in front."""
    text = io.TextIOWrapper(file, "utf-8", errors="backslashreplace", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\r\n")
    names, count = COLUMNS[table], 0
    writer.writerow(names)
    for row in found:
        writer.writerow([_cell(row.get(name)) for name in names])
        count += 1
    text.detach()
    return count


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _parquet(table: Table, found: Iterable[Row], file: IO[bytes]) -> int:
    names, count = COLUMNS[table], 0
    schema = pa.schema([(name, _OTHER_TYPES.get(name, pa.string())) for name in names])
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in itertools.batched(found, ROWS_AT_ONCE, strict=False):
            columns = [pa.array([_value(row, field) for row in batch], field.type) for field in schema]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
            count += len(batch)
    return count


def _value(row: Row, field: pa.Field) -> object:
    value = row.get(field.name)
    if value is not None and field.type == _TIME:
        return datetime.fromisoformat(value)
    # Half of a surrogate pair, which JSON can carry, is no text elsewhere.
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
