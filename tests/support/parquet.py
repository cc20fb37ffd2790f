"""Tables read back with pyarrow, which knows nothing of how they were written."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from datetime import date
from typing import Any

from pyarrow import parquet

from shared.days.manifests import Manifest, TableFile
from shared.tables.columns import Table


def rows_of(body: bytes) -> list[dict[str, Any]]:
    """The rows of a file."""
    rows: list[dict[str, Any]] = parquet.read_table(io.BytesIO(body)).to_pylist()
    return rows


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
