"""Parquet files read back with DuckDB, which knows nothing of how they were written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from datetime import date
from typing import Any

import duckdb

from shared.days.manifests import Manifest, TableFile
from shared.tables.columns import Table

_DATABASE = duckdb.connect(config={"threads": 1})
_DATABASE.execute("SET GLOBAL TimeZone = 'UTC'")


def ask(body: bytes, query: str) -> list[dict[str, Any]]:
    """What a query says of a file, which it calls `$file`."""
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file, _DATABASE.cursor() as cursor:
        file.write(body)
        file.flush()
        cursor.execute(query, {"file": file.name})
        names = [name for name, *_ in cursor.description or ()]
        return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]


def rows_of(body: bytes) -> list[dict[str, Any]]:
    """The rows of a file."""
    return ask(body, "SELECT * FROM read_parquet($file)")


def columns_of(body: bytes) -> dict[str, str]:
    """The columns of a file and their types, as DuckDB names them."""
    found = ask(body, "DESCRIBE SELECT * FROM read_parquet($file)")
    return {each["column_name"]: each["column_type"] for each in found}


def schema_of(body: bytes) -> list[dict[str, Any]]:
    """The columns of a file as it says itself, those in others included."""
    return ask(body, "SELECT * FROM parquet_schema($file)")[1:]


def files_of(manifest: Manifest, table: Table) -> tuple[TableFile, ...]:
    """The files of a table that a manifest names."""
    return manifest.tables.files.get(table, ())


def read_table(read: Callable[[str], bytes], paths: Iterable[str]) -> list[dict[str, Any]]:
    """The rows of a table, with the date that is in the name of each file's folder."""
    found = []
    for path in paths:
        day = date.fromisoformat(path.split("/date=")[1][:10])
        found += [{"date": day, **row} for row in rows_of(read(path))]
    return found
