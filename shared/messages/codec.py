"""A strict codec between frozen dataclasses and JSON: queue messages, and the product's own records in blobs.

A field `join_url` is `joinUrl` in JSON, and its type says how it is read: str, bool, int (from 0 on), date, datetime,
a StrEnum, another dataclass, one of several by the `kind` that each has as a class variable, `X | None`,
`tuple[X, ...]`, `frozenset[X]` (sorted) or `Mapping[str, X]`. `Annotated` adds, in any order, another name (a str; FLAT
puts the fields of a dataclass beside those of its parent), a pattern that a string matches, or a function that reads
the JSON value instead of the type.

Reading raises NotOurMessage, which names the field and quotes nothing. Conditions on several fields belong into
`__post_init__`: its ValueError, and that of a reading function, continues the sentence ("is not an id"). Properties
without a field are ignored. Writing leaves out a field that has its default; that of an `X | None` is None.
Types are resolved once per class, when it is first met. Standard library only: the webhook loads this module.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import date, datetime
from enum import EnumType
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin, get_type_hints

from .. import times
from ..errors import NotOurMessage

FLAT = ""

type _Function = Callable[[Any], Any]
type _Functions = tuple[_Function, _Function]  # one that reads, one that writes
type _Names = Callable[[], tuple[str, ...]]  # of properties; seldom asked for


def loads[T](cls: type[T], text: str | bytes) -> T:
    """Read a dataclass from JSON. Raises NotOurMessage."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise NotOurMessage(f"{cls.__name__} is not JSON.") from None
    return decode(cls, content)


def decode[T](cls: type[T], content: object) -> T:
    """Read a dataclass from an object that JSON was parsed into. Raises NotOurMessage."""
    try:
        return cast(T, _record(cls)[0](content))
    except ValueError as wrong:
        problem, *path = wrong.args
        raise NotOurMessage(f"{'.'.join([cls.__name__, *path])} {problem}.") from None


def dumps(value: Any, *, full: bool = False) -> str:
    """Write a dataclass as compact ASCII JSON; `full` writes defaults and null too."""
    return json.dumps(encode(value, full=full), separators=(",", ":"))


def encode(value: Any, *, full: bool = False) -> dict[str, Any]:
    """The object that JSON is made of; `full` writes defaults and null too."""
    return cast(dict[str, Any], _record(type(value), full)[1](value))


