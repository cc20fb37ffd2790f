"""JSON parser and writer that preserve property order and the form of each number.

`1.0` is not `1`, `1E2` is not `100.0`: a number which Python would write differently is kept as a `Number`. Of
duplicate keys the last value wins, as in every common parser. NaN and Infinity are rejected.
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring
from typing import Any, NoReturn

MAX_INTEGER_DIGITS = 4_300  # Python's limit


class Number:
    """A JSON number, verbatim."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Number({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Number) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


class _Verbatim(Exception):
    """The document holds a `Number`, which the standard encoder cannot write."""


def loads(text: str | bytes) -> Any:
    """Parse JSON. Raises ValueError for anything that is not JSON."""
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def dumps(value: Any) -> bytes:
    """Write `value` as one line of UTF-8 JSON. Raises ValueError if nested too deeply."""
    try:
        return _utf8(_line(value))
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def canonical(value: Any) -> bytes:
    """Write the canonical form of a report, of which its `sha256` is taken.

    Sorted keys, separators `,` and `:`, no ASCII escaping, no key that contains `@odata.`, and numbers as Python's json
    writes them: anyone can compute it from the stored blob. Raises ValueError if nested too deeply.
    """
    try:
        return _utf8(_CANONICAL.encode(_without_annotations(value)))
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def _integer(text: str) -> int | Number:
    return Number(text) if text == "-0" or len(text) > MAX_INTEGER_DIGITS else int(text)


def _float(text: str) -> float | Number:
    value = float(text)
    return value if repr(value) == text else Number(text)


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _not_standard(value: object) -> NoReturn:
    if isinstance(value, Number):
        raise _Verbatim
    raise TypeError(f"{type(value).__name__} is not JSON")


def _python_number(value: object) -> int | float | str:
    if not isinstance(value, Number):
        raise TypeError(f"{type(value).__name__} is not JSON")
    if any(mark in value.text for mark in ".eE"):
        return float(value.text)
    return value.text if len(value.text) > MAX_INTEGER_DIGITS else int(value.text)


def _line(value: Any) -> str:
    try:
        return _ENCODER.encode(value)
    except _Verbatim:
        parts: list[str] = []
        _write(value, parts)
        return "".join(parts)


def _write(value: Any, parts: list[str]) -> None:
    if isinstance(value, dict):
        separator = "{"
        for key, item in value.items():
            parts.append(f"{separator}{encode_basestring(key)}:")
            _write(item, parts)
            separator = ","
        parts.append("}" if value else "{}")
    elif isinstance(value, list):
        separator = "["
        for item in value:
            parts.append(separator)
            _write(item, parts)
            separator = ","
        parts.append("]" if value else "[]")
    elif isinstance(value, Number):
        parts.append(value.text)
    else:
        parts.append(_ENCODER.encode(value))


def _without_annotations(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_annotations(item) for key, item in value.items() if "@odata." not in key}
    if isinstance(value, list):
        return [_without_annotations(item) for item in value]
    return value


def _utf8(line: str) -> bytes:
    # A lone surrogate has no UTF-8 form; backslashreplace writes it as \udXXX, which is its JSON escape.
    return line.encode("utf-8", "backslashreplace")


_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_float, parse_constant=_constant)
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_not_standard)
_CANONICAL = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), sort_keys=True, default=_python_number
)
