"""Mutations of JSON documents: of their trees, by grammar, and of their bytes."""

import json
import re
from copy import deepcopy
from random import Random
from typing import Any

MOST_BYTES = 200_000
DEEP = 3_000
STRINGS = (
    "",
    " ",
    "\x00",
    "\ud800",
    "\udfff\ud800",
    "\u202e",
    "a" * 5_000,
    "../../x",
    "%2e%2e%2f",
    "https://example.org/",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.9999999Z",
    "2026-11-23T09:00:00.1234567Z",
    "2026-11-23T09:00:00+14:00",
    "2026-13-45T99:99:99Z",
    "2026-02-30",
    "2026-02-28",
    "1999-12-31",
    "2999-12-31T00:00:00Z",
    "9999-12-31",
    "'",
    "')/$value",
    "groupCall",
    "peerToPeer",
    "reauthorizationRequired",
    "subscriptionRemoved",
    "missed",
)
NUMBERS = (
    "-0",
    "1.10",
    "1E2",
    "1e400",
    "-0.0",
    "1.0",
    "9" * 40,
    "9" * 5_000,
    "123456789012345678901234567890.5",
    "NaN",
)
_NUMBER = re.compile(r"(?<=[\[:,] )-?\d[\d.eE+-]*")
STUFF = (b"\xc3\x28", b"\xed\xa0\x80", b"\xf5", b"\\u", b'"', b"1e9999", b"NaN", b"0" * 5_000)
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    -0.0,
    1.0,
    1e308,
    2**63,
    10**400,
    float("nan"),
    float("inf"),
    [],
    {},
    [None],
    {"": None},
    [[]],
    *STRINGS,
)


def mutated(source: Random, seeds: list[str], known: list[str]) -> bytes:
    """A mutated document, from a seed or a corpus entry; often still JSON."""
    tree = json.loads(source.choice(known) if known and source.random() < 0.6 else source.choice(seeds))
    try:
        for _ in range(source.choice((0, 1, 1, 1, 2, 3, 6))):
            tree = _changed(source, tree, seeds)
    except RecursionError:
        pass  # it is nested deeper than it can be copied, and goes out as it is
    text = _text(source, tree)
    if source.random() < 0.12:
        text = _spoilt(source, text)
    return text[:MOST_BYTES]


def _changed(source: Random, tree: Any, seeds: list[str]) -> Any:
    """The tree with one node changed."""
    places = _places(tree)
    if not places or source.random() < 0.02:
        return deepcopy(source.choice(VALUES))
    parent, key = source.choice(places)
    source.choice(_CHANGES)(source, parent, key, places, seeds)
    return tree


type Place = tuple[Any, Any]  # a dict or list, and a key or index of it


def _places(tree: Any) -> list[Place]:
    places: list[Place] = []
    waiting = [tree]
    while waiting and len(places) < 2_000:
        node = waiting.pop()
        for key in _keys(node):
            places.append((node, key))
            waiting.append(node[key])
    return places


def _replace(source: Random, parent: Any, key: Any, *_: Any) -> None:
    parent[key] = deepcopy(source.choice(VALUES))


def _delete(_: Random, parent: Any, key: Any, *__: Any) -> None:
    del parent[key]


def _nudge(source: Random, parent: Any, key: Any, *_: Any) -> None:
    parent[key] = _near(source, parent[key])


def _copy(source: Random, parent: Any, key: Any, places: list[Place], _: list[str]) -> None:
    other, name = source.choice(places)
    parent[key] = deepcopy(other[name])


def _repeat(source: Random, parent: Any, key: Any, *_: Any) -> None:
    if isinstance(parent, list):
        parent += [deepcopy(parent[key]) for _ in range(source.choice((1, 2, 500)))]
    else:
        parent[source.choice(STRINGS)] = parent.pop(key)


def _transplant(source: Random, parent: Any, key: Any, _: list[Place], seeds: list[str]) -> None:
    donor = json.loads(source.choice(seeds))
    if isinstance(donor, dict) and donor:
        parent[key] = donor[source.choice(list(donor))]


def _wrap(_: Random, parent: Any, key: Any, *__: Any) -> None:
    parent[key] = [parent[key]]


_CHANGES = (_replace, _replace, _replace, _delete, _nudge, _nudge, _copy, _repeat, _transplant, _wrap)


def _keys(node: Any) -> Any:
    return list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()


def _near(source: Random, value: Any) -> Any:
    """Something like it: another case, a letter more or less, a number next to it."""
    if isinstance(value, bool) or value is None:
        return source.choice((True, False, None))
    if isinstance(value, int | float):
        return source.choice(
            (value + 1, -value, value * 10**6, float(value) if abs(value) < 1e300 else 0, str(value))
        )
    if not isinstance(value, str) or not value:
        return value
    place = source.randrange(len(value))
    letter = source.choice("\x00'\"%/?#()\\ é\u2028\ud83d0aZ")
    return source.choice(
        (
            value.upper(),
            value.lower(),
            value[:place],
            value[:place] + letter + value[place:],
            value[:place] + letter + value[place + 1 :],
            value * 2,
            f" {value}",
            f"{value}\n",
        )
    )


def _text(source: Random, tree: Any) -> bytes:
    """The tree as JSON in any of its forms, or nested too deeply."""
    try:
        text = json.dumps(tree, ensure_ascii=source.random() < 0.5, indent=source.choice((None, None, 1)))
    except (ValueError, RecursionError):
        text = "[" * DEEP
    if source.random() < 0.01:
        text = source.choice(("[" * DEEP + text, '{"value":' * DEEP + text + "}" * DEEP))
    if source.random() < 0.05:
        text = _NUMBER.sub(source.choice(NUMBERS), text, count=source.choice((1, 0)))
    if source.random() < 0.02:
        text = text.replace("{", '{"value": 1, "id": [], ', 1)  # a name that comes twice
    body = text.encode("utf-8", "surrogatepass")
    if source.random() < 0.02:
        body = source.choice((b"\xef\xbb\xbf" + body, text.encode("utf-16", "surrogatepass"), body + body))
    return body


def _spoilt(source: Random, body: bytes) -> bytes:
    """The bytes cut, flipped or stuffed."""
    if not body:
        return b"\xff"
    place = source.randrange(len(body))
    before, after = body[:place], body[place:]
    flipped = before + bytes([source.randrange(256)]) + after[1:]
    return source.choice((before, flipped, before + source.choice(STUFF) + after, after + before))
