"""What lies in the container, held against schemas/."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from local.stack.program import ROOT
from shared import times
from tests.support.parquet import rows_of

SCHEMAS = ROOT / "schemas"


@cache
def validator(name: str) -> Draft202012Validator:
    """The validator of a schema."""
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def problems(name: str, content: object) -> list[str]:
    """In what something is not as its schema says."""
    return [f"{error.json_path}: {error.message}" for error in validator(name).iter_errors(content)]


def documents(name: str, body: bytes, metadata: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """The documents in a blob of the container and its metadata, each with the name of its schema."""
    folder = name.split("/")[0]
    if "/_delta_log/" in name:
        return  # it has a specification of its own
    if folder == "tables":
        for row in rows_of(body):
            yield f"{name.split('/')[1]}-row", json.loads(json.dumps(row, default=times.text))
        yield "table-file-metadata", metadata
    elif name.endswith(".jsonl"):
        kind = "erasure-line" if name == "manifests/erasures.jsonl" else "index-line"
        for line in body.splitlines():
            yield kind, json.loads(line)
        if kind == "index-line":
            yield "index-metadata", metadata
    else:
        kind = {"reports": "report", "outcomes": "outcome", "manifests": "manifest"}.get(folder, folder)
        yield kind, json.loads(body)
        yield f"{kind}-metadata", metadata


def problems_of(name: str, body: bytes, metadata: Mapping[str, str]) -> list[str]:
    """In what a blob of the container is not as published."""
    return [
        f"{name}: {kind} {each}"
        for kind, content in documents(name, body, metadata)
        for each in problems(kind, content)
    ]
