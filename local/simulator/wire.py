"""Dataclasses as JSON objects and back: camelCase names, times as text.

Used by the control routes, their client and the state file. What does not fit its type is a ValueError, never
silently kept: a misspelt option of a test must not look like a passing test.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from datetime import datetime
from functools import lru_cache
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeAliasType, Union, get_args, get_origin, get_type_hints

from local.simulator import moments

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def to_wire(value: DataclassInstance) -> dict[str, Any]:
    """`value` as a JSON object."""
    return {_camel(field.name): _plain(getattr(value, field.name)) for field in fields(value)}


def from_wire[T: DataclassInstance](kind: type[T], data: object) -> T:
    """A `kind` from a JSON object, with defaults for absent fields. Raises ValueError."""
    values = partial_from_wire(kind, data)
    for field in fields(kind):
        required = field.default is MISSING and field.default_factory is MISSING
        if required and field.name not in values:
            raise ValueError(f"{_camel(field.name)} is missing")
    return kind(**values)


def partial_from_wire(kind: type[DataclassInstance], data: object) -> dict[str, Any]:
    """The fields of `kind` in a JSON object, by Python name. Raises ValueError."""
    if not isinstance(data, Mapping):
        raise ValueError("expected a JSON object")
    known = _known(kind)
    unknown = sorted(set(data) - set(known))
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    return {known[key][0]: _typed(known[key][1], value, key) for key, value in data.items()}


@lru_cache
def _known(kind: type[DataclassInstance]) -> dict[str, tuple[str, Any]]:
    """Python name and type of each field, by its JSON name."""
    hints = get_type_hints(kind)
    return {_camel(field.name): (field.name, hints[field.name]) for field in fields(kind)}


@lru_cache
def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, set):
        return sorted(value)
    return list(value) if isinstance(value, tuple) else value


def _options(hint: Any) -> tuple[Any, ...]:
    """The types of which a value may be one, behind names and unions."""
    if isinstance(hint, TypeAliasType):
        return _options(hint.__value__)
    if get_origin(hint) in (Union, UnionType):
        return tuple(option for part in get_args(hint) for option in _options(part))
    return (hint,)


def _typed(hint: Any, value: Any, key: str) -> Any:
    for option in _options(hint):
        if option is datetime and isinstance(value, str):
            return moments.parse_time(value)
        if option is float and type(value) is int:
            return float(value)
        origin = get_origin(option)
        if origin is Literal:
            if value in get_args(option):
                return value
        elif origin in (tuple, set) and isinstance(value, list):
            return origin(value)
        elif option is Any or type(value) is (origin or option):
            return value
    raise ValueError(f"{key} cannot be {value!r}")
