"""Write a report as one line of JSON, page by page, and hash its canonical form.

The whole report is never in memory: records are written as they arrive; their canonical forms are collected in a file
and hashed in the order of their ids. docs/consumers.md describes the form.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from typing import IO, Any

from . import verbatim_json

RECORDS = "attendanceRecords"
NEXT_LINKS = frozenset({"@odata.nextLink", f"{RECORDS}@odata.nextLink"})


def write_report(
    report: dict[str, Any], pages: Iterator[list[Any]], body: IO[bytes], canonical: IO[bytes]
) -> tuple[str, int]:
    """Write the report to `body`; return its sha256 and its number of records."""
    separator = b"{"
    index: list[tuple[str, int, int]] = []
    for name, value in {**report, RECORDS: None}.items():  # last, if Graph did not expand it
        if name in NEXT_LINKS:
            continue
        body.write(separator + verbatim_json.dumps(name) + b":")
        if name == RECORDS:
            index = _write_records(pages, body, canonical)
        else:
            body.write(verbatim_json.dumps(value))
        separator = b","
    body.write(b"}")
    return _sha256(report, index, canonical), len(index)


def _write_records(
    pages: Iterator[list[Any]], body: IO[bytes], canonical: IO[bytes]
) -> list[tuple[str, int, int]]:
    """Write the array of records; return an index of their canonical forms.

    An entry of the index is (id, offset, length).
    """
    index: list[tuple[str, int, int]] = []
    separator = b"["
    for record in itertools.chain.from_iterable(pages):
        body.write(separator + verbatim_json.dumps(record))
        form = verbatim_json.canonical(record)
        record_id = record.get("id") if isinstance(record, dict) else None
        index.append((record_id if isinstance(record_id, str) else "", canonical.tell(), len(form)))
        canonical.write(form)
        separator = b","
    body.write(b"]" if index else b"[]")
    return index


def _sha256(report: dict[str, Any], index: list[tuple[str, int, int]], canonical: IO[bytes]) -> str:
    """Hash the report's canonical form, with its records in the order of their ids."""
    digest = hashlib.sha256()
    separator = b"{"
    for name in sorted({*report, RECORDS}):
        if "@odata." in name:
            continue
        digest.update(separator + verbatim_json.canonical(name) + b":")
        if name == RECORDS:
            for position, (_, offset, length) in enumerate(sorted(index)):
                canonical.seek(offset)
                digest.update((b"," if position else b"[") + canonical.read(length))
            digest.update(b"]" if index else b"[]")
        else:
            digest.update(verbatim_json.canonical(report[name]))
        separator = b","
    digest.update(b"}")
    return digest.hexdigest()
