"""Strict codec between dataclasses and JSON, for queue messages and state blobs.

A field `join_url` is `joinUrl` in JSON. Its type decides how it is read: str, bool, int (not negative), date, datetime,
a StrEnum, another dataclass, a union of dataclasses told apart by the class variable `kind`, `X | None`,
`tuple[X, ...]`, `frozenset[X]` (sorted) or `Mapping[str, X]`. `Annotated` adds, in any order:

- a str: another name in JSON; FLAT puts the fields of a dataclass beside those of its parent
- a pattern which a string must match
- a function which reads the JSON value instead of the type

Decoding ignores unknown properties and raises NotOurMessage, which names the field and quotes nothing. Checks across
fields belong in `__post_init__`; the text of its ValueError continues the sentence ("is not an id"). Encoding leaves
out fields that have their default; the default of `X | None` is None. Types are resolved once per class, at first use.
Standard library only: the webhook loads this module.
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
type _Functions = tuple[_Function, _Function]  # (read, write)
type _Names = Callable[[], tuple[str, ...]]  # of properties; computed on demand


def loads[T](cls: type[T], text: str | bytes) -> T:
    """Read a dataclass from JSON text. Raises NotOurMessage."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise NotOurMessage(f"{cls.__name__} is not JSON.") from None
    return decode(cls, content)


def decode[T](cls: type[T], content: object) -> T:
    """Read a dataclass from parsed JSON. Raises NotOurMessage."""
    try:
        return cast(T, _compiled(cls)[0](content))
    except ValueError as error:
        problem, *path = error.args
        raise NotOurMessage(f"{'.'.join([cls.__name__, *path])} {problem}.") from None


def dumps(value: Any, *, full: bool = False) -> str:
    """Write a dataclass as compact ASCII JSON; `full` includes defaults and null."""
    return json.dumps(encode(value, full=full), separators=(",", ":"))


def encode(value: Any, *, full: bool = False) -> dict[str, Any]:
    """Return a dataclass as a JSON object; `full` includes defaults and null."""
    return cast(dict[str, Any], _compiled(type(value), full)[1](value))


def parse_moment(value: object) -> datetime:
    """Read a point in time, cut to milliseconds. Raises ValueError."""
    try:
        moment = times.parse(value)
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError("is not a time")
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def parse_day(value: object) -> date:
    """Read a date. Raises ValueError."""
    try:
        return date.fromisoformat(cast(str, value))
    except (ValueError, TypeError):
        raise ValueError("is not a date") from None


def check_year[T: date](value: T) -> T:
    """Return `value` if its year is 2000 to 2999, so date arithmetic cannot overflow."""
    if not 2000 <= value.year < 3000:
        raise ValueError("is before 2000 or after 2999")
    return value


Moment = Annotated[datetime, lambda value: check_year(parse_moment(value))]
Day = Annotated[date, lambda value: check_year(parse_day(value))]


def _checker(kind: type, problem: str, is_valid: _Function = lambda _: True) -> _Function:
    def read(value: Any) -> Any:
        if type(value) is kind and is_valid(value):
            return value
        raise ValueError(problem)

    return read


def _unchanged(value: Any) -> Any:
    return value


_check_list = _checker(list, "is not a list")
_check_object = _checker(dict, "is not a JSON object")
_PLAIN: dict[Any, tuple[_Function, _Function]] = {
    str: (_checker(str, "is not a string"), _unchanged),
    bool: (_checker(bool, "is not true or false"), _unchanged),
    int: (_checker(int, "is not a non-negative whole number", lambda value: value >= 0), _unchanged),
    date: (parse_day, date.isoformat),
    datetime: (parse_moment, times.text),
}


