"""Write a report as one line of JSON, page by page, and hash its canonical form.

The whole report is never in memory: records are written as they arrive; their canonical forms are collected in a file
and hashed in the order of their ids, then of those forms. docs/consumers.md describes the form.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cmp_to_key, partial
from operator import itemgetter
from typing import IO, Any

from . import verbatim_json

RECORDS = "attendanceRecords"
NEXT_LINKS = frozenset({"@odata.nextLink", f"{RECORDS}@odata.nextLink"})
PIECE = 4_096  # bytes of two canonical forms compared at once


@dataclass(frozen=True)
class WrittenReport:
    """Hash and number of records of a report that was written.

    `repeated` counts records that came on an earlier page too.
    """

    sha256: str
    records: int
    repeated: int


def write_report(
    report: dict[str, Any], pages: Iterator[list[Any]], body: IO[bytes], canonical: IO[bytes]
) -> WrittenReport:
    """Write the report to `body`."""
    separator = b"{"
    index, repeated = list[tuple[str, int, int]](), 0
    for name, value in {**report, RECORDS: None}.items():  # last, if Graph did not expand it
        if name in NEXT_LINKS:
            continue
        body.write(separator + verbatim_json.dumps(name) + b":")
        if name == RECORDS:
            index, repeated = _write_records(pages, body, canonical)
        else:
            body.write(verbatim_json.dumps(value))
        separator = b","
    body.write(b"}")
    return WrittenReport(_sha256(report, index, canonical), len(index), repeated)


def _write_records(
    pages: Iterator[list[Any]], body: IO[bytes], canonical: IO[bytes]
) -> tuple[list[tuple[str, int, int]], int]:
    """Write the array of records; return their index and the number of repeats.

    An entry of the index is (id, offset, length). A record without an id is compared by its canonical form.
    """
    index: list[tuple[str, int, int]] = []
    page_of: dict[str | bytes, int] = {}
    separator, repeated = b"[", 0
    for number, page in enumerate(pages):
        for record in page:
            body.write(separator + verbatim_json.dumps(record))
            form = verbatim_json.canonical(record)
            record_id = record.get("id") if isinstance(record, dict) else None
            record_id = record_id if isinstance(record_id, str) else ""
            repeated += page_of.setdefault(record_id or hashlib.sha256(form).digest(), number) != number
            index.append((record_id, canonical.tell(), len(form)))
            canonical.write(form)
            separator = b","
    body.write(b"]" if index else b"[]")
    return index, repeated


def _sha256(report: dict[str, Any], index: list[tuple[str, int, int]], canonical: IO[bytes]) -> str:
    """Hash the report's canonical form, with its records sorted by id, then by text."""
    digest = hashlib.sha256()
    separator = b"{"
    for name in sorted({*report, RECORDS}):
        if "@odata." in name:
            continue
        digest.update(separator + verbatim_json.canonical(name) + b":")
        if name == RECORDS:
            for position, (_, offset, length) in enumerate(_sorted(index, canonical)):
                digest.update((b"," if position else b"[") + _read(canonical, offset, length))
            digest.update(b"]" if index else b"[]")
        else:
            digest.update(verbatim_json.canonical(report[name]))
        separator = b","
    digest.update(b"}")
    return digest.hexdigest()


def _sorted(index: list[tuple[str, int, int]], canonical: IO[bytes]) -> Iterator[tuple[str, int, int]]:
    """Sort the index by id, and entries with equal ids by their canonical form."""
    by_form = cmp_to_key(partial(_compare, canonical))
    for _, same_id in itertools.groupby(sorted(index), key=itemgetter(0)):
        yield from sorted(same_id, key=by_form)


def _compare(canonical: IO[bytes], one: tuple[str, int, int], other: tuple[str, int, int]) -> int:
    """Compare two canonical forms piece by piece, because one can be large."""
    (_, start, length), (_, other_start, other_length) = one, other
    for at in range(0, max(length, other_length), PIECE):
        piece = _read(canonical, start + at, min(PIECE, length - at))
        other_piece = _read(canonical, other_start + at, min(PIECE, other_length - at))
        if piece != other_piece:
            return -1 if piece < other_piece else 1
    return 0


def _read(file: IO[bytes], offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)
