"""Parquet files, written from lines of JSON, and read as such.

The only module that uses arro3, which only its functions import.

arro3 fails for a value that does not fit its column, so `rows` cleans them first. Delta tables want microseconds and
columns that may be null.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

from .columns import BOOLEAN, DOUBLE, INTEGER, LONG, MAP, SCHEMA_VERSION, STRING, Columns

if TYPE_CHECKING:
    from arro3.core import Field

COMPRESSION = "zstd(3)"
ROW_GROUP = 65_536  # rows that are in memory at once
BATCH = 8_192


def write_parquet(lines: IO[bytes], columns: Columns, file: IO[bytes]) -> None:
    """Write the rows in `lines` as Parquet.

    One JSON object each, with these columns and no others.
    """
    import arro3.io
    from arro3.core import Schema

    schema = Schema([_field(name, kind) for name, kind in columns.items()])
    arro3.io.write_parquet(
        arro3.io.read_json(lines, schema, batch_size=BATCH),
        file,
        compression=COMPRESSION,
        max_row_group_size=ROW_GROUP,
        key_value_metadata={"schemaVersion": str(SCHEMA_VERSION)},
    )


def read_parquet(file: IO[bytes], lines: IO[bytes]) -> None:
    """Write the rows of a file to `lines`, one JSON object each, without what is null."""
    import arro3.io

    arro3.io.write_ndjson(arro3.io.read_parquet(file, batch_size=BATCH), lines)


def _field(name: str, kind: Any) -> Field:
    from arro3.core import DataType, Field

    if isinstance(kind, list):
        return Field(name, DataType.list(_field("element", kind[0])))
    if isinstance(kind, dict):
        return Field(name, DataType.struct([_field(*each) for each in kind.items()]))
    plain = {
        STRING: DataType.string(),
        INTEGER: DataType.int32(),
        LONG: DataType.int64(),
        DOUBLE: DataType.float64(),
        BOOLEAN: DataType.bool(),
        MAP: DataType.map(
            Field("key", DataType.string(), nullable=False), Field("value", DataType.string()), False
        ),
    }
    return Field(name, plain.get(kind) or DataType.timestamp("us", tz="UTC"))