def _compile(cls: Any, full: bool = False) -> tuple[*_Functions, _Names]:
    """Return a dataclass's read and write functions and its property names."""
    hints = get_type_hints(cls, include_extras=True)
    plan = [(field.name, *_compile_field(field, hints[field.name], full)) for field in fields(cls)]

    def read(content: Any) -> Any:
        values = {}
        _check_object(content)
        for attribute, name, default, reader, *_ in plan:
            value = content.get(name, default) if name else content
            if value is MISSING:
                raise ValueError("is missing", name)
            try:
                values[attribute] = value if value is default else reader(value)
            except ValueError as error:
                problem, *path = error.args
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


_compiled: Callable[..., tuple[*_Functions, _Names]] = cache(_compile)


def _compile_field(field: Field[Any], hint: Any, full: bool) -> tuple[str, Any, *_Functions, _Names]:
    """Return a field's JSON name, default, functions and property names."""
    bare, *extras = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    variants = get_args(bare) or (bare,)
    camel = re.sub("_(.)", lambda found: found[1].upper(), field.name)
    name = next((extra for extra in extras if isinstance(extra, str)), camel)
    default = field.default if field.default_factory is MISSING else field.default_factory()
    reader, writer = _compile_type(hint, full)
    if name:
        default = None if default is MISSING and NoneType in variants else default
        return name, default, reader, writer, lambda: (name,)
    parts = [each for each in variants if each is not NoneType]
    names = cache(lambda: tuple(name for part in parts for name in _compiled(part)[2]()))

    def read(content: Any) -> Any:
        absent = NoneType in variants and all(content.get(each) is None for each in names())
        return None if absent else reader(content)

    return name, default, read, lambda value: writer(value) or dict.fromkeys(names() if full else ()), names


def _compile_type(hint: Any, full: bool) -> _Functions:
    """Return the read and write functions of a type."""
    kind, parts = get_origin(hint), get_args(hint)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if is_dataclass(hint):
        return _compiled(hint, full)[:2]
    if isinstance(hint, EnumType):
        members: dict[str, Any] = {each.value: each for each in cast(Iterable[Any], hint)}
        check = _checker(str, "is unknown", members.__contains__)
        return lambda value: members[check(value)], _unchanged
    if kind in (Union, UnionType):
        return _compile_union(
            [part for part in parts if part is not NoneType], full, optional=NoneType in parts
        )
    if kind in (Annotated, Mapping, tuple, frozenset):
        return _compile_container(kind, parts[1:], *_compile_type(parts[1 if kind is Mapping else 0], full))
    raise TypeError(f"{hint} has no JSON form.")


def _compile_union(parts: Sequence[Any], full: bool, *, optional: bool) -> _Functions:
    """Return the functions of `X | None`, or of dataclasses told apart by `kind`."""
    if optional:
        read, write = (
            _compile_type(parts[0], full) if len(parts) == 1 else _compile_union(parts, full, optional=False)
        )
        return (
            lambda value: None if value is None else read(value),
            lambda value: None if value is None else write(value),
        )
    kinds = {part.kind: part for part in parts}

    def read_kind(value: Any) -> Any:
        kind = _check_object(value).get("kind")
        if type(kind) is not str or kind not in kinds:
            raise ValueError("is unknown", "kind")
        return _compiled(kinds[kind], full)[0](value)

    return read_kind, lambda value: {"kind": value.kind, **_compiled(type(value), full)[1](value)}


def _compile_container(kind: Any, extras: Any, read: _Function, write: _Function) -> _Functions:
    """Return the functions of a type that wraps another one."""
    if kind is Annotated:
        for extra in extras:
            if isinstance(extra, re.Pattern):
                read = _checker(str, "is malformed", extra.match)
            elif callable(extra):
                read = extra
        return read, write
    if kind is Mapping:
        return (
            lambda value: {key: read(each) for key, each in _check_object(value).items()},
            lambda value: {key: write(each) for key, each in value.items()},
        )
    ordered = sorted if kind is frozenset else list
    return lambda value: kind(map(read, _check_list(value))), lambda value: ordered(map(write, value))