def parse_moment(value: object) -> datetime:
    """Read a point in time, as exactly as it is written."""
    try:
        found = times.parse(value)
    except ValueError:
        found = None
    if found is None:
        raise ValueError("is not a time")
    return found.replace(microsecond=found.microsecond // 1000 * 1000)


def parse_day(value: object) -> date:
    """Read a date."""
    try:
        return date.fromisoformat(cast(str, value))
    except (ValueError, TypeError):
        raise ValueError("is not a date") from None


def check_year[T: date](value: T) -> T:
    """A time within reach, for one that others chose: days can be added to it and counted up to it."""
    if not 2000 <= value.year < 3000:
        raise ValueError("is before 2000 or after 2999")
    return value


Moment = Annotated[datetime, lambda value: check_year(parse_moment(value))]
Day = Annotated[date, lambda value: check_year(parse_day(value))]


def _checked(kind: type, problem: str, holds: _Function = lambda _: True) -> _Function:
    def read(value: Any) -> Any:
        if type(value) is kind and holds(value):
            return value
        raise ValueError(problem)

    return read


def _same(value: Any) -> Any:
    return value


_list = _checked(list, "is not a list")
_object = _checked(dict, "is not a JSON object")
_PLAIN: dict[Any, tuple[_Function, _Function]] = {
    str: (_checked(str, "is not a string"), _same),
    bool: (_checked(bool, "is not true or false"), _same),
    int: (_checked(int, "is not a whole number from 0 on", lambda value: value >= 0), _same),
    date: (parse_day, date.isoformat),
    datetime: (parse_moment, times.text),
}


def _compile(cls: Any, full: bool = False) -> tuple[*_Functions, _Names]:
    """The functions that read and write a dataclass, and the names of its properties."""
    hints = get_type_hints(cls, include_extras=True)
    plan = [(field.name, *_field(field, hints[field.name], full)) for field in fields(cls)]

    def read(content: Any) -> Any:
        values = {}
        _object(content)
        for attribute, name, default, reader, *_ in plan:
            value = content.get(name, default) if name else content
            if value is MISSING:
                raise ValueError("is missing", name)
            try:
                values[attribute] = value if value is default else reader(value)
            except ValueError as wrong:
                problem, *path = wrong.args
                raise ValueError(problem, *([name] if name else []), *path) from None
        return cls(**values)

    def write(value: Any) -> Any:
        content: dict[str, Any] = {}
        for attribute, name, default, _, writer, _ in plan:
            each = getattr(value, attribute)
            if not full and each == default:
                continue
            if name:
                content[name] = writer(each)
            else:
                content |= writer(each)
        return content

    return read, write, cache(lambda: tuple(name for *_, names in plan for name in names()))


_record: Callable[..., tuple[*_Functions, _Names]] = cache(_compile)


def _field(field: Field[Any], hint: Any, full: bool) -> tuple[str, Any, *_Functions, _Names]:
    """A field's name in JSON, its default, the functions that read and write it, and the names of its properties."""
    bare, *extras = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    variants = get_args(bare) or (bare,)
    camel = re.sub("_(.)", lambda found: found[1].upper(), field.name)
    name = next((extra for extra in extras if isinstance(extra, str)), camel)
    default = field.default if field.default_factory is MISSING else field.default_factory()
    reader, writer = _functions(hint, full)
    if name:
        default = None if default is MISSING and NoneType in variants else default
        return name, default, reader, writer, lambda: (name,)
    parts = [each for each in variants if each is not NoneType]
    names = cache(lambda: tuple(name for part in parts for name in _record(part)[2]()))

    def read(content: Any) -> Any:
        absent = NoneType in variants and all(content.get(each) is None for each in names())
        return None if absent else reader(content)

    return name, default, read, lambda value: writer(value) or dict.fromkeys(names() if full else ()), names


def _functions(hint: Any, full: bool) -> _Functions:
    """The functions that read and write a type."""
    kind, parts = get_origin(hint), get_args(hint)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if is_dataclass(hint):
        return _record(hint, full)[:2]
    if isinstance(hint, EnumType):
        members: dict[str, Any] = {each.value: each for each in cast(Iterable[Any], hint)}
        known = _checked(str, "is unknown", members.__contains__)
        return lambda value: members[known(value)], _same
    if kind in (Union, UnionType):
        return _union([part for part in parts if part is not NoneType], full, optional=NoneType in parts)
    if kind in (Annotated, Mapping, tuple, frozenset):
        return _composed(kind, parts[1:], *_functions(parts[1 if kind is Mapping else 0], full))
    raise TypeError(f"{hint} has no form in JSON.")


def _union(parts: Sequence[Any], full: bool, *, optional: bool) -> _Functions:
    """The functions that read and write one of some dataclasses, which `kind` tells apart, or a type or None."""
    if optional:
        read, write = _functions(parts[0], full) if len(parts) == 1 else _union(parts, full, optional=False)
        return (
            lambda value: None if value is None else read(value),
            lambda value: None if value is None else write(value),
        )
    kinds = {part.kind: part for part in parts}

    def read_kind(value: Any) -> Any:
        kind = _object(value).get("kind")
        if type(kind) is not str or kind not in kinds:
            raise ValueError("is unknown", "kind")
        return _record(kinds[kind], full)[0](value)

    return read_kind, lambda value: {"kind": value.kind, **_record(type(value), full)[1](value)}


def _composed(kind: Any, extras: Any, read: _Function, write: _Function) -> _Functions:
    """The functions that read and write a type made of another."""
    if kind is Annotated:
        for extra in extras:
            if isinstance(extra, re.Pattern):
                read = _checked(str, "is not of its form", extra.match)
            elif callable(extra):
                read = extra
        return read, write
    if kind is Mapping:
        return (
            lambda value: {key: read(each) for key, each in _object(value).items()},
            lambda value: {key: write(each) for key, each in value.items()},
        )
    ordered = sorted if kind is frozenset else list
    return lambda value: kind(map(read, _list(value))), lambda value: ordered(map(write, value))
